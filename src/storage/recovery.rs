//! Loading a log from its directory, after a clean stop or a crash (`LogLoader`).
//!
//! After a clean stop nothing is scanned but the end of the active segment, from its last index entry on: ten
//! thousand partitions must start in seconds. After a crash every segment from the one that holds the recovery
//! point on is recovered; the log ends at the first bad batch. Before either, leftovers of deletion and
//! compaction are settled. Loading may be interrupted by a crash at any point and starts over.
//! Knows nothing of other partitions; who loads which is `manager`.

mod leftovers;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch_scan::BatchScan;
use super::epoch_cache::{EPOCH_FILE, EpochCache, EpochEntry};
use super::fs::Fs;
use super::log::{Health, Log, LogContext, State};
use super::log_config::LogConfig;
use super::log_error::LogError;
use super::partition_metadata::{self, PARTITION_METADATA_FILE};
use super::producer_rebuild;
use super::producer_snapshot::snapshot_path;
use super::producer_state::ProducerState;
use super::segment::Segment;
use super::segment_names::SegmentFile;
use super::segment_recovery::{Rebuilt, recover};
use super::segments::Segments;
use crate::clock::Timestamp;
use crate::protocol::ids::{TopicPartition, Uuid};
use leftovers::Names;

/// What is known of a log before it is loaded.
pub struct LoadRequest {
    /// What all logs share.
    pub context: Arc<LogContext>,
    /// Which partition.
    pub partition: TopicPartition,
    /// Its directory.
    pub dir: PathBuf,
    /// Its settings.
    pub config: Arc<LogConfig>,
    /// Whether its log directory was shut down cleanly.
    pub is_clean: bool,
    /// Recovery point from the checkpoint; 0 if it has none.
    pub recovery_point: i64,
    /// Whether the recovery point cannot be relied upon, because the checkpoint was damaged.
    pub recovery_point_is_unknown: bool,
    /// Log start offset from the checkpoint; 0 if it has none.
    pub log_start_offset: i64,
    /// The time.
    pub now: Timestamp,
}

/// A log being put together.
struct Loading<'a> {
    request: &'a LoadRequest,
    progress: &'a dyn Fn(u64),
    names: Names,
    segments: Segments,
    epochs: EpochCache,
    snapshots: Vec<i64>,
    /// As of the log end, if recovery went through the end of the log.
    producers: Option<ProducerState>,
    log_end_offset: i64,
    /// Segments from here on have new indexes, not yet synced.
    recovered_from: i64,
}

/// Loads a log. `progress` is called with the bytes of every batch that recovery has checked.
pub fn load(request: &LoadRequest, progress: &dyn Fn(u64)) -> Result<Log, LogError> {
    let fs = &request.context.fs;
    let names = leftovers::settle(fs, &request.dir)?;
    let mut loading = Loading {
        progress,
        segments: Segments::default(),
        epochs: EpochCache::empty(fs.clone(), request.dir.join(EPOCH_FILE)),
        snapshots: names.snapshots(),
        producers: None,
        log_end_offset: 0,
        recovered_from: i64::MAX,
        names,
        request,
    };
    let topic_id = loading.read_topic_id()?;
    loading.open_segments()?;
    loading.load_epochs()?;
    match request.is_clean {
        true => loading.find_end()?,
        false => loading.recover_from(request.recovery_point)?,
    }
    loading.finish(topic_id)
}

