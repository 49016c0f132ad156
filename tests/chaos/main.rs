//! The chaos rig: three brokers and three real ZooKeepers under faults, and a checker of what clients saw.
//!
//! `scripts/chaos` builds what it needs and runs it; `README.md` beside this file tells what it does and how to read
//! it. The same rig runs Apache Kafka 3.9 as a control, and mixed clusters. Where root is available each process has a
//! network namespace and each broker a disk of its own; elsewhere ports of the loopback, and fewer faults.

mod check;
mod cluster;
mod disk;
mod fault;
mod gaps;
mod inject;
mod isolation;
mod mixed;
mod nodes;
mod process;
#[path = "../bench/progress.rs"]
mod progress;
mod replicas;
mod report;
mod run;
mod watch;
mod workload;
mod zookeeper;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::Parser;

use cluster::{Kind, Programs};
use fault::Fault;
use process::failed;
use progress::Progress;
use run::Plan;
use workload::{Drivers, Load};

/// Runs brokers under faults and checks what clients saw.
#[derive(Parser)]
struct Options {
    /// `ottla`, `kafka`, `both` (one run each), or three of them for a mixed cluster: `kafka,ottla,ottla`.
    #[arg(long, default_value = "both")]
    brokers: String,
    /// Minutes in which faults are dealt, for each run.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// `kill:leader,cut:controller,..`, or `standard`, or `none`.
    #[arg(long, default_value = "standard")]
    faults: String,
    /// Draws faults, targets, durations; without it the clock does, and it is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds each fault lasts, instead of what the seed says: `--faults zk-kill:all --hold 600`.
    #[arg(long)]
    hold: Option<u64>,
    /// Topics.
    #[arg(long, default_value_t = 3)]
    topics: usize,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    partitions: usize,
    /// Records a second, in all.
    #[arg(long, default_value_t = 300)]
    rate: usize,
    /// `all`, or `1` to see records lost.
    #[arg(long, default_value = "all")]
    acks: String,
    /// `min.insync.replicas` of the topics.
    #[arg(long, default_value_t = 2)]
    min_isr: usize,
    /// Instead of faults, one round of a mixed cluster (see `mixed.rs`): one Kafka and two Ottla, then the other way
    /// round, or as `--brokers` says.
    #[arg(long)]
    mixed: bool,
    /// Lets replicas outside the ISR lead.
    #[arg(long)]
    unclean: bool,
    /// Pollers commit no offsets.
    #[arg(long)]
    no_commits: bool,
    /// How long producers ask a broker to try; after one and a half times that they look elsewhere. A leader that is
    /// stopped or cut off is left no sooner: 1000 shows how long the cluster itself was without one.
    #[arg(long, default_value_t = 10_000)]
    patience_ms: u64,
    /// `zookeeper.session.timeout.ms` of the brokers.
    #[arg(long, default_value_t = 6000)]
    session_ms: u64,
    /// A line more for `server.properties`; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Writes everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Another binary than the one built with the rig.
    #[arg(long, value_name = "FILE")]
    ottla_bin: Option<PathBuf>,
    /// Uses the loopback even where root is available.
    #[arg(long)]
    loopback: bool,
    /// The half that runs in a world of its own; see `isolation.rs`.
    #[arg(long, hide = true)]
    inside: bool,
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = watch_interrupts().and_then(|()| match options.inside {
        true => work(&options, true),
        false if !options.loopback && isolation::possible() => isolation::enter(),
        false => work(&options, false),
    });
    result.unwrap_or_else(|error| {
        eprintln!("the rig failed: {error}");
        ExitCode::FAILURE
    })
}

/// Ctrl-C and SIGTERM end a run in order: what was started is stopped, what was made is removed.
fn watch_interrupts() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminate = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        });
        run::INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Every run, then the report; the code is 2 when something was found.
