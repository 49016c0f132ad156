//! Reassignment: a partition's replicas move to other brokers while it is served (KIP-455).
//!
//! Phase U stores the new assignment, target first, with what is added and removed, and stops replicas that an earlier
//! target had and this one has not. Phase A, while a target replica is not in sync, starts a term in which the old
//! replicas and the new ones know each other. Phase B, once all are in sync, makes one of the targets the leader, stops
//! and deletes what is removed, and last stores the target alone: only until then does the topic's node say what must
//! still be done, so a controller that fails over does it again.
//!
//! Invariants: nothing is told before it is stored; the node of a topic that is not on the move names no added or removed
//! replica; a partition whose leader is taken away has another one first, if any can lead. Partitions go through the
//! phases together, a topic's node is written once for all of its partitions.
//!
//! Unlike Kafka: a wish (cancels included) that leaves no replica in sync is refused as KRaft does, for it would delete
//! the only copies of acknowledged records; a partition whose state is unknown is refused before anything is written;
//! a wish for what is so already starts no new term. Source: Kafka's `KafkaController.onPartitionReassignment`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::{Assignment, ByBroker, Context, Leadership, Partition};
use super::election;
use super::event::{Answer, ReassignmentResults, Refused, Ticket};
use super::flow::{Task, Waiting};
use super::machine::Machine;
use super::outbox::Batch;
use super::partition_state::{PartitionState, Strategy};
use super::replica_state::ReplicaState;
use super::store::{ReadOp, StoreOp, StoreResult};
use crate::metadata::image::NO_BROKER;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

/// Phase U under way.
#[derive(Debug)]
pub(super) struct Starting {
    /// Who asked, if a client did.
    ticket: Option<Ticket>,
    /// Decided already.
    answers: ReassignmentResults,
    moves: Vec<(TopicPartition, Assignment)>,
    /// Whether the first write is that of the wishes that are left.
    with_wishes: bool,
    /// The topics written, in order.
    topics: Vec<Arc<str>>,
}

/// Phases A and B under way: one batch, however often a write has to be retried.
#[derive(Debug, Default)]
pub(super) struct Advancing {
    batch: Batch,
    /// Replicas that phase B removes.
    leaving: ByBroker,
    /// Partitions at their target, whose topic's node does not say so yet.
    moved: Vec<TopicPartition>,
    /// Partitions at their target that never had replicas to add or remove.
    reordered: Vec<TopicPartition>,
}

/// A term that begins phase A or ends phase B.
#[derive(Debug)]
pub(super) struct Step {
    at: TopicPartition,
    leadership: Leadership,
    completes: bool,
}

/// The assignment that fulfils a wish; `None` wishes the running move cancelled. In Kafka's order of refusals.
pub(super) fn plan(
    context: &Context,
    at: &TopicPartition,
    target: Option<&[i32]>,
    must_live: bool,
) -> Result<Assignment, Refused> {
    let refused = |code, message: String| Refused { code, message: Some(message) };
    let known = context.partition(at);
    let current = known.map(|partition| partition.assignment.clone()).unwrap_or_default();
    if let Some(target) = target {
        check_replicas(context, &current, target, must_live)
            .map_err(|message| refused(ErrorCode::InvalidReplicaAssignment, message))?;
    } else if !current.is_reassigning() {
        return Err(Refused { code: ErrorCode::NoReassignmentInProgress, message: None });
    }
    let Some(partition) = known.filter(|_| !context.is_deleting(&at.topic)) else {
        return Err(refused(ErrorCode::UnknownTopicOrPartition, "The partition does not exist.".to_owned()));
    };
    let Some(leadership) = &partition.leadership else {
        let text =
            "The partition never had a leader, or its state cannot be read; nobody knows what to move.";
        return Err(refused(ErrorCode::UnknownServerError, text.to_owned()));
    };
    let wanted = match target {
        Some(target) => current.reassign_to(target),
        None => current.reassign_to(&current.origin()),
    };
    if !leadership.isr.iter().any(|id| wanted.replicas.contains(id)) {
        let text = format!(
            "None of the replicas {:?} is in sync ({:?} are): records would be lost. Wait until one is.",
            wanted.replicas, leadership.isr
        );
        return Err(refused(ErrorCode::InvalidReplicaAssignment, text));
    }
    Ok(wanted)
}

