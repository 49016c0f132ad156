//! JoinGroup: newcomers, the member-id dance, and known members that come back.
//!
//! Invariant: after each call every JoinGroup is either answered or waits in exactly one member.
//! Source: `GroupCoordinator.handleJoinGroup`; KIP-394 (member id required), KIP-345 (static members).

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::command::{JoinGroup, JoinGroupReply, Reply};
use super::super::shard::{Step, Timer};
use super::group::{Group, State};
use super::member::Member;
use crate::coordinator::shard::Ticket;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;

/// A newcomer cannot send heartbeats while its JoinGroup waits, so its silence is borne this long.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// Ids handed out but not yet used, per group: beyond this, newcomers are refused. Kafka has no such limit; an
/// honest group is far below, as an id is used within a round trip or expires with its session.
const MAX_PENDING_MEMBERS: usize = 100_000;

/// `<prefix>-<uuid as Java prints it>`.
fn member_id(prefix: &str, fresh: Uuid) -> Arc<str> {
    let mut id = String::with_capacity(prefix.len() + 37);
    id.push_str(prefix);
    for (index, byte) in fresh.0.iter().enumerate() {
        if matches!(index, 0 | 4 | 6 | 8 | 10) {
            id.push('-');
        }
        write!(id, "{byte:02x}").expect("writing to a string never fails");
    }
    id.into()
}

fn refuse(step: &mut Step<'_>, ticket: Ticket, member_id: &str, error: ErrorCode) {
    step.reply(ticket, Reply::JoinGroup(JoinGroupReply::error(member_id, error)));
}

impl Group {
    /// Takes a JoinGroup whose session timeout was checked.
    pub fn join(&mut self, step: &mut Step<'_>, ticket: Ticket, request: JoinGroup) {
        if !self.has_room(step, &request.member_id) {
            self.remove(step, &request.member_id);
            refuse(step, ticket, "", ErrorCode::GroupMaxSizeReached);
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            refuse(step, ticket, &request.member_id, ErrorCode::InconsistentGroupProtocol);
        } else if request.member_id.is_empty() {
            self.join_newcomer(step, ticket, request);
        } else {
            self.join_known(step, ticket, request);
        }
        self.try_complete_join(step);
    }

    fn has_room(&self, step: &Step<'_>, id: &str) -> bool {
        let max = step.config.max_size;
        let member = self.members.get(id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.joining.is_some()) || self.rebalance.awaiting_join < max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.members.len() < max,
        }
    }

    fn join_newcomer(&mut self, step: &mut Step<'_>, ticket: Ticket, request: JoinGroup) {
        let prefix = request.group_instance_id.as_deref().unwrap_or(&request.client_id);
        let id = member_id(prefix, request.fresh_id);
        if let Some(instance) = &request.group_instance_id {
            match self.instances.get(instance.as_str()).cloned() {
                Some(old_id) => self.rejoin_static(step, ticket, old_id, id, request),
                None => self.admit(step, ticket, id, request),
            }
        } else if !request.require_known_member_id {
            self.admit(step, ticket, id, request);
        } else if self.rebalance.pending.len() >= MAX_PENDING_MEMBERS {
            refuse(step, ticket, "", ErrorCode::GroupMaxSizeReached);
        } else {
            self.rebalance.pending.insert(id.clone());
            let timeout_ms = i64::from(request.session_timeout_ms);
            step.set_after(Timer::Session(self.id.clone(), id.clone()), timeout_ms);
            refuse(step, ticket, &id, ErrorCode::MemberIdRequired);
        }
    }

    /// Adds a member and starts a rebalance.
    fn admit(&mut self, step: &mut Step<'_>, ticket: Ticket, id: Arc<str>, mut request: JoinGroup) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.as_str().into());
        }
        if self.state == State::PreparingRebalance && self.generation == 0 {
            self.rebalance.new_member_added = true;
        }
        self.add(Member::joining(id.clone(), &mut request));
        self.park_join(step, &id, ticket);
        self.touch_for(step, &id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance(step);
    }

    fn join_known(&mut self, step: &mut Step<'_>, ticket: Ticket, mut request: JoinGroup) {
        if let Some(id) = self.rebalance.pending.get(request.member_id.as_str()).cloned() {
            // Ids are handed out to dynamic members only; a static one cannot have been given this.
            if request.group_instance_id.is_some() {
                return refuse(step, ticket, &id, ErrorCode::UnknownMemberId);
            }
            return self.admit(step, ticket, id, request);
        }
        if let Err(error) = self.check_member(&request.member_id, request.group_instance_id.as_deref()) {
            return refuse(step, ticket, &request.member_id, error);
        }
        let Some(member) = self.members.get(request.member_id.as_str()) else { return };
        let id = member.id.clone();
        let unchanged = member.protocols == request.protocols;
        let leader = self.is_leader(&id);
        match self.state {
            // The answer was lost, or a follower wants to make sure: tell the generation again.
            State::CompletingRebalance if unchanged => {
                step.reply(ticket, Reply::JoinGroup(self.joined(&id, leader)));
            }
            State::Stable if unchanged && !leader => {
                step.reply(ticket, Reply::JoinGroup(self.joined(&id, false)));
            }
            // A leader that joins again wants a rebalance: its view of the topics has changed.
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                let protocols = std::mem::take(&mut request.protocols);
                self.renew(&id, protocols, request.rebalance_timeout_ms, request.session_timeout_ms);
                self.park_join(step, &id, ticket);
                self.rebalance(step);
            }
            State::Empty => refuse(step, ticket, &id, ErrorCode::UnknownMemberId),
        }
    }
}
