//! The benchmark: Ottla against Apache Kafka 3.9.2 and against a null broker, side by side, in one run.
//!
//! `scripts/bench` runs all of it; `cargo bench --bench broker -- --help` tells what can be chosen. What is
//! published are ratios of the same round: the machine's speed changes by the hour, the ratio hardly. The
//! null broker (`null/`) is the limit: it receives, checks the CRC, appends, sends back, and does nothing
//! else.

mod client;
mod cluster;
mod failover;
mod fetch;
mod figures;
mod latency;
mod load;
mod machine;
mod null;
mod partitions;
mod peers;
mod plot;
mod process;
mod progress;
mod report;
mod run;
mod sample;
mod startup;
mod topics;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use figures::Group;
use peers::{Peer, Stand};
use run::{Plan, Run};
use sample::Length;

/// Measures Ottla against Kafka 3.9.2 and a null broker.
#[derive(Parser)]
struct Options {
    /// Figures to measure. Not among the default ones: cluster, failover (three brokers of each kind at once, 4 GiB of
    /// memory and several minutes more).
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        default_value = "startup,produce,fetch,requests,latency,partitions"
    )]
    figures: Vec<Group>,
    /// Brokers to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "ottla,kafka,null")]
    brokers: Vec<Peer>,
    /// Rounds in which the brokers take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rounds of the partition and fail-over figures, minutes each on Kafka.
    #[arg(long, default_value_t = 1)]
    partition_rounds: usize,
    /// CPU-seconds of the broker in a sample; 10 for figures to publish.
    #[arg(long, default_value_t = 2.0)]
    cpu_seconds: f64,
    /// GB that a sample of producing may write, if it does not come to its CPU-seconds; 6 for figures to
    /// publish. One and a quarter of it must be free memory.
    #[arg(long, default_value_t = 1)]
    gigabytes: u64,
    /// Seconds of each latency measurement; 60 for figures to publish.
    #[arg(long, default_value_t = 10)]
    latency_seconds: u64,
    /// Partitions that count as many.
    #[arg(long, default_value_t = 10_000)]
    partitions: i32,
    /// A smoke test: short samples, one round, few partitions; its figures say little.
    #[arg(long)]
    quick: bool,
    /// Writes everything, raw samples included, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the ratios as a picture (SVG).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Writes the table, which is also printed.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Where the brokers have their files: on the file system to be measured; it is emptied.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Jars of Kafka and ZooKeeper; fetched with mvn if missing.
    #[arg(long, value_name = "DIR")]
    jars: Option<PathBuf>,
    /// Runs the null broker on this port, with files in --dir.
    #[arg(long, value_name = "PORT")]
    null_broker: Option<u16>,
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.null_broker {
        Some(port) => null::run(port, &options.dir()).map(|()| true),
        None => measure(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| target().join("bench/data"))
    }

    /// Keys that both brokers get beside those of every run. The default session timeout of 18 s is most
    /// of a smoke test's time.
    fn extra(&self) -> &'static str {
        if self.quick { "zookeeper.session.timeout.ms=4000\n" } else { "" }
    }

    fn plan(&self) -> Plan {
        let seconds = Duration::from_secs;
        let mut peers = self.brokers.clone();
        peers.dedup();
        let full = Plan {
            groups: self.figures.clone(),
            peers,
            rounds: self.rounds,
            partition_rounds: self.partition_rounds,
            length: Length {
                cpu_s: self.cpu_seconds,
                wall: Duration::from_secs_f64(5.0 * self.cpu_seconds),
                warm_up: Duration::from_millis(500),
                bytes: self.gigabytes * 1_000_000_000,
                ready_pages: true,
            },
            warm_ups: 6,
            fill_bytes: 512 << 20,
            latency: seconds(self.latency_seconds),
            idle: seconds(3),
            partitions: self.partitions,
        };
        if !self.quick {
            return full;
        }
        Plan {
            rounds: 1,
            partition_rounds: 1,
            length: Length {
                cpu_s: 0.3,
                wall: seconds(2),
                warm_up: Duration::from_millis(100),
                bytes: 500_000_000,
                ready_pages: true,
            },
            warm_ups: 1,
            fill_bytes: 64 << 20,
            latency: seconds(2),
            idle: seconds(1),
            partitions: self.partitions.min(100),
            ..full
        }
    }
}

/// Under the repository, wherever Cargo puts what it builds.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

/// Measures and publishes; `false` if something could not be measured.
fn measure(options: &Options) -> io::Result<bool> {
    let plan = options.plan();
    let jars = options.jars.clone().unwrap_or_else(|| target().join("peers/jars"));
    let stand = Stand::new(&options.dir(), &jars, &plan.peers, options.extra())?;
    let began = Instant::now();
    let mut run = Run::new(&plan, &stand);
    run.all()?;
    let mut results = run.results;
    results.took.push(("everything", began.elapsed().as_secs_f64()));
    let about = json!({
        "machine": machine::facts(),
        "plan": format!("{plan:?}"),
        "quick": options.quick,
        "durability": "replicated",
        "extra_config": options.extra(),
        "topic": { "partitions": load::PARTITIONS, "replication": 1, "settings": topics::THROWN_AWAY },
        "cluster": cluster::about(),
    });
    let text = report::text(&results, &about);
    println!("{text}");
    write(options.table.as_deref(), &text)?;
    write(options.json.as_deref(), &format!("{:#}\n", report::json(&results, &about)))?;
    write(options.plot.as_deref(), &plot::svg(&results))?;
    Ok(results.failures.is_empty())
}

fn write(path: Option<&Path>, text: &str) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
