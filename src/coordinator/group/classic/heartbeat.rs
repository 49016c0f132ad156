//! Heartbeats and the end of sessions.
//!
//! A heartbeat writes one number: see [`super::member::Session`]. Source: `handleHeartbeat`, `DelayedHeartbeat`.

use std::sync::Arc;

use super::super::command::Heartbeat;
use super::super::shard::{Step, Timer};
use super::group::{Group, State};
use crate::protocol::error_code::ErrorCode;

impl Group {
    /// Takes a heartbeat.
    pub fn heartbeat(&mut self, step: &mut Step<'_>, request: &Heartbeat) -> ErrorCode {
        let instance_id = request.group_instance_id.as_deref();
        if let Err(error) = self.check_generation(&request.member_id, instance_id, request.generation_id) {
            return error;
        }
        self.touch(step, &request.member_id);
        match self.state {
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::CompletingRebalance | State::Stable => ErrorCode::None,
            State::Empty => ErrorCode::UnknownMemberId,
        }
    }

    /// A session, or the time to use a handed-out member id, may be over.
    pub fn on_session_timer(&mut self, step: &mut Step<'_>, id: Arc<str>) {
        if self.rebalance.pending.remove(&id) {
            return self.try_complete_join(step);
        }
        let Some(member) = self.members.get_mut(&id) else { return };
        member.session.armed_ms = None;
        let deadline_ms = member.session.deadline_ms;
        if deadline_ms > step.now.steady_ms {
            member.session.armed_ms = Some(deadline_ms);
            step.set(Timer::Session(self.id.clone(), id), deadline_ms);
        } else if !member.is_waiting() {
            self.expel(step, &id);
        }
    }

    /// Removes a member and lets the others share its work.
    pub(super) fn expel(&mut self, step: &mut Step<'_>, id: &str) {
        self.remove(step, id);
        match self.state {
            State::Stable | State::CompletingRebalance => self.rebalance(step),
            State::PreparingRebalance => self.try_complete_join(step),
            State::Empty => {}
        }
    }
}
