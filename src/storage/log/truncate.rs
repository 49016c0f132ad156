//! Cutting the log at either end.
//!
//! Truncation removes whole batches: an offset inside a batch takes the batch with it. Order of a cut from the
//! end: epochs after batches, so a crash leaves epochs that loading drops. Source: `UnifiedLog.truncateTo`,
//! `truncateFullyAndStartAt`, `maybeIncrementLogStartOffset`.

use std::io;
use std::sync::Arc;

use super::{Log, State};
use crate::bugs::{self, Bug};
use crate::clock::Timestamp;
use crate::storage::log_config::LogConfig;
use crate::storage::log_error::LogError;
use crate::storage::producer_rebuild;
use crate::storage::producer_snapshot::snapshot_path;
use crate::storage::producer_state::ProducerState;
use crate::storage::segment::Segment;

impl Log {
    /// Removes everything from `offset` on. Whether anything was removed.
    pub fn truncate_to(&self, offset: i64, now: Timestamp) -> Result<bool, LogError> {
        let config = self.config();
        let mut state = self.lock_open()?;
        let state = &mut *state;
        if offset >= state.log_end_offset {
            if bugs::is_back(Bug::R5) {
                return Ok(false);
            }
            let trimmed = state.epochs.truncate_from_end(offset);
            trimmed.map_err(|error| state.write_failed(error))?;
            return Ok(false);
        }
        if state.segments.first().is_some_and(|first| offset < first.base_offset()) {
            self.restart_at(state, offset, &config, now)?;
            return Ok(true);
        }
        state.truncations += 1;
        state.recent.clear();
        // The bytes that replace what goes are not on disk yet: the flushed offset falls first.
        state.flushed_offset = state.flushed_offset.min(offset);
        let cut = self.cut_segments(state, offset, config.file_delete_delay_ms, now);
        cut.map_err(|error| state.fence(error))?;
        let end = state.active().read_next_offset();
        state.log_end_offset = end.map_err(|error| state.fence(error))?.max(state.active().base_offset());
        state.flushed_offset = state.flushed_offset.min(state.log_end_offset);
        state.indexes_flushed_to = state.indexes_flushed_to.min(state.active().base_offset());
        state.log_start_offset = state.log_start_offset.min(state.log_end_offset);
        let trimmed = state.epochs.truncate_from_end(offset);
        trimmed.map_err(|error| state.fence(error))?;
        let rebuilt = self.rebuild_producers(state, now);
        rebuilt.map_err(|error| state.fence(error))?;
        state.set_high_watermark(state.high_watermark);
        Ok(true)
    }

    fn cut_segments(&self, state: &mut State, offset: i64, delay_ms: i64, now: Timestamp) -> io::Result<()> {
        let keep = state.segments.all().partition_point(|segment| segment.base_offset() <= offset);
        let later = state.segments.split_off(keep.max(1));
        // Newest first: a crash in between leaves a log without holes.
        for segment in later.iter().rev() {
            self.discard(segment, delay_ms, now)?;
        }
        state.active().truncate_to(offset)?;
        state.cut_is_dirty = true;
        state.dir_is_dirty = true;
        Ok(())
    }

    /// Removes everything; the log is empty and starts at `offset` afterwards.
    pub fn truncate_fully_and_start_at(&self, offset: i64, now: Timestamp) -> Result<(), LogError> {
        let config = self.config();
        self.restart_at(&mut *self.lock_open()?, offset, &config, now)
    }

    fn restart_at(
        &self,
        state: &mut State,
        offset: i64,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<(), LogError> {
        state.truncations += 1;
        state.recent.clear();
        state.flushed_offset = state.flushed_offset.min(offset);
        let all = state.segments.split_off(0);
        let replaced = (|| {
            for segment in all.iter().rev() {
                self.discard(segment, config.file_delete_delay_ms, now)?;
            }
            Segment::create(self.fs(), &state.dir, offset, config, now)
        })();
        match replaced {
            Ok(segment) => state.segments.insert(Arc::new(segment)),
            Err(error) => {
                all.into_iter().for_each(|segment| state.segments.insert(segment));
                return Err(state.fence(error));
            }
        }
        state.dir_is_dirty = true;
        state.log_end_offset = offset;
        state.log_start_offset = offset;
        // Nothing of a log is on disk before its directory is: its topic id may still go with the power.
        state.flushed_offset = if state.is_new { 0 } else { offset };
        state.indexes_flushed_to = offset;
        let cleared = state.epochs.clear().and_then(|()| self.drop_snapshots(state, |_| true));
        cleared.map_err(|error| state.fence(error))?;
        state.producers = ProducerState::starting_at(offset);
        state.set_high_watermark(offset);
        Ok(())
    }

    /// Raises the log start offset (DeleteRecords, or what the leader says). Whether it moved. It may not pass
    /// the high watermark. Segments below are removed by the next retention pass.
    pub fn increment_log_start(&self, offset: i64, reason: &str) -> Result<bool, LogError> {
        let mut state = self.lock_open()?;
        if offset > state.high_watermark {
            return Err(LogError::OffsetOutOfRange {
                offset,
                log_start_offset: state.log_start_offset,
                log_end_offset: state.high_watermark,
            });
        }
        if offset <= state.log_start_offset {
            return Ok(false);
        }
        tracing::info!(partition = %self.partition(), offset, reason, "log start offset raised");
        state.raise_log_start(offset).map_err(|error| state.write_failed(error))?;
        Ok(true)
    }

    /// Renames a segment's files and lets the trash remove them later.
    pub(in crate::storage) fn discard(
        &self,
        segment: &Segment,
        delay_ms: i64,
        now: Timestamp,
    ) -> io::Result<()> {
        for path in segment.rename_deleted()? {
            self.context().trash.file(path, now.plus_ms(delay_ms));
        }
        Ok(())
    }

    /// Removes the producer snapshots for which `is_dropped` holds.
    pub(in crate::storage) fn drop_snapshots(
        &self,
        state: &mut State,
        is_dropped: impl Fn(i64) -> bool,
    ) -> io::Result<()> {
        for offset in state.snapshots.iter().copied().filter(|offset| is_dropped(*offset)) {
            match self.fs().remove_file(&snapshot_path(&state.dir, offset)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        state.snapshots.retain(|offset| !is_dropped(*offset));
        Ok(())
    }

    /// Producers as of the log end: from the newest snapshot at or below it, and the batches after.
    fn rebuild_producers(&self, state: &mut State, now: Timestamp) -> io::Result<()> {
        let end = state.log_end_offset;
        self.drop_snapshots(state, |offset| offset > end)?;
        let expiration_ms = self.context().producer_expiration_ms();
        let (producers, damaged) =
            producer_rebuild::load(self.fs(), &state.dir, &state.snapshots, now, expiration_ms);
        self.drop_snapshots(state, |offset| damaged.contains(&offset))?;
        let first = state.segments.first().map_or(end, |first| first.base_offset());
        state.producers = producers.unwrap_or_else(|| ProducerState::starting_at(first));
        producer_rebuild::replay(&mut state.producers, state.segments.all(), end)
    }
}

impl State {
    /// The log starts at `offset` now.
    pub(in crate::storage) fn raise_log_start(&mut self, offset: i64) -> io::Result<()> {
        self.log_start_offset = offset;
        if self.high_watermark < offset {
            self.set_high_watermark(offset);
        }
        self.epochs.truncate_from_start(offset)?;
        let newest = self.snapshots.last().copied();
        self.producers.on_log_start_offset(offset, newest);
        Ok(())
    }
}
