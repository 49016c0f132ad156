//! Write gaps: how long one producer had no acknowledgement from one partition.
//!
//! A gap is the time between two acknowledgements that follow each other, as far as it lies in a window: from a fault
//! to the next one. Of each pair of producer and partition the longest counts. A producer's rate sets the least gap
//! there can be, so the gap of quiet times is told beside it. Knows nothing of faults.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::history::{COUNT_BITS, Key, Op, Outcome};

/// Times of acknowledgements by (producer, partition), in microseconds.
#[derive(Default)]
pub struct Acks {
    times: BTreeMap<(u64, Key), Vec<i64>>,
    left_out: Vec<u64>,
    failures: Vec<i64>,
}

/// How long, over all pairs, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gap {
    /// Half of the pairs had no longer one.
    pub p50: f64,
    /// 99 of 100 had no longer one.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Acks {
    /// Notes an operation.
    pub fn add(&mut self, op: &Op) {
        match op {
            // It sends what is refused, too.
            Op::Producer { id, idempotent: false } => self.left_out.push(*id),
            Op::Send { key, value, end, outcome, .. } => {
                let producer = value >> COUNT_BITS;
                if self.left_out.contains(&producer) {
                    return;
                }
                match outcome {
                    Outcome::Ok => self.times.entry((producer, *key)).or_default().push(*end),
                    _ => self.failures.push(*end),
                }
            }
            _ => {}
        }
    }

    /// To be called once all operations are noted.
    pub fn sort(&mut self) {
        self.times.values_mut().for_each(|times| times.sort_unstable());
        self.failures.sort_unstable();
    }

    /// The gaps inside the window; `None` when nothing was written at all.
    pub fn between(&self, from: i64, to: i64) -> Option<Gap> {
        self.of(|_| true, from, to)
    }

    /// The same of each producer alone: clients differ in how they find a new leader.
    pub fn by_producer(&self, from: i64, to: i64) -> BTreeMap<u64, Gap> {
        let ids: BTreeSet<u64> = self.times.keys().map(|(producer, _)| *producer).collect();
        ids.into_iter().filter_map(|id| Some((id, self.of(|producer| producer == id, from, to)?))).collect()
    }

    fn of(&self, counts: impl Fn(u64) -> bool, from: i64, to: i64) -> Option<Gap> {
        let of_pairs = self.times.iter().filter(|((producer, _), _)| counts(*producer));
        let mut longest: Vec<i64> = of_pairs.map(|(_, times)| longest(times, from, to)).collect();
        longest.sort_unstable();
        let at = |share: f64| {
            let rank = ((longest.len() as f64 * share).ceil() as usize).clamp(1, longest.len());
            longest[rank - 1] as f64 / 1e6
        };
        (!longest.is_empty()).then(|| Gap { p50: at(0.5), p99: at(0.99), max: at(1.0) })
    }

    /// Writes that the producers were told have failed, or of which they know nothing, in the window.
    pub fn failures(&self, from: i64, to: i64) -> usize {
        self.failures.partition_point(|time| *time < to) - self.failures.partition_point(|time| *time < from)
    }
}

/// The longest time without an acknowledgement inside the window.
fn longest(times: &[i64], from: i64, to: i64) -> i64 {
    let inside = &times[times.partition_point(|time| *time < from)..times.partition_point(|time| *time < to)];
    let between = inside.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    match (inside.first(), inside.last()) {
        (Some(first), Some(last)) => between.max(first - from).max(to - last),
        _ => to - from,
    }
}
