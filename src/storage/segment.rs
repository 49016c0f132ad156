//! One segment: a file of batches and its three indexes.
//!
//! A segment is shared between the log, which appends to the active one under the log's lock, and readers,
//! which hold an `Arc` of it and no lock of the log. Its own short lock guards indexes and paths, so a file
//! renamed for deletion stays readable, and a read of cold data never blocks an append to another segment.
//! It holds no descriptor: files are opened by path through `Fs`, whose descriptors are cached.
//! Bytes below `size` never change except by truncation. Knows nothing of high watermarks, producers or
//! retention. Source: `LogSegment`.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch_scan::{BatchScan, ScannedBatch};
use super::fs::{File, Fs, Open, damaged, with_suffix};
use super::log_config::LogConfig;
use super::offset_index::OffsetIndex;
use super::segment_names::{DELETED_SUFFIX, SegmentFile, segment_path};
use super::time_index::TimeIndex;
use super::txn_index::{AbortedTxn, TxnIndex};
use crate::clock::Timestamp;

/// Largest position and relative offset that indexes can hold.
const MAX_RELATIVE: i64 = i32::MAX as i64;

/// What an append adds, as the segment needs to know it.
#[derive(Copy, Clone, Debug)]
pub struct Chunk {
    /// Bytes.
    pub size: u64,
    /// Offset of the first record.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Largest timestamp of the batches, -1 none.
    pub max_timestamp: i64,
    /// Last offset of the batch that has it.
    pub offset_of_max_timestamp: i64,
}

/// Why an append failed, and what it left.
#[derive(Debug)]
pub enum WriteFault {
    /// The disk is full; the segment is as it was before.
    NoSpace(io::Error),
    /// The segment's end is in doubt: nothing may be appended any more.
    Broken(io::Error),
}

/// See the module.
pub struct Segment {
    base_offset: i64,
    size: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    fs: Arc<dyn Fs>,
    log_path: Box<Path>,
    /// The file may be longer than its batches, at least on the disk: it was made so, or a write was taken back.
    may_be_longer: bool,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    txn_index: TxnIndex,
    /// Largest timestamp and the last offset of its batch; `None` until read from the time index.
    max_timestamp: Option<(i64, i64)>,
    /// Max timestamp of the first batch, which time-based rolling counts from; `None` until known.
    first_timestamp: Option<i64>,
    created: Timestamp,
    bytes_since_index: u64,
}

impl Segment {
    /// Opens the segment of `dir` that starts at `base_offset` and holds `size` bytes of batches; missing files
    /// are created empty.
    pub fn open(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        base_offset: i64,
        size: u64,
        config: &LogConfig,
        now: Timestamp,
    ) -> io::Result<Segment> {
        let path = |file| segment_path(dir, base_offset, file);
        let mut offset_index = OffsetIndex::open(fs.clone(), path(SegmentFile::OffsetIndex), base_offset)?;
        let mut time_index = TimeIndex::open(fs.clone(), path(SegmentFile::TimeIndex), base_offset)?;
        let txn_index = TxnIndex::open(fs.clone(), path(SegmentFile::TxnIndex))?;
        offset_index.set_max_bytes(config.segment_index_bytes);
        time_index.set_max_bytes(config.segment_index_bytes);
        Ok(Segment {
            base_offset,
            size: AtomicU64::new(size),
            inner: Mutex::new(Inner {
                fs: fs.clone(),
                log_path: path(SegmentFile::Log).into_boxed_path(),
                may_be_longer: false,
                offset_index,
                time_index,
                txn_index,
                max_timestamp: (size == 0).then_some((-1, base_offset)),
                first_timestamp: None,
                created: now,
                bytes_since_index: 0,
            }),
        })
    }

    /// Creates an empty segment. Files that a crash left under its name are emptied.
    pub fn create(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        base_offset: i64,
        config: &LogConfig,
        now: Timestamp,
    ) -> io::Result<Segment> {
        let segment = Segment::make(fs, dir, base_offset, Open::Truncate, config, now)?;
        segment.reset_indexes()?;
        Ok(segment)
    }

