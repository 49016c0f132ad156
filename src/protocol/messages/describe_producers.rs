//! DescribeProducers, API 61. KIP-664.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeProducersRequest`, `DescribeProducersResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the producers that write to partitions.
    DescribeProducersRequest 0..=0, flexible 0.. {
        topics: Vec<TopicRequest>,
    }

    /// In `DescribeProducersRequest::topics`.
    TopicRequest {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// The active producers of each partition.
    DescribeProducersResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// In `DescribeProducersResponse::topics`.
    TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// In `TopicResponse::partitions`.
    PartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String>,
        active_producers: Vec<ProducerState>,
    }

    /// In `PartitionResponse::active_producers`.
    ProducerState {
        producer_id: i64,
        producer_epoch: i32,
        last_sequence: i32 = -1,
        last_timestamp: i64 = -1,
        coordinator_epoch: i32,
        current_txn_start_offset: i64 = -1,
    }
}
