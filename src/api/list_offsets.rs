//! ListOffsets: offsets by timestamp (`KafkaApis.handleListOffsetRequest`, `ReplicaManager.fetchOffset`).
//!
//! v0: several segment offsets; v1: one offset and its timestamp; v2: isolation; v4: epochs; v7: the largest
//! timestamp; v8: the earliest local offset; v9: the latest tiered offset (there is no tier, so none).

use std::collections::HashSet;
use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use crate::protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use crate::replication::offsets_for::{self, Ask, Found};
use crate::storage::log::Bound;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const DEBUGGING_REPLICA: i32 = -2;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ListOffsetsRequest,
    call: Call<'_>,
) -> Answer<ListOffsetsResponse> {
    let broker = broker.clone();
    let version = call.version;
    // Searching by timestamp reads indexes and segments: not on the connection's thread.
    let needs_search = request.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.timestamp >= 0)
        || version == 0
        || request.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.timestamp == -3);
    if !needs_search {
        return Answer::Now(list(&broker, &request, version));
    }
    let listed = crate::blocking::run(move || list(&broker, &request, version)).await;
    match listed {
        Ok(response) => Answer::Now(response),
        Err(error) => Answer::Close(format!("ListOffsets failed: {error}")),
    }
}

fn list(broker: &Broker, request: &ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            if !seen.insert((topic.name.as_str(), partition.partition_index)) {
                twice.insert((topic.name.as_str(), partition.partition_index));
            }
        }
    }
    let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|asked| match twice.contains(&(topic.name.as_str(), asked.partition_index)) {
                true => failed(asked, ErrorCode::InvalidRequest),
                false => one(broker, request, &topic.name, asked, version),
            })
            .collect(),
        ..Default::default()
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

fn failed(asked: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: code.code(),
        ..Default::default()
    }
}

/// First version that knows a special timestamp.
fn first_version(timestamp: i64) -> Option<i16> {
    match timestamp {
        0.. | LATEST | EARLIEST => Some(0),
        -3 => Some(7),
        -4 => Some(8),
        -5 => Some(9),
        _ => None,
    }
}

fn one(
    broker: &Broker,
    request: &ListOffsetsRequest,
    topic: &str,
    asked: &ListOffsetsPartition,
    version: i16,
) -> ListOffsetsPartitionResponse {
    if first_version(asked.timestamp).is_none_or(|first| version < first) {
        return failed(asked, ErrorCode::UnsupportedVersion);
    }
    if broker.metadata.image().partition(topic, asked.partition_index).is_none() {
        return failed(asked, ErrorCode::UnknownTopicOrPartition);
    }
    let partition = match broker.replicas.partition_or(topic, asked.partition_index, true) {
        Ok(partition) => partition,
        Err(code) => return failed(asked, code),
    };
    let ask = Ask {
        timestamp: asked.timestamp,
        current_leader_epoch: asked.current_leader_epoch,
        bound: match (request.replica_id, request.isolation_level) {
            (0.., _) => Bound::LogEnd,
            (_, 1) => Bound::LastStable,
            _ => Bound::HighWatermark,
        },
        leader_only: request.replica_id != DEBUGGING_REPLICA,
    };
    if version == 0 {
        return match offsets_for::list_old_style(&partition, &ask, asked.max_num_offsets) {
            Ok(offsets) => {
                ListOffsetsPartitionResponse { old_style_offsets: offsets, ..failed(asked, ErrorCode::None) }
            }
            Err(code) => failed(asked, code),
        };
    }
    match offsets_for::find(&partition, &ask) {
        Ok(Found { offset, timestamp, leader_epoch }) => ListOffsetsPartitionResponse {
            offset,
            timestamp,
            leader_epoch: if version >= 4 { leader_epoch } else { -1 },
            ..failed(asked, ErrorCode::None)
        },
        Err(ErrorCode::OffsetNotAvailable) if version < 5 => failed(asked, ErrorCode::LeaderNotAvailable),
        Err(code) => failed(asked, code),
    }
}
