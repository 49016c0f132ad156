//! Elections that are asked for, unclean ones, the clock of preferred ones, AlterPartition, producer ids.

use ottla::controller::event::{
    AlterPartition, AlterTopic, Answer, Change, Input, Request, Ticket, Timer, TopicRef, WantedIsr,
};
use ottla::controller::machine::{Config, Machine};
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::Uuid;

use crate::world::{World, at, config};

/// t-0 on 1 and 2, led by 2 with 1 back but out of sync.
fn moved() -> World {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2]]);
    world.down(1);
    world.run();
    world.up(1);
    world.run();
    world.told();
    world
}

fn alter(world: &mut World, broker: i32, isr: &[i32]) -> Ticket {
    let state = world.store.states[&at("t", 0)].clone();
    let wanted = WantedIsr {
        index: 0,
        leader_epoch: state.leader_epoch,
        isr: isr.to_vec(),
        recovering: false,
        partition_epoch: state.partition_epoch,
    };
    let broker_epoch = world.store.brokers[&broker].epoch;
    let topic = TopicRef::Id(world.store.topics["t"].id.expect("given on creation"));
    let topics = vec![AlterTopic { topic, partitions: vec![wanted] }];
    world.ask(Request::AlterPartition(AlterPartition { version: 3, broker, broker_epoch, topics }))
}

#[test]
fn an_isr_grows_and_only_metadata_follows() {
    let mut world = moved();
    let ticket = alter(&mut world, 2, &[2, 1]);
    world.run();
    let expected = [
        "update t-0 leader=2 epoch=1 isr=2,1",
        "-> 1 UpdateMetadata: brokers=1,2; t-0 leader=2 epoch=1",
        "-> 2 UpdateMetadata: brokers=1,2; t-0 leader=2 epoch=1",
        "answer 1",
    ];
    assert_eq!(world.told(), expected);
    let Some(Answer::AlterPartition(Ok(topics))) = world.answer(ticket) else { panic!("refused") };
    let state = topics[0].partitions[0].1.as_ref().unwrap();
    assert_eq!((state.leader_epoch, state.partition_epoch), (1, 2));
    world.check_settled();
}

#[test]
fn alter_partition_refusals_of_the_whole_and_of_a_part() {
    let mut world = moved();
    let broker_epoch = world.store.brokers[&2].epoch;
    let ask = |world: &mut World, broker, broker_epoch, topic| {
        let wanted =
            WantedIsr { index: 5, leader_epoch: 0, isr: vec![2], recovering: false, partition_epoch: 0 };
        let topics = vec![AlterTopic { topic, partitions: vec![wanted] }];
        let ticket =
            world.ask(Request::AlterPartition(AlterPartition { version: 3, broker, broker_epoch, topics }));
        world.run();
        world.answer(ticket).cloned().unwrap()
    };
    let id = TopicRef::Id(world.store.topics["t"].id.unwrap());
    for (broker, epoch) in [(2, broker_epoch + 1), (2, broker_epoch - 1), (9, broker_epoch)] {
        let answer = ask(&mut world, broker, epoch, id.clone());
        assert_eq!(answer, Answer::AlterPartition(Err(ErrorCode::StaleBrokerEpoch)));
    }
    for (topic, code) in [
        (id, ErrorCode::UnknownTopicOrPartition),
        (TopicRef::Id(Uuid([9; 16])), ErrorCode::UnknownTopicId),
        (TopicRef::Name("ghost".into()), ErrorCode::UnknownTopicOrPartition),
    ] {
        let Answer::AlterPartition(Ok(topics)) = ask(&mut world, 2, broker_epoch, topic) else { panic!() };
        assert_eq!(topics[0].partitions, [(5, Err(code))]);
    }
}

#[test]
fn a_lost_race_is_refused_and_memory_refreshed() {
    let mut world = moved();
    world.store.states.get_mut(&at("t", 0)).unwrap().partition_epoch += 1;
    let mut request = alter(&mut world, 2, &[2, 1]);
    // The asker knows the newer version, so it must have heard of another controller.
    world.run();
    let code = |world: &World, ticket| match world.answer(ticket) {
        Some(Answer::AlterPartition(Ok(topics))) => topics[0].partitions[0].1.clone().err(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&world, request), Some(ErrorCode::NotController));

    world.store.states.get_mut(&at("t", 0)).unwrap().partition_epoch -= 1;
    request = alter(&mut world, 2, &[2, 1]);
    world.store.states.get_mut(&at("t", 0)).unwrap().partition_epoch += 1;
    world.run();
    assert_eq!(code(&world, request), Some(ErrorCode::InvalidUpdateVersion));
    request = alter(&mut world, 2, &[2, 1]);
    world.run();
    assert_eq!(code(&world, request), None, "the second try is based on what is there");
    world.check_settled();
}

