//! The checker: what clients did and saw, held against what a log promises.
//!
//! The definitions are those of Jepsen's Kafka tests, as far as they concern single records; what they say of
//! transactions waits for a workload of transactions. Operations are taken one by one, those of each process in its
//! order and sends before reads; [`Checker::finish`] judges what needs the whole. Knows nothing of brokers or faults.

pub mod history;

use std::collections::{BTreeMap, HashMap, HashSet};

use history::{COUNT_BITS, Key, Keys, Op, Outcome};

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Acknowledged, never read, though something behind it was.
    LostWrite,
    /// Acknowledged, behind all that was read by the end.
    Unseen,
    /// One value of an idempotent producer at two places.
    Duplicate,
    /// Two values at one place.
    InconsistentOffsets,
    /// Read, though its send certainly failed.
    AbortedRead,
    /// Read, though nobody sent it.
    Phantom,
    /// Sends of one idempotent producer stand in the log in another order.
    NonmonotonicSend,
    /// A reader jumped over records between two polls.
    PollSkip,
    /// A reader went back between two polls.
    NonmonotonicPoll,
    /// One poll jumped over records.
    IntPollSkip,
    /// One poll went back.
    IntNonmonotonicPoll,
    /// What is committed is neither the last acknowledged commit nor one of unknown outcome.
    CommitLost,
}

impl Anomaly {
    /// All of them, in the order of reports.
    pub const ALL: [Anomaly; 12] = [
        Anomaly::LostWrite,
        Anomaly::Unseen,
        Anomaly::Duplicate,
        Anomaly::InconsistentOffsets,
        Anomaly::AbortedRead,
        Anomaly::Phantom,
        Anomaly::NonmonotonicSend,
        Anomaly::PollSkip,
        Anomaly::NonmonotonicPoll,
        Anomaly::IntPollSkip,
        Anomaly::IntNonmonotonicPoll,
        Anomaly::CommitLost,
    ];

    /// Its name, Jepsen's where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Anomaly::LostWrite => "lost-write",
            Anomaly::Unseen => "unseen",
            Anomaly::Duplicate => "duplicate",
            Anomaly::InconsistentOffsets => "inconsistent-offsets",
            Anomaly::AbortedRead => "G1a aborted-read",
            Anomaly::Phantom => "phantom",
            Anomaly::NonmonotonicSend => "nonmonotonic-send",
            Anomaly::PollSkip => "poll-skip",
            Anomaly::NonmonotonicPoll => "nonmonotonic-poll",
            Anomaly::IntPollSkip => "int-poll-skip",
            Anomaly::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Anomaly::CommitLost => "commit-lost",
        }
    }
}

/// How often, and the first cases in words.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// How often.
    pub count: u64,
    /// The first ones.
    pub examples: Vec<String>,
}

const EXAMPLES: usize = 10;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Only anomalies that occurred.
    pub anomalies: BTreeMap<Anomaly, Cases>,
    /// Sends acknowledged, failed, unknown.
    pub acked: u64,
    /// Certainly not done.
    pub failed: u64,
    /// Unknown.
    pub unknown: u64,
    /// Of the unknown, how many were read.
    pub unknown_read: u64,
    /// Different records read.
    pub read: u64,
    /// Values at two places whose producer is not idempotent: allowed.
    pub repeated: u64,
    /// Readers of everything that came to the end, and all of them.
    pub finals: (u64, u64),
}

impl Verdict {
    /// How often it occurred.
    pub fn count(&self, anomaly: Anomaly) -> u64 {
        self.anomalies.get(&anomaly).map_or(0, |cases| cases.count)
    }

    fn add(&mut self, anomaly: Anomaly, example: impl FnOnce() -> String) {
        let cases = self.anomalies.entry(anomaly).or_default();
        cases.count += 1;
        if cases.examples.len() < EXAMPLES {
            cases.examples.push(example());
        }
    }
}

/// What a producer promises.
#[derive(Clone, Copy, Default)]
struct Promise {
    idempotent: bool,
    /// Idempotent all the time, so that all its records stand in order.
    ordered: bool,
}

struct Send {
    key: Key,
    outcome: Outcome,
    offset: Option<i64>,
    read: bool,
}

