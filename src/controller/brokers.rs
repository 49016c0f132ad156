//! Brokers come, go, come back under a new epoch, change their addresses, and lose directories.
//!
//! Invariants: a bounced broker (same id, larger czxid) is a failure followed by a start; a joining broker hears all
//! partitions before any LeaderAndIsr. Source: Kafka's `KafkaController.processBrokerChange` and its neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::{Broker, ByBroker};
use super::event::{Channel, TopicRef};
use super::flow::Task;
use super::machine::Machine;
use super::outbox::Batch;
use super::partition_state::PartitionState;
use super::replica_state::ReplicaState;
use super::store::Notifications;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

impl Machine {
    pub(super) fn on_brokers(&mut self, current: Vec<Broker>) {
        let mut current: BTreeMap<i32, Broker> = current.into_iter().map(|b| (b.image.id, b)).collect();
        let known = &self.context.brokers;
        let dead: BTreeSet<i32> = known.keys().copied().filter(|id| !current.contains_key(id)).collect();
        current.retain(|id, broker| known.get(id).is_none_or(|old| old.epoch < broker.epoch));
        let (bounced, new): (Vec<Broker>, Vec<Broker>) =
            current.into_values().partition(|broker| known.contains_key(&broker.image.id));
        let bounced_ids: BTreeSet<i32> = bounced.iter().map(|broker| broker.image.id).collect();

        let channels = &mut self.out.channels;
        channels.extend(new.iter().cloned().map(Channel::Open));
        channels.extend(bounced_ids.iter().map(|id| Channel::Close(*id)));
        channels.extend(bounced.iter().cloned().map(Channel::Open));
        channels.extend(dead.iter().map(|id| Channel::Close(*id)));
        self.first([
            Task::BrokersUp(new),
            Task::BrokersDown(bounced_ids),
            Task::BrokersUp(bounced),
            Task::BrokersDown(dead),
        ]);
    }

    pub(super) fn brokers_up(&mut self, brokers: Vec<Broker>) {
        if brokers.is_empty() {
            return;
        }
        let ids: BTreeSet<i32> = brokers.iter().map(|broker| broker.image.id).collect();
        for broker in brokers {
            self.context.forget_offline_dirs(broker.image.id);
            self.context.brokers.insert(broker.image.id, broker);
        }
        let existing: Vec<i32> =
            self.context.brokers.keys().copied().filter(|id| !ids.contains(id)).collect();
        let mut batch = Batch::default();
        batch.metadata_to(&self.context, &existing, []);
        self.flush(batch);

        let led = self.context.partitions().filter(|(at, _)| !self.context.is_deleting(&at.topic));
        let led: Vec<TopicPartition> = led.map(|(at, _)| at).collect();
        let joining: Vec<i32> = ids.iter().copied().collect();
        let mut batch = Batch::default();
        batch.metadata_to(&self.context, &joining, &led);
        self.flush(batch);

        let replicas = self.context.replicas_on(&ids);
        let topics = replicas.values().flatten().map(|at| at.topic.clone());
        let deleting: BTreeSet<Arc<str>> = topics.filter(|topic| self.context.is_deleting(topic)).collect();
        self.first([
            Task::MoveReplicas(replicas, ReplicaState::Online),
            Task::TriggerElections(None),
            Task::ResumeReassignments(Some(ids)),
            Task::ResumeDeletionsOf(deleting),
        ]);
    }

