//! One replica's log: its segments, its offsets, its producers (`UnifiedLog`, `LocalLog`).
//!
//! All methods are synchronous. One short lock guards the state; reads take it only to note their bounds, and
//! do their I/O without it. The order of an append is: producers admit, epoch cache, roll, one write to the
//! segment, indexes, producers apply, transaction index. Invariants: log start <= last stable offset <= high
//! watermark <= log end; the flushed offset moves only after a sync; after a failed write or sync the log is
//! fenced and nothing is retried (the directory must go offline). A full disk fences nothing: what a write left
//! is cut away, and reads and deletion go on. An idle log holds no descriptor, thread or timer.
//! Knows nothing of who leads, of ISR, of requests. Lock order: a log's state, then a segment's.

mod append;
mod flush;
mod offsets;
mod read;
mod recent;
#[cfg(test)]
mod tests;
mod truncate;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::dir_failures::DirFailures;
use super::epoch_cache::{EPOCH_FILE, EpochCache};
use super::fs::{Fs, Open};
use super::log_config::LogConfig;
use super::log_error::LogError;
use super::producer_snapshot;
use super::producer_state::{ProducerEntry, ProducerState};
use super::segment::Segment;
use super::segments::Segments;
use super::trash::Trash;
use crate::clock::Timestamp;
use crate::protocol::ids::{TopicPartition, Uuid};
use recent::Recent;

pub use append::AppendInfo;
pub use offsets::{LogOffsets, TimestampAndOffset};
pub use read::{Bound, FileRegion, Slice};

/// What all logs of a process share.
pub struct LogContext {
    /// The file system, with its cache of descriptors.
    pub fs: Arc<dyn Fs>,
    /// Files that wait for removal.
    pub trash: Trash,
    /// Rung when a directory fails.
    pub failures: Arc<DirFailures>,
    /// `producer.id.expiration.ms`, which may change while running.
    pub producer_id_expiration_ms: AtomicI64,
}

impl LogContext {
    /// A context over `fs` with Kafka's default expiration of producer ids, a day.
    pub fn new(fs: Arc<dyn Fs>) -> LogContext {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        LogContext {
            fs,
            trash: Trash::default(),
            failures: Arc::default(),
            producer_id_expiration_ms: AtomicI64::new(DAY_MS),
        }
    }

