//! Reassignments: from start to end, with another target on the way, cancelled, refused, with brokers and controllers
//! that fail in every phase, beside deletions and added partitions.

use std::collections::BTreeMap;

use ottla::controller::context::Assignment;
use ottla::controller::event::{Answer, Change, Request, Ticket};
use ottla::controller::partition_state::PartitionState;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::TopicPartition;

use crate::world::{World, at};

pub fn t0() -> TopicPartition {
    at("t", 0)
}

/// `brokers` of them, and t-0 on these.
pub fn with(brokers: i32, replicas: &[i32]) -> World {
    let mut world = World::elected(brokers);
    world.create("t", &[replicas]);
    world.run();
    world.told();
    world
}

pub fn wish(world: &mut World, targets: &[(&str, i32, Option<&[i32]>)]) -> Ticket {
    let wanted: BTreeMap<TopicPartition, Option<Vec<i32>>> =
        targets.iter().map(|(topic, index, to)| (at(topic, *index), to.map(<[i32]>::to_vec))).collect();
    world.ask(Request::AlterReassignments(wanted))
}

fn reassign(world: &mut World, target: &[i32]) -> Option<ErrorCode> {
    let ticket = wish(world, &[("t", 0, Some(target))]);
    world.run();
    code(world, ticket)
}

fn code(world: &World, ticket: Ticket) -> Option<ErrorCode> {
    match world.answer(ticket) {
        Some(Answer::AlterReassignments(Ok(answers))) => {
            assert_eq!(answers.len(), 1);
            answers[0].1.as_ref().err().map(|refused| refused.code)
        }
        other => panic!("{other:?}"),
    }
}

fn moving(world: &mut World) -> Vec<(TopicPartition, Assignment)> {
    let ticket = world.ask(Request::ListReassignments { partitions: None });
    world.run();
    match world.answer(ticket).cloned() {
        Some(Answer::ListReassignments(Ok(moving))) => moving,
        other => panic!("{other:?}"),
    }
}

/// The partition rests on these replicas, led and in sync, and nobody else has it.
fn check_rests_on(world: &mut World, replicas: &[i32]) {
    world.check_settled();
    let record = &world.store.topics["t"].partitions[0].1;
    assert_eq!(*record, Assignment::of(replicas.into()));
    assert!(moving(world).is_empty());
    for (id, peer) in &world.peers {
        assert_eq!(peer.epochs.contains_key(&t0()), replicas.contains(id), "on {id}");
    }
    assert!(replicas.contains(&world.store.states[&t0()].leader));
}

#[test]
fn from_start_to_end() {
    let mut world = with(3, &[1, 2]);
    assert_eq!(reassign(&mut world, &[3, 2]), None);
    let expected = [
        "place t 0: 3,2,1 +3 -1",
        "update t-0 leader=1 epoch=1 isr=1,2",
        "-> 1 LeaderAndIsr: t-0 leader=1 epoch=1 isr=1,2",
        "-> 2 LeaderAndIsr: t-0 leader=1 epoch=1 isr=1,2",
        "-> 3 LeaderAndIsr: t-0 leader=1 epoch=1 isr=1,2 new",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1",
        "answer 1",
    ];
    assert_eq!(world.told(), expected);
    world.check_settled();
    let listed = moving(&mut world);
    assert_eq!(listed.len(), 1);
    assert_eq!((&*listed[0].1.adding, &*listed[0].1.removing), (&[3][..], &[1][..]));
    assert_eq!(world.machine.counts().reassigning_partitions, 1);
    world.told();

    world.catch_up(&t0());
    world.run();
    let expected = [
        "update t-0 leader=1 epoch=1 isr=1,2,3",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1",
        "answer 3",
        "update t-0 leader=3 epoch=2 isr=1,2,3",
        "-> 2 LeaderAndIsr: t-0 leader=3 epoch=2 isr=1,2,3",
        "-> 3 LeaderAndIsr: t-0 leader=3 epoch=2 isr=1,2,3",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=2",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=2",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=2",
        "update t-0 leader=3 epoch=3 isr=2,3",
        "-> 2 LeaderAndIsr: t-0 leader=3 epoch=3 isr=2,3",
        "-> 3 LeaderAndIsr: t-0 leader=3 epoch=3 isr=2,3",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=3",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=3",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=3",
        "-> 1 StopReplica: t-0 epoch=2",
        "-> 1 StopReplica: t-0 epoch=3 delete",
        "place t 0: 3,2",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=3",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=3",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=3 epoch=3",
    ];
    assert_eq!(world.told(), expected);
    check_rests_on(&mut world, &[3, 2]);
}

