//! AlterReplicaLogDirs: moves replicas of this broker to other log directories (KIP-113;
//! `ReplicaManager.alterReplicaLogDirs`).
//!
//! The move itself is not built yet: a replica that is here and lies elsewhere is refused with UNSUPPORTED_VERSION.
//! The rest is Kafka's: where a replica that is not here shall be created is remembered (if the partition exists), and
//! the answer is then REPLICA_NOT_AVAILABLE. The version changes nothing.

use std::path::Path;
use std::sync::Arc;

use super::describe_log_dirs::absolute;
use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use crate::protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

/// Longest name of a directory; a future replica's has 40 bytes more than its partition's.
const MAX_DIR_NAME: usize = 255;
const FUTURE_SUFFIX: usize = 40;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: AlterReplicaLogDirsRequest,
    _call: Call<'_>,
) -> Answer<AlterReplicaLogDirsResponse> {
    let mut results = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let name: Arc<str> = topic.name.as_str().into();
            let partitions = topic.partitions.iter().map(|index| {
                let at = TopicPartition { topic: name.clone(), partition: *index };
                let code = refusal(broker, &at, Path::new(&dir.path));
                AlterReplicaLogDirPartitionResult {
                    partition_index: *index,
                    error_code: code.code(),
                    ..Default::default()
                }
            });
            results.push(AlterReplicaLogDirTopicResult {
                topic_name: topic.name.clone(),
                partitions: partitions.collect(),
                ..Default::default()
            });
        }
    }
    Answer::Now(AlterReplicaLogDirsResponse { results, ..Default::default() })
}

fn refusal(broker: &Broker, at: &TopicPartition, to: &Path) -> ErrorCode {
    let logs = &broker.replicas.logs;
    if at.to_string().len() + FUTURE_SUFFIX > MAX_DIR_NAME {
        return ErrorCode::InvalidTopicException;
    }
    let Some(dir) = logs.dirs().iter().find(|dir| absolute(dir) == to) else {
        return ErrorCode::LogDirNotFound;
    };
    if dir.is_offline() {
        return ErrorCode::KafkaStorageError;
    }
    match logs.get(at) {
        Some(log) if log.log_dir() == dir.path() => ErrorCode::None,
        Some(_) => ErrorCode::UnsupportedVersion,
        None => {
            // Only of partitions that exist: what is remembered must be bounded.
            if broker.metadata.image().partition(&at.topic, at.partition).is_some() {
                logs.prefer_dir(at.clone(), dir.path().to_path_buf());
            }
            ErrorCode::ReplicaNotAvailable
        }
    }
}
