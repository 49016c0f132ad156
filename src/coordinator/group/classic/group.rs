//! The state of one group and the small moves all requests are made of.
//!
//! Invariants: `instances` maps exactly the static members; `speakers` counts members per protocol, each member
//! once; `rebalance.awaiting_join` counts members with a waiting JoinGroup; the leader is a member whenever there
//! are members; at least one protocol is spoken by all. Live membership is volatile: what survives a fail-over
//! is the last group record. Source: `GroupMetadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::command::{JoinGroupReply, Protocol, Reply, SyncGroupReply};
use super::super::offsets::Offsets;
use super::super::records::{GroupValue, MemberValue};
use super::super::shard::{Step, Timer};
use super::super::subscription;
use super::member::{Member, Session};
use super::store::{Store, StoreKind};
use crate::clock::Timestamp;
use crate::coordinator::shard::Ticket;
use crate::protocol::error_code::ErrorCode;

/// Where a group is in its life. The names are the wire's.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in super::super) enum State {
    /// No members; may hold offsets.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// Members joined; waiting for the leader's assignment.
    CompletingRebalance,
    /// Assignments are out.
    Stable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// What a rebalance remembers; lost on fail-over, and rightly so.
#[derive(Debug, Default)]
pub(in super::super) struct Rebalance {
    /// Ids handed out with MEMBER_ID_REQUIRED that have not joined yet.
    pub pending: BTreeSet<Arc<str>>,
    /// How many members have a waiting JoinGroup.
    pub awaiting_join: usize,
    /// Members of this generation that have not sent their SyncGroup.
    pub unsynced: BTreeSet<Arc<str>>,
    /// The first rebalance of an empty group waits for more members.
    pub initial: Option<InitialDelay>,
    /// Somebody joined during the initial delay.
    pub new_member_added: bool,
    /// The leader's assignment of this generation is on its way into the log.
    pub storing: bool,
}

/// The initial delay now running, and how much it may still be extended.
#[derive(Copy, Clone, Debug)]
pub(in super::super) struct InitialDelay {
    pub delay_ms: i64,
    pub remaining_ms: i64,
}

/// One group.
#[derive(Debug)]
pub(in super::super) struct Group {
    pub id: Arc<str>,
    pub state: State,
    /// When `state` was entered; unknown when loaded from an old record.
    pub state_since: Option<Timestamp>,
    /// `None` for a group that only stores offsets.
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub generation: i32,
    pub leader: Option<Arc<str>>,
    pub members: BTreeMap<Arc<str>, Member>,
    /// Member id by instance id.
    pub instances: BTreeMap<Arc<str>, Arc<str>>,
    /// Topics of a consumer group; `None` when it cannot be told.
    pub subscribed: Option<BTreeSet<String>>,
    pub offsets: Offsets,
    pub rebalance: Rebalance,
    /// Group records in the log whose commit somebody waits for, oldest first.
    pub stores: VecDeque<Store>,
    speakers: BTreeMap<Arc<str>, usize>,
}

impl Group {
    /// A group without members or offsets. `born_offset` is the next offset of the log.
    pub fn new(id: Arc<str>, now: Option<Timestamp>, born_offset: i64) -> Group {
        Group {
            id,
            state: State::Empty,
            state_since: now,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            subscribed: None,
            offsets: Offsets::new(born_offset),
            rebalance: Rebalance::default(),
            stores: VecDeque::new(),
            speakers: BTreeMap::new(),
        }
    }

    /// Whether nothing would be lost by forgetting the group: it never had a generation and holds nothing.
    pub fn is_unused(&self) -> bool {
        self.state == State::Empty
            && self.generation == 0
            && self.members.is_empty()
            && self.rebalance.pending.is_empty()
            && self.offsets.is_empty()
    }

