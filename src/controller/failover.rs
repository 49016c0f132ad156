//! From an election won to a controller at work: features, old notifications, all the state there is, both state
//! machines, then the reassignments and deletions that were under way, and the wishes of old tools.
//!
//! Invariants: brokers hear of the live brokers before they are made leaders; ISRs lose dead brokers before leaders are
//! elected. Source: Kafka's `KafkaController.onControllerFailover`.
//!
//! Unlike Kafka, the first UpdateMetadata also carries the partitions as the last controller left them. Kafka's names the
//! brokers only, so a broker that just started tells its clients for a moment that their topics do not exist; librdkafka
//! 2.0 then drops the partitions it reads and can hang when it is closed. Such a broker names no leader until it leads.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::{ByBroker, Deletion, Leadership};
use super::event::Channel;
use super::flow::{AfterTopics, Task, Waiting};
use super::machine::Machine;
use super::outbox::Batch;
use super::partition_state::PartitionState;
use super::reassignment::retire;
use super::replica_state::ReplicaState;
use super::store::{Loaded, Notifications, ReadOp, StoreOp, StoreResult, TopicRecord};
use crate::protocol::ids::{TopicPartition, Uuid};

/// The first look for leaders to move back comes soon after a fail-over.
const FIRST_REBALANCE_MS: i64 = 5_000;

impl Machine {
    pub(super) fn fail_over(&mut self) {
        self.first([Task::ClearNotifications, Task::LoadCluster]);
        self.wait_read(vec![ReadOp::Feature], Waiting::Feature);
    }

    pub(super) fn clear_notifications(&mut self) {
        let kinds = [Notifications::LogDirs, Notifications::IsrChanges];
        let ops = kinds.map(|kind| StoreOp::DeleteNotifications(kind, None));
        self.wait_store(ops.into(), Waiting::Done);
    }

    /// Whether the three answers are what was asked for.
    pub(super) fn on_cluster(&mut self, data: Vec<Loaded>) -> bool {
        let mut data = data.into_iter();
        let (
            Some(Loaded::Brokers(brokers)),
            Some(Loaded::Names(topics)),
            Some(Loaded::Names(deletions)),
            None,
        ) = (data.next(), data.next(), data.next(), data.next())
        else {
            return false;
        };
        for broker in brokers {
            self.out.channels.push(Channel::Open(broker.clone()));
            self.context.brokers.insert(broker.image.id, broker);
        }
        self.wait_read(vec![ReadOp::TopicRecords(topics)], Waiting::AllTopics(deletions));
        true
    }

    /// Gives ids to topics that lack one, then goes on. A topic without partitions is left alone: its node could not be
    /// read, and writing it would seal that.
    pub(super) fn ensure_topic_ids(&mut self, records: Vec<TopicRecord>, then: AfterTopics) {
        let lacks = |record: &&TopicRecord| record.id.is_none() && !record.partitions.is_empty();
        let lacking: Vec<&TopicRecord> =
            records.iter().filter(lacks).filter(|_| self.config.topic_ids).collect();
        let ops: Vec<StoreOp> = lacking
            .iter()
            .map(|record| StoreOp::AddTopicId {
                topic: record.topic.clone(),
                partitions: record.partitions.clone(),
            })
            .collect();
        let lacking: Vec<Arc<str>> = lacking.iter().map(|record| record.topic.clone()).collect();
        if ops.is_empty() {
            return self.on_topic_ids(lacking, records, then, Vec::new());
        }
        self.wait_store(ops, Waiting::TopicIds { lacking, records, then });
    }

    pub(super) fn on_topic_ids(
        &mut self,
        lacking: Vec<Arc<str>>,
        records: Vec<TopicRecord>,
        then: AfterTopics,
        results: Vec<StoreResult>,
    ) {
        let mut created = Vec::new();
        for record in records {
            self.context.put_topic(&record.topic, record.id.unwrap_or(Uuid::ZERO));
            created.extend(self.context.add_partitions(&record.topic, record.partitions));
        }
        for (topic, result) in lacking.iter().zip(results) {
            match result {
                StoreResult::TopicId(id) => self.context.put_topic(topic, id),
                other => tracing::error!(topic = %topic, result = ?other, "cannot give the topic an id"),
            }
        }
        match then {
            AfterTopics::FailOver(deletions) => self.first([Task::LoadStates, Task::StartUp(deletions)]),
            AfterTopics::Create => self.create_partitions(created),
        }
    }

    pub(super) fn load_states(&mut self) {
        let all: Vec<TopicPartition> = self.context.partitions().map(|(at, _)| at).collect();
        if !all.is_empty() {
            self.wait_read(vec![ReadOp::PartitionStates(all.clone())], Waiting::AllStates(all));
        }
    }

