//! What the machine does when the store or the office is lost: conflicts, deposition in mid-flow, fail-over.

use ottla::controller::event::{Answer, Change, Input, Request};
use ottla::controller::partition_state::PartitionState;
use ottla::protocol::error_code::ErrorCode;

use crate::world::{World, at};

#[test]
fn not_the_controller_answers_so_and_does_nothing() {
    let mut world = World::with_brokers(1);
    world.change(Change::Topics);
    let ticket = world.ask(Request::AllocateProducerIds { broker: 1, broker_epoch: 101 });
    world.run();
    assert_eq!(world.answer(ticket), Some(&Answer::ProducerIds(Err(ErrorCode::NotController))));
    assert_eq!(world.told(), ["answer 1"]);
}

#[test]
fn a_conflict_is_read_again_and_decided_anew() {
    let mut world = World::elected(3);
    world.create("t", &[&[1, 2, 3], &[2, 1, 3]]);
    world.run();
    world.told();
    // Both leaders had shrunk their ISRs in the store, as brokers with an old protocol do.
    for (partition, isr) in [(0, [1, 3]), (1, [2, 3])] {
        let state = world.store.states.get_mut(&at("t", partition)).unwrap();
        state.partition_epoch += 1;
        state.isr = isr.into();
    }
    world.down(1);
    world.run();
    let told = world.told();
    let writes: Vec<&str> =
        told.iter().map(String::as_str).filter(|line| line.starts_with("update")).collect();
    let expected = [
        "update t-0 leader=2 epoch=1 isr=2,3 BadVersion",
        "update t-0 leader=3 epoch=1 isr=3",
        "update t-1 leader=2 epoch=1 isr=2,3 BadVersion",
    ];
    assert_eq!(writes, expected, "the second conflict leaves nothing to write");
    world.check_settled();
}

#[test]
fn fail_over_tells_everyone_everything_again() {
    let mut world = World::elected(3);
    world.create("t", &[&[1, 2]]);
    world.run();
    world.told();
    world.fail_over();
    world.run();
    let expected = [
        "clear LogDirs",
        "clear IsrChanges",
        "open 1",
        "open 2",
        "open 3",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=0",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=0",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=0",
        "-> 1 LeaderAndIsr: t-0 leader=1 epoch=0 isr=1,2",
        "-> 2 LeaderAndIsr: t-0 leader=1 epoch=0 isr=1,2",
        "-> 1 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=0",
        "-> 2 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=0",
        "-> 3 UpdateMetadata: brokers=1,2,3; t-0 leader=1 epoch=0",
    ];
    assert_eq!(world.told(), expected);
    world.check_settled();
}

#[test]
fn fail_over_with_a_dead_leader_shrinks_then_elects() {
    let mut world = World::elected(3);
    world.create("t", &[&[1, 2, 3]]);
    world.run();
    world.told();
    world.down(1);
    world.fail_over();
    world.run();
    let told = world.told();
    let writes: Vec<&str> =
        told.iter().map(String::as_str).filter(|line| line.starts_with("update")).collect();
    assert_eq!(writes, ["update t-0 leader=-1 epoch=1 isr=2,3", "update t-0 leader=2 epoch=2 isr=2,3"]);
    world.check_settled();
}

#[test]
fn deposed_in_mid_flow_nothing_leaves_and_late_results_are_ignored() {
    let mut world = World::elected(3);
    world.create("t", &[&[1, 2, 3]]);
    world.run();
    world.told();
    world.down(1);
    world.hold = true;
    while world.tick() {} // the read of the brokers is out
    world.release();
    world.tick(); // the write of the new leader is out; keep its result back
    assert!(!world.machine.is_idle());
    let late = world.inbox.pop_front().expect("the result of the write");
    assert!(matches!(late, Input::Stored { .. }));
    let queued = world.ask(Request::ControlledShutdown { broker: 2, broker_epoch: -1 });
    world.tick();
    world.told();
    world.inbox.push_back(Input::Deposed);
    world.inbox.push_back(late.clone());
    world.run();
    assert_eq!(world.told(), ["resigned", "answer 1"]);
    let refused = Answer::ControlledShutdown(Err(ErrorCode::NotController));
    assert_eq!(world.answer(queued), Some(&refused));
    assert!(!world.machine.is_active() && world.machine.context().topics().is_empty());
    // Elected again, the old result still finds no taker.
    world.elect();
    world.inbox.push_back(late);
    world.run();
    world.check_settled();
    assert_eq!(world.store.states[&at("t", 0)].leader, 2);
}

