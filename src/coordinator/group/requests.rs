//! The shard's requests that are about offsets or about groups as a whole: commit, fetch, delete, describe, list,
//! expire.
//!
//! Source: `handleCommitOffsets`, `handleTxnCommitOffsets`, `handleDeleteOffsets`, `handleDeleteGroups`,
//! `handleDeletedPartitions`, `cleanupGroupMetadata`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classic::group::{Group, State};
use super::command::{
    FetchedTopic, OffsetCommit, OffsetDelete, OffsetDeleteReply, OffsetFetch, Reply, TopicErrors,
};
use super::describe::{Description, ListGroups, ListedGroup};
use super::offsets::{commit_records, fetch_nothing};
use super::records::tombstone_batches;
use super::shard::{GroupShard, Step, Timer};
use crate::coordinator::shard::{Batch, Effects, Now, Ticket, TimerChange};
use crate::protocol::error_code::ErrorCode;

impl Group {
    /// Whether the sender of this commit may commit now. A member that may is alive.
    fn check_commit(&mut self, step: &mut Step<'_>, request: &OffsetCommit) -> Result<(), ErrorCode> {
        let transactional = request.transaction.is_some();
        let (generation_id, instance_id) = (request.generation_id, request.group_instance_id.as_deref());
        if generation_id < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation_id >= 0 || !request.member_id.is_empty() || instance_id.is_some() {
            self.check_generation(&request.member_id, instance_id, generation_id)?;
        } else if !transactional && self.state != State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        match self.state {
            _ if transactional => Ok(()),
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::Stable | State::PreparingRebalance => {
                self.touch(step, &request.member_id);
                Ok(())
            }
            State::Empty => Ok(()),
        }
    }
}

impl GroupShard {
    pub(super) fn commit_offsets(
        &mut self,
        now: Now,
        ticket: Ticket,
        request: OffsetCommit,
        out: &mut Effects<GroupShard>,
    ) {
        let id: Arc<str> = match self.groups.get_key_value(request.group_id.as_str()) {
            Some((id, _)) => id.clone(),
            None => request.group_id.as_str().into(),
        };
        let checked = self.with_group(now, &id, out, |group, step| group.check_commit(step, &request));
        let checked = match (checked, request.transaction) {
            (_, Some(_)) if request.group_id.is_empty() => Err(ErrorCode::InvalidGroupId),
            (Some(checked), _) => checked,
            (None, _) if request.generation_id < 0 => Ok(()),
            (None, Some(_)) => Err(ErrorCode::UnknownMemberId),
            (None, None) => Err(ErrorCode::IllegalGeneration),
        };
        if let Err(error) = checked {
            return out.reply_now.push((ticket, Reply::OffsetCommit(request.all_partitions(error))));
        }
        let transaction = request.transaction;
        let (records, answer) = commit_records(request, &id, now.wall, self.config.max_offset_metadata);
        if records.is_empty() {
            return out.reply_now.push((ticket, Reply::OffsetCommit(answer)));
        }
        out.append.push(Batch { records, base_sequence: 0, transaction, acks_all: true });
        out.reply_when_committed.push((ticket, Reply::OffsetCommit(answer)));
    }

    pub(super) fn fetch_offsets(&self, request: &OffsetFetch) -> Vec<FetchedTopic> {
        match self.groups.get(request.group_id.as_str()) {
            Some(group) => group.offsets.fetch(request),
            None => fetch_nothing(request),
        }
    }

    pub(super) fn describe(&self, group_id: String) -> Description {
        let group = self.groups.get(group_id.as_str());
        Description::of(group_id, group)
    }

    pub(super) fn list(&self, request: &ListGroups) -> Vec<ListedGroup> {
        let groups = self.groups.values().filter(|group| request.wants(group));
        let mut listed: Vec<ListedGroup> = groups.map(ListedGroup::from).collect();
        listed.sort_unstable_by(|left, right| left.group_id.cmp(&right.group_id));
        listed
    }

