//! The leader's side of a partition (`Partition.makeLeader`, `updateFollowerFetchState`, `maybeShrinkIsr`,
//! `maybeIncrementLeaderHW`): the pure picture of [`super::isr`] applied to the log, under the partition's lock.
//!
//! Whatever it wants of the controller goes into the queue of [`super::alter_partition`]; nothing here waits.

use std::sync::Arc;

use super::alter_partition::{Answer, Ask};
use super::fetch::Near;
use super::isr::{FetchedAt, Isr, Proposal, Settled, Term};
use super::partition::{Partition, PartitionContext, Role, State};
use super::preferred_replica::{self, Candidate};
use crate::bugs::{self, Bug};
use crate::protocol::error_code::ErrorCode;
use crate::storage::log::Log;
use crate::storage::log_error::LogError;

impl State {
    /// Begins the term that `leadership` names. The epoch is written before the term takes data (KIP-101), and what
    /// the ISR is known to have is committed at once. `before` is the picture of the term before, if this broker led it.
    pub(super) fn become_leader(
        &mut self,
        log: &Arc<Log>,
        context: &PartitionContext,
        before: Option<&Isr>,
    ) -> Result<(), LogError> {
        if !bugs::is_back(Bug::R5) {
            log.assign_epoch_at_end(self.leadership.leader_epoch)?;
        }
        let term = Term {
            leader_epoch: self.leadership.leader_epoch,
            partition_epoch: self.leadership.partition_epoch,
            isr: &self.leadership.isr,
            replicas: &self.leadership.replicas,
            epoch_start: log.log_end_offset(),
        };
        self.isr = Some(Isr::begin(context.broker_id, term, before, context.clock.steady_ms()));
        self.advance_high_watermark(context);
        Ok(())
    }

    /// The log and the picture of its followers, if this broker leads.
    pub(super) fn leading(&self) -> Result<(&Arc<Log>, &Isr), ErrorCode> {
        let log = self.leader_log()?;
        Ok((log, self.isr.as_ref().ok_or(ErrorCode::NotLeaderOrFollower)?))
    }

    /// Moves the high watermark to what every in-sync replica has, unless the ISR is below its minimum; whether it
    /// moved.
    pub(super) fn advance_high_watermark(&self, context: &PartitionContext) -> bool {
        let Ok((log, isr)) = self.leading() else { return false };
        if isr.committed().len() < self.min_isr(log) {
            return false;
        }
        let alive = |id| context.is_alive(id);
        let (now_ms, lag_ms) = (context.clock.steady_ms(), context.lag_max_ms);
        let mark = isr.high_watermark(log.log_end_offset(), now_ms, lag_ms, &alive);
        log.maybe_increment_high_watermark(mark).is_some()
    }

    fn ask(&self, partition: &Partition, proposal: Proposal) -> Ask {
        Ask { tp: partition.tp.clone(), topic_id: self.topic_id, proposal }
    }
}

