//! Group records on their way into the log, and what happens when they are committed or fail.
//!
//! Only records that somebody waits for are kept here: the leader's assignment, and a static member's return to a
//! stable group. The record of an emptied group is not: if it is lost, the previous generation comes back after a
//! fail-over and times out. Source: `GroupMetadataManager.storeGroup` and the callbacks given to it.

use std::sync::Arc;

use bytes::Bytes;

use super::super::shard::{Step, Timer};
use super::group::{Group, State};
use super::static_member::Rejoin;
use crate::protocol::error_code::ErrorCode;

/// Why a group record was written.
#[derive(Debug)]
pub(in super::super) enum StoreKind {
    /// The leader sent the assignments of a generation.
    Sync,
    /// A static member came back under a new id, without a rebalance.
    Rejoin(Box<Rejoin>),
}

/// A group record that this step asks to append; it becomes a [`Store`] when it is replayed.
#[derive(Debug)]
pub(in super::super) struct Staged {
    pub group: Arc<str>,
    pub generation: i32,
    pub kind: StoreKind,
    pub deadline_ms: i64,
}

/// A group record in the log, not yet committed.
#[derive(Debug)]
pub(in super::super) struct Store {
    pub offset: i64,
    pub deadline_ms: i64,
    pub generation: i32,
    pub kind: StoreKind,
    /// What the record says each member gets.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// What a client is told when a group record could not be written.
pub(in super::super) fn store_error(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::RequestTimedOut => ErrorCode::RebalanceInProgress,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}

impl Group {
    /// The group record at `offset` is committed.
    pub fn store_committed(&mut self, step: &mut Step<'_>, offset: i64) {
        let Some(store) = self.stores.pop_front_if(|store| store.offset == offset) else { return };
        if self.stores.is_empty() {
            step.cancel(Timer::Store(self.id.clone()));
        }
        match store.kind {
            StoreKind::Sync => self.finish_sync(step, store.generation, store.assignments),
            StoreKind::Rejoin(rejoin) => self.finish_rejoin(step, *rejoin),
        }
    }

    /// A group record was not appended, or not committed in time; `code` is what clients are told.
    pub fn store_failed(&mut self, step: &mut Step<'_>, generation: i32, kind: StoreKind, code: ErrorCode) {
        match kind {
            StoreKind::Sync => self.fail_sync(step, generation, code),
            StoreKind::Rejoin(rejoin) => self.revert_rejoin(step, *rejoin, code),
        }
    }

    /// Gives up on records that were not committed in time.
    pub fn on_store_timer(&mut self, step: &mut Step<'_>) {
        let now_ms = step.now.steady_ms;
        while let Some(store) = self.stores.pop_front_if(|store| store.deadline_ms <= now_ms) {
            self.store_failed(step, store.generation, store.kind, store_error(ErrorCode::RequestTimedOut));
        }
        if let Some(next) = self.stores.front() {
            step.set(Timer::Store(self.id.clone()), next.deadline_ms);
        }
    }

    /// Whether this generation still waits for its assignments.
    pub(super) fn is_completing(&self, generation: i32) -> bool {
        self.state == State::CompletingRebalance && self.generation == generation
    }
}
