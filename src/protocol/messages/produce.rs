//! Produce, API 0. Answered only when `acks` is not 0.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ProduceRequest`, `ProduceResponse` in Kafka's clients.

use crate::protocol::frame::Records;
use crate::protocol::message::message;

message! {
    /// Appends record batches to partitions this broker leads.
    ProduceRequest 0..=11, flexible 9.. {
        /// Set when the batches belong to a transaction.
        transactional_id: Option<String> [3..],
        /// -1 waits for the whole ISR, 1 for the leader, 0 for nobody (and there is no response).
        acks: i16,
        /// How long to wait for the acks.
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData>,
    }

    /// In `ProduceRequest::topic_data`.
    TopicProduceData {
        name: String,
        partition_data: Vec<PartitionProduceData>,
    }

    /// In `TopicProduceData::partition_data`.
    PartitionProduceData {
        index: i32,
        /// The batches, opaque.
        records: Option<Records>,
    }
}

message! {
    /// Where the batches went, or why not, for each partition.
    ProduceResponse 0..=11, flexible 9.. {
        responses: Vec<TopicProduceResponse>,
        throttle_time_ms: i32 [1.., else ignored],
        @0 node_endpoints: Vec<NodeEndpoint> [10..],
    }

    /// In `ProduceResponse::responses`.
    TopicProduceResponse {
        name: String,
        partition_responses: Vec<PartitionProduceResponse>,
    }

    /// In `ProduceResponse::node_endpoints`.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }

    /// In `TopicProduceResponse::partition_responses`.
    PartitionProduceResponse {
        index: i32,
        error_code: i16,
        /// Offset of the first record appended.
        base_offset: i64,
        /// The broker's time for topics with log append time, else -1.
        log_append_time_ms: i64 [2.., else ignored] = -1,
        log_start_offset: i64 [5.., else ignored] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8.., else ignored],
        error_message: Option<String> [8.., else ignored],
        @0 current_leader: LeaderIdAndEpoch [10..],
    }

    /// In `PartitionProduceResponse::record_errors`.
    BatchIndexAndErrorMessage {
        batch_index: i32,
        batch_index_error_message: Option<String>,
    }

    /// In `PartitionProduceResponse::current_leader`.
    LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }
}