impl Loading<'_> {
    fn fs(&self) -> &Arc<dyn Fs> {
        &self.request.context.fs
    }

    fn dir(&self) -> &Path {
        &self.request.dir
    }

    /// The topic id. A file that a crash left half written, before anything of the log was flushed, is as good
    /// as missing: it was made in the last moments, and no record that counts as durable stands beside it.
    fn read_topic_id(&self) -> io::Result<Option<Uuid>> {
        if !self.names.has(PARTITION_METADATA_FILE) {
            return Ok(None);
        }
        match partition_metadata::read(self.fs(), self.dir()) {
            Err(error)
                if error.kind() == io::ErrorKind::InvalidData
                    && !self.request.is_clean
                    && self.request.recovery_point == 0 =>
            {
                tracing::warn!(%error, "half-written topic id dropped");
                self.fs().remove_file(&self.dir().join(PARTITION_METADATA_FILE))?;
                Ok(None)
            }
            other => other,
        }
    }

    fn open_segments(&mut self) -> io::Result<()> {
        for base in self.names.orphans() {
            leftovers::remove_indexes(self.fs(), self.dir(), base)?;
        }
        for base in self.names.logs() {
            let path = super::segment_names::segment_path(self.dir(), base, SegmentFile::Log);
            let size = self.fs().size(&path)?;
            let request = self.request;
            let segment = Segment::open(self.fs(), self.dir(), base, size, &request.config, request.now)?;
            self.segments.insert(Arc::new(segment));
        }
        Ok(())
    }

    fn load_epochs(&mut self) -> io::Result<()> {
        if !self.names.has(EPOCH_FILE) {
            return Ok(());
        }
        match EpochCache::load(self.fs().clone(), self.dir().join(EPOCH_FILE)) {
            // A crash may have left nothing of the file.
            Ok(epochs) if epochs.latest().is_none() && !self.request.is_clean => self.rebuild_epochs(),
            Ok(epochs) => {
                self.epochs = epochs;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "leader epochs rebuilt from the batches");
                self.rebuild_epochs()
            }
            Err(error) => Err(error),
        }
    }

    /// From the batches; after a crash from those that were flushed: recovery, which checks them, notes those of the rest.
    fn rebuild_epochs(&mut self) -> io::Result<()> {
        let end = if self.request.is_clean { i64::MAX } else { self.request.recovery_point };
        let found = self.epochs_of_batches(end)?;
        self.epochs.prepend(found)
    }

    /// The epochs of batches below the first known one. A log start that was raised took their entries with it; after a
    /// crash the log may start lower again, and a follower that has left it down there must still be noticed.
    fn learn_first_epochs(&mut self, log_start_offset: i64) -> io::Result<()> {
        let known = self.epochs.earliest().filter(|known| known.start_offset > log_start_offset);
        let Some(known) = known.filter(|_| !self.request.is_clean) else { return Ok(()) };
        let mut found = self.epochs_of_batches(known.start_offset)?;
        found.retain(|entry| entry.epoch <= known.epoch);
        self.epochs.prepend(found)
    }

    /// The epochs of the batches that begin below `end`, as their headers say, up to the first that is none in each
    /// segment.
    fn epochs_of_batches(&self, end: i64) -> io::Result<Vec<EpochEntry>> {
        let mut found: Vec<EpochEntry> = Vec::new();
        for segment in self.segments.all().iter().take_while(|segment| segment.base_offset() < end) {
            let mut scan = BatchScan::new(segment.file()?, 0, segment.size());
            loop {
                let batch = match scan.next_batch() {
                    Ok(Some(batch)) if batch.base_offset() < end => batch,
                    Ok(_) => break,
                    // Recovery's business.
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
                    Err(error) => return Err(error),
                };
                let (epoch, start_offset) = (batch.leader_epoch(), batch.base_offset());
                if epoch >= 0 && found.last().is_none_or(|last| epoch > last.epoch) {
                    found.push(EpochEntry { epoch, start_offset });
                }
            }
        }
        Ok(found)
    }

    /// After a clean stop: the end of the log, from the last index entry on. What turns out damaged all the same
    /// is recovered.
    fn find_end(&mut self) -> io::Result<()> {
        for segment in self.segments.snapshot().iter() {
            let base = segment.base_offset();
            let no_index = segment.size() > 0 && !self.names.has_file(base, SegmentFile::OffsetIndex);
            let bad_txn_index =
                self.names.has_file(base, SegmentFile::TxnIndex) && is_damaged(segment.sanity_check())?;
            if no_index || bad_txn_index {
                tracing::warn!(dir = %self.dir().display(), base, "index missing or damaged");
                return self.recover_from(base);
            }
        }
        let Some(active) = self.segments.active().cloned() else { return Ok(()) };
        if is_damaged(active.sanity_check())? {
            // Appends go on from its last entry.
            return self.recover_from(active.base_offset());
        }
        match active.read_next_offset() {
            Ok(next) if scanned_all(&active, next)? => self.log_end_offset = next,
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            _ => return self.recover_from(active.base_offset()),
        }
        Ok(())
    }

    /// Recovers the segments from the one that holds `recovery_point` on.
    fn recover_from(&mut self, recovery_point: i64) -> io::Result<()> {
        let all = self.segments.snapshot();
        let first = self.segments.floor_index(recovery_point).unwrap_or(0);
        let Some(first_base) = all.get(first).map(|segment| segment.base_offset()) else { return Ok(()) };
        self.recovered_from = first_base;
        let mut producers = self.producers_at(&all[..first], first_base)?;
        let mut next = first_base;
        let request = self.request;
        for (index, segment) in all.iter().enumerate().skip(first) {
            if index > first {
                self.snapshot(&mut producers)?;
            }
            let mut rebuilt =
                Rebuilt { producers: &mut producers, epochs: &mut self.epochs, progress: self.progress };
            let interval = request.config.index_interval_bytes;
            let found = recover(&request.context.fs, segment, next, interval, &mut rebuilt)?;
            next = found.next_offset;
            // Records at or above the next segment's base were cut off here, and the disk lost the cut: they are back,
            // and what was written in their place never was flushed.
            let is_followed = all
                .get(index + 1)
                .is_none_or(|later| next <= later.base_offset() && !self.is_hole(next, later.base_offset()));
            if found.truncated > 0 || !is_followed {
                tracing::warn!(dir = %request.dir.display(), next, bytes = found.truncated, "invalid tail cut off");
                for later in self.segments.split_off(index + 1).iter().rev() {
                    leftovers::remove_segment(self.fs(), self.dir(), later.base_offset())?;
                }
                break;
            }
        }
        self.log_end_offset = next;
        producers.set_end_offset(next);
        self.producers = Some(producers);
        Ok(())
    }

    /// Whether records are missing between the end of a segment and the next one: the disk kept a later write and
    /// lost an earlier one. Kafka keeps such a hole, and may serve it. Compaction leaves gaps too, so they prove
    /// nothing in compacted topics, below the recovery point, or when that is not known.
    fn is_hole(&self, end: i64, next_base: i64) -> bool {
        let request = self.request;
        let expects_none = !request.config.compact && !request.recovery_point_is_unknown && !request.is_clean;
        expects_none && end < next_base && next_base > request.recovery_point
    }

    /// Producers as of `base`, of which everything below is flushed. Later snapshots may speak of batches that
    /// are gone.
    fn producers_at(&mut self, before: &[Arc<Segment>], base: i64) -> io::Result<ProducerState> {
        self.drop_snapshots(|offset| offset > base)?;
        let (state, damaged) = self.load_snapshot();
        self.drop_snapshots(|offset| damaged.contains(&offset))?;
        let mut state = state.unwrap_or_else(|| ProducerState::starting_at(0));
        producer_rebuild::replay(&mut state, before, base)?;
        Ok(state)
    }

    fn load_snapshot(&self) -> (Option<ProducerState>, Vec<i64>) {
        let expiration_ms = self.request.context.producer_expiration_ms();
        producer_rebuild::load(self.fs(), self.dir(), &self.snapshots, self.request.now, expiration_ms)
    }

    fn snapshot(&mut self, producers: &mut ProducerState) -> io::Result<()> {
        let offset = producers.end_offset();
        if producers.needs_snapshot() && !self.snapshots.contains(&offset) {
            let path = snapshot_path(self.dir(), offset);
            super::producer_snapshot::write(self.fs(), &path, producers.active_producers(), false)?;
            producers.snapshot_taken();
            self.snapshots.push(offset);
        }
        Ok(())
    }

    fn drop_snapshots(&mut self, is_dropped: impl Fn(i64) -> bool) -> io::Result<()> {
        for offset in self.snapshots.iter().filter(|offset| is_dropped(**offset)) {
            leftovers::remove_if_there(self.fs(), &snapshot_path(self.dir(), *offset))?;
        }
        self.snapshots.retain(|offset| !is_dropped(*offset));
        Ok(())
    }

    fn finish(mut self, topic_id: Option<Uuid>) -> Result<Log, LogError> {
        let request = self.request;
        let (checkpoint, now) = (request.log_start_offset, request.now);
        if !self.segments.all().is_empty() && self.log_end_offset < checkpoint {
            tracing::warn!(dir = %request.dir.display(), checkpoint, end = self.log_end_offset,
                "log ends below its checkpointed start: emptied");
            for segment in self.segments.split_off(0).iter().rev() {
                leftovers::remove_segment(self.fs(), self.dir(), segment.base_offset())?;
            }
        }
        if self.segments.all().is_empty() {
            let segment = Segment::create(self.fs(), self.dir(), checkpoint, &request.config, now)?;
            self.segments.insert(Arc::new(segment));
            self.log_end_offset = checkpoint;
            self.producers = None;
            self.drop_snapshots(|_| true)?;
        }
        let end = self.log_end_offset;
        let first = self.segments.first().map_or(0, |segment| segment.base_offset());
        let log_start_offset = checkpoint.max(first);
        // Kafka also drops an entry that starts at the end. It is true all the same, and to keep it saves a write
        // and a sync for every partition that was led without being written to.
        self.epochs.truncate_from_end(end.saturating_add(1))?;
        self.learn_first_epochs(log_start_offset)?;
        self.epochs.truncate_from_start(log_start_offset)?;
        let producers = self.load_producers()?;
        let mut state = State {
            dir: request.dir.clone(),
            health: Health::Open,
            segments: self.segments,
            producers,
            epochs: self.epochs,
            topic_id,
            log_start_offset,
            log_end_offset: end,
            high_watermark: log_start_offset,
            flushed_offset: if request.is_clean { end } else { request.recovery_point.min(end) },
            indexes_flushed_to: self.recovered_from,
            snapshots: self.snapshots,
            recent: Default::default(),
            jitter_ms: request.config.random_jitter_ms(),
            last_flush: now,
            dir_is_dirty: !request.is_clean,
            is_new: !request.is_clean && request.recovery_point == 0,
            cut_is_dirty: self.recovered_from != i64::MAX,
            failures: request.context.failures.clone(),
            is_full: false,
            truncations: 0,
        };
        state.set_high_watermark(log_start_offset);
        state.indexes_flushed_to = state.indexes_flushed_to.min(state.active().base_offset());
        if !request.is_clean {
            state.take_snapshot(&request.context.fs, false)?;
        }
        Ok(Log::from_state(request.context.clone(), request.partition.clone(), request.config.clone(), state))
    }

    /// Producers as of the log end.
    fn load_producers(&mut self) -> io::Result<ProducerState> {
        let end = self.log_end_offset;
        let bases: Vec<i64> = self.segments.all().iter().map(|segment| segment.base_offset()).collect();
        let newest = self.snapshots.iter().copied().filter(|offset| *offset <= end).max();
        self.drop_snapshots(|offset| Some(offset) != newest && !bases.contains(&offset))?;
        self.snapshots.sort_unstable();
        if let Some(recovered) = self.producers.take() {
            return Ok(recovered);
        }
        let (state, damaged) = self.load_snapshot();
        self.drop_snapshots(|offset| damaged.contains(&offset))?;
        match state {
            Some(mut state) => {
                let segments = self.segments.all();
                producer_rebuild::replay(&mut state, segments, end)?;
                Ok(state)
            }
            // A clean stop without snapshots: no producer ever wrote here, or an old release did. No scan.
            None if damaged.is_empty() => Ok(ProducerState::starting_at(end)),
            None => {
                let mut state = ProducerState::starting_at(bases.first().copied().unwrap_or(end));
                producer_rebuild::replay(&mut state, self.segments.all(), end)?;
                Ok(state)
            }
        }
    }
}

fn is_damaged(checked: io::Result<()>) -> io::Result<bool> {
    match checked {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether the last batch ends where the file does.
fn scanned_all(active: &Segment, next: i64) -> io::Result<bool> {
    if next == active.base_offset() {
        return Ok(active.size() == 0);
    }
    Ok(active.locate(next - 1, active.size())?.is_some_and(|last| last.end() == active.size()))
}