    /// Makes the file of batches, sized at once if `preallocate` asks for that (`FileRecords.open`), and opens it as an
    /// empty segment. What the file has beyond the batches is cut off by [`Segment::seal`], and after a crash by
    /// recovery.
    pub(super) fn make(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        base_offset: i64,
        how: Open,
        config: &LogConfig,
        now: Timestamp,
    ) -> io::Result<Segment> {
        let file = fs.open(&segment_path(dir, base_offset, SegmentFile::Log), how)?;
        if config.preallocate {
            file.set_len(config.segment_bytes.into())?;
        }
        let segment = Segment::open(fs, dir, base_offset, 0, config, now)?;
        // A file that was there before may hold something even where nothing is preallocated.
        segment.lock().may_be_longer = file.size()? > 0;
        Ok(segment)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside cannot leave it half changed in a way that reading it again would not show.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offset of the first record it may hold.
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Bytes of batches.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Where the batches are now.
    pub fn log_path(&self) -> PathBuf {
        self.lock().log_path.to_path_buf()
    }

    /// The file of batches, for reading; stays readable whatever happens to its name.
    pub fn file(&self) -> io::Result<Arc<dyn File>> {
        let inner = self.lock();
        inner.fs.open(&inner.log_path, Open::Read)
    }

    /// Appends one chunk with one write, and notes it in the indexes when due.
    pub fn append(
        &self,
        slices: &[IoSlice<'_>],
        chunk: &Chunk,
        index_interval: u32,
    ) -> Result<u64, WriteFault> {
        let mut inner = self.lock();
        let position = self.size();
        let written = inner.write(self.base_offset, slices, chunk, position, index_interval);
        match written {
            Ok(()) => {
                self.set_size(position + chunk.size);
                Ok(position)
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                match inner.undo(chunk.first_offset, position) {
                    Ok(()) => Err(WriteFault::NoSpace(error)),
                    Err(undo) => Err(WriteFault::Broken(undo)),
                }
            }
            Err(error) => Err(WriteFault::Broken(error)),
        }
    }

    /// Notes an aborted transaction whose marker is in this segment.
    pub fn append_aborted(&self, txn: AbortedTxn) -> io::Result<()> {
        self.lock().txn_index.append(txn)
    }

    /// Whether the chunk must go to a new segment (`shouldRoll`).
    pub fn should_roll(
        &self,
        chunk: &Chunk,
        config: &LogConfig,
        jitter_ms: i64,
        now: Timestamp,
    ) -> io::Result<bool> {
        let size = self.size();
        let relative = chunk.last_offset.saturating_sub(self.base_offset);
        if size + chunk.size > u64::from(config.segment_bytes) || !(0..=MAX_RELATIVE).contains(&relative) {
            return Ok(true);
        }
        let mut inner = self.lock();
        if inner.offset_index.is_full()? || inner.time_index.is_full()? {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        let waited = match inner.first_timestamp(size)? {
            Some(first) if first >= 0 => chunk.max_timestamp.saturating_sub(first),
            _ => now.since_ms(inner.created),
        };
        Ok(waited > config.max_segment_ms().saturating_sub(jitter_ms))
    }

    /// The first batch that holds `offset` or a later one, looking at the first `end` bytes.
    pub fn locate(&self, offset: i64, end: u64) -> io::Result<Option<ScannedBatch>> {
        let (file, start) = {
            let inner = self.lock();
            (inner.fs.open(&inner.log_path, Open::Read)?, inner.start_for(offset)?)
        };
        let found = first_at_or_after(&file, start, end, offset);
        match found {
            // A damaged index points past its target, or into a batch: the segment itself decides.
            Ok(Some(batch)) if start > 0 && batch.position == start && batch.base_offset() > offset => {}
            Err(ref error) if start > 0 && error.kind() == io::ErrorKind::InvalidData => {}
            Ok(None) if start > end => {}
            other => return other.map_err(|error| self.name_error(error)),
        }
        first_at_or_after(&file, 0, end, offset).map_err(|error| self.name_error(error))
    }

    fn name_error(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::InvalidData => damaged(&self.log_path(), error),
            _ => error,
        }
    }

    /// Offset after the last batch, found from the last index entry on (`readNextOffset`).
    pub fn read_next_offset(&self) -> io::Result<i64> {
        let size = self.size();
        let (file, start) = {
            let inner = self.lock();
            (inner.fs.open(&inner.log_path, Open::Read)?, inner.start_for(i64::MAX)?)
        };
        let start = if start > size { 0 } else { start };
        let mut scan = BatchScan::new(file, start, size);
        let mut next = self.base_offset;
        while let Some(batch) = scan.next_batch().map_err(|error| self.name_error(error))? {
            next = batch.next_offset();
        }
        Ok(next)
    }

    /// Largest timestamp and the last offset of the batch that has it; -1 without timestamps.
    pub fn max_timestamp(&self) -> io::Result<(i64, i64)> {
        self.lock().max_timestamp(self.size())
    }

    /// What retention by time compares: the largest timestamp, or the file's age when there is none.
    pub fn largest_timestamp(&self) -> io::Result<i64> {
        let mut inner = self.lock();
        match inner.max_timestamp(self.size())? {
            (-1, _) => inner.fs.modified_ms(&inner.log_path),
            (timestamp, _) => Ok(timestamp),
        }
    }

    /// When the file of batches was last changed, milliseconds since the epoch.
    pub fn modified_ms(&self) -> io::Result<i64> {
        let inner = self.lock();
        inner.fs.modified_ms(&inner.log_path)
    }

    /// Where a search for `timestamp` starts: a position at or before the first batch with that or a later one.
    pub fn position_for_timestamp(&self, timestamp: i64, starting_offset: i64) -> io::Result<u64> {
        let inner = self.lock();
        // An entry says that the batch it names is the first with that timestamp: start at the one below.
        let below = or_damaged(inner.time_index.lookup(timestamp.saturating_sub(1)))?;
        let offset = below.map_or(self.base_offset, |(_, offset)| offset);
        Ok(inner.start_for(offset.max(starting_offset))?.min(self.size()))
    }

    /// Aborted transactions of this segment that overlap the range, and whether later segments add none.
    pub fn aborted(&self, from: i64, upper_bound: i64) -> io::Result<(Vec<AbortedTxn>, bool)> {
        self.lock().txn_index.collect(from, upper_bound)
    }

    /// Cuts everything from the batch that holds `offset` on. Returns the bytes cut.
    pub fn truncate_to(&self, offset: i64) -> io::Result<u64> {
        let size = self.size();
        let cut_at = self.locate(offset, size)?.map(|batch| batch.position);
        let mut inner = self.lock();
        inner.offset_index.truncate_to(offset)?;
        inner.time_index.truncate_to(offset)?;
        inner.txn_index.truncate_to(offset)?;
        let Some(cut_at) = cut_at else { return Ok(0) };
        inner.fs.open(&inner.log_path, Open::Write)?.set_len(cut_at)?;
        self.set_size(cut_at);
        inner.bytes_since_index = 0;
        inner.reload_max_timestamp(self.base_offset, cut_at)?;
        Ok(size - cut_at)
    }

    /// Empties the indexes: recovery fills them again.
    pub(super) fn reset_indexes(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.offset_index.reset()?;
        inner.time_index.reset()?;
        inner.txn_index.reset()?;
        inner.max_timestamp = Some((-1, self.base_offset));
        inner.bytes_since_index = 0;
        Ok(())
    }

    /// Notes one batch that recovery found valid (`LogSegment.recover`): its last offset, start and size.
    pub(super) fn index_recovered(&self, batch: &ScannedBatch, index_interval: u32) -> io::Result<()> {
        let mut inner = self.lock();
        inner.note_timestamp(batch.max_timestamp(), batch.last_offset());
        if inner.bytes_since_index > u64::from(index_interval) {
            inner.add_index_entries(batch.last_offset(), batch.position)?;
        }
        inner.bytes_since_index += batch.size as u64;
        Ok(())
    }

    /// Checks the indexes of a segment that recovery does not rebuild; `InvalidData` asks for it.
    pub(super) fn sanity_check(&self) -> io::Result<()> {
        let inner = self.lock();
        inner.offset_index.sanity_check()?;
        inner.time_index.sanity_check()?;
        inner.txn_index.sanity_check(self.base_offset)
    }

    /// Completes the time index and cuts the batches and both indexes to size: at roll and close. True if the file of
    /// batches has to be synced for its length's sake; one that cannot be too long is not even opened, for at a clean
    /// stop that would be one for every partition.
    pub fn seal(&self) -> io::Result<bool> {
        let mut inner = self.lock();
        let may_be_longer = inner.may_be_longer;
        if may_be_longer {
            let file = inner.fs.open(&inner.log_path, Open::Write)?;
            if file.size()? > self.size() {
                file.set_len(self.size())?;
            }
            inner.may_be_longer = false;
        }
        let (timestamp, offset) = inner.max_timestamp(self.size())?;
        if timestamp >= 0 {
            inner.time_index.maybe_append(timestamp, offset, true)?;
        }
        inner.offset_index.trim()?;
        inner.time_index.trim()?;
        Ok(may_be_longer)
    }

    /// Makes the batches durable; no lock is held meanwhile.
    pub fn sync_batches(&self) -> io::Result<()> {
        let file = {
            let inner = self.lock();
            inner.fs.open(&inner.log_path, Open::Write)?
        };
        file.sync()
    }

    /// Makes the indexes durable. The active segment does not need it: recovery rebuilds its indexes.
    pub fn sync_indexes(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.offset_index.flush()?;
        inner.time_index.flush()?;
        inner.txn_index.flush()
    }

    /// Renames the files `<name>.deleted`. Returns the new paths, to be removed later.
    pub fn rename_deleted(&self) -> io::Result<Vec<PathBuf>> {
        let mut inner = self.lock();
        let mut renamed = Vec::with_capacity(3);
        let paths = [
            inner.log_path.to_path_buf(),
            inner.offset_index.path().to_path_buf(),
            inner.time_index.path().to_path_buf(),
            inner.txn_index.path().to_path_buf(),
        ];
        for (kind, from) in paths.into_iter().enumerate() {
            let to = with_suffix(&from, DELETED_SUFFIX);
            match inner.fs.rename(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            renamed.push(to.clone());
            match kind {
                0 => inner.log_path = to.into_boxed_path(),
                1 => inner.offset_index.set_path(to),
                2 => inner.time_index.set_path(to),
                _ => inner.txn_index.set_path(to),
            }
        }
        Ok(renamed)
    }

    /// The partition directory was renamed.
    pub fn moved_to(&self, dir: &Path) {
        let mut inner = self.lock();
        let path = |file| segment_path(dir, self.base_offset, file);
        inner.log_path = path(SegmentFile::Log).into_boxed_path();
        inner.offset_index.set_path(path(SegmentFile::OffsetIndex));
        inner.time_index.set_path(path(SegmentFile::TimeIndex));
        inner.txn_index.set_path(path(SegmentFile::TxnIndex));
    }

    /// Applies a changed `segment.index.bytes`.
    pub fn set_max_index_bytes(&self, max_bytes: u32) {
        let mut inner = self.lock();
        inner.offset_index.set_max_bytes(max_bytes);
        inner.time_index.set_max_bytes(max_bytes);
    }
}

impl Inner {
    fn write(
        &mut self,
        base_offset: i64,
        slices: &[IoSlice<'_>],
        chunk: &Chunk,
        position: u64,
        index_interval: u32,
    ) -> io::Result<()> {
        let relative = chunk.last_offset.saturating_sub(base_offset);
        if !(0..=MAX_RELATIVE).contains(&relative) || position > MAX_RELATIVE as u64 {
            let last = chunk.last_offset;
            return Err(damaged(&self.log_path, format_args!("offset {last} does not fit this segment")));
        }
        // Read before the write, which may raise it.
        let before = self.max_timestamp(position)?;
        self.fs.open(&self.log_path, Open::Write)?.write_all_at(slices, position)?;
        self.note_timestamp(chunk.max_timestamp, chunk.offset_of_max_timestamp);
        if self.bytes_since_index > u64::from(index_interval) {
            let indexed = self.add_index_entries(chunk.last_offset, position);
            if indexed.is_err() {
                self.max_timestamp = Some(before);
            }
            indexed?;
        }
        if position == 0 {
            self.first_timestamp = Some(chunk.max_timestamp);
        }
        self.bytes_since_index += chunk.size;
        Ok(())
    }

    /// Takes back what a failed write may have left.
    fn undo(&mut self, first_offset: i64, position: u64) -> io::Result<()> {
        self.may_be_longer = true;
        self.fs.open(&self.log_path, Open::Write)?.set_len(position)?;
        self.offset_index.truncate_to(first_offset)?;
        self.time_index.truncate_to(first_offset)
    }

    fn note_timestamp(&mut self, timestamp: i64, offset: i64) {
        if self.max_timestamp.is_none_or(|(max, _)| timestamp > max) {
            self.max_timestamp = Some((timestamp, offset));
        }
    }

    fn add_index_entries(&mut self, last_offset: i64, position: u64) -> io::Result<()> {
        let position = u32::try_from(position).map_err(|_| damaged(&self.log_path, "larger than 2 GiB"))?;
        self.offset_index.append(last_offset, position)?;
        if let Some((timestamp, offset)) = self.max_timestamp.filter(|(timestamp, _)| *timestamp >= 0) {
            self.time_index.maybe_append(timestamp, offset, false)?;
        }
        self.bytes_since_index = 0;
        Ok(())
    }

    /// Where to start looking for `offset`: what the index says, the segment's start if it is damaged.
    fn start_for(&self, offset: i64) -> io::Result<u64> {
        Ok(or_damaged(self.offset_index.lookup(offset))?.map_or(0, |(_, position)| u64::from(position)))
    }

    fn max_timestamp(&mut self, size: u64) -> io::Result<(i64, i64)> {
        if self.max_timestamp.is_none() {
            match or_damaged(self.time_index.last_entry())? {
                Some(last) => self.max_timestamp = Some(last),
                None => self.note_timestamps(0, size)?,
            }
        }
        Ok(self.max_timestamp.unwrap_or((-1, 0)))
    }

    /// Notes the timestamps of the batches between two positions.
    fn note_timestamps(&mut self, from: u64, to: u64) -> io::Result<()> {
        let file = self.fs.open(&self.log_path, Open::Read)?;
        let mut scan = BatchScan::new(file, from, to);
        while let Some(batch) = scan.next_batch()? {
            self.note_timestamp(batch.max_timestamp(), batch.last_offset());
        }
        Ok(())
    }

    /// After a truncation: what the time index still says, and what was written since its last entry.
    fn reload_max_timestamp(&mut self, base_offset: i64, size: u64) -> io::Result<()> {
        self.max_timestamp = Some(self.time_index.last_entry()?);
        if size == 0 {
            self.max_timestamp = Some((-1, base_offset));
            self.first_timestamp = None;
        }
        let start = self.start_for(i64::MAX)?;
        self.note_timestamps(start, size)
    }

    fn first_timestamp(&mut self, size: u64) -> io::Result<Option<i64>> {
        if self.first_timestamp.is_none() {
            let file = self.fs.open(&self.log_path, Open::Read)?;
            let first = BatchScan::new(file, 0, size).next_batch()?;
            self.first_timestamp = first.map(|batch| batch.max_timestamp());
        }
        Ok(self.first_timestamp)
    }
}

/// What an index says; `None` if it is damaged.
fn or_damaged<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        other => other.map(Some),
    }
}

fn first_at_or_after(
    file: &Arc<dyn File>,
    start: u64,
    end: u64,
    offset: i64,
) -> io::Result<Option<ScannedBatch>> {
    let mut scan = BatchScan::new(file.clone(), start, end);
    while let Some(batch) = scan.next_batch()? {
        if batch.last_offset() >= offset {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}
