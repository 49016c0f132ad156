//! The partition state machine: New, Online, Offline, NonExistent, and the elections that lead to Online.
//!
//! Invariants: a partition is told to brokers only once its state is acknowledged by the store; a conditional write
//! that loses is read again and decided anew; a failed election leaves the partition where it was.
//! Where Kafka reads each state before electing, this starts from memory: the write is conditional on its version, and
//! only the controller writes states from inter-broker protocol 2.7-IV2 on. Source: Kafka's `PartitionStateMachine`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::{Context, Leadership};
use super::election::{self, Elected};
use super::flow::{Task, Waiting};
use super::machine::Machine;
use super::outbox::Batch;
use super::store::{ReadOp, StoreOp, StoreResult};
use crate::protocol::ids::TopicPartition;

/// Where a partition is in its life.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PartitionState {
    /// Has replicas but never had a leader.
    New,
    /// Has a leader.
    Online,
    /// Its leader died.
    Offline,
    /// Not created yet, or deleted.
    NonExistent,
}

impl PartitionState {
    /// The states from which this one may be entered.
    pub fn valid_from(self) -> &'static [PartitionState] {
        use PartitionState::{New, NonExistent, Offline, Online};
        match self {
            New => &[NonExistent],
            Online | Offline => &[New, Online, Offline],
            NonExistent => &[Offline],
        }
    }
}

/// How leaders are chosen.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// For partitions without a live leader. `unclean`: whatever the topic's configuration says.
    Offline {
        /// An admin client asked for an unclean election.
        unclean: bool,
    },
    /// Back to the first assigned replica.
    Preferred,
    /// Away from the brokers that shut down.
    ControlledShutdown,
}

/// Elections under way: one batch, however often a write has to be retried.
#[derive(Debug)]
pub(super) struct Electing {
    strategy: Strategy,
    batch: Batch,
    /// Offline strategy: whether the topics' configurations allow an unclean election. Asked at most once a topic.
    unclean: BTreeMap<Arc<str>, bool>,
}

/// A state that is being written, and who is to be told.
#[derive(Debug)]
pub(super) struct Candidate {
    at: TopicPartition,
    elected: Elected,
}

impl Machine {
    /// Moves partitions to a state that needs no write; those that may not go there stay.
    pub(super) fn move_partitions(&mut self, partitions: &[TopicPartition], to: PartitionState) {
        for at in partitions {
            match self.context.partition_mut(at) {
                Some(partition) if to.valid_from().contains(&partition.state) => partition.state = to,
                Some(partition) => log_invalid(at, partition.state, to),
                None => {}
            }
        }
    }

    /// Elects for all New and Offline partitions (of one topic) that are not being deleted.
    pub(super) fn trigger_elections(&mut self, topic: Option<&Arc<str>>) {
        let waits = |state| matches!(state, PartitionState::New | PartitionState::Offline);
        let waiting = |(name, found): (&Arc<str>, &super::context::Topic)| {
            let indexes = found.partitions().iter().filter(|p| waits(p.state)).map(|p| p.index);
            indexes.map(|index| TopicPartition::new(name.clone(), index)).collect::<Vec<_>>()
        };
        let context = &self.context;
        let partitions = match topic {
            Some(name) => {
                context.topic(name).filter(|_| !context.is_deleting(name)).map(|t| waiting((name, t)))
            }
            None => Some(
                context
                    .topics()
                    .iter()
                    .filter(|(name, _)| !context.is_deleting(name))
                    .flat_map(waiting)
                    .collect(),
            ),
        };
        self.elect(partitions.unwrap_or_default(), Strategy::Offline { unclean: false });
    }

    /// Moves partitions to Online: first states for the new ones, then elections for the others.
    pub(super) fn elect(&mut self, partitions: Vec<TopicPartition>, strategy: Strategy) {
        self.elected.clear();
        let electing = Box::new(Electing { strategy, batch: Batch::default(), unclean: BTreeMap::new() });
        let (mut new, mut rest) = (Vec::new(), Vec::new());
        for at in partitions {
            match self.context.partition(&at).map(|partition| partition.state) {
                Some(PartitionState::New) => new.push(at),
                Some(PartitionState::Online | PartitionState::Offline) => rest.push(at),
                Some(state) => log_invalid(&at, state, PartitionState::Online),
                None => {}
            }
        }
        let chosen: Vec<(TopicPartition, Leadership)> =
            new.into_iter().filter_map(|at| Some((at.clone(), first_state(&self.context, &at)?))).collect();
        if chosen.is_empty() {
            return self.elect_existing(electing, rest);
        }
        let create = |(at, state): &(TopicPartition, Leadership)| StoreOp::CreatePartitionState {
            partition: at.clone(),
            state: state.clone(),
        };
        let ops = chosen.iter().map(create).collect();
        self.wait_store(ops, Waiting::Created { electing, chosen, rest });
    }

