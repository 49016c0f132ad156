//! OffsetDelete, API 47. KIP-496.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `OffsetDeleteRequest`, `OffsetDeleteResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Deletes a group's committed offsets.
    OffsetDeleteRequest 0..=0, flexible none {
        group_id: String,
        topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// In `OffsetDeleteRequest::topics`.
    OffsetDeleteRequestTopic {
        name: String,
        partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// In `OffsetDeleteRequestTopic::partitions`.
    OffsetDeleteRequestPartition {
        partition_index: i32,
    }
}

message! {
    /// How each partition fared.
    OffsetDeleteResponse 0..=0, flexible none {
        error_code: i16,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// In `OffsetDeleteResponse::topics`.
    OffsetDeleteResponseTopic {
        name: String,
        partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// In `OffsetDeleteResponseTopic::partitions`.
    OffsetDeleteResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
