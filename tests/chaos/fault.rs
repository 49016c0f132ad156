//! Faults by name, and the order in which a seed deals them.
//!
//! A fault is a kind and a target, `kill:leader`; what it does to processes, network and disks is in `inject.rs`.
//! Every name of the list comes once, in an order drawn by the seed, before any comes again.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, started again later.
    Kill,
    /// SIGTERM, started again later.
    Term,
    /// SIGSTOP, then SIGCONT.
    Stop,
    /// Cut off from everybody, both ways.
    Cut,
    /// Nothing sent to it arrives.
    CutIn,
    /// Nothing it sends arrives.
    CutOut,
    /// Cut off from brokers and ZooKeeper; clients still reach it.
    CutPeers,
    /// Cut off from ZooKeeper until its session is gone.
    Expire,
    /// SIGKILL of ZooKeepers, started again later.
    ZkKill,
    /// No free byte on its disk.
    DiskFull,
    /// Its disk loses what was not synced, and it dies.
    Power,
}

/// Whom it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The leader of a partition drawn by the seed.
    Leader,
    /// A follower of such a partition.
    Follower,
    /// The broker that is the controller.
    Controller,
    /// Any one (of ZooKeepers).
    One,
    /// All of them.
    All,
}

/// A kind and a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What happens.
    pub kind: Kind,
    /// To whom.
    pub target: Target,
}

const KINDS: [(Kind, &str); 11] = [
    (Kind::Kill, "kill"),
    (Kind::Term, "term"),
    (Kind::Stop, "stop"),
    (Kind::Cut, "cut"),
    (Kind::CutIn, "cut-in"),
    (Kind::CutOut, "cut-out"),
    (Kind::CutPeers, "cut-peers"),
    (Kind::Expire, "expire"),
    (Kind::ZkKill, "zk-kill"),
    (Kind::DiskFull, "disk-full"),
    (Kind::Power, "power"),
];
const TARGETS: [(Target, &str); 5] = [
    (Target::Leader, "leader"),
    (Target::Follower, "follower"),
    (Target::Controller, "controller"),
    (Target::One, "one"),
    (Target::All, "all"),
];

/// Everything that a cluster should live through without losing an acknowledged record.
pub const STANDARD: &str = "kill:leader,kill:follower,kill:controller,kill:all,term:leader,term:controller,\
    stop:leader,stop:follower,stop:controller,cut:leader,cut:follower,cut:controller,cut-in:leader,\
    cut-out:leader,cut-in:follower,cut-out:controller,cut-peers:leader,expire:leader,expire:controller,\
    zk-kill:one,zk-kill:all,disk-full:leader,disk-full:follower,power:leader,power:follower,power:controller";
/// Those of [`STANDARD`] that need no root.
pub const WITHOUT_ROOT: &str = "kill:leader,kill:follower,kill:controller,kill:all,term:leader,term:controller,\
    stop:leader,stop:follower,stop:controller,zk-kill:one,zk-kill:all";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        let target = TARGETS.iter().find(|(target, _)| *target == self.target).map_or("", |(_, name)| name);
        write!(f, "{kind}:{target}")
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let wrong = || {
            format!("no such fault: {text:?}; known are kinds and targets as in {STANDARD}, and power:all")
        };
        let (kind, target) = text.split_once(':').ok_or_else(wrong)?;
        let kind = KINDS.iter().find(|(_, name)| *name == kind).ok_or_else(wrong)?.0;
        let target = TARGETS.iter().find(|(_, name)| *name == target).ok_or_else(wrong)?.0;
        let of_zookeepers = matches!(target, Target::One);
        if (kind == Kind::ZkKill) != of_zookeepers && !(kind == Kind::ZkKill && target == Target::All) {
            return Err(wrong());
        }
        Ok(Fault { kind, target })
    }
}

/// Deals faults.
pub struct Deck {
    faults: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    /// A deck of these.
    pub fn new(faults: &[Fault]) -> Deck {
        Deck { faults: faults.to_vec(), left: vec![] }
    }

    /// The next one; `None` only if there are none at all.
    pub fn deal(&mut self, chance: &mut Rng) -> Option<Fault> {
        if self.left.is_empty() {
            self.left = self.faults.clone();
            chance.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}
