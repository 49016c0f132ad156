//! ElectLeaders, API 43. KIP-183, KIP-460; election types: 0 preferred, 1 unclean.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ElectLeadersRequest`, `ElectLeadersResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Elects preferred leaders, or any replica where none is in sync.
    ElectLeadersRequest 0..=2, flexible 2.. {
        election_type: i8 [1..],
        topic_partitions: Option<Vec<TopicPartitions>> = Some(Vec::new()),
        timeout_ms: i32 = 60000,
    }

    /// In `ElectLeadersRequest::topic_partitions`.
    TopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// How each partition fared.
    ElectLeadersResponse 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16 [1..],
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    /// In `ElectLeadersResponse::replica_election_results`.
    ReplicaElectionResult {
        topic: String,
        partition_result: Vec<PartitionResult>,
    }

    /// In `ReplicaElectionResult::partition_result`.
    PartitionResult {
        partition_id: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
    }
}