    pub(super) fn on_created(
        &mut self,
        mut electing: Box<Electing>,
        chosen: Vec<(TopicPartition, Leadership)>,
        rest: Vec<TopicPartition>,
        results: Vec<StoreResult>,
    ) {
        let mut existing = Vec::new();
        for ((at, mut state), result) in chosen.into_iter().zip(results) {
            match result {
                StoreResult::Version(version) => {
                    state.partition_epoch = version;
                    let isr = state.isr.clone();
                    self.context.set_leadership(&at, state);
                    self.set_partition_state(&at, PartitionState::Online);
                    electing.batch.leader_and_isr(&self.context, isr.iter().copied(), &at, true);
                }
                StoreResult::NodeExists => existing.push(at),
                other => log_failed(&at, "create its state", &other),
            }
        }
        // The create may have been ours with the answer lost: take over what is there.
        if !existing.is_empty() {
            self.first([Task::AdoptStates(existing)]);
        }
        self.elect_existing(electing, rest);
    }

    /// Takes over states found in the store for partitions thought to be new, then elects where the leader is gone.
    pub(super) fn adopt_states(&mut self, partitions: Vec<TopicPartition>, states: Vec<Option<Leadership>>) {
        let mut batch = Batch::default();
        let mut leaderless = Vec::new();
        for (at, state) in partitions.into_iter().zip(states) {
            let Some(state) = state.filter(|state| self.is_ours(&at, state)) else { continue };
            let leader = state.leader;
            let replicas =
                self.context.partition(&at).map(|p| p.assignment.replicas.clone()).unwrap_or_default();
            self.context.set_leadership(&at, state);
            if self.context.is_online(leader, &at) {
                self.set_partition_state(&at, PartitionState::Online);
                batch.leader_and_isr(&self.context, replicas.iter().copied(), &at, true);
            } else {
                self.set_partition_state(&at, PartitionState::Offline);
                leaderless.push(at);
            }
        }
        self.flush(batch);
        if !leaderless.is_empty() {
            self.first([Task::Elect(leaderless, Strategy::Offline { unclean: false })]);
        }
    }

    fn elect_existing(&mut self, electing: Box<Electing>, partitions: Vec<TopicPartition>) {
        let unknown = self.topics_to_ask(&electing, &partitions);
        if unknown.is_empty() {
            return self.decide(electing, partitions);
        }
        let topics: Vec<Arc<str>> = unknown.into_iter().collect();
        let read = vec![ReadOp::UncleanElection(topics.clone())];
        self.wait_read(read, Waiting::UncleanConfig { electing, partitions, topics });
    }

    /// Topics whose configuration decides, because only replicas out of sync are online.
    fn topics_to_ask(&self, electing: &Electing, partitions: &[TopicPartition]) -> BTreeSet<Arc<str>> {
        if electing.strategy != (Strategy::Offline { unclean: false }) {
            return BTreeSet::new();
        }
        let asks = |at: &&TopicPartition| {
            let Some(partition) = self.context.partition(at) else { return false };
            let Some(leadership) = &partition.leadership else { return false };
            let online = |id: &i32| self.context.is_online(*id, at);
            !leadership.isr.iter().any(online) && partition.assignment.replicas.iter().any(online)
        };
        let unknown = partitions.iter().filter(|at| !electing.unclean.contains_key(&at.topic));
        unknown.filter(asks).map(|at| at.topic.clone()).collect()
    }

    pub(super) fn on_unclean_config(
        &mut self,
        mut electing: Box<Electing>,
        partitions: Vec<TopicPartition>,
        topics: Vec<Arc<str>>,
        allowed: Vec<bool>,
    ) {
        electing.unclean.extend(topics.into_iter().zip(allowed));
        self.decide(electing, partitions);
    }

    fn decide(&mut self, electing: Box<Electing>, partitions: Vec<TopicPartition>) {
        let mut candidates = Vec::new();
        for at in partitions {
            match self.run_election(&electing, &at) {
                Some(elected) => candidates.push(Candidate { at, elected }),
                None => tracing::info!(partition = %at, strategy = ?electing.strategy, "no eligible leader"),
            }
        }
        if candidates.is_empty() {
            return self.flush(electing.batch);
        }
        let epoch = self.context.epoch;
        let update = |candidate: &mut Candidate| {
            candidate.elected.leadership.controller_epoch = epoch;
            let (partition, state) = (candidate.at.clone(), candidate.elected.leadership.clone());
            StoreOp::UpdatePartitionState { partition, state }
        };
        let ops = candidates.iter_mut().map(update).collect();
        self.wait_store(ops, Waiting::Elected { electing, candidates });
    }

