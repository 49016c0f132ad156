//! The figures: what each is, in which unit, and what is wanted of Ottla. And the results, by figure, broker
//! and round.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::peers::Peer;

/// Kafka's cost over the null broker's above which a round says something about the excess.
const KAFKA_STANDS_OUT: f64 = 1.1;

/// Figures that are measured together and chosen together on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Group {
    /// Starting, and memory while idle.
    Startup,
    /// CPU per GB produced.
    Produce,
    /// CPU per GB consumed.
    Fetch,
    /// Small requests per CPU-second.
    Requests,
    /// Latency at a fixed rate.
    Latency,
    /// 10,000 partitions.
    Partitions,
}

impl Group {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Group::Startup => "startup",
            Group::Produce => "produce",
            Group::Fetch => "fetch",
            Group::Requests => "requests",
            Group::Latency => "latency",
            Group::Partitions => "partitions",
        }
    }
}

/// What is wanted of Ottla, as a ratio of the same round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// (Ottla - null) / (Kafka - null) at most this.
    Excess(f64),
    /// Ottla / Kafka at most this.
    AtMost(f64),
    /// Ottla / Kafka at least this.
    AtLeast(f64),
    /// Ottla itself at most this, whatever Kafka does.
    Limit(f64),
    /// Nothing: it is told beside the others.
    Nothing,
}

/// One row of the table.
#[derive(Debug)]
pub struct Figure {
    /// Name in the data.
    pub id: &'static str,
    /// Name in the table.
    pub title: &'static str,
    /// Of the values.
    pub unit: &'static str,
    /// Of Ottla.
    pub wanted: Wanted,
}

const fn figure(id: &'static str, title: &'static str, unit: &'static str, wanted: Wanted) -> Figure {
    Figure { id, title, unit, wanted }
}

/// All figures, in the order of the table.
pub static FIGURES: &[Figure] = &[
    figure("produce-16k", "produce, batches of 16 KiB", "CPU-s/GB", Wanted::Excess(1.0 / 3.0)),
    figure("produce-64k", "produce, batches of 64 KiB", "CPU-s/GB", Wanted::Excess(1.0 / 3.0)),
    figure("produce-1m", "produce, batches of 1 MB", "CPU-s/GB", Wanted::Excess(1.0 / 3.0)),
    figure("fetch-16k", "fetch, batches of 16 KiB", "CPU-s/GB", Wanted::AtMost(1.0)),
    figure("fetch-64k", "fetch, batches of 64 KiB", "CPU-s/GB", Wanted::AtMost(1.0)),
    figure("fetch-1m", "fetch, batches of 1 MB", "CPU-s/GB", Wanted::AtMost(1.0)),
    figure("requests-1", "1-record requests, one at a time", "1/CPU-s", Wanted::AtLeast(2.0)),
    figure("requests-8", "1-record requests, 8 in flight", "1/CPU-s", Wanted::AtLeast(2.0)),
    figure("latency-p50", "latency at 1,000/s of 4 KiB, p50", "ms", Wanted::Nothing),
    figure("latency-p99", "latency at 1,000/s of 4 KiB, p99", "ms", Wanted::AtMost(1.0)),
    figure("latency-p999", "latency at 1,000/s of 4 KiB, p99.9", "ms", Wanted::Nothing),
    figure("rss-load", "resident memory under load", "MiB", Wanted::AtMost(0.1)),
    figure("rss-peak", "resident memory, peak", "MiB", Wanted::Nothing),
    figure("rss-idle", "resident memory, idle", "MiB", Wanted::AtMost(0.1)),
    figure("start", "exec to first Metadata", "ms", Wanted::AtMost(0.1)),
    figure("dev-start", "ottla dev: exec to first Metadata", "ms", Wanted::Limit(150.0)),
    figure("dev-rss", "ottla dev: resident memory, idle", "MiB", Wanted::Limit(30.0)),
    figure("many-create", "many partitions: create", "s", Wanted::AtMost(0.25)),
    figure("many-restart", "many partitions: clean restart", "s", Wanted::AtMost(0.1)),
    figure("many-killed", "many partitions: restart after SIGKILL", "s", Wanted::AtMost(0.2)),
    figure("many-rss", "many partitions: resident memory", "MiB", Wanted::AtMost(0.25)),
];

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// The spread of some values, if there are any.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    Some(Spread { median, min, max })
}

