//! Committed offsets of one group, and the requests that read and write them.
//!
//! A commit becomes visible when its record is committed, in log order, so an older commit in flight never
//! overwrites a newer one. Offsets of a transaction wait per producer until its marker; then each wins only over
//! what is older in the log. Tombstones take effect at once and void what is in flight before them.
//! Knows nothing of members: who may commit was decided before.
//! Source: the offset half of `GroupMetadata`, `GroupMetadataManager.storeOffsets` and `getOffsets`; KIP-447.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{
    CommitPartition, FetchedPartition, FetchedTopic, OffsetCommit, OffsetFetch, TopicErrors,
};
use super::records::{OffsetValue, Record};
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;

/// One partition's committed offset and the commits that may replace it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The committed value and the offset of its record.
    pub committed: Option<(i64, OffsetValue)>,
    /// Records in the log that are not committed yet, and where the last of them is.
    in_flight: u32,
    last_in_flight: i64,
    /// In-flight records below this offset were deleted before they were committed.
    void_below: i64,
}

impl Slot {
    /// Whether a commit that counts is still on its way.
    pub fn is_undecided(&self) -> bool {
        self.in_flight > 0 && self.last_in_flight >= self.void_below
    }

    /// The commit at `offset` counts, unless it is older than what is known or was deleted.
    fn settle(&mut self, offset: i64, value: OffsetValue) {
        let newer = self.committed.as_ref().is_none_or(|(at, _)| *at < offset);
        if newer && offset >= self.void_below {
            self.committed = Some((offset, value));
        }
    }

    fn is_live(&self) -> bool {
        self.committed.is_some() || self.is_undecided()
    }
}

/// What a transaction will commit, by partition, with the offset of the record that says so.
type Undecided = BTreeMap<(Arc<str>, i32), (i64, OffsetValue)>;

/// The offsets of one group.
#[derive(Debug)]
pub(super) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Slot>>,
    /// By producer id: what its open transaction will commit.
    transactions: BTreeMap<i64, Undecided>,
    /// In-flight records below this offset belong to a group of the same name that was deleted.
    born_offset: i64,
}

impl Offsets {
    /// No offsets; records below `born_offset` do not concern this group.
    pub fn new(born_offset: i64) -> Offsets {
        Offsets { topics: BTreeMap::new(), transactions: BTreeMap::new(), born_offset }
    }

