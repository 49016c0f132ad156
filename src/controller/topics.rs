//! Topics and partitions appear in the store, and the controller brings them to life.
//!
//! Invariants: a new partition goes New, its replicas New, the partition Online (state written, LeaderAndIsr sent),
//! its replicas Online; partitions added to a topic under deletion are taken back.
//! Source: Kafka's `processTopicChange`, `processPartitionModifications`, `onNewPartitionCreation`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Assignment;
use super::flow::{Task, Waiting};
use super::machine::Machine;
use super::partition_state::{PartitionState, Strategy};
use super::replica_state::ReplicaState;
use super::store::{Notifications, ReadOp, StoreOp, TopicRecord};
use crate::protocol::ids::TopicPartition;

impl Machine {
    pub(super) fn on_topic_names(&mut self, names: Vec<Arc<str>>) {
        let current: BTreeSet<&Arc<str>> = names.iter().collect();
        let gone: Vec<Arc<str>> =
            self.context.topics().keys().filter(|name| !current.contains(name)).cloned().collect();
        for topic in gone {
            self.forget_topic(&topic);
        }
        let new: Vec<Arc<str>> =
            names.into_iter().filter(|name| self.context.topic(name).is_none()).collect();
        if !new.is_empty() {
            self.wait_read(vec![ReadOp::TopicRecords(new)], Waiting::NewTopics);
        }
    }

    pub(super) fn create_partitions(&mut self, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        let topics: Vec<Arc<str>> = partitions.iter().map(|at| at.topic.clone()).collect();
        let created: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let replicas = self.replicas_of(&topics, |_, at| created.contains(at));
        self.move_partitions(&partitions, PartitionState::New);
        self.first([
            Task::MoveReplicas(replicas.clone(), ReplicaState::New),
            Task::Elect(partitions, Strategy::Offline { unclean: false }),
            Task::MoveReplicas(replicas, ReplicaState::Online),
        ]);
    }

    pub(super) fn on_changed_topics(&mut self, records: Vec<TopicRecord>) {
        let mut created = Vec::new();
        let mut restore = Vec::new();
        for TopicRecord { topic, partitions, .. } in records {
            let Some(known) = self.context.topic(&topic) else { continue };
            let mut added = partitions;
            added.retain(|(index, _)| known.partition(*index).is_none());
            if added.is_empty() {
                continue;
            }
            if self.context.is_deleting(&topic) {
                tracing::warn!(topic = %topic, added = added.len(), "partitions added to a topic under deletion are dropped");
                restore.push(topic);
            } else {
                created.extend(self.context.add_partitions(&topic, added));
            }
        }
        let ops: Vec<StoreOp> = restore.into_iter().filter_map(|topic| self.restore(topic)).collect();
        self.first([Task::CreatePartitions(created)]);
        if !ops.is_empty() {
            self.wait_store(ops, Waiting::Done);
        }
    }

    fn restore(&self, topic: Arc<str>) -> Option<StoreOp> {
        let known = self.context.topic(&topic)?;
        let partitions: Vec<(i32, Assignment)> =
            known.partitions().iter().map(|p| (p.index, p.assignment.clone())).collect();
        Some(StoreOp::SetTopicAssignment { topic, id: known.id, partitions })
    }

    /// Leaders of brokers with an old inter-broker protocol have written their ISRs themselves.
    pub(super) fn on_isr_changes(&mut self, events: Vec<(String, Vec<TopicPartition>)>) {
        let (names, partitions): (Vec<String>, Vec<Vec<TopicPartition>>) = events.into_iter().unzip();
        let distinct: BTreeSet<TopicPartition> = partitions.into_iter().flatten().collect();
        let known = distinct.into_iter().filter(|at| self.context.partition(at).is_some());
        let partitions: Vec<TopicPartition> = known.collect();
        let clear = Task::DeleteNotifications(Notifications::IsrChanges, names);
        if partitions.is_empty() {
            return self.first([clear]);
        }
        self.first([
            Task::RefreshStates(partitions.clone()),
            Task::TellAll(partitions.clone()),
            Task::CompleteReassignments(partitions),
            clear,
        ]);
    }
}
