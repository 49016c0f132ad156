//! What goes wrong: each seed turns on some kinds of faults, with rates of its own.
//!
//! Process crashes, pauses, cuts, outages of ZooKeeper, full and failing disks, stops in order: at any time, of any
//! number of brokers. **Power loss** (unsynced data is gone) breaks acknowledged data in Kafka's own default durability
//! when it meets a known hole (reliability.md R9, R10), so seeds with power loss are a family of their own that stays
//! out of those holes: only power losses and orderly stops of one broker at a time, never the controller, while every
//! partition's ISR keeps another live member; the broker stays away until the controller has taken it out of all ISRs;
//! and nothing else fails that could move the controllership or keep a request under way for as long.
//!
//! A broker whose disk was full or failing is started again when all is mended: a replica that could not take its role
//! for want of space is offline until then, as all of a failed directory is in Kafka.

use fastrand::Rng;
use ottla::storage::sim_fs::Call;
use ottla_zk::znode::controller::ControllerNode;
use ottla_zk::znode::partition::PartitionState;

use crate::world::{BROKERS, Event, World};

/// Faults happen this long after the beginning.
pub const FAULTS_MS: i64 = 60_000;

/// What a seed turns on.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Most of a message's time on the wire.
    pub delay_ms: i64,
    /// Share of messages that take much longer, and how long at most.
    pub spikes: f64,
    pub spike_ms: i64,
    /// Share of frames whose connection breaks.
    pub loss: f64,
    /// Requests to a dead process may reach its next life.
    pub proxy: bool,
    /// Longest pause between faults.
    every_ms: i64,
    kinds: Vec<Kind>,
    /// Whether topics are deleted and made again.
    pub churn: bool,
    /// Whether partitions are moved.
    pub moves: bool,
    /// Whether leaders are elected again and again.
    pub restless: bool,
    keys: Vec<(&'static str, String)>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Kind {
    Crash,
    Pause,
    Cut,
    Isolate,
    ZkCut,
    ZkFlap,
    ZkOutage,
    Stop,
    Full,
    BadDisk,
    Power,
}

const KINDS: &[Kind] = &[
    Kind::Crash,
    Kind::Pause,
    Kind::Cut,
    Kind::Isolate,
    Kind::ZkCut,
    Kind::ZkFlap,
    Kind::ZkOutage,
    Kind::Stop,
    Kind::Full,
    Kind::BadDisk,
];

/// How a fault ends.
#[derive(Clone, Debug)]
pub enum Mend {
    /// ZooKeeper can be reached again.
    ZkCut(usize),
    /// It is up again.
    ZkOutage,
    /// The disk has room.
    Full(usize),
}

impl Swarm {
    /// Draws a seed's faults.
    pub fn draw(random: &mut Rng) -> Swarm {
        let power = random.u8(0..5) == 0;
        let kinds = match power {
            true => vec![Kind::Power, Kind::Stop],
            false => KINDS.iter().copied().filter(|_| random.u8(0..5) < 2).collect(),
        };
        let pick = |random: &mut Rng, from: &[i64]| from[random.usize(0..from.len())];
        let lag = pick(random, &[2_000, 4_000, 10_000]);
        let retention = [-1, -1, -1, -1, -1, 8_192, 8_192, 600, 0][random.usize(0..9)];
        let keys = vec![
            ("log.retention.bytes", retention.to_string()),
            ("log.retention.check.interval.ms", pick(random, &[300, 1_000]).to_string()),
            ("replica.lag.time.max.ms", lag.to_string()),
            ("replica.fetch.wait.max.ms", pick(random, &[50, 200, 500]).to_string()),
            ("replica.fetch.max.bytes", pick(random, &[1, 1_000, 1_048_576]).to_string()),
            ("replica.fetch.backoff.ms", pick(random, &[50, 200, 1_000]).to_string()),
            ("replica.high.watermark.checkpoint.interval.ms", pick(random, &[500, 2_000, 5_000]).to_string()),
            ("log.flush.offset.checkpoint.interval.ms", pick(random, &[1_000, 10_000]).to_string()),
            ("log.segment.bytes", pick(random, &[2_048, 8_192, 65_536]).to_string()),
            ("log.index.interval.bytes", pick(random, &[0, 512, 4_096]).to_string()),
            ("log.initial.task.delay.ms", "500".to_owned()),
            ("log.segment.delete.delay.ms", "1000".to_owned()),
            ("leader.imbalance.check.interval.seconds", pick(random, &[3, 10, 300]).to_string()),
            ("controller.socket.timeout.ms", "3000".to_owned()),
            ("replica.socket.timeout.ms", "3000".to_owned()),
            ("request.timeout.ms", "3000".to_owned()),
            ("controlled.shutdown.retry.backoff.ms", "300".to_owned()),
        ];
        let rough = !power && random.bool();
        Swarm {
            delay_ms: pick(random, &[2, 5, 20, 60]),
            spikes: if rough { random.f64() * 0.05 } else { 0.0 },
            spike_ms: pick(random, &[200, 1_500]),
            loss: if random.bool() { random.f64() * 0.03 } else { 0.0 },
            proxy: !power && random.bool(),
            every_ms: pick(random, &[1_500, 4_000, 10_000]),
            kinds,
            churn: !power && random.u8(0..3) == 0,
            moves: !power && random.u8(0..3) == 0,
            restless: !power && random.u8(0..4) == 0,
            keys,
        }
    }

