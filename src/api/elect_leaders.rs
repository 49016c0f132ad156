//! ElectLeaders: preferred or unclean elections that an admin client asks for, on the controller only (KIP-460;
//! `KafkaApis.handleElectLeaders`).
//!
//! v0: preferred elections only, no error of the whole request; v1: unclean ones. No partitions (null) means all; then
//! those that need no election are left out. The answer waits until the new leaders are seen here, or the time is up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::controller::event::{self, Request};
use crate::metadata::image::Image;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::elect_leaders::{PartitionResult, ReplicaElectionResult};
use crate::protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

type Outcomes = BTreeMap<TopicPartition, ErrorCode>;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ElectLeadersRequest,
    call: Call<'_>,
) -> Answer<ElectLeadersResponse> {
    let named = request.topic_partitions.as_ref().map(|topics| {
        let partitions = topics.iter().flat_map(|topic| {
            let name: Arc<str> = topic.topic.as_str().into();
            topic
                .partitions
                .iter()
                .map(move |index| TopicPartition { topic: name.clone(), partition: *index })
        });
        partitions.collect::<Vec<TopicPartition>>()
    });
    let unclean = match (call.version, request.election_type) {
        (0, _) | (_, PREFERRED) => false,
        (_, UNCLEAN) => true,
        _ => {
            let all =
                named.unwrap_or_default().into_iter().map(|at| (at, ErrorCode::InvalidRequest)).collect();
            return Answer::Now(response(ErrorCode::InvalidRequest, all, false, call.version));
        }
    };
    let asked = Request::ElectLeaders { unclean, partitions: named.clone() };
    let elected = match broker.controller.ask(asked).await {
        event::Answer::ElectLeaders(elected) => elected,
        _ => Err(ErrorCode::UnknownServerError),
    };
    let outcomes = match elected {
        Ok(elected) => await_leaders(broker, elected, named.is_none(), request.timeout_ms).await,
        Err(code) => {
            let partitions = named.unwrap_or_else(|| all_partitions(&broker.metadata.image()));
            partitions.into_iter().map(|at| (at, code)).collect()
        }
    };
    Answer::Now(response(ErrorCode::None, outcomes, unclean, call.version))
}

fn all_partitions(image: &Image) -> Vec<TopicPartition> {
    let partitions = image.topics().flat_map(|topic| {
        topic
            .partitions()
            .map(|partition| TopicPartition { topic: topic.name.clone(), partition: partition.index })
    });
    partitions.collect()
}

async fn await_leaders(
    broker: &Broker,
    elected: Vec<(TopicPartition, Result<i32, ErrorCode>)>,
    all: bool,
    timeout_ms: i32,
) -> Outcomes {
    let leads = |image: &Image, at: &TopicPartition, leader: i32| {
        image.partition(&at.topic, at.partition).is_some_and(|partition| partition.leader == leader)
    };
    let expected = |image: &Image| {
        elected.iter().all(|(at, outcome)| {
            outcome.as_ref().is_ok_and(|leader| leads(image, at, *leader)) || outcome.is_err()
        })
    };
    let limit = Duration::from_millis(timeout_ms.max(0) as u64);
    broker.admin.wait_for(limit, expected).await;
    let image = broker.metadata.image();
    let outcomes = elected.iter().map(|(at, outcome)| {
        let code = match outcome {
            Err(code) => *code,
            Ok(leader) if leads(&image, at, *leader) => ErrorCode::None,
            Ok(_) => ErrorCode::RequestTimedOut,
        };
        (at.clone(), code)
    });
    outcomes.filter(|(_, code)| !(all && *code == ErrorCode::ElectionNotNeeded)).collect()
}

/// `KafkaController.processReplicaLeaderElection`'s words.
fn message(at: &TopicPartition, code: ErrorCode, unclean: bool) -> Option<String> {
    let strategy = match unclean {
        true => "OfflinePartitionLeaderElectionStrategy(true)",
        false => "PreferredReplicaPartitionLeaderElectionStrategy",
    };
    Some(match code {
        ErrorCode::UnknownTopicOrPartition => "The partition does not exist.".into(),
        ErrorCode::InvalidTopicException => "The topic is being deleted".into(),
        ErrorCode::ElectionNotNeeded => "Leader election not needed for topic partition.".into(),
        ErrorCode::PreferredLeaderNotAvailable | ErrorCode::EligibleLeadersNotAvailable => {
            format!("Failed to elect leader for partition {at} under strategy {strategy}")
        }
        _ => return None,
    })
}

fn response(error: ErrorCode, outcomes: Outcomes, unclean: bool, version: i16) -> ElectLeadersResponse {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for (at, code) in outcomes {
        let result = PartitionResult {
            partition_id: at.partition,
            error_code: code.code(),
            error_message: message(&at, code, unclean),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(last) if *last.topic == *at.topic => last.partition_result.push(result),
            _ => topics.push(ReplicaElectionResult {
                topic: at.topic.to_string(),
                partition_result: vec![result],
                ..Default::default()
            }),
        }
    }
    ElectLeadersResponse {
        error_code: if version == 0 { 0 } else { error.code() },
        replica_election_results: topics,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn outcomes_are_told_by_topic_in_every_version() {
        let at = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        let outcomes = Outcomes::from([
            (at("b", 0), ErrorCode::None),
            (at("a", 1), ErrorCode::ElectionNotNeeded),
            (at("a", 0), ErrorCode::NotController),
        ]);
        for version in ElectLeadersResponse::VERSIONS {
            let answer = response(ErrorCode::InvalidRequest, outcomes.clone(), false, version);
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
            let sizes: Vec<usize> =
                answer.replica_election_results.iter().map(|it| it.partition_result.len()).collect();
            assert_eq!((sizes, answer.error_code), (vec![2, 1], if version == 0 { 0 } else { 42 }));
            let told = &answer.replica_election_results[0].partition_result;
            let messages: Vec<_> = told.iter().map(|it| it.error_message.as_deref()).collect();
            assert_eq!(messages, [None, Some("Leader election not needed for topic partition.")]);
        }
    }
}