fn check_replicas(
    context: &Context,
    current: &Assignment,
    target: &[i32],
    must_live: bool,
) -> Result<(), String> {
    if target.is_empty() {
        return Err("Empty replica list specified in partition reassignment.".to_owned());
    }
    let distinct: BTreeSet<i32> = target.iter().copied().collect();
    if distinct.len() != target.len() {
        return Err("Duplicate replica ids in partition reassignment replica list.".to_owned());
    }
    if distinct.first().is_some_and(|id| *id < 0) {
        return Err("Invalid broker id in replica list.".to_owned());
    }
    let added = current.reassign_to(target).adding;
    match added.iter().find(|id| must_live && !context.is_live(**id)) {
        Some(dead) => Err(format!(
            "Replica assignment has brokers that are not alive: {dead} is not registered or leaves."
        )),
        None => Ok(()),
    }
}

/// Whether every target replica is in sync. Without added or removed replicas there is nothing to wait for.
fn is_complete(assignment: &Assignment, current: &Leadership) -> bool {
    !assignment.is_reassigning() || assignment.target().iter().all(|id| current.isr.contains(id))
}

/// The moves by topic, one write each.
fn placements(moves: impl IntoIterator<Item = (TopicPartition, Assignment)>) -> Vec<StoreOp> {
    let mut topics: BTreeMap<Arc<str>, Vec<(i32, Assignment)>> = BTreeMap::new();
    for (at, assignment) in moves {
        topics.entry(at.topic).or_default().push((at.partition, assignment));
    }
    topics.into_iter().map(|(topic, partitions)| StoreOp::PlaceReplicas { topic, partitions }).collect()
}

/// The topics of such writes that failed, with why.
fn failures(
    topics: &[Arc<str>],
    results: impl IntoIterator<Item = StoreResult>,
) -> BTreeMap<Arc<str>, StoreResult> {
    let results = topics.iter().cloned().zip(results);
    results.filter(|(_, result)| !matches!(result, StoreResult::Version(_))).collect()
}

fn topics_of(ops: &[StoreOp]) -> Vec<Arc<str>> {
    let topic = |op: &StoreOp| match op {
        StoreOp::PlaceReplicas { topic, .. } => Some(topic.clone()),
        _ => None,
    };
    ops.iter().filter_map(topic).collect()
}

impl Machine {
    pub(super) fn alter_reassignments(
        &mut self,
        ticket: Ticket,
        wanted: BTreeMap<TopicPartition, Option<Vec<i32>>>,
    ) {
        let (mut answers, mut moves) = (Vec::new(), Vec::new());
        for (at, target) in wanted {
            match plan(&self.context, &at, target.as_deref(), true) {
                Ok(assignment) => moves.push((at, assignment)),
                Err(refused) => {
                    let why = refused.message.as_deref().unwrap_or(refused.code.name());
                    tracing::info!(partition = %at, ?target, why, "a reassignment was refused");
                    answers.push((at, Err(refused)));
                }
            }
        }
        // The latest wish is the one that counts, whichever way it came.
        let superseded: Vec<TopicPartition> = moves.iter().map(|(at, _)| at.clone()).collect();
        self.start_moves(Some(ticket), answers, moves, &superseded);
    }

    /// Phase U: stores the new assignments, and drops these wishes of old tools first.
    pub(super) fn start_moves(
        &mut self,
        ticket: Option<Ticket>,
        answers: ReassignmentResults,
        moves: Vec<(TopicPartition, Assignment)>,
        fulfilled: &[TopicPartition],
    ) {
        let changes = |(at, new): &&(TopicPartition, Assignment)| {
            self.context.partition(at).is_some_and(|partition| partition.assignment != *new)
        };
        let mut ops = placements(moves.iter().filter(changes).cloned());
        let topics = topics_of(&ops);
        let wishes = self.drop_wishes(|at, _| fulfilled.contains(at));
        let starting = Starting { ticket, answers, moves, with_wishes: wishes.is_some(), topics };
        ops.splice(0..0, wishes);
        if ops.is_empty() {
            return self.on_started(starting, Vec::new());
        }
        self.wait_store(ops, Waiting::Started(Box::new(starting)));
    }

