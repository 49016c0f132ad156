//! One seed from the first start to the last check.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fastrand::Rng;
use ottla::blocking;
use ottla::protocol::ids::TopicPartition;
use ottla_zk::znode::reassign::REASSIGN_PARTITIONS;

use crate::admin::TOPICS;
use crate::clients::Producer;
use crate::faults::FAULTS_MS;
use crate::world::{BEGIN, BROKERS, Event, REPLICAS, World};

/// After everything is mended the cluster must be whole again within this time.
const MENDED_MS: i64 = 60_000;
const LOOK_MS: i64 = 500;
/// The end: producers have stopped, and followers take what is left.
const CALM_MS: i64 = 6_000;
const PRODUCERS: i64 = 2;

/// What a run showed.
pub struct Report {
    pub hash: u64,
    pub violations: Vec<String>,
    pub committed: i64,
    pub leader_changes: usize,
    pub events: u64,
    pub simulated_ms: i64,
    pub lines: Vec<String>,
}

/// Runs a seed.
pub fn run(seed: u64, keep_lines: bool) -> Report {
    fastrand::seed(seed);
    blocking::inline_here();
    let mut world = World::new(seed, keep_lines);
    let acks = begin(&mut world);
    go(&mut world, BEGIN + FAULTS_MS);
    if world.oracle.violations.is_empty() {
        world.heal();
        let mended = world.now;
        while let Err(why) = is_whole(&mut world, &acks, mended) {
            if world.now > mended + MENDED_MS {
                world.oracle.violations.push(format!("not whole {MENDED_MS} ms after all is mended: {why}"));
            }
            if !world.oracle.violations.is_empty() {
                break;
            }
            let until = world.now + LOOK_MS;
            go(&mut world, until);
        }
        end(&mut world);
    }
    if !world.oracle.violations.is_empty() && keep_lines {
        world.picture();
    }
    Report {
        hash: world.hash(),
        violations: std::mem::take(&mut world.oracle.violations),
        committed: world.oracle.committed(),
        leader_changes: world.oracle.leader_changes,
        events: world.events,
        simulated_ms: world.now - BEGIN,
        lines: world.lines.take().map(Vec::from).unwrap_or_default(),
    }
}

fn go(world: &mut World, until: i64) {
    while world.oracle.violations.is_empty() && world.step(until) {}
}

/// Switches the brokers on, and lets producers begin. Gives when each was last acknowledged.
fn begin(world: &mut World) -> Vec<Arc<AtomicI64>> {
    let swarm = world.swarm.clone();
    world.note(|_| format!("{swarm:?}"));
    for host in 0..=BROKERS {
        let pause = world.random.i64(0..200);
        world.at(BEGIN + pause, Event::Tick(host));
    }
    for host in 1..=BROKERS {
        let pause = world.random.i64(0..1_000);
        world.at(BEGIN + pause, Event::Start(host));
    }
    world.at(BEGIN, Event::ZkBeat);
    world.at(BEGIN, Event::Admin);
    let pause = world.random.i64(3_000..8_000);
    world.at(BEGIN + pause, Event::Fault);
    let mut acks = Vec::new();
    let pause_ms = [30, 100, 300][world.random.usize(0..3)];
    let targets = TOPICS.iter().flat_map(|(topic, count)| (0..*count).map(move |index| (*topic, index)));
    for (topic, partition) in targets {
        for n in 0..PRODUCERS {
            let last_ack = Arc::new(AtomicI64::new(0));
            acks.push(last_ack.clone());
            let producer = Producer {
                told: world.told.clone(),
                id: 1_000 + acks.len() as i64 * 10 + n,
                topic,
                partition,
                brokers: BROKERS as i32,
                pause_ms,
                clock: world.clock.clone(),
                last_ack,
                random: Rng::with_seed(world.random.u64(..)),
                connection: None,
            };
            let clients = world.hosts[0].process.as_ref().expect("the clients' host always runs");
            clients.runtime.spawn(producer.run());
        }
    }
    acks
}

/// Whether every broker is there, every ISR full and every producer heard.
fn is_whole(world: &mut World, acks: &[Arc<AtomicI64>], mended: i64) -> Result<(), String> {
    let ids = world.zk.children("/brokers/ids");
    if ids.len() != BROKERS {
        return Err(format!("registered are only {ids:?}"));
    }
    let deletions = world.zk.children("/admin/delete_topics");
    if !deletions.is_empty() {
        return Err(format!("{deletions:?} are not deleted"));
    }
    if let Some((wishes, _)) = world.zk.peek(REASSIGN_PARTITIONS) {
        return Err(format!("{} is not carried out", String::from_utf8_lossy(&wishes)));
    }
    let states = world.states();
    if let Some((path, state)) =
        states.iter().find(|(_, state)| state.leader < 0 || state.isr.len() != REPLICAS)
    {
        return Err(format!("{path} is {state:?}"));
    }
    let silent = acks.iter().filter(|last| last.load(Ordering::Relaxed) <= mended).count();
    match silent {
        0 => Ok(()),
        silent => Err(format!("{silent} producers were not acknowledged")),
    }
}

/// Lets producers stop and followers catch up; then all replicas are the same, and all of it is committed.
fn end(world: &mut World) {
    world.told.stop.store(true, Ordering::Relaxed);
    let until = world.now + CALM_MS;
    go(world, until);
    if !world.oracle.violations.is_empty() {
        return;
    }
    let mut ends: Vec<(TopicPartition, i32, i64, i64)> = Vec::new();
    for host in 1..=BROKERS {
        let Some(broker) = world.hosts[host].broker().cloned() else {
            world.oracle.violations.push(format!("broker {host} is down at the end"));
            return;
        };
        world.oracle.finally(host as i32, &broker);
        for partition in broker.replicas.all() {
            // One that was away when its partition moved keeps a stray replica, as in Kafka (KAFKA-13972).
            if !world.replicas_of(&partition.tp).contains(&(host as i32)) {
                continue;
            }
            if let Some(log) = partition.lock().log.clone() {
                ends.push((partition.tp.clone(), host as i32, log.log_end_offset(), log.high_watermark()));
            }
        }
    }
    world.oracle.all_acked();
    ends.sort();
    for pair in ends.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let (one, two) = (&pair[0], &pair[1]);
        if (one.2, one.3) != (two.2, two.3) || one.2 != one.3 {
            world.oracle.violations.push(format!("replicas differ at the end: {one:?} {two:?}"));
        }
    }
}
