//! What a flow is made of: tasks still to do, and what the round under way is for.
//!
//! Invariants: every task and every round appears here once, with the function that does it; a flow's state is in its
//! tasks and its round, nowhere else. Knows nothing of how things are done.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::{Broker, ByBroker, Leadership};
use super::event::{
    AlteredTopic, Change, ElectionResults, ProducerIdBlock, ReassignmentResults, Reply, Request, Ticket,
};
use super::machine::Machine;
use super::partition_state::{Candidate, Electing, Strategy};
use super::reassignment::{self, Advancing, Starting, Step};
use super::replica_state::{ReplicaState, Shrinking};
use super::store::{Loaded, Notifications, ReadOp, StoreResult, TopicRecord};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

/// One thing to do, when its turn comes.
#[derive(Debug)]
pub(super) enum Task {
    /// Fail-over: delete old notifications.
    ClearNotifications,
    /// Fail-over: read brokers, topics and deletions.
    LoadCluster,
    /// Fail-over: read all partition states.
    LoadStates,
    /// Fail-over: everything is loaded; start the state machines.
    StartUp(Vec<Arc<str>>),
    /// Set the first replica states and tell every broker what it has.
    StartReplicas,
    /// Set the first partition states.
    StartPartitions,
    /// Start the clock of preferred elections.
    ScheduleRebalance(i64),
    /// Registered brokers joined.
    BrokersUp(Vec<Broker>),
    /// Registrations vanished.
    BrokersDown(BTreeSet<i32>),
    /// Replicas cannot serve any more.
    ReplicasOffline(ByBroker),
    /// Tell everyone the live brokers if the change brought nothing else to tell.
    AnnounceUnlessElected,
    /// New partitions to their first leaders.
    CreatePartitions(Vec<TopicPartition>),
    /// Elect for what is New or Offline.
    TriggerElections(Option<Arc<str>>),
    /// Elect for these.
    Elect(Vec<TopicPartition>, Strategy),
    /// Take over states that exist already.
    AdoptStates(Vec<TopicPartition>),
    /// Read states into memory.
    RefreshStates(Vec<TopicPartition>),
    /// Tell everyone these partitions.
    TellAll(Vec<TopicPartition>),
    /// Move replicas.
    MoveReplicas(ByBroker, ReplicaState),
    /// See what deletions can go on.
    ResumeDeletions,
    /// Resume deletions of these topics, halted or not.
    ResumeDeletionsOf(BTreeSet<Arc<str>>),
    /// Start, or start again, to delete these topics.
    BeginDeletion(Vec<Arc<str>>),
    /// Replicas failed to be deleted.
    FailDeletion(ByBroker),
    /// Replicas are deleted.
    CompleteDeletion(ByBroker),
    /// Delete notifications that were read.
    DeleteNotifications(Notifications, Vec<String>),
    /// Answer a controlled shutdown.
    AnswerShutdown(Ticket, i32),
    /// Stop the followers of a leaving broker.
    StopFollowers(i32, Vec<TopicPartition>),
    /// Answer elections: those tried, and those decided before.
    AnswerElections(Ticket, Vec<(TopicPartition, ErrorCode)>, ElectionResults),
    /// See what old tools want moved.
    LookAtReassignmentWishes,
    /// See what old tools want elected.
    LookAtElectionWishes,
    /// These elections were tried for an old tool.
    ForgetElectionWishes(Vec<TopicPartition>),
    /// Go on with all moves, or with those to these brokers.
    ResumeReassignments(Option<BTreeSet<i32>>),
    /// Go on with these moves.
    AdvanceReassignments(Vec<TopicPartition>),
    /// Finish those of these moves that can be.
    CompleteReassignments(Vec<TopicPartition>),
    /// Store that partitions are at their targets.
    FinishReassignments { moved: Vec<TopicPartition>, reordered: Vec<TopicPartition> },
    /// Answer who wanted moves.
    AnswerReassignments(Ticket, ReassignmentResults),
}

