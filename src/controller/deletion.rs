//! Topic deletion: stop the replicas, have their logs deleted, then forget the topic everywhere.
//!
//! Invariants: a topic's nodes go only when every replica has confirmed that its log is deleted; while a replica is
//! offline, failed to delete, or is being moved, the topic is ineligible and waits until a broker returns or the move
//! ends; a topic in progress is not begun again. Source: Kafka's `TopicDeletionManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::{ByBroker, Deletion};
use super::flow::{Task, Waiting};
use super::machine::Machine;
use super::outbox::StopReplica;
use super::partition_state::PartitionState;
use super::replica_state::ReplicaState;
use super::store::{StoreOp, StoreResult};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

impl Machine {
    pub(super) fn on_deletions(&mut self, names: Vec<Arc<str>>) {
        let (known, unknown): (Vec<Arc<str>>, Vec<Arc<str>>) =
            names.into_iter().partition(|name| self.context.topic(name).is_some());
        if !self.config.delete_topics {
            return self.drop_deletion_markers(unknown.into_iter().chain(known).collect());
        }
        for topic in known {
            let partitions = self.context.topic(&topic).map_or(&[][..], |topic| topic.partitions());
            let ineligible = partitions.iter().any(|partition| partition.assignment.is_reassigning());
            let deletion = self.context.deleting.entry(topic).or_default();
            deletion.ineligible |= ineligible;
        }
        self.first([Task::ResumeDeletions]);
        self.drop_deletion_markers(unknown);
    }

    pub(super) fn drop_deletion_markers(&mut self, topics: Vec<Arc<str>>) {
        if !topics.is_empty() {
            let ops = topics.into_iter().map(StoreOp::DeleteDeletionMarker).collect();
            self.wait_store(ops, Waiting::Done);
        }
    }

    /// Resumes what is halted. When a broker returns this includes topics with a reassignment under way, as in Kafka: one
    /// that has lost its leader, or waits for a broker that is gone for good, would never end.
    pub(super) fn resume_deletions_of(&mut self, topics: &BTreeSet<Arc<str>>) {
        let mut any = false;
        for topic in topics {
            if let Some(deletion) = self.context.deleting.get_mut(topic) {
                deletion.ineligible = false;
                any = true;
            }
        }
        if any {
            self.resume_deletions();
        }
    }

    /// Finishes what is finished, retries what failed, begins what may begin.
    pub(super) fn resume_deletions(&mut self) {
        let (mut finished, mut retry, mut begin) = (Vec::new(), Vec::new(), Vec::new());
        for (topic, deletion) in &self.context.deleting {
            let partitions = self.context.topic(topic).map_or(&[][..], |topic| topic.partitions());
            let mut states = partitions.iter().flat_map(|partition| partition.replica_states());
            let any = |wanted| move |state: &ReplicaState| *state == wanted;
            if states.clone().all(any(ReplicaState::DeletionSuccessful)) {
                finished.push(topic.clone());
            } else if !states.clone().any(any(ReplicaState::DeletionStarted)) {
                if states.any(any(ReplicaState::DeletionIneligible)) {
                    retry.push(topic.clone());
                }
                if !deletion.ineligible {
                    begin.push(topic.clone());
                }
            }
        }
        let failed = |broker: i32, at: &TopicPartition| {
            self.replica_state(broker, at) == ReplicaState::DeletionIneligible
        };
        let retry = self.replicas_of(&retry, failed);
        self.first([Task::MoveReplicas(retry, ReplicaState::Offline), Task::BeginDeletion(begin)]);
        if !finished.is_empty() {
            let ops = finished.iter().cloned().map(StoreOp::DeleteTopic).collect();
            self.wait_store(ops, Waiting::DeletedTopics(finished));
        }
    }

    pub(super) fn on_topics_deleted(&mut self, topics: Vec<Arc<str>>, results: Vec<StoreResult>) {
        for (topic, result) in topics.iter().zip(results) {
            match result {
                StoreResult::Done => {
                    tracing::info!(topic = %topic, "deleted");
                    self.forget_topic(topic);
                }
                other => {
                    tracing::error!(topic = %topic, result = ?other, "cannot delete the topic's nodes; retried later")
                }
            }
        }
    }