#[test]
fn it_waits_for_every_target() {
    let mut world = with(4, &[1]);
    assert_eq!(reassign(&mut world, &[3, 4]), None);
    for (isr, waits) in [(&[1, 3][..], true), (&[1][..], true), (&[1, 4], true), (&[1, 4, 3], false)] {
        world.ask_isr(&t0(), isr);
        world.run();
        world.check_settled();
        assert_eq!(!moving(&mut world).is_empty(), waits, "{isr:?}");
    }
    check_rests_on(&mut world, &[3, 4]);
    assert_eq!(world.store.states[&t0()].leader, 3);
}

#[test]
fn another_order_is_stored_and_told_at_once() {
    let mut world = with(3, &[1, 2, 3]);
    assert_eq!(reassign(&mut world, &[2, 1, 3]), None);
    let told = world.told();
    assert_eq!(told[..2], ["place t 0: 2,1,3", "update t-0 leader=1 epoch=1 isr=1,2,3"]);
    assert!(!told.iter().any(|line| line.contains("StopReplica") || line.contains("new")), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("place")).count(), 1);
    check_rests_on(&mut world, &[2, 1, 3]);
    assert_eq!(world.store.states[&t0()].leader, 1, "no election");
    assert_eq!(&*world.peers[&3].image.partition("t", 0).unwrap().replicas, [2, 1, 3]);
}

#[test]
fn fewer_replicas() {
    let mut world = with(3, &[1, 2, 3]);
    assert_eq!(reassign(&mut world, &[2]), None);
    check_rests_on(&mut world, &[2]);
}

#[test]
fn a_cancelled_move_leaves_nothing_behind() {
    let mut world = with(6, &[1, 2, 3]);
    assert_eq!(reassign(&mut world, &[4, 5, 6]), None);
    world.ask_isr(&t0(), &[1, 2, 3, 4]);
    world.run();
    let ticket = wish(&mut world, &[("t", 0, None)]);
    world.run();
    assert_eq!(code(&world, ticket), None);
    check_rests_on(&mut world, &[1, 2, 3]);
    assert_eq!(&*world.store.states[&t0()].isr, [1, 2, 3]);
    let again = wish(&mut world, &[("t", 0, None)]);
    world.run();
    assert_eq!(code(&world, again), Some(ErrorCode::NoReassignmentInProgress));
}

#[test]
fn another_target_on_the_way_and_its_leader_among_those_given_up() {
    let mut world = with(6, &[1, 2]);
    assert_eq!(reassign(&mut world, &[4, 5]), None);
    world.ask_isr(&t0(), &[1, 2, 4]);
    world.run();
    let ticket = world.ask(Request::ElectLeaders { unclean: false, partitions: Some(vec![t0()]) });
    world.run();
    assert!(matches!(world.answer(ticket), Some(Answer::ElectLeaders(Ok(of))) if of[0].1 == Ok(4)));
    world.told();
    assert_eq!(reassign(&mut world, &[6, 1]), None);
    let told = world.told();
    let writes: Vec<&str> =
        told.iter().map(String::as_str).filter(|line| line.starts_with(['p', 'u'])).collect();
    let expected = [
        "place t 0: 6,1,2 +6 -2",
        "update t-0 leader=1 epoch=3 isr=1,2,4", // never without a leader
        "update t-0 leader=1 epoch=4 isr=1,2",
        "update t-0 leader=1 epoch=5 isr=1,2",
    ];
    assert_eq!(writes, expected);
    assert!(!world.peers[&4].epochs.contains_key(&t0()) && !world.peers[&5].epochs.contains_key(&t0()));
    world.check_settled();
    world.catch_up(&t0());
    world.run();
    check_rests_on(&mut world, &[6, 1]);
}

