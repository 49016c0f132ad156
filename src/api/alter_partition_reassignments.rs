//! AlterPartitionReassignments: moves partitions' replicas to other brokers, or cancels such moves (KIP-455;
//! `KafkaApis.handleAlterPartitionReassignmentsRequest`). One version, answered by the controller once the wishes are
//! stored; the moves themselves take as long as the copies take.
//!
//! A partition named twice counts as it is named last. The limit of time is not looked at, as in Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::controller::event::{self, ReassignmentResults, Request};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::alter_partition_reassignments::{
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};
use crate::protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: AlterPartitionReassignmentsRequest,
    _call: Call<'_>,
) -> Answer<AlterPartitionReassignmentsResponse> {
    let asked = Request::AlterReassignments(wanted(request.topics));
    let results = match broker.controller.ask(asked).await {
        event::Answer::AlterReassignments(results) => results,
        _ => Err(ErrorCode::UnknownServerError),
    };
    Answer::Now(response(results))
}

fn wanted(topics: Vec<ReassignableTopic>) -> BTreeMap<TopicPartition, Option<Vec<i32>>> {
    let mut wanted = BTreeMap::new();
    for topic in topics {
        let name: Arc<str> = topic.name.into();
        for partition in topic.partitions {
            let at = TopicPartition { topic: name.clone(), partition: partition.partition_index };
            wanted.insert(at, partition.replicas);
        }
    }
    wanted
}

fn response(results: Result<ReassignmentResults, ErrorCode>) -> AlterPartitionReassignmentsResponse {
    let mut results = match results {
        Ok(results) => results,
        Err(code) => {
            return AlterPartitionReassignmentsResponse {
                error_code: code.code(),
                error_message: None,
                ..Default::default()
            };
        }
    };
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let mut responses: Vec<ReassignableTopicResponse> = Vec::new();
    for (at, result) in results {
        let (code, error_message) = match result {
            Ok(()) => (ErrorCode::None, None),
            Err(refused) => (refused.code, refused.message),
        };
        let partition = ReassignablePartitionResponse {
            partition_index: at.partition,
            error_code: code.code(),
            error_message,
            ..Default::default()
        };
        match responses.last_mut() {
            Some(last) if *last.name == *at.topic => last.partitions.push(partition),
            _ => responses.push(ReassignableTopicResponse {
                name: at.topic.to_string(),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    AlterPartitionReassignmentsResponse { error_message: None, responses, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::event::Refused;
    use crate::protocol::message::Message;
    use crate::protocol::messages::alter_partition_reassignments::ReassignablePartition;
    use crate::protocol::wire::Writer;

    #[test]
    fn the_last_word_on_a_partition_counts() {
        let partition = |partition_index, replicas| ReassignablePartition {
            partition_index,
            replicas,
            ..Default::default()
        };
        let topic = |name: &str, partitions| ReassignableTopic {
            name: name.into(),
            partitions,
            ..Default::default()
        };
        let asked = wanted(vec![
            topic("t", vec![partition(0, Some(vec![1])), partition(1, None)]),
            topic("t", vec![partition(0, Some(vec![2]))]),
        ]);
        let expected = [(TopicPartition::new("t", 0), Some(vec![2])), (TopicPartition::new("t", 1), None)];
        assert_eq!(asked, BTreeMap::from(expected));
    }

    #[test]
    fn results_are_told_by_topic() {
        let refused = Refused { code: ErrorCode::NoReassignmentInProgress, message: None };
        let results = vec![
            (TopicPartition::new("u", 0), Ok(())),
            (TopicPartition::new("t", 1), Err(refused)),
            (TopicPartition::new("t", 0), Ok(())),
        ];
        for answer in [response(Ok(results.clone())), response(Err(ErrorCode::NotController))] {
            answer.encode(&mut Writer::default(), 0).expect("can be written");
        }
        let answer = response(Ok(results));
        let codes: Vec<Vec<i16>> = answer
            .responses
            .iter()
            .map(|topic| topic.partitions.iter().map(|partition| partition.error_code).collect())
            .collect();
        assert_eq!((answer.error_code, codes), (0, vec![vec![0, 85], vec![0]]));
        assert_eq!(response(Err(ErrorCode::NotController)).error_code, 41);
    }
}