/// What the round under way is for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Writes whose results change nothing here.
    Done,
    Feature,
    Cluster,
    /// Topics read at fail-over; with the deletions to start.
    AllTopics(Vec<Arc<str>>),
    /// Ids given at fail-over or to new topics.
    TopicIds {
        lacking: Vec<Arc<str>>,
        records: Vec<TopicRecord>,
        then: AfterTopics,
    },
    AllStates(Vec<TopicPartition>),
    Brokers,
    Broker(i32),
    TopicNames,
    NewTopics,
    ChangedTopics,
    Deletions,
    DeletedTopics(Vec<Arc<str>>),
    LogDirs,
    IsrChanges,
    Created {
        electing: Box<Electing>,
        chosen: Vec<(TopicPartition, Leadership)>,
        rest: Vec<TopicPartition>,
    },
    Adopt(Vec<TopicPartition>),
    UncleanConfig {
        electing: Box<Electing>,
        partitions: Vec<TopicPartition>,
        topics: Vec<Arc<str>>,
    },
    Elected {
        electing: Box<Electing>,
        candidates: Vec<Candidate>,
    },
    ElectAgain {
        electing: Box<Electing>,
        partitions: Vec<TopicPartition>,
    },
    Shrunk {
        shrinking: Box<Shrinking>,
        broker: i32,
        writes: Vec<(TopicPartition, Leadership)>,
    },
    ShrinkAgain {
        shrinking: Box<Shrinking>,
        broker: i32,
        partitions: Vec<TopicPartition>,
    },
    Refresh(Vec<TopicPartition>),
    Altered {
        ticket: Ticket,
        named: Vec<TopicPartition>,
        topics: Vec<AlteredTopic>,
        writes: Vec<(usize, usize, TopicPartition, Leadership)>,
    },
    ProducerIds {
        ticket: Ticket,
        broker: i32,
    },
    ProducerIdsSet {
        ticket: Ticket,
        block: ProducerIdBlock,
    },
    ReassignmentWishes,
    ElectionWishes,
    Started(Box<Starting>),
    Stepped {
        advancing: Box<Advancing>,
        steps: Vec<Step>,
    },
    StepAgain {
        advancing: Box<Advancing>,
        partitions: Vec<TopicPartition>,
    },
    Finished(Vec<Arc<str>>),
}

/// What follows once topics have their ids.
#[derive(Debug)]
pub(super) enum AfterTopics {
    /// Fail-over goes on, with these deletions to start.
    FailOver(Vec<Arc<str>>),
    /// Their partitions are created.
    Create,
}

impl Machine {
    pub(super) fn perform(&mut self, task: Task) {
        match task {
            Task::ClearNotifications => self.clear_notifications(),
            Task::LoadCluster => {
                self.wait_read(vec![ReadOp::Brokers, ReadOp::Topics, ReadOp::Deletions], Waiting::Cluster);
            }
            Task::LoadStates => self.load_states(),
            Task::StartUp(deletions) => self.start_up(deletions),
            Task::StartReplicas => self.start_replicas(),
            Task::StartPartitions => self.start_partitions(),
            Task::ScheduleRebalance(delay_ms) => self.schedule_rebalance(delay_ms),
            Task::BrokersUp(brokers) => self.brokers_up(brokers),
            Task::BrokersDown(ids) => self.brokers_down(ids),
            Task::ReplicasOffline(replicas) => self.replicas_offline(replicas),
            Task::AnnounceUnlessElected => self.announce_unless_elected(),
            Task::CreatePartitions(partitions) => self.create_partitions(partitions),
            Task::TriggerElections(topic) => self.trigger_elections(topic.as_ref()),
            Task::Elect(partitions, strategy) => self.elect(partitions, strategy),
            Task::AdoptStates(at) => {
                self.wait_read(vec![ReadOp::PartitionStates(at.clone())], Waiting::Adopt(at));
            }
            Task::RefreshStates(at) => {
                self.wait_read(vec![ReadOp::PartitionStates(at.clone())], Waiting::Refresh(at));
            }
            Task::TellAll(partitions) => self.tell_all(&partitions),
            Task::MoveReplicas(replicas, to) => self.move_replicas(replicas, to),
            Task::ResumeDeletions => self.resume_deletions(),
            Task::ResumeDeletionsOf(topics) => self.resume_deletions_of(&topics),
            Task::BeginDeletion(topics) => self.begin_deletion(&topics),
            Task::FailDeletion(replicas) => self.fail_deletion(replicas),
            Task::CompleteDeletion(replicas) => self.complete_deletion(replicas),
            Task::DeleteNotifications(kind, names) => self.delete_notifications(kind, names),
            Task::AnswerShutdown(ticket, broker) => self.answer_shutdown(ticket, broker),
            Task::StopFollowers(broker, partitions) => self.stop_followers(broker, &partitions),
            Task::AnswerElections(ticket, tried, decided) => self.answer_elections(ticket, tried, decided),
            Task::LookAtReassignmentWishes => self.begin_change(Change::ReassignmentWishes),
            Task::LookAtElectionWishes => self.begin_change(Change::ElectionWishes),
            Task::ForgetElectionWishes(tried) => self.forget_election_wishes(&tried),
            Task::ResumeReassignments(brokers) => self.resume_reassignments(brokers.as_ref()),
            Task::AdvanceReassignments(partitions) => self.advance_reassignments(partitions),
            Task::CompleteReassignments(partitions) => self.complete_reassignments(&partitions),
            Task::FinishReassignments { moved, reordered } => self.finish_reassignments(moved, reordered),
            Task::AnswerReassignments(ticket, answers) => self.answer_reassignments(ticket, answers),
        }
    }

