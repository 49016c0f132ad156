//! OffsetForLeaderEpoch, API 23. KIP-101, KIP-320; -1 and -2 as replica id are a consumer and a debugger.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `OffsetForLeaderEpochRequest`, `OffsetForLeaderEpochResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks where a leader epoch ends in the log.
    OffsetForLeaderEpochRequest 0..=4, flexible 4.. {
        replica_id: i32 [3.., else ignored] = -2,
        topics: Vec<OffsetForLeaderTopic>,
    }

    /// In `OffsetForLeaderEpochRequest::topics`.
    OffsetForLeaderTopic {
        topic: String,
        partitions: Vec<OffsetForLeaderPartition>,
    }

    /// In `OffsetForLeaderTopic::partitions`.
    OffsetForLeaderPartition {
        partition: i32,
        current_leader_epoch: i32 [2.., else ignored] = -1,
        leader_epoch: i32,
    }
}

message! {
    /// The end offset of each epoch asked.
    OffsetForLeaderEpochResponse 0..=4, flexible 4.. {
        throttle_time_ms: i32 [2.., else ignored],
        topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// In `OffsetForLeaderEpochResponse::topics`.
    OffsetForLeaderTopicResult {
        topic: String,
        partitions: Vec<EpochEndOffset>,
    }

    /// In `OffsetForLeaderTopicResult::partitions`.
    EpochEndOffset {
        error_code: i16,
        partition: i32,
        leader_epoch: i32 [1.., else ignored] = -1,
        end_offset: i64 = -1,
    }
}