    fn run_election(&self, electing: &Electing, at: &TopicPartition) -> Option<Elected> {
        let partition = self.context.partition(at)?;
        let (assignment, current) = (&partition.assignment, partition.leadership.as_ref()?);
        let online = |id| self.context.is_online(id, at);
        match electing.strategy {
            Strategy::Offline { unclean } => {
                let unclean = unclean || electing.unclean.get(&at.topic).is_some_and(|allowed| *allowed);
                election::offline(assignment, current, online, unclean, self.config.leader_recovery)
            }
            Strategy::Preferred => election::preferred(assignment, current, online),
            Strategy::ControlledShutdown => {
                let online_or_leaving = |id| self.context.is_online_or_leaving(id, at);
                let leaving = |id| self.context.shutting_down.contains(&id);
                election::controlled_shutdown(assignment, current, online_or_leaving, leaving)
            }
        }
    }

    pub(super) fn on_elected(
        &mut self,
        mut electing: Box<Electing>,
        candidates: Vec<Candidate>,
        results: Vec<StoreResult>,
    ) {
        let mut again = Vec::new();
        for (Candidate { at, elected }, result) in candidates.into_iter().zip(results) {
            match result {
                StoreResult::Version(version) => {
                    let mut leadership = elected.leadership;
                    leadership.partition_epoch = version;
                    self.context.set_leadership(&at, leadership);
                    self.set_partition_state(&at, PartitionState::Online);
                    self.unclean_elections += u64::from(elected.unclean);
                    electing.batch.leader_and_isr(&self.context, elected.recipients, &at, false);
                    self.elected.push(at);
                }
                StoreResult::BadVersion => again.push(at),
                other => log_failed(&at, "elect a leader", &other),
            }
        }
        if again.is_empty() {
            return self.flush(electing.batch);
        }
        let read = vec![ReadOp::PartitionStates(again.clone())];
        self.wait_read(read, Waiting::ElectAgain { electing, partitions: again });
    }

    pub(super) fn elect_again(
        &mut self,
        electing: Box<Electing>,
        partitions: Vec<TopicPartition>,
        states: Vec<Option<Leadership>>,
    ) {
        let fresh = self.refresh(partitions, states);
        self.elect_existing(electing, fresh);
    }

    /// Remembers states read anew; lists the partitions that have one this controller may overwrite.
    pub(super) fn refresh(
        &mut self,
        partitions: Vec<TopicPartition>,
        states: Vec<Option<Leadership>>,
    ) -> Vec<TopicPartition> {
        let mut fresh = Vec::new();
        for (at, state) in partitions.into_iter().zip(states) {
            if let Some(state) = state.filter(|state| self.is_ours(&at, state)) {
                self.context.set_leadership(&at, state);
                fresh.push(at);
            }
        }
        fresh
    }

    fn is_ours(&self, at: &TopicPartition, state: &Leadership) -> bool {
        let ours = state.controller_epoch <= self.context.epoch;
        if !ours {
            tracing::error!(partition = %at, epoch = state.controller_epoch, "state written by a later controller");
        }
        ours
    }

    fn set_partition_state(&mut self, at: &TopicPartition, state: PartitionState) {
        if let Some(partition) = self.context.partition_mut(at) {
            partition.state = state;
        }
    }
}

/// First live replica leads, all live replicas are in sync; `None` without any.
fn first_state(context: &Context, at: &TopicPartition) -> Option<Leadership> {
    let replicas = &context.partition(at)?.assignment.replicas;
    let live: Arc<[i32]> = if replicas.iter().all(|id| context.is_online(*id, at)) {
        replicas.clone()
    } else {
        replicas.iter().copied().filter(|id| context.is_online(*id, at)).collect()
    };
    match live.first() {
        Some(leader) => Some(Leadership::first(*leader, live.clone(), context.epoch)),
        None => {
            tracing::warn!(partition = %at, ?replicas, "stays new: none of its replicas is alive");
            None
        }
    }
}

fn log_invalid(at: &TopicPartition, from: PartitionState, to: PartitionState) {
    tracing::error!(partition = %at, ?from, ?to, "invalid partition state change, skipped");
}

fn log_failed(at: &TopicPartition, what: &str, result: &StoreResult) {
    tracing::error!(partition = %at, ?result, "cannot {what}");
}

#[cfg(test)]
mod tests {
    use super::PartitionState as S;

    #[test]
    fn legal_changes_are_kafkas() {
        let all = [S::New, S::Online, S::Offline, S::NonExistent];
        // One row a state that is left, one column a state that is entered.
        for (from, row) in all.iter().zip([".xx.", ".xx.", ".xxx", "x..."]) {
            for (to, legal) in all.iter().zip(row.chars()) {
                assert_eq!(to.valid_from().contains(from), legal == 'x', "{from:?} -> {to:?}");
            }
        }
    }
}
