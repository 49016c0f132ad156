//! DeleteRecords, API 21. Answered by partition leaders; offset -1 means the high watermark.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DeleteRecordsRequest`, `DeleteRecordsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Deletes the records below an offset.
    DeleteRecordsRequest 0..=2, flexible 2.. {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    /// In `DeleteRecordsRequest::topics`.
    DeleteRecordsTopic {
        name: String,
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// In `DeleteRecordsTopic::partitions`.
    DeleteRecordsPartition {
        partition_index: i32,
        offset: i64,
    }
}

message! {
    /// The new log start offset of each partition.
    DeleteRecordsResponse 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult>,
    }

    /// In `DeleteRecordsResponse::topics`.
    DeleteRecordsTopicResult {
        name: String,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// In `DeleteRecordsTopicResult::partitions`.
    DeleteRecordsPartitionResult {
        partition_index: i32,
        low_watermark: i64,
        error_code: i16,
    }
}
