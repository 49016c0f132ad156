//! Producer state against Kafka's rules (B11 of the facts), one test a rule.

use super::*;

const ID: i64 = 9;

/// A client's batch of `count` records that starts at this sequence and offset.
fn data(epoch: i16, sequence: i32, base_offset: i64, count: i32) -> BatchInfo {
    BatchInfo {
        producer_id: ID,
        producer_epoch: epoch,
        base_sequence: sequence,
        last_sequence: sequence.wrapping_add(count - 1) & i32::MAX,
        base_offset,
        last_offset: base_offset + i64::from(count) - 1,
        max_timestamp: 1000 + base_offset,
        is_transactional: false,
        control: None,
    }
}

fn txn(batch: BatchInfo) -> BatchInfo {
    BatchInfo { is_transactional: true, ..batch }
}

fn of(producer_id: i64, batch: BatchInfo) -> BatchInfo {
    BatchInfo { producer_id, ..batch }
}

fn marker(epoch: i16, offset: i64, commit: bool, coordinator_epoch: i32) -> BatchInfo {
    let control = Some(EndMarker { commit, coordinator_epoch });
    BatchInfo { base_sequence: -1, last_sequence: -1, control, ..txn(data(epoch, 0, offset, 1)) }
}

fn state_of(batches: &[BatchInfo]) -> ProducerState {
    let mut state = ProducerState::new();
    for batch in batches {
        state.apply(batch);
        state.set_end_offset(batch.last_offset + 1);
    }
    state
}

fn code(state: &ProducerState, batch: BatchInfo) -> ErrorCode {
    match state.admit(Origin::Client, &batch) {
        Ok(Admit::New) => ErrorCode::None,
        Ok(Admit::Duplicate { .. }) => ErrorCode::DuplicateSequenceNumber,
        Err(error) => error.code(),
    }
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let state = ProducerState::new();
    assert_eq!(code(&state, data(0, 0, 0, 3)), ErrorCode::None);
    assert_eq!(code(&state, data(4, 77, 0, 3)), ErrorCode::None);
}

#[test]
fn sequences_continue_without_a_gap() {
    let state = state_of(&[data(0, 0, 0, 3)]);
    assert_eq!(code(&state, data(0, 3, 3, 2)), ErrorCode::None);
    assert_eq!(code(&state, data(0, 4, 3, 2)), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(&state, data(0, 1, 3, 1)), ErrorCode::OutOfOrderSequenceNumber, "part of a known batch");
}

#[test]
fn sequences_wrap_after_the_largest() {
    let state = state_of(&[data(0, i32::MAX - 1, 0, 2)]);
    assert_eq!(code(&state, data(0, 0, 2, 1)), ErrorCode::None);
    let state = state_of(&[data(0, i32::MAX - 1, 0, 4)]);
    assert_eq!(state.producer(ID).unwrap().last_sequence, 1);
    assert_eq!(code(&state, data(0, 2, 4, 1)), ErrorCode::None);
    assert_eq!(code(&state, data(0, i32::MAX - 1, 4, 4)), ErrorCode::DuplicateSequenceNumber);
}

