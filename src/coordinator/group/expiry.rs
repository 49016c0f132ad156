//! Which offsets are too old, and when a group is over.
//!
//! A group that is not in use loses its offsets after the retention time; a consumer group in use loses those of
//! topics it no longer reads; an offset with its own expiry time goes then. A group of which nothing is left goes
//! too. Nothing in flight is ever removed. Source: `removeExpiredOffsets`, `cleanupGroupMetadata`; KIP-211.

use std::sync::Arc;

use super::classic::group::{Group, State};
use super::records::{OffsetValue, Record};
use super::subscription;
use crate::clock::Timestamp;

impl Group {
    /// The partitions whose offsets have expired at `now`.
    pub fn expired(&self, now: Timestamp, retention_ms: i64) -> Vec<(Arc<str>, i32)> {
        let (idle_since, reads) = match &self.protocol_type {
            Some(_) if self.state == State::Empty => (self.state_since, None),
            Some(_) if self.is_consumers() && self.state == State::Stable && self.subscribed.is_some() => {
                (None, self.subscribed.as_ref())
            }
            None => (None, None),
            Some(_) => return Vec::new(),
        };
        let is_over = |value: &OffsetValue| match value.expire_timestamp {
            Some(expires) => now >= expires,
            None => now.since_ms(idle_since.unwrap_or(value.commit_timestamp)) >= retention_ms,
        };
        self.offsets
            .slots()
            .filter(|(topic, _, slot)| {
                !slot.is_undecided()
                    && !reads.is_some_and(|reads| reads.contains(&***topic))
                    && slot.committed.as_ref().is_some_and(|(_, value)| is_over(value))
            })
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .collect()
    }

    /// Whether nothing is left of the group once `removed` partitions' offsets are gone.
    pub fn is_over(&self, removed: usize) -> bool {
        self.state == State::Empty
            && self.rebalance.pending.is_empty()
            && !self.offsets.has_transactions()
            && self.offsets.slots().count() == removed
    }

    /// The tombstones of these partitions' offsets, and of the group if it `dies` and has a record.
    pub fn tombstones(&self, partitions: Vec<(Arc<str>, i32)>, dies: bool) -> Vec<Record> {
        let offset =
            |(topic, partition)| Record::Offset { group: self.id.clone(), topic, partition, value: None };
        let mut records: Vec<Record> = partitions.into_iter().map(offset).collect();
        if dies && self.generation > 0 {
            records.push(Record::Group { group: self.id.clone(), value: None });
        }
        records
    }

    /// Whether the group's members read `topic`, or it cannot be told.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribed.as_ref().is_none_or(|topics| topics.contains(topic))
    }

    /// Whether this is a group of consumers.
    pub fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(subscription::PROTOCOL_TYPE)
    }
}
