//! Consumer groups (the classic protocol) and committed offsets: one [`GroupShard`] per partition of
//! `__consumer_offsets`.
//!
//! Pure: no clock, no randomness (fresh ids come with the commands), no log. The offsets of a group and the last
//! group record are durable and change in `replay` alone; live membership, rebalances and sessions are volatile
//! and start over after a fail-over from the last group record. Source: `kafka.coordinator.group` of Kafka 3.9.
//!
//! Reading order: `command`, `shard`, `classic::{group, join, rebalance, sync}`, `offsets`, the rest.

mod classic;
mod command;
mod describe;
mod expiry;
mod offsets;
mod records;
mod requests;
mod shard;
mod subscription;

pub use command::{
    Command, CommitPartition, CommitTopic, FetchedPartition, FetchedTopic, Heartbeat, JoinGroup,
    JoinGroupReply, JoinedMember, LeaveGroup, LeaveGroupReply, LeavingMember, OffsetCommit, OffsetDelete,
    OffsetDeleteReply, OffsetFetch, Protocol, Reply, SyncGroup, SyncGroupReply, TopicErrors,
};
pub use describe::{Description, ListGroups, ListedGroup, MemberDescription};
pub use records::{GroupValue, MalformedRecord, MemberValue, OffsetValue, Record, ValueVersions};
pub use shard::{Counts, GroupConfig, GroupShard, Timer};
