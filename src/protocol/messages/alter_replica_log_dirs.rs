//! AlterReplicaLogDirs, API 34. KIP-113.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AlterReplicaLogDirsRequest`, `AlterReplicaLogDirsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Moves replicas of this broker to other log directories.
    AlterReplicaLogDirsRequest 0..=2, flexible 2.. {
        dirs: Vec<AlterReplicaLogDir>,
    }

    /// In `AlterReplicaLogDirsRequest::dirs`.
    AlterReplicaLogDir {
        path: String,
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    /// In `AlterReplicaLogDir::topics`.
    AlterReplicaLogDirTopic {
        name: String,
        partitions: Vec<i32>,
    }
}

message! {
    /// How each partition fared.
    AlterReplicaLogDirsResponse 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    /// In `AlterReplicaLogDirsResponse::results`.
    AlterReplicaLogDirTopicResult {
        topic_name: String,
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    /// In `AlterReplicaLogDirTopicResult::partitions`.
    AlterReplicaLogDirPartitionResult {
        partition_index: i32,
        error_code: i16,
    }
}
