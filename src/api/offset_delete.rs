//! OffsetDelete: forgets committed offsets of topics that the group does not read now (KIP-496).

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, OffsetDelete, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use crate::protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: OffsetDeleteRequest,
    _call: Call<'_>,
) -> Answer<OffsetDeleteResponse> {
    let failed =
        |code: ErrorCode| Answer::Now(OffsetDeleteResponse { error_code: code.code(), ..Default::default() });
    if request.group_id.is_empty() {
        return failed(ErrorCode::InvalidGroupId);
    }
    let mut topics = Vec::new();
    let mut unknown = Vec::new();
    for topic in request.topics {
        let image = broker.metadata.image();
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let (there, missing): (Vec<i32>, Vec<i32>) =
            indexes.partition(|index| image.partition(&topic.name, *index).is_some());
        if !missing.is_empty() {
            unknown.push((topic.name.clone(), missing));
        }
        if !there.is_empty() {
            topics.push((Arc::<str>::from(topic.name), there));
        }
    }
    let command = Command::OffsetDelete(OffsetDelete { group_id: request.group_id.clone(), topics });
    let Reply::OffsetDelete(reply) = broker.groups.ask(&request.group_id, command).await else {
        return failed(ErrorCode::UnknownServerError);
    };
    if reply.error != ErrorCode::None {
        return failed(reply.error);
    }
    let mut response = OffsetDeleteResponse::default();
    for topic in reply.topics {
        push(&mut response, &topic.name, topic.partitions);
    }
    for (name, missing) in unknown {
        let codes = missing.into_iter().map(|index| (index, ErrorCode::UnknownTopicOrPartition));
        push(&mut response, &name, codes.collect());
    }
    Answer::Now(response)
}

fn push(response: &mut OffsetDeleteResponse, name: &str, codes: Vec<(i32, ErrorCode)>) {
    let partitions = codes.into_iter().map(|(partition_index, code)| OffsetDeleteResponsePartition {
        partition_index,
        error_code: code.code(),
        ..Default::default()
    });
    match response.topics.iter_mut().find(|topic| topic.name == name) {
        Some(topic) => topic.partitions.extend(partitions),
        None => response.topics.push(OffsetDeleteResponseTopic {
            name: name.to_owned(),
            partitions: partitions.collect(),
            ..Default::default()
        }),
    }
}
