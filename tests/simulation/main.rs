//! The simulation: whole brokers, their disks, their wires and ZooKeeper in one thread on simulated time, from a seed.
//!
//! `seeds_hold` runs `OTTLA_SEEDS` seeds from `OTTLA_SEED_FROM` on; a failing seed is printed with what happened
//! last, and `scripts/simulate SEED` runs it again, the same way. What goes wrong is in `faults.rs`, what must hold all
//! the same in `oracle.rs`. With the feature `historic-bugs`, ten bugs of Kafka's past are put back one at a time:
//! each must be found (`seeds.txt` has the seeds that did).

mod admin;
#[cfg(feature = "historic-bugs")]
mod bugs;
mod clients;
mod ensemble;
mod faults;
mod host;
mod network;
mod oracle;
mod panics;
mod picture;
mod run;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use run::{Report, run};

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 60;
/// Lines shown of a failing run.
const LAST: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One test at a time: each uses all cores, and a bug that is put back is back for all.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a seed; a panic is a violation, too.
fn try_seed(seed: u64, keep_lines: bool) -> Report {
    panics::watch();
    let caught = catch_unwind(AssertUnwindSafe(|| run(seed, keep_lines)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Report {
            hash: 0,
            violations: vec![format!("a panic: {}", text.unwrap_or_default())],
            committed: 0,
            leader_changes: 0,
            events: 0,
            simulated_ms: 0,
            lines: Vec::new(),
        }
    })
}

/// Runs seeds on all cores; gives those that failed, with the first violation.
fn try_seeds(from: u64, count: u64) -> Vec<(u64, String)> {
    let (next, failed) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let (records, changes) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let report = try_seed(seed, false);
                    records.fetch_add(report.committed as u64, Ordering::Relaxed);
                    changes.fetch_add(report.leader_changes as u64, Ordering::Relaxed);
                    if let Some(violation) = report.violations.first() {
                        println!("seed {seed}: {violation}");
                        failed.lock().expect("no panic here").push((seed, violation.clone()));
                    }
                }
            });
        }
    });
    println!(
        "{count} seeds: {} records committed, {} terms of leaders, {} seeds failed",
        records.into_inner(),
        changes.into_inner(),
        failed.lock().expect("no panic here").len()
    );
    failed.into_inner().expect("no panic here")
}

fn tell(seed: u64, last: usize) -> Report {
    let report = try_seed(seed, true);
    let skipped = report.lines.len().saturating_sub(last);
    report.lines.iter().skip(skipped).for_each(|line| println!("{line}"));
    println!(
        "seed {seed}: {} events in {} ms, {} records committed, {} terms of leaders, hash {:016x}",
        report.events, report.simulated_ms, report.committed, report.leader_changes, report.hash
    );
    report
}

#[test]
fn seeds_hold() {
    let _alone = alone();
    let failed = try_seeds(number("OTTLA_SEED_FROM", 0), number("OTTLA_SEEDS", SEEDS));
    if let Some((seed, violation)) = failed.first() {
        tell(*seed, LAST);
        panic!("seed {seed}: {violation}\n(scripts/simulate {seed} runs it again)");
    }
}

#[test]
fn a_seed_is_a_run() {
    let _alone = alone();
    for seed in [3, 4, 5, 302] {
        let (one, two) = (try_seed(seed, false), try_seed(seed, true));
        let what =
            |report: &Report| (report.hash, report.events, report.committed, report.violations.clone());
        assert_eq!(what(&one), what(&two), "seed {seed}");
    }
}

/// What `scripts/simulate` runs.
#[test]
#[ignore = "for scripts/simulate, which names the seed"]
fn one_seed() {
    if let Ok(level) = std::env::var("OTTLA_LOG") {
        let filter = tracing_subscriber::EnvFilter::new(level);
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false).init();
    }
    #[cfg(feature = "historic-bugs")]
    ottla::bugs::put_back(bugs::asked());
    // With the brokers' logs the lines have been shown in their places.
    let lines = if std::env::var("OTTLA_LOG").is_ok() { 0 } else { usize::MAX };
    let report = tell(number("OTTLA_SEED", 0), lines);
    assert_eq!(report.violations, Vec::<String>::new());
}
