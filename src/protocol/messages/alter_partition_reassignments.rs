//! AlterPartitionReassignments, API 45. KIP-455; null replicas cancel.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AlterPartitionReassignmentsRequest`, `AlterPartitionReassignmentsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Starts, replaces or cancels moves of partitions to other brokers.
    AlterPartitionReassignmentsRequest 0..=0, flexible 0.. {
        timeout_ms: i32 = 60000,
        topics: Vec<ReassignableTopic>,
    }

    /// In `AlterPartitionReassignmentsRequest::topics`.
    ReassignableTopic {
        name: String,
        partitions: Vec<ReassignablePartition>,
    }

    /// In `ReassignableTopic::partitions`.
    ReassignablePartition {
        partition_index: i32,
        replicas: Option<Vec<i32>>,
    }
}

message! {
    /// How each partition fared.
    AlterPartitionReassignmentsResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        responses: Vec<ReassignableTopicResponse>,
    }

    /// In `AlterPartitionReassignmentsResponse::responses`.
    ReassignableTopicResponse {
        name: String,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    /// In `ReassignableTopicResponse::partitions`.
    ReassignablePartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
    }
}
