//! The replica state machine, and the removal of replicas that went offline from their ISRs.
//!
//! Invariants: a replica that goes Offline is told to stop, leaves the ISR unless it is its last member, and the leader
//! epoch grows by one; the others learn it only after the store acknowledged it. Brokers are handled one after another,
//! as two replicas of one partition may go at once. Source: Kafka's `ReplicaStateMachine`.

use super::context::{ByBroker, Leadership};
use super::flow::Waiting;
use super::machine::Machine;
use super::outbox::Batch;
use super::partition_state::PartitionState;
use super::store::{ReadOp, StoreOp, StoreResult};
use crate::metadata::image::NO_BROKER;
use crate::protocol::ids::TopicPartition;

/// Where a replica is in its life.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ReplicaState {
    /// Assigned, not yet told to serve.
    New,
    /// Serving or about to.
    Online,
    /// Its broker died or leaves, or its directory failed.
    Offline,
    /// Told to delete its log.
    DeletionStarted,
    /// Has deleted its log.
    DeletionSuccessful,
    /// Could not delete its log; retried when its broker returns.
    DeletionIneligible,
    /// Unknown to the machine.
    NonExistent,
}

impl ReplicaState {
    /// The states from which this one may be entered.
    pub fn valid_from(self) -> &'static [ReplicaState] {
        use ReplicaState as S;
        match self {
            S::New => &[S::NonExistent],
            S::Online | S::Offline => &[S::New, S::Online, S::Offline, S::DeletionIneligible],
            S::DeletionStarted => &[S::Offline],
            S::DeletionSuccessful => &[S::DeletionStarted],
            S::DeletionIneligible => &[S::Offline, S::DeletionStarted],
            S::NonExistent => &[S::DeletionSuccessful],
        }
    }
}

/// Replicas going Offline: one batch over all brokers.
#[derive(Debug, Default)]
pub(super) struct Shrinking {
    batch: Batch,
    rest: ByBroker,
}

impl Machine {
    /// Moves replicas to a state; those that may not go there stay.
    pub(super) fn move_replicas(&mut self, replicas: ByBroker, to: ReplicaState) {
        if to == ReplicaState::Offline {
            return self.shrink_next(Box::new(Shrinking { rest: replicas, ..Shrinking::default() }));
        }
        let mut batch = Batch::default();
        for (broker, partitions) in replicas {
            for at in self.valid_replicas(broker, partitions, to) {
                let from = self.replica_state(broker, &at);
                match to {
                    ReplicaState::Online if from != ReplicaState::New => {
                        batch.leader_and_isr(&self.context, [broker], &at, false);
                    }
                    ReplicaState::New => {
                        let leads = self.context.leadership(&at).is_some_and(|l| l.leader == broker);
                        if leads {
                            tracing::error!(partition = %at, broker, "the leader cannot become a new replica");
                            continue;
                        }
                        batch.leader_and_isr(&self.context, [broker], &at, true);
                    }
                    ReplicaState::DeletionStarted => batch.stop_replica(&self.context, broker, &at, true),
                    _ => {}
                }
                self.set_replica_state(broker, &at, to);
            }
        }
        self.flush(batch);
    }

    fn valid_replicas(
        &self,
        broker: i32,
        partitions: Vec<TopicPartition>,
        to: ReplicaState,
    ) -> Vec<TopicPartition> {
        let valid = |at: &TopicPartition| {
            let from = self.replica_state(broker, at);
            let valid = to.valid_from().contains(&from);
            if !valid {
                tracing::error!(partition = %at, broker, ?from, ?to, "invalid replica state change, skipped");
            }
            valid
        };
        partitions.into_iter().filter(valid).collect()
    }

    fn shrink_next(&mut self, mut shrinking: Box<Shrinking>) {
        while let Some((broker, partitions)) = shrinking.rest.pop_first() {
            let valid = self.valid_replicas(broker, partitions, ReplicaState::Offline);
            for at in &valid {
                shrinking.batch.stop_replica(&self.context, broker, at, false);
            }
            let (led, never_led): (Vec<_>, Vec<_>) =
                valid.into_iter().partition(|at| self.context.leadership(at).is_some());
            for at in &never_led {
                shrinking.batch.metadata_to_all(&self.context, [at]);
                self.set_replica_state(broker, at, ReplicaState::Offline);
            }
            let writes = self.shrink(&mut shrinking, broker, led);
            if !writes.is_empty() {
                return self.wait_shrunk(shrinking, broker, writes);
            }
        }
        self.flush(shrinking.batch);
    }

