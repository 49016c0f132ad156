//! The join barrier: how a group gets from one generation to the next.
//!
//! A rebalance waits until every member has sent JoinGroup and no handed-out id is outstanding, at most for the
//! longest rebalance timeout; the first rebalance of an empty group waits a fixed delay instead, extended while
//! newcomers arrive. Then SyncGroup of each member is due within the same timeout.
//! Source: `prepareRebalance`, `onCompleteJoin`, `DelayedJoin`, `InitialDelayedJoin`, `DelayedSync`.

use std::sync::Arc;

use bytes::Bytes;

use super::super::command::SyncGroupReply;
use super::super::shard::{Step, Timer};
use super::group::{Group, InitialDelay, State};
use crate::protocol::error_code::ErrorCode;

impl Group {
    /// Starts a rebalance unless one is already collecting members.
    pub fn rebalance(&mut self, step: &mut Step<'_>) {
        if self.state == State::PreparingRebalance {
            return;
        }
        if self.state == State::CompletingRebalance {
            self.refuse_syncs(step, ErrorCode::RebalanceInProgress);
        }
        self.rebalance.unsynced.clear();
        self.rebalance.storing = false;
        step.cancel(Timer::Sync(self.id.clone()));
        let initial = self.state == State::Empty;
        self.transition(step, State::PreparingRebalance);
        if initial {
            let delay_ms = i64::from(step.config.initial_rebalance_delay_ms);
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.rebalance.initial = Some(InitialDelay { delay_ms, remaining_ms });
            step.set_after(Timer::Join(self.id.clone()), delay_ms);
        } else {
            self.rebalance.initial = None;
            step.set_after(Timer::Join(self.id.clone()), self.rebalance_timeout_ms());
            self.try_complete_join(step);
        }
    }

    /// Forgets the assignments and tells every waiting SyncGroup why.
    pub(super) fn refuse_syncs(&mut self, step: &mut Step<'_>, code: ErrorCode) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = Bytes::new();
            }
            if self.answer_sync(step, &id, |_| SyncGroupReply::error(code)) {
                self.touch(step, &id);
            }
        }
    }

    /// Ends the join phase if nobody is missing. The initial delay is never cut short.
    pub fn try_complete_join(&mut self, step: &mut Step<'_>) {
        if self.state == State::PreparingRebalance
            && self.rebalance.initial.is_none()
            && self.rebalance.awaiting_join == self.members.len()
            && self.rebalance.pending.is_empty()
        {
            self.complete_join(step);
        }
    }

    /// The join phase has lasted long enough.
    pub fn on_join_timer(&mut self, step: &mut Step<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        if let Some(initial) = self.rebalance.initial
            && self.rebalance.new_member_added
            && initial.remaining_ms != 0
        {
            self.rebalance.new_member_added = false;
            let delay_ms = initial.remaining_ms.min(i64::from(step.config.initial_rebalance_delay_ms));
            let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
            self.rebalance.initial = Some(InitialDelay { delay_ms, remaining_ms });
            step.set_after(Timer::Join(self.id.clone()), delay_ms);
            return;
        }
        self.complete_join(step);
    }

    fn complete_join(&mut self, step: &mut Step<'_>) {
        let missing = self.members.values().filter(|member| member.joining.is_none() && !member.is_static());
        let missing: Vec<Arc<str>> = missing.map(|member| member.id.clone()).collect();
        for id in missing {
            self.remove(step, &id);
        }
        self.rebalance.initial = None;
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members, none of them back: wait until their sessions end or one returns.
            step.set_after(Timer::Join(self.id.clone()), self.rebalance_timeout_ms());
            return;
        }
        step.cancel(Timer::Join(self.id.clone()));
        self.generation = self.generation.saturating_add(1);
        self.rebalance.unsynced.clear();
        self.rebalance.storing = false;
        self.rebalance.new_member_added = false;
        self.protocol = self.select_protocol();
        self.subscribed = self.subscription();
        if self.members.is_empty() {
            self.transition(step, State::Empty);
            self.write(step, None, |_| Bytes::new());
        } else {
            self.transition(step, State::CompletingRebalance);
            self.announce_generation(step);
        }
    }

    /// Makes sure the leader takes part in the next generation; false if nobody does.
    fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(|leader| leader.joining.is_some()) {
            return true;
        }
        let joined = self.members.values().find(|member| member.joining.is_some());
        let Some(joined) = joined.map(|member| member.id.clone()) else { return false };
        self.leader = Some(joined);
        true
    }

    fn announce_generation(&mut self, step: &mut Step<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let reply = self.joined(&id, self.is_leader(&id));
            self.answer_join(step, &id, |_| reply);
            self.touch(step, &id);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.rebalance.unsynced.insert(id);
        }
        step.set_after(Timer::Sync(self.id.clone()), self.rebalance_timeout_ms());
    }

    /// The member has sent its SyncGroup.
    pub(super) fn note_synced(&mut self, step: &mut Step<'_>, id: &str) {
        if self.rebalance.unsynced.remove(id) && self.rebalance.unsynced.is_empty() {
            step.cancel(Timer::Sync(self.id.clone()));
        }
    }

    /// Members that never sent their SyncGroup go, static ones too.
    pub fn on_sync_timer(&mut self, step: &mut Step<'_>) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable)
            || self.rebalance.unsynced.is_empty()
        {
            return;
        }
        for id in std::mem::take(&mut self.rebalance.unsynced) {
            self.remove(step, &id);
        }
        self.rebalance(step);
    }
}