    pub(super) fn begin_change(&mut self, change: Change) {
        match change {
            Change::Brokers => self.wait_read(vec![ReadOp::Brokers], Waiting::Brokers),
            Change::Broker(id) => self.wait_read(vec![ReadOp::Broker(id)], Waiting::Broker(id)),
            Change::Topics => self.wait_read(vec![ReadOp::Topics], Waiting::TopicNames),
            Change::Topic(topic) => {
                let mut topics = vec![topic];
                topics.extend(self.take_topic_changes());
                self.wait_read(vec![ReadOp::TopicRecords(topics)], Waiting::ChangedTopics);
            }
            Change::Deletions => self.wait_read(vec![ReadOp::Deletions], Waiting::Deletions),
            Change::LogDirs => self.wait_read(vec![ReadOp::LogDirs], Waiting::LogDirs),
            Change::IsrChanges => self.wait_read(vec![ReadOp::IsrChanges], Waiting::IsrChanges),
            Change::ReassignmentWishes => {
                self.wait_read(vec![ReadOp::ReassignmentWishes], Waiting::ReassignmentWishes);
            }
            Change::ElectionWishes => self.wait_read(vec![ReadOp::ElectionWishes], Waiting::ElectionWishes),
            Change::UncleanByDefault => self.trigger_elections(None),
            Change::UncleanOf(topic) => self.trigger_elections(Some(&topic)),
        }
    }

    pub(super) fn begin_request(&mut self, ticket: Ticket, request: Request) {
        match request {
            Request::AlterPartition(request) => self.alter_partition(ticket, request),
            Request::ControlledShutdown { broker, broker_epoch } => {
                self.controlled_shutdown(ticket, broker, broker_epoch);
            }
            Request::AllocateProducerIds { broker, broker_epoch } => {
                self.allocate_producer_ids(ticket, broker, broker_epoch);
            }
            Request::ElectLeaders { unclean, partitions } => self.elect_leaders(ticket, unclean, partitions),
            Request::AlterReassignments(wanted) => self.alter_reassignments(ticket, wanted),
            Request::ListReassignments { partitions } => self.list_reassignments(ticket, partitions),
        }
    }

    pub(super) fn begin_reply(&mut self, broker: i32, reply: Reply) {
        match reply {
            Reply::LeaderAndIsr { error, partitions } => {
                self.on_leader_and_isr_reply(broker, error, partitions)
            }
            Reply::StopReplica { request, error, partitions } => {
                self.on_stop_replica_reply(broker, &request, error, partitions);
            }
        }
    }

    pub(super) fn stored(&mut self, waiting: Waiting, results: Vec<StoreResult>) {
        match waiting {
            Waiting::TopicIds { lacking, records, then } => {
                self.on_topic_ids(lacking, records, then, results)
            }
            Waiting::DeletedTopics(topics) => self.on_topics_deleted(topics, results),
            Waiting::Created { electing, chosen, rest } => self.on_created(electing, chosen, rest, results),
            Waiting::Elected { electing, candidates } => self.on_elected(electing, candidates, results),
            Waiting::Shrunk { shrinking, broker, writes } => {
                self.on_shrunk(shrinking, broker, writes, results)
            }
            Waiting::Altered { ticket, named, topics, writes } => {
                self.on_altered(ticket, named, topics, writes, results);
            }
            Waiting::ProducerIdsSet { ticket, block } => self.on_producer_ids_set(ticket, block, results),
            Waiting::Started(starting) => self.on_started(*starting, results),
            Waiting::Stepped { advancing, steps } => self.on_stepped(advancing, steps, results),
            Waiting::Finished(topics) => reassignment::log_unfinished(&topics, results),
            _ => {}
        }
    }

