//! The leader's picture, step by step. Times are milliseconds, the lag limit 30,000.

use super::*;

const LAG: i64 = 30_000;

fn leading(isr: &[i32], epoch_start: i64) -> Isr {
    let term = Term { leader_epoch: 5, partition_epoch: 9, isr, replicas: &[1, 2, 3], epoch_start };
    Isr::begin(1, term, None, 0)
}

fn fetch(isr: &mut Isr, id: i32, offset: i64, leader_end: i64, now_ms: i64) {
    let at = FetchedAt { offset, log_start_offset: 0, leader_end, now_ms };
    isr.on_fetch(id, &at).expect("a replica");
}

fn mark(isr: &Isr, leader_end: i64, now_ms: i64) -> i64 {
    isr.high_watermark(leader_end, now_ms, LAG, &|_| true)
}

#[test]
fn every_member_must_have_a_record_before_it_is_committed() {
    let mut isr = leading(&[1, 2, 3], 0);
    assert_eq!(mark(&isr, 10, 1), UNKNOWN, "nobody has fetched yet");
    fetch(&mut isr, 2, 10, 10, 2);
    assert_eq!(mark(&isr, 10, 2), UNKNOWN);
    fetch(&mut isr, 3, 7, 10, 3);
    assert_eq!(mark(&isr, 10, 3), 7);
    fetch(&mut isr, 3, 10, 12, 4);
    assert_eq!(mark(&isr, 12, 4), 10);
}

#[test]
fn a_member_that_lags_leaves_after_the_limit_and_counts_until_the_controller_agrees() {
    let mut isr = leading(&[1, 2, 3], 0);
    fetch(&mut isr, 2, 10, 10, 20_000);
    fetch(&mut isr, 3, 4, 10, 20_000);
    assert_eq!(isr.shrink(10, LAG, LAG), None, "3 counts as caught up when the term began");
    let proposal = isr.shrink(10, LAG + 1, LAG).expect("3 is late");
    assert_eq!(
        (proposal.isr.as_slice(), proposal.partition_epoch, proposal.leader_epoch),
        (&[1, 2][..], 9, 5)
    );
    assert_eq!(isr.shrink(10, LAG + 1, LAG), None, "one change at a time");
    assert_eq!((mark(&isr, 10, LAG + 1), isr.maximal_len()), (4, 3));
    let agreed = Agreed { isr: vec![1, 2], leader_epoch: 5, partition_epoch: 10 };
    assert_eq!(isr.settle(&proposal, Ok(&agreed), 0), Settled::Changed);
    assert_eq!((isr.committed(), isr.partition_epoch(), mark(&isr, 10, LAG + 1)), (&[1, 2][..], 10, 10));
}

#[test]
fn a_follower_that_keeps_up_with_the_last_fetch_stays() {
    let mut isr = leading(&[1, 2], 0);
    // Never quite at the end, but always where the end was at the fetch before: it is as fast as the leader.
    for step in 0..10 {
        fetch(&mut isr, 2, step * 10, step * 10 + 10, step * 20_000);
    }
    assert_eq!(isr.shrink(100, 9 * 20_000, LAG), None);
    assert_eq!(isr.shrink(100, 9 * 20_000 + 10_001, LAG).expect("late").isr, [1]);
}

#[test]
fn joining_needs_the_high_watermark_and_the_start_of_the_term() {
    let mut isr = leading(&[1], 8);
    fetch(&mut isr, 2, 6, 10, 1);
    assert!(isr.expand(2, 5).is_none(), "KAFKA-7128: what it has may end in an older term");
    fetch(&mut isr, 2, 8, 10, 2);
    assert!(isr.expand(2, 9).is_none());
    let proposal = isr.expand(2, 8).expect("it has all that is committed");
    assert_eq!(proposal.isr, [1, 2]);
    assert_eq!((isr.committed(), isr.maximal_len()), (&[1][..], 2));
    assert_eq!(mark(&isr, 10, 2), 8, "a joining member holds the mark back at once");
    fetch(&mut isr, 3, 10, 10, 3);
    assert!(isr.expand(3, 8).is_none() && !isr.may_expand(3), "one change at a time");
    assert_eq!(isr.settle(&proposal, Err(ErrorCode::IneligibleReplica), 0), Settled::RolledBack);
    assert_eq!((isr.maximal_len(), isr.proposed()), (1, None));
    assert!(isr.expand(3, 8).is_some());
}

#[test]
fn a_caught_up_follower_outside_the_isr_holds_the_mark_while_it_lives() {
    let mut isr = leading(&[1], 0);
    fetch(&mut isr, 2, 10, 10, 1);
    assert_eq!(isr.high_watermark(12, 2, LAG, &|_| true), 10);
    assert_eq!(isr.high_watermark(12, 2, LAG, &|id| id != 2), 12, "a dead one does not");
    assert_eq!(isr.high_watermark(12, LAG + 2, LAG, &|_| true), 12, "nor a late one");
    assert_eq!(
        isr.on_fetch(7, &FetchedAt { offset: 0, log_start_offset: 0, leader_end: 1, now_ms: 0 }),
        None
    );
}

