//! The records of `__consumer_offsets` as the shard thinks of them, and their way to and from bytes.
//!
//! The layouts are `protocol::stored`'s; here is what the fields mean: -1 for "none", which version is written,
//! and that the consumer groups of KIP-848 (keys 3 and up) are none of ours.
//! Source: the reading and writing half of `GroupMetadataManager`.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::coordinator::shard::Batch;
use crate::protocol::stored::groups::MemberMetadata;
use crate::protocol::stored::{
    self, GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use crate::protocol::wire::WireError;

/// A record; no value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A committed offset.
    Offset {
        /// The group.
        group: Arc<str>,
        /// Topic name.
        topic: Arc<str>,
        /// Partition index.
        partition: i32,
        /// The commit, or that it is forgotten.
        value: Option<OffsetValue>,
    },
    /// A group's generation.
    Group {
        /// The group.
        group: Arc<str>,
        /// The generation, or that the group is no more.
        value: Option<GroupValue>,
    },
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    /// The next offset to read.
    pub offset: i64,
    /// -1 unknown.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, if the client said so.
    pub expire_timestamp: Option<Timestamp>,
}

/// A generation of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValue {
    /// The group's kind.
    pub protocol_type: Option<Arc<str>>,
    /// The generation.
    pub generation: i32,
    /// The chosen protocol; none without members.
    pub protocol: Option<Arc<str>>,
    /// The leader's member id; none without members.
    pub leader: Option<Arc<str>>,
    /// Since when the group is in its state; unknown below version 2.
    pub state_since: Option<Timestamp>,
    /// The members.
    pub members: Vec<MemberValue>,
}

/// A member in a [`GroupValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its instance id, if static.
    pub group_instance_id: Option<Arc<str>>,
    /// Its client's id.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub client_host: Arc<str>,
    /// How long a rebalance may wait for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it says in the chosen protocol.
    pub subscription: Bytes,
    /// What it works on.
    pub assignment: Bytes,
}

/// The versions to write, by `inter.broker.protocol.version`, so that older brokers of the cluster can read them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ValueVersions {
    /// 0 below 0.10.1, 1 below 2.1, 2 below 2.3, else 3.
    pub group: i16,
    /// 1 below 2.1-IV0, 2 below 2.1-IV1, else 3; 1 whenever there is an expiry time.
    pub offset: i16,
}

impl Default for ValueVersions {
    fn default() -> ValueVersions {
        ValueVersions { group: 3, offset: 3 }
    }
}

/// Why bytes are no record of `__consumer_offsets`, or a record cannot become bytes.
#[derive(Debug, thiserror::Error)]
pub enum MalformedRecord {
    /// The key.
    #[error("a key of __consumer_offsets is malformed: {0}; the record was not written by a broker")]
    Key(#[source] WireError),
    /// The value.
    #[error(
        "the value of {key} in __consumer_offsets is malformed: {cause}; a newer broker may have written it"
    )]
    Value {
        /// Whose value.
        key: String,
        /// What is wrong.
        #[source]
        cause: WireError,
    },
}

impl Record {
    /// Reads a record; `None` for kinds of newer coordinators.
    pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Option<Record>, MalformedRecord> {
        match stored::version_of(&key).map_err(MalformedRecord::Key)? {
            0..=1 => {
                let key: OffsetCommitKey = stored::decode(key).map_err(MalformedRecord::Key)?;
                let name = || format!("offset of {}-{} in group {:?}", key.topic, key.partition, key.group);
                let value = value.map(|bytes| decode_value(bytes, name)).transpose()?.map(read_offset);
                let (group, topic) = (key.group.into(), key.topic.into());
                Ok(Some(Record::Offset { group, topic, partition: key.partition, value }))
            }
            2 => {
                let key: GroupMetadataKey = stored::decode(key).map_err(MalformedRecord::Key)?;
                let name = || format!("group {:?}", key.group);
                let value = match value {
                    None => None,
                    Some(bytes) => {
                        let old = stored::version_of(&bytes) == Ok(0);
                        Some(read_group(decode_value(bytes, name)?, old))
                    }
                };
                Ok(Some(Record::Group { group: key.group.into(), value }))
            }
            _ => Ok(None),
        }
    }