    pub(super) fn begin_deletion(&mut self, topics: &[Arc<str>]) {
        if topics.is_empty() {
            return;
        }
        for topic in topics {
            let Some(deletion) = self.context.deleting.get_mut(topic) else { continue };
            if !std::mem::replace(&mut deletion.started, true) {
                let partitions = self.context.partitions_of(topic);
                self.move_partitions(&partitions, PartitionState::Offline);
                self.move_partitions(&partitions, PartitionState::NonExistent);
            }
        }
        let partitions: Vec<TopicPartition> =
            topics.iter().flat_map(|topic| self.context.partitions_of(topic)).collect();
        // Brokers stop serving the topics: their leader is now "being deleted".
        self.tell_all(&partitions);

        let dead = self.replicas_of(topics, |broker, at| !self.context.is_online(broker, at));
        let alive = self.replicas_of(topics, |broker, at| {
            let deleted = self.replica_state(broker, at) == ReplicaState::DeletionSuccessful;
            self.context.is_online(broker, at) && !deleted
        });
        let halted: BTreeSet<Arc<str>> = dead.values().flatten().map(|at| at.topic.clone()).collect();
        self.halt(&halted);
        self.first([
            Task::MoveReplicas(dead, ReplicaState::DeletionIneligible),
            Task::MoveReplicas(alive.clone(), ReplicaState::Offline),
            Task::MoveReplicas(alive, ReplicaState::DeletionStarted),
        ]);
    }

    fn halt(&mut self, topics: &BTreeSet<Arc<str>>) {
        for topic in topics {
            if let Some(Deletion { ineligible, .. }) = self.context.deleting.get_mut(topic) {
                tracing::info!(topic = %topic, "deletion halted: a replica is offline or failed to delete its log");
                *ineligible = true;
            }
        }
    }

    pub(super) fn fail_deletion(&mut self, replicas: ByBroker) {
        let topics: BTreeSet<Arc<str>> = replicas.values().flatten().map(|at| at.topic.clone()).collect();
        self.move_replicas(replicas, ReplicaState::DeletionIneligible);
        self.halt(&topics);
        self.resume_deletions();
    }

    pub(super) fn complete_deletion(&mut self, replicas: ByBroker) {
        self.move_replicas(replicas, ReplicaState::DeletionSuccessful);
        self.resume_deletions();
    }

    pub(super) fn on_stop_replica_reply(
        &mut self,
        broker: i32,
        request: &StopReplica,
        error: ErrorCode,
        partitions: Vec<(TopicPartition, ErrorCode)>,
    ) {
        let started = |topic: &str| self.context.deleting.get(topic).is_some_and(|deletion| deletion.started);
        let asked: BTreeMap<&str, BTreeSet<i32>> = request
            .topics
            .iter()
            .filter(|(topic, _)| started(topic))
            .map(|(topic, entries)| {
                let deleted = entries.iter().filter(|entry| entry.delete).map(|entry| entry.index);
                (&**topic, deleted.collect())
            })
            .collect();
        let (mut failed, mut deleted) = (Vec::new(), Vec::new());
        // A replica that a reassignment removed is nobody's concern any more.
        let assigned = |at: &TopicPartition| {
            self.context.partition(at).is_some_and(|it| it.assignment.replicas.contains(&broker))
        };
        for (at, code) in partitions.into_iter().filter(|(at, _)| assigned(at)) {
            if asked.get(&*at.topic).is_some_and(|indexes| indexes.contains(&at.partition)) {
                let side = if error.is_none() && code.is_none() { &mut deleted } else { &mut failed };
                side.push(at);
            }
        }
        let mut tasks = Vec::new();
        if !failed.is_empty() {
            tracing::warn!(broker, replicas = failed.len(), "replicas could not be deleted");
            tasks.push(Task::FailDeletion(ByBroker::from([(broker, failed)])));
        }
        if !deleted.is_empty() {
            tasks.push(Task::CompleteDeletion(ByBroker::from([(broker, deleted)])));
        }
        self.first(tasks);
    }
}
