//! The two nodes of old tools.

use ottla::controller::context::Assignment;
use ottla::controller::event::Change;

use crate::reassignment::{t0, wish, with};
use crate::world::{World, at};

fn leave(world: &mut World, wishes: &[(&str, i32, &[i32])]) {
    let wishes = wishes.iter().map(|(topic, index, to)| (at(topic, *index), to.to_vec())).collect();
    world.store.reassignment_wishes = Some(wishes);
    world.change(Change::ReassignmentWishes);
}

#[test]
fn wishes_are_taken_up_once_and_leave_one_by_one() {
    let mut world = World::elected(4);
    world.create("t", &[&[1], &[1], &[1], &[1]]);
    world.run();
    world.told();
    let wishes = [("t", 0, &[2][..]), ("t", 1, &[3]), ("t", 2, &[1]), ("t", 3, &[]), ("ghost", 0, &[1])];
    leave(&mut world, &wishes);
    world.run();
    let told = world.told();
    assert_eq!(told[..2], ["keep 2 wishes", "place t 0: 2,1 +2 -1; 1: 3,1 +3 -1"]);
    world.change(Change::ReassignmentWishes);
    world.run();
    assert!(world.told().is_empty(), "seen again, taken up once");
    world.catch_up(&t0());
    world.run();
    assert!(world.told().contains(&"keep 1 wishes".to_owned()));
    assert_eq!(world.store.reassignment_wishes, Some(vec![(at("t", 1), vec![3])]));
    world.catch_up(&at("t", 1));
    world.run();
    assert_eq!(world.store.reassignment_wishes, None, "the next tool can begin");
    world.check_settled();
    for (partition, replica) in [(0, 2), (1, 3), (2, 1), (3, 1)] {
        let stored = &world.store.topics["t"].partitions[partition].1;
        assert_eq!(*stored, Assignment::of([replica].into()));
    }
}

#[test]
fn another_order_is_done_at_once() {
    let mut world = with(2, &[1, 2]);
    leave(&mut world, &[("t", 0, &[2, 1])]);
    world.run();
    world.check_settled();
    assert_eq!(world.store.reassignment_wishes, None);
    assert_eq!(&*world.store.topics["t"].partitions[0].1.replicas, [2, 1]);
    assert_eq!(world.store.states[&t0()].leader, 1, "without an election");
}

#[test]
fn a_target_that_is_away_is_waited_for() {
    let mut world = with(2, &[1]);
    leave(&mut world, &[("t", 0, &[3])]);
    world.run();
    world.check_settled();
    world.up(3);
    world.run();
    world.check_settled();
    world.catch_up(&t0());
    world.run();
    world.check_settled();
    assert_eq!((world.store.states[&t0()].leader, &world.store.reassignment_wishes), (3, &None));
}

#[test]
fn a_wish_goes_with_its_topic() {
    let mut world = with(3, &[1]);
    leave(&mut world, &[("t", 0, &[2])]);
    world.run();
    world.delete("t");
    world.run();
    world.up(1);
    world.run();
    assert!(world.store.topics.is_empty());
    assert_eq!(world.store.reassignment_wishes, None);
}

#[test]
fn a_request_overtakes_a_wish() {
    let mut world = with(3, &[1]);
    leave(&mut world, &[("t", 0, &[2])]);
    world.run();
    wish(&mut world, &[("t", 0, Some(&[3]))]);
    world.run();
    assert_eq!(world.store.reassignment_wishes, None);
    world.catch_up(&t0());
    world.run();
    world.check_settled();
    assert_eq!(world.store.states[&t0()].leader, 3);
}

#[test]
fn a_new_controller_finds_them() {
    let mut world = with(3, &[1]);
    world.store.reassignment_wishes = Some(vec![(t0(), vec![3])]);
    world.store.election_wishes = Some(vec![t0(), at("ghost", 0)]);
    world.fail_over();
    world.run();
    world.check_settled();
    assert_eq!(world.store.election_wishes, None);
    world.fail_over();
    world.run();
    world.catch_up(&t0());
    world.run();
    world.check_settled();
    assert_eq!((world.store.states[&t0()].leader, &world.store.reassignment_wishes), (3, &None));
}

#[test]
fn elections_are_tried_and_forgotten() {
    let mut world = World::elected(2);
    world.create("t", &[&[1, 2], &[2, 1]]);
    world.down(1);
    world.run();
    world.up(1);
    world.run();
    world.ask_isr(&t0(), &[2, 1]);
    world.run();
    world.told();
    let ask = |world: &mut World| {
        world.store.election_wishes = Some(vec![t0(), at("t", 1), at("ghost", 0)]);
        world.change(Change::ElectionWishes);
        world.run();
        world.check_settled();
        assert_eq!(world.store.election_wishes, None);
        world.told()
    };
    assert_eq!(ask(&mut world)[0], "update t-0 leader=1 epoch=2 isr=2,1");
    assert_eq!(ask(&mut world), ["forget elections"], "nothing to do");
}

#[test]
fn what_nobody_can_read_harms_nobody() {
    let mut world = with(2, &[1, 2]);
    world.store.unreadable = true;
    leave(&mut world, &[("t", 0, &[2])]);
    world.store.election_wishes = Some(vec![t0()]);
    world.change(Change::ElectionWishes);
    world.run();
    assert!(world.machine.is_active());
    assert_eq!(world.told(), ["forget elections"]);
    assert!(world.store.reassignment_wishes.is_some(), "left for whoever wrote it");
    world.check_settled();
}
