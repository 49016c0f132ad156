//! OffsetFetch: where groups continue (`KafkaApis.handleOffsetFetchRequest`).
//!
//! v0 reads ZooKeeper; v1: errors by partition only; v2: all partitions of a group, and its error; v5: leader epochs; v7: refuse
//! what a transaction may still change; v8: several groups; v9: member id and epoch, which classic groups ignore.

use std::sync::Arc;

use ottla_zk::znode::consumer_offset;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, FetchedTopic, OffsetFetch, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::offset_fetch::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use crate::protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};

type Asked = Option<Vec<(Arc<str>, Vec<i32>)>>;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: OffsetFetchRequest,
    call: Call<'_>,
) -> Answer<OffsetFetchResponse> {
    if call.version == 0 {
        return Answer::Now(from_zookeeper(broker, request).await);
    }
    let require_stable = request.require_stable;
    if call.version >= 8 {
        let mut response = OffsetFetchResponse::default();
        for group in request.groups {
            let asked: Asked = group.topics.map(|topics| {
                topics.into_iter().map(|topic| (topic.name.into(), topic.partition_indexes)).collect()
            });
            let (code, topics) = fetch(broker, &group.group_id, asked, require_stable).await;
            response.groups.push(OffsetFetchResponseGroup {
                group_id: group.group_id,
                topics: topics.into_iter().map(group_topic).collect(),
                error_code: code.code(),
                ..Default::default()
            });
        }
        return Answer::Now(response);
    }
    let asked: Asked = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name.into(), topic.partition_indexes)).collect());
    let (code, topics) = fetch(broker, &request.group_id, asked, require_stable).await;
    Answer::Now(OffsetFetchResponse {
        topics: topics.into_iter().map(topic).collect(),
        error_code: code.code(),
        ..Default::default()
    })
}

async fn fetch(
    broker: &Broker,
    group_id: &str,
    topics: Asked,
    require_stable: bool,
) -> (ErrorCode, Vec<FetchedTopic>) {
    let command = Command::OffsetFetch(OffsetFetch { group_id: group_id.to_owned(), topics, require_stable });
    match broker.groups.ask(group_id, command).await {
        Reply::OffsetFetch(code, topics) => (code, topics),
        _ => (ErrorCode::UnknownServerError, Vec::new()),
    }
}

fn group_topic(topic: FetchedTopic) -> OffsetFetchResponseTopics {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartitions {
        partition_index: partition.partition,
        committed_offset: partition.offset,
        committed_leader_epoch: partition.leader_epoch,
        metadata: Some(partition.metadata.to_string()),
        error_code: partition.error.code(),
        ..Default::default()
    });
    OffsetFetchResponseTopics {
        name: topic.name.to_string(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn topic(topic: FetchedTopic) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition,
        committed_offset: partition.offset,
        committed_leader_epoch: partition.leader_epoch,
        metadata: Some(partition.metadata.to_string()),
        error_code: partition.error.code(),
        ..Default::default()
    });
    OffsetFetchResponseTopic {
        name: topic.name.to_string(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

async fn from_zookeeper(broker: &Broker, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut response = OffsetFetchResponse::default();
    for asked in request.topics.into_iter().flatten() {
        let mut partitions = Vec::new();
        for index in asked.partition_indexes {
            let (offset, code) = read(broker, &request.group_id, &asked.name, index).await;
            partitions.push(OffsetFetchResponsePartition {
                partition_index: index,
                committed_offset: offset,
                metadata: Some(String::new()),
                error_code: code.code(),
                ..Default::default()
            });
        }
        response.topics.push(OffsetFetchResponseTopic { name: asked.name, partitions, ..Default::default() });
    }
    response
}

async fn read(broker: &Broker, group: &str, topic: &str, partition: i32) -> (i64, ErrorCode) {
    const NO_OFFSET: i64 = -1;
    if broker.metadata.image().partition(topic, partition).is_none() {
        return (NO_OFFSET, ErrorCode::UnknownTopicOrPartition);
    }
    let path = consumer_offset::path(group, topic, partition);
    match broker.store.get(&path).await {
        Ok(None) => (NO_OFFSET, ErrorCode::UnknownTopicOrPartition),
        Ok(Some(node)) => match std::str::from_utf8(&node.data).ok().and_then(|text| text.parse().ok()) {
            Some(offset) => (offset, ErrorCode::None),
            None => {
                tracing::warn!(
                    path,
                    "the znode of a committed offset holds no number; delete it or write one"
                );
                (NO_OFFSET, ErrorCode::UnknownServerError)
            }
        },
        Err(error) => {
            tracing::warn!(%error, "a committed offset cannot be read from ZooKeeper");
            (NO_OFFSET, ErrorCode::UnknownServerError)
        }
    }
}
