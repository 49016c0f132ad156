//! Producer state from disk: the newest usable snapshot, and the batches after it (`ProducerStateManager`,
//! `UnifiedLog.rebuildProducerState`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch_scan::{BatchScan, ScannedBatch, read_up_to};
use super::fs::{File, Fs};
use super::producer_batch::producer_batch;
use super::producer_snapshot::{read, snapshot_path};
use super::producer_state::{BatchInfo, ProducerState};
use super::segment::Segment;
use crate::clock::Timestamp;
use crate::protocol::records::batch::HEADER_SIZE;

/// Longest control batch read: a marker takes 78 bytes, and a cleaner adds few.
const MAX_MARKER: usize = 4096;

/// The state of the newest snapshot among `offsets` that can be read, and those that cannot. `None` without
/// one: the state is then empty where the first segment begins.
pub fn load(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    offsets: &[i64],
    now: Timestamp,
    expiration_ms: i64,
) -> (Option<ProducerState>, Vec<i64>) {
    let mut damaged = Vec::new();
    for offset in offsets.iter().rev() {
        match read(fs, &snapshot_path(dir, *offset)) {
            Ok(entries) => {
                let state = ProducerState::from_snapshot(&entries, *offset, now, expiration_ms);
                return (Some(state), damaged);
            }
            Err(error) => {
                tracing::warn!(dir = %dir.display(), offset, %error, "producer snapshot dropped");
                damaged.push(*offset);
            }
        }
    }
    (None, damaged)
}

/// Applies the batches from the state's end up to `end`. Batches below the log start count as long as they are there:
/// their producers go on from them, and whoever followed the log without a break knows them too.
pub fn replay(state: &mut ProducerState, segments: &[Arc<Segment>], end: i64) -> io::Result<()> {
    let from = state.end_offset();
    let first = segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
    for segment in segments.iter().skip(first).take_while(|segment| segment.base_offset() < end) {
        let size = segment.size();
        let Some(start) = segment.locate(from, size)? else { continue };
        let file = segment.file()?;
        let mut scan = BatchScan::new(file.clone(), start.position, size);
        while let Some(batch) = scan.next_batch()? {
            if batch.base_offset() >= end {
                break;
            }
            if let Some(info) = read_producer_batch(&*file, &batch)? {
                state.apply(&info);
            }
        }
    }
    state.set_end_offset(end);
    Ok(())
}

/// The producer's part of a batch in a file. Reads the body of control batches only.
pub fn read_producer_batch(file: &dyn File, batch: &ScannedBatch) -> io::Result<Option<BatchInfo>> {
    let Some(header) = batch.v2().filter(|header| header.has_producer_id()) else { return Ok(None) };
    let mut body = Vec::new();
    if header.is_control() {
        body.resize(batch.size.min(MAX_MARKER) - HEADER_SIZE, 0);
        let read = read_up_to(file, &mut body, batch.position + HEADER_SIZE as u64)?;
        body.truncate(read);
    }
    producer_batch(header, &body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