fn work(options: &Options, isolated: bool) -> io::Result<ExitCode> {
    let runs = options.runs()?;
    // The files of a run have one place in a checkout.
    let _lock = isolation::lock(&target().join("chaos/lock"))?;
    let progress = Progress::new(runs.len() * (10 + (options.minutes * 3.0) as usize));
    let (mut outcomes, mut plan) = (vec![], options.plan(vec![], isolated)?);
    progress.tell(&format!("seed {}", plan.seed));
    if !isolated {
        progress.tell("no namespaces here: everything on the loopback, with fewer faults");
    }
    for kinds in runs {
        plan.kinds = kinds;
        let names: Vec<&str> = plan.kinds.iter().map(|kind| kind.name()).collect();
        plan.dir = target().join("chaos/runs").join(names.join("-"));
        let run = if options.mixed { mixed::run } else { run::run };
        outcomes.push(run(&plan, &progress).map_err(|error| {
            failed(format!(
                "{} (seed {}): {error}; files are in {}",
                names.join(","),
                plan.seed,
                plan.dir.display()
            ))
        })?);
    }
    println!("{}", report::text(&plan, &outcomes));
    if let Some(path) = &options.json {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, format!("{:#}\n", report::json(&plan, &outcomes)))?;
    }
    let sound = outcomes.iter().all(report::is_sound);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

impl Options {
    /// The brokers of each run.
    fn runs(&self) -> io::Result<Vec<Vec<Kind>>> {
        let kind = |name: &str| match name {
            "ottla" => Ok(Kind::Ottla),
            "kafka" => Ok(Kind::Kafka),
            other => Err(failed(format!("no such broker: {other:?}; known are ottla, kafka, both"))),
        };
        if self.brokers == "both" && self.mixed {
            let (kafka, ottla) = (Kind::Kafka, Kind::Ottla);
            return Ok(vec![vec![kafka, ottla, ottla], vec![ottla, kafka, kafka]]);
        }
        if self.brokers == "both" {
            return Ok(vec![vec![Kind::Kafka; nodes::MEMBERS], vec![Kind::Ottla; nodes::MEMBERS]]);
        }
        let kinds: Vec<Kind> = self.brokers.split(',').map(kind).collect::<io::Result<_>>()?;
        match kinds.len() {
            1 => Ok(vec![vec![kinds[0]; nodes::MEMBERS]]),
            nodes::MEMBERS => Ok(vec![kinds]),
            _ => Err(failed("--brokers takes one kind, both, or three kinds with commas")),
        }
    }

    fn faults(&self, isolated: bool) -> io::Result<Vec<Fault>> {
        let list = match self.faults.as_str() {
            "none" => return Ok(vec![]),
            "standard" if isolated => fault::STANDARD,
            "standard" => fault::WITHOUT_ROOT,
            list => list,
        };
        list.split(',').map(|name| name.trim().parse().map_err(|error: String| failed(error))).collect()
    }

    fn plan(&self, kinds: Vec<Kind>, isolated: bool) -> io::Result<Plan> {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        let clients = target().join("clients");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos");
        let mut topics: Vec<String> = (0..self.topics).map(|index| format!("chaos{index}")).collect();
        if self.mixed {
            topics.push(mixed::MOVING.to_owned());
        }
        Ok(Plan {
            kinds,
            time: Duration::from_secs_f64(self.minutes * 60.0),
            faults: self.faults(isolated)?,
            hold: self.hold.map(Duration::from_secs),
            seed,
            load: Load {
                topics,
                partitions: self.partitions,
                rate: self.rate,
                acks: self.acks.clone(),
                unclean: self.unclean,
                min_isr: self.min_isr,
                commits: !self.no_commits,
                patience_ms: self.patience_ms,
                seed,
            },
            programs: Programs {
                jars: target().join("peers/jars"),
                ottla: self.ottla_bin.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_ottla").into()),
                session_ms: self.session_ms,
                extra: self.config.iter().map(|line| format!("{line}\n")).collect(),
            },
            drivers: Drivers {
                python: clients.join("venv/bin/python"),
                librdkafka: here.join("drivers/librdkafka.py"),
                franz: target().join("chaos/franz"),
            },
            dir: PathBuf::new(),
            isolated,
        })
    }
}

/// Under the repository, wherever Cargo puts what it builds.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}
