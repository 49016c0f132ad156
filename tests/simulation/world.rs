//! The world: one queue of events on simulated time, in which hosts, wires and ZooKeeper meet.
//!
//! One thread, one seed: whatever is left to chance is drawn from it, in the order of the queue, so a seed is a run.
//! What was sent is delivered late, broken off, or to nobody; it is never changed. After each step of a broker the
//! oracle looks at it.

mod wires;
mod zookeeper;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use ottla::clock::{ManualClock, Timestamp};
use ottla_zk::jute::{ErrorCode, Reply, Request, WatchEvent};
use ottla_zk::store::SessionEvent;
use ottla_zk::tree::Fired;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};

use crate::clients::Told;
use crate::ensemble::Ensemble;
use crate::faults::{Mend, Swarm};
use crate::host::{End, Host, Process};
use crate::network::{Out, PORTS, attach, serve};
use crate::oracle::{Oracle, Written};
use crate::store;

/// Brokers.
pub const BROKERS: usize = 4;
/// Replicas of a partition.
pub const REPLICAS: usize = 3;
/// When the world begins.
pub const BEGIN: i64 = 1_700_000_000_000;
/// How often a host is driven when nothing arrives for it.
const TICK_MS: i64 = 25;
/// Most of a message's time on the wire once all is mended.
const HEALTHY_MS: i64 = 3;
const SESSION_MS: i32 = 4_000;
const BEAT_MS: i64 = 500;
/// Lines kept for the report of a failure.
const LINES: usize = 60_000;

/// A process: host, and which of its lives.
pub type Address = (usize, u64);
type ZkAnswer = oneshot::Sender<Result<Reply, ErrorCode>>;
type Dialled = oneshot::Sender<io::Result<DuplexStream>>;

/// What is on its way, or will happen by itself.
pub enum Event {
    Tick(usize),
    ZkArrive {
        from: Address,
        session: i64,
        watcher: u64,
        request: Box<Request>,
        answer: ZkAnswer,
    },
    ZkAnswer {
        to: Address,
        watcher: u64,
        result: Result<Reply, ErrorCode>,
        answer: ZkAnswer,
    },
    ZkFired {
        to: Address,
        watcher: u64,
        event: WatchEvent,
    },
    ZkBreak {
        to: Address,
        watcher: u64,
    },
    ZkConnect {
        to: Address,
    },
    ZkBeat,
    DialArrive {
        from: Address,
        port: u16,
        answer: Dialled,
    },
    DialDone {
        to: Address,
        conn: u64,
        answer: Dialled,
    },
    /// A dial into the void ends.
    DialLost(#[expect(dead_code, reason = "dropping it is the event")] Dialled),
    Frame {
        conn: u64,
        bytes: Bytes,
    },
    /// A request whose connection is gone, at a proxy that does not know it yet.
    Late {
        to: Address,
        bytes: Bytes,
    },
    Served {
        conn: u64,
        bytes: Option<Bytes>,
    },
    Break {
        conn: u64,
    },
    Start(usize),
    Resume(usize),
    Fault,
    Mend(Mend),
    Admin,
}

/// A connection; `answers` is gone once it is broken.
pub struct Conn {
    pub from: Address,
    pub to: Address,
    answers: Option<mpsc::UnboundedSender<Bytes>>,
    up: i64,
    down: i64,
}

/// See the module.
pub struct World {
    pub random: Rng,
    pub now: i64,
    queue: BTreeMap<(i64, u64), Event>,
    sequence: u64,
    pub clock: Arc<ManualClock>,
    pub zk: Ensemble,
    /// Host 0 is the clients'.
    pub hosts: Vec<Host>,
    pub conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    pub swarm: Swarm,
    /// Directions in which nothing passes, and until when.
    pub cuts: BTreeMap<(usize, usize), i64>,
    /// Hosts that cannot reach ZooKeeper.
    pub zk_cuts: BTreeSet<usize>,
    pub zk_is_down: bool,
    /// The broker that was last stopped in order.
    pub last_stopped: Option<usize>,
    /// Faults are over.
    pub healed: bool,
    pub oracle: Oracle,
    pub told: Arc<Told>,
    pub topics: crate::admin::Topics,
    hash: u64,
    pub events: u64,
    /// The last things that happened, if anybody wants to read them.
    pub lines: Option<VecDeque<String>>,
}

impl World {
    /// A world of switched-off brokers.
    pub fn new(seed: u64, keep_lines: bool) -> World {
        let mut random = Rng::with_seed(seed);
        let swarm = Swarm::draw(&mut random);
        let mut hosts: Vec<Host> =
            (0..=BROKERS).map(|id| Host::new(id as i32, seed ^ (id as u64) << 48, BEGIN)).collect();
        hosts[0].process = Some(Process::new(BEGIN));
        World {
            random,
            now: BEGIN,
            queue: BTreeMap::new(),
            sequence: 0,
            clock: Arc::new(ManualClock::at(Timestamp(BEGIN))),
            zk: Ensemble::new(BEGIN),
            hosts,
            conns: BTreeMap::new(),
            next_conn: 0,
            swarm,
            cuts: BTreeMap::new(),
            zk_cuts: BTreeSet::new(),
            zk_is_down: false,
            last_stopped: None,
            healed: false,
            oracle: Oracle::default(),
            told: Arc::default(),
            topics: crate::admin::Topics::default(),
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            lines: keep_lines.then(VecDeque::new),
        }
    }