    /// Key and value in the versions to write.
    pub fn encode(&self, versions: ValueVersions) -> Result<(Bytes, Option<Bytes>), MalformedRecord> {
        match self {
            Record::Offset { group, topic, partition, value } => {
                let name = || format!("offset of {topic}-{partition} in group {group:?}");
                let key = OffsetCommitKey {
                    group: group.to_string(),
                    topic: topic.to_string(),
                    partition: *partition,
                    ..Default::default()
                };
                let key = stored::encode(&key, 1).map_err(MalformedRecord::Key)?;
                let Some(value) = value else { return Ok((key, None)) };
                let version = if value.expire_timestamp.is_some() { 1 } else { versions.offset };
                let bytes = stored::encode(&write_offset(value), version);
                Ok((key, Some(bytes.map_err(|cause| MalformedRecord::Value { key: name(), cause })?)))
            }
            Record::Group { group, value } => {
                let name = || format!("group {group:?}");
                let key = GroupMetadataKey { group: group.to_string(), ..Default::default() };
                let key = stored::encode(&key, 2).map_err(MalformedRecord::Key)?;
                let Some(value) = value else { return Ok((key, None)) };
                let bytes = stored::encode(&write_group(value), versions.group);
                Ok((key, Some(bytes.map_err(|cause| MalformedRecord::Value { key: name(), cause })?)))
            }
        }
    }

    /// At most how many bytes the record's texts take: enough to keep batches of tombstones small.
    fn key_size(&self) -> usize {
        match self {
            Record::Offset { group, topic, .. } => group.len() + topic.len() + 32,
            Record::Group { group, .. } => group.len() + 32,
        }
    }
}

fn decode_value<M: crate::protocol::message::Message>(
    bytes: Bytes,
    key: impl Fn() -> String,
) -> Result<M, MalformedRecord> {
    stored::decode(bytes).map_err(|cause| MalformedRecord::Value { key: key(), cause })
}

/// -1 stands for "no time".
fn known(timestamp_ms: i64) -> Option<Timestamp> {
    (timestamp_ms != -1).then_some(Timestamp(timestamp_ms))
}

fn read_offset(value: OffsetCommitValue) -> OffsetValue {
    OffsetValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.into(),
        commit_timestamp: Timestamp(value.commit_timestamp),
        expire_timestamp: known(value.expire_timestamp),
    }
}

fn write_offset(value: &OffsetValue) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.to_string(),
        commit_timestamp: value.commit_timestamp.0,
        expire_timestamp: value.expire_timestamp.map_or(-1, |at| at.0),
        ..Default::default()
    }
}

