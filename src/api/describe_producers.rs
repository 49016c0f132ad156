//! DescribeProducers: who writes to partitions led here, for finding hanging transactions (KIP-664;
//! `Partition.activeProducerState`). One version.

use std::sync::Arc;

use super::{Answer, Call};
use crate::admin::validation::validate_topic_name;
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_producers::{
    PartitionResponse, ProducerState, TopicRequest, TopicResponse,
};
use crate::protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use crate::storage::producer_state::ProducerEntry;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeProducersRequest,
    _call: Call<'_>,
) -> Answer<DescribeProducersResponse> {
    let topics = request.topics.iter().map(|topic| describe(broker, topic)).collect();
    Answer::Now(DescribeProducersResponse { topics, ..Default::default() })
}

fn describe(broker: &Broker, asked: &TopicRequest) -> TopicResponse {
    let refusal = match validate_topic_name(&asked.name) {
        Err(error) => Some((error.code(), Some(error.to_string()))),
        Ok(()) if broker.metadata.image().topic(&asked.name).is_none() => {
            Some((ErrorCode::UnknownTopicOrPartition, None))
        }
        Ok(()) => None,
    };
    let partitions = asked.partition_indexes.iter().map(|index| match &refusal {
        Some((code, message)) => failed(*index, *code, message.clone()),
        None => match producers(broker, &asked.name, *index) {
            Ok(active_producers) => {
                PartitionResponse { active_producers, ..failed(*index, ErrorCode::None, None) }
            }
            Err(code) => failed(*index, code, None),
        },
    });
    TopicResponse { name: asked.name.clone(), partitions: partitions.collect(), ..Default::default() }
}

fn producers(broker: &Broker, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let known = broker.metadata.image().partition(topic, index).is_some();
    let partition = broker.replicas.partition_or(topic, index, known)?;
    // Any replica answers, as in Kafka, whose check is for a log, not for the leader.
    let log = partition.any_log(-1)?;
    Ok(log.active_producers().into_iter().map(state).collect())
}

fn state(entry: ProducerEntry) -> ProducerState {
    ProducerState {
        producer_id: entry.producer_id,
        producer_epoch: i32::from(entry.producer_epoch),
        last_sequence: entry.last_sequence,
        last_timestamp: entry.timestamp,
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_start_offset: entry.current_txn_first_offset,
        ..Default::default()
    }
}

fn failed(index: i32, code: ErrorCode, message: Option<String>) -> PartitionResponse {
    PartitionResponse {
        partition_index: index,
        error_code: code.code(),
        error_message: message,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        let entry = ProducerEntry {
            producer_id: 5,
            producer_epoch: 1,
            last_sequence: 3,
            last_offset: 9,
            offset_delta: 0,
            timestamp: 100,
            coordinator_epoch: -1,
            current_txn_first_offset: 7,
        };
        let shown = state(entry);
        assert_eq!((shown.producer_id, shown.last_sequence, shown.current_txn_start_offset), (5, 3, 7));
        let partitions = vec![
            PartitionResponse { active_producers: vec![shown], ..failed(0, ErrorCode::None, None) },
            failed(1, ErrorCode::UnknownTopicOrPartition, None),
        ];
        let topic = TopicResponse { name: "t".into(), partitions, ..Default::default() };
        let answer = DescribeProducersResponse { topics: vec![topic], ..Default::default() };
        for version in DescribeProducersResponse::VERSIONS {
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }
}
