//! What the controller sends to brokers, and the batch in which one state change collects it.
//!
//! Invariants: per broker a batch becomes LeaderAndIsr, then UpdateMetadata, then StopReplica; a partition in
//! LeaderAndIsr is also in the UpdateMetadata to every broker; only registered brokers are addressed, each with its
//! own epoch. Knows nothing of versions or the wire. Source: Kafka's `AbstractControllerBrokerRequestBatch`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::{Assignment, Context, Leadership};
use crate::metadata::image::{
    BrokerImage, Endpoint, LEADER_DURING_DELETE, PartitionImage, TopicUpdate, Update,
};
use crate::protocol::ids::{TopicPartition, Uuid};

/// Leader epoch in StopReplica for a partition that never had a leader.
pub const NO_EPOCH: i32 = -1;
/// Leader epoch in StopReplica for a topic being deleted: stronger than any other.
pub const EPOCH_DURING_DELETE: i32 = -2;

/// Requests in the order in which they must leave, for each broker.
pub type Outbox = Vec<Addressed>;

/// One request and who gets it. The controller's id is the shell's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addressed {
    /// Receiver.
    pub broker: i32,
    /// Epoch the receiver is known by.
    pub broker_epoch: i64,
    /// Epoch of this controller.
    pub controller_epoch: i32,
    /// What.
    pub request: ControlRequest,
}

/// The three control requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlRequest {
    /// Lead or follow these partitions.
    LeaderAndIsr(Arc<LeaderAndIsr>),
    /// Alive brokers, and the state of some partitions. One value for all receivers.
    UpdateMetadata(Arc<Update>),
    /// Stop, and perhaps delete, these replicas.
    StopReplica(Arc<StopReplica>),
}

/// LeaderAndIsr; its `Type` is always 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderAndIsr {
    /// By topic.
    pub topics: Vec<LeaderAndIsrTopic>,
    /// Registered brokers that lead something in `topics`, on the inter-broker listener.
    pub live_leaders: Vec<(i32, Endpoint)>,
}

/// One topic of [`LeaderAndIsr`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderAndIsrTopic {
    /// Name.
    pub name: Arc<str>,
    /// Id, zero if it has none.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Vec<LeaderAndIsrPartition>,
}

/// One partition of [`LeaderAndIsr`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderAndIsrPartition {
    /// Index.
    pub index: i32,
    /// Its state.
    pub leadership: Leadership,
    /// Its replicas.
    pub assignment: Assignment,
    /// The receiver may have to create the log, also where it has failed directories.
    pub is_new: bool,
}

/// StopReplica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StopReplica {
    /// By topic.
    pub topics: Vec<(Arc<str>, Vec<StopReplicaPartition>)>,
}

/// One partition of [`StopReplica`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct StopReplicaPartition {
    /// Index.
    pub index: i32,
    /// Leader epoch, [`NO_EPOCH`] or [`EPOCH_DURING_DELETE`].
    pub leader_epoch: i32,
    /// Delete the log too.
    pub delete: bool,
}

/// What one state change has to tell.
#[derive(Debug, Default)]
pub(super) struct Batch {
    leader_and_isr: BTreeMap<i32, BTreeMap<TopicPartition, LeaderAndIsrPartition>>,
    stop_replica: BTreeMap<i32, BTreeMap<TopicPartition, StopReplicaPartition>>,
    metadata: BTreeMap<TopicPartition, PartitionImage>,
    metadata_to_all: bool,
    metadata_to: BTreeSet<i32>,
}

impl Batch {
    /// LeaderAndIsr with the partition's current state for these brokers, and UpdateMetadata for all.
    pub fn leader_and_isr(
        &mut self,
        context: &Context,
        brokers: impl IntoIterator<Item = i32>,
        at: &TopicPartition,
        is_new: bool,
    ) {
        let Some(partition) = context.partition(at) else { return };
        let Some(leadership) = &partition.leadership else { return };
        for broker in brokers.into_iter().filter(|id| context.brokers.contains_key(id)) {
            let entries = self.leader_and_isr.entry(broker).or_default();
            let already_new = entries.get(at).is_some_and(|entry| entry.is_new);
            let entry = LeaderAndIsrPartition {
                index: at.partition,
                leadership: leadership.clone(),
                assignment: partition.assignment.clone(),
                is_new: is_new || already_new,
            };
            entries.insert(at.clone(), entry);
        }
        self.metadata_to_all(context, [at]);
    }

    /// StopReplica for the broker.
    pub fn stop_replica(&mut self, context: &Context, broker: i32, at: &TopicPartition, delete: bool) {
        let leader_epoch = if context.is_deleting(&at.topic) {
            EPOCH_DURING_DELETE
        } else {
            context.leadership(at).map_or(NO_EPOCH, |leadership| leadership.leader_epoch)
        };
        let entries = self.stop_replica.entry(broker).or_default();
        let delete = delete || entries.get(at).is_some_and(|entry| entry.delete);
        entries.insert(at.clone(), StopReplicaPartition { index: at.partition, leader_epoch, delete });
    }

