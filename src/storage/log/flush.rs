//! Rolling, syncing and closing: what makes data durable, in an order that survives a crash at any point.
//!
//! A flush notes under the lock how far it will reach, syncs without the lock, then moves the flushed offset:
//! first the segments (of sealed ones the indexes too; those of the active segment are rebuilt by recovery),
//! then the directory that names them. An error of any sync fences the log: the kernel may have dropped the
//! pages, so a second sync that succeeds would prove nothing. Source: `LocalLog.roll`, `UnifiedLog.flush`.

use std::io;
use std::sync::{Arc, PoisonError};

use super::{Health, Log, State};
use crate::clock::Timestamp;
use crate::storage::epoch_cache::EPOCH_FILE;
use crate::storage::fs::{Open, parent_of};
use crate::storage::log_config::LogConfig;
use crate::storage::log_error::LogError;
use crate::storage::partition_metadata::PARTITION_METADATA_FILE;
use crate::storage::producer_snapshot::snapshot_path;
use crate::storage::segment::Segment;

/// What a flush has to do, noted under the lock.
struct Flush {
    target: i64,
    /// Sealed segments that start below this get their indexes synced.
    indexes_to: i64,
    sealed: Vec<Arc<Segment>>,
    active: Arc<Segment>,
    snapshots: Vec<i64>,
    /// The change up to which the epochs get durable, if there is one.
    epochs: Option<u64>,
    dir: std::path::PathBuf,
    dir_is_dirty: bool,
    is_new: bool,
    cut_is_dirty: bool,
    truncations: u64,
}

impl Log {
    /// Begins a new segment at the log end, if the active one holds anything. Gives the new base offset.
    pub fn roll(&self, now: Timestamp) -> Result<i64, LogError> {
        let config = self.config();
        let mut state = self.lock_open()?;
        if state.active().size() == 0 {
            return Ok(state.active().base_offset());
        }
        let base = state.log_end_offset;
        self.roll_to(&mut state, base, &config, now).map_err(|error| state.write_failed(error))?;
        Ok(base)
    }

    /// Seals the active segment and begins one at `base`, with a producer snapshot there. Syncs nothing: the
    /// flush pass does, away from the append.
    pub(in crate::storage) fn roll_to(
        &self,
        state: &mut State,
        base: i64,
        config: &LogConfig,
        now: Timestamp,
    ) -> io::Result<()> {
        state.active().seal()?;
        state.producers.set_end_offset(base);
        state.take_snapshot(self.fs(), false)?;
        let segment = Segment::create(self.fs(), &state.dir, base, config, now)?;
        state.segments.insert(Arc::new(segment));
        state.recent.clear();
        state.dir_is_dirty = true;
        state.jitter_ms = config.random_jitter_ms();
        Ok(())
    }

    /// Makes everything appended so far durable, and moves the flushed offset to the log end. Gives it.
    pub fn flush(&self, now: Timestamp) -> Result<i64, LogError> {
        self.flush_up_to(i64::MAX, now)
    }

    /// Makes the sealed segments durable: what is due after a roll.
    pub fn flush_sealed(&self, now: Timestamp) -> Result<i64, LogError> {
        let base = self.lock_open()?.active().base_offset();
        self.flush_up_to(base, now)
    }

    /// Whether a sealed segment waits for its sync, or `flush.ms` has passed with something unsynced.
    pub fn needs_flush(&self, now: Timestamp) -> bool {
        let flush_ms = self.config.load().flush_ms;
        let state = self.lock();
        matches!(state.health, Health::Open)
            && (state.cut_is_dirty
                || state.indexes_flushed_to < state.active().base_offset()
                || (state.flushed_offset < state.log_end_offset
                    && now.since_ms(state.last_flush) >= flush_ms))
    }

    /// Makes everything below `offset` durable (the log end at most). Gives the flushed offset.
    pub fn flush_up_to(&self, offset: i64, now: Timestamp) -> Result<i64, LogError> {
        // One at a time: a second one must not move the flushed offset past names the first still syncs.
        let _alone = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let job = {
            let mut state = self.lock_open()?;
            let target = offset.min(state.log_end_offset);
            let sealed_below = target.min(state.active().base_offset());
            let is_dirty = state.is_new
                || state.cut_is_dirty
                || state.indexes_flushed_to < sealed_below
                || state.epochs.unsynced().is_some();
            if target <= state.flushed_offset && !is_dirty {
                return Ok(state.flushed_offset);
            }
            state.plan_flush(target)
        };
        let result = self.run_flush(&job);
        let mut state = self.lock_open()?;
        if let Err(error) = result {
            // A segment that retention or truncation took away meanwhile needs no sync.
            let is_gone = error.kind() == io::ErrorKind::NotFound
                && (state.truncations != job.truncations
                    || job.sealed.first().is_some_and(|oldest| !state.holds(oldest)));
            if !is_gone {
                return Err(state.fence(error));
            }
            state.dir_is_dirty |= job.dir_is_dirty;
            return Ok(state.flushed_offset);
        }
        if state.truncations == job.truncations {
            state.flushed_offset = state.flushed_offset.max(job.target.min(state.log_end_offset));
            state.indexes_flushed_to = state.indexes_flushed_to.max(job.indexes_to);
            state.cut_is_dirty = false;
            state.last_flush = now;
        }
        state.epochs.note_synced(job.epochs.unwrap_or(0));
        state.is_new &= !job.is_new;
        Ok(state.flushed_offset)
    }