    /// Takes over what a group record says (loading), or forgets it (`None`); offsets are kept.
    pub fn load(&mut self, value: Option<GroupValue>) {
        let offsets = std::mem::replace(&mut self.offsets, Offsets::new(0));
        let pending = std::mem::take(&mut self.rebalance.pending);
        *self = Group::new(self.id.clone(), self.state_since, 0);
        self.offsets = offsets;
        self.rebalance.pending = pending;
        let Some(value) = value else { return };
        self.protocol_type = value.protocol_type.filter(|name| !name.is_empty());
        self.generation = value.generation;
        self.protocol = value.protocol;
        self.leader = value.leader;
        self.state_since = value.state_since;
        self.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        for member in value.members {
            let taken = member.group_instance_id.as_ref().is_some_and(|id| self.instances.contains_key(id));
            if taken || self.members.contains_key(&member.member_id) {
                continue;
            }
            let protocol = Protocol {
                name: self.protocol.clone().unwrap_or_default(),
                metadata: member.subscription.clone(),
            };
            self.add(member.into_member(protocol));
        }
        self.leader = self.leader.take().filter(|id| self.members.contains_key(id));
        self.leader = self.leader.take().or_else(|| self.members.keys().next().cloned());
        self.subscribed = self.subscription();
    }

    /// Enters `state`.
    pub fn transition(&mut self, step: &Step<'_>, state: State) {
        self.state = state;
        self.state_since = Some(step.now.wall);
    }

