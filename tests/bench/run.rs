//! A run: rounds in which the brokers take turns, so that what disturbs the machine disturbs them alike.
//!
//! The brokers that take load are started once, warmed up, and stay; in each round every figure is sampled on
//! every broker, in an order that changes by round. A figure that fails on one broker is noted and the run
//! goes on.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fetch;
use crate::figures::{Group, Results};
use crate::latency;
use crate::load::{self, PARTITIONS, Shape};
use crate::machine;
use crate::partitions;
use crate::peers::{Broker, Peer, Stand};
use crate::process;
use crate::progress::Progress;
use crate::sample::{self, Length, Sample};
use crate::startup;
use crate::topics::{self, NewTopic, THROWN_AWAY};

/// A JVM is warm when two samples in a row differ by less than this share.
const FLAT: f64 = 0.05;
/// A minute for the controller to make a topic is generous for all.
const TOPIC_LIMIT: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Figures.
    pub groups: Vec<Group>,
    /// Brokers.
    pub peers: Vec<Peer>,
    /// Rounds of everything but partitions.
    pub rounds: usize,
    /// Rounds of partitions, which take minutes on Kafka.
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
        let began = Instant::now();
        for round in 0..self.plan.partition_rounds {
            for peer in self.order(round) {
                if peer == Peer::Null {
                    continue;
                }
                let name = format!("many-{}-{round}", peer.name());
                let step = |what: &str| self.progress.step(&format!("{}: {what}", peer.name()));
                let seen = partitions::measure(self.stand, peer, &name, self.plan.partitions, step);
                if let Some(many) = self.keep("many partitions", peer, seen) {
                    self.put("many-create", peer, round, many.create_s);
                    self.put("many-restart", peer, round, many.restart_s);
                    self.put("many-killed", peer, round, many.killed_s);
                    self.put("many-rss", peer, round, many.rss_mib);
                }
            }
        }
        self.took(Group::Partitions.name(), began);
    }

    /// Everything that is measured on running brokers.
    fn loaded(&mut self) -> io::Result<()> {
        let groups = [Group::Produce, Group::Fetch, Group::Requests, Group::Latency];
        if !groups.iter().any(|group| self.wants(*group)) {
            return Ok(());
        }
        let began = Instant::now();
        let mut brokers = Vec::new();
        for peer in self.plan.peers.clone() {
            self.progress.step(&format!("starting and warming up {}", peer.name()));
            let ready = self.ready(peer);
            brokers.extend(self.keep("warm-up", peer, ready));
        }
        self.took("warm-up", began);
        for round in 0..self.plan.rounds {
            self.results.moods.push(machine::mood(self.stand.dir())?);
            let order = self.order(round);
            brokers.sort_by_key(|broker| order.iter().position(|peer| *peer == broker.peer));
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
        for mut broker in brokers {
            let peer = broker.peer;
            let peak = process::memory(broker.pid()).map(|memory| memory.peak_mib);
            if let Some(peak) = self.keep("rss-peak", peer, peak) {
                self.put("rss-peak", peer, 0, peak);
            }
            let gone = broker.process.terminate().and_then(|()| broker.remove());
            self.keep("stop", peer, gone);
        }
        Ok(())
    }

    fn throughput(
        &mut self,
        group: Group,
        shapes: &[(&'static str, Shape)],
        round: usize,
        brokers: &[Broker],
    ) {
        let began = Instant::now();
        for (id, shape) in shapes {
            for broker in brokers {
                let peer = broker.peer;
                self.progress.step(&format!("round {}: {id} on {}", round + 1, peer.name()));
                let seen = match group {
                    Group::Fetch => {
                        sample::take(broker.pid(), fetch::fetch(broker.port, id), read(self.plan.length))
                    }
                    _ => written(broker, &format!("{id}-{round}"), *shape, self.plan.length),
                };
                let Some(sample) = self.keep(id, peer, seen) else { continue };
                let value = match group {
                    Group::Requests => sample.requests_per_cpu(),
                    _ => sample.cpu_per_gb(),
                };
                self.put(id, peer, round, value);
                self.results.put_max("rss-load", peer, round, sample.memory.rss_mib);
                let raw =
                    json!({ "figure": id, "broker": peer.name(), "round": round, "raw": sample.json() });
                self.results.samples.push(raw);
            }
        }
        self.took(group.name(), began);
    }

    fn latency(&mut self, round: usize, brokers: &[Broker]) {
        let began = Instant::now();
        for broker in brokers {
            let peer = broker.peer;
            self.progress.step(&format!("round {}: latency of {}", round + 1, peer.name()));
            let seen = create(broker, "latency")
                .and_then(|()| latency::measure(broker.port, "latency", self.plan.latency));
            if let Some(seen) = self.keep("latency", peer, seen) {
                self.put("latency-p50", peer, round, seen.p50);
                self.put("latency-p99", peer, round, seen.p99);
                self.put("latency-p999", peer, round, seen.p999);
            }
        }
        self.took(Group::Latency.name(), began);
    }

    /// A broker that has seen every kind of load, a JVM until its CPU is flat under each.
    fn ready(&mut self, peer: Peer) -> io::Result<Broker> {
        let mut broker = self.stand.start(peer, peer.name())?;
        broker.await_metadata()?;
        let plan = self.plan;
        let length = Length { ready_pages: false, ..plan.length };
        for (group, shapes) in [(Group::Produce, PRODUCE), (Group::Requests, REQUESTS)] {
            for (id, shape) in shapes.iter().filter(|_| plan.groups.contains(&group)) {
                self.warm_up(peer, id, |number| {
                    written(&broker, &format!("warm-{id}-{number}"), *shape, length)
                })?;
            }
        }
        for (id, shape) in FETCH.iter().filter(|_| plan.groups.contains(&Group::Fetch)) {
            create(&broker, id)?;
            load::fill(broker.port, id, *shape, plan.fill_bytes)?;
            self.warm_up(peer, id, |_| {
                sample::take(broker.pid(), fetch::fetch(broker.port, id), read(length))
            })?;
        }
        Ok(broker)
    }

    /// Takes samples until two in a row agree, so that what a JVM still compiles is not measured; one
    /// sample of what has no JVM. The first of them is the cold figure, and all are told.
    fn warm_up(
        &mut self,
        peer: Peer,
        id: &str,
        mut sample: impl FnMut(usize) -> io::Result<Sample>,
    ) -> io::Result<()> {
        let mut seen: Vec<f64> = Vec::new();
        for number in 0..self.plan.warm_ups {
            let sample = sample(number)?;
            seen.push(sample.cpu_s / sample.requests as f64 * 1e6);
            let flat = matches!(seen[..], [.., before, last] if (last / before - 1.0).abs() < FLAT);
            if flat || peer != Peer::Kafka {
                break;
            }
        }
        let told: Vec<String> = seen.iter().map(|value| format!("{value:.1}")).collect();
        let note = format!("{} warmed up for {id} at {} CPU-us a request", peer.name(), told.join(", "));
        self.progress.tell(&note);
        self.results.notes.push(note);
        Ok(())
    }
}

fn create(broker: &Broker, name: &str) -> io::Result<()> {
    let topic = NewTopic { name, partitions: PARTITIONS, settings: THROWN_AWAY };
    topics::create(broker.port, &[topic], TOPIC_LIMIT)
}

/// The length of a sample that reads, and so fills no pages.
fn read(length: Length) -> Length {
    Length { bytes: u64::MAX, ..length }
}

/// A sample of producing to a topic made for it and deleted after it.
fn written(broker: &Broker, topic: &str, shape: Shape, length: Length) -> io::Result<Sample> {
    create(broker, topic)?;
    if !shape.one_record && length.ready_pages {
        machine::touch_free_memory(length.bytes + length.bytes / 4);
    }
    let sample = sample::take(broker.pid(), load::produce(broker.port, topic, shape), length)?;
    topics::delete(broker.port, topic)?;
    // Time for the files to go, for all alike.
    sleep(Duration::from_millis(1500).min(length.wall / 10));
    Ok(sample)
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
    };
    plan.peers.len() + plan.groups.iter().map(of).sum::<usize>()
}
