//! A run: rounds in which the brokers take turns, so that what disturbs the machine disturbs them alike.
//!
//! The brokers that take load are started once, warmed up, and stay; in each round every figure is sampled on
//! every broker, in an order that changes by round. A figure that fails on one broker is noted and the run
//! goes on.

use std::io;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster;
use crate::failover;
use crate::figures::{Group, Results};
use crate::latency;
use crate::load::{self, PARTITIONS, Shape};
use crate::machine;
use crate::partitions;
use crate::peers::{Cluster, Peer, Stand};
use crate::process;
use crate::progress::Progress;
use crate::sample::{self, Length, Sample};
use crate::startup;
use crate::topics::{self, NewTopic, THROWN_AWAY};

/// A JVM is warm when two samples in a row differ by less than this share.
const FLAT: f64 = 0.05;
/// Requests a second whose latency is measured.
const RATE: u64 = 1000;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Figures.
    pub groups: Vec<Group>,
    /// Brokers.
    pub peers: Vec<Peer>,
    /// Rounds of everything but partitions and fail-over.
    pub rounds: usize,
    /// Rounds of partitions and of fail-over, which take minutes on Kafka.
    pub partition_rounds: usize,
    /// Of each sample.
    pub length: Length,
    /// Longest warm-up of a broker, in samples.
    pub warm_ups: usize,
    /// Bytes in a topic that is read.
    pub fill_bytes: u64,
    /// Of each latency measurement.
    pub latency: Duration,
    /// Before idle memory is read.
    pub idle: Duration,
    /// Partitions that count as many.
    pub partitions: i32,
}

const fn bulk(batch_bytes: usize) -> Shape {
    Shape { batch_bytes, one_record: false, connections: PARTITIONS as usize, in_flight: 5 }
}

const fn small(in_flight: usize) -> Shape {
    Shape { batch_bytes: 180, one_record: true, connections: 8, in_flight }
}

/// 1 MB stays below the default `message.max.bytes` of 1,048,588.
const PRODUCE: &[(&str, Shape)] =
    &[("produce-16k", bulk(16 << 10)), ("produce-64k", bulk(64 << 10)), ("produce-1m", bulk(1_000_000))];
const FETCH: &[(&str, Shape)] =
    &[("fetch-16k", bulk(16 << 10)), ("fetch-64k", bulk(64 << 10)), ("fetch-1m", bulk(1_000_000))];
const REQUESTS: &[(&str, Shape)] = &[("requests-1", small(1)), ("requests-8", small(8))];

/// Measures a broker, or a cluster of a name, with so many partitions, and tells of its steps.
type MeasureMany<T> = fn(&Stand, Peer, &str, i32, &dyn Fn(&str)) -> io::Result<T>;

/// A run in progress.
pub struct Run<'a> {
    plan: &'a Plan,
    stand: &'a Stand,
    progress: Progress,
    /// What has been seen so far.
    pub results: Results,
}

