//! [`GroupShard`]: one partition of `__consumer_offsets`, with its groups.
//!
//! Requests for groups that are not there create nothing, but for a newcomer's JoinGroup and the record of a
//! commit; a group that holds nothing is forgotten at once. Durable state (offsets; assignments, by way of the
//! group record) changes in `replay`; see `coordinator::shard` for what the shell promises.
//! Source: `GroupCoordinator`, `GroupMetadataManager`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::classic::group::Group;
use super::classic::store::{Staged, Store, StoreKind, store_error};
use super::command::{
    Command, Heartbeat, JoinGroup, JoinGroupReply, LeaveGroup, LeaveGroupReply, Reply, SyncGroup,
    SyncGroupReply,
};
use super::offsets::commit_error;
use super::records::{GroupValue, MalformedRecord, OffsetValue, Record, ValueVersions};
use crate::coordinator::committed::Uncommitted;
use crate::coordinator::shard::{Batch, Effects, Now, Position, Shard, Ticket, TimerChange};
use crate::protocol::error_code::ErrorCode;

/// The settings of the group coordinator; the comments name Kafka's keys.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.max.size`
    pub max_size: usize,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `offset.metadata.max.bytes`, in UTF-16 units
    pub max_offset_metadata: usize,
    /// `offsets.retention.minutes`, in milliseconds
    pub offsets_retention_ms: i64,
    /// `offsets.commit.timeout.ms`
    pub commit_timeout_ms: i64,
    /// By `inter.broker.protocol.version`.
    pub versions: ValueVersions,
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: i32::MAX as usize,
            initial_rebalance_delay_ms: 3_000,
            max_offset_metadata: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            commit_timeout_ms: 5_000,
            versions: ValueVersions::default(),
        }
    }
}

/// What a timer of a group is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// Group and member: its session, or the time a handed-out member id is good for.
    Session(Arc<str>, Arc<str>),
    /// The join phase of a rebalance.
    Join(Arc<str>),
    /// SyncGroup of every member is due.
    Sync(Arc<str>),
    /// A group record has to be committed by now.
    Store(Arc<str>),
}

/// What happened since the shard was made, for the metrics.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Offsets committed.
    pub offset_commits: u64,
    /// Offsets removed for their age.
    pub offset_expirations: u64,
    /// Offsets removed on request.
    pub offset_deletions: u64,
    /// Rebalances that led to a stable group.
    pub completed_rebalances: u64,
}

/// One call: its time, and where its effects go.
pub(super) struct Step<'a> {
    pub now: Now,
    pub config: &'a GroupConfig,
    pub counts: &'a mut Counts,
    out: &'a mut Effects<GroupShard>,
    staged: &'a mut Option<Staged>,
}

impl Step<'_> {
    pub fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.reply_now.push((ticket, reply));
    }

    pub fn set(&mut self, timer: Timer, deadline_ms: i64) {
        self.out.timers.push(TimerChange::Set(timer, deadline_ms));
    }

    pub fn set_after(&mut self, timer: Timer, delay_ms: i64) {
        self.set(timer, self.now.steady_ms.saturating_add(delay_ms));
    }

    pub fn cancel(&mut self, timer: Timer) {
        self.out.timers.push(TimerChange::Cancel(timer));
    }

    /// Asks for a group record, and if somebody waits for it remembers why until it is replayed or refused.
    pub fn write_group(&mut self, group: &Group, value: GroupValue, kind: Option<StoreKind>) {
        let record = Record::Group { group: group.id.clone(), value: Some(value) };
        let batch = Batch { records: vec![record], base_sequence: -1, transaction: None, acks_all: true };
        self.out.append.push(batch);
        let Some(kind) = kind else { return };
        let deadline_ms = self.now.steady_ms.saturating_add(self.config.commit_timeout_ms);
        if group.stores.is_empty() {
            self.set(Timer::Store(group.id.clone()), deadline_ms);
        }
        *self.staged =
            Some(Staged { group: group.id.clone(), generation: group.generation, kind, deadline_ms });
    }
}