    /// Whether machines lose power.
    pub fn has_power_losses(&self) -> bool {
        self.kinds.contains(&Kind::Power)
    }

    /// Configuration of all brokers.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        self.keys.clone()
    }
}

impl World {
    /// One fault, and when the next one comes.
    pub fn fault(&mut self) {
        if self.healed {
            return;
        }
        let pause = self.random.i64(200..=self.swarm.every_ms);
        self.at(self.now + pause, Event::Fault);
        if self.swarm.kinds.is_empty() {
            return;
        }
        let kind = self.swarm.kinds[self.random.usize(0..self.swarm.kinds.len())];
        let mut host = self.random.usize(1..=BROKERS);
        // What was stopped in order and started again is the most likely to trust its disk too much.
        if let (Kind::Power, Some(stopped), true) = (kind, self.last_stopped, self.random.bool()) {
            host = stopped;
        }
        let lasts = match self.random.u8(0..4) {
            0 => self.random.i64(10..500),
            1 => self.random.i64(500..3_000),
            2 => self.random.i64(3_000..9_000),
            _ => self.random.i64(100..12_000),
        };
        self.note(|_| format!("fault {kind:?} of {host} for {lasts} ms"));
        match kind {
            Kind::Crash => {
                self.down(host, false);
                self.at(self.now + lasts, Event::Start(host));
            }
            Kind::Pause if self.hosts[host].process.is_some() => {
                self.hosts[host].paused = true;
                self.at(self.now + lasts, Event::Resume(host));
            }
            Kind::Pause => {}
            Kind::Cut => self.cut(host, lasts),
            Kind::Isolate => {
                for other in (1..=BROKERS).filter(|other| *other != host) {
                    self.cuts.insert((host, other), self.now + lasts);
                    self.cuts.insert((other, host), self.now + lasts);
                }
            }
            Kind::ZkCut => {
                self.zk_cuts.insert(host);
                self.break_zk_unless_paused(host);
                self.at(self.now + lasts, Event::Mend(Mend::ZkCut(host)));
            }
            Kind::ZkFlap => self.break_zk_unless_paused(host),
            Kind::ZkOutage if !self.zk_is_down => {
                self.zk_is_down = true;
                (1..=BROKERS).for_each(|host| self.break_zk_unless_paused(host));
                self.at(self.now + lasts, Event::Mend(Mend::ZkOutage));
            }
            Kind::ZkOutage => {}
            Kind::Stop if !self.may_leave(host) => {}
            Kind::Stop => self.stop(host),
            Kind::Full => {
                self.hosts[host].was_sick = true;
                let room = self.random.u64(0..40_000);
                self.hosts[host].disk.limit_space(Some(room));
                self.at(self.now + lasts, Event::Mend(Mend::Full(host)));
            }
            Kind::BadDisk => {
                self.hosts[host].was_sick = true;
                let call = if self.random.bool() { Call::Write } else { Call::Sync };
                let nth = self.random.u64(1..20);
                self.hosts[host].disk.fail_nth(call, "", nth);
            }
            Kind::Power => self.power_loss(host),
        }
    }

