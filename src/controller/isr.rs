//! AlterPartition: a leader asks to change its ISR (KIP-497).
//!
//! Invariants: the leader epoch does not change, the partition epoch grows by one; a member of an ISR is assigned and
//! live; the write is conditional on the partition epoch. Every partition named is told to all brokers, none gets a
//! LeaderAndIsr. Source: Kafka's `KafkaController.tryProcessAlterPartition`; the checks that the asker leads and that
//! the ISR is one of assigned replicas with the leader in it are those of the KRaft controller, which answers INVALID_REQUEST.

use std::sync::Arc;

use super::context::{Context, Leadership, Partition};
use super::event::{AlterPartition, AlterTopic, AlteredTopic, Answer, Ticket, TopicRef, WantedIsr};
use super::flow::{Task, Waiting};
use super::machine::Machine;
use super::store::{StoreOp, StoreResult};
use crate::bugs::{self, Bug};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

/// What becomes of one wish.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Decision {
    /// No, for this reason.
    Refuse(ErrorCode),
    /// It is so already.
    Unchanged(Leadership),
    /// Write this.
    Write(Leadership),
}

/// Decides one wish of `broker` (in a request of this version) against the partition as it is.
fn decide(
    context: &Context,
    version: i16,
    broker: i32,
    wanted: &WantedIsr,
    partition: &Partition,
) -> Decision {
    let Some(current) = &partition.leadership else {
        return Decision::Refuse(ErrorCode::UnknownTopicOrPartition);
    };
    // A leader that knows more than we do has heard of a later controller.
    if wanted.partition_epoch > current.partition_epoch || wanted.leader_epoch > current.leader_epoch {
        let for_good = bugs::is_back(Bug::R21);
        return Decision::Refuse(if for_good { ErrorCode::InvalidRequest } else { ErrorCode::NotController });
    }
    if wanted.leader_epoch < current.leader_epoch {
        return Decision::Refuse(ErrorCode::FencedLeaderEpoch);
    }
    // Before the partition epoch is looked at: a repeated request must succeed.
    let same =
        broker == current.leader && *wanted.isr == *current.isr && wanted.recovering == current.recovering;
    if same {
        return Decision::Unchanged(current.clone());
    }
    if wanted.partition_epoch < current.partition_epoch {
        return Decision::Refuse(ErrorCode::InvalidUpdateVersion);
    }
    let recovers_in_company = wanted.recovering && wanted.isr.len() > 1;
    let recovers_again = wanted.recovering && !current.recovering;
    let assigned = wanted.isr.iter().all(|id| partition.assignment.replicas.contains(id));
    let leads = broker == current.leader && wanted.isr.contains(&broker);
    if recovers_in_company || recovers_again || !assigned || !leads || has_duplicates(&wanted.isr) {
        return Decision::Refuse(ErrorCode::InvalidRequest);
    }
    if !wanted.isr.iter().all(|id| context.is_live(*id)) {
        let code = if version > 1 { ErrorCode::IneligibleReplica } else { ErrorCode::OperationNotAttempted };
        return Decision::Refuse(code);
    }
    Decision::Write(Leadership {
        isr: Arc::from(&*wanted.isr),
        recovering: wanted.recovering,
        controller_epoch: context.epoch,
        ..current.clone()
    })
}

/// `ids` is no longer than an assignment when this matters.
fn has_duplicates(ids: &[i32]) -> bool {
    ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id))
}

