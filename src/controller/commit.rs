//! The controller's disk: turns the machine's reads and writes into znodes, pipelined and bundled.
//!
//! Every write but the two that Kafka does not guard goes out with a check of `/controller_epoch`
//! (`KafkaZkClient.retryRequestsUntilConnected`). Knows nothing of why something is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_zk::kafka::guarded::{self, Guard, Write};
use ottla_zk::kafka::topics::Placement;
use ottla_zk::kafka::{KafkaError, brokers, configs, features, notifications, topics, wishes};
use ottla_zk::store::{Store, StoreError};
use ottla_zk::znode::config::ConfigEntity;
use ottla_zk::znode::partition::{self, PartitionState};
use ottla_zk::znode::producer_ids::{self as producer_id_node, ProducerIdBlock as BlockNode};
use ottla_zk::znode::reassign::{PartitionName, Reassignment};
use ottla_zk::znode::topic::{self, TopicId, TopicNode};

use super::context::{Assignment, Broker, Leadership};
use super::event::ProducerIdBlock;
use super::store::{FeatureRecord, Loaded, Notifications, ReadOp, StoreOp, StoreResult, TopicRecord};
use crate::config::listeners::SecurityProtocol;
use crate::metadata::image::{BrokerImage, Endpoint};
use crate::protocol::ids::{TopicPartition, Uuid};

/// Why a round of writes ended without results: another controller is there, or nobody can tell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Deposed(pub String);

/// Carries out writes, all of them, and tells how each ended.
pub async fn write(store: &dyn Store, guard: Guard, ops: Vec<StoreOp>) -> Result<Vec<StoreResult>, Deposed> {
    let mut results: Vec<Option<StoreResult>> = vec![None; ops.len()];
    create_states(store, guard, &ops, &mut results).await?;
    update_states(store, guard, &ops, &mut results).await?;
    for (op, result) in ops.into_iter().zip(&mut results) {
        if result.is_none() {
            *result = Some(write_one(store, guard, op).await?);
        }
    }
    Ok(results.into_iter().map(|result| result.unwrap_or(StoreResult::Done)).collect())
}

