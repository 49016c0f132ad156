//! Classic groups as records of `__consumer_offsets`.
//!
//! Keys and values start with their version as a 16-bit integer (see the parent module). A null value is a tombstone.
//! Knows nothing of offsets. Source: `GroupMetadataKey`, `GroupMetadataValue`, `GroupMetadataManager` in Kafka.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Which group; always version 2, by which it is told from an offset key.
    GroupMetadataKey 2..=2, flexible none {
        group: String,
    }
}

message! {
    /// A generation of a group with its members and their assignments; written in version 3.
    GroupMetadataValue 0..=4, flexible 4.. {
        protocol_type: String,
        generation: i32,
        protocol: Option<String> = Some(String::new()),
        leader: Option<String> = Some(String::new()),
        current_state_timestamp: i64 [2.., else ignored] = -1,
        members: Vec<MemberMetadata>,
    }

    /// In `GroupMetadataValue::members`.
    MemberMetadata {
        member_id: String,
        group_instance_id: Option<String> [3.., else ignored],
        client_id: String,
        client_host: String,
        rebalance_timeout: i32 [1.., else ignored] = -1,
        session_timeout: i32,
        subscription: Bytes,
        assignment: Bytes,
    }
}
