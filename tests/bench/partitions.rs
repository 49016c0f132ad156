//! Many partitions on one broker: creating them, and starting again on them, after a clean stop and after
//! SIGKILL.
//!
//! Every time ends when all partitions are led and served (see `topics`). After SIGKILL the next start waits
//! until ZooKeeper has forgotten the old one, for Kafka would refuse to start; that wait is not counted.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::peers::{Peer, Stand};
use crate::process;
use crate::topics::{self, NewTopic};

const PER_TOPIC: i32 = 1000;
/// For creating them, and for being there again.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Seconds and MiB.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    /// From the first CreateTopics to all partitions led.
    pub create_s: f64,
    /// Resident memory two seconds after that.
    pub rss_mib: f64,
    /// From `exec` after a clean stop to all partitions led.
    pub restart_s: f64,
    /// The same after SIGKILL.
    pub killed_s: f64,
}

/// Topics, name and partitions, of `count` partitions together.
pub fn names(count: i32) -> Vec<(String, i32)> {
    let size = |index: i32| PER_TOPIC.min(count - index * PER_TOPIC);
    (0..(count + PER_TOPIC - 1) / PER_TOPIC).map(|index| (format!("many-{index}"), size(index))).collect()
}

/// Measures `peer` with `count` partitions; `step` is told what comes next.
pub fn measure(stand: &Stand, peer: Peer, name: &str, count: i32, step: &dyn Fn(&str)) -> io::Result<Many> {
    step("starting");
    let mut broker = stand.start(peer, name)?;
    broker.await_metadata(1)?;
    let names = names(count);
    let wanted: Vec<NewTopic<'_>> = names
        .iter()
        .map(|(name, partitions)| NewTopic { name, partitions: *partitions, replicas: 1, settings: &[] })
        .collect();

    step(&format!("creating {count} partitions"));
    let start = Instant::now();
    topics::create(broker.port, &wanted, LIMIT)?;
    let create_s = start.elapsed().as_secs_f64();
    sleep(Duration::from_secs(2));
    let rss_mib = process::memory(&[broker.pid()])?.rss_mib;

    step("stopping");
    broker.process.terminate()?;
    stand.await_forgotten(&broker)?;
    step("restarting after a clean stop");
    broker = stand.restart(broker)?;
    topics::await_led(broker.port, &names, broker.started + LIMIT)?;
    let restart_s = broker.started.elapsed().as_secs_f64();

    step("killing, and waiting for ZooKeeper to notice");
    broker.process.kill()?;
    stand.await_forgotten(&broker)?;
    step("restarting after SIGKILL");
    broker = stand.restart(broker)?;
    topics::await_led(broker.port, &names, broker.started + LIMIT)?;
    let killed_s = broker.started.elapsed().as_secs_f64();
    broker.process.kill()?;
    broker.remove()?;
    Ok(Many { create_s, rss_mib, restart_s, killed_s })
}
