//! A model of ZooKeeper as the controller knows it: nodes with versions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla::controller::context::{Broker, Leadership};
use ottla::controller::event::ProducerIdBlock;
use ottla::controller::store::{
    FeatureRecord, Loaded, Notifications, ReadOp, ReassignmentWishes, StoreOp, StoreResult, TopicRecord,
};
use ottla::protocol::ids::{TopicPartition, Uuid};

/// What is in the store.
#[derive(Default)]
pub struct Store {
    pub brokers: BTreeMap<i32, Broker>,
    pub topics: BTreeMap<Arc<str>, TopicRecord>,
    pub states: BTreeMap<TopicPartition, Leadership>,
    pub deletions: BTreeSet<Arc<str>>,
    pub log_dirs: BTreeMap<String, i32>,
    pub isr_changes: BTreeMap<String, Vec<TopicPartition>>,
    pub unclean: BTreeSet<Arc<str>>,
    pub producer_ids: (Option<ProducerIdBlock>, i32),
    pub feature: Option<(FeatureRecord, i32)>,
    /// What old tools left.
    pub reassignment_wishes: Option<ReassignmentWishes>,
    pub election_wishes: Option<Vec<TopicPartition>>,
    /// Whether the four nodes above hold what nobody can read.
    pub unreadable: bool,
    /// State nodes that nobody can read.
    pub garbage: BTreeSet<TopicPartition>,
    /// Creates that are done but answered as if a first try had been.
    pub lose_answers_of: BTreeSet<TopicPartition>,
    ids: u128,
}

impl Store {
    pub fn write(&mut self, op: &StoreOp) -> StoreResult {
        match op {
            StoreOp::CreatePartitionState { partition, state } => {
                if self.states.contains_key(partition) {
                    return StoreResult::NodeExists;
                }
                self.states.insert(partition.clone(), Leadership { partition_epoch: 0, ..state.clone() });
                if self.lose_answers_of.remove(partition) {
                    return StoreResult::NodeExists;
                }
                StoreResult::Version(0)
            }
            StoreOp::UpdatePartitionState { partition, state } => match self.states.get_mut(partition) {
                None => StoreResult::NoNode,
                Some(old) if old.partition_epoch != state.partition_epoch => StoreResult::BadVersion,
                Some(old) => {
                    assert!(old.controller_epoch <= state.controller_epoch, "an old controller wrote");
                    *old = Leadership { partition_epoch: old.partition_epoch + 1, ..state.clone() };
                    StoreResult::Version(old.partition_epoch)
                }
            },
            StoreOp::DeleteNotifications(kind, names) => {
                let keep = |name: &String| names.as_ref().is_some_and(|names| !names.contains(name));
                match kind {
                    Notifications::LogDirs => self.log_dirs.retain(|name, _| keep(name)),
                    Notifications::IsrChanges => self.isr_changes.retain(|name, _| keep(name)),
                }
                StoreResult::Done
            }
            StoreOp::SetFeature { feature, .. } => {
                let version = self.feature.as_ref().map_or(0, |(_, version)| version + 1);
                self.feature = Some((feature.clone(), version));
                StoreResult::Version(version)
            }
            StoreOp::SetProducerIds { block, expected_version } => {
                if self.producer_ids.1 != *expected_version {
                    return StoreResult::BadVersion;
                }
                self.producer_ids = (Some(*block), expected_version + 1);
                StoreResult::Version(expected_version + 1)
            }
            StoreOp::KeepReassignments(left) => {
                self.reassignment_wishes = Some(left.clone()).filter(|left| !left.is_empty());
                StoreResult::Done
            }
            StoreOp::ForgetElections => {
                self.election_wishes = None;
                StoreResult::Done
            }
            StoreOp::DeleteController => StoreResult::Done,
            op => self.write_topic(op),
        }
    }

    fn write_topic(&mut self, op: &StoreOp) -> StoreResult {
        match op {
            StoreOp::AddTopicId { topic, partitions } => {
                self.ids += 1;
                let id = Uuid((1000 + self.ids).to_be_bytes());
                let record =
                    TopicRecord { topic: topic.clone(), id: Some(id), partitions: partitions.clone() };
                self.topics.insert(topic.clone(), record);
                StoreResult::TopicId(id)
            }
            StoreOp::SetTopicAssignment { topic, id, partitions } => {
                let record =
                    TopicRecord { topic: topic.clone(), id: Some(*id), partitions: partitions.clone() };
                self.topics.insert(topic.clone(), record);
                StoreResult::Done
            }
            StoreOp::DeleteTopic(topic) => {
                self.topics.remove(topic);
                self.states.retain(|at, _| at.topic != *topic);
                self.deletions.remove(topic);
                StoreResult::Done
            }
            StoreOp::DeleteDeletionMarker(topic) => {
                self.deletions.remove(topic);
                StoreResult::Done
            }
            StoreOp::PlaceReplicas { topic, partitions } => {
                let Some(record) = self.topics.get_mut(topic) else { return StoreResult::NoNode };
                for (index, assignment) in partitions {
                    record.partitions.retain(|(known, _)| known != index);
                    record.partitions.push((*index, assignment.clone()));
                }
                record.partitions.sort_by_key(|(index, _)| *index);
                StoreResult::Version(1)
            }
            op => panic!("{op:?} is another's"),
        }
    }

    pub fn read(&self, op: &ReadOp) -> Loaded {
        match op {
            ReadOp::Brokers => Loaded::Brokers(self.brokers.values().cloned().collect()),
            ReadOp::Broker(id) => Loaded::Broker(self.brokers.get(id).cloned()),
            ReadOp::Topics => Loaded::Names(self.topics.keys().cloned().collect()),
            ReadOp::TopicRecords(names) => {
                Loaded::Topics(names.iter().filter_map(|name| self.topics.get(name)).cloned().collect())
            }
            ReadOp::PartitionStates(all) => {
                let readable = |at: &&TopicPartition| !self.garbage.contains(at);
                let state = |at| Some(at).filter(readable).and_then(|at| self.states.get(at).cloned());
                Loaded::States(all.iter().map(state).collect())
            }
            ReadOp::Deletions => Loaded::Names(self.deletions.iter().cloned().collect()),
            ReadOp::LogDirs => {
                Loaded::LogDirs(self.log_dirs.iter().map(|(name, id)| (name.clone(), Some(*id))).collect())
            }
            ReadOp::IsrChanges => Loaded::IsrChanges(self.isr_changes.clone().into_iter().collect()),
            ReadOp::UncleanElection(topics) => {
                Loaded::Unclean(topics.iter().map(|topic| self.unclean.contains(topic)).collect())
            }
            ReadOp::ProducerIds | ReadOp::Feature if self.unreadable => Loaded::Unreadable,
            ReadOp::ReassignmentWishes if self.unreadable && self.reassignment_wishes.is_some() => {
                Loaded::Unreadable
            }
            ReadOp::ElectionWishes if self.unreadable && self.election_wishes.is_some() => Loaded::Unreadable,
            ReadOp::ReassignmentWishes => Loaded::ReassignmentWishes(self.reassignment_wishes.clone()),
            ReadOp::ElectionWishes => Loaded::ElectionWishes(self.election_wishes.clone()),
            ReadOp::ProducerIds => Loaded::ProducerIds(self.producer_ids.0, self.producer_ids.1),
            ReadOp::Feature => Loaded::Feature(self.feature.clone()),
        }
    }
}
