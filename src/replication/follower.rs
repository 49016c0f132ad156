//! A follower's log, changed as its fetcher says (`Partition.appendRecordsToFollowerOrFutureReplica`, `truncateTo`,
//! `ReplicaFetcherThread.processPartitionData`).
//!
//! Everything happens under the partition's lock, and only while this broker follows in the very leader epoch in
//! which the leader was asked: an answer that comes late never touches the log of a later term. Synchronous; knows
//! nothing of requests.

use std::sync::{Arc, MutexGuard};

use super::fetcher::truncation::{OwnEpoch, offset_to_cut_to};
use super::fetcher::work::{Act, Fetched, Outcome, Position, Start, Work};
use super::partition::{Partition, Role, State};
use crate::bugs::{self, Bug};
use crate::clock::Timestamp;
use crate::storage::append_error::AppendError;
use crate::storage::log::{Log, LogOffsets};
use crate::storage::log_error::LogError;

impl Partition {
    /// Where a fetcher of this broker's new leader begins: at the log end if the log knows epochs, for then Fetch finds
    /// where the logs part (KIP-595); else at the high watermark, to which the log is cut first. With the leader,
    /// -1 = nobody. `None` if this broker leads, or the log is offline.
    pub fn follow_from(&self) -> Option<(i32, Start)> {
        let state = self.lock();
        let log = state.log.as_ref().filter(|_| state.leadership.role == Role::Follower)?;
        let (offsets, last_epoch) = (log.offsets(), log.latest_epoch().filter(|_| !bugs::is_back(Bug::R1)));
        let offset = match last_epoch {
            Some(_) => offsets.log_end_offset,
            None => offsets.high_watermark,
        };
        let (topic_id, leader_epoch) = (state.topic_id, state.leadership.leader_epoch);
        let start = Start { tp: self.tp.clone(), topic_id, leader_epoch, offset, last_epoch };
        Some((state.leadership.leader, start))
    }

    /// Does a fetcher's work.
    pub fn follow(&self, work: &Work, now: Timestamp) -> Outcome {
        let mut woken = false;
        let outcome = match self.following(work.leader_epoch) {
            Err(why) => why,
            Ok((state, log)) => {
                let result = match &work.act {
                    Act::Append(fetched) => {
                        append(&log, fetched, work.leader_epoch, now).map(|moved| woken = moved)
                    }
                    act => cut(&log, act, now),
                };
                let outcome = outcome_of(result, &log);
                drop(state);
                outcome
            }
        };
        if woken {
            self.touch();
        }
        outcome
    }

    /// The state, locked, and the log, if this broker follows in this term.
    fn following(&self, leader_epoch: i32) -> Result<(MutexGuard<'_, State>, Arc<Log>), Outcome> {
        let state = self.lock();
        let leadership = &state.leadership;
        if leadership.role != Role::Follower || leadership.leader_epoch != leader_epoch {
            let now = leadership.leader_epoch;
            return Err(Outcome::Later(format!("epoch {leader_epoch} is over, it is {now} now")));
        }
        match state.log.clone() {
            Some(log) => Ok((state, log)),
            None => Err(Outcome::Failed("its log directory is offline".into())),
        }
    }
}

/// Appends, and takes over the leader's marks. Whether the high watermark moved.
fn append(log: &Log, fetched: &Fetched, leader_epoch: i32, now: Timestamp) -> Result<bool, AppendError> {
    let before = log.offsets();
    if before.log_end_offset != fetched.fetch_offset {
        // Cut or restarted meanwhile: the fetcher learns where the log ends, and asks from there.
        return Ok(false);
    }
    if has_nothing_to_compare(log, &before, fetched, leader_epoch) {
        tracing::info!(partition = %log.partition(), offset = fetched.fetch_offset,
            "the leader's log starts where this one ends, which may have left it before: beginning anew");
        log.truncate_fully_and_start_at(fetched.fetch_offset, now)?;
    }
    match log.append_as_follower(&fetched.records, leader_epoch, now) {
        // The leader's log starts inside a batch, and this is the first one that an empty log gets (KAFKA-6975).
        Err(AppendError::UnexpectedOffset { first, last, log_end_offset: end })
            if before.log_start_offset == end && first < end && last >= end =>
        {
            tracing::info!(partition = %log.partition(), offset = first, "starting the log at its first batch");
            log.truncate_fully_and_start_at(first, now)?;
            log.append_as_follower(&fetched.records, leader_epoch, now)?;
        }
        appended => {
            appended?;
        }
    }
    let high_watermark = log.update_high_watermark(fetched.high_watermark);
    if fetched.log_start_offset <= high_watermark {
        log.increment_log_start(fetched.log_start_offset, "the leader's log starts there")?;
    }
    Ok(high_watermark != before.high_watermark)
}

/// Whether this log may have left its leader's unnoticed: it ends where the leader's starts, so that no epochs were
/// there to compare, and its last records are of an earlier term and not known to be committed. The records are about to
/// go anyhow; the producers' sequences that came with them must not stay, or this broker refuses, once it leads, what
/// follows in the log of the others. (Kafka keeps them.)
fn has_nothing_to_compare(log: &Log, offsets: &LogOffsets, fetched: &Fetched, leader_epoch: i32) -> bool {
    fetched.log_start_offset >= offsets.log_end_offset
        && offsets.high_watermark < offsets.log_end_offset
        && log.latest_epoch().is_none_or(|epoch| epoch < leader_epoch)
}

fn cut(log: &Log, act: &Act, now: Timestamp) -> Result<(), AppendError> {
    let offset = match act {
        Act::Append(_) => return Ok(()),
        Act::RestartAt(offset) => {
            log.truncate_fully_and_start_at(*offset, now)?;
            return Ok(());
        }
        Act::CutTo(offset) => *offset,
        Act::CutAtEpoch { fetch_offset, epoch, end_offset } => {
            let (own_epoch, own_end) = log.end_offset_for_epoch(*epoch);
            let own =
                OwnEpoch { epoch: own_epoch, end_offset: own_end, log_end_offset: log.log_end_offset() };
            offset_to_cut_to(*fetch_offset, *epoch, *end_offset, own)
        }
    };
    let high_watermark = log.high_watermark();
    if offset < high_watermark {
        tracing::warn!(partition = %log.partition(), offset, high_watermark, "cut below the high watermark");
    }
    log.truncate_to(offset, now)?;
    Ok(())
}

fn outcome_of(result: Result<(), AppendError>, log: &Log) -> Outcome {
    match result {
        Ok(()) => {
            Outcome::Done(Position { log_end_offset: log.log_end_offset(), last_epoch: log.latest_epoch() })
        }
        // A damaged batch on the leader, or on the way: it may be whole the next time (KAFKA-4384).
        Err(error @ (AppendError::Records(_) | AppendError::Invalid { .. })) => {
            Outcome::Later(error.to_string())
        }
        // Space may be freed.
        Err(error @ AppendError::Log(LogError::NoSpace(_))) => Outcome::Later(error.to_string()),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
