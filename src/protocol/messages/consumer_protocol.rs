//! What consumers of classic groups tell each other inside JoinGroup and SyncGroup; opaque to the broker,
//! which reads it only to tell which topics a member is subscribed to (OffsetDelete, DescribeGroups).
//!
//! Both are preceded by their version as a 16-bit integer; newer versions only append fields, so a reader
//! takes the newest it knows. Source: `ConsumerProtocol` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::{Message, message};
use crate::protocol::wire::{Reader, WireError};

/// Reads a subscription or an assignment with its version in front. A version above those known is read as
/// the newest known; what follows is left alone.
pub fn decode<M: Message>(data: Bytes) -> Result<M, WireError> {
    let mut reader = Reader::new(data);
    reader.enter("version");
    let version = reader.read_i16()?;
    M::decode(&mut reader, version.min(*M::VERSIONS.end()))
}

message! {
    /// What a member wants to read.
    ConsumerProtocolSubscription 0..=3, flexible none {
        topics: Vec<String>,
        user_data: Option<Bytes>,
        owned_partitions: Vec<OwnedPartitions> [1.., else ignored],
        generation_id: i32 [2.., else ignored] = -1,
        rack_id: Option<String> [3.., else ignored],
    }

    /// In `ConsumerProtocolSubscription::owned_partitions`.
    OwnedPartitions {
        topic: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// What a member was given to read.
    ConsumerProtocolAssignment 0..=3, flexible none {
        assigned_partitions: Vec<AssignedPartitions>,
        user_data: Option<Bytes>,
    }

    /// In `ConsumerProtocolAssignment::assigned_partitions`.
    AssignedPartitions {
        topic: String,
        partitions: Vec<i32>,
    }
}
