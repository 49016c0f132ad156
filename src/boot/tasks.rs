//! THE TABLE of periodic jobs: name, key of its interval, what it does. Disk work runs on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::broker::Broker;
use crate::shutdown::Stop;
use crate::storage::manager::Failures;

/// How long after start the log jobs begin (`log.initial.task.delay.ms`).
const INITIAL_DELAY: &str = "log.initial.task.delay.ms";
/// How often files that wait for removal are looked at.
const TRASH_EVERY: Duration = Duration::from_secs(5);
/// A descriptor is idle for once to twice this long before it is closed.
const CLOSE_UNUSED_EVERY: Duration = Duration::from_secs(15);
/// How often logs with a sealed, unsynced segment are looked for.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A job on the logs.
struct Job {
    name: &'static str,
    every: Every,
    delayed: bool,
    run: fn(&Broker) -> Failures,
}

enum Every {
    Key(&'static str),
    /// Half of what the key says.
    Half(&'static str),
    Fixed(Duration),
}

const JOBS: &[Job] = &[
    Job {
        name: "retention",
        every: Every::Key("log.retention.check.interval.ms"),
        delayed: true,
        run: |broker| broker.replicas.logs.retention_pass(broker.clock.now()).1,
    },
    Job {
        name: "flush",
        every: Every::Fixed(FLUSH_EVERY),
        delayed: false,
        run: |broker| broker.replicas.logs.flush_pass(broker.clock.now()),
    },
    Job {
        name: "recovery-point-checkpoint",
        every: Every::Key("log.flush.offset.checkpoint.interval.ms"),
        delayed: true,
        run: |broker| broker.replicas.logs.checkpoint_recovery_points(),
    },
    Job {
        name: "log-start-checkpoint",
        every: Every::Key("log.flush.start.offset.checkpoint.interval.ms"),
        delayed: true,
        run: |broker| broker.replicas.logs.checkpoint_log_starts(),
    },
    Job {
        name: "high-watermark-checkpoint",
        every: Every::Key("replica.high.watermark.checkpoint.interval.ms"),
        delayed: false,
        run: |broker| broker.replicas.logs.checkpoint_high_watermarks(|_| None),
    },
    Job {
        name: "isr-expiration",
        every: Every::Half("replica.lag.time.max.ms"),
        delayed: false,
        run: |broker| {
            broker.replicas.shrink_isrs();
            Failures::new()
        },
    },
    Job {
        name: "remove-deleted",
        every: Every::Fixed(TRASH_EVERY),
        delayed: false,
        run: |broker| {
            let failed = broker.replicas.logs.remove_deleted(broker.clock.now());
            failed.into_iter().map(|(dir, error)| (dir, error.to_string())).collect()
        },
    },
    Job {
        name: "close-unused",
        every: Every::Fixed(CLOSE_UNUSED_EVERY),
        delayed: false,
        run: |broker| {
            broker.replicas.logs.context().fs.close_unused();
            Failures::new()
        },
    },
    Job {
        name: "expire-producers",
        every: Every::Key("producer.id.expiration.check.interval.ms"),
        delayed: true,
        run: |broker| {
            broker.replicas.logs.expire_producers(broker.clock.now());
            Failures::new()
        },
    },
];

/// Starts every job; they end with `stop`.
pub fn start(broker: &Arc<Broker>, stop: &Stop) {
    for job in JOBS {
        tokio::spawn(run(job, broker.clone(), stop.clone()));
    }
    tokio::spawn(expire_offsets(broker.clone(), stop.clone()));
}

async fn run(job: &'static Job, broker: Arc<Broker>, mut stop: Stop) {
    let every = match job.every {
        Every::Key(key) => broker.config.ms(key).max(Duration::from_millis(1)),
        Every::Half(key) => (broker.config.ms(key) / 2).max(Duration::from_millis(1)),
        Every::Fixed(every) => every,
    };
    let mut wait = if job.delayed { broker.config.ms(INITIAL_DELAY) } else { every };
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = every;
        let working = broker.clone();
        match crate::blocking::run(move || (job.run)(&working)).await {
            Ok(failures) => report(&broker, failures).await,
            Err(error) => {
                tracing::error!(job = job.name, %error, "a periodic job failed; it runs again in its time")
            }
        }
    }
}

/// Takes a log directory offline the moment one of its logs fails, whoever was using the log.
pub fn watch_dirs(broker: &Arc<Broker>, stop: &Stop) {
    let (sender, mut failed) = mpsc::unbounded_channel();
    broker.replicas.logs.context().failures.on_failure(move |dir, error| {
        // Nobody listens once the broker is stopping.
        let _stopping = sender.send((dir, error));
    });
    let (broker, mut stop) = (broker.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return,
                Some((dir, error)) = failed.recv() => broker.log_dir_failed(&dir, &error).await,
            }
        }
    });
}

/// Directories that failed go offline; without any left the broker halts, as Kafka does.
pub async fn report(broker: &Arc<Broker>, failures: Failures) {
    for (dir, error) in failures {
        broker.log_dir_failed(&dir, &error).await;
    }
}

async fn expire_offsets(broker: Arc<Broker>, mut stop: Stop) {
    let every = broker.config.ms("offsets.retention.check.interval.ms").max(Duration::from_millis(1));
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(every) => {}
        }
        let removed = broker.groups.expire_offsets().await;
        if removed > 0 {
            tracing::info!(removed, "removed expired offsets");
        }
    }
}
