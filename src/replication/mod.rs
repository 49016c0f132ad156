//! Partitions on this broker: who leads them, what is committed, who waits for it.
//!
//! Lock order, outer to inner, never across an await: `ReplicaManager.partitions` -> `Partition.state` ->
//! the log's own. Knows nothing of API versions and connections.

pub mod alter_partition;
pub mod alter_sender;
pub mod become_replica;
pub mod fetch;
pub mod fetch_session;
pub mod fetcher;
pub mod follower;
pub mod isr;
pub mod leader;
pub mod log_dirs;
pub mod offsets_for;
pub mod partition;
pub mod preferred_replica;
pub mod purgatory;
pub mod replica_manager;
pub mod throttle;
