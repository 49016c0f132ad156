//! Controlled shutdown: a broker that leaves gives its leaderships and its places in ISRs away first.
//!
//! Invariants: from the request on the broker counts as not live for elections, ISRs and new replicas, until its
//! registration goes; partitions with one replica stay as they are. Source: Kafka's `KafkaController.doControlledShutdown`.

use super::context::ByBroker;
use super::event::{Answer, Ticket};
use super::flow::Task;
use super::machine::Machine;
use super::outbox::Batch;
use super::partition_state::Strategy;
use super::replica_state::ReplicaState;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

/// The broker does not know its epoch; it is not checked.
const UNKNOWN_BROKER_EPOCH: i64 = -1;

impl Machine {
    pub(super) fn controlled_shutdown(&mut self, ticket: Ticket, broker: i32, broker_epoch: i64) {
        let refusal = match self.context.brokers.get(&broker) {
            None => Some(ErrorCode::BrokerNotAvailable),
            Some(known) if broker_epoch != UNKNOWN_BROKER_EPOCH && broker_epoch < known.epoch => {
                Some(ErrorCode::StaleBrokerEpoch)
            }
            Some(_) => None,
        };
        if let Some(code) = refusal {
            self.out.replies.push((ticket, Answer::ControlledShutdown(Err(code))));
            return;
        }
        self.context.shutting_down.insert(broker);
        let (mut led, mut followed) = (Vec::new(), Vec::new());
        for (at, partition) in self.context.partitions() {
            let replicas = &partition.assignment.replicas;
            let Some(leadership) = &partition.leadership else { continue };
            if replicas.len() < 2 || !replicas.contains(&broker) || self.context.is_deleting(&at.topic) {
                continue;
            }
            let side = if leadership.leader == broker { &mut led } else { &mut followed };
            side.push(at);
        }
        let offline = ByBroker::from([(broker, followed.clone())]);
        self.first([
            Task::Elect(led, Strategy::ControlledShutdown),
            Task::StopFollowers(broker, followed),
            Task::MoveReplicas(offline, ReplicaState::Offline),
            Task::AnswerShutdown(ticket, broker),
        ]);
    }

    pub(super) fn stop_followers(&mut self, broker: i32, partitions: &[TopicPartition]) {
        let mut batch = Batch::default();
        for at in partitions {
            batch.stop_replica(&self.context, broker, at, false);
        }
        self.flush(batch);
    }

    /// The broker asks again until nothing remains.
    pub(super) fn answer_shutdown(&mut self, ticket: Ticket, broker: i32) {
        let context = &self.context;
        let remaining = context.partitions().filter(|(at, partition)| {
            let leads = partition.leadership.as_ref().is_some_and(|it| it.leader == broker);
            leads && partition.assignment.replicas.len() > 1 && !context.is_deleting(&at.topic)
        });
        let remaining = remaining.map(|(at, _)| at).collect();
        self.out.replies.push((ticket, Answer::ControlledShutdown(Ok(remaining))));
        self.serving = None;
    }
}
