//! Fetch: reads batches from partitions (`KafkaApis.handleFetchRequest`).
//!
//! v0-3 down-convert; v4 isolation and aborted transactions; v7 sessions (KIP-227); v9 leader epochs; v11 any replica may be
//! read; v12 diverging epochs; v13 topic ids; v15 the replica id is tagged; v16 leader endpoints.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::fetch_convert;
use super::{Answer, Call};
use crate::broker::Broker;
use crate::metadata::image::Image;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::Records;
use crate::protocol::ids::Uuid;
use crate::protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use crate::protocol::messages::{FetchRequest, FetchResponse};
use crate::replication::fetch::{self, Follower, Near, Outcome, Params, Target};
use crate::replication::fetch_session::{Asked, Fetch, Key, Told, Wanted};
use crate::storage::log::{Bound, Slice};
use crate::storage::txn_index::AbortedTxn;

/// Serves a request.
pub async fn handle(broker: &Arc<Broker>, request: FetchRequest, call: Call<'_>) -> Answer<FetchResponse> {
    let version = call.version;
    let replica_id = if version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    let asked = Asked {
        id: request.session_id,
        epoch: if version >= 7 { request.session_epoch } else { -1 },
        privileged: replica_id >= 0,
        uses_topic_ids: version >= 13,
    };
    let params = params(broker, &request, &call, replica_id);
    let (sent, forgotten) = names(request);
    let session = match broker.sessions.begin(broker.clock.now(), asked, sent, &forgotten) {
        Ok(session) => session,
        Err(code) => return Answer::Now(FetchResponse { error_code: code.code(), ..Default::default() }),
    };
    let targets = targets(broker, &session);
    let outcomes = fetch::read(&params, &targets);
    let listener = call.caller.listener.clone();
    let is_enough = fetch::is_enough(&params, &outcomes);
    if is_enough && fetch_convert::old_format(version).is_none() {
        return Answer::Now(respond(broker, &params, session, &targets, outcomes, version, &listener).await);
    }
    // What is not enough is let go: it holds files open.
    let read = is_enough.then_some(outcomes);
    let broker = broker.clone();
    Answer::Later(Box::pin(async move {
        let (targets, outcomes) = match read {
            Some(outcomes) => (targets, outcomes),
            None => fetch::until_readable(&params, targets).await,
        };
        respond(&broker, &params, session, &targets, outcomes, version, &listener).await
    }))
}

/// The selector that sends consumers to a replica in their rack.
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

fn params(broker: &Broker, request: &FetchRequest, call: &Call<'_>, replica_id: i32) -> Params {
    let version = call.version;
    let is_consumer = replica_id < 0;
    let near =
        (is_consumer && version >= 11 && broker.config.settings.text("replica.selector.class") == RACK_AWARE)
            .then(|| Near { rack: request.rack_id.as_str().into(), listener: call.caller.listener.clone() });
    let limit = broker.config.settings.number("fetch.max.bytes") as i32;
    let max_bytes = request.max_bytes.min(limit);
    Params {
        bound: match (replica_id >= 0, request.isolation_level) {
            (true, _) => Bound::LogEnd,
            (false, 1) => Bound::LastStable,
            (false, _) => Bound::HighWatermark,
        },
        min_bytes: request.min_bytes.min(max_bytes),
        max_wait: Duration::from_millis(request.max_wait_ms.max(0) as u64),
        max_bytes,
        hard_limit: version <= 2,
        leader_only: replica_id >= 0 || version < 11,
        follower: (!is_consumer).then(|| Follower { id: replica_id, throttle: broker.throttles.clone() }),
        near,
    }
}

fn names(request: FetchRequest) -> (Vec<Wanted>, Vec<Key>) {
    let mut sent = Vec::new();
    for topic in request.topics {
        let name: Arc<str> = topic.topic.into();
        for partition in topic.partitions {
            sent.push(Wanted {
                key: Key { topic_id: topic.topic_id, topic: name.clone(), partition: partition.partition },
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start_offset: partition.log_start_offset,
            });
        }
    }
    let mut forgotten = Vec::new();
    for topic in request.forgotten_topics_data {
        let name: Arc<str> = topic.topic.into();
        for partition in topic.partitions {
            forgotten.push(Key { topic_id: topic.topic_id, topic: name.clone(), partition });
        }
    }
    (sent, forgotten)
}