    /// A number that two runs of a seed share.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
    }

    /// Notes what happened.
    pub fn note(&mut self, line: impl FnOnce(&World) -> String) {
        if self.lines.is_none() {
            return;
        }
        let text = format!("{:>7} {}", self.now - BEGIN, line(self));
        tracing::info!(target: "world", "{text}");
        if let Some(lines) = &mut self.lines {
            lines.push_back(text);
            if lines.len() > LINES {
                lines.pop_front();
            }
        }
    }

    /// Puts an event on the queue.
    pub fn at(&mut self, when: i64, event: Event) {
        self.sequence += 1;
        self.queue.insert((when.max(self.now), self.sequence), event);
    }

    /// How long something takes on the wire.
    pub fn delay(&mut self) -> i64 {
        if !self.healed && self.random.f64() < self.swarm.spikes {
            return self.random.i64(1..=self.swarm.spike_ms);
        }
        self.random.i64(1..=if self.healed { HEALTHY_MS } else { self.swarm.delay_ms })
    }

    fn address(&self, host: usize) -> Address {
        (host, self.hosts[host].life)
    }

    /// Whether a packet gets from one host to another.
    fn passes(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_none_or(|until| *until <= self.now)
    }

    /// Lets time go on to the next event; false when there is none before `until`.
    pub fn step(&mut self, until: i64) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) else {
            self.clock.advance_ms((until - self.now).max(0));
            self.now = self.now.max(until);
            return false;
        };
        let ((when, _), event) = entry.remove_entry();
        self.clock.advance_ms(when - self.now);
        self.now = when;
        self.events += 1;
        if let Some((host, life)) = self.addressee(&event) {
            if self.hosts[host].life != life || self.hosts[host].process.is_none() {
                self.undelivered(event);
                return true;
            }
            if self.hosts[host].paused {
                self.hosts[host].held.push_back(event);
                return true;
            }
        }
        if let Some(host) = self.handle(event) {
            self.drive(host);
        }
        true
    }

    /// The process that an event is for.
    fn addressee(&self, event: &Event) -> Option<Address> {
        match event {
            Event::ZkAnswer { to, .. }
            | Event::ZkFired { to, .. }
            | Event::ZkBreak { to, .. }
            | Event::ZkConnect { to }
            | Event::DialDone { to, .. } => Some(*to),
            Event::Frame { conn, .. } => self.conns.get(conn).map(|conn| conn.to),
            Event::Served { conn, .. } | Event::Break { conn } => self.conns.get(conn).map(|conn| conn.from),
            _ => None,
        }
    }

    /// For a process that is gone. A proxy on the way may hand a request to the next one.
    fn undelivered(&mut self, event: Event) {
        if let Event::Frame { conn, bytes } = event {
            let Some(to) = self.conns.get(&conn).map(|conn| conn.to) else { return };
            if self.swarm.proxy {
                let pause = self.random.i64(1..6_000);
                self.at(self.now + pause, Event::Late { to, bytes });
            }
            let when = self.now + self.delay();
            self.at(when, Event::Break { conn });
        }
    }

    /// Does what an event says; the host that has to be driven.
    fn handle(&mut self, event: Event) -> Option<usize> {
        match event {
            Event::Tick(host) => {
                self.at(self.now + TICK_MS, Event::Tick(host));
                (!self.hosts[host].paused).then_some(host)
            }
            Event::ZkArrive { from, session, watcher, request, answer } => {
                self.zk_arrive(from, (session, watcher), &request, answer);
                None
            }
            Event::ZkAnswer { to, watcher, result, answer } => {
                if self.watcher(to.0) == Some(watcher) {
                    // The asker may have given up.
                    let _gone = answer.send(result);
                }
                Some(to.0)
            }
            Event::ZkFired { to, watcher, event } => {
                if let Some(process) =
                    self.hosts[to.0].process.as_ref().filter(|_| self.watcher(to.0) == Some(watcher))
                {
                    process.store.fired(&event);
                }
                Some(to.0)
            }
            Event::ZkBreak { to, watcher } => {
                if self.watcher(to.0) == Some(watcher) {
                    self.break_zk(to.0);
                }
                Some(to.0)
            }
            Event::ZkConnect { to } => self.zk_connect(to),
            Event::ZkBeat => {
                self.beat();
                None
            }
            Event::DialArrive { from, port, answer } => {
                self.dial_arrive(from, port, answer);
                None
            }
            Event::DialDone { to, conn, answer } => {
                let process = self.hosts[to.0].process.as_ref()?;
                let (stream, answers) = attach(&process.runtime, conn, &process.outbox);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.answers = Some(answers);
                }
                let _gone = answer.send(Ok(stream));
                Some(to.0)
            }
            Event::Frame { conn, bytes } => self.frame(conn, bytes),
            Event::Late { to, bytes } => self.late(to, bytes),
            Event::Served { conn, bytes } => self.served(conn, bytes),
            Event::Break { conn } => self.conns.remove(&conn).map(|conn| conn.from.0),
            Event::DialLost(_) => None,
            Event::Start(host) => {
                self.start(host);
                None
            }
            Event::Resume(host) => {
                self.resume(host);
                Some(host)
            }
            Event::Fault => {
                self.fault();
                None
            }
            Event::Mend(mend) => {
                self.mend(mend);
                None
            }
            Event::Admin => {
                self.administrate();
                None
            }
        }
    }

    /// Lets a process do what it has to do now, and takes what it wants of the world.
    fn drive(&mut self, host: usize) {
        let now = self.now;
        let paused = self.hosts[host].paused;
        let _where_and_when = tracing::info_span!("at", ms = now - BEGIN, host).entered();
        let Some(process) = self.hosts[host].process.as_mut().filter(|_| !paused) else { return };
        process.drive(now);
        let (mut out, ended) = (process.outbox.drain(), process.status.ended());
        // Those who wait for one thing are woken in an order that tokio draws by itself.
        out.sort_by_key(|wish| if let Out::Served { conn, .. } = wish { *conn } else { 0 });
        self.mix((now as u64) << 8 | host as u64);
        self.mix(out.len() as u64);
        let from = self.address(host);
        for wish in out {
            self.take(from, wish);
        }
        if let Some(broker) = self.hosts[host].broker().cloned() {
            let id = self.hosts[host].id;
            let moved = self.oracle.look(id, &broker);
            moved.into_iter().for_each(|partition| self.look_at_isr(&partition));
        }
        for ack in self.told.acks() {
            self.mix(ack.offset.unwrap_or(-1) as u64);
            self.oracle.acked(ack);
        }
        let troubles = self.told.troubles();
        self.oracle.violations.extend(troubles);
        self.oracle.violations.extend(crate::panics::last().map(|panic| format!("broker {host}: {panic}")));
        if let Some(end) = ended {
            self.note(|_| format!("broker {host} ends: {end:?}"));
            if end == End::Stopped
                && let Some(process) = &self.hosts[host].process
            {
                let session = process.store.link().session;
                let fired = self.zk.close(now, session);
                self.tell(fired);
            }
            self.down(host, false);
            let pause = self.random.i64(500..4_000);
            self.at(now + pause, Event::Start(host));
        }
    }

    fn take(&mut self, from: Address, wish: Out) {
        let delay = self.delay();
        let when = self.now + delay;
        match wish {
            Out::Zk { session, watcher, request, answer } => {
                let when = when.max(self.hosts[from.0].zk_up);
                self.hosts[from.0].zk_up = when;
                self.at(when, Event::ZkArrive { from, session, watcher, request, answer });
            }
            Out::Dial { port, answer } => self.at(when, Event::DialArrive { from, port, answer }),
            Out::Frame { conn, bytes } => {
                let is_lost = !self.healed && self.random.f64() < self.swarm.loss;
                let Some(line) = self.conns.get_mut(&conn) else { return };
                line.up = line.up.max(when);
                let (when, to) = (line.up, line.to);
                if is_lost {
                    return self.at(when, Event::Break { conn });
                }
                if self.swarm.proxy && !self.healed && is_control(&bytes) {
                    let pause = self.random.i64(500..9_000);
                    self.at(self.now + pause, Event::Late { to, bytes: bytes.clone() });
                }
                self.at(when, Event::Frame { conn, bytes });
            }
            Out::Hangup { conn } => drop(self.conns.remove(&conn)),
            Out::Served { conn, bytes } => {
                let is_lost = !self.healed && self.random.f64() < self.swarm.loss;
                let Some(line) = self.conns.get_mut(&conn) else { return };
                line.down = line.down.max(when);
                let when = line.down;
                self.at(when, Event::Served { conn, bytes: bytes.filter(|_| !is_lost) });
            }
        }
    }
}

