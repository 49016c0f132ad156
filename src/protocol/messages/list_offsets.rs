//! ListOffsets, API 2. Special timestamps: -1 latest, -2 earliest, -3 of the largest timestamp, -4 and -5 for tiered logs.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ListOffsetsRequest`, `ListOffsetsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for offsets by timestamp, or for the first and last ones.
    ListOffsetsRequest 0..=9, flexible 6.. {
        replica_id: i32,
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic>,
    }

    /// In `ListOffsetsRequest::topics`.
    ListOffsetsTopic {
        name: String,
        partitions: Vec<ListOffsetsPartition>,
    }

    /// In `ListOffsetsTopic::partitions`.
    ListOffsetsPartition {
        partition_index: i32,
        current_leader_epoch: i32 [4.., else ignored] = -1,
        timestamp: i64,
        max_num_offsets: i32 [0..=0] = 1,
    }
}

message! {
    /// One offset for each partition asked.
    ListOffsetsResponse 0..=9, flexible 6.. {
        throttle_time_ms: i32 [2.., else ignored],
        topics: Vec<ListOffsetsTopicResponse>,
    }

    /// In `ListOffsetsResponse::topics`.
    ListOffsetsTopicResponse {
        name: String,
        partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// In `ListOffsetsTopicResponse::partitions`.
    ListOffsetsPartitionResponse {
        partition_index: i32,
        error_code: i16,
        old_style_offsets: Vec<i64> [0..=0],
        timestamp: i64 [1..] = -1,
        offset: i64 [1..] = -1,
        leader_epoch: i32 [4..] = -1,
    }
}