    pub(super) fn on_started(&mut self, starting: Starting, results: Vec<StoreResult>) {
        let Starting { ticket, mut answers, moves, with_wishes, topics } = starting;
        let mut results = results.into_iter();
        if with_wishes {
            log_wishes(results.next());
        }
        let failed = failures(&topics, results);
        for (topic, result) in &failed {
            tracing::error!(topic = %topic, ?result, "cannot store a reassignment");
        }
        let (mut leaving, mut led_by_leaving, mut begun) = (ByBroker::new(), Vec::new(), Vec::new());
        for (at, assignment) in moves {
            if failed.contains_key(&at.topic) {
                let message = Some("The reassignment could not be stored in ZooKeeper.".to_owned());
                answers.push((at, Err(Refused { code: ErrorCode::UnknownServerError, message })));
                continue;
            }
            answers.push((at.clone(), Ok(())));
            let rests = |it: &Partition| it.assignment == assignment && !assignment.is_reassigning();
            if self.context.partition(&at).is_none_or(rests) {
                continue;
            }
            self.begin_move(&at, assignment, &mut leaving);
            let leader = self.context.leadership(&at).map_or(NO_BROKER, |it| it.leader);
            if leaving.get(&leader).is_some_and(|gone| gone.contains(&at)) {
                led_by_leaving.push(at.clone());
            }
            begun.push(at);
        }
        let answer = ticket.map(|ticket| Task::AnswerReassignments(ticket, answers));
        let tasks = [Task::Elect(led_by_leaving, Strategy::Offline { unclean: false })]
            .into_iter()
            .chain(retire(leaving))
            .chain([Task::AdvanceReassignments(begun)])
            .chain(answer);
        self.first(tasks.collect::<Vec<Task>>());
    }

    fn begin_move(&mut self, at: &TopicPartition, assignment: Assignment, leaving: &mut ByBroker) {
        let Some(partition) = self.context.partition(at) else { return };
        let before = &partition.assignment;
        let (from, was_moving) = (before.origin(), before.is_reassigning());
        if *before != assignment {
            let to = assignment.target();
            let (adding, removing) = (&assignment.adding, &assignment.removing);
            let what = match (was_moving, assignment.is_reassigning()) {
                (true, false) => "the reassignment is cancelled",
                (true, true) => "the reassignment has a new target",
                (false, _) => "a reassignment begins",
            };
            tracing::info!(partition = %at, ?from, ?to, ?adding, ?removing, "{what}");
        }
        for broker in self.context.set_assignment(at, assignment) {
            leaving.entry(broker).or_default().push(at.clone());
        }
    }

    pub(super) fn answer_reassignments(&mut self, ticket: Ticket, answers: ReassignmentResults) {
        self.out.replies.push((ticket, Answer::AlterReassignments(Ok(answers))));
        self.serving = None;
    }

    pub(super) fn list_reassignments(&mut self, ticket: Ticket, partitions: Option<Vec<TopicPartition>>) {
        let moving = self.context.reassigning();
        let listed: BTreeSet<TopicPartition> = match partitions {
            Some(partitions) => partitions.into_iter().filter(|at| moving.contains(at)).collect(),
            None => moving.clone(),
        };
        let described = listed.into_iter().filter_map(|at| {
            let assignment = self.context.partition(&at)?.assignment.clone();
            Some((at, assignment))
        });
        self.out.replies.push((ticket, Answer::ListReassignments(Ok(described.collect()))));
        self.serving = None;
    }

    /// At fail-over: replicas in ISRs that are not assigned, because an earlier controller stored a new target and was gone
    /// before it stopped them. They leave now. (Kafka lets them stay, and lead.)
    pub(super) fn expel_unassigned(&mut self) -> ByBroker {
        let mut found = ByBroker::new();
        for (at, partition) in self.context.partitions() {
            let Some(current) = &partition.leadership else { continue };
            let replicas = &partition.assignment.replicas;
            let (assigned, others): (Vec<i32>, Vec<i32>) =
                current.isr.iter().partition(|id| replicas.contains(id));
            if assigned.is_empty() {
                tracing::error!(partition = %at, ?replicas, isr = ?current.isr,
                    "no assigned replica is in sync: reassign the partition to replicas that are");
                continue;
            }
            for broker in others {
                tracing::info!(partition = %at, broker, "a replica that an earlier controller took away is stopped");
                found.entry(broker).or_default().push(at.clone());
            }
        }
        for (broker, partitions) in &found {
            partitions.iter().for_each(|at| self.context.expel(at, *broker));
        }
        found
    }

    /// Goes on with moves of an earlier controller, or with those that waited for these brokers.
    pub(super) fn resume_reassignments(&mut self, brokers: Option<&BTreeSet<i32>>) {
        let waits = |at: &&TopicPartition| {
            let target = || self.context.partition(at).map(|it| it.assignment.target()).unwrap_or_default();
            brokers.is_none_or(|brokers| target().iter().any(|id| brokers.contains(id)))
        };
        let moving: Vec<TopicPartition> = self.context.reassigning().iter().filter(waits).cloned().collect();
        for at in &moving {
            tracing::info!(partition = %at, "the reassignment goes on");
        }
        self.advance_reassignments(moving);
    }

