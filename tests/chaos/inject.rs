//! Doing a fault and undoing it.
//!
//! A fault is done to the brokers or ZooKeepers that its target names at that moment; undoing it leaves every
//! process running (or starting) and every link whole. Only processes of the cluster are signalled, by their handles.

use std::io;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::fault::{Fault, Kind, Target};
use crate::nodes::Node;
use crate::process::failed;
use crate::zookeeper::View;

/// As long as `controlled.shutdown` may take, with room.
const TERM_LIMIT: Duration = Duration::from_secs(90);

/// A fault that is in force.
pub struct Injected {
    /// Which.
    pub fault: Fault,
    /// Indexes of the brokers, or of the ZooKeepers, that it hit.
    pub victims: Vec<usize>,
    /// How long the end took of those that were asked to end; `None` for those that had to be killed.
    pub stops: Vec<Option<Duration>>,
}

/// How long a fault lasts.
pub fn duration(fault: Fault, session_ms: u64, chance: &mut Rng) -> Duration {
    let session = session_ms / 1000;
    let seconds = match (fault.kind, fault.target) {
        (Kind::Kill | Kind::Term | Kind::Power, _) => chance.u64(1..=session + 6),
        // Shorter and longer than a session.
        (Kind::Stop, _) => chance.u64(2..=session * 3),
        (Kind::Cut | Kind::CutIn | Kind::CutOut | Kind::CutPeers, _) => chance.u64(3..=session * 4),
        (Kind::Expire, _) => chance.u64(session * 2..=session * 3),
        (Kind::ZkKill, _) => chance.u64(5..=session * 4),
        (Kind::DiskFull, _) => chance.u64(5..=20),
    };
    Duration::from_secs(seconds)
}

/// The brokers, or ZooKeepers, that `fault` would hit now.
fn victims(fault: Fault, view: &View, chance: &mut Rng) -> io::Result<Vec<usize>> {
    let count = crate::nodes::MEMBERS;
    if fault.target == Target::All {
        return Ok((0..count).collect());
    }
    if fault.target == Target::One {
        return Ok(vec![chance.usize(0..count)]);
    }
    let states: Vec<_> = view.partitions.values().filter(|state| state.leader > 0).collect();
    let state = states
        .get(chance.usize(0..states.len().max(1)))
        .ok_or_else(|| failed("no partition has a leader"))?;
    let id = match fault.target {
        Target::Controller => view.controller.ok_or_else(|| failed("there is no controller"))?,
        Target::Follower => {
            let others: Vec<i64> = (1..=count as i64).filter(|id| *id != state.leader).collect();
            others[chance.usize(0..others.len())]
        }
        _ => state.leader,
    };
    let index = usize::try_from(id - 1).ok().filter(|index| *index < count);
    Ok(vec![index.ok_or_else(|| failed(format!("broker {id} is none of ours")))?])
}

/// Does the fault to those it hits now.
pub fn inject(cluster: &mut Cluster, fault: Fault, view: &View, chance: &mut Rng) -> io::Result<Injected> {
    let victims = victims(fault, view, chance)?;
    let mut stops = vec![];
    if fault.kind == Kind::ZkKill {
        for index in &victims {
            if let Some(mut process) = cluster.zookeepers[*index].process.take() {
                process.kill()?;
            }
        }
        return Ok(Injected { fault, victims, stops });
    }
    // The power goes everywhere before anybody is told.
    if fault.kind == Kind::Power {
        for index in &victims {
            cluster.brokers[*index].disk.power_off()?;
        }
    }
    for index in &victims {
        match fault.kind {
            Kind::Kill | Kind::Power => {
                if let Some(mut process) = cluster.brokers[*index].process.take() {
                    process.kill()?;
                }
            }
            Kind::Term | Kind::Stop => {
                let signal = if fault.kind == Kind::Term { Signal::TERM } else { Signal::STOP };
                if let Some(process) = &cluster.brokers[*index].process {
                    process.signal(signal)?;
                }
            }
            Kind::DiskFull => cluster.brokers[*index].disk.fill()?,
            _ => cut(cluster, fault.kind, *index)?,
        }
    }
    if fault.kind == Kind::Term {
        for index in &victims {
            if let Some(mut process) = cluster.brokers[*index].process.take() {
                stops.push(process.terminate(TERM_LIMIT)?);
            }
        }
    }
    Ok(Injected { fault, victims, stops })
}

fn cut(cluster: &mut Cluster, kind: Kind, victim: usize) -> io::Result<()> {
    let node = cluster.brokers[victim].node.clone();
    let zookeepers = cluster.nodes.zookeepers.clone();
    let mut others: Vec<Node> = zookeepers.clone();
    if kind == Kind::Expire {
        others = zookeepers;
    } else {
        others.extend(cluster.nodes.brokers.iter().filter(|other| other.name != node.name).cloned());
        if kind != Kind::CutPeers {
            others.push(cluster.nodes.client.clone());
        }
    }
    for other in &others {
        if kind != Kind::CutOut {
            cluster.nodes.cut(other, &node)?;
        }
        if kind != Kind::CutIn {
            cluster.nodes.cut(&node, other)?;
        }
    }
    Ok(())
}

/// Undoes the fault: everything runs again, or is starting.
pub fn heal(cluster: &mut Cluster, injected: &Injected) -> io::Result<()> {
    cluster.nodes.heal()?;
    for index in &injected.victims {
        match injected.fault.kind {
            Kind::ZkKill => cluster.start_zookeeper(*index)?,
            Kind::Stop => {
                if let Some(process) = &cluster.brokers[*index].process {
                    process.signal(Signal::CONT)?;
                }
            }
            Kind::Power => cluster.brokers[*index].disk.power_on()?,
            Kind::DiskFull => cluster.brokers[*index].disk.free()?,
            _ => {}
        }
    }
    for index in &injected.victims {
        if injected.fault.kind != Kind::ZkKill && cluster.brokers[*index].process.is_none() {
            cluster.start_broker(*index)?;
        }
    }
    Ok(())
}

/// Ends a broker that a full disk has left without its log directory, and starts it again.
pub fn restart(cluster: &mut Cluster, index: usize) -> io::Result<()> {
    if let Some(mut process) = cluster.brokers[index].process.take() {
        process.terminate(TERM_LIMIT)?;
    }
    cluster.start_broker(index)
}
