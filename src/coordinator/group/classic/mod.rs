//! The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup (KIP-62, 345, 394, 814).
//!
//! Source: `GroupCoordinator` and `GroupMetadata` of Kafka 3.9. There is no Dead state here: a group that is dead
//! is not in the shard's map, and nothing else can hold it.

pub(super) mod group;
mod heartbeat;
mod join;
mod leave;
pub(super) mod member;
mod rebalance;
mod static_member;
pub(super) mod store;
mod sync;