    /// Finishes those of these moves whose target replicas are all in sync now.
    pub(super) fn complete_reassignments(&mut self, partitions: &[TopicPartition]) {
        let complete = |at: &&TopicPartition| {
            let Some(partition) = self.context.partition(at) else { return false };
            let Some(current) = &partition.leadership else { return false };
            partition.assignment.is_reassigning() && is_complete(&partition.assignment, current)
        };
        let complete: Vec<TopicPartition> = partitions.iter().filter(complete).cloned().collect();
        if !complete.is_empty() {
            self.advance_reassignments(complete);
        }
    }

    /// Phase A or B, whichever is due for each.
    pub(super) fn advance_reassignments(&mut self, partitions: Vec<TopicPartition>) {
        self.take_steps(Box::default(), partitions);
    }

    fn take_steps(&mut self, advancing: Box<Advancing>, partitions: Vec<TopicPartition>) {
        let steps: Vec<Step> = partitions.into_iter().filter_map(|at| self.next_step(at)).collect();
        if steps.is_empty() {
            return self.end_steps(*advancing);
        }
        let update = |step: &Step| StoreOp::UpdatePartitionState {
            partition: step.at.clone(),
            state: step.leadership.clone(),
        };
        let ops = steps.iter().map(update).collect();
        self.wait_store(ops, Waiting::Stepped { advancing, steps });
    }

    fn next_step(&self, at: TopicPartition) -> Option<Step> {
        let partition = self.context.partition(&at).filter(|_| !self.is_being_deleted(&at))?;
        let (assignment, current) = (&partition.assignment, partition.leadership.as_ref()?);
        let completes = is_complete(assignment, current);
        let online = |id| self.context.is_online(id, &at);
        let stays = online(current.leader) && assignment.target().contains(&current.leader);
        let elected =
            if completes && !stays { election::reassign(assignment, current, online) } else { None };
        let mut leadership = match elected {
            Some(elected) => elected.leadership,
            None if completes && !stays && assignment.is_reassigning() => {
                tracing::info!(partition = %at, target = ?assignment.target(),
                    "the reassignment waits: no target replica can lead now");
                return None;
            }
            None => current.led_by(current.leader, current.isr.clone()),
        };
        leadership.controller_epoch = self.context.epoch;
        Some(Step { at, leadership, completes })
    }

    pub(super) fn on_stepped(
        &mut self,
        mut advancing: Box<Advancing>,
        steps: Vec<Step>,
        results: Vec<StoreResult>,
    ) {
        let mut again = Vec::new();
        for (Step { at, mut leadership, completes }, result) in steps.into_iter().zip(results) {
            match result {
                StoreResult::Version(version) => {
                    leadership.partition_epoch = version;
                    self.context.set_leadership(&at, leadership);
                    if completes {
                        self.arrive(&mut advancing, at);
                    } else {
                        self.introduce(&mut advancing, &at);
                    }
                }
                StoreResult::BadVersion => again.push(at),
                other => {
                    tracing::error!(partition = %at, result = ?other, "cannot go on with the reassignment");
                }
            }
        }
        if again.is_empty() {
            return self.end_steps(*advancing);
        }
        let read = vec![ReadOp::PartitionStates(again.clone())];
        self.wait_read(read, Waiting::StepAgain { advancing, partitions: again });
    }

    pub(super) fn step_again(
        &mut self,
        advancing: Box<Advancing>,
        partitions: Vec<TopicPartition>,
        states: Vec<Option<Leadership>>,
    ) {
        let fresh = self.refresh(partitions, states);
        self.take_steps(advancing, fresh);
    }

    /// Whether the replicas are stopped and deleted already: then they are not moved any more.
    fn is_being_deleted(&self, at: &TopicPartition) -> bool {
        self.context.deleting.get(&at.topic).is_some_and(|deletion| deletion.started)
    }

    /// Phase A is stored: old and new replicas hear of each other.
    fn introduce(&mut self, advancing: &mut Advancing, at: &TopicPartition) {
        let Some(assignment) = self.context.partition(at).map(|partition| partition.assignment.clone())
        else {
            return;
        };
        advancing.batch.leader_and_isr(&self.context, assignment.origin(), at, false);
        // A new replica may be put into any directory, also where one of the broker's has failed.
        advancing.batch.leader_and_isr(&self.context, assignment.adding.iter().copied(), at, true);
        for broker in assignment.adding.iter() {
            self.enter(at, *broker, ReplicaState::New);
        }
    }