/// A reader's jump from one offset to another, judged when all offsets are known.
struct Jump {
    process: u64,
    key: Key,
    from: i64,
    to: i64,
    inside: bool,
}

/// The account of one run.
#[derive(Default)]
pub struct Checker {
    /// Names of the partitions, filled while lines are parsed.
    pub keys: Keys,
    verdict: Verdict,
    producers: HashMap<u64, Promise>,
    sends: HashMap<u64, Send>,
    /// Per key what stands at which offset, by reads and by acknowledgements.
    logs: Vec<BTreeMap<i64, u64>>,
    places: HashMap<u64, (Key, i64)>,
    repeated: HashSet<(Key, i64)>,
    highest_read: HashMap<Key, i64>,
    positions: HashMap<(u64, Key), i64>,
    jumps: Vec<Jump>,
    acked_commits: HashMap<(u64, Key), i64>,
    unknown_commits: HashMap<(u64, Key), Vec<i64>>,
}

impl Checker {
    /// Takes one line of a driver.
    pub fn line(&mut self, line: &str) -> Result<Op, String> {
        let op = history::parse(line, &mut self.keys)?;
        self.add(&op)?;
        Ok(op)
    }

    /// Takes one operation; errs when the driver contradicts itself.
    pub fn add(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Producer { id, idempotent } => {
                self.producers.insert(*id, Promise { idempotent: *idempotent, ordered: *idempotent });
            }
            Op::Renewed { id } => {
                if let Some(promise) = self.producers.get_mut(id) {
                    promise.ordered = false;
                }
            }
            Op::Send { key, value, outcome, offset, .. } => self.send(*key, *value, *outcome, *offset)?,
            Op::Assign { process, from } => {
                self.positions.retain(|(other, _), _| other != process);
                for (key, offset) in from {
                    self.positions.insert((*process, *key), offset - 1);
                }
            }
            Op::Poll { process, got } => {
                for (key, records) in got {
                    self.poll(*process, *key, records);
                }
            }
            Op::Commit { process, offsets, ok } => {
                for (key, offset) in offsets {
                    if *ok {
                        self.acked_commits.insert((*process, *key), *offset);
                    } else {
                        self.unknown_commits.entry((*process, *key)).or_default().push(*offset);
                    }
                }
            }
            Op::Committed { process, offsets } => self.committed(*process, offsets),
            Op::Final { complete } => {
                self.verdict.finals.0 += u64::from(*complete);
                self.verdict.finals.1 += 1;
            }
            Op::End => {}
        }
        Ok(())
    }

    fn send(&mut self, key: Key, value: u64, outcome: Outcome, offset: Option<i64>) -> Result<(), String> {
        match outcome {
            Outcome::Ok => self.verdict.acked += 1,
            Outcome::Fail => self.verdict.failed += 1,
            Outcome::Info => self.verdict.unknown += 1,
        }
        if self.sends.insert(value, Send { key, outcome, offset, read: false }).is_some() {
            return Err(format!("the value {value} was sent twice by its driver"));
        }
        if let Some(offset) = offset {
            self.place(key, offset, value);
        }
        Ok(())
    }

    /// Notes that `value` stands there.
    fn place(&mut self, key: Key, offset: i64, value: u64) {
        while self.logs.len() <= key {
            self.logs.push(BTreeMap::new());
        }
        let (name, verdict) = (self.keys.name(key), &mut self.verdict);
        let there = *self.logs[key].entry(offset).or_insert(value);
        if there != value {
            verdict.add(Anomaly::InconsistentOffsets, || {
                format!("{name} offset {offset}: {} and {}", told(there), told(value))
            });
        }
        let place = *self.places.entry(value).or_insert((key, offset));
        let idempotent = self.producers.get(&(value >> COUNT_BITS)).is_some_and(|promise| promise.idempotent);
        if place != (key, offset) && !idempotent && place.0 == key {
            // Each place counts once, however many readers come by.
            if self.repeated.insert((key, offset)) {
                verdict.repeated += 1;
            }
        } else if place != (key, offset) {
            let other = self.keys.name(place.0);
            verdict.add(Anomaly::Duplicate, || {
                format!("{}: {other} offset {} and {name} offset {offset}", told(value), place.1)
            });
        }
    }

    fn poll(&mut self, process: u64, key: Key, records: &[(i64, u64)]) {
        for (index, (offset, value)) in records.iter().enumerate() {
            self.place(key, *offset, *value);
            let highest = self.highest_read.entry(key).or_insert(*offset);
            *highest = (*highest).max(*offset);
            match self.sends.get_mut(value) {
                Some(send) => send.read = true,
                None => {
                    let name = self.keys.name(key);
                    self.verdict
                        .add(Anomaly::Phantom, || format!("{name} offset {offset}: {}", told(*value)));
                }
            }
            if let Some(from) = self.positions.insert((process, key), *offset)
                && *offset != from + 1
            {
                self.jumps.push(Jump { process, key, from, to: *offset, inside: index > 0 });
            }
        }
    }

    fn committed(&mut self, process: u64, offsets: &[(Key, i64)]) {
        for (key, offset) in offsets {
            let place = (process, *key);
            let acked = self.acked_commits.get(&place).copied().unwrap_or(-1);
            let maybe = self.unknown_commits.get(&place).is_some_and(|unknown| unknown.contains(offset));
            if *offset != acked && !maybe {
                let name = self.keys.name(*key);
                self.verdict.add(Anomaly::CommitLost, || {
                    format!("process {process}, {name}: {offset} is committed, acknowledged was {acked}")
                });
            }
        }
    }

    /// Judges the whole.
    pub fn finish(mut self) -> Verdict {
        self.judge_sends();
        self.judge_order();
        self.judge_jumps();
        self.verdict.read = self.sends.values().filter(|send| send.read).count() as u64;
        self.verdict
    }

    fn judge_sends(&mut self) {
        let mut values: Vec<u64> = self.sends.keys().copied().collect();
        values.sort_unstable();
        for value in values {
            let send = &self.sends[&value];
            let name = self.keys.name(send.key);
            match (send.outcome, send.read) {
                (Outcome::Fail, true) => {
                    self.verdict.add(Anomaly::AbortedRead, || format!("{name}: {}", told(value)));
                }
                (Outcome::Info, true) => self.verdict.unknown_read += 1,
                (Outcome::Ok, false) => {
                    let highest = self.highest_read.get(&send.key).copied().unwrap_or(-1);
                    let lost = send.offset.is_none_or(|offset| offset <= highest);
                    let anomaly = if lost { Anomaly::LostWrite } else { Anomaly::Unseen };
                    self.verdict.add(anomaly, || {
                        let place = send.offset.map_or("?".to_owned(), |offset| offset.to_string());
                        format!("{name} offset {place}: {}; highest read is {highest}", told(value))
                    });
                }
                _ => {}
            }
        }
    }

    fn judge_order(&mut self) {
        for (key, log) in self.logs.iter().enumerate() {
            let mut last: HashMap<u64, u64> = HashMap::new();
            for (offset, value) in log {
                let producer = value >> COUNT_BITS;
                if !self.producers.get(&producer).is_some_and(|promise| promise.ordered) {
                    continue;
                }
                let before = last.insert(producer, *value).unwrap_or(0);
                if before > *value {
                    let name = self.keys.name(key);
                    self.verdict.add(Anomaly::NonmonotonicSend, || {
                        format!("{name} offset {offset}: {} behind {}", told(*value), told(before))
                    });
                }
            }
        }
    }

    fn judge_jumps(&mut self) {
        for jump in std::mem::take(&mut self.jumps) {
            let Jump { process, key, from, to, inside } = jump;
            let back = to <= from;
            // Offsets that hold no record of the workload are not skipped.
            let skipped = if back { 0 } else { self.logs[key].range(from + 1..to).count() };
            let anomaly = match (back, inside) {
                (true, true) => Anomaly::IntNonmonotonicPoll,
                (true, false) => Anomaly::NonmonotonicPoll,
                (false, _) if skipped == 0 => continue,
                (false, true) => Anomaly::IntPollSkip,
                (false, false) => Anomaly::PollSkip,
            };
            let name = self.keys.name(key);
            self.verdict.add(anomaly, || {
                format!("process {process}, {name}: from {from} to {to}, over {skipped} records")
            });
        }
    }
}

/// A value as its producer and its number there.
fn told(value: u64) -> String {
    format!("{}:{}", value >> COUNT_BITS, value & ((1 << COUNT_BITS) - 1))
}