fn targets(broker: &Broker, session: &Fetch) -> Vec<Target> {
    let image = broker.metadata.image();
    let target =
        |wanted: &Wanted| Target { wanted: wanted.clone(), partition: find(broker, &image, &wanted.key) };
    session.wanted.iter().map(target).collect()
}

fn find(
    broker: &Broker,
    image: &Image,
    key: &Key,
) -> Result<Arc<crate::replication::partition::Partition>, ErrorCode> {
    let name = match key.topic_id.is_zero() {
        true => &key.topic,
        false => image.topic_name(key.topic_id).ok_or(ErrorCode::UnknownTopicId)?,
    };
    if image.partition(name, key.partition).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let partition = broker.replicas.partition_or(name, key.partition, true)?;
    let own = partition.lock().topic_id;
    if !key.topic_id.is_zero() && !own.is_zero() && own != key.topic_id {
        return Err(ErrorCode::InconsistentTopicId);
    }
    Ok(partition)
}

/// A consumer that is beyond the end of this broker's log may have read the rest from a leader this broker has not heard of
/// yet. OFFSET_OUT_OF_RANGE makes it give up its place, so that is only for one to say who surely leads; others send it to
/// look for that one. (Kafka's brokers all say it.)
fn doubt(broker: &Broker, targets: &[Target], outcomes: &mut [Outcome]) {
    for (target, outcome) in targets.iter().zip(outcomes) {
        let (Outcome::Failed(code), Ok(partition)) = (outcome, &target.partition) else { continue };
        if *code != ErrorCode::OffsetOutOfRange {
            continue;
        }
        let log = partition.any_log(-1);
        let is_beyond = log.is_ok_and(|log| target.wanted.fetch_offset > log.log_end_offset());
        let surely_leads = partition.leader_log(-1).is_ok() && broker.standing.is_sure(broker.epoch());
        if is_beyond && !surely_leads {
            *code = ErrorCode::NotLeaderOrFollower;
        }
    }
}

fn told(outcome: &Outcome) -> Told {
    let quiet =
        Told { has_records: false, high_watermark: -1, log_start_offset: -1, notable: true, is_error: false };
    match outcome {
        Outcome::Read(slice) => Told {
            has_records: slice.region.is_some(),
            high_watermark: slice.high_watermark,
            log_start_offset: slice.log_start_offset,
            notable: false,
            is_error: false,
        },
        Outcome::Diverging { offsets, .. } | Outcome::Elsewhere { offsets, .. } => Told {
            high_watermark: offsets.high_watermark,
            log_start_offset: offsets.log_start_offset,
            ..quiet
        },
        Outcome::Failed(_) => Told { is_error: true, ..quiet },
    }
}

/// The answer. Waits only where records are converted.
async fn respond(
    broker: &Broker,
    params: &Params,
    session: Fetch,
    targets: &[Target],
    mut outcomes: Vec<Outcome>,
    version: i16,
    listener: &str,
) -> FetchResponse {
    fetch::count_sent(params, targets, &outcomes);
    if params.follower.is_none() {
        doubt(broker, targets, &mut outcomes);
    }
    let told: Vec<Told> = outcomes.iter().map(told).collect();
    let (session_id, keep) = broker.sessions.end(broker.clock.now(), &session, &told);
    let mut response = FetchResponse { session_id, ..Default::default() };
    let mut places: HashMap<(Uuid, Arc<str>), usize> = HashMap::new();
    for ((target, outcome), keep) in targets.iter().zip(outcomes).zip(keep) {
        if !keep {
            continue;
        }
        let key = &target.wanted.key;
        let answer = partition_data(broker, target, outcome, version).await;
        // Topics come in the order in which their first partition is served, as Kafka groups neighbours.
        let place = match response.responses.last() {
            Some(last) if last.topic_id == key.topic_id && *last.topic == *key.topic => {
                response.responses.len() - 1
            }
            _ => *places.entry((key.topic_id, key.topic.clone())).or_insert_with(|| {
                response.responses.push(FetchableTopicResponse {
                    topic: key.topic.to_string(),
                    topic_id: key.topic_id,
                    ..Default::default()
                });
                response.responses.len() - 1
            }),
        };
        response.responses[place].partitions.push(answer);
    }
    if version >= 16 {
        point_to_leaders(broker, &mut response, listener);
    }
    response
}