    pub(super) fn producer_expiration_ms(&self) -> i64 {
        self.producer_id_expiration_ms.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct Log {
    partition: TopicPartition,
    context: Arc<LogContext>,
    config: ArcSwap<LogConfig>,
    state: Mutex<State>,
    /// Held while a flush runs; taken before the state's lock.
    flushing: Mutex<()>,
}

/// Whether the log may be used.
#[derive(Clone, Debug)]
pub(super) enum Health {
    /// Yes.
    Open,
    /// It was closed or deleted.
    Closed,
    /// A write or sync failed, with this error.
    Fenced(String),
}

/// What the lock guards.
pub(super) struct State {
    pub dir: PathBuf,
    pub health: Health,
    pub segments: Segments,
    pub producers: ProducerState,
    pub epochs: EpochCache,
    pub topic_id: Option<Uuid>,
    /// Lowest offset that may be read.
    pub log_start_offset: i64,
    /// Offset of the next record.
    pub log_end_offset: i64,
    pub high_watermark: i64,
    /// Batches below this are on disk.
    pub flushed_offset: i64,
    /// Segments that start below this have their indexes on disk too.
    pub indexes_flushed_to: i64,
    /// Offsets of the producer snapshots on disk, ascending.
    pub snapshots: Vec<i64>,
    pub recent: Recent,
    /// Part of the jitter drawn for the active segment.
    pub jitter_ms: i64,
    pub last_flush: Timestamp,
    /// Names were created since the directory was last synced.
    pub dir_is_dirty: bool,
    /// The partition directory itself was created since its parent was last synced.
    pub is_new: bool,
    /// The active segment was cut and not synced since: a crash could bring back what was cut.
    pub cut_is_dirty: bool,
    /// Rung when this log's directory fails.
    pub failures: Arc<DirFailures>,
    /// The last write found no room.
    pub is_full: bool,
    /// Counts truncations: a sync that ran beside one proves nothing.
    pub truncations: u64,
}

impl Log {
    /// Creates the files of a new, empty log in `dir`, which may exist. The caller has chosen the directory and
    /// writes `partition.metadata`. Nothing is synced: the first flush makes names durable before any data
    /// counts as flushed.
    pub fn create(
        context: Arc<LogContext>,
        partition: TopicPartition,
        dir: PathBuf,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        now: Timestamp,
    ) -> Result<Log, LogError> {
        let fs = &context.fs;
        fs.create_dir_all(&dir)?;
        let segment = Segment::make(fs, &dir, 0, Open::Create, &config, now)?;
        let mut segments = Segments::default();
        segments.insert(Arc::new(segment));
        let state = State {
            health: Health::Open,
            segments,
            producers: ProducerState::new(),
            epochs: EpochCache::empty(fs.clone(), dir.join(EPOCH_FILE)),
            dir,
            topic_id,
            log_start_offset: 0,
            log_end_offset: 0,
            high_watermark: 0,
            flushed_offset: 0,
            indexes_flushed_to: 0,
            snapshots: Vec::new(),
            recent: Recent::default(),
            jitter_ms: config.random_jitter_ms(),
            last_flush: now,
            dir_is_dirty: true,
            is_new: true,
            cut_is_dirty: false,
            failures: context.failures.clone(),
            is_full: false,
            truncations: 0,
        };
        Ok(Log::from_state(context, partition, config, state))
    }

    pub(super) fn from_state(
        context: Arc<LogContext>,
        partition: TopicPartition,
        config: Arc<LogConfig>,
        state: State,
    ) -> Log {
        Log {
            partition,
            context,
            config: ArcSwap::new(config),
            state: Mutex::new(state),
            flushing: Mutex::default(),
        }
    }

    /// Which partition this is a replica of.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Applies changed settings from the next operation on.
    pub fn update_config(&self, config: Arc<LogConfig>) {
        let max_bytes = config.segment_index_bytes;
        self.config.store(config);
        if let Some(active) = self.lock().segments.active() {
            active.set_max_index_bytes(max_bytes);
        }
    }

    /// The partition directory.
    pub fn dir(&self) -> PathBuf {
        self.lock().dir.clone()
    }

    /// The log directory that holds it.
    pub fn log_dir(&self) -> PathBuf {
        super::fs::parent_of(&self.lock().dir).to_path_buf()
    }

    /// The topic id in `partition.metadata`.
    pub fn topic_id(&self) -> Option<Uuid> {
        self.lock().topic_id
    }

    /// Whether the directory was created and not yet made durable.
    pub fn is_new(&self) -> bool {
        self.lock().is_new
    }

    pub(super) fn set_topic_id(&self, topic_id: Uuid) {
        let mut state = self.lock();
        state.topic_id = Some(topic_id);
        state.dir_is_dirty = true;
    }

    pub(super) fn context(&self) -> &LogContext {
        &self.context
    }

    pub(super) fn fs(&self) -> &Arc<dyn Fs> {
        &self.context.fs
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves a log whose memory and files may differ: fence it, do not poison readers.
        self.state.lock().unwrap_or_else(|poisoned: PoisonError<MutexGuard<'_, State>>| {
            let mut state = poisoned.into_inner();
            if matches!(state.health, Health::Open) {
                state.health = Health::Fenced("a panic in an earlier operation".into());
            }
            state
        })
    }

    /// The lock, if the log may still be used.
    pub(super) fn lock_open(&self) -> Result<MutexGuard<'_, State>, LogError> {
        let state = self.lock();
        match &state.health {
            Health::Open => Ok(state),
            Health::Closed => Err(LogError::Closed),
            Health::Fenced(why) => Err(LogError::Fenced(why.clone())),
        }
    }

