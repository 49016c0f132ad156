//! DescribeLogDirs, API 35. KIP-113, KIP-827; a null topic list means all.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeLogDirsRequest`, `DescribeLogDirsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for this broker's log directories and what is in them.
    DescribeLogDirsRequest 0..=4, flexible 2.. {
        topics: Option<Vec<DescribableLogDirTopic>> = Some(Vec::new()),
    }

    /// In `DescribeLogDirsRequest::topics`.
    DescribableLogDirTopic {
        topic: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// The directories with their replicas and space.
    DescribeLogDirsResponse 0..=4, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16 [3.., else ignored],
        results: Vec<DescribeLogDirsResult>,
    }

    /// In `DescribeLogDirsResponse::results`.
    DescribeLogDirsResult {
        error_code: i16,
        log_dir: String,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [4.., else ignored] = -1,
        usable_bytes: i64 [4.., else ignored] = -1,
    }

    /// In `DescribeLogDirsResult::topics`.
    DescribeLogDirsTopic {
        name: String,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// In `DescribeLogDirsTopic::partitions`.
    DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        is_future_key: bool,
    }
}
