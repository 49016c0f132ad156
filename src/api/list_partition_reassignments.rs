//! ListPartitionReassignments: which partitions are on the move, on the controller only (KIP-455;
//! `KafkaController.listPartitionReassignments`). One version.
//!
//! Read from the topics' nodes, where a reassignment stands until it is done, whichever broker began it. No topics
//! (null) means all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ottla_zk::kafka::topics;
use ottla_zk::znode::topic::TopicNode;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::list_partition_reassignments::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use crate::protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ListPartitionReassignmentsRequest,
    _call: Call<'_>,
) -> Answer<ListPartitionReassignmentsResponse> {
    if !broker.controller.is_active() {
        return Answer::Now(refused(ErrorCode::NotController, None));
    }
    Answer::Now(match list(broker, &request).await {
        Ok(topics) => {
            ListPartitionReassignmentsResponse { error_message: None, topics, ..Default::default() }
        }
        Err(refusal) => refused(refusal.code, Some(refusal.message)),
    })
}

async fn list(
    broker: &Broker,
    request: &ListPartitionReassignmentsRequest,
) -> Result<Vec<OngoingTopicReassignment>, Refusal> {
    let image = broker.metadata.image().clone();
    let wanted: Option<HashMap<&str, BTreeSet<i32>>> = request.topics.as_ref().map(|topics| {
        let mut wanted: HashMap<&str, BTreeSet<i32>> = HashMap::new();
        for topic in topics {
            wanted.entry(&topic.name).or_default().extend(&topic.partition_indexes);
        }
        wanted
    });
    let names: Vec<String> = match &wanted {
        // Only names of topics that exist become parts of paths.
        Some(wanted) => {
            wanted.keys().filter(|name| image.topic(name).is_some()).map(|name| (*name).to_owned()).collect()
        }
        None => image.topics().map(|topic| topic.name.to_string()).collect(),
    };
    let mut found = Vec::new();
    for stored in topics::read(&*broker.store, &names).await? {
        let stored =
            stored.map_err(|error| Refusal::new(ErrorCode::UnknownServerError, error.to_string()))?;
        let indexes = wanted.as_ref().and_then(|wanted| wanted.get(stored.name.as_str()));
        let partitions =
            ongoing(&stored.node, |index| indexes.is_none_or(|indexes| indexes.contains(&index)));
        if !partitions.is_empty() {
            found.push(OngoingTopicReassignment { name: stored.name, partitions, ..Default::default() });
        }
    }
    Ok(found)
}

fn ongoing(node: &TopicNode, wanted: impl Fn(i32) -> bool) -> Vec<OngoingPartitionReassignment> {
    let moving: BTreeSet<i32> =
        node.adding_replicas.keys().chain(node.removing_replicas.keys()).copied().collect();
    let replicas =
        |of: &std::collections::BTreeMap<i32, Vec<i32>>, index| of.get(&index).cloned().unwrap_or_default();
    let partitions =
        moving.into_iter().filter(|index| wanted(*index)).map(|index| OngoingPartitionReassignment {
            partition_index: index,
            replicas: replicas(&node.partitions, index),
            adding_replicas: replicas(&node.adding_replicas, index),
            removing_replicas: replicas(&node.removing_replicas, index),
            ..Default::default()
        });
    partitions.collect()
}

fn refused(code: ErrorCode, message: Option<String>) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
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
    fn only_what_moves_is_listed() {
        let node = TopicNode {
            partitions: [(0, vec![1, 2]), (1, vec![3, 1]), (2, vec![2])].into(),
            adding_replicas: [(1, vec![3])].into(),
            removing_replicas: [(1, vec![1]), (2, vec![2])].into(),
            ..TopicNode::default()
        };
        let all = ongoing(&node, |_| true);
        assert_eq!(all.iter().map(|it| it.partition_index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((all[0].replicas.as_slice(), all[0].adding_replicas.as_slice()), (&[3, 1][..], &[3][..]));
        assert_eq!(ongoing(&node, |index| index == 0), []);
        let topic = OngoingTopicReassignment { name: "t".into(), partitions: all, ..Default::default() };
        let answer = ListPartitionReassignmentsResponse { topics: vec![topic], ..Default::default() };
        answer.encode(&mut Writer::default(), 0).expect("can be written");
        refused(ErrorCode::NotController, None).encode(&mut Writer::default(), 0).expect("can be written");
    }
}
