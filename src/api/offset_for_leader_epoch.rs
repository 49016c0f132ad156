//! OffsetForLeaderEpoch: where a leader's term ends in this log (KIP-101, KIP-320): consumers check for truncation,
//! followers for divergence.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use crate::protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: OffsetForLeaderEpochRequest,
    _call: Call<'_>,
) -> Answer<OffsetForLeaderEpochResponse> {
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.clone(),
        partitions: topic.partitions.iter().map(|asked| one(broker, &topic.topic, asked)).collect(),
        ..Default::default()
    });
    Answer::Now(OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
}

fn one(broker: &Broker, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let known = broker.metadata.image().partition(topic, asked.partition).is_some();
    let log = broker
        .replicas
        .partition_or(topic, asked.partition, known)
        .and_then(|partition| partition.leader_log(asked.current_leader_epoch));
    let mut answer = EpochEndOffset { partition: asked.partition, ..Default::default() };
    match log {
        Err(code) => answer.error_code = code.code(),
        Ok(log) => {
            answer.error_code = ErrorCode::None.code();
            (answer.leader_epoch, answer.end_offset) = log.end_offset_for_epoch(asked.leader_epoch);
        }
    }
    answer
}
