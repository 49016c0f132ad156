//! LeaderAndIsr: the controller tells this broker what it leads and follows.
//!
//! Checked in Kafka's order: broker epoch, controller epoch, then each partition by itself (api-versions 5.5).
//! v0-1 list partitions ungrouped; v5+ answers by topic id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::membership::configurations;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{OFFSETS_TOPIC, TopicPartition, Uuid};
use crate::protocol::messages::leader_and_isr::{
    LeaderAndIsrPartitionError, LeaderAndIsrPartitionState, LeaderAndIsrTopicError,
};
use crate::protocol::messages::{LeaderAndIsrRequest, LeaderAndIsrResponse};
use crate::replication::become_replica::Became;
use crate::replication::partition::Role;

/// Between two tries to read configurations while ZooKeeper does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: LeaderAndIsrRequest,
    call: Call<'_>,
) -> Answer<LeaderAndIsrResponse> {
    if let Err(code) = accept(broker, &request).await {
        return Answer::Now(LeaderAndIsrResponse { error_code: code.code(), ..Default::default() });
    }
    // Versions 0 and 1 do not name the epoch.
    let epoch = if request.broker_epoch == -1 { broker.epoch() } else { request.broker_epoch };
    let working = broker.clone();
    // Creating directories and writing checkpoints takes its time: not on the connection's thread.
    let became = crate::blocking::run(move || {
        let asked = partitions(&request);
        working.replicas.become_replicas(&asked)
    })
    .await;
    let Ok(became) = became else {
        let code = ErrorCode::UnknownServerError.code();
        return Answer::Now(LeaderAndIsrResponse { error_code: code, ..Default::default() });
    };
    broker.standing.roles_given(epoch);
    let unchanged_or_taken = became.iter().filter(|change| change.code == ErrorCode::None);
    broker.fetchers.sync(unchanged_or_taken.map(|change| (&change.tp, change.topic_id)));
    hand_over_coordinators(broker, &became);
    Answer::Now(respond(became, call.version))
}

fn partitions(request: &LeaderAndIsrRequest) -> Vec<(TopicPartition, Uuid, &LeaderAndIsrPartitionState)> {
    let mut all = Vec::new();
    for state in &request.ungrouped_partition_states {
        let tp = TopicPartition::new(state.topic_name.as_str(), state.partition_index);
        all.push((tp, Uuid::ZERO, state));
    }
    for topic in &request.topic_states {
        let name: Arc<str> = topic.topic_name.as_str().into();
        for state in &topic.partition_states {
            all.push((TopicPartition::new(name.clone(), state.partition_index), topic.topic_id, state));
        }
    }
    all
}

/// Whether the request is from the newest controller and for this life of the broker, once what it needs is known.
///
/// Topics of which a log is to be made here are served as they are configured, so that is read first; a broker that
/// cannot read it takes no role yet, as in Kafka (`LogManager.getOrCreateLog` within `makeLeader`). Who asked may be
/// out of office by then.
async fn accept(broker: &Broker, request: &LeaderAndIsrRequest) -> Result<(), ErrorCode> {
    let accept = || broker.accept_control(request.broker_epoch, request.controller_epoch);
    accept()?;
    let asked = partitions(request);
    let comes = |(tp, _, state): &&(TopicPartition, Uuid, &LeaderAndIsrPartitionState)| {
        state.replicas.contains(&broker.id) && broker.replicas.logs.get(tp).is_none()
    };
    let topics: BTreeSet<&str> = asked.iter().filter(comes).map(|(tp, _, _)| &*tp.topic).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    if topics.is_empty() {
        return Ok(());
    }
    while let Err(error) = configurations::load_topics(&*broker.store, &broker.configs, &topics).await {
        tracing::warn!(%error, topics = topics.len(), "what new topics set cannot be read; trying again");
        tokio::time::sleep(AGAIN).await;
        accept()?;
    }
    topics.iter().for_each(|topic| broker.throttles_changed(Some(topic)));
    accept()
}

/// A group coordinator lives with the leader of its offsets partition.
fn hand_over_coordinators(broker: &Broker, became: &[Became]) {
    for change in became.iter().filter(|change| *change.tp.topic == *OFFSETS_TOPIC) {
        let Some(taken) = change.taken else { continue };
        match taken.role {
            Role::Leader => broker.groups.elected(change.tp.partition, taken.since),
            Role::Follower => broker.groups.resigned(change.tp.partition, Some(taken.since)),
        }
    }
}

fn respond(became: Vec<Became>, version: i16) -> LeaderAndIsrResponse {
    let mut response = LeaderAndIsrResponse::default();
    let mut by_id: BTreeMap<Uuid, Vec<LeaderAndIsrPartitionError>> = BTreeMap::new();
    for change in became {
        let mut error = LeaderAndIsrPartitionError {
            partition_index: change.tp.partition,
            error_code: change.code.code(),
            ..Default::default()
        };
        if version < 5 {
            error.topic_name = change.tp.topic.to_string();
            response.partition_errors.push(error);
        } else {
            by_id.entry(change.topic_id).or_default().push(error);
        }
    }
    response.topics = by_id
        .into_iter()
        .map(|(topic_id, partition_errors)| LeaderAndIsrTopicError {
            topic_id,
            partition_errors,
            ..Default::default()
        })
        .collect();
    response
}
