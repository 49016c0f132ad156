//! OffsetCommit, API 8. Answered by the group coordinator.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `OffsetCommitRequest`, `OffsetCommitResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Stores the offsets a group has consumed.
    OffsetCommitRequest 0..=9, flexible 8.. {
        group_id: String,
        generation_id_or_member_epoch: i32 [1.., else ignored] = -1,
        member_id: String [1.., else ignored],
        group_instance_id: Option<String> [7..],
        retention_time_ms: i64 [2..=4, else ignored] = -1,
        topics: Vec<OffsetCommitRequestTopic>,
    }

    /// In `OffsetCommitRequest::topics`.
    OffsetCommitRequestTopic {
        name: String,
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// In `OffsetCommitRequestTopic::partitions`.
    OffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6.., else ignored] = -1,
        commit_timestamp: i64 [1..=1] = -1,
        committed_metadata: Option<String> = Some(String::new()),
    }
}

message! {
    /// How each partition fared.
    OffsetCommitResponse 0..=9, flexible 8.. {
        throttle_time_ms: i32 [3.., else ignored],
        topics: Vec<OffsetCommitResponseTopic>,
    }

    /// In `OffsetCommitResponse::topics`.
    OffsetCommitResponseTopic {
        name: String,
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// In `OffsetCommitResponseTopic::partitions`.
    OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