#[test]
fn five_batches_are_recognised_when_repeated() {
    let batches: Vec<BatchInfo> = (0..6).map(|n| data(2, n * 2, 100 + i64::from(n) * 2, 2)).collect();
    let state = state_of(&batches);
    assert_eq!(code(&state, batches[0]), ErrorCode::OutOfOrderSequenceNumber, "the sixth back is forgotten");
    for batch in &batches[1..] {
        let again = BatchInfo { base_offset: 500, last_offset: 501, max_timestamp: 5, ..*batch };
        let (base_offset, last_offset) = (batch.base_offset, batch.last_offset);
        let original = Admit::Duplicate { base_offset, last_offset, timestamp: batch.max_timestamp };
        assert_eq!(state.admit(Origin::Client, &again), Ok(original));
        assert_eq!(
            state.admit(Origin::Replication, &again),
            Ok(Admit::New),
            "a follower appends what it gets"
        );
    }
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_starts_at_zero() {
    let mut state = state_of(&[data(5, 0, 0, 3)]);
    assert_eq!(code(&state, data(4, 3, 3, 1)), ErrorCode::InvalidProducerEpoch);
    assert_eq!(code(&state, data(6, 3, 3, 1)), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(&state, data(6, 0, 3, 1)), ErrorCode::None);
    state.apply(&data(6, 0, 3, 1));
    assert_eq!(
        code(&state, data(5, 0, 0, 3)),
        ErrorCode::InvalidProducerEpoch,
        "a duplicate of the old epoch"
    );
    assert_eq!(code(&state, data(6, 1, 4, 1)), ErrorCode::None);
}

#[test]
fn a_coordinator_has_no_sequences_but_epochs() {
    let state = state_of(&[data(5, 0, 0, 3)]);
    let batch = BatchInfo { base_sequence: -1, last_sequence: -1, ..data(5, 0, 3, 1) };
    assert_eq!(state.admit(Origin::Coordinator, &batch), Ok(Admit::New));
    let old = BatchInfo { producer_epoch: 4, ..batch };
    assert_eq!(state.admit(Origin::Coordinator, &old).unwrap_err().code(), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn a_transaction_holds_back_the_stable_offset_until_its_marker_is_replicated() {
    let mut state = state_of(&[data(0, 0, 0, 3), txn(data(0, 3, 3, 2)), txn(data(0, 5, 5, 1))]);
    assert!(state.has_open_transaction(ID));
    assert_eq!(state.first_unstable_offset(), Some(3));
    assert_eq!(state.last_stable_offset(6), 3);
    assert_eq!(state.last_stable_offset(2), 2);
    assert_eq!(code(&state, data(0, 6, 6, 1)), ErrorCode::InvalidTxnState, "a plain batch within it");
    let completed = state.apply(&marker(0, 6, false, 1)).unwrap();
    let expected = CompletedTxn {
        producer_id: ID,
        first_offset: 3,
        last_offset: 6,
        is_aborted: true,
        last_stable_offset: 7,
    };
    assert_eq!(completed, expected);
    assert!(!state.has_open_transaction(ID));
    assert_eq!(state.first_undecided_offset(), None);
    assert_eq!(state.first_unstable_offset(), Some(3), "the marker may still be lost");
    state.on_high_watermark(6);
    assert_eq!(state.first_unstable_offset(), Some(3), "the watermark is exclusive");
    state.on_high_watermark(7);
    assert_eq!(state.first_unstable_offset(), None);
    assert_eq!(state.last_stable_offset(7), 7);
    assert_eq!(code(&state, data(0, 6, 7, 1)), ErrorCode::None, "the marker took no sequence");
}

#[test]
fn an_ended_transaction_is_stable_up_to_the_next_open_one() {
    let mut state = state_of(&[txn(data(0, 0, 10, 2)), of(1, txn(data(0, 0, 12, 1)))]);
    assert_eq!(state.apply(&marker(0, 13, true, 1)).unwrap().last_stable_offset, 12);
    let last = state.apply(&of(1, marker(0, 14, false, 1))).unwrap();
    assert_eq!((last.last_stable_offset, last.is_aborted), (15, true));
}

#[test]
fn markers_are_fenced_by_both_epochs() {
    let mut state = state_of(&[txn(data(3, 0, 0, 1)), marker(3, 1, true, 8)]);
    assert_eq!(code(&state, marker(2, 2, true, 8)), ErrorCode::InvalidProducerEpoch);
    assert_eq!(code(&state, marker(3, 2, true, 7)), ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(code(&state, marker(3, 2, true, 8)), ErrorCode::None);
    assert_eq!(state.admit(Origin::Replication, &marker(3, 2, true, 7)), Ok(Admit::New));
    assert_eq!(state.apply(&marker(4, 2, false, 9)), None, "no transaction is open");
    let entry = state.producer(ID).unwrap();
    assert_eq!((entry.producer_epoch, entry.coordinator_epoch), (4, 9));
    assert_eq!(
        (entry.last_sequence, entry.last_offset, entry.offset_delta),
        (-1, -1, 0),
        "batches forgotten"
    );
    assert_eq!(code(&state, data(4, 1, 3, 1)), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(&state, data(4, 0, 3, 1)), ErrorCode::None);
}

#[test]
fn idle_producers_expire_unless_a_transaction_is_open() {
    let mut state = state_of(&[data(0, 0, 0, 1), of(1, txn(data(0, 0, 1, 1)))]);
    assert_eq!(state.remove_expired(Timestamp(1000 + 49), 50), 0);
    assert_eq!(state.remove_expired(Timestamp(1000 + 51), 50), 1);
    assert_eq!(state.producer(ID), None);
    assert!(state.has_open_transaction(1));
    assert_eq!(code(&state, data(0, 40, 2, 1)), ErrorCode::None, "expired: any sequence will do");
}

#[test]
fn a_snapshot_restores_all_but_the_older_batches() {
    let state = state_of(&[
        data(0, 0, 0, 2),
        data(0, 2, 2, 2),
        of(1, txn(data(0, 0, 4, 2))),
        of(2, marker(1, 6, false, 4)),
    ]);
    let entries: Vec<ProducerEntry> = state.active_producers().collect();
    let again = ProducerState::from_snapshot(&entries, 7, Timestamp(1010), i64::MAX);
    assert_eq!(again.active_producers().collect::<Vec<_>>(), entries);
    assert_eq!((again.end_offset(), again.needs_snapshot()), (7, false));
    assert_eq!(again.first_unstable_offset(), Some(4));
    assert_eq!(code(&again, data(0, 2, 9, 2)), ErrorCode::DuplicateSequenceNumber);
    assert_eq!(code(&again, data(0, 0, 9, 2)), ErrorCode::OutOfOrderSequenceNumber);
    let expired = ProducerState::from_snapshot(&entries, 7, Timestamp(2000), 10);
    assert_eq!(expired.active_producers().map(|entry| entry.producer_id).collect::<Vec<_>>(), [1]);
}

#[test]
fn snapshots_are_due_when_the_state_moved() {
    let mut state = ProducerState::starting_at(5);
    assert!(!state.needs_snapshot() && state.is_empty());
    state.set_end_offset(6);
    assert!(state.needs_snapshot());
    state.snapshot_taken();
    assert!(!state.needs_snapshot());
    state.on_log_start_offset(9, None);
    assert_eq!((state.end_offset(), state.needs_snapshot()), (9, false));
}

#[test]
fn a_hanging_transaction_is_noticed() {
    let state = state_of(&[txn(data(0, 0, 0, 1))]);
    let limit = 1000 + 60_000 + LATE_TRANSACTION_BUFFER_MS;
    assert!(!state.has_late_transaction(Timestamp(limit), 60_000));
    assert!(state.has_late_transaction(Timestamp(limit + 1), 60_000));
    assert!(!ProducerState::new().has_late_transaction(Timestamp(limit + 1), 60_000));
}
