//! A leader's answers, partition by partition (`processFetchRequest`,
//! `fetchOffsetAndTruncate`).
//!
//! One partition's trouble is that partition's alone: a bad batch or an error delays it, a failed log takes it out,
//! and the others go on. What moves nothing forward is delayed, so that no answer can make the fetcher spin.

use std::collections::BTreeMap;

use super::super::session::{Asked, SessionError};
use super::super::work::{Act, Fetched, Outcome, Position, Work};
use super::{Machine, Phase};
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::fetch::PartitionData;
use crate::protocol::messages::{FetchResponse, ListOffsetsResponse};

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_i16(number).unwrap_or(ErrorCode::UnknownServerError)
}

pub(super) fn on_fetch(machine: &mut Machine, now: Timestamp, response: FetchResponse) -> Vec<Work> {
    let answered = match machine.session.accept(response) {
        Ok(answered) => answered,
        Err(SessionError::Lost(error)) => {
            tracing::debug!(%error, "the fetch session begins anew");
            return Vec::new();
        }
        Err(error) => {
            tracing::info!(%error, "a fetch gave nothing");
            machine.delay_all(now);
            return Vec::new();
        }
    };
    answered.into_iter().filter_map(|(tp, data)| on_partition(machine, now, tp, data)).collect()
}

/// What was asked of a partition, if that is where it stands still.
fn still_asked(machine: &Machine, tp: &TopicPartition) -> Option<Asked> {
    let asked = *machine.session.asked(tp)?;
    let state = machine.partitions.get(tp)?;
    let stands = asked.fetch_offset == state.fetch_offset && asked.leader_epoch == state.leader_epoch;
    (stands && state.is_ready()).then_some(asked)
}

fn on_partition(
    machine: &mut Machine,
    now: Timestamp,
    tp: TopicPartition,
    data: PartitionData,
) -> Option<Work> {
    let asked = still_asked(machine, &tp)?;
    match code(data.error_code) {
        ErrorCode::None => {
            machine.enter(&tp, Phase::Working);
            machine.partitions.get_mut(&tp)?.early_pause_ms = 0;
            let act = act_of(machine, asked.fetch_offset, data);
            Some(Work { tp, leader_epoch: asked.leader_epoch, act })
        }
        ErrorCode::OffsetOutOfRange => {
            tracing::info!(partition = %tp, offset = asked.fetch_offset, "out of the leader's range");
            machine.enter(&tp, Phase::AskingLatest);
            None
        }
        error => {
            refused(machine, now, &tp, error);
            None
        }
    }
}

fn act_of(machine: &mut Machine, fetch_offset: i64, data: PartitionData) -> Act {
    let diverging = &data.diverging_epoch;
    if diverging.epoch >= 0 {
        return Act::CutAtEpoch { fetch_offset, epoch: diverging.epoch, end_offset: diverging.end_offset };
    }
    let records = data.records.as_ref().and_then(|records| records.as_bytes().cloned()).unwrap_or_default();
    machine.counts.bytes += records.len() as u64;
    let (high_watermark, log_start_offset) = (data.high_watermark, data.log_start_offset);
    Act::Append(Fetched { fetch_offset, records, high_watermark, log_start_offset })
}

/// The leader has another epoch, or is none, or has trouble of its own.
fn refused(machine: &mut Machine, now: Timestamp, tp: &TopicPartition, error: ErrorCode) {
    match error {
        ErrorCode::FencedLeaderEpoch => {
            tracing::debug!(partition = %tp, "its leader is in a newer term; waiting for the controller");
            machine.fail(tp, "its leader has a newer epoch than this broker was told".into());
        }
        ErrorCode::UnknownLeaderEpoch | ErrorCode::NotLeaderOrFollower => {
            tracing::debug!(partition = %tp, %error, "the leader is not there yet; trying again");
            machine.delay_early(now, tp);
        }
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::InconsistentTopicId => {
            tracing::warn!(
                partition = %tp, %error,
                "the leader does not know this partition: passing while it is created or deleted; trying again"
            );
            machine.delay(now, tp);
        }
        error => {
            tracing::error!(partition = %tp, %error, "the leader cannot serve this partition; trying again");
            machine.delay(now, tp);
        }
    }
}

