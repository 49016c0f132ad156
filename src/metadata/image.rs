//! What this broker knows of the cluster: an immutable snapshot behind `Arc`, replaced by each UpdateMetadata.
//!
//! Invariants: a topic that is listed has at least one partition; partitions are sorted by index; an update of few
//! topics clones only the shards and topics it touches. Pure: knows nothing of requests, sockets or ZooKeeper.
//! Source: Kafka's `ZkMetadataCache`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::protocol::ids::{TopicPartition, Uuid};

/// Broker ids of replicas, in assignment order; shared, never changed in place.
pub type ReplicaList = Arc<[i32]>;

/// "No broker": the leader of a partition without one, the controller when none is known.
pub const NO_BROKER: i32 = -1;
/// The leader that UpdateMetadata names for a partition whose topic is being deleted: drop the partition.
pub const LEADER_DURING_DELETE: i32 = -2;

/// Where a broker can be reached under one listener name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Listener name, for example `PLAINTEXT`.
    pub listener: Arc<str>,
    /// Advertised host.
    pub host: Arc<str>,
    /// Advertised port.
    pub port: i32,
    /// `SecurityProtocol` id: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A broker that is alive (or shutting down) as the controller tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerImage {
    /// Broker id.
    pub id: i32,
    /// One endpoint a listener.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`, if set.
    pub rack: Option<Arc<str>>,
}

impl BrokerImage {
    /// The endpoint under `listener`, if this broker has that listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| &*endpoint.listener == listener)
    }
}

/// One partition as the last UpdateMetadata that named it described it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionImage {
    /// Partition index.
    pub index: i32,
    /// Leader, [`NO_BROKER`] or, only in an [`Update`], [`LEADER_DURING_DELETE`].
    pub leader: i32,
    /// Term of the leader.
    pub leader_epoch: i32,
    /// In-sync replicas.
    pub isr: ReplicaList,
    /// All replicas; the first is the preferred leader.
    pub replicas: ReplicaList,
    /// Replicas on dead brokers or in failed directories.
    pub offline: ReplicaList,
    /// Partition epoch: version of the state znode.
    pub zk_version: i32,
    /// Epoch of the controller that wrote the state.
    pub controller_epoch: i32,
}

/// One topic with the partitions that have been announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicImage {
    /// Name.
    pub name: Arc<str>,
    /// Topic id, [`Uuid::ZERO`] when the cluster has none for it.
    pub id: Uuid,
    /// Sorted by index; may have holes while partitions are being created.
    partitions: Vec<Arc<PartitionImage>>,
}

impl TopicImage {
    /// The partitions in ascending order.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = &PartitionImage> {
        self.partitions.iter().map(Arc::as_ref)
    }

    /// Partition `index`, if announced.
    pub fn partition(&self, index: i32) -> Option<&PartitionImage> {
        self.position(index).ok().map(|at| self.partitions[at].as_ref())
    }

    fn position(&self, index: i32) -> Result<usize, usize> {
        let guess = usize::try_from(index).unwrap_or(usize::MAX);
        match self.partitions.get(guess) {
            Some(partition) if partition.index == index => Ok(guess),
            _ => self.partitions.binary_search_by_key(&index, |partition| partition.index),
        }
    }

    fn put(&mut self, partition: PartitionImage) {
        match self.position(partition.index) {
            Ok(at) => self.partitions[at] = Arc::new(partition),
            Err(at) => self.partitions.insert(at, Arc::new(partition)),
        }
    }
}

/// The partitions of one topic in an [`Update`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicUpdate {
    /// Name.
    pub name: Arc<str>,
    /// Topic id, [`Uuid::ZERO`] if unknown to the controller.
    pub id: Uuid,
    /// Only the partitions that changed.
    pub partitions: Vec<PartitionImage>,
}

/// Content of an UpdateMetadata request: the alive brokers in full, and some partitions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Update {
    /// The controller that sends it.
    pub controller_id: i32,
    /// Replaces the whole list of alive brokers.
    pub brokers: Vec<BrokerImage>,
    /// Partitions to replace, or to drop where the leader is [`LEADER_DURING_DELETE`].
    pub topics: Vec<TopicUpdate>,
}

const SHARDS: usize = 64;

type ByName = HashMap<Arc<str>, Arc<TopicImage>>;
type ById = HashMap<Uuid, Arc<str>>;

/// The snapshot. Cloning is cheap: shards are shared.
#[derive(Clone, Debug)]
pub struct Image {
    controller_id: i32,
    brokers: Arc<BTreeMap<i32, BrokerImage>>,
    by_name: Vec<Arc<ByName>>,
    by_id: Vec<Arc<ById>>,
}

