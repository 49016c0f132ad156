//! Brokers die, return, bounce, lose directories, change addresses, leave in order.

use ottla::controller::context::Leadership;
use ottla::controller::event::{Answer, Change, Request};
use ottla::protocol::error_code::ErrorCode;

use crate::world::{World, at};

fn three() -> World {
    let mut world = World::elected(3);
    world.create("t", &[&[1, 2, 3], &[2, 3, 1]]);
    world.run();
    world.told();
    world
}

#[test]
fn a_leader_dies() {
    let mut world = three();
    world.down(2);
    world.run();
    let expected = [
        "close 2",
        "update t-1 leader=3 epoch=1 isr=3,1",
        "-> 1 LeaderAndIsr: t-1 leader=3 epoch=1 isr=3,1",
        "-> 3 LeaderAndIsr: t-1 leader=3 epoch=1 isr=3,1",
        "-> 1 UpdateMetadata: brokers=1,3; t-1 leader=3 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,3; t-1 leader=3 epoch=1",
        "update t-0 leader=1 epoch=1 isr=1,3",
        "-> 1 LeaderAndIsr: t-0 leader=1 epoch=1 isr=1,3; t-1 leader=3 epoch=1 isr=3,1",
        "-> 3 LeaderAndIsr: t-0 leader=1 epoch=1 isr=1,3; t-1 leader=3 epoch=1 isr=3,1",
        "-> 1 UpdateMetadata: brokers=1,3; t-0 leader=1 epoch=1; t-1 leader=3 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,3; t-0 leader=1 epoch=1; t-1 leader=3 epoch=1",
    ];
    assert_eq!(world.told(), expected);
    world.check_settled();
}

#[test]
fn the_last_in_sync_dies_and_comes_back() {
    let mut world = World::elected(3);
    world.create("t", &[&[2, 3]]);
    world.down(3);
    world.run();
    world.told();
    world.down(2);
    world.run();
    let expected = [
        "close 2",
        "update t-0 leader=-1 epoch=2 isr=2",
        "-> 1 UpdateMetadata: brokers=1; t-0 leader=-1 epoch=2",
    ];
    assert_eq!(world.told(), expected);
    assert_eq!(world.machine.counts().offline_partitions, 1);
    world.up(3);
    world.run();
    assert_eq!(world.store.states[&at("t", 0)].leader, -1, "3 is not in sync and elections are clean");
    world.up(2);
    world.run();
    let state = &world.store.states[&at("t", 0)];
    assert_eq!((state.leader, state.leader_epoch, &*state.isr), (2, 3, &[2][..]));
    world.check_settled();
}

#[test]
fn a_joining_broker_hears_metadata_then_its_replicas() {
    let mut world = three();
    world.down(3);
    world.run();
    world.told();
    world.up(3);
    world.run();
    let expected = [
        "open 3",
        "-> 1 UpdateMetadata: brokers=1,2,3",
        "-> 2 UpdateMetadata: brokers=1,2,3",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1; t-1 leader=2 epoch=1",
        "-> 3 LeaderAndIsr: t-0 leader=1 epoch=1 isr=1,2; t-1 leader=2 epoch=1 isr=2,1",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1; t-1 leader=2 epoch=1",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1; t-1 leader=2 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=1; t-1 leader=2 epoch=1",
    ];
    assert_eq!(world.told(), expected);
    world.check_settled();
}

#[test]
fn a_bounce_is_a_death_and_a_start() {
    let mut world = three();
    world.up(2);
    world.run();
    let told = world.told();
    assert_eq!(told[..2], ["close 2", "open 2"]);
    let state = &world.store.states[&at("t", 1)];
    assert_eq!((state.leader, &*state.isr), (3, &[3, 1][..]));
    assert_eq!(world.peers[&2].epochs[&at("t", 1)], 1);
    world.check_settled();
}

#[test]
fn nothing_to_elect_still_tells_who_lives() {
    let mut world = three();
    world.up(4);
    world.run();
    world.told();
    world.down(4);
    world.run();
    let expected = [
        "close 4",
        "-> 1 UpdateMetadata: brokers=1,2,3",
        "-> 2 UpdateMetadata: brokers=1,2,3",
        "-> 3 UpdateMetadata: brokers=1,2,3",
    ];
    assert_eq!(world.told(), expected);
}