    pub(super) fn on_all_states(&mut self, partitions: Vec<TopicPartition>, states: Vec<Option<Leadership>>) {
        for (at, state) in partitions.iter().zip(states) {
            if let Some(state) = state {
                self.context.set_leadership(at, state);
            }
        }
    }

    pub(super) fn start_up(&mut self, deletions: Vec<Arc<str>>) {
        let known: Vec<TopicPartition> = self.context.partitions().map(|(at, _)| at).collect();
        let expelled = retire(self.expel_unassigned());
        let then = [
            Task::StartReplicas,
            Task::StartPartitions,
            Task::TriggerElections(None),
            Task::LookAtReassignmentWishes,
            Task::ResumeReassignments(None),
            Task::ResumeDeletions,
            Task::LookAtElectionWishes,
        ];
        self.first([Task::TellAll(known)].into_iter().chain(expelled).chain(then).collect::<Vec<Task>>());
        if self.config.rebalance {
            self.schedule_rebalance(FIRST_REBALANCE_MS);
        }
        if !self.config.delete_topics {
            return self.drop_deletion_markers(deletions);
        }
        for topic in deletions {
            let ineligible = self.is_ineligible_for_deletion(&topic);
            self.context.deleting.insert(topic, Deletion { started: false, ineligible });
        }
    }

    pub(super) fn start_replicas(&mut self) {
        let (mut online, mut offline) = (ByBroker::new(), ByBroker::new());
        let all: Vec<(TopicPartition, Arc<[i32]>)> =
            self.context.partitions().map(|(at, p)| (at, p.assignment.replicas.clone())).collect();
        for (at, replicas) in all {
            for broker in replicas.iter() {
                // A dead replica may belong to a topic under deletion, of which it is known only that it has not finished.
                let (to, state) = if self.context.is_online(*broker, &at) {
                    (&mut online, ReplicaState::Online)
                } else {
                    (&mut offline, ReplicaState::DeletionIneligible)
                };
                to.entry(*broker).or_default().push(at.clone());
                if let Some(partition) = self.context.partition_mut(&at) {
                    partition.set_replica_state(*broker, state);
                }
            }
        }
        self.first([
            Task::MoveReplicas(online, ReplicaState::Online),
            Task::MoveReplicas(offline, ReplicaState::Offline),
        ]);
    }

    pub(super) fn start_partitions(&mut self) {
        let states: Vec<(TopicPartition, PartitionState)> = self
            .context
            .partitions()
            .map(|(at, partition)| {
                let state = match &partition.leadership {
                    None => PartitionState::New,
                    Some(it) if self.context.is_online(it.leader, &at) => PartitionState::Online,
                    Some(_) => PartitionState::Offline,
                };
                (at, state)
            })
            .collect();
        for (at, state) in states {
            if let Some(partition) = self.context.partition_mut(&at) {
                partition.state = state;
            }
        }
    }

    /// UpdateMetadata to every registered broker: the live list and these partitions.
    pub(super) fn tell_all(&mut self, partitions: &[TopicPartition]) {
        let mut batch = Batch::default();
        batch.metadata_to_all(&self.context, partitions);
        self.flush(batch);
    }

    pub(super) fn delete_notifications(&mut self, kind: Notifications, names: Vec<String>) {
        if !names.is_empty() {
            let ops = vec![StoreOp::DeleteNotifications(kind, Some(names))];
            self.wait_store(ops, Waiting::Done);
        }
    }

    /// Topics named in deletion markers that have a replica offline or a reassignment under way must wait.
    pub(super) fn is_ineligible_for_deletion(&self, topic: &Arc<str>) -> bool {
        let partitions = self.context.topic(topic).map_or(&[][..], |topic| topic.partitions());
        partitions.iter().any(|partition| {
            let at = TopicPartition::new(topic.clone(), partition.index);
            partition.assignment.is_reassigning()
                || partition.assignment.replicas.iter().any(|id| !self.context.is_online(*id, &at))
        })
    }

    /// The replicas of topics that `wanted` picks.
    pub(super) fn replicas_of(
        &self,
        topics: &[Arc<str>],
        wanted: impl Fn(i32, &TopicPartition) -> bool,
    ) -> ByBroker {
        let mut found = ByBroker::new();
        let distinct: BTreeSet<&Arc<str>> = topics.iter().collect();
        for topic in distinct {
            for at in self.context.partitions_of(topic) {
                let replicas = self.context.partition(&at).map(|p| p.assignment.replicas.clone());
                for broker in replicas.unwrap_or_default().iter().filter(|id| wanted(**id, &at)) {
                    found.entry(*broker).or_default().push(at.clone());
                }
            }
        }
        found
    }
}