#[test]
fn refusals_as_kafka_words_them() {
    use ErrorCode as E;
    let mut world = with(3, &[1, 2]);
    for (target, expected) in [
        (&[][..], E::InvalidReplicaAssignment),
        (&[1, 1], E::InvalidReplicaAssignment),
        (&[1, -1], E::InvalidReplicaAssignment),
        (&[1, 9], E::InvalidReplicaAssignment),
    ] {
        assert_eq!(reassign(&mut world, target), Some(expected), "{target:?}");
    }
    let unknown = wish(&mut world, &[("ghost", 0, Some(&[1]))]);
    let not_moving = wish(&mut world, &[("t", 0, None)]);
    let neither = wish(&mut world, &[("t", 7, None)]);
    world.run();
    assert_eq!(code(&world, unknown), Some(E::UnknownTopicOrPartition));
    assert_eq!(code(&world, not_moving), Some(E::NoReassignmentInProgress));
    assert_eq!(code(&world, neither), Some(E::NoReassignmentInProgress));
    world.told();
    assert_eq!(reassign(&mut world, &[1, 2]), None, "it is so already");
    assert_eq!(world.told().len(), 1, "only the answer");
    world.ask(Request::ControlledShutdown { broker: 3, broker_epoch: -1 });
    assert_eq!(reassign(&mut world, &[1, 3]), Some(E::InvalidReplicaAssignment), "3 leaves");
    check_rests_on(&mut world, &[1, 2]);
}

#[test]
fn the_only_replica_in_sync_is_never_given_up() {
    let mut world = with(3, &[1]);
    assert_eq!(reassign(&mut world, &[2, 3]), None);
    world.ask_isr(&t0(), &[1, 2]);
    world.run();
    world.down(1);
    world.run();
    assert_eq!(&*world.store.states[&t0()].isr, [2]);
    let ticket = wish(&mut world, &[("t", 0, None)]);
    world.run();
    assert_eq!(code(&world, ticket), Some(ErrorCode::InvalidReplicaAssignment));
    assert_eq!(reassign(&mut world, &[3]), Some(ErrorCode::InvalidReplicaAssignment));
    assert_eq!(world.store.states[&t0()].leader, 2);
    world.catch_up(&t0());
    world.run();
    check_rests_on(&mut world, &[2, 3]);
}

#[test]
fn a_partition_without_a_state_is_not_moved() {
    let mut world = World::elected(2);
    world.create("t", &[&[7]]);
    world.run();
    assert_eq!(reassign(&mut world, &[2]), Some(ErrorCode::UnknownServerError));
    assert_eq!(world.store.topics["t"].partitions[0].1, Assignment::of([7].into()));
}

#[test]
fn a_topic_that_is_gone_cannot_be_stored() {
    let mut world = with(2, &[1]);
    let record = world.store.topics.remove("t").unwrap();
    assert_eq!(reassign(&mut world, &[2]), Some(ErrorCode::UnknownServerError));
    world.store.topics.insert("t".into(), record);
    check_rests_on(&mut world, &[1]);
}

#[test]
fn brokers_fail_in_every_phase() {
    // Who dies in phase A, and who leads then.
    for (dies, leader) in [(1, 2), (2, 1), (3, 1), (4, 1)] {
        let mut world = with(4, &[1, 2]);
        assert_eq!(reassign(&mut world, &[3, 4]), None);
        world.down(dies);
        world.run();
        world.check_settled();
        assert_eq!(world.store.states[&t0()].leader, leader, "without {dies}");
        world.catch_up(&t0());
        world.run();
        world.check_settled();
        let waits = dies > 2;
        assert_eq!(!moving(&mut world).is_empty(), waits, "a dead target is waited for, {dies}");
        world.up(dies);
        world.run();
        world.check_settled();
        world.catch_up(&t0());
        world.run();
        check_rests_on(&mut world, &[3, 4]);
    }
}

