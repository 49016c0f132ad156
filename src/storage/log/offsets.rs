//! The offsets of a log: its bounds, and those found by timestamp or leader epoch.

use std::io;
use std::sync::Arc;

use super::{Log, State};
use crate::protocol::records::record::records;
use crate::protocol::records::view::BatchView;
use crate::storage::batch_scan::{BatchScan, ScannedBatch};
use crate::storage::epoch_cache::EpochEntry;
use crate::storage::fs::File;
use crate::storage::log_error::LogError;
use crate::storage::segment::Segment;
use crate::storage::validate::MAX_DECOMPRESSED;

/// All bounds at one moment: log start <= last stable <= high watermark <= log end.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LogOffsets {
    /// First readable offset.
    pub log_start_offset: i64,
    /// Below it no transaction is open.
    pub last_stable_offset: i64,
    /// Below it everything is committed.
    pub high_watermark: i64,
    /// Offset of the next record.
    pub log_end_offset: i64,
    /// Below it everything is on disk.
    pub flushed_offset: i64,
}

/// An offset found by timestamp.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TimestampAndOffset {
    /// Timestamp of the record.
    pub timestamp: i64,
    /// Its offset.
    pub offset: i64,
    /// Epoch of the leader that wrote it, -1 in old formats.
    pub leader_epoch: i32,
}

impl Log {
    /// All bounds, read at once.
    pub fn offsets(&self) -> LogOffsets {
        let state = self.lock();
        LogOffsets {
            log_start_offset: state.log_start_offset,
            last_stable_offset: state.last_stable_offset(),
            high_watermark: state.high_watermark,
            log_end_offset: state.log_end_offset,
            flushed_offset: state.flushed_offset,
        }
    }

    /// First readable offset.
    pub fn log_start_offset(&self) -> i64 {
        self.lock().log_start_offset
    }

    /// Offset of the next record.
    pub fn log_end_offset(&self) -> i64 {
        self.lock().log_end_offset
    }

    /// Below it everything is committed.
    pub fn high_watermark(&self) -> i64 {
        self.lock().high_watermark
    }

    /// Below it no transaction is open.
    pub fn last_stable_offset(&self) -> i64 {
        self.lock().last_stable_offset()
    }

    /// Below it everything is on disk.
    pub fn flushed_offset(&self) -> i64 {
        self.lock().flushed_offset
    }

    /// Where recovery has to start after a crash: what the checkpoint says. Not above the flushed offset.
    pub fn recovery_point(&self) -> i64 {
        self.lock().recovery_point()
    }

    /// Sets the high watermark, clamped to log start and log end; gives what it became (followers, and when a
    /// replica takes up its role).
    pub fn update_high_watermark(&self, offset: i64) -> i64 {
        let mut state = self.lock();
        state.set_high_watermark(offset);
        state.high_watermark
    }

    /// Raises the high watermark to `offset` or the log end; gives the old one if it moved (leaders).
    pub fn maybe_increment_high_watermark(&self, offset: i64) -> Option<i64> {
        let mut state = self.lock();
        let old = state.high_watermark;
        if offset.min(state.log_end_offset) <= old {
            return None;
        }
        state.set_high_watermark(offset);
        Some(old)
    }

    /// Notes that this replica leads with `epoch` from the log end on: before any append of that epoch.
    pub fn assign_epoch_at_end(&self, epoch: i32) -> Result<(), LogError> {
        let mut state = self.lock_open()?;
        let end = state.log_end_offset;
        state.epochs.assign(epoch, end).map_err(|error| state.write_failed(error))
    }

