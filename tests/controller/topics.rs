//! Topics: created, grown, deleted, deleted while a broker is away; and many partitions at once.

use ottla::clock::Timestamp;
use ottla::controller::context::Assignment;
use ottla::controller::event::{Change, Input};
use ottla::controller::machine::Machine;
use ottla::controller::partition_state::PartitionState;
use ottla::controller::store::{ReadOp, StoreOp};

use crate::world::{World, at, config};

#[test]
fn a_fresh_start_without_topics() {
    let mut world = World::with_brokers(1);
    world.elect();
    world.run();
    let expected =
        ["set feature", "clear LogDirs", "clear IsrChanges", "open 1", "-> 1 UpdateMetadata: brokers=1"];
    assert_eq!(world.told(), expected);
    assert!(world.machine.is_active());
    assert_eq!(world.machine.counts().active_brokers, 1);
}

#[test]
fn one_replica_on_a_lone_broker() {
    let mut world = World::elected(1);
    world.create("t", &[&[1]]);
    world.run();
    let expected = [
        "add id t",
        "create t-0 leader=1 epoch=0 isr=1",
        "-> 1 LeaderAndIsr: t-0 leader=1 epoch=0 isr=1 new",
        "-> 1 UpdateMetadata: brokers=1; t-0 leader=1 epoch=0",
    ];
    assert_eq!(world.told(), expected);
    world.check_settled();
    let id = world.machine.context().topic("t").unwrap().id;
    assert_eq!(world.peers[&1].image.topic_name(id).map(|name| &**name), Some("t"));
}

#[test]
fn three_replicas_go_to_the_isr_and_metadata_to_all() {
    let mut world = World::elected(4);
    world.create("t", &[&[2, 3, 1]]);
    world.run();
    let expected = [
        "add id t",
        "create t-0 leader=2 epoch=0 isr=2,3,1",
        "-> 1 LeaderAndIsr: t-0 leader=2 epoch=0 isr=2,3,1 new",
        "-> 2 LeaderAndIsr: t-0 leader=2 epoch=0 isr=2,3,1 new",
        "-> 3 LeaderAndIsr: t-0 leader=2 epoch=0 isr=2,3,1 new",
        "-> 1 UpdateMetadata: brokers=1,2,3,4; t-0 leader=2 epoch=0",
        "-> 2 UpdateMetadata: brokers=1,2,3,4; t-0 leader=2 epoch=0",
        "-> 3 UpdateMetadata: brokers=1,2,3,4; t-0 leader=2 epoch=0",
        "-> 4 UpdateMetadata: brokers=1,2,3,4; t-0 leader=2 epoch=0",
    ];
    assert_eq!(world.told(), expected);
    world.check_settled();
}

#[test]
fn a_topic_without_live_replicas_stays_new_until_one_comes() {
    let mut world = World::elected(1);
    world.create("t", &[&[2, 3]]);
    world.run();
    assert_eq!(world.told(), ["add id t"]);
    assert_eq!(world.machine.context().partition(&at("t", 0)).unwrap().state, PartitionState::New);
    world.up(3);
    world.run();
    assert!(world.told().contains(&"create t-0 leader=3 epoch=0 isr=3".to_owned()));
    world.up(2);
    world.run();
    assert_eq!(&*world.store.states[&at("t", 0)].isr, [3], "the leader adds it later");
    world.check_settled();
}

#[test]
fn a_create_whose_answer_was_lost_is_taken_over() {
    let mut world = World::elected(2);
    world.store.lose_answers_of.insert(at("t", 0));
    world.create("t", &[&[1, 2], &[2, 1]]);
    world.run();
    world.check_settled();
    assert_eq!(world.machine.context().partition(&at("t", 0)).unwrap().state, PartitionState::Online);
    assert_eq!(world.peers[&2].epochs[&at("t", 0)], 0);
}

#[test]
fn partitions_are_added() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.run();
    world.told();
    let record = world.store.topics.get_mut("t").unwrap();
    record.partitions.push((1, Assignment::of([2, 1].into())));
    world.change(Change::Topic("t".into()));
    world.run();
    let expected = [
        "create t-1 leader=2 epoch=0 isr=2,1",
        "-> 1 LeaderAndIsr: t-1 leader=2 epoch=0 isr=2,1 new",
        "-> 2 LeaderAndIsr: t-1 leader=2 epoch=0 isr=2,1 new",
        "-> 1 UpdateMetadata: brokers=1,2; t-1 leader=2 epoch=0",
        "-> 2 UpdateMetadata: brokers=1,2; t-1 leader=2 epoch=0",
    ];
    assert_eq!(world.told(), expected);
    world.change(Change::Topic("t".into()));
    world.run();
    assert!(world.told().is_empty(), "nothing new");
}

#[test]
fn deletion_from_marker_to_nothing() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.run();
    world.told();
    world.store.deletions.insert("ghost".into());
    world.delete("t");
    world.run();
    let expected = [
        "unmark ghost",
        "-> 1 UpdateMetadata: brokers=1,2; t-0 leader=-2 epoch=0",
        "-> 2 UpdateMetadata: brokers=1,2; t-0 leader=-2 epoch=0",
        "update t-0 leader=-1 epoch=1 isr=2",
        "update t-0 leader=-1 epoch=2 isr=2",
        "-> 1 StopReplica: t-0 epoch=-2",
        "-> 2 StopReplica: t-0 epoch=-2",
        "-> 1 StopReplica: t-0 epoch=-2 delete",
        "-> 2 StopReplica: t-0 epoch=-2 delete",
        "delete t",
    ];
    assert_eq!(world.told(), expected);
    assert!(world.machine.context().topic("t").is_none());
    assert!(world.store.deletions.is_empty() && world.store.states.is_empty());
    assert!(world.peers.values().all(|peer| peer.image.topic_count() == 0 && peer.epochs.is_empty()));
}