impl Partition {
    /// The log, for a follower's fetch. A broker that is no replica here may be one in a term that this broker has not
    /// heard of yet.
    pub fn log_for_follower(&self, id: i32, current_leader_epoch: i32) -> Result<Arc<Log>, ErrorCode> {
        let state = self.lock();
        state.check_epoch(current_leader_epoch)?;
        let (log, isr) = state.leading()?;
        match (isr.knows(id), current_leader_epoch) {
            (true, _) => Ok(log.clone()),
            (false, -1) => Err(ErrorCode::NotLeaderOrFollower),
            (false, _) => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }

    /// Notes how far a follower is: it may join the ISR, and the high watermark may move.
    pub fn on_follower_fetch(
        &self,
        id: i32,
        current_leader_epoch: i32,
        (offset, log_start_offset): (i64, i64),
        leader_end: i64,
    ) -> Result<(), ErrorCode> {
        let context = &self.context;
        let at = FetchedAt { offset, log_start_offset, leader_end, now_ms: context.clock.steady_ms() };
        let moved = {
            let mut state = self.lock();
            state.check_epoch(current_leader_epoch)?;
            let mark = state.leading()?.0.high_watermark();
            let isr = state.isr.as_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
            let follower = isr.on_fetch(id, &at).ok_or(ErrorCode::UnknownLeaderEpoch)?;
            if isr.may_expand(id)
                && context.is_alive(id)
                && let Some(proposal) = isr.expand(id, mark)
            {
                tracing::debug!(partition = %self.tp, isr = ?proposal.isr, "broker {id} has caught up; asking to take it into the ISR");
                context.alters.submit(state.ask(self, proposal));
            }
            (follower.end && state.advance_high_watermark(context)) || follower.start
        };
        if moved {
            self.touch();
        }
        Ok(())
    }

    /// Asks to drop members of the ISR that are late; and commits what waited for a caught-up follower that is none
    /// any more.
    pub fn shrink_isr(&self) {
        let context = &self.context;
        let now_ms = context.clock.steady_ms();
        let moved = {
            let mut state = self.lock();
            let Ok((log, _)) = state.leading() else { return };
            let end = log.log_end_offset();
            let proposal = state.isr.as_mut().and_then(|isr| isr.shrink(end, now_ms, context.lag_max_ms));
            if let Some(proposal) = proposal {
                tracing::info!(
                    partition = %self.tp, from = ?state.leadership.isr, to = ?proposal.isr,
                    "replicas fell behind for more than {} ms; asking to take them out of the ISR", context.lag_max_ms
                );
                context.alters.submit(state.ask(self, proposal));
            }
            state.advance_high_watermark(context)
        };
        if moved {
            self.touch();
        }
    }

    /// A broker has gone: nothing waits for it any more.
    pub fn forget_the_dead(&self) {
        if self.lock().advance_high_watermark(&self.context) {
            self.touch();
        }
    }

    /// Takes the controller's answer to `ask`, `None` when there was none; whether it is asked again.
    pub fn settle(&self, ask: &Ask, answer: Option<&Answer>) -> bool {
        let context = &self.context;
        let mut again = false;
        {
            let mut state = self.lock();
            if state.leadership.role != Role::Leader {
                return false;
            }
            let Some(isr) = state.isr.as_mut() else { return false };
            let answer = match answer {
                Some(Ok(agreed)) => Ok(agreed),
                Some(Err(code)) => Err(*code),
                None => Err(ErrorCode::UnknownServerError),
            };
            match isr.settle(&ask.proposal, answer, context.clock.steady_ms()) {
                Settled::Changed => {
                    let (now, epoch) = (isr.committed().to_vec(), isr.partition_epoch());
                    tracing::info!(partition = %self.tp, isr = ?now, "the ISR has changed");
                    (state.leadership.isr, state.leadership.partition_epoch) = (now, epoch);
                    state.advance_high_watermark(context);
                }
                Settled::Retry => {
                    again = true;
                    context.alters.submit(ask.clone());
                }
                Settled::RolledBack => {
                    tracing::debug!(partition = %self.tp, ?answer, "the controller refused an ISR; it stays as it was");
                    state.advance_high_watermark(context);
                }
                Settled::Ignored => {
                    tracing::debug!(partition = %self.tp, ?answer, "an answer about the ISR changes nothing here");
                }
            }
        }
        self.touch();
        again
    }

    /// Offset below which every live replica has deleted its records; only a leader knows.
    pub fn low_watermark(&self) -> Result<i64, ErrorCode> {
        let state = self.lock();
        let (log, isr) = state.leading()?;
        Ok(isr.low_watermark(log.log_start_offset(), &|id| self.context.is_alive(id)))
    }

    /// First offset of the term, for a leader.
    pub fn epoch_start(&self) -> Option<i64> {
        self.lock().leading().ok().map(|(_, isr)| isr.epoch_start())
    }

    /// The in-sync follower that serves a consumer at `near` better than this leader.
    pub fn nearer_replica(&self, near: &Near, offset: i64) -> Option<i32> {
        let image = self.context.metadata.image();
        let rack = |id| image.broker(id).and_then(|broker| broker.rack.as_deref());
        let reachable = |id| image.broker(id).is_some_and(|broker| broker.endpoint(&near.listener).is_some());
        let state = self.lock();
        let (_, isr) = state.leading().ok()?;
        let candidates: Vec<Candidate<'_>> = isr
            .readable_at(offset)
            .filter(|(id, ..)| reachable(*id))
            .map(|(id, log_end_offset, caught_up_at_ms)| Candidate {
                id,
                rack: rack(id),
                log_end_offset,
                caught_up_at_ms,
            })
            .collect();
        preferred_replica::select(&near.rack, rack(self.context.broker_id), &candidates)
    }

    /// Whether `id` is in the ISR of this leader.
    pub fn is_in_sync(&self, id: i32) -> bool {
        self.lock().leading().is_ok_and(|(_, isr)| isr.is_in_sync(id))
    }
}
