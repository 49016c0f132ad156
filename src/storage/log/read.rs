//! Reading: from an offset to a region of a file, without copying a byte.
//!
//! All bounds of one read are noted under one lock, so an answer never mixes two states; the look-up then runs
//! without it. A region stays readable after its segment was deleted, because it holds the file. After a
//! concurrent truncation a region may be shorter than it says or hold newer batches: who sends it must cope
//! with a short file, as clients cope with what a truncation brings. Source: `LocalLog.read`, `LogSegment.read`.

use std::io;
use std::sync::Arc;

use super::{Log, State};
use crate::storage::fs::File;
use crate::storage::log_error::LogError;
use crate::storage::segment::Segment;
use crate::storage::txn_index::AbortedTxn;

/// Up to where a reader may see.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// Everything: followers.
    LogEnd,
    /// What is committed: read_uncommitted.
    HighWatermark,
    /// What no open transaction can change: read_committed. The answer then names aborted transactions.
    LastStable,
}

/// Bytes of an open file.
#[derive(Clone)]
pub struct FileRegion {
    /// The file.
    pub file: Arc<dyn File>,
    /// Where the bytes start.
    pub position: u64,
    /// How many they are. The last batch may be cut, which clients expect.
    pub len: usize,
}

/// What a read found.
#[derive(Clone)]
pub struct Slice {
    /// The batches, from the one that holds the offset asked for; `None` when there is nothing yet.
    pub region: Option<FileRegion>,
    /// Base offset of the first batch in the region; the offset asked for without one.
    pub first_base_offset: i64,
    /// Whether the region ends in the middle of its first batch: it alone exceeds the limit.
    pub first_batch_is_cut: bool,
    /// Aborted transactions among the batches; `None` unless read up to the last stable offset.
    pub aborted: Option<Vec<AbortedTxn>>,
    /// High watermark at the read.
    pub high_watermark: i64,
    /// Last stable offset at the read.
    pub last_stable_offset: i64,
    /// Log start offset at the read.
    pub log_start_offset: i64,
    /// Log end offset at the read.
    pub log_end_offset: i64,
}

/// A batch's place, from memory or from the index.
#[derive(Copy, Clone)]
struct Place {
    base_offset: i64,
    position: u64,
    size: usize,
}

/// What a read notes under the lock.
struct Wanted {
    slice: Slice,
    bound: i64,
    segments: Arc<Vec<Arc<Segment>>>,
    /// The segment that may hold the offset.
    first: usize,
    /// The segment that holds the last visible offset.
    last: usize,
    /// Where the offset lies, if known.
    start: Option<Place>,
    /// Where the bound lies in the last segment, if known.
    bound_position: Option<u64>,
}

impl Log {
    /// Finds the batches from `offset` on, at most `max_bytes` of them; with `min_one` the first batch whole,
    /// even if it is larger. `OffsetOutOfRange` outside of log start and log end.
    pub fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        bound: Bound,
        min_one: bool,
    ) -> Result<Slice, LogError> {
        self.read_now(offset, max_bytes, bound, min_one).inspect_err(|error| {
            // A file that is gone or shorter was deleted or cut beside this read: the disk is not to blame.
            let beside = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
            if let LogError::Storage(cause) = error
                && !beside.contains(&cause.kind())
            {
                self.context().failures.ring(&self.log_dir(), error);
            }
        })
    }

    fn read_now(
        &self,
        offset: i64,
        max_bytes: usize,
        bound: Bound,
        min_one: bool,
    ) -> Result<Slice, LogError> {
        let mut wanted = self.lock_open()?.note_read(offset, bound)?;
        for index in wanted.first..=wanted.last {
            let segment = &wanted.segments[index];
            let end = match wanted.bound_position {
                _ if index < wanted.last => segment.size(),
                Some(position) => position,
                None => bound_position(segment, wanted.bound)?,
            };
            let place = match wanted.start {
                Some(place) if index == wanted.first => Some(place),
                _ => segment.locate(offset, end)?.map(|batch| Place {
                    base_offset: batch.base_offset(),
                    position: batch.position,
                    size: batch.size,
                }),
            };
            // Compaction may have removed what was at the end of this segment: go on in the next one.
            let Some(place) = place.filter(|place| place.position < end) else { continue };
            let limit = if min_one { max_bytes.max(place.size) } else { max_bytes };
            let len = usize::try_from(end - place.position).unwrap_or(usize::MAX).min(limit);
            let slice = &mut wanted.slice;
            slice.first_base_offset = place.base_offset;
            slice.first_batch_is_cut = len < place.size;
            slice.region = Some(FileRegion { file: segment.file()?, position: place.position, len });
            if bound == Bound::LastStable {
                let next = wanted.segments.get(index + 1).map_or(wanted.bound, |next| next.base_offset());
                let upper = next.min(wanted.bound);
                slice.aborted = Some(aborted(&wanted.segments[index..], offset, upper)?);
            }
            break;
        }
        Ok(wanted.slice)
    }
}

/// Where reading up to `bound` ends in a segment: at the first batch that holds it or a later offset.
fn bound_position(segment: &Segment, bound: i64) -> Result<u64, LogError> {
    let size = segment.size();
    Ok(segment.locate(bound, size)?.map_or(size, |batch| batch.position))
}

/// Aborted transactions that overlap `from..upper`. A marker may lie in a later segment than its records.
fn aborted(segments: &[Arc<Segment>], from: i64, upper: i64) -> Result<Vec<AbortedTxn>, LogError> {
    let mut found = Vec::new();
    for segment in segments {
        let (more, is_complete) = segment.aborted(from, upper)?;
        found.extend(more);
        if is_complete {
            break;
        }
    }
    Ok(found)
}

impl State {
    /// Everything a read needs to know.
    fn note_read(&self, offset: i64, bound: Bound) -> Result<Wanted, LogError> {
        if offset < self.log_start_offset || offset > self.log_end_offset {
            return Err(LogError::OffsetOutOfRange {
                offset,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            });
        }
        let bound_offset = self.bound_offset(bound);
        let segments = self.segments.snapshot();
        let first = self.segments.floor_index(offset).unwrap_or(0);
        let last = self.segments.floor_index(bound_offset - 1).unwrap_or(0).max(first);
        let active = segments.len() - 1;
        let start = if first == active { self.recent.find(offset) } else { None };
        let bound_position = match last == active {
            _ if offset >= bound_offset => Some(0),
            true if bound_offset == self.log_end_offset => Some(segments[last].size()),
            true => self.recent.find(bound_offset).map(|batch| u64::from(batch.position)),
            false => None,
        };
        Ok(Wanted {
            slice: self.empty_slice(offset, bound),
            bound: bound_offset,
            segments,
            first,
            last,
            start: start.map(|batch| Place {
                base_offset: batch.base_offset,
                position: u64::from(batch.position),
                size: batch.size as usize,
            }),
            bound_position,
        })
    }

    fn bound_offset(&self, bound: Bound) -> i64 {
        match bound {
            Bound::LogEnd => self.log_end_offset,
            Bound::HighWatermark => self.high_watermark,
            Bound::LastStable => self.last_stable_offset(),
        }
    }

    fn empty_slice(&self, offset: i64, bound: Bound) -> Slice {
        Slice {
            region: None,
            first_base_offset: offset,
            first_batch_is_cut: false,
            aborted: (bound == Bound::LastStable).then(Vec::new),
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset(),
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
        }
    }
}
