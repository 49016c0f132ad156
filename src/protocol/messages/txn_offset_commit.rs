//! TxnOffsetCommit, API 28. Answered by the group coordinator.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `TxnOffsetCommitRequest`, `TxnOffsetCommitResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Stores offsets that become visible when the transaction commits.
    TxnOffsetCommitRequest 0..=4, flexible 3.. {
        transactional_id: String,
        group_id: String,
        producer_id: i64,
        producer_epoch: i16,
        generation_id: i32 [3..] = -1,
        member_id: String [3..],
        group_instance_id: Option<String> [3..],
        topics: Vec<TxnOffsetCommitRequestTopic>,
    }

    /// In `TxnOffsetCommitRequest::topics`.
    TxnOffsetCommitRequestTopic {
        name: String,
        partitions: Vec<TxnOffsetCommitRequestPartition>,
    }

    /// In `TxnOffsetCommitRequestTopic::partitions`.
    TxnOffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [2.., else ignored] = -1,
        committed_metadata: Option<String> = Some(String::new()),
    }
}

message! {
    /// How each partition fared.
    TxnOffsetCommitResponse 0..=4, flexible 3.. {
        throttle_time_ms: i32,
        topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    /// In `TxnOffsetCommitResponse::topics`.
    TxnOffsetCommitResponseTopic {
        name: String,
        partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    /// In `TxnOffsetCommitResponseTopic::partitions`.
    TxnOffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
