//! Retention: which old segments go (`UnifiedLog.deleteOldSegments`).
//!
//! From the oldest on, by three rules in turn: below the log start, beyond `retention.bytes`, older than
//! `retention.ms`; without `cleanup.policy=delete` only the first. A segment goes only if the high watermark
//! has passed its end. The log start offset rises before any file goes. The active segment goes too, unless it
//! is empty: a new one is begun first.

use std::sync::Arc;

use super::log::{Log, State};
use super::log_config::LogConfig;
use super::log_error::LogError;
use super::segment::Segment;
use crate::bugs::{self, Bug};
use crate::clock::Timestamp;

impl Log {
    /// Removes the segments that no rule keeps; gives their number.
    pub fn delete_old_segments(&self, now: Timestamp) -> Result<usize, LogError> {
        let config = self.config();
        let mut deleted = self.delete_oldest(&config, now, |state, index| {
            let next = state.segments.all().get(index + 1);
            Ok(next.is_some_and(|next| next.base_offset() <= state.log_start_offset))
        })?;
        if config.delete {
            let mut excess = match config.retention_bytes {
                limit if limit < 0 => i64::MIN,
                limit => (self.size() as i64).saturating_sub(limit),
            };
            deleted += self.delete_oldest(&config, now, |state, index| {
                excess = excess.saturating_sub(state.segments.all()[index].size() as i64);
                Ok(excess >= 0)
            })?;
            deleted += self.delete_oldest(&config, now, |state, index| {
                if config.retention_ms < 0 {
                    return Ok(false);
                }
                let largest = state.segments.all()[index].largest_timestamp()?;
                Ok(now.0.saturating_sub(largest) > config.retention_ms)
            })?;
        }
        Ok(deleted)
    }

    /// Removes the longest run of oldest segments for which `must_go` holds and that are committed.
    fn delete_oldest(
        &self,
        config: &LogConfig,
        now: Timestamp,
        mut must_go: impl FnMut(&State, usize) -> std::io::Result<bool>,
    ) -> Result<usize, LogError> {
        let mut state = self.lock_open()?;
        let state = &mut *state;
        let mut count = 0;
        let all = state.segments.snapshot();
        while count < all.len() {
            let end = all.get(count + 1).map_or(state.log_end_offset, |next| next.base_offset());
            let is_empty_active = count + 1 == all.len() && all[count].size() == 0;
            let is_committed = state.high_watermark >= end || bugs::is_back(Bug::R13);
            if !is_committed || is_empty_active || !must_go(state, count)? {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        if count == all.len() {
            let base = state.log_end_offset;
            self.roll_to(state, base, config, now).map_err(|error| state.write_failed(error))?;
        }
        let next_base = state.segments.all()[count].base_offset();
        if next_base > state.log_start_offset {
            state.raise_log_start(next_base).map_err(|error| state.write_failed(error))?;
        }
        let gone = state.segments.drain_first(count);
        tracing::info!(partition = %self.partition(), count, next_base, "old segments deleted");
        self.let_go(state, &gone, config, now).map_err(|error| state.fence(error))?;
        Ok(count)
    }

    fn let_go(
        &self,
        state: &mut State,
        gone: &[Arc<Segment>],
        config: &LogConfig,
        now: Timestamp,
    ) -> std::io::Result<()> {
        for segment in gone {
            self.discard(segment, config.file_delete_delay_ms, now)?;
        }
        let bases: Vec<i64> = gone.iter().map(|segment| segment.base_offset()).collect();
        self.drop_snapshots(state, |offset| bases.contains(&offset))
    }
}
