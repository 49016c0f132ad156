//! Seeded random runs: brokers come and go, topics too, leaders change their ISRs, directories fail, controllers move,
//! replicas are moved to and fro, all while rounds and replies are under way. `OTTLA_SEED` replays one run.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla::controller::event::{
    AlterPartition, AlterTopic, Change, Input, Request, Timer, TopicRef, WantedIsr,
};
use ottla::protocol::ids::TopicPartition;

use crate::world::World;

const BROKERS: i32 = 5;

struct Run {
    world: World,
    random: fastrand::Rng,
    topics: u32,
    /// Highest leader epoch seen of each partition that still exists.
    epochs: BTreeMap<TopicPartition, i32>,
}

impl Run {
    fn pick_topic(&mut self) -> Option<Arc<str>> {
        let names: Vec<Arc<str>> = self.world.store.topics.keys().cloned().collect();
        self.random.choice(names)
    }

    fn act(&mut self) {
        let id = self.random.i32(1..=BROKERS);
        let alive = self.world.store.brokers.contains_key(&id);
        match self.random.u32(0..100) {
            0..12 if alive => self.world.down(id),
            0..30 => self.world.up(id), // of a live broker: a bounce
            30..50 => self.create(),
            50..56 => {
                if let Some(topic) = self.pick_topic() {
                    self.world.delete(&topic);
                }
            }
            56..62 => self.grow(),
            62..74 => self.alter(),
            74..80 => self.reassign(),
            80..84 if alive => {
                self.world.ask(Request::ControlledShutdown { broker: id, broker_epoch: -1 });
            }
            84..88 if alive => self.fail_directory(id),
            88..90 => self.world.fail_over(),
            90..92 => self.world.inbox.push_back(Input::Timer(Timer::Rebalance)),
            92..94 => {
                self.world.ask(Request::ElectLeaders { unclean: self.random.bool(), partitions: None });
            }
            94..96 => {
                if let Some(topic) = self.pick_topic() {
                    self.world.store.unclean.insert(topic.clone());
                    self.world.change(Change::UncleanOf(topic));
                }
            }
            96..97 => self.meddle(),
            97..98 => self.wish(),
            _ => {
                let broker_epoch = self.world.store.brokers.get(&id).map_or(0, |broker| broker.epoch);
                self.world.ask(Request::AllocateProducerIds { broker: id, broker_epoch });
            }
        }
    }

    fn assignment(&mut self) -> Vec<i32> {
        let mut ids: Vec<i32> = (1..=BROKERS).collect();
        self.random.shuffle(&mut ids);
        ids.truncate(self.random.usize(1..=3));
        ids
    }

    fn create(&mut self) {
        self.topics += 1;
        let partitions: Vec<Vec<i32>> = (0..self.random.usize(1..=4)).map(|_| self.assignment()).collect();
        let slices: Vec<&[i32]> = partitions.iter().map(Vec::as_slice).collect();
        if self.random.u32(0..10) == 0 {
            self.world.store.lose_answers_of.insert(TopicPartition::new(format!("t{}", self.topics), 0));
        }
        self.world.create(&format!("t{}", self.topics), &slices);
    }

    fn grow(&mut self) {
        let Some(topic) = self.pick_topic() else { return };
        let replicas = self.assignment();
        let record = self.world.store.topics.get_mut(&topic).expect("picked from these");
        let index = record.partitions.len() as i32;
        record.partitions.push((index, ottla::controller::context::Assignment::of(replicas.into())));
        self.world.change(Change::Topic(topic));
    }

    fn pick_partition(&mut self) -> Option<TopicPartition> {
        let topic = self.pick_topic()?;
        let partitions = self.world.store.topics[&topic].partitions.iter();
        let all: Vec<TopicPartition> =
            partitions.map(|(index, _)| TopicPartition::new(topic.clone(), *index)).collect();
        self.random.choice(all)
    }

    /// A few partitions are to go elsewhere, or back.
    fn reassign(&mut self) {
        let mut wanted = BTreeMap::new();
        for _ in 0..self.random.usize(1..4) {
            let Some(at) = self.pick_partition() else { return };
            let target = (self.random.u32(0..3) > 0).then(|| self.assignment());
            wanted.insert(at, target);
        }
        self.world.ask(Request::AlterReassignments(wanted));
    }

    /// Old tools leave their nodes, if the last have been dealt with.
    fn wish(&mut self) {
        let Some(at) = self.pick_partition() else { return };
        if self.random.bool() {
            self.world.store.election_wishes = Some(vec![at]);
            self.world.change(Change::ElectionWishes);
        } else if self.world.store.reassignment_wishes.is_none() {
            self.world.store.reassignment_wishes = Some(vec![(at, self.assignment())]);
            self.world.change(Change::ReassignmentWishes);
        }
    }

