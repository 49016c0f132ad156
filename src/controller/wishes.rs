//! Two nodes in which old tools leave wishes: `/admin/reassign_partitions` and `/admin/preferred_replica_election`.
//!
//! Invariants: a wish is taken up once, however often the node is seen, for it is held against what is so already or
//! under way; it leaves the node when it is fulfilled, refused, or overtaken by a request; the node goes with its last
//! wish, so that the next tool can begin. Elections are tried once, then their node goes.
//! A node nobody can read: the reassignments stay for whoever wrote them, with an alarm; the elections go, as in Kafka.
//! Source: `KafkaController.{processZkPartitionReassignment, processReplicaLeaderElection, maybeRemoveFromZkReassignment}`.

use super::flow::{Task, Waiting};
use super::machine::Machine;
use super::partition_state::Strategy;
use super::reassignment;
use super::store::{ReassignmentWishes, StoreOp};
use crate::protocol::ids::TopicPartition;

impl Machine {
    pub(super) fn on_reassignment_wishes(&mut self, wishes: Option<ReassignmentWishes>) {
        self.context.wishes = wishes.unwrap_or_default().into_iter().collect();
        let (mut moves, mut dropped) = (Vec::new(), Vec::new());
        for (at, target) in &self.context.wishes {
            let assignment = self.context.partition(at).map(|it| &it.assignment);
            if let Some(assignment) = assignment.filter(|it| it.target() == *target)
                && !self.context.is_deleting(&at.topic)
            {
                if !assignment.is_reassigning() {
                    dropped.push(at.clone());
                }
                continue;
            }
            // Brokers that are away may come back: tools of old did not ask for less.
            match reassignment::plan(&self.context, at, Some(target), false) {
                Ok(assignment) => moves.push((at.clone(), assignment)),
                Err(refused) => {
                    let why = refused.message.as_deref().unwrap_or(refused.code.name());
                    tracing::warn!(partition = %at, ?target, why,
                        "a wish in /admin/reassign_partitions was refused and is taken out");
                    dropped.push(at.clone());
                }
            }
        }
        if !moves.is_empty() || !dropped.is_empty() {
            self.start_moves(None, Vec::new(), moves, &dropped);
        }
    }

    /// The topic is gone: what an old tool wished of it can leave the node.
    pub(super) fn forget_topic(&mut self, topic: &str) {
        self.context.remove_topic(topic);
        if self.context.wishes.keys().any(|at| *at.topic == *topic) {
            self.first([Task::LookAtReassignmentWishes]);
        }
    }

    /// Forgets wishes; the write that makes the node say so, if there is anything to write.
    pub(super) fn drop_wishes(&mut self, over: impl Fn(&TopicPartition, &[i32]) -> bool) -> Option<StoreOp> {
        let before = self.context.wishes.len();
        self.context.wishes.retain(|at, target| !over(at, target));
        if self.context.wishes.len() == before {
            return None;
        }
        let left: ReassignmentWishes =
            self.context.wishes.iter().map(|(at, target)| (at.clone(), target.clone())).collect();
        tracing::info!(left = left.len(), "wishes are taken out of /admin/reassign_partitions");
        Some(StoreOp::KeepReassignments(left))
    }

    pub(super) fn on_election_wishes(&mut self, wishes: Option<Vec<TopicPartition>>) {
        let Some(wished) = wishes else { return };
        let needed = |at: &TopicPartition| {
            let Some(partition) = self.context.partition(at) else { return false };
            let Some(current) = &partition.leadership else { return false };
            let preferred = partition.assignment.replicas.first();
            !self.context.is_deleting(&at.topic) && preferred != Some(&current.leader)
        };
        let elect: Vec<TopicPartition> = wished.into_iter().filter(needed).collect();
        self.first([Task::Elect(elect.clone(), Strategy::Preferred), Task::ForgetElectionWishes(elect)]);
    }

    /// The elections that `/admin/preferred_replica_election` wished were tried.
    pub(super) fn forget_election_wishes(&mut self, tried: &[TopicPartition]) {
        for at in tried {
            match self.elected.contains(at) {
                true => tracing::info!(partition = %at, "the preferred replica leads, as an old tool wished"),
                false => {
                    tracing::warn!(partition = %at, "the preferred replica that an old tool wished cannot lead")
                }
            }
        }
        self.wait_store(vec![StoreOp::ForgetElections], Waiting::Done);
    }
}
