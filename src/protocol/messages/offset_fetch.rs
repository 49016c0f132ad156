//! OffsetFetch, API 9. Version 8 asks for several groups at once; a null topic list means all.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `OffsetFetchRequest`, `OffsetFetchResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Reads the offsets groups have committed.
    OffsetFetchRequest 0..=9, flexible 6.. {
        group_id: String [0..=7],
        topics: Option<Vec<OffsetFetchRequestTopic>> [0..=7, null 2..=7] = Some(Vec::new()),
        groups: Vec<OffsetFetchRequestGroup> [8..],
        require_stable: bool [7..],
    }

    /// In `OffsetFetchRequest::topics`.
    OffsetFetchRequestTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// In `OffsetFetchRequest::groups`.
    OffsetFetchRequestGroup {
        group_id: String,
        member_id: Option<String> [9.., else ignored],
        member_epoch: i32 [9.., else ignored] = -1,
        topics: Option<Vec<OffsetFetchRequestTopics>> = Some(Vec::new()),
    }

    /// In `OffsetFetchRequestGroup::topics`.
    OffsetFetchRequestTopics {
        name: String,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// The committed offsets; -1 where there is none.
    OffsetFetchResponse 0..=9, flexible 6.. {
        throttle_time_ms: i32 [3.., else ignored],
        topics: Vec<OffsetFetchResponseTopic> [0..=7],
        error_code: i16 [2..=7, else ignored],
        groups: Vec<OffsetFetchResponseGroup> [8..],
    }

    /// In `OffsetFetchResponse::topics`.
    OffsetFetchResponseTopic {
        name: String,
        partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// In `OffsetFetchResponse::groups`.
    OffsetFetchResponseGroup {
        group_id: String,
        topics: Vec<OffsetFetchResponseTopics>,
        error_code: i16,
    }

    /// In `OffsetFetchResponseTopic::partitions`.
    OffsetFetchResponsePartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [5.., else ignored] = -1,
        metadata: Option<String> = Some(String::new()),
        error_code: i16,
    }

    /// In `OffsetFetchResponseGroup::topics`.
    OffsetFetchResponseTopics {
        name: String,
        partitions: Vec<OffsetFetchResponsePartitions>,
    }

    /// In `OffsetFetchResponseTopics::partitions`.
    OffsetFetchResponsePartitions {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 = -1,
        metadata: Option<String> = Some(String::new()),
        error_code: i16,
    }
}
