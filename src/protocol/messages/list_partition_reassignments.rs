//! ListPartitionReassignments, API 46. KIP-455; a null topic list means all.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ListPartitionReassignmentsRequest`, `ListPartitionReassignmentsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the moves that are under way.
    ListPartitionReassignmentsRequest 0..=0, flexible 0.. {
        timeout_ms: i32 = 60000,
        topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    }

    /// In `ListPartitionReassignmentsRequest::topics`.
    ListPartitionReassignmentsTopics {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// The moves.
    ListPartitionReassignmentsResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        topics: Vec<OngoingTopicReassignment>,
    }

    /// In `ListPartitionReassignmentsResponse::topics`.
    OngoingTopicReassignment {
        name: String,
        partitions: Vec<OngoingPartitionReassignment>,
    }

    /// In `OngoingTopicReassignment::partitions`.
    OngoingPartitionReassignment {
        partition_index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