#[test]
fn a_follower_that_was_refused_holds_nothing_up_and_is_not_proposed_with_each_fetch() {
    let mut isr = leading(&[1], 0);
    fetch(&mut isr, 2, 10, 10, 1);
    let proposal = isr.expand(2, 8).expect("it has everything");
    assert_eq!(isr.settle(&proposal, Err(ErrorCode::IneligibleReplica), 20), Settled::RolledBack);
    // It stops: the next records must not wait for it.
    assert_eq!(mark(&isr, 12, 30), 12);
    fetch(&mut isr, 2, 12, 12, 20 + REFUSED_MS - 1);
    assert!(isr.expand(2, 12).is_none());
    assert_eq!(mark(&isr, 14, 30), 14);
    // Or it was only late to be known.
    fetch(&mut isr, 2, 14, 14, 20 + REFUSED_MS);
    assert_eq!(mark(&isr, 15, 20 + REFUSED_MS), 14, "it will join soon");
    assert!(isr.expand(2, 14).is_some());
}

#[test]
fn answers_that_mean_an_old_view_leave_the_change_standing() {
    let stay = [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::InvalidUpdateVersion,
        ErrorCode::InvalidRequest,
        ErrorCode::NewLeaderElected,
    ];
    let mut isr = leading(&[1, 2], 0);
    let proposal = isr.shrink(5, LAG + 1, LAG).expect("2 never fetched");
    for code in stay {
        assert_eq!(isr.settle(&proposal, Err(code), 0), Settled::Ignored, "{code}");
        assert_eq!(isr.proposed(), Some(&proposal), "{code}");
    }
    // R21: a controller that is one no more, or a broken line, is asked again.
    for code in [ErrorCode::NotController, ErrorCode::UnknownServerError, ErrorCode::StaleBrokerEpoch] {
        assert_eq!(isr.settle(&proposal, Err(code), 0), Settled::Retry, "{code}");
    }
    let other_term = Agreed { isr: vec![1], leader_epoch: 6, partition_epoch: 10 };
    assert_eq!(isr.settle(&proposal, Ok(&other_term), 0), Settled::Ignored);
    let older = Agreed { isr: vec![1], leader_epoch: 5, partition_epoch: 8 };
    assert_eq!(isr.settle(&proposal, Ok(&older), 0), Settled::Ignored);
    let agreed = Agreed { isr: vec![1], leader_epoch: 5, partition_epoch: 10 };
    let elsewhere = Proposal { partition_epoch: 8, ..proposal.clone() };
    assert_eq!(isr.settle(&elsewhere, Ok(&agreed), 0), Settled::Ignored, "an answer to another question");
    assert_eq!(isr.settle(&proposal, Ok(&agreed), 0), Settled::Changed);
}

#[test]
fn a_leader_elected_again_knows_its_followers_but_not_that_they_keep_up() {
    let mut isr = leading(&[1, 2], 0);
    fetch(&mut isr, 2, 10, 10, 5);
    fetch(&mut isr, 3, 10, 10, 5);
    let term =
        Term { leader_epoch: 6, partition_epoch: 11, isr: &[1, 2], replicas: &[1, 2, 3], epoch_start: 10 };
    let mut again = Isr::begin(1, term, Some(&isr), 40_000);
    assert_eq!(mark(&again, 12, 40_000), 10, "2 is a member and has 10");
    assert_eq!(again.shrink(12, 40_000 + LAG, LAG), None);
    assert_eq!(again.shrink(12, 40_001 + LAG, LAG).expect("2 stopped fetching").isr, [1]);
    // 3 had everything, but has not fetched in this term: it is not counted as caught up.
    let term = Term { isr: &[1], ..term };
    assert_eq!(Isr::begin(1, term, Some(&isr), 40_000).high_watermark(12, 40_000, LAG, &|_| true), 12);
}

#[test]
fn records_are_deleted_once_every_live_replica_has_deleted_them() {
    let mut isr = leading(&[1, 2, 3], 0);
    for (id, log_start_offset) in [(2, 4), (3, 1)] {
        isr.on_fetch(id, &FetchedAt { offset: 9, log_start_offset, leader_end: 9, now_ms: 1 });
    }
    assert_eq!(isr.low_watermark(5, &|_| true), 1);
    assert_eq!(isr.low_watermark(5, &|id| id != 3), 4);
    assert_eq!(isr.low_watermark(3, &|id| id != 3), 3);
    let near: Vec<i32> = isr.readable_at(2).map(|(id, ..)| id).collect();
    assert_eq!(near, [3], "2 has deleted offset 2");
}
