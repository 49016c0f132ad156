//! ListPartitionReassignments: which partitions are on the move, from the controller's memory (KIP-455;
//! `KafkaApis.handleListPartitionReassignmentsRequest`). One version. No topics (null) means all of them; partitions
//! that rest, or that nobody knows, are left out.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::controller::context::Assignment;
use crate::controller::event::{self, Request};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsTopics, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use crate::protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ListPartitionReassignmentsRequest,
    _call: Call<'_>,
) -> Answer<ListPartitionReassignmentsResponse> {
    let asked = Request::ListReassignments { partitions: request.topics.map(named) };
    let moving = match broker.controller.ask(asked).await {
        event::Answer::ListReassignments(moving) => moving,
        _ => Err(ErrorCode::UnknownServerError),
    };
    Answer::Now(response(moving))
}

fn named(topics: Vec<ListPartitionReassignmentsTopics>) -> Vec<TopicPartition> {
    let partitions = topics.into_iter().flat_map(|topic| {
        let name: Arc<str> = topic.name.into();
        let at = move |partition| TopicPartition { topic: name.clone(), partition };
        topic.partition_indexes.into_iter().map(at)
    });
    partitions.collect()
}

fn response(
    moving: Result<Vec<(TopicPartition, Assignment)>, ErrorCode>,
) -> ListPartitionReassignmentsResponse {
    let (code, moving) = match moving {
        Ok(moving) => (ErrorCode::None, moving),
        Err(code) => (code, Vec::new()),
    };
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    for (at, assignment) in moving {
        let partition = OngoingPartitionReassignment {
            partition_index: at.partition,
            replicas: assignment.replicas.to_vec(),
            adding_replicas: assignment.adding.to_vec(),
            removing_replicas: assignment.removing.to_vec(),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(last) if *last.name == *at.topic => last.partitions.push(partition),
            _ => topics.push(OngoingTopicReassignment {
                name: at.topic.to_string(),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    ListPartitionReassignmentsResponse {
        error_code: code.code(),
        error_message: None,
        topics,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn moves_are_told_by_topic() {
        let topic = ListPartitionReassignmentsTopics {
            name: "t".into(),
            partition_indexes: vec![0, 2],
            ..Default::default()
        };
        let asked = named(vec![topic]);
        assert_eq!(asked, [TopicPartition::new("t", 0), TopicPartition::new("t", 2)]);
        let assignment = Assignment::of([1, 2].into()).reassign_to(&[3, 2]);
        let moving = asked.into_iter().map(|at| (at, assignment.clone())).collect();
        let answer = response(Ok(moving));
        answer.encode(&mut Writer::default(), 0).expect("can be written");
        assert_eq!((answer.topics.len(), answer.topics[0].partitions.len()), (1, 2));
        let first = &answer.topics[0].partitions[0];
        assert_eq!(
            (&*first.replicas, &*first.adding_replicas, &*first.removing_replicas),
            (&[3, 2, 1][..], &[3][..], &[1][..])
        );
        let refused = response(Err(ErrorCode::NotController));
        refused.encode(&mut Writer::default(), 0).expect("can be written");
        assert_eq!(refused.error_code, 41);
    }
}
