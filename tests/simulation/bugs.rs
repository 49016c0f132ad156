//! How good the simulation is: bugs of Kafka's past, put back one at a time, must be found.
//!
//! `seeds.txt` holds, for each bug, the seed that found it and what was seen. A seed of the list that finds its bug no
//! more (any change of the code draws other runs) gives way to the first that does; `REWRITE=1` writes the list anew.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;
use ottla::bugs::{ALL, Bug, put_back};

use crate::faults::Swarm;
use crate::{number, try_seed};

/// Seeds within which each bug must be found.
const SEEDS: u64 = 2_000;
const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation/seeds.txt");

/// The bug that `OTTLA_BUG` names.
pub fn asked() -> Option<Bug> {
    let name = std::env::var("OTTLA_BUG").ok()?;
    let bug = ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    Some(bug.unwrap_or_else(|| panic!("OTTLA_BUG={name} is none of {ALL:?}")))
}

/// Whether a seed has what the bug needs: a mark of a clean shutdown misleads only a machine that lost its power.
fn may_show(bug: Bug, seed: u64) -> bool {
    bug != Bug::R34 || Swarm::draw(&mut Rng::with_seed(seed)).has_power_losses()
}

/// The first seed from `from` on that sees the bug, and what it sees; all cores look.
fn look(bug: Bug, from: u64, end: u64) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    let is_found = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    put_back(Some(bug));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_found.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if !may_show(bug, seed) {
                        continue;
                    }
                    if let Some(violation) = try_seed(seed, false).violations.into_iter().next() {
                        is_found.store(true, Ordering::Relaxed);
                        found.lock().expect("no panic here").push((seed, violation));
                    }
                }
            });
        }
    });
    put_back(None);
    found.into_inner().expect("no panic here").into_iter().min()
}

/// As [`look`], but what is seen without the bug, too, does not count.
fn find(bug: Bug, from: u64, count: u64) -> Option<(u64, String)> {
    let (mut from, end) = (from, from + count);
    while let Some((seed, violation)) = look(bug, from, end) {
        if try_seed(seed, false).violations.is_empty() {
            return Some((seed, violation));
        }
        from = seed + 1;
    }
    None
}

fn listed(bug: Bug) -> Option<u64> {
    let list = std::fs::read_to_string(LIST).unwrap_or_default();
    let line = list.lines().find_map(|line| line.strip_prefix(&format!("{bug:?} ")).map(str::to_owned))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn historic_bugs_are_found() {
    let _alone = crate::alone();
    let asked = asked();
    let (mut list, mut missed) = (String::new(), Vec::new());
    for bug in ALL.into_iter().filter(|bug| asked.is_none_or(|asked| asked == *bug)) {
        let known = listed(bug).and_then(|seed| find(bug, seed, 1));
        match known.or_else(|| find(bug, number("OTTLA_SEED_FROM", 0), number("OTTLA_SEEDS", SEEDS))) {
            Some((seed, violation)) => {
                println!("{bug:?}: seed {seed}: {violation}");
                writeln!(list, "{bug:?} {seed} {violation}").expect("memory takes it");
            }
            None => missed.push(bug),
        }
    }
    if std::env::var("REWRITE").is_ok() && asked.is_none() {
        std::fs::write(LIST, list).expect("the list can be written");
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