    /// The states to write; replicas outside the ISR are done at once.
    fn shrink(
        &mut self,
        shrinking: &mut Shrinking,
        broker: i32,
        partitions: Vec<TopicPartition>,
    ) -> Vec<(TopicPartition, Leadership)> {
        let mut writes = Vec::new();
        for at in partitions {
            let Some(current) = self.context.leadership(&at).cloned() else { continue };
            if current.isr.contains(&broker) {
                let mut state = current.without(broker);
                state.controller_epoch = self.context.epoch;
                writes.push((at, state));
            } else {
                self.shrunk(shrinking, broker, &at, current);
            }
        }
        writes
    }

    fn wait_shrunk(
        &mut self,
        shrinking: Box<Shrinking>,
        broker: i32,
        writes: Vec<(TopicPartition, Leadership)>,
    ) {
        let update = |(at, state): &(TopicPartition, Leadership)| StoreOp::UpdatePartitionState {
            partition: at.clone(),
            state: state.clone(),
        };
        let ops = writes.iter().map(update).collect();
        self.wait_store(ops, Waiting::Shrunk { shrinking, broker, writes });
    }

    pub(super) fn on_shrunk(
        &mut self,
        mut shrinking: Box<Shrinking>,
        broker: i32,
        writes: Vec<(TopicPartition, Leadership)>,
        results: Vec<StoreResult>,
    ) {
        let mut again = Vec::new();
        for ((at, mut state), result) in writes.into_iter().zip(results) {
            match result {
                StoreResult::Version(version) => {
                    state.partition_epoch = version;
                    self.shrunk(&mut shrinking, broker, &at, state);
                }
                StoreResult::BadVersion => again.push(at),
                other => tracing::error!(partition = %at, broker, result = ?other, "cannot shrink the ISR"),
            }
        }
        if again.is_empty() {
            return self.shrink_next(shrinking);
        }
        let read = vec![ReadOp::PartitionStates(again.clone())];
        self.wait_read(read, Waiting::ShrinkAgain { shrinking, broker, partitions: again });
    }

    pub(super) fn shrink_again(
        &mut self,
        mut shrinking: Box<Shrinking>,
        broker: i32,
        partitions: Vec<TopicPartition>,
        states: Vec<Option<Leadership>>,
    ) {
        let fresh = self.refresh(partitions, states);
        let writes = self.shrink(&mut shrinking, broker, fresh);
        if writes.is_empty() {
            return self.shrink_next(shrinking);
        }
        self.wait_shrunk(shrinking, broker, writes);
    }

    /// The replica is out of the ISR, in the store too: tell the others, unless the topic is going anyway.
    fn shrunk(&mut self, shrinking: &mut Shrinking, broker: i32, at: &TopicPartition, state: Leadership) {
        // As Kafka: an unchanged state too is passed on under this controller's epoch.
        self.context.set_leadership(at, Leadership { controller_epoch: self.context.epoch, ..state });
        if !self.context.is_deleting(&at.topic) {
            let replicas =
                self.context.partition(at).map(|p| p.assignment.replicas.clone()).unwrap_or_default();
            let others = replicas.iter().copied().filter(|id| *id != broker);
            shrinking.batch.leader_and_isr(&self.context, others, at, false);
        }
        self.set_replica_state(broker, at, ReplicaState::Offline);
        // Where nobody was elected before (a reassignment took the leader away): no leader, so not Online.
        if let Some(partition) = self.context.partition_mut(at)
            && partition.state == PartitionState::Online
            && partition.leadership.as_ref().is_some_and(|it| it.leader == NO_BROKER)
        {
            partition.state = PartitionState::Offline;
        }
    }

    pub(super) fn replica_state(&self, broker: i32, at: &TopicPartition) -> ReplicaState {
        self.context.partition(at).map_or(ReplicaState::NonExistent, |p| p.replica_state(broker))
    }

    fn set_replica_state(&mut self, broker: i32, at: &TopicPartition, state: ReplicaState) {
        if let Some(partition) = self.context.partition_mut(at) {
            partition.set_replica_state(broker, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReplicaState as S;

    #[test]
    fn legal_changes_are_kafkas() {
        let all = [
            S::New,
            S::Online,
            S::Offline,
            S::DeletionStarted,
            S::DeletionSuccessful,
            S::DeletionIneligible,
            S::NonExistent,
        ];
        // One row a state that is left, one column a state that is entered.
        let table = [".xx....", ".xx....", ".xxx.x.", "....xx.", "......x", ".xx....", "x......"];
        for (from, row) in all.iter().zip(table) {
            for (to, legal) in all.iter().zip(row.chars()) {
                assert_eq!(to.valid_from().contains(from), legal == 'x', "{from:?} -> {to:?}");
            }
        }
    }
}