    /// `flush.messages`: after an append.
    pub(super) fn flush_if_due(&self, config: &LogConfig, now: Timestamp) -> Result<(), LogError> {
        if config.flush_messages == i64::MAX {
            return Ok(());
        }
        let unflushed = {
            let state = self.lock_open()?;
            state.log_end_offset - state.flushed_offset
        };
        if unflushed >= config.flush_messages {
            self.flush(now)?;
        }
        Ok(())
    }

    fn run_flush(&self, job: &Flush) -> io::Result<()> {
        let fs = self.fs();
        for segment in &job.sealed {
            segment.sync_batches()?;
            segment.sync_indexes()?;
        }
        if job.target > job.active.base_offset() || job.cut_is_dirty {
            job.active.sync_batches()?;
        }
        let snapshots = job.snapshots.iter().map(|offset| snapshot_path(&job.dir, *offset));
        let metadata = job.is_new.then(|| job.dir.join(PARTITION_METADATA_FILE));
        let epochs = job.epochs.map(|_| job.dir.join(EPOCH_FILE));
        for path in snapshots.chain(metadata).chain(epochs) {
            match fs.open(&path, Open::Write) {
                Ok(file) => file.sync()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if job.dir_is_dirty {
            fs.sync_dir(&job.dir)?;
        }
        if job.is_new {
            fs.sync_dir(parent_of(&job.dir))?;
        }
        Ok(())
    }

    /// Flushes everything, writes the producer snapshot, cuts the indexes to size and closes the log: what a
    /// clean shutdown needs of it. Nothing can be done with it afterwards.
    pub fn close(&self, now: Timestamp) -> Result<(), LogError> {
        {
            let mut state = self.lock_open()?;
            let sealed = state.active().seal();
            state.cut_is_dirty |= sealed.map_err(|error| state.fence(error))?;
            let end = state.log_end_offset;
            state.producers.set_end_offset(end);
            let taken = state.take_snapshot(self.fs(), true);
            taken.map_err(|error| state.fence(error))?;
        }
        self.flush(now)?;
        let mut state = self.lock_open()?;
        let synced = self.sync_rest(&state);
        synced.map_err(|error| state.fence(error))?;
        state.indexes_flushed_to = i64::MAX;
        state.health = Health::Closed;
        Ok(())
    }

    /// A clean start trusts all indexes and the size of every file, so those of the active segment must be on disk too.
    /// Its batches are, but for what somebody did beside the last flush.
    fn sync_rest(&self, state: &State) -> io::Result<()> {
        if state.cut_is_dirty || state.flushed_offset < state.log_end_offset {
            state.active().sync_batches()?;
        }
        state.active().sync_indexes()?;
        self.fs().sync_dir(&state.dir)
    }

    /// Lets go of the log without writing anything: its directory failed or it is being deleted.
    pub fn abandon(&self) {
        let mut state = self.lock();
        if matches!(state.health, Health::Open) {
            state.health = Health::Closed;
        }
    }
}

impl State {
    fn plan_flush(&mut self, target: i64) -> Flush {
        let point = self.recovery_point();
        let from = self.segments.floor_index(point).unwrap_or(0);
        let all = self.segments.all();
        let sealed = all[from..all.len() - 1].iter().filter(|segment| segment.base_offset() < target);
        let recent = self.snapshots.iter().copied();
        Flush {
            target,
            indexes_to: target.min(self.active().base_offset()),
            sealed: sealed.cloned().collect(),
            active: self.active().clone(),
            snapshots: recent.filter(|offset| *offset > point).collect(),
            epochs: self.epochs.unsynced(),
            dir: self.dir.clone(),
            // A name made while the sync runs makes it dirty again.
            dir_is_dirty: std::mem::take(&mut self.dir_is_dirty) || self.epochs.unsynced().is_some(),
            is_new: self.is_new,
            cut_is_dirty: self.cut_is_dirty,
            truncations: self.truncations,
        }
    }

    fn holds(&self, segment: &Arc<Segment>) -> bool {
        self.segments.all().iter().any(|other| Arc::ptr_eq(other, segment))
    }
}