    /// Every leader's followers catch up, until nothing is on the move.
    fn arrive(&mut self) {
        for _ in 0..10 {
            for at in self.world.store.states.keys().cloned().collect::<Vec<_>>() {
                self.world.catch_up(&at);
            }
            self.settle();
        }
        let moving = self.world.machine.context().reassigning();
        assert!(moving.is_empty(), "{moving:?}");
    }

    /// A leader asks for a random ISR, perhaps on stale knowledge.
    fn alter(&mut self) {
        let states: Vec<_> = self.world.store.states.iter().map(|(at, s)| (at.clone(), s.clone())).collect();
        let Some((at, state)) = self.random.choice(states) else { return };
        let Some(broker) = self.world.store.brokers.get(&state.leader) else { return };
        let Some(record) = self.world.store.topics.get(&at.topic) else { return };
        let Some(id) = record.id else { return };
        let Some((_, assignment)) = record.partitions.iter().find(|(index, _)| *index == at.partition) else {
            return;
        };
        let others = assignment.replicas.iter().copied().filter(|id| *id != state.leader);
        let mut isr = vec![state.leader];
        isr.extend(others.filter(|_| self.random.bool()));
        let wanted = WantedIsr {
            index: at.partition,
            leader_epoch: state.leader_epoch - i32::from(self.random.u32(0..8) == 0),
            isr,
            recovering: false,
            partition_epoch: state.partition_epoch - i32::from(self.random.u32(0..8) == 0),
        };
        let topics = vec![AlterTopic { topic: TopicRef::Id(id), partitions: vec![wanted] }];
        let (broker, broker_epoch) = (state.leader, broker.epoch);
        self.world.ask(Request::AlterPartition(AlterPartition { version: 3, broker, broker_epoch, topics }));
    }

    fn fail_directory(&mut self, id: i32) {
        let peer = self.world.peers.get_mut(&id).expect("alive");
        let held: Vec<TopicPartition> = peer.epochs.keys().cloned().collect();
        let Some(lost) = self.random.choice(held) else { return };
        peer.failed.insert(lost);
        let name = format!("log_dir_event_{}", self.random.u64(..));
        self.world.store.log_dirs.insert(name, id);
        self.world.change(Change::LogDirs);
    }

    /// A write that the controller does not know of, as by a leader with an old protocol.
    fn meddle(&mut self) {
        let all: Vec<TopicPartition> = self.world.store.states.keys().cloned().collect();
        let Some(at) = self.random.choice(all) else { return };
        let state = self.world.store.states.get_mut(&at).expect("picked from these");
        state.partition_epoch += 1;
        let name = format!("isr_change_{}", self.random.u64(..));
        self.world.store.isr_changes.insert(name, vec![at]);
        self.world.change(Change::IsrChanges);
    }

    fn settle(&mut self) {
        self.world.release();
        self.world.run();
        self.world.check_settled();
        let states = &self.world.store.states;
        self.epochs.retain(|at, _| states.contains_key(at));
        for (at, state) in states {
            let before = self.epochs.insert(at.clone(), state.leader_epoch);
            assert!(before.is_none_or(|before| before <= state.leader_epoch), "{at}: leader epoch fell");
        }
    }
}

fn run(seed: u64) {
    let mut run = Run {
        world: World::elected(3),
        random: fastrand::Rng::with_seed(seed),
        topics: 0,
        epochs: Default::default(),
    };
    // A replay shows all it does.
    run.world.record = std::env::var("OTTLA_SEED").is_ok();
    run.world.print = run.world.record;
    for _ in 0..60 {
        for _ in 0..run.random.usize(1..6) {
            run.act();
            for _ in 0..run.random.usize(0..6) {
                run.world.tick();
            }
            if run.random.u32(0..8) == 0 {
                run.world.hold = true;
            } else {
                run.world.release();
            }
        }
        run.settle();
    }
    // With everyone back, whatever can be led is led and whatever is to be deleted is gone.
    for id in 1..=BROKERS {
        run.world.up(id);
    }
    run.settle();
    run.arrive();
    assert_eq!(run.world.store.reassignment_wishes, None);
    assert!(run.world.store.deletions.is_empty(), "{:?}", run.world.store.deletions);
    for (at, state) in &run.world.store.states {
        assert!(state.leader >= 0, "{at}: {state:?}");
    }
    let ids = run.world.answers.len();
    assert!(ids > 0, "the run asked nothing");
}

#[test]
fn random_runs_keep_the_invariants() {
    let seeds = match std::env::var("OTTLA_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..150).chain([fastrand::u64(..)]).collect(),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("replay with OTTLA_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