    /// UpdateMetadata with these partitions for every registered broker.
    pub fn metadata_to_all<'a>(
        &mut self,
        context: &Context,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) {
        self.metadata_to_all = true;
        self.add_metadata(context, partitions);
    }

    /// UpdateMetadata with these partitions for some brokers.
    pub fn metadata_to<'a>(
        &mut self,
        context: &Context,
        brokers: &[i32],
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) {
        self.metadata_to.extend(brokers);
        self.add_metadata(context, partitions);
    }

    fn add_metadata<'a>(
        &mut self,
        context: &Context,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) {
        for at in partitions {
            if let Some(image) = partition_image(context, at) {
                self.metadata.insert(at.clone(), image);
            }
        }
    }

    /// Turns the batch into requests, after those already in `outbox`.
    pub fn flush(self, context: &Context, controller: i32, listener: &str, outbox: &mut Outbox) {
        let mut send = |broker: i32, request: ControlRequest| {
            if let Some(target) = context.brokers.get(&broker) {
                let (broker_epoch, controller_epoch) = (target.epoch, context.epoch);
                outbox.push(Addressed { broker, broker_epoch, controller_epoch, request });
            }
        };
        for (broker, partitions) in self.leader_and_isr {
            let request = leader_and_isr_request(context, listener, partitions);
            send(broker, ControlRequest::LeaderAndIsr(Arc::new(request)));
        }
        if self.metadata_to_all || !self.metadata_to.is_empty() {
            let update = Arc::new(update_request(context, controller, self.metadata));
            let told = |id: &&i32| self.metadata_to_all || self.metadata_to.contains(id);
            for broker in context.brokers.keys().filter(told) {
                send(*broker, ControlRequest::UpdateMetadata(update.clone()));
            }
        }
        for (broker, partitions) in self.stop_replica {
            let topics = by_topic(partitions);
            send(broker, ControlRequest::StopReplica(Arc::new(StopReplica { topics })));
        }
    }
}

/// The partition as UpdateMetadata tells it; `None` while it never had a leader.
fn partition_image(context: &Context, at: &TopicPartition) -> Option<PartitionImage> {
    let partition = context.partition(at)?;
    let leadership = partition.leadership.as_ref()?;
    let replicas = partition.assignment.replicas.clone();
    let offline = replicas.iter().copied().filter(|id| !context.is_online(*id, at)).collect();
    let mut image = PartitionImage {
        index: at.partition,
        leader: leadership.leader,
        leader_epoch: leadership.leader_epoch,
        isr: leadership.isr.clone(),
        replicas,
        offline,
        zk_version: leadership.partition_epoch,
        controller_epoch: leadership.controller_epoch,
    };
    if context.is_deleting(&at.topic) {
        image.leader = LEADER_DURING_DELETE;
        image.leader_epoch = 0;
        image.zk_version = 0;
    }
    Some(image)
}

fn topic_id(context: &Context, name: &str) -> Uuid {
    context.topic(name).map_or(Uuid::ZERO, |topic| topic.id)
}

fn by_topic<T>(partitions: BTreeMap<TopicPartition, T>) -> Vec<(Arc<str>, Vec<T>)> {
    let mut topics: Vec<(Arc<str>, Vec<T>)> = Vec::new();
    for (at, entry) in partitions {
        match topics.last_mut() {
            Some((name, entries)) if *name == at.topic => entries.push(entry),
            _ => topics.push((at.topic, vec![entry])),
        }
    }
    topics
}

fn leader_and_isr_request(
    context: &Context,
    listener: &str,
    partitions: BTreeMap<TopicPartition, LeaderAndIsrPartition>,
) -> LeaderAndIsr {
    let leaders: BTreeSet<i32> = partitions.values().map(|entry| entry.leadership.leader).collect();
    let endpoint_of = |id: &i32| Some((*id, context.brokers.get(id)?.image.endpoint(listener)?.clone()));
    let live_leaders = leaders.iter().filter_map(endpoint_of).collect();
    let topics = by_topic(partitions)
        .into_iter()
        .map(|(name, partitions)| LeaderAndIsrTopic { id: topic_id(context, &name), name, partitions })
        .collect();
    LeaderAndIsr { topics, live_leaders }
}

fn update_request(
    context: &Context,
    controller_id: i32,
    partitions: BTreeMap<TopicPartition, PartitionImage>,
) -> Update {
    let brokers: Vec<BrokerImage> = context.brokers.values().map(|broker| broker.image.clone()).collect();
    let topics = by_topic(partitions)
        .into_iter()
        .map(|(name, partitions)| TopicUpdate { id: topic_id(context, &name), name, partitions })
        .collect();
    Update { controller_id, brokers, topics }
}