#[test]
fn nobody_of_the_target_can_lead_at_the_end() {
    let mut world = with(3, &[1, 2]);
    world.down(1);
    world.run();
    // 2 alone is in sync, and dies as the last.
    world.down(2);
    world.run();
    world.told();
    assert_eq!(reassign(&mut world, &[2]), None);
    assert_eq!(world.told(), ["place t 0: 2,1 -1", "answer 1"]);
    assert_eq!(moving(&mut world).len(), 1);
    world.up(2);
    world.run();
    check_rests_on(&mut world, &[2]);
}

#[test]
fn a_bounce_of_a_target_begins_its_part_anew() {
    let mut world = with(3, &[1]);
    assert_eq!(reassign(&mut world, &[3]), None);
    world.up(3);
    world.run();
    world.check_settled();
    assert!(world.told().iter().any(|line| line.starts_with("-> 3 LeaderAndIsr") && line.ends_with("new")));
    world.catch_up(&t0());
    world.run();
    check_rests_on(&mut world, &[3]);
}

#[test]
fn a_write_that_lost_a_race_is_decided_anew() {
    let mut world = with(3, &[1, 2]);
    // An old leader grew the ISR itself, so what looked like phase A is phase B.
    assert_eq!(reassign(&mut world, &[2, 3]), None);
    let state = world.store.states.get_mut(&t0()).unwrap();
    (state.isr, state.partition_epoch) = ([1, 2, 3].into(), state.partition_epoch + 1);
    assert_eq!(reassign(&mut world, &[2, 3]), None);
    let told = world.told();
    assert!(told.iter().any(|line| line.ends_with("BadVersion")), "{told:#?}");
    check_rests_on(&mut world, &[2, 3]);
}

#[test]
fn an_isr_that_an_old_leader_wrote_completes_it() {
    let mut world = with(3, &[1, 2]);
    assert_eq!(reassign(&mut world, &[2, 3]), None);
    let state = world.store.states.get_mut(&t0()).unwrap();
    (state.isr, state.partition_epoch) = ([1, 2, 3].into(), state.partition_epoch + 1);
    world.store.isr_changes.insert("isr_change_0".to_owned(), vec![t0()]);
    world.change(Change::IsrChanges);
    world.run();
    check_rests_on(&mut world, &[2, 3]);
}

/// The controller dies after each single step of a whole reassignment, then after two in a row.
#[test]
fn a_controller_that_dies_anywhere_loses_nothing() {
    let whole = |crashes: &[usize]| {
        let mut world = with(5, &[1, 2]);
        let mut steps = 0;
        let mut run = |world: &mut World| loop {
            if crashes.contains(&steps) {
                world.fail_over();
            }
            steps += 1;
            if !world.tick() {
                break;
            }
        };
        wish(&mut world, &[("t", 0, Some(&[3, 4]))]);
        run(&mut world);
        for target in [&[5, 3][..], &[3, 1, 5]] {
            world.catch_up(&t0());
            run(&mut world);
            world.ask_isr(&t0(), &[world.store.states[&t0()].leader]);
            run(&mut world);
            wish(&mut world, &[("t", 0, Some(target))]);
            run(&mut world);
        }
        world.run();
        world.check_settled();
        world.catch_up(&t0());
        world.run();
        world.check_settled();
        // The wish itself may have died with its controller; half-done it may not stay.
        assert!(moving(&mut world).is_empty(), "{crashes:?}");
        let replicas = world.store.topics["t"].partitions[0].1.replicas.to_vec();
        let isr: Vec<i32> = world.store.states[&t0()].isr.to_vec();
        assert!(isr.iter().all(|id| replicas.contains(id)) && isr.len() == replicas.len(), "{crashes:?}");
        (steps, replicas)
    };
    let (steps, replicas) = whole(&[]);
    assert_eq!(replicas, [3, 1, 5]);
    for first in 0..steps {
        whole(&[first]);
        whole(&[first, first + 3]);
    }
}

