//! Recovery of one segment: every batch is checked, everything after the first bad one is cut off, and what is
//! derived from batches (indexes, epochs, producers) is built anew (`LogSegment.recover`).
//!
//! A batch is bad if it is cut, its checksum does not match, its offsets do not rise, or its leader epoch falls:
//! bytes of an earlier life of the file, which a lost truncation can bring back. Sizes and zeros prove nothing.
//! Memory is one window, whatever the file says.

use std::io;
use std::sync::Arc;

use super::batch_scan::{BatchScan, ScannedBatch, read_up_to};
use super::epoch_cache::EpochCache;
use super::fs::{File, Fs, Open};
use super::producer_rebuild::read_producer_batch;
use super::producer_state::ProducerState;
use super::segment::Segment;
use super::txn_index::AbortedTxn;
use crate::protocol::records::view::AnyHeader;

/// Bytes read at once.
const WINDOW: usize = 256 * 1024;
/// Where the bytes start that a checksum covers.
const V2_COVERED_FROM: u64 = 21;
const LEGACY_COVERED_FROM: u64 = 16;

/// What recovery of a segment found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Offset after the last valid batch, or the segment's base.
    pub next_offset: i64,
    /// Bytes cut off the end.
    pub truncated: u64,
}

/// What is rebuilt along the way.
pub struct Rebuilt<'a> {
    /// Producers as of the segment's base.
    pub producers: &'a mut ProducerState,
    /// Epochs of the log.
    pub epochs: &'a mut EpochCache,
    /// Called with the bytes of each batch that was checked.
    pub progress: &'a dyn Fn(u64),
}

/// Recovers a segment whose first offset must be at least `expected`.
pub fn recover(
    fs: &Arc<dyn Fs>,
    segment: &Segment,
    expected: i64,
    index_interval: u32,
    rebuilt: &mut Rebuilt<'_>,
) -> io::Result<Recovered> {
    segment.reset_indexes()?;
    let file = fs.open(&segment.log_path(), Open::Write)?;
    let size = file.size()?;
    segment.set_size(size);
    let mut window = Window { file: file.clone(), bytes: vec![0; WINDOW], at: 0, len: 0 };
    let mut scan = BatchScan::new(file.clone(), 0, size);
    let mut next_offset = expected.max(segment.base_offset());
    let mut valid = 0;
    loop {
        let batch = match scan.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
            Err(error) => return Err(error),
        };
        if !is_continuation(&batch, segment, next_offset, rebuilt.epochs) || !window.is_intact(&batch)? {
            break;
        }
        let producer = match read_producer_batch(&*file, &batch) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
            other => other?,
        };
        if batch.leader_epoch() >= 0 && rebuilt.epochs.latest().is_none_or(|e| batch.leader_epoch() > e.epoch)
        {
            rebuilt.epochs.assign(batch.leader_epoch(), batch.base_offset())?;
        }
        segment.index_recovered(&batch, index_interval)?;
        if let Some(txn) = producer.and_then(|info| rebuilt.producers.apply(&info)).filter(|t| t.is_aborted) {
            segment.append_aborted(AbortedTxn {
                producer_id: txn.producer_id,
                first_offset: txn.first_offset,
                last_offset: txn.last_offset,
                last_stable_offset: txn.last_stable_offset,
            })?;
        }
        next_offset = batch.next_offset();
        valid = batch.end();
        rebuilt.producers.set_end_offset(next_offset);
        (rebuilt.progress)(batch.size as u64);
    }
    if valid < size {
        file.set_len(valid)?;
    }
    segment.set_size(valid);
    segment.seal()?;
    Ok(Recovered { next_offset, truncated: size - valid })
}

fn is_continuation(batch: &ScannedBatch, segment: &Segment, next: i64, epochs: &EpochCache) -> bool {
    let (base, last) = (batch.base_offset(), batch.last_offset());
    // A compressed wrapper of an old format names its last offset only, which is no less of a bound.
    let rises = base >= next && last >= base && last < i64::MAX;
    let fits = last.checked_sub(segment.base_offset()).is_some_and(|delta| delta <= i64::from(i32::MAX));
    let epoch = batch.leader_epoch();
    // An older epoch's batch where a later one is known to begin was cut off, and the disk lost the cut: kept, it would pass
    // for the later one's.
    let known = epochs.epoch_for(base).unwrap_or(-1);
    rises && fits && (epoch < 0 || epoch >= known)
}

/// A part of a file in memory, moved forward as batches are checked.
struct Window {
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    at: u64,
    len: usize,
}

impl Window {
    /// Whether the checksum of a batch matches.
    fn is_intact(&mut self, batch: &ScannedBatch) -> io::Result<bool> {
        match batch.header {
            AnyHeader::V2(header) => {
                let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
                self.walk(batch.position + V2_COVERED_FROM, batch.end(), |bytes| digest.update(bytes))?;
                Ok(digest.finalize() as u32 == header.crc)
            }
            AnyHeader::Legacy(header) => {
                let mut hasher = crc32fast::Hasher::new();
                self.walk(batch.position + LEGACY_COVERED_FROM, batch.end(), |bytes| hasher.update(bytes))?;
                Ok(hasher.finalize() == header.crc)
            }
        }
    }

    /// Gives all bytes between two positions, in pieces.
    fn walk(&mut self, mut from: u64, to: u64, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
        while from < to {
            if from < self.at || from >= self.at + self.len as u64 {
                self.len = read_up_to(&*self.file, &mut self.bytes, from)?;
                self.at = from;
                if self.len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let start = (from - self.at) as usize;
            let end = self.len.min((to - self.at) as usize);
            visit(&self.bytes[start..end]);
            from = self.at + end as u64;
        }
        Ok(())
    }
}
