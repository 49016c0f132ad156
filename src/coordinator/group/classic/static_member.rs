//! A static member's process restarts: same instance id, no member id, and if possible no rebalance.
//!
//! From JoinGroup v9 a returning leader is told it leads but need not assign. Below v9 every returning member is
//! told the *old* leader id instead, so that a returning leader does not take itself for one and assign in a
//! group that will not listen. Source: `updateStaticMemberAndRebalance`; KIP-345, KIP-814, KAFKA-13435.

use std::sync::Arc;

use super::super::command::{JoinGroup, JoinGroupReply, Protocol, SyncGroupReply};
use super::super::shard::{Step, Timer};
use super::group::{Group, State};
use super::member::Session;
use super::store::StoreKind;
use crate::coordinator::shard::Ticket;
use crate::protocol::error_code::ErrorCode;

/// A static member's return to a stable group, until its record is committed; with what is needed to take it back.
#[derive(Debug)]
pub(in super::super) struct Rejoin {
    ticket: Ticket,
    supports_skip_assignment: bool,
    new_id: Arc<str>,
    old_id: Arc<str>,
    old_leader: Option<Arc<str>>,
    old_protocols: Vec<Protocol>,
    old_rebalance_timeout_ms: i32,
    old_session_timeout_ms: i32,
}

impl Group {
    /// Gives the instance held by `old_id` to `new_id`.
    pub(super) fn rejoin_static(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        old_id: Arc<str>,
        new_id: Arc<str>,
        mut request: JoinGroup,
    ) {
        let Some(member) = self.members.get(&old_id) else { return };
        let rejoin = Rejoin {
            ticket,
            supports_skip_assignment: request.supports_skip_assignment,
            new_id: new_id.clone(),
            old_id: old_id.clone(),
            old_leader: self.leader.clone(),
            old_protocols: member.protocols.clone(),
            old_rebalance_timeout_ms: member.rebalance_timeout_ms,
            old_session_timeout_ms: member.session_timeout_ms,
        };
        self.answer_join(step, &old_id, |old| {
            JoinGroupReply::error(old.id.clone(), ErrorCode::FencedInstanceId)
        });
        self.answer_sync(step, &old_id, |_| SyncGroupReply::error(ErrorCode::FencedInstanceId));
        self.rename(step, &old_id, new_id.clone());
        self.touch(step, &new_id);
        let protocols = std::mem::take(&mut request.protocols);
        self.renew(&new_id, protocols, request.rebalance_timeout_ms, request.session_timeout_ms);
        self.park_join(step, &new_id, ticket);
        if self.state == State::Stable && self.select_protocol() == self.protocol {
            let kind = StoreKind::Rejoin(Box::new(rejoin));
            self.write(step, Some(kind), |member| member.assignment.clone());
        } else {
            self.rebalance(step);
        }
    }

    /// Takes over what a JoinGroup of a known member says.
    pub(super) fn renew(&mut self, id: &str, protocols: Vec<Protocol>, rebalance_ms: i32, session_ms: i32) {
        self.set_protocols(id, protocols);
        if let Some(member) = self.members.get_mut(id) {
            member.rebalance_timeout_ms = rebalance_ms;
            member.session_timeout_ms = session_ms;
        }
    }

    fn rename(&mut self, step: &mut Step<'_>, old_id: &str, new_id: Arc<str>) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if member.session.armed_ms.is_some() {
            step.cancel(Timer::Session(self.id.clone(), member.id));
        }
        member.id = new_id.clone();
        member.session = Session::default();
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.rebalance.unsynced.remove(old_id) {
            self.rebalance.unsynced.insert(new_id.clone());
        }
        self.members.insert(new_id, member);
    }

    /// Whether the JoinGroup of this return still waits in a stable group; otherwise the next generation,
    /// or whoever replaced the member, answers it.
    fn still_rejoining(&self, rejoin: &Rejoin) -> bool {
        let member = self.members.get(&rejoin.new_id);
        self.state == State::Stable && member.is_some_and(|member| member.joining == Some(rejoin.ticket))
    }

    /// The return is committed.
    pub(super) fn finish_rejoin(&mut self, step: &mut Step<'_>, rejoin: Rejoin) {
        if !self.still_rejoining(&rejoin) {
            return;
        }
        let leads = self.is_leader(&rejoin.new_id);
        let mut reply = self.joined(&rejoin.new_id, leads && rejoin.supports_skip_assignment);
        if rejoin.supports_skip_assignment {
            reply.skip_assignment = leads;
        } else {
            reply.leader = rejoin.old_leader.unwrap_or_default();
        }
        self.answer_join(step, &rejoin.new_id, |_| reply);
        self.touch(step, &rejoin.new_id);
    }

    /// The return could not be written: everything is as before, and the client tries again.
    pub(super) fn revert_rejoin(&mut self, step: &mut Step<'_>, rejoin: Rejoin, code: ErrorCode) {
        if !self.still_rejoining(&rejoin) {
            return;
        }
        let mut reply = self.joined(&"".into(), false);
        reply.error = code;
        reply.leader = rejoin.old_leader.unwrap_or_default();
        self.answer_join(step, &rejoin.new_id, |_| reply);
        let (rebalance_ms, session_ms) = (rejoin.old_rebalance_timeout_ms, rejoin.old_session_timeout_ms);
        self.renew(&rejoin.new_id, rejoin.old_protocols, rebalance_ms, session_ms);
        self.rename(step, &rejoin.new_id, rejoin.old_id.clone());
        self.touch(step, &rejoin.old_id);
    }
}