    /// Whether there is nothing committed, in flight or in a transaction.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty() && self.slots().next().is_none()
    }

    /// Partitions with a committed offset.
    pub fn committed_count(&self) -> usize {
        self.slots().filter(|(_, _, slot)| slot.committed.is_some()).count()
    }

    /// Every partition that has an offset, or one in flight.
    pub fn slots(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Slot)> {
        self.topics
            .iter()
            .flat_map(|(name, slots)| slots.iter().map(move |(index, slot)| (name, *index, slot)))
            .filter(|(_, _, slot)| slot.is_live())
    }

    /// One partition, if it has an offset or one in flight.
    pub fn slot(&self, topic: &str, partition: i32) -> Option<&Slot> {
        self.topics.get(topic)?.get(&partition).filter(|slot| slot.is_live())
    }

    /// The partitions of one topic that have an offset, or one in flight.
    pub fn partitions(&self, topic: &str) -> impl Iterator<Item = i32> {
        let slots = self.topics.get(topic).into_iter().flatten();
        slots.filter(|(_, slot)| slot.is_live()).map(|(partition, _)| *partition)
    }

    /// Whether a transaction of some producer is open.
    pub fn has_transactions(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// A commit is in the log at `offset`; [`Offsets::commit`] follows.
    pub fn begin(&mut self, offset: i64, topic: &Arc<str>, partition: i32) {
        let slots = match self.topics.get_mut(topic) {
            Some(slots) => slots,
            None => self.topics.entry(topic.clone()).or_default(),
        };
        let slot = slots.entry(partition).or_default();
        slot.in_flight += 1;
        slot.last_in_flight = slot.last_in_flight.max(offset);
    }

    /// The commit at `offset` is committed: it is what the group has read up to, unless deleted meanwhile.
    pub fn commit(&mut self, offset: i64, topic: &Arc<str>, partition: i32, value: OffsetValue) {
        if offset < self.born_offset {
            return;
        }
        let Some(slot) = self.topics.get_mut(topic).and_then(|slots| slots.get_mut(&partition)) else {
            return;
        };
        slot.in_flight = slot.in_flight.saturating_sub(1);
        slot.settle(offset, value);
        self.forget_empty(topic, partition);
    }

    /// The record at `offset` counts at once: the log is being loaded, or its transaction is committed.
    pub fn load(&mut self, offset: i64, topic: &Arc<str>, partition: i32, value: OffsetValue) {
        let slots = self.topics.entry(topic.clone()).or_default();
        slots.entry(partition).or_default().settle(offset, value);
        self.forget_empty(topic, partition);
    }

    /// A tombstone at `offset`: the partition's offset is gone, and what is in flight before it.
    pub fn remove(&mut self, offset: i64, topic: &Arc<str>, partition: i32) {
        if let Some(slot) = self.topics.get_mut(topic).and_then(|slots| slots.get_mut(&partition)) {
            slot.committed = None;
            slot.void_below = offset;
        }
        self.forget_empty(topic, partition);
    }

    fn forget_empty(&mut self, topic: &Arc<str>, partition: i32) {
        let Some(slots) = self.topics.get_mut(topic) else { return };
        if slots.get(&partition).is_some_and(|slot| slot.committed.is_none() && slot.in_flight == 0) {
            slots.remove(&partition);
            if slots.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// A record of an open transaction; no value withdraws what the transaction said before.
    pub fn stage(
        &mut self,
        producer_id: i64,
        offset: i64,
        topic: Arc<str>,
        partition: i32,
        value: Option<OffsetValue>,
    ) {
        let staged = self.transactions.entry(producer_id).or_default();
        match value {
            Some(value) => staged.insert((topic, partition), (offset, value)),
            None => staged.remove(&(topic, partition)),
        };
        if staged.is_empty() {
            self.transactions.remove(&producer_id);
        }
    }

    /// The producer's transaction is decided.
    pub fn complete(&mut self, producer_id: i64, committed: bool) {
        let staged = self.transactions.remove(&producer_id).unwrap_or_default();
        for ((topic, partition), (offset, value)) in staged.into_iter().filter(|_| committed) {
            self.load(offset, &topic, partition, value);
        }
    }

    /// Whether a commit of the partition is undecided.
    fn is_unstable(&self, topic: &Arc<str>, partition: i32) -> bool {
        let key = (topic.clone(), partition);
        self.slot(topic, partition).is_some_and(Slot::is_undecided)
            || self.transactions.values().any(|staged| staged.contains_key(&key))
    }

    /// Answers an OffsetFetch.
    pub fn fetch(&self, request: &OffsetFetch) -> Vec<FetchedTopic> {
        if let Some(topics) = &request.topics {
            let fetched = topics.iter().map(|(name, partitions)| FetchedTopic {
                name: name.clone(),
                partitions: partitions.iter().map(|index| self.fetch_one(name, *index, request)).collect(),
            });
            return fetched.collect();
        }
        let mut fetched: Vec<FetchedTopic> = Vec::with_capacity(self.topics.len());
        for (name, slots) in &self.topics {
            let committed = slots.iter().filter(|(_, slot)| slot.committed.is_some());
            let partitions: Vec<_> =
                committed.map(|(index, _)| self.fetch_one(name, *index, request)).collect();
            if !partitions.is_empty() {
                fetched.push(FetchedTopic { name: name.clone(), partitions });
            }
        }
        fetched
    }

    fn fetch_one(&self, topic: &Arc<str>, partition: i32, request: &OffsetFetch) -> FetchedPartition {
        if request.require_stable && self.is_unstable(topic, partition) {
            return FetchedPartition::none(partition, ErrorCode::UnstableOffsetCommit);
        }
        let committed = self.slot(topic, partition).and_then(|slot| slot.committed.as_ref());
        let Some((_, value)) = committed else { return FetchedPartition::none(partition, ErrorCode::None) };
        FetchedPartition {
            partition,
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.clone(),
            error: ErrorCode::None,
        }
    }
}

impl FetchedPartition {
    fn none(partition: i32, error: ErrorCode) -> FetchedPartition {
        FetchedPartition { partition, offset: -1, leader_epoch: -1, metadata: "".into(), error }
    }
}

/// What OffsetFetch says of a group that is not there.
pub(super) fn fetch_nothing(request: &OffsetFetch) -> Vec<FetchedTopic> {
    Offsets::new(0).fetch(&OffsetFetch { require_stable: false, ..request.clone() })
}

/// The records of a commit and the answer once they are committed. Partitions whose note is longer than
/// `max_metadata` UTF-16 units are refused one by one.
pub(super) fn commit_records(
    request: OffsetCommit,
    group: &Arc<str>,
    now: Timestamp,
    max_metadata: usize,
) -> (Vec<Record>, Vec<TopicErrors>) {
    let expires = request.retention_ms.map(|retention_ms| now.plus_ms(retention_ms));
    let mut records = Vec::with_capacity(request.topics.iter().map(|topic| topic.partitions.len()).sum());
    let mut answers = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            if asked.metadata.as_ref().is_some_and(|text| text.encode_utf16().count() > max_metadata) {
                partitions.push((asked.partition, ErrorCode::OffsetMetadataTooLarge));
                continue;
            }
            partitions.push((asked.partition, ErrorCode::None));
            records.push(Record::Offset {
                group: group.clone(),
                topic: topic.name.clone(),
                partition: asked.partition,
                value: Some(offset_value(asked, now, expires)),
            });
        }
        answers.push(TopicErrors { name: topic.name, partitions });
    }
    (records, answers)
}

fn offset_value(asked: CommitPartition, now: Timestamp, expires: Option<Timestamp>) -> OffsetValue {
    OffsetValue {
        offset: asked.offset,
        leader_epoch: asked.leader_epoch,
        metadata: asked.metadata.unwrap_or_default().into(),
        commit_timestamp: asked.commit_timestamp.unwrap_or(now),
        expire_timestamp: expires,
    }
}

/// What a client is told when its commit could not be written.
pub(super) fn commit_error(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::InvalidCommitOffsetSize
        }
        other => other,
    }
}