    /// Whether the data was what the round had asked for.
    pub(super) fn loaded(&mut self, waiting: Waiting, mut data: Vec<Loaded>) -> bool {
        if let Waiting::Cluster = waiting {
            return self.on_cluster(data);
        }
        let (Some(loaded), true) = (data.pop(), data.is_empty()) else { return false };
        if !is_complete(&waiting, &loaded) {
            return false;
        }
        match (waiting, loaded) {
            (Waiting::Feature, Loaded::Feature(feature)) => self.on_feature(feature),
            // Whoever wrote it may still read it: it is left as it is, and the fail-over goes on.
            (Waiting::Feature, Loaded::Unreadable) => {}
            (Waiting::AllTopics(deletions), Loaded::Topics(records)) => {
                self.ensure_topic_ids(records, AfterTopics::FailOver(deletions));
            }
            (Waiting::AllStates(partitions), Loaded::States(states)) => {
                self.on_all_states(partitions, states)
            }
            (Waiting::Brokers, Loaded::Brokers(brokers)) => self.on_brokers(brokers),
            (Waiting::Broker(id), Loaded::Broker(broker)) => self.on_broker(id, broker),
            (Waiting::TopicNames, Loaded::Names(names)) => self.on_topic_names(names),
            (Waiting::NewTopics, Loaded::Topics(records)) => {
                self.ensure_topic_ids(records, AfterTopics::Create)
            }
            (Waiting::ChangedTopics, Loaded::Topics(records)) => self.on_changed_topics(records),
            (Waiting::Deletions, Loaded::Names(names)) => self.on_deletions(names),
            (Waiting::LogDirs, Loaded::LogDirs(events)) => self.on_log_dirs(events),
            (Waiting::IsrChanges, Loaded::IsrChanges(events)) => self.on_isr_changes(events),
            (Waiting::Adopt(partitions), Loaded::States(states)) => self.adopt_states(partitions, states),
            (Waiting::UncleanConfig { electing, partitions, topics }, Loaded::Unclean(allowed)) => {
                self.on_unclean_config(electing, partitions, topics, allowed);
            }
            (Waiting::ElectAgain { electing, partitions }, Loaded::States(states)) => {
                self.elect_again(electing, partitions, states);
            }
            (Waiting::ShrinkAgain { shrinking, broker, partitions }, Loaded::States(states)) => {
                self.shrink_again(shrinking, broker, partitions, states);
            }
            (Waiting::Refresh(partitions), Loaded::States(states)) => {
                self.refresh(partitions, states);
            }
            (Waiting::ProducerIds { ticket, broker }, Loaded::ProducerIds(block, version)) => {
                self.on_producer_ids(ticket, broker, block, version);
            }
            (Waiting::ProducerIds { ticket, .. }, Loaded::Unreadable) => {
                self.answer_producer_ids(ticket, Err(ErrorCode::UnknownServerError));
            }
            (Waiting::ReassignmentWishes, Loaded::ReassignmentWishes(wishes)) => {
                self.on_reassignment_wishes(wishes);
            }
            (Waiting::ReassignmentWishes, Loaded::Unreadable) => {}
            (Waiting::ElectionWishes, Loaded::ElectionWishes(wishes)) => self.on_election_wishes(wishes),
            (Waiting::ElectionWishes, Loaded::Unreadable) => self.forget_election_wishes(&[]),
            (Waiting::StepAgain { advancing, partitions }, Loaded::States(states)) => {
                self.step_again(advancing, partitions, states);
            }
            _ => return false,
        }
        true
    }
}

/// Whether a list of answers has one for each thing asked.
fn is_complete(waiting: &Waiting, loaded: &Loaded) -> bool {
    match (waiting, loaded) {
        (Waiting::UncleanConfig { topics, .. }, Loaded::Unclean(allowed)) => topics.len() == allowed.len(),
        (
            Waiting::AllStates(partitions)
            | Waiting::Adopt(partitions)
            | Waiting::Refresh(partitions)
            | Waiting::ElectAgain { partitions, .. }
            | Waiting::ShrinkAgain { partitions, .. }
            | Waiting::StepAgain { partitions, .. },
            Loaded::States(states),
        ) => partitions.len() == states.len(),
        _ => true,
    }
}