    fn break_zk_unless_paused(&mut self, host: usize) {
        // A paused process sees nothing; its session runs out by itself.
        if !self.hosts[host].paused {
            self.break_zk(host);
        }
    }

    fn cut(&mut self, host: usize, lasts: i64) {
        let other = 1 + (host + self.random.usize(0..BROKERS - 1)) % BROKERS;
        self.cuts.insert((host, other), self.now + lasts);
        if self.random.bool() {
            self.cuts.insert((other, host), self.now + lasts);
        }
    }

    /// Stops a broker in order.
    fn stop(&mut self, host: usize) {
        if self.hosts[host].broker().is_none() {
            return;
        }
        if let Some(process) = self.hosts[host].process.as_mut().filter(|process| !process.leaving) {
            process.leaving = true;
            self.last_stopped = Some(host);
            process.status.leave.notify_one();
        }
    }

    /// See the module for what holds the power.
    fn power_loss(&mut self, host: usize) {
        if !self.may_leave(host) {
            return;
        }
        self.note(|_| format!("broker {host} loses power"));
        self.down(host, true);
        // The session must be over and the controller must have heard of it.
        let away = self.random.i64(8_000..12_000);
        self.at(self.now + away, Event::Start(host));
    }

    /// Whether a broker may go in a seed with power losses; in others any may.
    fn may_leave(&mut self, host: usize) -> bool {
        if !self.swarm.has_power_losses() {
            return true;
        }
        let is_up = |host: usize| {
            self.hosts[host].broker().is_some()
                && self.hosts[host].process.as_ref().is_some_and(|p| !p.leaving)
        };
        (1..=BROKERS).all(is_up)
            && self.controller().is_some_and(|other| other != host)
            && self.others_hold(host)
    }

    /// The controller, as ZooKeeper says.
    pub fn controller(&mut self) -> Option<usize> {
        let (data, _) = self.zk.peek("/controller")?;
        ControllerNode::decode(&data).ok().map(|node| node.broker_id as usize)
    }

    fn others_hold(&mut self, host: usize) -> bool {
        let states = self.states();
        !states.is_empty() && states.iter().all(|(_, state)| state.isr.iter().any(|id| *id as usize != host))
    }

    /// Every partition's state, by path.
    pub fn states(&mut self) -> Vec<(String, PartitionState)> {
        let mut states = Vec::new();
        for topic in self.zk.children("/brokers/topics") {
            for index in self.zk.children(&format!("/brokers/topics/{topic}/partitions")) {
                let path = format!("/brokers/topics/{topic}/partitions/{index}/state");
                let number = index.parse().unwrap_or(-1);
                let found = self.zk.peek(&path);
                if let Some(Ok(state)) = found.map(|(data, _)| PartitionState::decode(&topic, number, &data))
                {
                    states.push((path, state));
                }
            }
        }
        states
    }

    /// A fault ends.
    pub fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::ZkCut(host) => drop(self.zk_cuts.remove(&host)),
            Mend::ZkOutage => {
                self.zk_is_down = false;
                self.zk.forgive(self.now);
            }
            Mend::Full(host) => self.hosts[host].disk.limit_space(None),
        }
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.note(|_| "everything is mended".to_owned());
        self.healed = true;
        self.cuts.clear();
        self.zk_cuts.clear();
        if self.zk_is_down {
            self.mend(Mend::ZkOutage);
        }
        for host in 1..=BROKERS {
            self.hosts[host].disk.limit_space(None);
            if self.hosts[host].was_sick {
                self.down(host, false);
            }
            if self.hosts[host].paused {
                self.at(self.now, Event::Resume(host));
            }
            let pause = self.random.i64(100..2_000);
            self.at(self.now + pause, Event::Start(host));
        }
    }
}