#[test]
fn a_failed_directory_is_a_death_of_its_replicas() {
    let mut world = three();
    world.peers.get_mut(&1).unwrap().failed.insert(at("t", 0));
    world.store.log_dirs.insert("log_dir_event_0".to_owned(), 1);
    world.change(Change::LogDirs);
    world.run();
    assert!(world.store.log_dirs.is_empty());
    let state = &world.store.states[&at("t", 0)];
    assert_eq!((state.leader, &*state.isr), (2, &[2, 3][..]));
    assert_eq!(world.store.states[&at("t", 1)].leader_epoch, 0, "the other directory works");
    assert_eq!(&*world.peers[&2].image.partition("t", 0).unwrap().offline, [1]);
    world.check_settled();
    // The broker restarts with a new disk.
    world.up(1);
    world.run();
    assert!(world.machine.context().is_online(1, &at("t", 0)));
    assert!(world.peers[&2].image.partition("t", 0).unwrap().offline.is_empty());
    world.check_settled();
}

#[test]
fn a_new_address_is_told() {
    let mut world = three();
    let broker = world.store.brokers.get_mut(&3).unwrap();
    broker.image.endpoints[0].port = 9999;
    world.change(Change::Broker(3));
    world.run();
    assert_eq!(world.told().len(), 3);
    assert_eq!(world.peers[&1].image.broker(3).unwrap().endpoints[0].port, 9999);
    world.change(Change::Broker(3));
    world.change(Change::Broker(77));
    world.run();
    assert!(world.told().is_empty());
}

#[test]
fn controlled_shutdown() {
    let mut world = three();
    world.create("alone", &[&[1]]);
    world.run();
    world.told();
    let epoch = world.store.brokers[&1].epoch;
    let stale = world.ask(Request::ControlledShutdown { broker: 1, broker_epoch: epoch - 1 });
    let unknown = world.ask(Request::ControlledShutdown { broker: 9, broker_epoch: -1 });
    let ticket = world.ask(Request::ControlledShutdown { broker: 1, broker_epoch: epoch });
    world.run();
    let refused = |code| Some(&Answer::ControlledShutdown(Err(code))).cloned();
    assert_eq!(world.answer(stale).cloned(), refused(ErrorCode::StaleBrokerEpoch));
    assert_eq!(world.answer(unknown).cloned(), refused(ErrorCode::BrokerNotAvailable));
    assert_eq!(world.answer(ticket), Some(&Answer::ControlledShutdown(Ok(vec![]))));
    let expected = [
        "answer 1",
        "answer 2",
        "update t-0 leader=2 epoch=1 isr=2,3",
        "-> 1 LeaderAndIsr: t-0 leader=2 epoch=1 isr=2,3",
        "-> 2 LeaderAndIsr: t-0 leader=2 epoch=1 isr=2,3",
        "-> 3 LeaderAndIsr: t-0 leader=2 epoch=1 isr=2,3",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=2 epoch=1",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=2 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=2 epoch=1",
        "-> 1 StopReplica: t-1 epoch=0",
        "update t-1 leader=2 epoch=1 isr=2,3",
        "-> 2 LeaderAndIsr: t-1 leader=2 epoch=1 isr=2,3",
        "-> 3 LeaderAndIsr: t-1 leader=2 epoch=1 isr=2,3",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-1 leader=2 epoch=1",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-1 leader=2 epoch=1",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-1 leader=2 epoch=1",
        "-> 1 StopReplica: t-1 epoch=0",
        "answer 3",
    ];
    assert_eq!(world.told(), expected);
    assert_eq!(world.store.states[&at("alone", 0)].leader, 1, "one replica cannot move");
    world.down(1);
    world.run();
    assert_eq!(world.store.states[&at("alone", 0)].leader, -1);
    world.check_settled();
}

#[test]
fn a_shutdown_that_cannot_move_everything_says_so() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.down(2);
    world.run();
    let ticket = world.ask(Request::ControlledShutdown { broker: 1, broker_epoch: -1 });
    world.run();
    assert_eq!(world.answer(ticket), Some(&Answer::ControlledShutdown(Ok(vec![at("t", 0)]))));
}

#[test]
fn an_isr_written_by_an_old_leader_is_read_and_told() {
    let mut world = three();
    let old = world.store.states[&at("t", 0)].clone();
    let new = Leadership { isr: [1, 2].into(), partition_epoch: old.partition_epoch + 1, ..old };
    world.store.states.insert(at("t", 0), new);
    world.store.isr_changes.insert("isr_change_0".to_owned(), vec![at("t", 0), at("ghost", 0)]);
    world.change(Change::IsrChanges);
    world.run();
    assert!(world.store.isr_changes.is_empty());
    assert_eq!(&*world.peers[&3].image.partition("t", 0).unwrap().isr, [1, 2]);
    world.check_settled();
}