impl Default for Image {
    fn default() -> Image {
        Image {
            controller_id: NO_BROKER,
            brokers: Arc::default(),
            by_name: vec![Arc::default(); SHARDS],
            by_id: vec![Arc::default(); SHARDS],
        }
    }
}

/// What [`Image::apply`] gives.
#[derive(Debug)]
pub struct Applied {
    /// The new snapshot.
    pub image: Image,
    /// Partitions the update named as being deleted, whether they were known or not.
    pub deleted: Vec<TopicPartition>,
}

fn shard(key: impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % SHARDS as u64) as usize
}

impl Image {
    /// The snapshot after `update` (`ZkMetadataCache.updateMetadata`).
    pub fn apply(&self, update: &Update) -> Applied {
        let mut image = self.clone();
        image.controller_id = update.controller_id;
        image.brokers = Arc::new(update.brokers.iter().map(|broker| (broker.id, broker.clone())).collect());
        let mut deleted = Vec::new();
        for topic in &update.topics {
            image.apply_topic(topic, &mut deleted);
        }
        Applied { image, deleted }
    }

    fn apply_topic(&mut self, update: &TopicUpdate, deleted: &mut Vec<TopicPartition>) {
        let known = self.topic(&update.name);
        let known_id = known.map(|topic| topic.id);
        let mut topic = match known {
            Some(topic) => topic.as_ref().clone(),
            None => TopicImage { name: update.name.clone(), id: update.id, partitions: Vec::new() },
        };
        topic.id = update.id;
        let mut dropped = false;
        for partition in &update.partitions {
            if partition.leader == LEADER_DURING_DELETE {
                deleted.push(TopicPartition::new(update.name.clone(), partition.index));
                dropped = true;
            } else {
                topic.put(partition.clone());
            }
        }
        if dropped {
            remove_deleted(&mut topic.partitions, &update.partitions);
        }
        self.replace(known_id, topic);
    }

    fn replace(&mut self, known_id: Option<Uuid>, topic: TopicImage) {
        let gone = topic.partitions.is_empty();
        if let Some(old) = known_id
            && (gone || old != topic.id)
        {
            Arc::make_mut(&mut self.by_id[shard(old)]).remove(&old);
        }
        if gone {
            if known_id.is_some() {
                Arc::make_mut(&mut self.by_name[shard(&*topic.name)]).remove(&topic.name);
            }
            return;
        }
        if !topic.id.is_zero() && known_id != Some(topic.id) {
            Arc::make_mut(&mut self.by_id[shard(topic.id)]).insert(topic.id, topic.name.clone());
        }
        let names = Arc::make_mut(&mut self.by_name[shard(&*topic.name)]);
        names.insert(topic.name.clone(), Arc::new(topic));
    }

    /// The controller's id, [`NO_BROKER`] before the first update.
    pub fn controller_id(&self) -> i32 {
        self.controller_id
    }

    /// The alive brokers, ascending by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &BrokerImage> {
        self.brokers.values()
    }

    /// An alive broker.
    pub fn broker(&self, id: i32) -> Option<&BrokerImage> {
        self.brokers.get(&id)
    }

    /// Whether the controller counts `id` as alive (or shutting down).
    pub fn is_alive(&self, id: i32) -> bool {
        self.brokers.contains_key(&id)
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_name[shard(name)].get(name)
    }

    /// The name of the topic with this id.
    pub fn topic_name(&self, id: Uuid) -> Option<&Arc<str>> {
        self.by_id[shard(id)].get(&id)
    }

    /// One partition.
    pub fn partition(&self, topic: &str, index: i32) -> Option<&PartitionImage> {
        self.topic(topic)?.partition(index)
    }

    /// Every topic, in no particular order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_name.iter().flat_map(|shard| shard.values())
    }

    /// Number of topics.
    pub fn topic_count(&self) -> usize {
        self.by_name.iter().map(|shard| shard.len()).sum()
    }

    /// Number of partitions.
    pub fn partition_count(&self) -> usize {
        self.topics().map(|topic| topic.partitions.len()).sum()
    }
}