/// What waits for the high watermark.
#[derive(Debug)]
enum InFlight {
    Offset { group: Arc<str>, topic: Arc<str>, partition: i32, value: OffsetValue },
    Group(Arc<str>),
}

/// One partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct GroupShard {
    pub(super) config: GroupConfig,
    pub(super) groups: HashMap<Arc<str>, Group>,
    pub(super) counts: Counts,
    in_flight: Uncommitted<InFlight>,
    /// The groups for which a producer's open transaction has offsets, so that a marker touches no others.
    transactions: HashMap<i64, BTreeSet<Arc<str>>>,
    staged: Option<Staged>,
    next_offset: i64,
    loaded: bool,
}

impl GroupShard {
    /// A shard to be loaded.
    pub fn new(config: GroupConfig) -> GroupShard {
        GroupShard {
            config,
            groups: HashMap::new(),
            counts: Counts::default(),
            in_flight: Uncommitted::default(),
            transactions: HashMap::new(),
            staged: None,
            next_offset: 0,
            loaded: false,
        }
    }

    /// What happened since the shard was made.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many groups there are by state name, and how many committed offsets; for the metrics' gauges.
    pub fn gauges(&self) -> (HashMap<&'static str, usize>, usize) {
        let mut states = HashMap::new();
        let mut offsets = 0;
        for group in self.groups.values() {
            *states.entry(group.state.name()).or_default() += 1;
            offsets += group.offsets.committed_count();
        }
        (states, offsets)
    }

    /// Every group id, sorted, so that runs can be repeated.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Lets `act` work on a group that is there, and forgets the group if nothing is left of it.
    pub(super) fn with_group<R>(
        &mut self,
        now: Now,
        id: &str,
        out: &mut Effects<GroupShard>,
        act: impl FnOnce(&mut Group, &mut Step<'_>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(id)?;
        let (config, counts, staged) = (&self.config, &mut self.counts, &mut self.staged);
        let answer = act(group, &mut Step { now, config, counts, out, staged });
        if group.is_unused() {
            self.groups.remove(id);
        }
        Some(answer)
    }

    fn join_group(&mut self, now: Now, ticket: Ticket, request: JoinGroup, out: &mut Effects<GroupShard>) {
        let timeouts = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let refusal = if request.group_id.is_empty() {
            Some(ErrorCode::InvalidGroupId)
        } else if !timeouts.contains(&request.session_timeout_ms) {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if !request.member_id.is_empty() && !self.groups.contains_key(request.group_id.as_str()) {
            Some(ErrorCode::UnknownMemberId)
        } else {
            None
        };
        if let Some(error) = refusal {
            let reply = JoinGroupReply::error(request.member_id, error);
            return out.reply_now.push((ticket, Reply::JoinGroup(reply)));
        }
        let id: Arc<str> = request.group_id.as_str().into();
        let born_offset = self.next_offset;
        self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone(), Some(now.wall), born_offset));
        self.with_group(now, &id, out, |group, step| group.join(step, ticket, request));
    }

    fn sync_group(&mut self, now: Now, ticket: Ticket, request: SyncGroup, out: &mut Effects<GroupShard>) {
        let id = request.group_id.clone();
        if id.is_empty() {
            let reply = SyncGroupReply::error(ErrorCode::InvalidGroupId);
            return out.reply_now.push((ticket, Reply::SyncGroup(reply)));
        }
        if self.with_group(now, &id, out, |group, step| group.sync(step, ticket, request)).is_none() {
            let reply = SyncGroupReply::error(ErrorCode::UnknownMemberId);
            out.reply_now.push((ticket, Reply::SyncGroup(reply)));
        }
    }