impl Machine {
    pub(super) fn alter_partition(&mut self, ticket: Ticket, request: AlterPartition) {
        let known = self.context.brokers.get(&request.broker);
        if known.is_none_or(|known| known.epoch != request.broker_epoch) {
            self.out.replies.push((ticket, Answer::AlterPartition(Err(ErrorCode::StaleBrokerEpoch))));
            return;
        }
        let (mut named, mut topics, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for AlterTopic { topic, partitions } in request.topics {
            let mut answers = Vec::with_capacity(partitions.len());
            for wanted in partitions {
                let answer = match self.locate(&topic, wanted.index) {
                    Err(code) => Err(code),
                    Ok((at, partition)) => {
                        let decision =
                            decide(&self.context, request.version, request.broker, &wanted, partition);
                        named.push(at.clone());
                        match decision {
                            Decision::Refuse(code) => Err(code),
                            Decision::Unchanged(state) => Ok(state),
                            Decision::Write(state) => {
                                writes.push((topics.len(), answers.len(), at, state));
                                Err(ErrorCode::UnknownServerError)
                            }
                        }
                    }
                };
                answers.push((wanted.index, answer));
            }
            topics.push(AlteredTopic { topic, partitions: answers });
        }
        if writes.is_empty() {
            return self.on_altered(ticket, named, topics, writes, Vec::new());
        }
        let update = |(_, _, at, state): &(usize, usize, TopicPartition, Leadership)| {
            StoreOp::UpdatePartitionState { partition: at.clone(), state: state.clone() }
        };
        let ops = writes.iter().map(update).collect();
        self.wait_store(ops, Waiting::Altered { ticket, named, topics, writes });
    }

    fn locate(&self, topic: &TopicRef, index: i32) -> Result<(TopicPartition, &Partition), ErrorCode> {
        let name = self.name_of(topic).ok_or(ErrorCode::UnknownTopicId)?;
        let at = TopicPartition::new(name, index);
        let partition = self.context.partition(&at).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok((at, partition))
    }

    pub(super) fn on_altered(
        &mut self,
        ticket: Ticket,
        named: Vec<TopicPartition>,
        mut topics: Vec<AlteredTopic>,
        writes: Vec<(usize, usize, TopicPartition, Leadership)>,
        results: Vec<StoreResult>,
    ) {
        let (mut stale, mut altered) = (Vec::new(), Vec::new());
        for ((topic, partition, at, mut state), result) in writes.into_iter().zip(results) {
            topics[topic].partitions[partition].1 = match result {
                StoreResult::Version(version) => {
                    state.partition_epoch = version;
                    self.context.set_leadership(&at, state.clone());
                    altered.push(at);
                    Ok(state)
                }
                StoreResult::BadVersion => {
                    stale.push(at);
                    Err(ErrorCode::InvalidUpdateVersion)
                }
                StoreResult::NoNode => Err(ErrorCode::UnknownTopicOrPartition),
                _ => Err(ErrorCode::UnknownServerError),
            };
        }
        self.tell_all(&named);
        self.out.replies.push((ticket, Answer::AlterPartition(Ok(topics))));
        self.serving = None;
        if !stale.is_empty() {
            self.first([Task::RefreshStates(stale)]);
        }
        // A replica that came into sync may have been the last a reassignment waited for.
        self.first([Task::CompleteReassignments(altered)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::context::{Assignment, Broker};
    use crate::metadata::image::BrokerImage;

    fn context() -> Context {
        let mut context = Context::default();
        context.epoch = 9;
        for id in [1, 2, 3] {
            let image = BrokerImage { id, endpoints: Vec::new(), rack: None };
            context.brokers.insert(id, Broker { epoch: 100, image });
        }
        let name: Arc<str> = "t".into();
        context.put_topic(&name, Default::default());
        context.add_partitions(&name, vec![(0, Assignment::of([1, 2, 3].into()))]);
        let state =
            Leadership { leader_epoch: 5, partition_epoch: 7, ..Leadership::first(1, [1, 2].into(), 4) };
        context.set_leadership(&TopicPartition::new("t", 0), state);
        context
    }

    #[test]
    fn decisions_in_kafkas_order() {
        let mut context = context();
        context.shutting_down.insert(3);
        let partition = context.partition(&TopicPartition::new("t", 0)).unwrap();
        let wish = |isr: &[i32], leader_epoch, partition_epoch, recovering| WantedIsr {
            index: 0,
            isr: isr.to_vec(),
            leader_epoch,
            partition_epoch,
            recovering,
        };
        let ask = |version, broker, wanted| decide(&context, version, broker, &wanted, partition);
        let refused = |wanted| match ask(3, 1, wanted) {
            Decision::Refuse(code) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(wish(&[1], 5, 8, false)), ErrorCode::NotController);
        assert_eq!(refused(wish(&[1], 6, 7, false)), ErrorCode::NotController);
        assert_eq!(refused(wish(&[1], 4, 7, false)), ErrorCode::FencedLeaderEpoch);
        assert!(matches!(ask(3, 1, wish(&[1, 2], 5, 6, false)), Decision::Unchanged(_)));
        assert_eq!(refused(wish(&[1], 5, 6, false)), ErrorCode::InvalidUpdateVersion);
        assert_eq!(refused(wish(&[1, 2], 5, 7, true)), ErrorCode::InvalidRequest);
        assert_eq!(refused(wish(&[1], 5, 7, true)), ErrorCode::InvalidRequest);
        assert_eq!(refused(wish(&[], 5, 7, false)), ErrorCode::InvalidRequest);
        assert_eq!(refused(wish(&[1, 1], 5, 7, false)), ErrorCode::InvalidRequest);
        assert_eq!(refused(wish(&[1, 4], 5, 7, false)), ErrorCode::InvalidRequest);
        assert_eq!(refused(wish(&[1, 3], 5, 7, false)), ErrorCode::IneligibleReplica);
        let old = ask(1, 1, wish(&[1, 3], 5, 7, false));
        assert_eq!(old, Decision::Refuse(ErrorCode::OperationNotAttempted));
        assert_eq!(
            ask(3, 2, wish(&[2], 5, 7, false)),
            Decision::Refuse(ErrorCode::InvalidRequest),
            "not the leader"
        );
        let Decision::Write(state) = ask(3, 1, wish(&[1], 5, 7, false)) else { panic!("a legal shrink") };
        assert_eq!((&*state.isr, state.leader_epoch, state.partition_epoch), (&[1][..], 5, 7));
        assert_eq!(state.controller_epoch, 9);
    }
}
