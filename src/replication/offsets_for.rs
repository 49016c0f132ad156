//! Offsets by timestamp, for ListOffsets (`Partition.fetchOffsetForTimestamp`).

use super::partition::Partition;
use crate::protocol::error_code::ErrorCode;
use crate::storage::log::Bound;
use crate::storage::log::Log;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// "No offset", "no timestamp", "no epoch".
const NONE: i64 = -1;

/// What is asked.
#[derive(Copy, Clone, Debug)]
pub struct Ask {
    /// Milliseconds, or one of the special negative values.
    pub timestamp: i64,
    /// The leader epoch the client knows, -1 = none.
    pub current_leader_epoch: i32,
    /// How far the client may see.
    pub bound: Bound,
    /// Only a leader answers.
    pub leader_only: bool,
}

/// What was found; -1 in each field for nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Offset.
    pub offset: i64,
    /// Timestamp of the record there, when one was searched for.
    pub timestamp: i64,
    /// Leader epoch of the record there.
    pub leader_epoch: i32,
}

fn log_of(partition: &Partition, ask: &Ask) -> Result<std::sync::Arc<Log>, ErrorCode> {
    match ask.leader_only {
        true => partition.leader_log(ask.current_leader_epoch),
        false => partition.any_log(ask.current_leader_epoch),
    }
}

/// First offset that the asker may not see.
fn end_for(log: &Log, bound: Bound) -> i64 {
    let offsets = log.offsets();
    match bound {
        Bound::LogEnd => offsets.log_end_offset,
        Bound::HighWatermark => offsets.high_watermark,
        Bound::LastStable => offsets.last_stable_offset,
    }
}

/// Finds an offset.
pub fn find(partition: &Partition, ask: &Ask) -> Result<Found, ErrorCode> {
    let log = log_of(partition, ask)?;
    let leader_epoch = partition.leader().1;
    // Just elected, this leader may not know yet how much of what it has is committed: an offset given now could go
    // back (`OffsetNotAvailable`, KIP-207).
    let is_unsure = ask.bound != Bound::LogEnd
        && partition.epoch_start().is_some_and(|start| start > log.high_watermark());
    let at = |offset, timestamp, leader_epoch| Ok(Found { offset, timestamp, leader_epoch });
    let epoch_at = |offset| log.epoch_for(offset).unwrap_or(-1);
    match ask.timestamp {
        LATEST if is_unsure => Err(ErrorCode::OffsetNotAvailable),
        LATEST => at(end_for(&log, ask.bound), NONE, leader_epoch),
        EARLIEST | EARLIEST_LOCAL => {
            let start = log.log_start_offset();
            at(start, NONE, epoch_at(start))
        }
        LATEST_TIERED => at(NONE, NONE, -1),
        MAX_TIMESTAMP => match log.offset_for_max_timestamp().map_err(|error| error.code())? {
            Some(found) => at(found.offset, found.timestamp, found.leader_epoch),
            None => at(NONE, NONE, -1),
        },
        timestamp => match log.offset_for_timestamp(timestamp).map_err(|error| error.code())? {
            Some(found) if found.offset < end_for(&log, ask.bound) => {
                at(found.offset, found.timestamp, found.leader_epoch)
            }
            _ if is_unsure => Err(ErrorCode::OffsetNotAvailable),
            _ => at(NONE, NONE, -1),
        },
    }
}

/// Up to `count` offsets of segment starts before a timestamp, newest first (version 0).
pub fn list_old_style(partition: &Partition, ask: &Ask, count: i32) -> Result<Vec<i64>, ErrorCode> {
    let log = log_of(partition, ask)?;
    let count = count.max(0) as usize;
    let mut offsets = log.offsets_before(ask.timestamp, count).map_err(|error| error.code())?;
    let end = end_for(&log, ask.bound);
    // Consumers must not learn offsets that they cannot fetch.
    if offsets.iter().any(|offset| *offset > end) {
        offsets.retain(|offset| *offset <= end);
        if offsets.first() != Some(&end) {
            offsets.insert(0, end);
        }
        offsets.truncate(count);
    }
    Ok(offsets)
}
