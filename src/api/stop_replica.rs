//! StopReplica: the controller takes replicas from this broker, with or without their data.
//!
//! v0-2 delete all or none; v3+ say it for each partition, with its leader epoch (-2: the topic is being deleted).

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{OFFSETS_TOPIC, TopicPartition};
use crate::protocol::messages::stop_replica::StopReplicaPartitionError;
use crate::protocol::messages::{StopReplicaRequest, StopReplicaResponse};
use crate::replication::become_replica::StopAsk;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: StopReplicaRequest,
    call: Call<'_>,
) -> Answer<StopReplicaResponse> {
    if let Err(code) = broker.accept_control(request.broker_epoch, request.controller_epoch) {
        return Answer::Now(StopReplicaResponse { error_code: code.code(), ..Default::default() });
    }
    let asked = asks(&request, call.version);
    let working = broker.clone();
    let stopped = crate::blocking::run(move || {
        let codes = working.replicas.stop_replicas(&asked);
        (asked, codes)
    });
    let Ok((asked, codes)) = stopped.await else {
        let code = ErrorCode::UnknownServerError.code();
        return Answer::Now(StopReplicaResponse { error_code: code, ..Default::default() });
    };
    let stopped = asked.iter().zip(&codes).filter(|(_, code)| **code == ErrorCode::None);
    broker.fetchers.remove(stopped.map(|(ask, _)| &ask.tp));
    for (ask, code) in asked.iter().zip(&codes) {
        if *ask.tp.topic == *OFFSETS_TOPIC && *code == ErrorCode::None {
            let epoch = (ask.leader_epoch >= 0).then_some(ask.leader_epoch);
            broker.groups.resigned(ask.tp.partition, epoch);
        }
    }
    let errors = asked.iter().zip(codes).map(|(ask, code)| StopReplicaPartitionError {
        topic_name: ask.tp.topic.to_string(),
        partition_index: ask.tp.partition,
        error_code: code.code(),
        ..Default::default()
    });
    Answer::Now(StopReplicaResponse { partition_errors: errors.collect(), ..Default::default() })
}

fn asks(request: &StopReplicaRequest, version: i16) -> Vec<StopAsk> {
    let mut asks = Vec::new();
    let old = |tp| StopAsk { tp, leader_epoch: -1, delete: request.delete_partitions };
    match version {
        0 => asks.extend(
            request
                .ungrouped_partitions
                .iter()
                .map(|one| old(TopicPartition::new(one.topic_name.as_str(), one.partition_index))),
        ),
        1 | 2 => {
            for topic in &request.topics {
                let partitions = topic.partition_indexes.iter();
                asks.extend(partitions.map(|index| old(TopicPartition::new(topic.name.as_str(), *index))));
            }
        }
        _ => {
            for topic in &request.topic_states {
                asks.extend(topic.partition_states.iter().map(|state| StopAsk {
                    tp: TopicPartition::new(topic.topic_name.as_str(), state.partition_index),
                    leader_epoch: state.leader_epoch,
                    delete: state.delete_partition,
                }));
            }
        }
    }
    asks
}