async fn partition_data(broker: &Broker, target: &Target, outcome: Outcome, version: i16) -> PartitionData {
    let partition_index = target.wanted.key.partition;
    match outcome {
        Outcome::Failed(code) => failed(partition_index, code, target, version),
        Outcome::Diverging { epoch, end_offset, offsets } => PartitionData {
            partition_index,
            high_watermark: offsets.high_watermark,
            last_stable_offset: offsets.last_stable_offset,
            log_start_offset: offsets.log_start_offset,
            aborted_transactions: None,
            diverging_epoch: EpochEndOffset { epoch, end_offset, ..Default::default() },
            records: Some(Records::default()),
            ..Default::default()
        },
        Outcome::Elsewhere { replica, offsets } => PartitionData {
            partition_index,
            high_watermark: offsets.high_watermark,
            last_stable_offset: offsets.last_stable_offset,
            log_start_offset: offsets.log_start_offset,
            aborted_transactions: None,
            preferred_read_replica: replica,
            records: Some(Records::default()),
            ..Default::default()
        },
        Outcome::Read(slice) => read(broker, target, slice, version)
            .await
            .unwrap_or_else(|code| failed(partition_index, code, target, version)),
    }
}

async fn read(
    broker: &Broker,
    target: &Target,
    slice: Slice,
    version: i16,
) -> Result<PartitionData, ErrorCode> {
    let aborted = |txn: &AbortedTxn| AbortedTransaction {
        producer_id: txn.producer_id,
        first_offset: txn.first_offset,
        ..Default::default()
    };
    Ok(PartitionData {
        partition_index: target.wanted.key.partition,
        high_watermark: slice.high_watermark,
        last_stable_offset: slice.last_stable_offset,
        log_start_offset: slice.log_start_offset,
        aborted_transactions: slice.aborted.as_ref().map(|all| all.iter().map(aborted).collect()),
        records: Some(fetch_convert::records(broker, target, slice, version).await?),
        ..Default::default()
    })
}

fn failed(partition_index: i32, code: ErrorCode, target: &Target, version: i16) -> PartitionData {
    // Clients of versions up to 5 do not know the storage error.
    let code = match code {
        ErrorCode::KafkaStorageError if version <= 5 => ErrorCode::NotLeaderOrFollower,
        code => code,
    };
    let mut answer = PartitionData {
        partition_index,
        error_code: code.code(),
        high_watermark: -1,
        aborted_transactions: None,
        records: Some(Records::default()),
        ..Default::default()
    };
    let moved = matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    if moved
        && version >= 16
        && let Ok(partition) = &target.partition
    {
        let (leader_id, leader_epoch) = partition.leader();
        answer.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch, ..Default::default() };
    }
    answer
}

/// v16+: endpoints of the leaders that the answer names (KIP-951).
fn point_to_leaders(broker: &Broker, response: &mut FetchResponse, listener: &str) {
    let image = broker.metadata.image();
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let mut ids: Vec<i32> = partitions.map(|partition| partition.current_leader.leader_id).collect();
    ids.retain(|id| *id >= 0);
    ids.sort_unstable();
    ids.dedup();
    response.node_endpoints = ids
        .into_iter()
        .filter_map(|id| {
            let leader = image.broker(id)?;
            let endpoint = leader.endpoint(listener)?;
            Some(NodeEndpoint {
                node_id: id,
                host: endpoint.host.to_string(),
                port: endpoint.port,
                rack: leader.rack.as_deref().map(str::to_owned),
                ..Default::default()
            })
        })
        .collect();
}