#[test]
fn deletion_waits_for_a_dead_broker() {
    let mut world = World::elected(3);
    world.create("t", &[&[1, 2]]);
    world.down(2);
    world.run();
    world.delete("t");
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible);
    assert!(world.peers[&1].epochs.is_empty(), "the live replica is gone already");
    world.down(3);
    world.run();
    assert!(world.machine.context().topic("t").is_some(), "another broker's news change nothing");
    world.up(2);
    world.run();
    assert!(world.machine.context().topic("t").is_none());
    assert!(world.store.topics.is_empty());
}

#[test]
fn a_refused_deletion_is_retried_when_the_broker_restarts() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.run();
    world.peers.get_mut(&2).unwrap().refuses_deletion = true;
    world.delete("t");
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible);
    assert_eq!(world.machine.counts().ineligible_topics_to_delete, 1);
    world.up(2); // a bounce: new registration under the same id
    world.run();
    assert!(world.machine.context().topic("t").is_none());
}

#[test]
fn partitions_added_during_deletion_are_taken_back() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.run();
    world.peers.get_mut(&2).unwrap().refuses_deletion = true;
    world.delete("t");
    world.run();
    world.told();
    let record = world.store.topics.get_mut("t").unwrap();
    record.partitions.push((1, Assignment::of([2, 1].into())));
    world.change(Change::Topic("t".into()));
    world.run();
    assert_eq!(world.told(), ["restore t"]);
    assert_eq!(world.store.topics["t"].partitions.len(), 1);
}

#[test]
fn deletion_disabled_only_removes_the_marker() {
    let mut world = World::elected(1);
    world.machine = Machine::new(ottla::controller::machine::Config { delete_topics: false, ..config() });
    world.elect();
    world.create("t", &[&[1]]);
    world.run();
    world.told();
    world.delete("t");
    world.run();
    assert_eq!(world.told(), ["unmark t"]);
    assert!(world.machine.context().topic("t").is_some());
}

#[test]
fn a_deletion_goes_on_after_fail_over() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.down(2);
    world.run();
    world.delete("t");
    world.run();
    world.fail_over();
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible);
    world.up(2);
    world.run();
    assert!(world.machine.context().topic("t").is_none() && world.store.topics.is_empty());
}

/// Ten thousand partitions, in one topic and in as many: few rounds, and well under a second of thinking.
/// What this thread has used of a processor: other work on the machine does not count (hundredths of a second).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux tells it");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn ten_thousand_partitions() {
    for (topics, partitions) in [(1, 10_000), (10_000, 1), (100, 100)] {
        let mut world = World::elected(3);
        world.record = false;
        let assignment: Vec<&[i32]> =
            [&[1, 2, 3][..], &[2, 3, 1], &[3, 1, 2]].into_iter().cycle().take(partitions).collect();
        for topic in 0..topics {
            world.create(&format!("t{topic:05}"), &assignment);
        }
        let mut thinking = 0.0;
        let mut rounds = 0;
        while let Some(input) = world.inbox.pop_front() {
            rounds += usize::from(matches!(input, Input::Stored { .. } | Input::Loaded { .. }));
            let start = processor_seconds();
            let output = world.machine.step(Timestamp(0), input);
            thinking += processor_seconds() - start;
            world.take(output);
        }
        world.check_settled();
        assert_eq!(world.machine.counts().partitions, 10_000);
        assert!(rounds <= 5, "{rounds} rounds");
        assert!(thinking < 1.0, "{thinking} s of processor time");

        world.down(1);
        world.fail_over();
        let start = processor_seconds();
        world.run();
        world.check_settled();
        let spent = processor_seconds() - start;
        assert!(spent < 5.0, "{spent} s of processor time with the model's own work");
    }
}

#[test]
fn reads_and_writes_are_batched() {
    let mut machine = Machine::new(config());
    let mut world = World::elected(1);
    std::mem::swap(&mut machine, &mut world.machine);
    for topic in ["a", "b", "c"] {
        world.create(topic, &[&[1]]);
    }
    let first = machine.step(Timestamp(0), Input::Change(Change::Topics));
    assert_eq!(first.read, [ReadOp::Topics]);
    let again = machine.step(Timestamp(0), Input::Change(Change::Topics));
    assert!(again.read.is_empty() && again.store.is_empty(), "one round at a time");
    machine.step(Timestamp(0), Input::Change(Change::Topics));
    assert_eq!(machine.counts().queued_events, 1, "told twice, looked at once");
    let names = ["a", "b", "c"].map(Into::into).to_vec();
    let data = Ok(vec![ottla::controller::store::Loaded::Names(names)]);
    let second = machine.step(Timestamp(0), Input::Loaded { round: first.round, data });
    assert!(matches!(&second.read[..], [ReadOp::TopicRecords(names)] if names.len() == 3));
    let records = world.store.topics.values().cloned().collect();
    let data = Ok(vec![ottla::controller::store::Loaded::Topics(records)]);
    let third = machine.step(Timestamp(0), Input::Loaded { round: second.round, data });
    assert!(matches!(
        third.store[..],
        [StoreOp::AddTopicId { .. }, StoreOp::AddTopicId { .. }, StoreOp::AddTopicId { .. }]
    ));
}