#[test]
fn preferred_elections_on_request() {
    let mut world = moved();
    world.create("u", &[&[2, 1]]);
    world.run();
    let elect = |world: &mut World| {
        let partitions = Some(vec![at("t", 0), at("u", 0), at("ghost", 0)]);
        let ticket = world.ask(Request::ElectLeaders { unclean: false, partitions });
        world.run();
        let Some(Answer::ElectLeaders(Ok(mut answers))) = world.answer(ticket).cloned() else { panic!() };
        answers.sort_by(|a, b| a.0.cmp(&b.0));
        answers.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>()
    };
    let unknown = Err(ErrorCode::UnknownTopicOrPartition);
    let needless = Err(ErrorCode::ElectionNotNeeded);
    assert_eq!(elect(&mut world), [unknown, Err(ErrorCode::PreferredLeaderNotAvailable), needless]);
    alter(&mut world, 2, &[2, 1]);
    world.run();
    assert_eq!(elect(&mut world), [unknown, Ok(1), needless]);
    let state = &world.store.states[&at("t", 0)];
    assert_eq!((state.leader, state.leader_epoch, &*state.isr), (1, 2, &[2, 1][..]));
    world.check_settled();
}

#[test]
fn unclean_election_by_topic_config_or_by_hand() {
    for by_hand in [false, true] {
        let mut world = moved();
        world.down(2);
        world.run();
        assert_eq!(world.store.states[&at("t", 0)].leader, -1);
        world.told();
        if by_hand {
            let ticket =
                world.ask(Request::ElectLeaders { unclean: true, partitions: Some(vec![at("t", 0)]) });
            world.run();
            assert_eq!(world.answer(ticket), Some(&Answer::ElectLeaders(Ok(vec![(at("t", 0), Ok(1))]))));
        } else {
            world.change(Change::UncleanOf("other".into()));
            world.run();
            assert!(world.told().is_empty());
            world.store.unclean.insert("t".into());
            world.change(Change::UncleanOf("t".into()));
            world.run();
        }
        assert!(world.told().contains(&"update t-0 leader=1 epoch=3 isr=1 recovering".to_owned()));
        assert_eq!(world.machine.counts().unclean_elections, 1);
        world.check_settled();
        // The leader reports its recovery.
        alter(&mut world, 1, &[1]);
        world.run();
        assert!(!world.store.states[&at("t", 0)].recovering);
    }
}

#[test]
fn the_clock_brings_leaders_back() {
    let mut world = World::with_brokers(2);
    world.machine = Machine::new(Config { rebalance: true, ..config() });
    world.elect();
    world.create("t", &[&[1, 2]]);
    world.run();
    assert_eq!(world.timers, [(Timer::Rebalance, world.now.plus_ms(5_000))]);
    world.down(1);
    world.run();
    world.up(1);
    world.run();
    world.timers.clear();
    world.inbox.push_back(Input::Timer(Timer::Rebalance));
    world.run();
    assert_eq!(world.store.states[&at("t", 0)].leader, 2, "1 is not in sync");
    assert_eq!(world.timers, [(Timer::Rebalance, world.now.plus_ms(300_000))]);
    alter(&mut world, 2, &[2, 1]);
    world.inbox.push_back(Input::Timer(Timer::Rebalance));
    world.run();
    assert_eq!(world.store.states[&at("t", 0)].leader, 1);
    assert_eq!(world.machine.counts().imbalanced_partitions, 0);
    world.check_settled();
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut world = World::elected(2);
    let epoch = |world: &World, id: i32| world.store.brokers[&id].epoch;
    let (one, two) = (epoch(&world, 1), epoch(&world, 2));
    let ask = |world: &mut World, broker, broker_epoch| {
        let ticket = world.ask(Request::AllocateProducerIds { broker, broker_epoch });
        world.run();
        match world.answer(ticket).cloned() {
            Some(Answer::ProducerIds(answer)) => answer.map(|block| (block.start, block.end)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(&mut world, 1, one), Ok((0, 999)));
    assert_eq!(ask(&mut world, 2, two), Ok((1000, 1999)));
    assert_eq!(ask(&mut world, 1, one + 1), Err(ErrorCode::StaleBrokerEpoch));
    assert_eq!(ask(&mut world, 9, one), Err(ErrorCode::BrokerIdNotRegistered));
}