/// What was measured.
#[derive(Default)]
pub struct Results {
    values: BTreeMap<(&'static str, Peer), BTreeMap<usize, f64>>,
    /// Raw samples.
    pub samples: Vec<Value>,
    /// The machine before each round.
    pub moods: Vec<Value>,
    /// Seconds each part took.
    pub took: Vec<(&'static str, f64)>,
    /// What a reader must know beside the table.
    pub notes: Vec<String>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

impl Results {
    /// Keeps a value.
    pub fn put(&mut self, id: &'static str, peer: Peer, round: usize, value: f64) {
        debug_assert!(FIGURES.iter().any(|figure| figure.id == id), "{id} is no figure");
        self.values.entry((id, peer)).or_default().insert(round, value);
    }

    /// Keeps the greatest value of a round.
    pub fn put_max(&mut self, id: &'static str, peer: Peer, round: usize, value: f64) {
        let kept = self.values.entry((id, peer)).or_default().entry(round).or_insert(value);
        *kept = kept.max(value);
    }

    /// The values of all rounds.
    pub fn of(&self, id: &'static str, peer: Peer) -> Vec<f64> {
        self.values.get(&(id, peer)).map(|rounds| rounds.values().copied().collect()).unwrap_or_default()
    }

    /// `combine` applied to the peers' values of each round that has them all.
    fn by_round<const N: usize>(
        &self,
        id: &'static str,
        peers: [Peer; N],
        combine: impl Fn([f64; N]) -> f64,
    ) -> Vec<f64> {
        let Some(rounds) = self.values.get(&(id, peers[0])) else { return Vec::new() };
        let all = |round: &usize| {
            let mut values = [0.0; N];
            for (value, peer) in values.iter_mut().zip(peers) {
                *value = *self.values.get(&(id, peer))?.get(round)?;
            }
            Some(combine(values))
        };
        rounds.keys().filter_map(all).collect()
    }

    /// The ratio of two brokers, round by round.
    pub fn ratio(&self, id: &'static str, of: Peer, to: Peer) -> Option<Spread> {
        spread(&self.by_round(id, [of, to], |[of, to]| of / to))
    }

    /// (Ottla - null) / (Kafka - null), round by round. Rounds in which Kafka does not stand out from the
    /// null broker are left out: what disturbed them is larger than what is measured.
    pub fn excess(&self, id: &'static str) -> Option<Spread> {
        let peers = [Peer::Ottla, Peer::Kafka, Peer::Null];
        let excess = |[ottla, kafka, null]: [f64; 3]| {
            if kafka > null * KAFKA_STANDS_OUT { (ottla - null) / (kafka - null) } else { f64::NAN }
        };
        let mut rounds = self.by_round(id, peers, excess);
        rounds.retain(|excess| excess.is_finite());
        spread(&rounds)
    }

    /// Rounds that [`Results::excess`] leaves out, and rounds in all.
    pub fn left_out(&self, id: &'static str) -> (usize, usize) {
        let rounds = self.by_round(id, [Peer::Kafka, Peer::Null], |[kafka, null]| kafka / null);
        (rounds.iter().filter(|ratio| **ratio <= KAFKA_STANDS_OUT).count(), rounds.len())
    }

    /// The number that is held against what is wanted, and whether its median meets it; nothing if half of
    /// the rounds or more had to be left out.
    pub fn verdict(&self, figure: &Figure) -> Option<(Spread, bool)> {
        let (seen, met): (Option<Spread>, fn(f64, f64) -> bool) = match figure.wanted {
            Wanted::Excess(_) => {
                let (left_out, rounds) = self.left_out(figure.id);
                if 2 * left_out >= rounds {
                    return None;
                }
                (self.excess(figure.id), |seen, wanted| seen <= wanted)
            }
            Wanted::AtMost(_) => {
                (self.ratio(figure.id, Peer::Ottla, Peer::Kafka), |seen, wanted| seen <= wanted)
            }
            Wanted::AtLeast(_) => {
                (self.ratio(figure.id, Peer::Ottla, Peer::Kafka), |seen, wanted| seen >= wanted)
            }
            Wanted::Limit(_) => (spread(&self.of(figure.id, Peer::Ottla)), |seen, wanted| seen <= wanted),
            Wanted::Nothing => return None,
        };
        let seen = seen?;
        Some((seen, met(seen.median, figure.wanted.bound()?)))
    }
}

impl Wanted {
    /// The number in it.
    pub fn bound(self) -> Option<f64> {
        match self {
            Wanted::Excess(bound) | Wanted::AtMost(bound) | Wanted::AtLeast(bound) | Wanted::Limit(bound) => {
                Some(bound)
            }
            Wanted::Nothing => None,
        }
    }
}