    fn heartbeat(&mut self, now: Now, request: &Heartbeat, out: &mut Effects<GroupShard>) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let answer =
            self.with_group(now, &request.group_id, out, |group, step| group.heartbeat(step, request));
        answer.unwrap_or(ErrorCode::UnknownMemberId)
    }

    fn leave_group(
        &mut self,
        now: Now,
        mut request: LeaveGroup,
        out: &mut Effects<GroupShard>,
    ) -> LeaveGroupReply {
        let id = std::mem::take(&mut request.group_id);
        if id.is_empty() {
            return LeaveGroupReply { error: ErrorCode::InvalidGroupId, members: Vec::new() };
        }
        let members = match self.groups.contains_key(id.as_str()) {
            true => {
                self.with_group(now, &id, out, |group, step| group.leave(step, request)).unwrap_or_default()
            }
            false => request.members.into_iter().map(|member| (member, ErrorCode::UnknownMemberId)).collect(),
        };
        LeaveGroupReply { error: ErrorCode::None, members }
    }

    fn replay_group(&mut self, offset: i64, id: Arc<str>, value: Option<GroupValue>) {
        if let (true, Some(value)) = (self.loaded, value.as_ref()) {
            // Our own record: the live group is what was written, but for the assignments, which wait for commit.
            let Some(staged) = self.staged.take() else { return };
            let assignments = value.members.iter();
            let store = Store {
                offset,
                deadline_ms: staged.deadline_ms,
                generation: staged.generation,
                kind: staged.kind,
                assignments: assignments.map(|one| (one.member_id.clone(), one.assignment.clone())).collect(),
            };
            if let Some(group) = self.groups.get_mut(&staged.group) {
                group.stores.push_back(store);
                self.in_flight.push(offset, InFlight::Group(staged.group));
            }
            return;
        }
        self.group_mut(&id, offset).load(value);
        self.forget_unused(&id);
    }

    fn replay_offset(&mut self, at: Position, key: (Arc<str>, Arc<str>, i32), value: Option<OffsetValue>) {
        let (id, topic, partition) = key;
        let loaded = self.loaded;
        let offsets = &mut self.group_mut(&id, at.offset).offsets;
        match (at.transaction, value) {
            (Some(producer_id), value) => {
                offsets.stage(producer_id, at.offset, topic, partition, value);
                self.transactions.entry(producer_id).or_default().insert(id.clone());
            }
            (None, None) => offsets.remove(at.offset, &topic, partition),
            (None, Some(value)) if !loaded => offsets.load(at.offset, &topic, partition, value),
            (None, Some(value)) => {
                offsets.begin(at.offset, &topic, partition);
                self.in_flight.push(at.offset, InFlight::Offset { group: id, topic, partition, value });
                return;
            }
        }
        self.forget_unused(&id);
    }

    fn group_mut(&mut self, id: &Arc<str>, offset: i64) -> &mut Group {
        self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone(), None, offset))
    }

    pub(super) fn forget_unused(&mut self, id: &str) {
        if self.groups.get(id).is_some_and(Group::is_unused) {
            self.groups.remove(id);
        }
    }
}

impl Shard for GroupShard {
    type Command = Command;
    type Reply = Reply;
    type Record = Record;
    type Timer = Timer;
    type Errand = std::convert::Infallible;
    type Malformed = MalformedRecord;

    fn handle(&mut self, now: Now, ticket: Ticket, command: Command, out: &mut Effects<GroupShard>) {
        let reply = match command {
            Command::JoinGroup(request) => return self.join_group(now, ticket, request, out),
            Command::SyncGroup(request) => return self.sync_group(now, ticket, request, out),
            Command::OffsetCommit(request) => return self.commit_offsets(now, ticket, request, out),
            Command::Heartbeat(request) => Reply::Heartbeat(self.heartbeat(now, &request, out)),
            Command::LeaveGroup(request) => Reply::LeaveGroup(self.leave_group(now, request, out)),
            Command::OffsetFetch(request) => {
                Reply::OffsetFetch(ErrorCode::None, self.fetch_offsets(&request))
            }
            Command::OffsetDelete(request) => Reply::OffsetDelete(self.delete_offsets(request, out)),
            Command::DescribeGroup(id) => Reply::DescribeGroup(self.describe(id)),
            Command::ListGroups(request) => Reply::ListGroups(ErrorCode::None, self.list(&request)),
            Command::DeleteGroup(id) => Reply::DeleteGroup(self.delete_group(&id, out)),
            Command::TopicsDeleted(topics) => Reply::Removed(self.delete_topics(&topics, out)),
            Command::ExpireOffsets => Reply::Removed(self.expire(now, out)),
        };
        out.reply_now.push((ticket, reply));
    }