    /// Phase B, its first half, is stored: the target is all there is, and one of it leads.
    fn arrive(&mut self, advancing: &mut Advancing, at: TopicPartition) {
        let Some(partition) = self.context.partition_mut(&at) else { return };
        let assignment = partition.assignment.clone();
        let led = partition.leadership.as_ref().is_some_and(|it| it.leader != NO_BROKER);
        if led && PartitionState::Online.valid_from().contains(&partition.state) {
            partition.state = PartitionState::Online;
        }
        for broker in assignment.adding.iter() {
            if self.replica_state(*broker, &at) == ReplicaState::New {
                self.enter(&at, *broker, ReplicaState::Online);
            }
        }
        let target = assignment.target();
        if assignment.is_reassigning() {
            tracing::info!(partition = %at, ?target, removing = ?assignment.removing,
                "all target replicas are in sync: the reassignment is being finished");
            for broker in self.context.set_assignment(&at, Assignment::of(target.as_slice().into())) {
                advancing.leaving.entry(broker).or_default().push(at.clone());
            }
        }
        advancing.batch.leader_and_isr(&self.context, target, &at, false);
        let side = if assignment.is_reassigning() { &mut advancing.moved } else { &mut advancing.reordered };
        side.push(at);
    }

    fn enter(&mut self, at: &TopicPartition, broker: i32, state: ReplicaState) {
        if let Some(partition) = self.context.partition_mut(at)
            && state.valid_from().contains(&partition.replica_state(broker))
        {
            partition.set_replica_state(broker, state);
        }
    }

    fn end_steps(&mut self, advancing: Advancing) {
        let Advancing { batch, leaving, moved, reordered } = advancing;
        self.flush(batch);
        if !moved.is_empty() || !reordered.is_empty() {
            let finish = Task::FinishReassignments { moved, reordered };
            self.first(retire(leaving).into_iter().chain([finish]).collect::<Vec<Task>>());
        }
    }

    /// Phase B, its end: the topics' nodes name the target alone.
    pub(super) fn finish_reassignments(
        &mut self,
        moved: Vec<TopicPartition>,
        reordered: Vec<TopicPartition>,
    ) {
        let place = |at: &TopicPartition| Some((at.clone(), self.context.partition(at)?.assignment.clone()));
        let mut ops = placements(moved.iter().filter_map(place));
        let topics = topics_of(&ops);
        let replicas =
            |at: &TopicPartition| Some((at.clone(), self.context.partition(at)?.assignment.replicas.clone()));
        let now: BTreeMap<TopicPartition, Arc<[i32]>> =
            moved.iter().chain(&reordered).filter_map(replicas).collect();
        let wishes = self.drop_wishes(|at, wish| now.get(at).is_some_and(|replicas| **replicas == *wish));
        ops.extend(wishes);
        let done = now.into_iter().map(|(at, replicas)| {
            tracing::info!(partition = %at, ?replicas, "the reassignment is done");
            at.topic
        });
        let done: BTreeSet<Arc<str>> = done.collect();
        self.first([Task::ResumeDeletionsOf(done)]);
        // The others have just been told to everyone with their new term.
        if !moved.is_empty() {
            self.first([Task::TellAll(moved)]);
        }
        if !ops.is_empty() {
            self.wait_store(ops, Waiting::Finished(topics));
        }
    }
}

/// What became of the writes that end phase B.
pub(super) fn log_unfinished(topics: &[Arc<str>], results: Vec<StoreResult>) {
    let mut results = results.into_iter();
    for (topic, result) in failures(topics, results.by_ref().take(topics.len())) {
        tracing::error!(topic = %topic, ?result,
            "the end of a reassignment cannot be stored; the next controller will finish it again");
    }
    log_wishes(results.next());
}

fn log_wishes(result: Option<StoreResult>) {
    if let Some(result @ (StoreResult::Failed(_) | StoreResult::BadVersion)) = result {
        tracing::error!(?result, "/admin/reassign_partitions cannot be written and keeps what is over");
    }
}

/// The way of replicas that are no longer assigned. Nobody waits for their answers, as in Kafka.
pub(super) fn retire(leaving: ByBroker) -> [Task; 4] {
    use ReplicaState::{DeletionStarted, DeletionSuccessful, NonExistent, Offline};
    [Offline, DeletionStarted, DeletionSuccessful, NonExistent]
        .map(|state| Task::MoveReplicas(leaving.clone(), state))
}