#[test]
fn deposed_while_serving_a_request_answers_it_once() {
    let mut world = World::elected(1);
    let broker_epoch = world.store.brokers[&1].epoch;
    let ticket = world.ask(Request::AllocateProducerIds { broker: 1, broker_epoch });
    world.hold = true;
    world.tick(); // the read of the last block is out
    assert_eq!(world.answer(ticket), None);
    world.inbox.push_back(Input::Deposed);
    world.tick();
    world.release();
    world.run();
    assert_eq!(world.answers, [(ticket, Answer::ProducerIds(Err(ErrorCode::NotController)))]);
    assert_eq!(world.store.producer_ids, (None, 0));
}

#[test]
fn a_store_that_cannot_be_read_ends_the_office() {
    let mut world = World::elected(1);
    world.change(Change::Topics);
    world.hold = true;
    world.tick();
    let round = 1_000_000;
    world.inbox.push_back(Input::Loaded { round, data: Err("another round's trouble".to_owned()) });
    world.tick();
    assert!(world.machine.is_active());
    let output = {
        let mut probe = World::elected(1);
        let opened = probe.machine.step(probe.now, Input::Change(Change::Topics));
        let data = Err("no auth".to_owned());
        let output = probe.machine.step(probe.now, Input::Loaded { round: opened.round, data });
        assert!(!probe.machine.is_active());
        output
    };
    assert!(output.resigned);
    assert_eq!(output.store, [ottla::controller::store::StoreOp::DeleteController]);
}

#[test]
fn nodes_nobody_can_read_are_left_alone_and_the_controller_stays() {
    let mut world = World::with_brokers(1);
    world.store.unreadable = true;
    world.elect();
    world.create("t", &[&[1]]);
    world.run();
    assert_eq!(world.store.states[&at("t", 0)].leader, 1, "the fail-over went on");
    let broker_epoch = world.store.brokers[&1].epoch;
    let ticket = world.ask(Request::AllocateProducerIds { broker: 1, broker_epoch });
    world.run();
    assert_eq!(world.answer(ticket), Some(&Answer::ProducerIds(Err(ErrorCode::UnknownServerError))));
    assert_eq!((&world.store.feature, world.store.producer_ids), (&None, (None, 0)), "nothing was written");
    assert!(world.machine.is_active() && world.machine.is_idle());
}

#[test]
fn a_state_nobody_can_read_stops_its_partition_alone() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2], &[2, 1]]);
    world.run();
    world.store.garbage.insert(at("t", 0));
    world.fail_over();
    world.run();
    let state = |world: &World, index| world.machine.context().partition(&at("t", index)).unwrap().state;
    assert!(world.machine.is_active() && world.machine.is_idle());
    assert_eq!((state(&world, 0), state(&world, 1)), (PartitionState::New, PartitionState::Online));
    let untouched = world.store.states[&at("t", 0)].clone();
    world.down(2);
    world.run();
    assert_eq!(world.store.states[&at("t", 1)].leader, 1, "the other goes on");
    assert_eq!(world.store.states[&at("t", 0)], untouched, "nothing is written over it");
    // Mended, it is taken over at the next occasion.
    world.store.garbage.clear();
    world.up(2);
    world.run();
    assert_eq!(state(&world, 0), PartitionState::Online);
    world.check_settled();
}

#[test]
fn replies_of_an_earlier_life_are_ignored() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.run();
    world.hold = true;
    world.peers.get_mut(&2).unwrap().failed.insert(at("t", 0));
    world.store.log_dirs.insert("log_dir_event_0".to_owned(), 2);
    world.release();
    world.change(Change::LogDirs);
    // Run until the broker's reply is in the inbox, then let the broker restart before it is heard.
    loop {
        let failing = world.inbox.iter().any(|input| matches!(input, Input::Replied { .. }));
        if failing {
            break;
        }
        assert!(world.tick());
    }
    let position = world.inbox.iter().position(|input| matches!(input, Input::Replied { .. })).unwrap();
    let late = world.inbox.remove(position).unwrap();
    world.up(2);
    world.run();
    world.inbox.push_back(late);
    world.run();
    assert!(world.machine.context().is_online(2, &at("t", 0)));
    world.check_settled();
}