    /// Bytes of batches.
    pub fn size(&self) -> u64 {
        self.lock().segments.size()
    }

    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.lock().segments.all().len()
    }

    /// The segments, oldest first; the last one is active. For the cleaner and for tools.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.lock().segments.all().to_vec()
    }

    /// What is known of each producer, by id (DescribeProducers).
    pub fn active_producers(&self) -> Vec<ProducerEntry> {
        self.lock().producers.active_producers().collect()
    }

    /// Whether the producer has a transaction open in this partition.
    pub fn has_open_transaction(&self, producer_id: i64) -> bool {
        self.lock().producers.has_open_transaction(producer_id)
    }

    /// Whether a transaction here should have timed out long ago.
    pub fn has_late_transaction(&self, now: Timestamp, max_transaction_timeout_ms: i64) -> bool {
        self.lock().producers.has_late_transaction(now, max_transaction_timeout_ms)
    }

    /// Forgets producers idle for `producer.id.expiration.ms`; gives their number.
    pub fn remove_expired_producers(&self, now: Timestamp) -> usize {
        let expiration_ms = self.context.producer_expiration_ms();
        self.lock().producers.remove_expired(now, expiration_ms)
    }

    /// Renames the partition directory, for deletion or when a moved replica takes its place.
    pub fn rename_dir(&self, to: &Path) -> Result<(), LogError> {
        let mut state = self.lock();
        if state.dir == to {
            return Ok(());
        }
        let renamed = self.fs().rename(&state.dir, to);
        renamed.map_err(|error| state.fence(error))?;
        for segment in state.segments.all() {
            segment.moved_to(to);
        }
        state.epochs.set_path(to.join(EPOCH_FILE));
        state.dir = to.to_path_buf();
        state.is_new = true;
        Ok(())
    }
}

impl State {
    /// Notes that a write or sync failed; returns what to tell the caller.
    pub fn fence(&mut self, error: io::Error) -> LogError {
        tracing::error!(dir = %self.dir.display(), %error, "log fenced");
        if matches!(self.health, Health::Open) {
            self.health = Health::Fenced(error.to_string());
            self.failures.ring(super::fs::parent_of(&self.dir), &error);
        }
        LogError::Storage(error)
    }

    /// The segment appended to.
    pub fn active(&self) -> &Arc<Segment> {
        self.segments.active().expect("a log never lets go of its last segment without adding another")
    }

    /// Where recovery has to start after a crash, so that it covers every segment whose indexes may not be on
    /// disk. It rebuilds those of the segment that holds the recovery point and of later ones: so the point lies
    /// inside the active segment even when all of that is flushed, else a roll would leave the segment behind it.
    pub fn recovery_point(&self) -> i64 {
        let unsynced = self.segments.all().iter().find(|s| s.base_offset() >= self.indexes_flushed_to);
        let Some(base) = unsynced.map(|segment| segment.base_offset()) else { return self.flushed_offset };
        match base < self.active().base_offset() {
            true => self.flushed_offset.min(base),
            false => self.flushed_offset.min((self.log_end_offset - 1).max(base)),
        }
    }

    /// Sets the high watermark, which lies between log start and log end.
    pub fn set_high_watermark(&mut self, offset: i64) {
        self.high_watermark = offset.clamp(self.log_start_offset, self.log_end_offset);
        self.producers.on_high_watermark(self.high_watermark);
    }

    /// Last stable offset: where read_committed readers stop.
    pub fn last_stable_offset(&self) -> i64 {
        self.producers.last_stable_offset(self.high_watermark).max(self.log_start_offset)
    }

    /// Writes a producer snapshot if there is news since the last.
    pub fn take_snapshot(&mut self, fs: &Arc<dyn Fs>, sync: bool) -> io::Result<()> {
        if !self.producers.needs_snapshot() {
            return Ok(());
        }
        let offset = self.producers.end_offset();
        let path = producer_snapshot::snapshot_path(&self.dir, offset);
        producer_snapshot::write(fs, &path, self.producers.active_producers(), sync)?;
        self.producers.snapshot_taken();
        self.dir_is_dirty = true;
        if let Err(at) = self.snapshots.binary_search(&offset) {
            self.snapshots.insert(at, offset);
        }
        Ok(())
    }
}