pub(super) fn on_offsets(machine: &mut Machine, now: Timestamp, response: &ListOffsetsResponse) -> Vec<Work> {
    let mut answered = BTreeMap::new();
    for topic in &response.topics {
        for found in &topic.partitions {
            let tp = TopicPartition::new(topic.name.as_str(), found.partition_index);
            answered.insert(tp, (code(found.error_code), found.offset));
        }
    }
    // Nothing begins to ask while a request is under way: these are the ones that were in it.
    let asking: Vec<TopicPartition> = machine
        .unsettled
        .iter()
        .filter(|tp| {
            let state = &machine.partitions[*tp];
            let asks = matches!(state.phase, Phase::AskingLatest | Phase::AskingEarliest);
            asks && state.delayed_until.is_none()
        })
        .cloned()
        .collect();
    let mut work = Vec::new();
    for tp in asking {
        match answered.get(&tp) {
            Some((ErrorCode::None, offset)) if *offset >= 0 => {
                work.extend(on_offset(machine, now, tp, *offset));
            }
            Some((ErrorCode::None, _)) | None => {
                give_up_asking(machine, now, &tp, ErrorCode::OffsetNotAvailable)
            }
            Some((error, _)) => give_up_asking(machine, now, &tp, *error),
        }
    }
    work
}

/// It fetches again after the back-off, and asks again if that is still out of range.
fn give_up_asking(machine: &mut Machine, now: Timestamp, tp: &TopicPartition, error: ErrorCode) {
    machine.enter(tp, Phase::Fetching);
    refused(machine, now, tp, error);
}

fn on_offset(machine: &mut Machine, now: Timestamp, tp: TopicPartition, offset: i64) -> Option<Work> {
    let state = machine.partitions.get_mut(&tp)?;
    let (leader_epoch, own_end) = (state.leader_epoch, state.fetch_offset);
    match state.phase {
        Phase::AskingLatest if offset < own_end => {
            tracing::warn!(partition = %tp, own_end, leader_end = offset, "cutting the log to its leader's end");
            state.lag = Some(0);
            machine.enter(&tp, Phase::Working);
            Some(Work { tp, leader_epoch, act: Act::CutTo(offset) })
        }
        Phase::AskingLatest => {
            state.lag = Some(offset - own_end);
            machine.enter(&tp, Phase::AskingEarliest);
            None
        }
        Phase::AskingEarliest if offset > own_end => {
            tracing::warn!(partition = %tp, own_end, leader_start = offset, "the leader starts later; beginning anew");
            machine.enter(&tp, Phase::Working);
            Some(Work { tp, leader_epoch, act: Act::RestartAt(offset) })
        }
        Phase::AskingEarliest => {
            // The leader has come past it meanwhile; or it will say the same again, and must not be asked at once.
            tracing::info!(partition = %tp, own_end, "going on at the own log end");
            machine.enter(&tp, Phase::Fetching);
            machine.delay(now, &tp);
            None
        }
        Phase::Fetching | Phase::Cutting | Phase::Working => None,
    }
}

pub(super) fn on_done(machine: &mut Machine, now: Timestamp, work: &Work, outcome: Outcome) {
    let waits = machine
        .partitions
        .get(&work.tp)
        .is_some_and(|state| state.phase == Phase::Working && state.leader_epoch == work.leader_epoch);
    if !waits {
        return;
    }
    match outcome {
        Outcome::Done(position) => done(machine, now, work, position),
        Outcome::Later(why) => {
            tracing::warn!(partition = %work.tp, why, "replication of this partition is tried again later");
            let needs_cut =
                matches!(work.act, Act::CutTo(_)) && machine.partitions[&work.tp].last_epoch.is_none();
            machine.enter(&work.tp, if needs_cut { Phase::Cutting } else { Phase::Fetching });
            machine.delay(now, &work.tp);
        }
        Outcome::Failed(why) => {
            tracing::warn!(partition = %work.tp, why, "replication of this partition stops until the controller says more");
            machine.fail(&work.tp, why);
        }
    }
}

fn done(machine: &mut Machine, now: Timestamp, work: &Work, position: Position) {
    let Some(state) = machine.partitions.get_mut(&work.tp) else { return };
    let before = Position { log_end_offset: state.fetch_offset, last_epoch: state.last_epoch };
    let moved = before != position;
    let mut in_vain = false;
    match &work.act {
        Act::Append(fetched) => {
            state.lag = Some(fetched.high_watermark.saturating_sub(position.log_end_offset).max(0));
            in_vain = !moved && !fetched.records.is_empty();
        }
        Act::CutAtEpoch { .. } => {
            tracing::info!(partition = %work.tp, offset = position.log_end_offset, "cut where it left its leader's log");
            in_vain = !moved;
        }
        Act::CutTo(_) | Act::RestartAt(_) => {}
    }
    machine.stand_at(&work.tp, position);
    if in_vain {
        tracing::warn!(partition = %work.tp, "the leader's answer changed nothing; trying again later");
        machine.delay(now, &work.tp);
    } else if moved {
        let turn = machine.next_turn();
        machine.partitions.get_mut(&work.tp).into_iter().for_each(|state| state.turn = turn);
    }
}