    /// Whether a member with these protocols may be part of the group.
    pub fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let spoken_by_all =
            |protocol: &Protocol| self.speakers.get(&protocol.name) == Some(&self.members.len());
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(spoken_by_all)
    }

    /// The protocol of the next generation: every member votes for the first of its own that all speak.
    pub fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let spoken_by_all = |name| self.speakers.get(name) == Some(&self.members.len());
            if let Some(choice) =
                member.protocols.iter().map(|spoken| &spoken.name).find(|name| spoken_by_all(*name))
            {
                *votes.entry(choice).or_default() += 1;
            }
        }
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
    }

    /// Adds a member whose id is not in the group.
    pub fn add(&mut self, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count_speakers(&member.protocols, true);
        self.rebalance.awaiting_join += usize::from(member.joining.is_some());
        self.rebalance.pending.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member or a pending id. Requests of it that wait are answered: its id is unknown from now on.
    pub fn remove(&mut self, step: &mut Step<'_>, id: &str) {
        self.answer_join(step, id, |_| JoinGroupReply::error("", ErrorCode::UnknownMemberId));
        self.answer_sync(step, id, |_| SyncGroupReply::error(ErrorCode::UnknownMemberId));
        self.rebalance.unsynced.remove(id);
        if let Some(pending) = self.rebalance.pending.take(id) {
            step.cancel(Timer::Session(self.id.clone(), pending));
        }
        let Some(member) = self.members.remove(id) else { return };
        self.count_speakers(&member.protocols, false);
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if member.session.armed_ms.is_some() {
            step.cancel(Timer::Session(self.id.clone(), member.id));
        }
    }

    /// Replaces what a member speaks.
    pub fn set_protocols(&mut self, id: &str, protocols: Vec<Protocol>) {
        let Some(member) = self.members.get_mut(id) else { return };
        let before = std::mem::replace(&mut member.protocols, protocols);
        let after = member.protocols.clone();
        self.count_speakers(&before, false);
        self.count_speakers(&after, true);
    }

    fn count_speakers(&mut self, protocols: &[Protocol], more: bool) {
        for (index, protocol) in protocols.iter().enumerate() {
            if protocols[..index].iter().any(|earlier| earlier.name == protocol.name) {
                continue;
            }
            let count = self.speakers.entry(protocol.name.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.speakers.remove(&protocol.name);
            }
        }
    }

    /// Whether a request may speak for `member_id`.
    pub fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let holder = self.instances.get(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if &**holder != member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// [`Group::check_member`], and that it speaks of this generation.
    pub fn check_generation(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
    ) -> Result<(), ErrorCode> {
        self.check_member(member_id, instance_id)?;
        if generation_id == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// The longest any member grants a rebalance.
    pub fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0).max(0)
    }

    /// The member is alive: its session starts anew.
    pub fn touch(&mut self, step: &mut Step<'_>, id: &str) {
        if let Some(timeout_ms) = self.members.get(id).map(|member| member.session_timeout_ms) {
            self.touch_for(step, id, i64::from(timeout_ms));
        }
    }

    /// The member may be silent for `timeout_ms`.
    pub fn touch_for(&mut self, step: &mut Step<'_>, id: &str, timeout_ms: i64) {
        let Some(member) = self.members.get_mut(id) else { return };
        let deadline_ms = step.now.steady_ms.saturating_add(timeout_ms);
        member.session.deadline_ms = deadline_ms;
        if member.session.armed_ms.is_none_or(|armed| armed > deadline_ms) {
            member.session.armed_ms = Some(deadline_ms);
            step.set(Timer::Session(self.id.clone(), member.id.clone()), deadline_ms);
        }
    }

    /// Lets a JoinGroup wait. One that already waits is superseded: its client gave it up.
    pub fn park_join(&mut self, step: &mut Step<'_>, id: &str, ticket: Ticket) {
        self.answer_join(step, id, |member| {
            JoinGroupReply::error(member.id.clone(), ErrorCode::RebalanceInProgress)
        });
        if let Some(member) = self.members.get_mut(id) {
            member.joining = Some(ticket);
            self.rebalance.awaiting_join += 1;
        }
    }

    /// Answers the member's waiting JoinGroup, if there is one.
    pub fn answer_join(
        &mut self,
        step: &mut Step<'_>,
        id: &str,
        reply: impl FnOnce(&Member) -> JoinGroupReply,
    ) {
        if let Some(member) = self.members.get_mut(id)
            && let Some(ticket) = member.joining.take()
        {
            self.rebalance.awaiting_join -= 1;
            step.reply(ticket, Reply::JoinGroup(reply(member)));
        }
    }

    /// Answers the member's waiting SyncGroup, if there is one; tells whether there was.
    pub fn answer_sync(
        &mut self,
        step: &mut Step<'_>,
        id: &str,
        reply: impl FnOnce(&Member) -> SyncGroupReply,
    ) -> bool {
        let Some(member) = self.members.get_mut(id) else { return false };
        let Some(ticket) = member.syncing.take() else { return false };
        step.reply(ticket, Reply::SyncGroup(reply(member)));
        true
    }

    /// The current generation as `id` is told of it; the leader also gets the members.
    pub fn joined(&self, id: &Arc<str>, with_members: bool) -> JoinGroupReply {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = self.members.values().filter(|_| with_members);
        JoinGroupReply {
            error: ErrorCode::None,
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: id.clone(),
            members: members.map(|member| member.joined(&protocol)).collect(),
        }
    }

    /// A member's assignment in the current generation.
    pub fn synced(&self, assignment: Bytes) -> SyncGroupReply {
        SyncGroupReply {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
        }
    }

    /// The topics a consumer group reads, by its members' subscriptions.
    pub fn subscription(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(subscription::PROTOCOL_TYPE) {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// Writes the group as it is, with `assignment` giving each member's share.
    pub fn write(&self, step: &mut Step<'_>, kind: Option<StoreKind>, assignment: impl Fn(&Member) -> Bytes) {
        let protocol = self.protocol.clone().unwrap_or_default();
        let value = GroupValue {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: self
                .members
                .values()
                .map(|member| MemberValue::of(member, member.metadata(&protocol), assignment(member)))
                .collect(),
        };
        step.write_group(self, value, kind);
    }
}

impl MemberValue {
    fn of(member: &Member, subscription: Bytes, assignment: Bytes) -> MemberValue {
        MemberValue {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription,
            assignment,
        }
    }

    fn into_member(self, protocol: Protocol) -> Member {
        Member {
            id: self.member_id,
            instance_id: self.group_instance_id,
            client_id: self.client_id,
            client_host: self.client_host,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            protocols: vec![protocol],
            assignment: self.assignment,
            is_new: false,
            joining: None,
            syncing: None,
            session: Session::default(),
        }
    }
}