#[test]
fn an_earlier_controllers_stop_is_made_up_for() {
    // It stored the cancellation and was gone before it stopped 3, which leads.
    let mut world = with(3, &[1, 2]);
    assert_eq!(reassign(&mut world, &[3, 2]), None);
    world.ask_isr(&t0(), &[1, 2, 3]);
    while !world.told().iter().any(|line| line.starts_with("update t-0 leader=3")) {
        assert!(world.tick());
    }
    world.store.topics.get_mut("t").unwrap().partitions[0].1 = Assignment::of([2, 1].into());
    world.fail_over();
    world.run();
    check_rests_on(&mut world, &[2, 1]);
}

#[test]
fn a_topic_on_the_move_is_deleted_when_it_has_arrived() {
    let mut world = with(3, &[1, 2]);
    assert_eq!(reassign(&mut world, &[3]), None);
    world.delete("t");
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible);
    world.down(2);
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible);
    world.fail_over();
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible, "a fail-over changes nothing");
    world.up(4);
    world.run();
    assert!(world.machine.context().deleting["t"].ineligible, "nor does a broker without a part in it");
    assert_eq!(reassign(&mut world, &[1]), Some(ErrorCode::UnknownTopicOrPartition), "under deletion");
    world.ask_isr(&t0(), &[1, 3]);
    world.run();
    assert!(world.machine.context().topic("t").is_none() && world.store.topics.is_empty());
    assert!(world.peers.values().all(|peer| peer.epochs.is_empty()));
}

#[test]
fn a_move_that_cannot_end_does_not_keep_a_topic_from_deletion() {
    let mut world = with(3, &[1, 2]);
    assert_eq!(reassign(&mut world, &[3]), None);
    for id in [1, 2] {
        world.down(id);
        world.run();
    }
    world.delete("t");
    world.run();
    assert_eq!(world.store.states[&t0()].leader, -1);
    for id in [1, 2] {
        world.up(id);
        world.run();
    }
    assert!(world.machine.context().topic("t").is_none() && world.store.topics.is_empty());
    assert!(moving(&mut world).is_empty());
    assert!(world.peers.values().all(|peer| peer.epochs.is_empty()));
}

#[test]
fn added_partitions_and_a_move_do_not_disturb_each_other() {
    let mut world = with(3, &[1, 2]);
    let wanted = wish(&mut world, &[("t", 0, Some(&[3, 2]))]);
    // Added before the controller has heard of it, so its write must keep what it does not know.
    let record = world.store.topics.get_mut("t").unwrap();
    record.partitions.push((1, Assignment::of([2, 1].into())));
    world.change(Change::Topic("t".into()));
    world.run();
    assert_eq!(code(&world, wanted), None);
    world.check_settled();
    assert_eq!(world.store.topics["t"].partitions.len(), 2);
    let online = PartitionState::Online;
    assert_eq!(world.machine.context().partition(&at("t", 1)).unwrap().state, online);
    world.catch_up(&t0());
    world.run();
    check_rests_on(&mut world, &[3, 2]);
    world.told();
    world.change(Change::Topic("t".into()));
    world.run();
    assert!(world.told().is_empty(), "its own writes are no news");
}

#[test]
fn many_partitions_take_as_many_rounds_as_one() {
    let mut world = World::elected(4);
    let partitions: Vec<&[i32]> = vec![&[1, 2]; 200];
    world.create("t", &partitions);
    world.create("u", &partitions);
    world.run();
    world.told();
    let all: Vec<(&str, i32, Option<&[i32]>)> = ["t", "u"]
        .into_iter()
        .flat_map(|topic| (0..200).map(move |p| (topic, p, Some(&[3, 4][..]))))
        .collect();
    wish(&mut world, &all);
    world.run();
    let told = world.told();
    assert_eq!(told.iter().filter(|line| line.starts_with("place")).count(), 2, "one write a topic");
    assert_eq!(told.iter().filter(|line| line.contains("LeaderAndIsr")).count(), 4, "one request a broker");
    for at in world.store.states.keys().cloned().collect::<Vec<_>>() {
        world.catch_up(&at);
    }
    world.run();
    world.check_settled();
    assert!(moving(&mut world).is_empty());
}