    pub(super) fn brokers_down(&mut self, ids: BTreeSet<i32>) {
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            self.context.brokers.remove(id);
            self.context.forget_offline_dirs(*id);
            self.context.shutting_down.remove(id);
        }
        let replicas = self.context.replicas_on(&ids);
        self.replicas_offline(replicas);
    }

    /// Leaders among them are replaced first, then all leave their ISRs.
    pub(super) fn replicas_offline(&mut self, replicas: ByBroker) {
        let (mut serving, mut deleting) = (ByBroker::new(), ByBroker::new());
        for (broker, partitions) in replicas {
            let (going, staying): (Vec<_>, Vec<_>) =
                partitions.into_iter().partition(|at| self.context.is_deleting(&at.topic));
            for (side, partitions) in [(&mut deleting, going), (&mut serving, staying)] {
                if !partitions.is_empty() {
                    side.insert(broker, partitions);
                }
            }
        }
        let leaderless = self.partitions_with_offline_leader();
        self.move_partitions(&leaderless, PartitionState::Offline);
        let announce = serving.is_empty();
        let mut tasks =
            vec![Task::TriggerElections(None), Task::MoveReplicas(serving, ReplicaState::Offline)];
        if !deleting.is_empty() {
            tasks.push(Task::FailDeletion(deleting));
        }
        if announce {
            tasks.push(Task::AnnounceUnlessElected);
        }
        self.first(tasks);
    }

    fn partitions_with_offline_leader(&self) -> Vec<TopicPartition> {
        let context = &self.context;
        let leaderless = context.partitions().filter(|(at, partition)| {
            let Some(leadership) = &partition.leadership else { return false };
            !context.is_deleting(&at.topic) && !context.is_online(leadership.leader, at)
        });
        leaderless.map(|(at, _)| at).collect()
    }

    pub(super) fn announce_unless_elected(&mut self) {
        if self.elected.is_empty() {
            self.tell_all(&[]);
        }
    }

    pub(super) fn on_broker(&mut self, id: i32, broker: Option<Broker>) {
        let (Some(known), Some(broker)) = (self.context.brokers.get_mut(&id), broker) else { return };
        if known.image.endpoints != broker.image.endpoints {
            // The epoch is a matter of the children's change, which treats a bounce.
            known.image = broker.image;
            self.tell_all(&[]);
        }
    }

    pub(super) fn on_log_dirs(&mut self, events: Vec<(String, Option<i32>)>) {
        let brokers: BTreeSet<i32> = events.iter().filter_map(|(_, broker)| *broker).collect();
        let names = events.into_iter().map(|(name, _)| name).collect();
        // LeaderAndIsr sent once more makes the broker answer which replicas it lost.
        let replicas = self.context.replicas_on(&brokers);
        self.first([
            Task::MoveReplicas(replicas, ReplicaState::Online),
            Task::DeleteNotifications(Notifications::LogDirs, names),
        ]);
    }

    pub(super) fn on_leader_and_isr_reply(
        &mut self,
        broker: i32,
        error: ErrorCode,
        partitions: Vec<(TopicRef, i32, ErrorCode)>,
    ) {
        if !error.is_none() {
            tracing::error!(broker, %error, "LeaderAndIsr was refused");
            return;
        }
        let mut failed = Vec::new();
        let any_marked = self.context.has_offline_dirs(broker);
        for (topic, index, error) in partitions {
            let relevant = error == ErrorCode::KafkaStorageError || (error.is_none() && any_marked);
            if !relevant {
                continue;
            }
            let Some(name) = self.name_of(&topic) else { continue };
            let at = TopicPartition::new(name, index);
            if error.is_none() {
                self.context.clear_offline_dir(broker, &at);
            } else if self.context.partition(&at).is_some() {
                failed.push(at);
            }
        }
        let newly = self.context.mark_offline_dirs(broker, failed);
        if !newly.is_empty() {
            tracing::warn!(broker, replicas = newly.len(), "replicas are in failed directories");
            self.first([Task::ReplicasOffline(ByBroker::from([(broker, newly)]))]);
        }
    }

    pub(super) fn name_of(&self, topic: &TopicRef) -> Option<Arc<str>> {
        match topic {
            TopicRef::Name(name) => Some(name.clone()),
            TopicRef::Id(id) => self.context.topic_name(*id).cloned(),
        }
    }
}
