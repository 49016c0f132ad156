//! OffsetCommit: where a group continues (`KafkaApis.handleOffsetCommitRequest`).
//!
//! v0 writes ZooKeeper (`/consumers/<group>/offsets/...`), v1+ the coordinator; v1: a timestamp; v2-4: a retention; v6: leader
//! epochs; v7: static members.

use std::collections::HashMap;
use std::sync::Arc;

use ottla_zk::store::{StoreError, create_recursive};
use ottla_zk::znode::consumer_offset;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::clock::Timestamp;
use crate::coordinator::group::{Command, CommitPartition, CommitTopic, OffsetCommit, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: OffsetCommitRequest,
    call: Call<'_>,
) -> Answer<OffsetCommitResponse> {
    if call.version == 0 {
        return Answer::Now(to_zookeeper(broker, request).await);
    }
    let known = |topic: &str, partition: i32| broker.metadata.image().partition(topic, partition).is_some();
    let mut topics = Vec::new();
    for topic in &request.topics {
        let partitions: Vec<CommitPartition> = topic
            .partitions
            .iter()
            .filter(|partition| known(&topic.name, partition.partition_index))
            .map(|partition| commit_partition(partition, call.version))
            .collect();
        if !partitions.is_empty() {
            topics.push(CommitTopic { name: topic.name.as_str().into(), partitions });
        }
    }
    let mut codes: HashMap<(Arc<str>, i32), ErrorCode> = HashMap::new();
    if !topics.is_empty() {
        let command = Command::OffsetCommit(OffsetCommit {
            group_id: request.group_id.clone(),
            generation_id: request.generation_id_or_member_epoch,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            retention_ms: Some(request.retention_time_ms)
                .filter(|ms| (2..=4).contains(&call.version) && *ms != -1),
            transaction: None,
            topics,
        });
        if let Reply::OffsetCommit(results) = broker.groups.ask(&request.group_id, command).await {
            for topic in results {
                codes.extend(
                    topic
                        .partitions
                        .into_iter()
                        .map(|(partition, code)| ((topic.name.clone(), partition), code)),
                );
            }
        }
    }
    let topics = request.topics.into_iter().map(|topic| {
        let name: Arc<str> = topic.name.as_str().into();
        let partitions = topic.partitions.iter().map(|partition| {
            let code = codes.get(&(name.clone(), partition.partition_index));
            answer(partition.partition_index, code.copied().unwrap_or(ErrorCode::UnknownTopicOrPartition))
        });
        OffsetCommitResponseTopic { partitions: partitions.collect(), name: topic.name, ..Default::default() }
    });
    Answer::Now(OffsetCommitResponse { topics: topics.collect(), ..Default::default() })
}

fn commit_partition(partition: &OffsetCommitRequestPartition, version: i16) -> CommitPartition {
    CommitPartition {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.clone(),
        commit_timestamp: Some(partition.commit_timestamp)
            .filter(|ms| version == 1 && *ms != -1)
            .map(Timestamp),
    }
}

fn answer(partition_index: i32, code: ErrorCode) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition { partition_index, error_code: code.code(), ..Default::default() }
}

async fn to_zookeeper(broker: &Broker, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let limit = broker.config.settings.number("offset.metadata.max.bytes").max(0) as usize;
    let mut response = OffsetCommitResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for partition in topic.partitions {
            let index = partition.partition_index;
            let metadata = partition.committed_metadata.as_deref().unwrap_or("");
            let code = if broker.metadata.image().partition(&topic.name, index).is_none() {
                ErrorCode::UnknownTopicOrPartition
            } else if metadata.encode_utf16().count() > limit {
                ErrorCode::OffsetMetadataTooLarge
            } else {
                let path = consumer_offset::path(&request.group_id, &topic.name, index);
                write(broker, &path, partition.committed_offset).await
            };
            partitions.push(answer(index, code));
        }
        response.topics.push(OffsetCommitResponseTopic {
            name: topic.name,
            partitions,
            ..Default::default()
        });
    }
    response
}

async fn write(broker: &Broker, path: &str, offset: i64) -> ErrorCode {
    let data = offset.to_string();
    let written = match broker.store.set(path, data.as_bytes(), None).await {
        Err(StoreError::NoNode(_)) => create_recursive(&*broker.store, path, data.as_bytes()).await.map(drop),
        other => other.map(drop),
    };
    match written {
        Ok(()) => ErrorCode::None,
        Err(error) => {
            tracing::warn!(%error, "an offset could not be written to ZooKeeper");
            ErrorCode::UnknownServerError
        }
    }
}