    /// Removes an empty group with all its offsets.
    pub(super) fn delete_group(&mut self, id: &str, out: &mut Effects<GroupShard>) -> ErrorCode {
        let Some(group) = self.groups.get_mut(id) else { return ErrorCode::GroupIdNotFound };
        if group.state != State::Empty {
            return ErrorCode::NonEmptyGroup;
        }
        for pending in std::mem::take(&mut group.rebalance.pending) {
            out.timers.push(TimerChange::Cancel(Timer::Session(group.id.clone(), pending)));
        }
        let all: Vec<_> = group.offsets.slots().map(|(topic, index, _)| (topic.clone(), index)).collect();
        self.counts.offset_deletions += all.len() as u64;
        out.append.extend(tombstone_batches(group.tombstones(all, true)));
        self.forget_unused(id);
        ErrorCode::None
    }

    /// Forgets single offsets; of a group in use only those of topics it does not read.
    pub(super) fn delete_offsets(
        &mut self,
        request: OffsetDelete,
        out: &mut Effects<GroupShard>,
    ) -> OffsetDeleteReply {
        let group = self.groups.get(request.group_id.as_str());
        let error = match group {
            _ if request.group_id.is_empty() => ErrorCode::InvalidGroupId,
            None => ErrorCode::GroupIdNotFound,
            Some(group) if group.state != State::Empty && !group.is_consumers() => ErrorCode::NonEmptyGroup,
            Some(_) => ErrorCode::None,
        };
        let (ErrorCode::None, Some(group)) = (error, group) else {
            return OffsetDeleteReply { error, topics: Vec::new() };
        };
        let in_use = group.state != State::Empty;
        let mut removed = BTreeSet::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for (name, partitions) in request.topics {
            let kept = in_use && group.is_subscribed(&name);
            let error = if kept { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            let held =
                partitions.iter().filter(|index| !kept && group.offsets.slot(&name, **index).is_some());
            removed.extend(held.map(|index| (name.clone(), *index)));
            let partitions = partitions.into_iter().map(|index| (index, error)).collect();
            topics.push(TopicErrors { name, partitions });
        }
        self.counts.offset_deletions += removed.len() as u64;
        let dies = group.is_over(removed.len());
        out.append.extend(tombstone_batches(group.tombstones(removed.into_iter().collect(), dies)));
        OffsetDeleteReply { error, topics }
    }

    /// Forgets the offsets of topics that are no more.
    pub(super) fn delete_topics(&mut self, topics: &[Arc<str>], out: &mut Effects<GroupShard>) -> usize {
        self.sweep(out, |group| {
            let held = |topic: &Arc<str>| {
                let topic = topic.clone();
                let partitions: Vec<i32> = group.offsets.partitions(&topic).collect();
                partitions.into_iter().map(move |index| (topic.clone(), index))
            };
            topics.iter().collect::<BTreeSet<_>>().into_iter().flat_map(held).collect()
        })
    }

    /// Forgets expired offsets.
    pub(super) fn expire(&mut self, now: Now, out: &mut Effects<GroupShard>) -> usize {
        let retention_ms = self.config.offsets_retention_ms;
        let removed = self.sweep(out, |group| group.expired(now.wall, retention_ms));
        self.counts.offset_expirations += removed as u64;
        removed
    }

    /// Removes what `choose` says from every group, and the groups of which nothing is left.
    fn sweep(
        &mut self,
        out: &mut Effects<GroupShard>,
        choose: impl Fn(&Group) -> Vec<(Arc<str>, i32)>,
    ) -> usize {
        let mut removed = 0;
        let mut records = Vec::new();
        for id in self.ids() {
            if let Some(group) = self.groups.get(&id) {
                let chosen = choose(group);
                removed += chosen.len();
                let dies = group.is_over(chosen.len());
                records.extend(group.tombstones(chosen, dies));
            }
        }
        out.append.extend(tombstone_batches(records));
        removed
    }
}