    fn on_timer(&mut self, now: Now, timer: Timer, out: &mut Effects<GroupShard>) {
        match timer {
            Timer::Session(id, member) => {
                self.with_group(now, &id, out, |group, step| group.on_session_timer(step, member))
            }
            Timer::Join(id) => self.with_group(now, &id, out, Group::on_join_timer),
            Timer::Sync(id) => self.with_group(now, &id, out, Group::on_sync_timer),
            Timer::Store(id) => self.with_group(now, &id, out, Group::on_store_timer),
        };
    }

    fn replay(&mut self, at: Position, record: Record) {
        self.next_offset = at.offset + 1;
        match record {
            Record::Group { group, value } => self.replay_group(at.offset, group, value),
            Record::Offset { group, topic, partition, value } => {
                self.replay_offset(at, (group, topic, partition), value);
            }
        }
    }

    fn replay_marker(&mut self, producer_id: i64, committed: bool) {
        for id in self.transactions.remove(&producer_id).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&id) {
                group.offsets.complete(producer_id, committed);
            }
            self.forget_unused(&id);
        }
    }

    fn on_loaded(&mut self, now: Now, out: &mut Effects<GroupShard>) {
        self.loaded = true;
        for id in self.ids() {
            self.with_group(now, &id, out, |group, step| {
                if group.members.len() > step.config.max_size {
                    group.rebalance(step);
                }
                let members: Vec<Arc<str>> = group.members.keys().cloned().collect();
                for member in members {
                    group.touch(step, &member);
                }
            });
        }
    }

    fn on_committed(&mut self, now: Now, up_to: i64, out: &mut Effects<GroupShard>) {
        while let Some((offset, item)) = self.in_flight.pop_committed(up_to) {
            match item {
                InFlight::Offset { group, topic, partition, value } => {
                    self.counts.offset_commits += 1;
                    if let Some(group) = self.groups.get_mut(&group) {
                        group.offsets.commit(offset, &topic, partition, value);
                    }
                    self.forget_unused(&group);
                }
                InFlight::Group(id) => {
                    self.with_group(now, &id, out, |group, step| group.store_committed(step, offset));
                }
            }
        }
    }

    fn on_refused(
        &mut self,
        now: Now,
        code: ErrorCode,
        undone: Effects<GroupShard>,
        out: &mut Effects<GroupShard>,
    ) {
        out.timers.extend(undone.timers);
        let replies = undone.reply_now.into_iter().chain(undone.reply_when_committed);
        out.reply_now.extend(replies.map(|(ticket, reply)| (ticket, reply.not_written(commit_error(code)))));
        // Without batches this is a late commit; a group record has a timer for that.
        if undone.append.is_empty() {
            return;
        }
        let Some(staged) = self.staged.take() else { return };
        self.with_group(now, &staged.group, out, |group, step| {
            group.store_failed(step, staged.generation, staged.kind, store_error(code));
        });
    }

    fn resign(&mut self, now: Now, out: &mut Effects<GroupShard>) {
        for id in self.ids() {
            self.with_group(now, &id, out, |group, step| {
                let members: Vec<Arc<str>> = group.members.keys().cloned().collect();
                for member in members {
                    group.answer_join(step, &member, |one| {
                        JoinGroupReply::error(one.id.clone(), ErrorCode::NotCoordinator)
                    });
                    group.answer_sync(step, &member, |_| SyncGroupReply::error(ErrorCode::NotCoordinator));
                }
            });
        }
    }

    fn refuse(command: Command, code: ErrorCode) -> Reply {
        command.refuse(code)
    }

    fn encode(&self, record: &Record) -> Result<(Bytes, Option<Bytes>), MalformedRecord> {
        record.encode(self.config.versions)
    }

    fn decode(key: Bytes, value: Option<Bytes>) -> Result<Option<Record>, MalformedRecord> {
        Record::decode(key, value)
    }
}
