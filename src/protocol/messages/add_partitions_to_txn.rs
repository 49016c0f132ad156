//! AddPartitionsToTxn, API 24. Versions 4 and above are between brokers, for several transactions (KIP-890).
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AddPartitionsToTxnRequest`, `AddPartitionsToTxnResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Adds partitions to a transaction, or asks whether they are in it.
    AddPartitionsToTxnRequest 0..=5, flexible 3.. {
        transactions: Vec<AddPartitionsToTxnTransaction> [4..],
        v3_and_below_transactional_id: String [0..=3],
        v3_and_below_producer_id: i64 [0..=3],
        v3_and_below_producer_epoch: i16 [0..=3],
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0..=3],
    }

    /// In `AddPartitionsToTxnRequest::transactions`.
    AddPartitionsToTxnTransaction {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        verify_only: bool,
        topics: Vec<AddPartitionsToTxnTopic>,
    }

    /// In `AddPartitionsToTxnRequest::v3_and_below_topics`.
    AddPartitionsToTxnTopic {
        name: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// How each partition fared.
    AddPartitionsToTxnResponse 0..=5, flexible 3.. {
        throttle_time_ms: i32,
        error_code: i16 [4.., else ignored],
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4..],
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0..=3],
    }

    /// In `AddPartitionsToTxnResponse::results_by_transaction`.
    AddPartitionsToTxnResult {
        transactional_id: String,
        topic_results: Vec<AddPartitionsToTxnTopicResult>,
    }

    /// In `AddPartitionsToTxnResponse::results_by_topic_v3_and_below`.
    AddPartitionsToTxnTopicResult {
        name: String,
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
    }

    /// In `AddPartitionsToTxnTopicResult::results_by_partition`.
    AddPartitionsToTxnPartitionResult {
        partition_index: i32,
        partition_error_code: i16,
    }
}