impl<'a> Run<'a> {
    /// Nothing measured yet.
    pub fn new(plan: &'a Plan, stand: &'a Stand) -> Run<'a> {
        Run { plan, stand, progress: Progress::new(steps(plan)), results: Results::default() }
    }

    fn wants(&self, group: Group) -> bool {
        self.plan.groups.contains(&group)
    }

    /// The brokers in the order of a round: A B N, B N A, N A B, ...
    fn order(&self, round: usize) -> Vec<Peer> {
        let mut order = self.plan.peers.clone();
        order.rotate_left(round % self.plan.peers.len().max(1));
        order
    }

    /// Keeps a value and tells it.
    fn put(&mut self, id: &'static str, peer: Peer, round: usize, value: f64) {
        self.progress.tell(&format!("round {} {id} {}: {value:.3}", round + 1, peer.name()));
        self.results.put(id, peer, round, value);
    }

    /// Notes what failed; the run goes on.
    fn keep<T>(&mut self, what: &str, peer: Peer, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let failure = format!("{} {what}: {error}", peer.name());
                self.progress.tell(&failure);
                self.results.failures.push(failure);
                None
            }
        }
    }

    /// Measures all that the plan asks for.
    pub fn all(&mut self) -> io::Result<()> {
        if self.wants(Group::Startup) {
            self.startup();
        }
        self.loaded()?;
        if self.wants(Group::Partitions) {
            self.partitions();
        }
        if self.wants(Group::Cluster) {
            self.clusters()?;
        }
        if self.wants(Group::Failover) {
            self.failover();
        }
        Ok(())
    }

    fn took(&mut self, what: &'static str, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        match self.results.took.iter_mut().find(|(name, _)| *name == what) {
            Some((_, sum)) => *sum += seconds,
            None => self.results.took.push((what, seconds)),
        }
    }

    fn startup(&mut self) {
        let began = Instant::now();
        for round in 0..self.plan.rounds {
            for peer in self.order(round) {
                if peer == Peer::Null {
                    continue;
                }
                self.progress.step(&format!("round {}: starting {}", round + 1, peer.name()));
                let name = format!("start-{}-{round}", peer.name());
                let seen = startup::measure(self.stand, peer, &name, self.plan.idle);
                if let Some(start) = self.keep("start", peer, seen) {
                    self.put("start", peer, round, start.metadata_ms);
                    self.put("rss-idle", peer, round, start.idle_mib);
                }
                if peer == Peer::Ottla {
                    let seen = startup::measure_dev(self.stand, &format!("dev-{round}"), self.plan.idle);
                    if let Some(start) = self.keep("dev-start", peer, seen) {
                        self.put("dev-start", peer, round, start.metadata_ms);
                        self.put("dev-rss", peer, round, start.idle_mib);
                    }
                }
            }
        }
        self.took(Group::Startup.name(), began);
    }

    fn partitions(&mut self) {
        self.of_many(Group::Partitions, "many partitions", partitions::measure, |run, peer, round, many| {
            run.put("many-create", peer, round, many.create_s);
            run.put("many-restart", peer, round, many.restart_s);
            run.put("many-killed", peer, round, many.killed_s);
            run.put("many-rss", peer, round, many.rss_mib);
        });
    }

    fn failover(&mut self) {
        self.of_many(Group::Failover, "fail-over", failover::measure, |run, peer, round, seen| {
            run.put("failover", peer, round, seen.led_s);
            run.put("failover-cpu", peer, round, seen.cpu_s);
        });
    }

    /// Measures each broker of its own start with many partitions.
    fn of_many<T>(
        &mut self,
        group: Group,
        what: &str,
        measure: MeasureMany<T>,
        put: impl Fn(&mut Self, Peer, usize, T),
    ) {
        let began = Instant::now();
        for round in 0..self.plan.partition_rounds {
            for peer in self.order(round).into_iter().filter(|peer| *peer != Peer::Null) {
                let name = format!("{}-{}-{round}", group.name(), peer.name());
                let step = |what: &str| self.progress.step(&format!("{}: {what}", peer.name()));
                let seen = measure(self.stand, peer, &name, self.plan.partitions, &step);
                if let Some(seen) = self.keep(what, peer, seen) {
                    put(self, peer, round, seen);
                }
            }
        }
        self.took(group.name(), began);
    }

    /// Everything that is measured on three brokers that replicate.
    fn clusters(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let mut clusters = self.warm(Run::ready_cluster);
        for round in 0..self.plan.rounds {
            self.begin(round, &mut clusters)?;
            for (id, shape) in cluster::LOADS {
                for cluster in &clusters {
                    self.replicated(id, *shape, round, cluster);
                }
            }
            for cluster in clusters.iter().filter(|cluster| cluster.peer != Peer::Null) {
                let peer = cluster.peer;
                self.progress.step(&format!("round {}: latency of three {}", round + 1, peer.name()));
                let others: Vec<&Cluster> = clusters.iter().filter(|other| other.peer != peer).collect();
                let seen = cluster::latency(cluster, &others, self.plan.latency);
                if let Some(seen) = self.keep("cluster latency", peer, seen) {
                    self.put("cluster-p50", peer, round, seen.p50);
                    self.put("cluster-p99", peer, round, seen.p99);
                }
            }
        }
        for cluster in clusters {
            let peer = cluster.peer;
            let gone = cluster.remove();
            self.keep("stop", peer, gone);
        }
        self.took(Group::Cluster.name(), began);
        Ok(())
    }

    fn replicated(&mut self, id: &'static str, shape: Shape, round: usize, cluster: &Cluster) {
        let peer = cluster.peer;
        self.progress.step(&format!("round {}: {id} on {}", round + 1, peer.name()));
        let seen = cluster::cost(cluster, id, round, shape, self.plan.length);
        let Some(cost) = self.keep(id, peer, seen) else { return };
        self.put(id, peer, round, cost.cpu_per_gb);
        for sample in &cost.samples {
            if peer != Peer::Null {
                self.results.put_max("cluster-rss", peer, round, sample.memory.rss_mib);
            }
            self.keep_raw(id, peer, round, sample);
        }
    }

    fn ready_cluster(&mut self, peer: Peer) -> io::Result<Cluster> {
        let cluster = cluster::start(self.stand, peer, self.plan.fill_bytes)?;
        let plan = self.plan;
        let length = Length { ready_pages: false, ..plan.length };
        for (id, shape) in cluster::LOADS {
            self.warm_up(peer, id, plan.warm_ups * cluster.brokers.len(), |number| {
                cluster::produce(&cluster, &format!("warm-{id}-{number}"), *shape, length)
            })?;
        }
        if peer != Peer::Null {
            cluster::latency(&cluster, &[], plan.latency)?;
        }
        Ok(cluster)
    }

    /// Everything that is measured on running brokers.
    fn loaded(&mut self) -> io::Result<()> {
        let groups = [Group::Produce, Group::Fetch, Group::Requests, Group::Latency];
        if !groups.iter().any(|group| self.wants(*group)) {
            return Ok(());
        }
        let began = Instant::now();
        let mut brokers = self.warm(Run::ready);
        self.took("warm-up", began);
        for round in 0..self.plan.rounds {
            self.begin(round, &mut brokers)?;
            for (group, shapes) in
                [(Group::Produce, PRODUCE), (Group::Fetch, FETCH), (Group::Requests, REQUESTS)]
            {
                if self.wants(group) {
                    self.throughput(group, shapes, round, &brokers);
                }
            }
            if self.wants(Group::Latency) {
                self.latency(round, &brokers);
            }
        }
        for broker in brokers {
            let peer = broker.peer;
            let peak = process::memory(&broker.pids()).map(|memory| memory.peak_mib);
            if let Some(peak) = self.keep("rss-peak", peer, peak) {
                self.put("rss-peak", peer, 0, peak);
            }
            let gone = broker.stop();
            self.keep("stop", peer, gone);
        }
        Ok(())
    }

    /// The brokers, or clusters, that stay for all rounds, each made ready.
    fn warm(&mut self, ready: fn(&mut Self, Peer) -> io::Result<Cluster>) -> Vec<Cluster> {
        let mut clusters = Vec::new();
        for peer in self.plan.peers.clone() {
            self.progress.step(&format!("starting and warming up {}", peer.name()));
            let cluster = ready(self, peer);
            clusters.extend(self.keep("warm-up", peer, cluster));
        }
        clusters
    }

    /// Notes the machine's mood before a round and puts the brokers in its order.
    fn begin(&mut self, round: usize, clusters: &mut [Cluster]) -> io::Result<()> {
        self.results.moods.push(machine::mood(self.stand.dir())?);
        let order = self.order(round);
        clusters.sort_by_key(|cluster| order.iter().position(|peer| *peer == cluster.peer));
        Ok(())
    }

    fn throughput(
        &mut self,
        group: Group,
        shapes: &[(&'static str, Shape)],
        round: usize,
        brokers: &[Cluster],
    ) {
        let began = Instant::now();
        for (id, shape) in shapes {
            for broker in brokers {
                let peer = broker.peer;
                self.progress.step(&format!("round {}: {id} on {}", round + 1, peer.name()));
                let seen = match group {
                    Group::Fetch => sample::of_fetching(broker, alone(id), self.plan.length),
                    _ => {
                        let name = format!("{id}-{round}");
                        sample::of_producing(broker, alone(&name), *shape, self.plan.length)
                    }
                };
                let Some(sample) = self.keep(id, peer, seen) else { continue };
                let value = match group {
                    Group::Requests => sample.requests_per_cpu(),
                    _ => sample.cpu_per_gb(),
                };
                self.put(id, peer, round, value);
                self.results.put_max("rss-load", peer, round, sample.memory.rss_mib);
                self.keep_raw(id, peer, round, &sample);
            }
        }
        self.took(group.name(), began);
    }

    fn keep_raw(&mut self, id: &str, peer: Peer, round: usize, sample: &Sample) {
        let raw = json!({ "figure": id, "broker": peer.name(), "round": round, "raw": sample.json() });
        self.results.samples.push(raw);
    }

    fn latency(&mut self, round: usize, brokers: &[Cluster]) {
        let began = Instant::now();
        for broker in brokers {
            let peer = broker.peer;
            self.progress.step(&format!("round {}: latency of {}", round + 1, peer.name()));
            let seen = topics::ready(broker.port, alone("latency"))
                .and_then(|target| latency::measure(&target, RATE, self.plan.latency));
            if let Some(seen) = self.keep("latency", peer, seen) {
                self.put("latency-p50", peer, round, seen.p50);
                self.put("latency-p99", peer, round, seen.p99);
                self.put("latency-p999", peer, round, seen.p999);
            }
        }
        self.took(Group::Latency.name(), began);
    }

    /// A broker that has seen every kind of load, a JVM until its CPU is flat under each.
    fn ready(&mut self, peer: Peer) -> io::Result<Cluster> {
        let broker = self.stand.start_cluster(peer, peer.name(), 1, "")?;
        let plan = self.plan;
        let length = Length { ready_pages: false, ..plan.length };
        for (group, shapes) in [(Group::Produce, PRODUCE), (Group::Requests, REQUESTS)] {
            for (id, shape) in shapes.iter().filter(|_| plan.groups.contains(&group)) {
                self.warm_up(peer, id, plan.warm_ups, |number| {
                    let name = format!("warm-{id}-{number}");
                    sample::of_producing(&broker, alone(&name), *shape, length)
                })?;
            }
        }
        for (id, shape) in FETCH.iter().filter(|_| plan.groups.contains(&Group::Fetch)) {
            load::fill(topics::ready(broker.port, alone(id))?, *shape, plan.fill_bytes)?;
            self.warm_up(peer, id, plan.warm_ups, |_| sample::of_fetching(&broker, alone(id), length))?;
        }
        Ok(broker)
    }

    /// Takes samples until two in a row agree, so that what a JVM still compiles is not measured; one
    /// sample of what has no JVM. The first of them is the cold figure, and all are told.
    fn warm_up(
        &mut self,
        peer: Peer,
        id: &str,
        limit: usize,
        mut sample: impl FnMut(usize) -> io::Result<Sample>,
    ) -> io::Result<()> {
        let mut seen: Vec<f64> = Vec::new();
        let mut flat = peer != Peer::Kafka;
        for number in 0..limit {
            let sample = sample(number)?;
            seen.push(sample.cpu_s / sample.requests as f64 * 1e6);
            flat |= matches!(seen[..], [.., before, last] if (last / before - 1.0).abs() < FLAT);
            if flat {
                break;
            }
        }
        let told: Vec<String> = seen.iter().map(|value| format!("{value:.1}")).collect();
        let warm = if flat { "" } else { "; NOT FLAT: its figures may be of a JVM that still compiles" };
        let note =
            format!("{} warmed up for {id} at {} CPU-us a request{warm}", peer.name(), told.join(", "));
        self.progress.tell(&note);
        self.results.notes.push(note);
        Ok(())
    }
}

/// A topic of a broker that is alone.
fn alone(name: &str) -> NewTopic<'_> {
    NewTopic { name, partitions: PARTITIONS, replicas: 1, settings: THROWN_AWAY }
}

fn steps(plan: &Plan) -> usize {
    let real = plan.peers.iter().filter(|peer| **peer != Peer::Null).count();
    let of = |group: &Group| match group {
        Group::Startup => plan.rounds * real,
        Group::Produce => plan.rounds * plan.peers.len() * PRODUCE.len(),
        Group::Fetch => plan.rounds * plan.peers.len() * FETCH.len(),
        Group::Requests => plan.rounds * plan.peers.len() * REQUESTS.len(),
        Group::Latency => plan.rounds * plan.peers.len(),
        Group::Partitions => plan.partition_rounds * real * 6,
        Group::Cluster => plan.peers.len() + plan.rounds * (plan.peers.len() * cluster::LOADS.len() + real),
        Group::Failover => plan.partition_rounds * real * (3 + partitions::names(plan.partitions).len()),
    };
    plan.peers.len() + plan.groups.iter().map(of).sum::<usize>()
}
