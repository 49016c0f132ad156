//! SyncGroup: the leader hands in the assignments, each member fetches its own.
//!
//! Assignments go out only after the group record that holds them is committed, so a member never works on one
//! that a fail-over would forget. Source: `GroupCoordinator.doSyncGroup`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::command::{Reply, SyncGroup, SyncGroupReply};
use super::super::shard::Step;
use super::group::{Group, State};
use super::store::StoreKind;
use crate::coordinator::shard::Ticket;
use crate::protocol::error_code::ErrorCode;

impl Group {
    /// Takes a SyncGroup.
    pub fn sync(&mut self, step: &mut Step<'_>, ticket: Ticket, request: SyncGroup) {
        let refusal = match self.check_sync(&request) {
            Err(error) => Some(error),
            Ok(()) if self.state == State::PreparingRebalance => Some(ErrorCode::RebalanceInProgress),
            Ok(()) => None,
        };
        if let Some(error) = refusal {
            return step.reply(ticket, Reply::SyncGroup(SyncGroupReply::error(error)));
        }
        let Some(member) = self.members.get(request.member_id.as_str()) else { return };
        let (id, assignment) = (member.id.clone(), member.assignment.clone());
        self.note_synced(step, &id);
        if self.state == State::Stable {
            step.reply(ticket, Reply::SyncGroup(self.synced(assignment)));
            return self.touch(step, &id);
        }
        // A SyncGroup that already waits is superseded: its client gave it up.
        self.answer_sync(step, &id, |_| SyncGroupReply::error(ErrorCode::RebalanceInProgress));
        if let Some(member) = self.members.get_mut(&id) {
            member.syncing = Some(ticket);
        }
        // The first assignment of a generation counts; a repeated one must not end up in the log behind it.
        if self.is_leader(&id) && !self.rebalance.storing {
            self.rebalance.storing = true;
            let shares: HashMap<String, Bytes> = request.assignments.into_iter().collect();
            let share = |id: &str| shares.get(id).cloned().unwrap_or_default();
            self.write(step, Some(StoreKind::Sync), |member| share(&member.id));
        }
    }

    fn check_sync(&self, request: &SyncGroup) -> Result<(), ErrorCode> {
        if request.require_protocol && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let instance_id = request.group_instance_id.as_deref();
        self.check_generation(&request.member_id, instance_id, request.generation_id)?;
        let differs = |asked: &Option<String>, own: &Option<Arc<str>>| {
            asked.is_some() && asked.as_deref() != own.as_deref()
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// The assignments of `generation` are committed.
    pub(super) fn finish_sync(
        &mut self,
        step: &mut Step<'_>,
        generation: i32,
        assignments: Vec<(Arc<str>, Bytes)>,
    ) {
        if !self.is_completing(generation) {
            return;
        }
        self.rebalance.storing = false;
        self.transition(step, State::Stable);
        step.counts.completed_rebalances += 1;
        for (id, assignment) in assignments {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = assignment.clone();
            let reply = self.synced(assignment);
            if self.answer_sync(step, &id, |_| reply) {
                self.touch(step, &id);
            }
        }
    }

    /// The assignments of `generation` could not be written.
    pub(super) fn fail_sync(&mut self, step: &mut Step<'_>, generation: i32, code: ErrorCode) {
        if self.is_completing(generation) {
            self.refuse_syncs(step, code);
            self.rebalance(step);
        }
    }
}