async fn create_states(
    store: &dyn Store,
    guard: Guard,
    ops: &[StoreOp],
    results: &mut [Option<StoreResult>],
) -> Result<(), Deposed> {
    let mut places = Vec::new();
    let mut states = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        if let StoreOp::CreatePartitionState { partition, state } = op {
            places.push(place);
            states.push((partition.topic.to_string(), partition.partition, state_node(state)));
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let created = topics::create_states(store, guard, &states).await.map_err(deposed)?;
    for (place, created) in places.into_iter().zip(created) {
        results[place] = Some(match created {
            Ok(()) => StoreResult::Version(0),
            Err(error) => failed(&error),
        });
    }
    Ok(())
}

async fn update_states(
    store: &dyn Store,
    guard: Guard,
    ops: &[StoreOp],
    results: &mut [Option<StoreResult>],
) -> Result<(), Deposed> {
    let mut places = Vec::new();
    let mut writes = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        if let StoreOp::UpdatePartitionState { partition, state } = op {
            places.push(place);
            writes.push(Write {
                path: partition::path(&partition.topic, partition.partition),
                data: state_node(state).encode().into(),
                version: Some(state.partition_epoch),
            });
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let written = guarded::set_many(store, guard, &writes).await.map_err(deposed)?;
    for (place, written) in places.into_iter().zip(written) {
        results[place] = Some(match written {
            Ok(stat) => StoreResult::Version(stat.version),
            Err(error) => failed(&error),
        });
    }
    Ok(())
}

async fn write_one(store: &dyn Store, guard: Guard, op: StoreOp) -> Result<StoreResult, Deposed> {
    let done = |result: Result<(), KafkaError>| match result {
        Ok(()) => Ok(StoreResult::Done),
        Err(KafkaError::Deposed { epoch }) => Err(deposed(KafkaError::Deposed { epoch })),
        Err(KafkaError::Store(error)) => Ok(failed(&error)),
        Err(error) => Ok(StoreResult::Failed(error.to_string())),
    };
    match op {
        // Written together above.
        StoreOp::CreatePartitionState { .. } | StoreOp::UpdatePartitionState { .. } => Ok(StoreResult::Done),
        StoreOp::AddTopicId { topic, partitions } => {
            let id = Uuid::random();
            let node = topic_node(Some(id), &partitions);
            match topics::overwrite_guarded(store, guard, &topic, &node).await {
                Ok(_) => Ok(StoreResult::TopicId(id)),
                Err(error) => done(Err(error)),
            }
        }
        StoreOp::SetTopicAssignment { topic, id, partitions } => {
            let node = topic_node(Some(id).filter(|id| !id.is_zero()), &partitions);
            match topics::overwrite_guarded(store, guard, &topic, &node).await {
                Ok(version) => Ok(StoreResult::Version(version)),
                Err(error) => done(Err(error)),
            }
        }
        StoreOp::PlaceReplicas { topic, partitions } => {
            let placements: Vec<(i32, Placement)> = partitions.iter().map(placement).collect();
            match topics::place(store, guard, &topic, &placements).await {
                Ok(version) => Ok(StoreResult::Version(version)),
                Err(error) => done(Err(error)),
            }
        }
        StoreOp::KeepReassignments(left) => {
            let left: Vec<Reassignment> = left.into_iter().map(wish).collect();
            done(wishes::keep_reassignments(store, guard, &left).await)
        }
        StoreOp::ForgetElections => done(wishes::forget_elections(store, guard).await),
        StoreOp::DeleteTopic(topic) => done(topics::delete(store, guard, &topic).await),
        StoreOp::DeleteDeletionMarker(topic) => done(topics::forget_deletion(store, guard, &topic).await),
        StoreOp::DeleteNotifications(kind, names) => done(delete_notes(store, guard, kind, names).await),
        StoreOp::SetFeature { feature, .. } => {
            let written = features::write(store, &feature_node(&feature)).await;
            written.map_or_else(|error| done(Err(error)), |version| Ok(StoreResult::Version(version)))
        }
        StoreOp::SetProducerIds { block, expected_version } => {
            let node = BlockNode { broker: block.broker, first: block.start, last: block.end };
            Ok(set_producer_ids(store, &node.encode(), expected_version).await)
        }
        StoreOp::DeleteController => done(ottla_zk::kafka::controller::resign(store, guard).await),
    }
}

/// The block's node is created with its first content: version -1 stands for "missing".
async fn set_producer_ids(store: &dyn Store, data: &[u8], expected: i32) -> StoreResult {
    let path = producer_id_node::PRODUCER_ID_BLOCK;
    let version = match expected {
        -1 => {
            let mode = ottla_zk::store::CreateMode::Persistent;
            store.create(path, data, mode).await.map(|created| created.stat.version)
        }
        expected => store.set(path, data, Some(expected)).await.map(|stat| stat.version),
    };
    version.map_or_else(|error| failed(&error), StoreResult::Version)
}

async fn delete_notes(
    store: &dyn Store,
    guard: Guard,
    kind: Notifications,
    names: Option<Vec<String>>,
) -> Result<(), KafkaError> {
    let parent = match kind {
        Notifications::LogDirs => "/log_dir_event_notification",
        Notifications::IsrChanges => "/isr_change_notification",
    };
    let names = match names {
        Some(names) => names,
        None => match store.children(parent).await {
            Ok(children) => children.names,
            Err(StoreError::NoNode(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        },
    };
    let paths: Vec<String> = names.into_iter().map(|name| format!("{parent}/{name}")).collect();
    guarded::delete_all(store, guard, &paths).await
}

fn deposed(error: KafkaError) -> Deposed {
    Deposed(error.to_string())
}

fn failed(error: &StoreError) -> StoreResult {
    match error {
        StoreError::BadVersion(_) => StoreResult::BadVersion,
        StoreError::NodeExists(_) => StoreResult::NodeExists,
        StoreError::NoNode(_) => StoreResult::NoNode,
        error => StoreResult::Failed(error.to_string()),
    }
}

/// Carries out reads.
pub async fn read(
    store: &dyn Store,
    ops: &[ReadOp],
    unclean_by_default: bool,
) -> Result<Vec<Loaded>, String> {
    let mut loaded = Vec::with_capacity(ops.len());
    for op in ops {
        loaded.push(read_one(store, op, unclean_by_default).await.map_err(|error| error.to_string())?);
    }
    Ok(loaded)
}

async fn read_one(store: &dyn Store, op: &ReadOp, unclean_by_default: bool) -> Result<Loaded, KafkaError> {
    let names = |names: Vec<String>| Loaded::Names(names.into_iter().map(Arc::from).collect());
    Ok(match op {
        ReadOp::Brokers => {
            Loaded::Brokers(brokers::list(store).await?.into_iter().map(|live| broker_image(&live)).collect())
        }
        ReadOp::Broker(id) => Loaded::Broker(match brokers::get(store, *id).await {
            Ok(live) => live.map(|live| broker_image(&live)),
            Err(KafkaError::Store(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "a broker's registration cannot be read; what was known of it stays");
                None
            }
        }),
        ReadOp::Topics => names(topics::names(store).await?),
        ReadOp::Deletions => names(topics::deletions(store).await?),
        ReadOp::TopicRecords(wanted) => topic_records(store, wanted).await?,
        ReadOp::PartitionStates(wanted) => partition_states(store, wanted).await?,
        ReadOp::LogDirs => {
            let notes = notifications::log_dir_events(store).await?;
            Loaded::LogDirs(
                notes.into_iter().map(|(note, broker)| (child_name(&note.path), broker)).collect(),
            )
        }
        ReadOp::IsrChanges => {
            let named = |one: PartitionName| TopicPartition::new(one.topic, one.partition);
            let notes = notifications::isr_changes(store).await?.into_iter();
            Loaded::IsrChanges(
                notes
                    .map(|(note, partitions)| {
                        (child_name(&note.path), partitions.into_iter().map(named).collect())
                    })
                    .collect(),
            )
        }
        ReadOp::UncleanElection(wanted) => unclean(store, wanted, unclean_by_default).await?,
        ReadOp::ProducerIds => producer_ids(store).await?,
        ReadOp::ReassignmentWishes | ReadOp::ElectionWishes => wished(store, op).await?,
        ReadOp::Feature => match features::read(store).await {
            Ok(found) => Loaded::Feature(found.map(|(node, version)| (feature_record(&node), version))),
            Err(KafkaError::Znode(error)) => {
                tracing::error!(%error, "/feature cannot be read and is left as it is; delete it if nobody knows \
                    what it held, and the next controller writes it anew");
                Loaded::Unreadable
            }
            Err(error) => return Err(error),
        },
    })
}

/// What tools of old have left.
async fn wished(store: &dyn Store, op: &ReadOp) -> Result<Loaded, KafkaError> {
    let target = |wish: Reassignment| (TopicPartition::new(wish.topic, wish.partition), wish.replicas);
    let name = |name: PartitionName| TopicPartition::new(name.topic, name.partition);
    let read = match op {
        ReadOp::ReassignmentWishes => wishes::reassignments(store).await.map(|found| {
            Loaded::ReassignmentWishes(found.map(|found| found.into_iter().map(target).collect()))
        }),
        _ => wishes::elections(store)
            .await
            .map(|found| Loaded::ElectionWishes(found.map(|found| found.into_iter().map(name).collect()))),
    };
    match read {
        Err(KafkaError::Znode(error)) => {
            let next = match op {
                ReadOp::ElectionWishes => "its node is deleted; wish it with kafka-leader-election",
                _ => "delete the node and wish it with kafka-reassign-partitions",
            };
            tracing::error!(%error, "what an old tool wishes cannot be read: {next}");
            Ok(Loaded::Unreadable)
        }
        read => read,
    }
}

async fn producer_ids(store: &dyn Store) -> Result<Loaded, KafkaError> {
    let Some(node) = store.get(producer_id_node::PRODUCER_ID_BLOCK).await? else {
        return Ok(Loaded::ProducerIds(None, -1));
    };
    let block = match BlockNode::decode(&node.data) {
        Ok(block) => block,
        Err(error) => {
            tracing::error!(%error, "/latest_producer_id_block cannot be read: no broker gets producer ids until it \
                names a block beyond every id given out; do not delete it, or ids are given out twice");
            return Ok(Loaded::Unreadable);
        }
    };
    let block =
        block.map(|block| ProducerIdBlock { broker: block.broker, start: block.first, end: block.last });
    Ok(Loaded::ProducerIds(block, node.stat.version))
}

fn child_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

async fn topic_records(store: &dyn Store, wanted: &[Arc<str>]) -> Result<Loaded, KafkaError> {
    let names: Vec<String> = wanted.iter().map(|name| name.to_string()).collect();
    let mut records = Vec::with_capacity(names.len());
    let paths: Vec<String> = names.iter().map(|name| topic::path(name)).collect();
    for (name, found) in wanted.iter().zip(store.get_many(&paths).await?) {
        let Some(found) = found else { continue };
        records.push(match TopicNode::decode(name, &found.data) {
            Ok(node) => TopicRecord {
                topic: name.clone(),
                id: node.topic_id.map(|id| Uuid(id.0)),
                partitions: assignments(&node),
            },
            Err(error) => {
                tracing::error!(%error, "a topic cannot be read; its partitions stay as they are until the node is mended");
                // Known without partitions, so that a mended node is heard of and nobody takes it for deleted.
                TopicRecord { topic: name.clone(), id: None, partitions: Vec::new() }
            }
        });
    }
    Ok(Loaded::Topics(records))
}

fn assignments(node: &TopicNode) -> Vec<(i32, Assignment)> {
    let list = |map: &BTreeMap<i32, Vec<i32>>, partition: &i32| {
        map.get(partition).map(|ids| ids.as_slice().into()).unwrap_or_default()
    };
    let one = |(partition, replicas): (&i32, &Vec<i32>)| {
        let assignment = Assignment {
            replicas: replicas.as_slice().into(),
            adding: list(&node.adding_replicas, partition),
            removing: list(&node.removing_replicas, partition),
        };
        (*partition, assignment)
    };
    node.partitions.iter().map(one).collect()
}

async fn partition_states(store: &dyn Store, wanted: &[TopicPartition]) -> Result<Loaded, KafkaError> {
    let names: Vec<(String, i32)> = wanted.iter().map(|tp| (tp.topic.to_string(), tp.partition)).collect();
    let states = topics::states(store, &names).await?;
    let states = states.into_iter().map(|state| match state {
        Ok(state) => state.map(|stored| Leadership {
            leader: stored.state.leader,
            leader_epoch: stored.state.leader_epoch,
            isr: stored.state.isr.as_slice().into(),
            recovering: stored.state.recovering,
            partition_epoch: stored.partition_epoch,
            controller_epoch: stored.state.controller_epoch,
        }),
        Err(error) => {
            tracing::error!(%error, "a partition's state cannot be read; the partition stays offline until it is mended");
            None
        }
    });
    Ok(Loaded::States(states.collect()))
}

async fn unclean(store: &dyn Store, wanted: &[Arc<str>], by_default: bool) -> Result<Loaded, KafkaError> {
    let entities: Vec<ConfigEntity> =
        wanted.iter().map(|topic| ConfigEntity::Topic(topic.to_string())).collect();
    let read = configs::read_many(store, &entities).await?;
    let allowed = read.into_iter().map(|node| match node {
        Ok(node) => match node.config.get("unclean.leader.election.enable") {
            Some(value) => value.trim().eq_ignore_ascii_case("true"),
            None => by_default,
        },
        Err(error) => {
            tracing::warn!(%error, "a topic's configuration cannot be read; no unclean election for it");
            false
        }
    });
    Ok(Loaded::Unclean(allowed.collect()))
}

fn broker_image(live: &brokers::LiveBroker) -> Broker {
    let endpoints = live.registration.endpoints.iter().map(|endpoint| Endpoint {
        listener: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        security_protocol: SecurityProtocol::from_name(&endpoint.protocol)
            .map_or(0, |protocol| protocol as i16),
    });
    Broker {
        epoch: live.epoch,
        image: BrokerImage {
            id: live.id,
            endpoints: endpoints.collect(),
            rack: live.registration.rack.as_deref().map(Arc::from),
        },
    }
}

fn state_node(state: &Leadership) -> PartitionState {
    PartitionState {
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        controller_epoch: state.controller_epoch,
        isr: state.isr.to_vec(),
        recovering: state.recovering,
    }
}

fn topic_node(id: Option<Uuid>, partitions: &[(i32, Assignment)]) -> TopicNode {
    let mut node = TopicNode { topic_id: id.map(|id| TopicId(id.0)), ..TopicNode::default() };
    for (index, assignment) in partitions {
        node.partitions.insert(*index, assignment.replicas.to_vec());
        if !assignment.adding.is_empty() {
            node.adding_replicas.insert(*index, assignment.adding.to_vec());
        }
        if !assignment.removing.is_empty() {
            node.removing_replicas.insert(*index, assignment.removing.to_vec());
        }
    }
    node
}

fn placement((index, assignment): &(i32, Assignment)) -> (i32, Placement) {
    let Assignment { replicas, adding, removing } = assignment;
    let (replicas, adding, removing) = (replicas.to_vec(), adding.to_vec(), removing.to_vec());
    (*index, Placement { replicas, adding, removing })
}

fn wish((at, replicas): (TopicPartition, Vec<i32>)) -> Reassignment {
    Reassignment { topic: at.topic.to_string(), partition: at.partition, replicas }
}

fn feature_node(record: &FeatureRecord) -> ottla_zk::znode::feature::FeatureNode {
    let finalized = |level: &i16| ottla_zk::znode::feature::FinalizedFeature {
        min_version_level: (record.version == 1).then_some(*level),
        max_version_level: *level,
    };
    ottla_zk::znode::feature::FeatureNode {
        version: record.version,
        enabled: record.enabled,
        features: record.features.iter().map(|(name, level)| (name.clone(), finalized(level))).collect(),
    }
}

fn feature_record(node: &ottla_zk::znode::feature::FeatureNode) -> FeatureRecord {
    FeatureRecord {
        version: node.version,
        enabled: node.enabled,
        features: node.features.iter().map(|(name, level)| (name.clone(), level.max_version_level)).collect(),
    }
}
