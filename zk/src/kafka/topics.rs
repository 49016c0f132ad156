//! Topics, their partitions' states, and deletion marks. Source: `KafkaZkClient.{getReplicaAssignmentAndTopicIdFor
//! Topics, getTopicPartitionStates, createTopicPartitionStates, deleteTopicZNode}`.

use bytes::Bytes;

use super::guarded::{self, Guard};
use super::{KafkaError, ensure};
use crate::store::{Children, CreateMode, Op, Store, StoreError, create_recursive, join_all, retry};
use crate::znode::ZnodeError;
use crate::znode::config::ConfigEntity;
use crate::znode::partition::{self, PartitionState};
use crate::znode::topic::{self, DELETE_TOPICS, TOPICS, TopicNode};

/// Partitions created in one transaction (two nodes each).
const PARTITIONS_PER_MULTI: usize = 50;
/// Requests in flight at once.
const IN_FLIGHT: usize = 64;
/// How often a topic's node is read again because somebody else changed it.
const PLACE_ATTEMPTS: u32 = 10;

/// A topic as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTopic {
    /// Its name.
    pub name: String,
    /// Assignment and id.
    pub node: TopicNode,
    /// Version of its node.
    pub version: i32,
}

/// A partition's state as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Leader, ISR, epochs.
    pub state: PartitionState,
    /// Partition epoch: the version of its node.
    pub partition_epoch: i32,
}

/// Names of all topics, unordered.
pub async fn names(store: &dyn Store) -> Result<Vec<String>, KafkaError> {
    children_or_none(store, TOPICS).await
}

/// Names of the topics marked for deletion.
pub async fn deletions(store: &dyn Store) -> Result<Vec<String>, KafkaError> {
    children_or_none(store, DELETE_TOPICS).await
}

