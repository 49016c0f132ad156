//! Committed offsets as records of `__consumer_offsets`.
//!
//! Keys and values start with their version as a 16-bit integer (see the parent module). A null value is a tombstone.
//! Knows nothing of groups' state. Source: `OffsetCommitKey`, `OffsetCommitValue`, `GroupMetadataManager` in Kafka.

use crate::protocol::message::message;

message! {
    /// Whose offset; written in version 1.
    OffsetCommitKey 0..=1, flexible none {
        group: String,
        topic: String,
        partition: i32,
    }
}

message! {
    /// The offset; written in version 3 unless an old `inter.broker.protocol.version` asks for less.
    OffsetCommitValue 0..=4, flexible 4.. {
        offset: i64,
        leader_epoch: i32 [3.., else ignored] = -1,
        metadata: String,
        commit_timestamp: i64,
        expire_timestamp: i64 [1..=1, else ignored] = -1,
    }
}