fn remove_deleted(partitions: &mut Vec<Arc<PartitionImage>>, update: &[PartitionImage]) {
    let mut gone: Vec<i32> =
        update.iter().filter(|p| p.leader == LEADER_DURING_DELETE).map(|p| p.index).collect();
    gone.sort_unstable();
    partitions.retain(|partition| gone.binary_search(&partition.index).is_err());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32, leader: i32) -> PartitionImage {
        PartitionImage {
            index,
            leader,
            leader_epoch: 3,
            isr: Arc::from([1]),
            replicas: Arc::from([1, 2]),
            offline: Arc::from([2]),
            zk_version: 4,
            controller_epoch: 1,
        }
    }

    fn topic(name: &str, id: u8, partitions: Vec<PartitionImage>) -> TopicUpdate {
        TopicUpdate { name: name.into(), id: Uuid([id; 16]), partitions }
    }

    fn broker(id: i32) -> BrokerImage {
        let endpoint =
            Endpoint { listener: "PLAINTEXT".into(), host: "h".into(), port: 9092, security_protocol: 0 };
        BrokerImage { id, endpoints: vec![endpoint], rack: None }
    }

    #[test]
    fn an_update_replaces_brokers_and_keeps_other_partitions() {
        let first = Update {
            controller_id: 1,
            brokers: vec![broker(1), broker(2)],
            topics: vec![topic("a", 7, vec![partition(1, 1), partition(0, 2)])],
        };
        let image = Image::default().apply(&first).image;
        let second = Update {
            controller_id: 2,
            brokers: vec![broker(2)],
            topics: vec![topic("a", 7, vec![partition(5, 2), partition(1, NO_BROKER)])],
        };
        let next = image.apply(&second).image;
        let indexes: Vec<i32> = next.topic("a").unwrap().partitions().map(|p| p.index).collect();
        assert_eq!(indexes, [0, 1, 5]);
        assert_eq!(next.partition("a", 1).unwrap().leader, NO_BROKER);
        assert_eq!(next.partition("a", 0).unwrap().leader, 2);
        assert!(!next.is_alive(1) && next.is_alive(2));
        assert_eq!((image.controller_id(), next.controller_id()), (1, 2));
        assert_eq!(image.partition("a", 1).unwrap().leader, 1, "the older snapshot is unchanged");
        assert!(next.broker(2).unwrap().endpoint("PLAINTEXT").is_some());
        assert!(next.broker(2).unwrap().endpoint("SSL").is_none());
    }

    #[test]
    fn a_deleted_partition_goes_and_the_last_takes_the_topic_and_its_id() {
        let create = Update {
            topics: vec![topic("a", 7, vec![partition(0, 1), partition(1, 1)])],
            ..Update::default()
        };
        let image = Image::default().apply(&create).image;
        assert_eq!(image.topic_name(Uuid([7; 16])).map(|n| &**n), Some("a"));
        let one = Update { topics: vec![topic("a", 7, vec![partition(1, -2)])], ..Update::default() };
        let applied = image.apply(&one);
        assert_eq!(applied.deleted, [TopicPartition::new("a", 1)]);
        assert_eq!(applied.image.partition_count(), 1);
        let rest = Update {
            topics: vec![topic("a", 7, vec![partition(0, -2)]), topic("ghost", 9, vec![partition(3, -2)])],
            ..Update::default()
        };
        let applied = applied.image.apply(&rest);
        assert_eq!(applied.deleted, [TopicPartition::new("a", 0), TopicPartition::new("ghost", 3)]);
        assert_eq!(applied.image.topic_count(), 0);
        assert_eq!(applied.image.topic_name(Uuid([7; 16])), None);
        assert_eq!(applied.image.topic_name(Uuid([9; 16])), None);
    }

    #[test]
    fn a_recreated_topic_changes_its_id() {
        let image = Image::default()
            .apply(&Update { topics: vec![topic("a", 7, vec![partition(0, 1)])], ..Update::default() })
            .image;
        let next = image
            .apply(&Update { topics: vec![topic("a", 8, vec![partition(0, 1)])], ..Update::default() })
            .image;
        assert_eq!(next.topic_name(Uuid([7; 16])), None);
        assert_eq!(next.topic_name(Uuid([8; 16])).map(|n| &**n), Some("a"));
    }

    #[test]
    fn hostile_indexes_cost_nothing() {
        let image = Image::default()
            .apply(&Update {
                topics: vec![topic("a", 1, vec![partition(i32::MAX, 1), partition(-9, 1)])],
                ..Update::default()
            })
            .image;
        assert!(image.partition("a", i32::MAX).is_some() && image.partition("a", -9).is_some());
        assert!(image.partition("a", 0).is_none() && image.partition("a", -1).is_none());
    }

    #[test]
    fn updates_share_what_they_do_not_touch() {
        let topics = (0..10_000).map(|n| topic(&format!("t{n}"), 0, vec![partition(0, 1)])).collect();
        let image = Image::default().apply(&Update { topics, ..Update::default() }).image;
        let next = image
            .apply(&Update { topics: vec![topic("t77", 0, vec![partition(0, 2)])], ..Update::default() })
            .image;
        let shared = (0..SHARDS).filter(|n| Arc::ptr_eq(&image.by_name[*n], &next.by_name[*n])).count();
        assert_eq!(shared, SHARDS - 1, "one topic touches one shard");
        let (before, after) = (image.topic("t78").unwrap(), next.topic("t78").unwrap());
        assert!(Arc::ptr_eq(before, after));
    }
}