/// Version 0 knows no rebalance timeout: the session timeout stands in.
fn read_group(value: GroupMetadataValue, version_0: bool) -> GroupValue {
    let member = |member: MemberMetadata| MemberValue {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(Arc::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout_ms: if version_0 { member.session_timeout } else { member.rebalance_timeout },
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    };
    GroupValue {
        protocol_type: Some(value.protocol_type).filter(|name| !name.is_empty()).map(Arc::from),
        generation: value.generation,
        protocol: value.protocol.map(Arc::from),
        leader: value.leader.map(Arc::from),
        state_since: known(value.current_state_timestamp),
        members: value.members.into_iter().map(member).collect(),
    }
}

fn write_group(value: &GroupValue) -> GroupMetadataValue {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let member = |member: &MemberValue| MemberMetadata {
        member_id: member.member_id.to_string(),
        group_instance_id: text(&member.group_instance_id),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
        ..Default::default()
    };
    GroupMetadataValue {
        protocol_type: text(&value.protocol_type).unwrap_or_default(),
        generation: value.generation,
        protocol: text(&value.protocol),
        leader: text(&value.leader),
        current_state_timestamp: value.state_since.map_or(-1, |at| at.0),
        members: value.members.iter().map(member).collect(),
        ..Default::default()
    }
}

/// Tombstones as batches of at most half a MiB, the usual limit being one. Kafka puts a group's tombstones in one
/// batch, which beyond `max.message.bytes` is refused for ever.
pub(super) fn tombstone_batches(records: Vec<Record>) -> Vec<Batch<Record>> {
    const MAX_BYTES: usize = 512 * 1024;
    let mut batches: Vec<Batch<Record>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        bytes += record.key_size();
        match batches.last_mut() {
            Some(batch) if bytes <= MAX_BYTES => batch.records.push(record),
            _ => {
                bytes = record.key_size();
                batches.push(Batch {
                    records: vec![record],
                    base_sequence: -1,
                    transaction: None,
                    acks_all: false,
                });
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(rebalance_timeout_ms: i32, instance: Option<&str>) -> MemberValue {
        MemberValue {
            member_id: "m".into(),
            group_instance_id: instance.map(Arc::from),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms,
            session_timeout_ms: 7,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        }
    }

    fn group(state_since: Option<Timestamp>, member: MemberValue) -> Record {
        let value = GroupValue {
            protocol_type: Some("consumer".into()),
            generation: 3,
            protocol: Some("range".into()),
            leader: Some("m".into()),
            state_since,
            members: vec![member],
        };
        Record::Group { group: "g".into(), value: Some(value) }
    }

    fn through_bytes(record: &Record, group: i16, offset: i16) -> (i16, Record) {
        let (key, value) = record.encode(ValueVersions { group, offset }).expect("encodable");
        let version = stored::version_of(value.as_ref().expect("a value")).expect("a version");
        (version, Record::decode(key, value).expect("readable").expect("known"))
    }

    #[test]
    fn old_versions_lose_what_they_cannot_say() {
        let full = group(Some(Timestamp(9)), member(5, Some("i")));
        assert_eq!(through_bytes(&full, 3, 3), (3, full.clone()));
        assert_eq!(through_bytes(&full, 2, 3), (2, group(Some(Timestamp(9)), member(5, None))));
        assert_eq!(through_bytes(&full, 1, 3), (1, group(None, member(5, None))));
        assert_eq!(
            through_bytes(&full, 0, 3),
            (0, group(None, member(7, None))),
            "the session timeout stands in"
        );
    }

    #[test]
    fn an_expiry_time_takes_version_1() {
        let offset = |leader_epoch, expire: Option<i64>| Record::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: 2,
            value: Some(OffsetValue {
                offset: 11,
                leader_epoch,
                metadata: "note".into(),
                commit_timestamp: Timestamp(4),
                expire_timestamp: expire.map(Timestamp),
            }),
        };
        assert_eq!(through_bytes(&offset(6, None), 3, 3), (3, offset(6, None)));
        assert_eq!(through_bytes(&offset(6, None), 3, 2), (2, offset(-1, None)));
        assert_eq!(through_bytes(&offset(6, None), 3, 1), (1, offset(-1, None)));
        assert_eq!(through_bytes(&offset(6, Some(8)), 3, 3), (1, offset(-1, Some(8))));
    }

    #[test]
    fn foreign_keys_are_skipped_and_broken_ones_refused() {
        let key = |bytes: &'static [u8]| Record::decode(Bytes::from_static(bytes), None);
        assert!(matches!(key(&[0, 3, 1, 2, 3]), Ok(None)), "a consumer group of KIP-848");
        assert!(matches!(key(&[0]), Err(MalformedRecord::Key(_))));
        assert!(matches!(key(&[0, 2, 0, 9, b'g']), Err(MalformedRecord::Key(_))));
        let value = Some(Bytes::from_static(&[0, 9, 1]));
        let error = Record::decode(Bytes::from_static(&[0, 2, 0, 1, b'g']), value).expect_err("version 9");
        assert!(error.to_string().contains("group \"g\""), "{error}");
    }

    #[test]
    fn a_text_beyond_the_format_is_an_error() {
        let record = Record::Group { group: "g".repeat(40_000).into(), value: None };
        assert!(record.encode(ValueVersions::default()).is_err());
    }

    #[test]
    fn tombstones_come_in_batches_that_fit() {
        let record = |partition| Record::Offset {
            group: "g".repeat(30_000).into(),
            topic: "t".into(),
            partition,
            value: None,
        };
        let batches = tombstone_batches((0..50).map(record).collect());
        assert_eq!(batches.iter().map(|batch| batch.records.len()).sum::<usize>(), 50);
        assert!(batches.iter().all(|batch| batch.records.len() <= 17), "half a MiB holds 17 of them");
        assert!(tombstone_batches(Vec::new()).is_empty());
    }
}
