//! Leaders go back where they belong: asked for by an admin client, or on the controller's own clock.
//!
//! Invariants: only partitions whose preferred leader is online and in sync are moved by the clock; an unclean election
//! is tried only for a partition without a live leader. Source: Kafka's `processReplicaLeaderElection` (KIP-460) and
//! `checkAndTriggerAutoLeaderRebalance`.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Leadership, Partition};
use super::election;
use super::event::{Answer, ElectionResults, Ticket, Timer};
use super::flow::Task;
use super::machine::Machine;
use super::partition_state::Strategy;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

impl Machine {
    pub(super) fn elect_leaders(
        &mut self,
        ticket: Ticket,
        unclean: bool,
        partitions: Option<Vec<TopicPartition>>,
    ) {
        let wanted: BTreeSet<TopicPartition> = match partitions {
            Some(partitions) => partitions.into_iter().collect(),
            None => self.context.partitions().map(|(at, _)| at).collect(),
        };
        let failure = if unclean {
            ErrorCode::EligibleLeadersNotAvailable
        } else {
            ErrorCode::PreferredLeaderNotAvailable
        };
        let (mut elect, mut decided) = (Vec::new(), Vec::new());
        for at in wanted {
            match self.election_refusal(&at, unclean, failure) {
                Some(code) => decided.push((at, Err(code))),
                None => elect.push(at),
            }
        }
        let strategy = if unclean { Strategy::Offline { unclean: true } } else { Strategy::Preferred };
        let tried = elect.iter().map(|at| (at.clone(), failure)).collect();
        self.first([Task::Elect(elect, strategy), Task::AnswerElections(ticket, tried, decided)]);
    }

    fn election_refusal(&self, at: &TopicPartition, unclean: bool, failure: ErrorCode) -> Option<ErrorCode> {
        let Some(partition) = self.context.partition(at) else {
            return Some(ErrorCode::UnknownTopicOrPartition);
        };
        if self.context.is_deleting(&at.topic) {
            return Some(ErrorCode::InvalidTopicException);
        }
        let Some(Leadership { leader, .. }) = &partition.leadership else { return Some(failure) };
        let settled = if unclean {
            self.context.is_live(*leader)
        } else {
            partition.assignment.replicas.first() == Some(leader)
        };
        settled.then_some(ErrorCode::ElectionNotNeeded)
    }

    pub(super) fn answer_elections(
        &mut self,
        ticket: Ticket,
        tried: Vec<(TopicPartition, ErrorCode)>,
        decided: ElectionResults,
    ) {
        let elected: BTreeSet<&TopicPartition> = self.elected.iter().collect();
        let mut answers = decided;
        answers.extend(tried.into_iter().map(|(at, failure)| {
            let leader = self.context.leadership(&at).filter(|_| elected.contains(&at)).map(|it| it.leader);
            (at, leader.ok_or(failure))
        }));
        self.out.replies.push((ticket, Answer::ElectLeaders(Ok(answers))));
        self.serving = None;
    }

    pub(super) fn schedule_rebalance(&mut self, delay_ms: i64) {
        self.out.timers.push((Timer::Rebalance, self.now.plus_ms(delay_ms)));
    }

    /// Elects preferred leaders for brokers that lack too many of the partitions they should lead.
    pub(super) fn rebalance(&mut self) {
        let mut by_preferred: BTreeMap<i32, (usize, Vec<TopicPartition>)> = BTreeMap::new();
        for (at, partition) in self.context.partitions() {
            let Some(preferred) = partition.assignment.replicas.first() else { continue };
            if self.context.is_deleting(&at.topic) {
                continue;
            }
            let (all, elsewhere) = by_preferred.entry(*preferred).or_default();
            *all += 1;
            if partition.leadership.as_ref().is_some_and(|it| it.leader != *preferred) {
                elsewhere.push(at);
            }
        }
        let allowed = f64::from(self.config.imbalance_percentage) / 100.0;
        let mut tasks = Vec::new();
        for (all, elsewhere) in by_preferred.into_values() {
            if elsewhere.len() as f64 / all as f64 > allowed {
                let able = elsewhere.into_iter().filter(|at| self.can_lead_preferred(at)).collect();
                tasks.push(Task::Elect(able, Strategy::Preferred));
            }
        }
        tasks.push(Task::ScheduleRebalance(self.config.rebalance_interval_ms));
        self.first(tasks);
    }

    fn can_lead_preferred(&self, at: &TopicPartition) -> bool {
        let Some(Partition { assignment, leadership: Some(current), .. }) = self.context.partition(at) else {
            return false;
        };
        election::preferred(assignment, current, |id| self.context.is_online(id, at)).is_some()
    }
}