async fn children_or_none(store: &dyn Store, path: &str) -> Result<Vec<String>, KafkaError> {
    match store.children(path).await {
        Ok(Children { names, .. }) => Ok(names),
        Err(StoreError::NoNode(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The nodes of these topics, in order; topics that do not exist are left out. A node that cannot be read is told
/// beside the others, so that one broken topic does not stop a cluster.
pub async fn read(
    store: &dyn Store,
    names: &[String],
) -> Result<Vec<Result<StoredTopic, ZnodeError>>, KafkaError> {
    let paths: Vec<String> = names.iter().map(|name| topic::path(name)).collect();
    let nodes = store.get_many(&paths).await?;
    let read = names.iter().zip(nodes).filter_map(|(name, found)| {
        let found = found?;
        let version = found.stat.version;
        Some(TopicNode::decode(name, &found.data).map(|node| StoredTopic {
            name: name.clone(),
            node,
            version,
        }))
    });
    Ok(read.collect())
}

/// Every topic, as [`read`] gives them.
pub async fn read_all(store: &dyn Store) -> Result<Vec<Result<StoredTopic, ZnodeError>>, KafkaError> {
    let names = names(store).await?;
    read(store, &names).await
}

/// The states of these partitions, in order; `None` where there is no state yet.
pub async fn states(
    store: &dyn Store,
    partitions: &[(String, i32)],
) -> Result<Vec<Result<Option<StoredState>, ZnodeError>>, KafkaError> {
    let paths: Vec<String> = partitions.iter().map(|(topic, index)| partition::path(topic, *index)).collect();
    let nodes = store.get_many(&paths).await?;
    let states = partitions.iter().zip(nodes).map(|((topic, index), found)| match found {
        Some(found) => PartitionState::decode(topic, *index, &found.data)
            .map(|state| Some(StoredState { state, partition_epoch: found.stat.version })),
        None => Ok(None),
    });
    Ok(states.collect())
}

/// Creates a topic's node; its config node must have been written before ([`super::configs::write`]), so that no
/// controller sees a topic without its config. [`StoreError::NodeExists`] if it exists.
pub async fn create(store: &dyn Store, name: &str, node: &TopicNode) -> Result<(), KafkaError> {
    create_recursive(store, &topic::path(name), &node.encode()).await?;
    Ok(())
}

/// Overwrites a topic's node if it is still of the version that was read, as the broker does that adds partitions.
/// [`StoreError::BadVersion`] if it is not. (Kafka writes without a condition, and can so undo a reassignment that the
/// controller began meanwhile.)
pub async fn overwrite(
    store: &dyn Store,
    name: &str,
    node: &TopicNode,
    version: i32,
) -> Result<(), KafkaError> {
    retry::set(store, &topic::path(name), &node.encode(), version).await?;
    Ok(())
}

/// Overwrites a topic's node as controller (reassignment, topic id). Returns its version.
pub async fn overwrite_guarded(
    store: &dyn Store,
    guard: Guard,
    name: &str,
    node: &TopicNode,
) -> Result<i32, KafkaError> {
    let write = guarded::Write { path: topic::path(name), data: Bytes::from(node.encode()), version: None };
    let result = guarded::set_many(store, guard, &[write]).await?.into_iter().next();
    let stat = result.ok_or(StoreError::NoNode(topic::path(name)))??;
    Ok(stat.version)
}

/// Where one partition's replicas are and are going.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Placement {
    /// All replicas, those being added and removed included.
    pub replicas: Vec<i32>,
    /// Those being added.
    pub adding: Vec<i32>,
    /// Those being removed.
    pub removing: Vec<i32>,
}

/// Writes the placements of some partitions into a topic's node as controller (reassignment); its id and its other
/// partitions stay as they are found, so that partitions added meanwhile are not lost. Returns the node's version.
pub async fn place(
    store: &dyn Store,
    guard: Guard,
    name: &str,
    placements: &[(i32, Placement)],
) -> Result<i32, KafkaError> {
    let path = topic::path(name);
    let mut attempts = 0;
    loop {
        let found =
            retry::read(|| store.get(&path)).await?.ok_or_else(|| StoreError::NoNode(path.clone()))?;
        let mut node = TopicNode::decode(name, &found.data)?;
        for (partition, placement) in placements {
            node.partitions.insert(*partition, placement.replicas.clone());
            node.adding_replicas.insert(*partition, placement.adding.clone());
            node.removing_replicas.insert(*partition, placement.removing.clone());
        }
        let data = Bytes::from(node.encode());
        let write = guarded::Write { path: path.clone(), data, version: Some(found.stat.version) };
        let result = guarded::set_many(store, guard, &[write]).await?.into_iter().next();
        match result.ok_or_else(|| StoreError::NoNode(path.clone()))? {
            Ok(stat) => return Ok(stat.version),
            Err(StoreError::BadVersion(_)) if attempts < PLACE_ATTEMPTS => attempts += 1,
            Err(StoreError::BadVersion(_)) => return Err(KafkaError::Contended { path, attempts }),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Marks a topic for deletion. [`StoreError::NodeExists`] if it is marked already.
pub async fn mark_deletion(store: &dyn Store, name: &str) -> Result<(), KafkaError> {
    ensure(store, DELETE_TOPICS).await?;
    retry::create(store, &topic::deletion_path(name), b"", CreateMode::Persistent).await?;
    Ok(())
}

/// Creates the states of new partitions, with their parents, bundled and pipelined. One result each, in order:
/// success means partition epoch 0; [`StoreError::NodeExists`] that there is a state already (read it).
pub async fn create_states(
    store: &dyn Store,
    guard: Guard,
    partitions: &[(String, i32, PartitionState)],
) -> Result<Vec<Result<(), StoreError>>, KafkaError> {
    let mut topics: Vec<&str> = partitions.iter().map(|(topic, ..)| topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    for wave in topics.chunks(IN_FLIGHT) {
        let parents: Vec<String> = wave.iter().map(|topic| partition::partitions_path(topic)).collect();
        for created in
            join_all(parents.iter().map(|path| guarded::create(store, guard, path, b"")).collect()).await
        {
            created?;
        }
    }
    let mut results = Vec::with_capacity(partitions.len());
    for wave in partitions.chunks(PARTITIONS_PER_MULTI * IN_FLIGHT) {
        let bundles = wave.chunks(PARTITIONS_PER_MULTI).map(|bundle| create_bundle(store, guard, bundle));
        for bundle in join_all(bundles.collect()).await {
            results.extend(bundle?);
        }
    }
    Ok(results)
}

async fn create_bundle(
    store: &dyn Store,
    guard: Guard,
    bundle: &[(String, i32, PartitionState)],
) -> Result<Vec<Result<(), StoreError>>, KafkaError> {
    let create = |path: String, data: Vec<u8>| Op::Create {
        path,
        data: Bytes::from(data),
        mode: CreateMode::Persistent,
    };
    let ops = bundle.iter().flat_map(|(topic, index, state)| {
        [
            create(partition::partition_path(topic, *index), Vec::new()),
            create(partition::path(topic, *index), state.encode()),
        ]
    });
    if guarded::multi(store, guard, ops.collect()).await?.is_ok() {
        return Ok(bundle.iter().map(|_| Ok(())).collect());
    }
    // Some exist, or the outcome is unknown: one by one.
    let mut results = Vec::with_capacity(bundle.len());
    for (topic, index, state) in bundle {
        guarded::create(store, guard, &partition::partition_path(topic, *index), b"").await?;
        results.push(create_one(store, guard, &partition::path(topic, *index), &state.encode()).await?);
    }
    Ok(results)
}

/// A state that exists with exactly our bytes and version 0 is the one whose answer was lost: a controller writes its
/// own epoch into it, and the guard held.
async fn create_one(
    store: &dyn Store,
    guard: Guard,
    path: &str,
    data: &[u8],
) -> Result<Result<(), StoreError>, KafkaError> {
    if guarded::create(store, guard, path, data).await? {
        return Ok(Ok(()));
    }
    match retry::read(|| store.get(path)).await? {
        Some(node) if node.data == data && node.stat.version == 0 => Ok(Ok(())),
        _ => Ok(Err(StoreError::NodeExists(path.to_owned()))),
    }
}

/// Removes a deleted topic for good: states, partitions, the topic, its config, its deletion mark, in this order.
/// Interrupted anywhere, it can be repeated as long as the mark stands.
pub async fn delete(store: &dyn Store, guard: Guard, name: &str) -> Result<(), KafkaError> {
    let parent = partition::partitions_path(name);
    let mut paths = Vec::new();
    for index in children_or_none(store, &parent).await? {
        paths.push(format!("{parent}/{index}/state"));
        paths.push(format!("{parent}/{index}"));
    }
    paths.push(parent);
    paths.push(topic::path(name));
    paths.push(ConfigEntity::Topic(name.to_owned()).path());
    guarded::delete_all(store, guard, &paths).await?;
    forget_deletion(store, guard, name).await
}

/// Removes a deletion mark only (the topic does not exist, or deletion is disabled).
pub async fn forget_deletion(store: &dyn Store, guard: Guard, name: &str) -> Result<(), KafkaError> {
    guarded::delete(store, guard, &topic::deletion_path(name)).await
}