    /// The newest leader epoch in the log.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.lock().epochs.latest().map(|entry| entry.epoch)
    }

    /// The leader epochs and where they start, ascending.
    pub fn epochs(&self) -> Vec<EpochEntry> {
        self.lock().epochs.entries().to_vec()
    }

    /// The leader epoch that wrote `offset`.
    pub fn epoch_for(&self, offset: i64) -> Option<i32> {
        self.lock().epochs.epoch_for(offset)
    }

    /// Where `epoch` ends, as (epoch, end offset) of the greatest known epoch not above it; (-1, -1) if unknown
    /// (OffsetForLeaderEpoch).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        let state = self.lock();
        state.epochs.end_offset_for(epoch, state.log_end_offset)
    }

    /// The first record at or above the log start whose timestamp is at least `timestamp`.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampAndOffset>, LogError> {
        let (segments, start) = self.lock_open()?.for_search();
        for segment in segments.iter() {
            if segment.max_timestamp()?.0 < timestamp {
                continue;
            }
            if let Some(found) = search(segment, timestamp, start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp, the first of them if several have it (ListOffsets -3).
    pub fn offset_for_max_timestamp(&self) -> Result<Option<TimestampAndOffset>, LogError> {
        let (segments, start) = self.lock_open()?.for_search();
        let mut largest: Option<(i64, &Arc<Segment>)> = None;
        for segment in segments.iter() {
            let (timestamp, _) = segment.max_timestamp()?;
            if timestamp >= 0 && largest.is_none_or(|(max, _)| timestamp > max) {
                largest = Some((timestamp, segment));
            }
        }
        let Some((timestamp, segment)) = largest else { return Ok(None) };
        Ok(search(segment, timestamp, start)?)
    }

    /// Segment base offsets for ListOffsets v0: at most `max` of them, newest first, of segments last changed
    /// before `timestamp`; -1 is all, preceded by the high watermark, and -2 the log start alone.
    pub fn offsets_before(&self, timestamp: i64, max: usize) -> Result<Vec<i64>, LogError> {
        const LATEST: i64 = -1;
        const EARLIEST: i64 = -2;
        let (segments, high_watermark, log_start) = {
            let state = self.lock_open()?;
            (state.segments.snapshot(), state.high_watermark, state.log_start_offset)
        };
        if timestamp == EARLIEST {
            return Ok([log_start].into_iter().take(max).collect());
        }
        let mut found = Vec::new();
        if timestamp == LATEST && segments.last().is_none_or(|last| high_watermark > last.base_offset()) {
            found.push(high_watermark);
        }
        for segment in segments.iter().rev() {
            if found.len() >= max {
                break;
            }
            let base = segment.base_offset().max(log_start);
            if base <= high_watermark && (timestamp == LATEST || segment.modified_ms()? <= timestamp) {
                found.push(base);
            }
        }
        found.truncate(max);
        Ok(found)
    }
}

impl State {
    fn for_search(&self) -> (Arc<Vec<Arc<Segment>>>, i64) {
        (self.segments.snapshot(), self.log_start_offset)
    }
}

/// The first record of a segment at or above `start` with at least `timestamp`.
fn search(segment: &Segment, timestamp: i64, start: i64) -> io::Result<Option<TimestampAndOffset>> {
    let from = segment.position_for_timestamp(timestamp, start)?;
    let file = segment.file()?;
    let mut scan = BatchScan::new(file.clone(), from, segment.size());
    while let Some(batch) = scan.next_batch()? {
        if batch.max_timestamp() < timestamp || batch.last_offset() < start {
            continue;
        }
        if let Some(found) = search_batch(&*file, &batch, timestamp, start)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn search_batch(
    file: &dyn File,
    batch: &ScannedBatch,
    timestamp: i64,
    start: i64,
) -> io::Result<Option<TimestampAndOffset>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = vec![0; batch.size];
    file.read_exact_at(&mut bytes, batch.position)?;
    let view = BatchView::parse(&bytes).map_err(invalid)?;
    let opened = records(&view, MAX_DECOMPRESSED).map_err(invalid)?;
    for record in opened.iter().map_err(invalid)? {
        let record = record.map_err(invalid)?;
        if record.timestamp >= timestamp && record.offset >= start {
            let leader_epoch = batch.leader_epoch();
            return Ok(Some(TimestampAndOffset {
                timestamp: record.timestamp,
                offset: record.offset,
                leader_epoch,
            }));
        }
    }
    Ok(None)
}
