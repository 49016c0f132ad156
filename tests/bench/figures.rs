//! The figures: what each is, in which unit, and what is wanted of Ottla. And the results, by figure, broker
//! and round.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::peers::Peer;

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
    /// Three brokers that replicate.
    Cluster,
    /// The controller of 10,000 partitions killed.
    Failover,
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
            Group::Cluster => "cluster",
            Group::Failover => "failover",
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
    figure("cluster-16k", "cluster CPU, batches of 16 KiB", "CPU-s/GB", Wanted::Excess(0.5)),
    figure("cluster-64k", "cluster CPU, batches of 64 KiB", "CPU-s/GB", Wanted::Excess(0.5)),
    figure("cluster-p50", "cluster at 250/s of 4 KiB, p50", "ms", Wanted::Nothing),
    figure("cluster-p99", "cluster at 250/s of 4 KiB, p99", "ms", Wanted::AtMost(0.5)),
    figure("cluster-rss", "cluster: resident memory of three", "MiB", Wanted::Nothing),
    figure("failover", "controller killed: all led again", "s", Wanted::AtMost(0.25)),
    figure("failover-cpu", "the same: CPU of both survivors", "CPU-s", Wanted::Nothing),
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

    fn median(&self, id: &'static str, peer: Peer) -> Option<f64> {
        spread(&self.of(id, peer)).map(|spread| spread.median)
    }

    /// What Ottla and Kafka cost more than the null broker, by the medians of all rounds: differences of single rounds are
    /// smaller than what disturbs a round.
    pub fn excess(&self, id: &'static str) -> Option<[f64; 2]> {
        let null = self.median(id, Peer::Null)?;
        Some([self.median(id, Peer::Ottla)? - null, self.median(id, Peer::Kafka)? - null])
    }

    /// Whether Ottla does what is wanted.
    pub fn verdict(&self, figure: &Figure) -> Option<bool> {
        let to_kafka = || Some(self.ratio(figure.id, Peer::Ottla, Peer::Kafka)?.median);
        match figure.wanted {
            // As a difference, it is right also where Kafka costs no more than the null broker.
            Wanted::Excess(bound) => self.excess(figure.id).map(|[ottla, kafka]| ottla <= bound * kafka),
            Wanted::AtMost(bound) => to_kafka().map(|seen| seen <= bound),
            Wanted::AtLeast(bound) => to_kafka().map(|seen| seen >= bound),
            Wanted::Limit(bound) => self.median(figure.id, Peer::Ottla).map(|seen| seen <= bound),
            Wanted::Nothing => None,
        }
    }
}