/// The life of processes.
impl World {
    fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.note(|_| format!("broker {host} starts"));
        let (now, clock) = (self.now, self.clock.clone());
        let keys = self.swarm.keys();
        self.hosts[host].clock = clock;
        self.hosts[host].disk.set_now_ms(now);
        self.hosts[host].start(now, &keys);
        let to = self.address(host);
        let pause = self.delay();
        self.at(now + pause, Event::ZkConnect { to });
    }

    /// The process is gone, in no order; with `power` its machine, too.
    pub fn down(&mut self, host: usize, power: bool) {
        let Some(process) = self.hosts[host].process.take() else { return };
        let watcher = process.store.link().watcher;
        self.zk.disconnect(watcher);
        match power {
            true => self.hosts[host].disk.crash(),
            false => self.hosts[host].disk.kill(),
        }
        drop(process);
        self.hosts[host].paused = false;
        self.hosts[host].held.clear();
        self.oracle.died(host as i32);
        let broken: Vec<u64> =
            self.conns.iter().filter(|(_, conn)| conn.to.0 == host).map(|(id, _)| *id).collect();
        self.conns.retain(|_, conn| conn.from.0 != host);
        for conn in broken {
            // A dead machine resets nothing; its peers find out in their time.
            let pause = if power { self.random.i64(100..5_000) } else { self.delay() };
            self.at(self.now + pause, Event::Break { conn });
        }
    }

    fn resume(&mut self, host: usize) {
        if !std::mem::take(&mut self.hosts[host].paused) {
            return;
        }
        self.note(|_| format!("broker {host} goes on"));
        let held = std::mem::take(&mut self.hosts[host].held);
        for event in held {
            let pause = self.random.i64(0..3);
            self.at(self.now + pause, event);
        }
    }
}

/// LeaderAndIsr, StopReplica, UpdateMetadata.
fn is_control(frame: &Bytes) -> bool {
    frame.first_chunk::<2>().is_some_and(|key| (4..=6).contains(&i16::from_be_bytes(*key)))
}

fn named(key: i16) -> String {
    let all = ottla::protocol::api_key::ApiKey::ALL;
    all.iter().find(|api| api.number() == key).map_or_else(|| key.to_string(), |api| api.name().to_owned())
}

/// A write, in a line.
fn shown(request: &Request) -> String {
    let data = |data: &Option<Bytes>| {
        String::from_utf8_lossy(data.as_deref().unwrap_or_default()).chars().take(160).collect::<String>()
    };
    match request {
        Request::Create2(create) => format!("create {} {}", create.path, data(&create.data)),
        Request::SetData(set) => format!("set {} v{} {}", set.path, set.version, data(&set.data)),
        Request::Delete(delete) => format!("delete {}", delete.path),
        Request::Check(check) => format!("check {} v{}", check.path, check.version),
        Request::Multi(ops) => ops.iter().map(shown).collect::<Vec<_>>().join("; "),
        _ => String::new(),
    }
}
