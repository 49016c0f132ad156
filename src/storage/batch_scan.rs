//! A walk over the batches of a segment file that reads headers only.
//!
//! Stops silently where a write was cut off (fewer bytes than a header, or than the batch announces) and with
//! an error where a batch cannot be one; both as Kafka's `FileLogInputStream`. No checksum is verified and
//! nothing of a record is read. Memory is one small buffer, whatever the file says.

use std::io;
use std::sync::Arc;

use super::fs::File;
use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::{BatchHeader, HEADER_SIZE, MAGIC_V2};
use crate::protocol::records::legacy::LegacyHeader;
use crate::protocol::records::view::{AnyHeader, ENTRY_HEADER_SIZE, Entry};

/// Bytes fetched by one read: about what lies between two index entries.
const BUFFER: usize = 4096;

/// A batch in a segment, by its header.
#[derive(Copy, Clone, Debug)]
pub struct ScannedBatch {
    /// Where it starts in the file.
    pub position: u64,
    /// Bytes it takes.
    pub size: usize,
    /// Its header.
    pub header: AnyHeader,
}

impl ScannedBatch {
    /// First offset; of a compressed wrapper of an old format the last.
    pub fn base_offset(&self) -> i64 {
        match &self.header {
            AnyHeader::V2(header) => header.base_offset,
            AnyHeader::Legacy(header) => header.offset,
        }
    }

    /// Last offset.
    pub fn last_offset(&self) -> i64 {
        match &self.header {
            AnyHeader::V2(header) => header.last_offset(),
            AnyHeader::Legacy(header) => header.offset,
        }
    }

    /// Offset after the last.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Largest timestamp, -1 none.
    pub fn max_timestamp(&self) -> i64 {
        match &self.header {
            AnyHeader::V2(header) => header.max_timestamp,
            AnyHeader::Legacy(header) => header.timestamp,
        }
    }

    /// Epoch of the leader that wrote it, -1 in old formats.
    pub fn leader_epoch(&self) -> i32 {
        match &self.header {
            AnyHeader::V2(header) => header.partition_leader_epoch,
            AnyHeader::Legacy(_) => -1,
        }
    }

    /// The header, if of format 2.
    pub fn v2(&self) -> Option<&BatchHeader> {
        match &self.header {
            AnyHeader::V2(header) => Some(header),
            AnyHeader::Legacy(_) => None,
        }
    }

    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.position + self.size as u64
    }
}

/// The walk. After an error or the end nothing follows.
pub struct BatchScan {
    file: Arc<dyn File>,
    position: u64,
    end: u64,
    buffer: [u8; BUFFER],
    buffered_at: u64,
    buffered: usize,
}

impl BatchScan {
    /// Walks `file` from the batch boundary `start` to `end`, which may lie inside a batch.
    pub fn new(file: Arc<dyn File>, start: u64, end: u64) -> BatchScan {
        BatchScan { file, position: start, end, buffer: [0; BUFFER], buffered_at: 0, buffered: 0 }
    }

    /// The next batch, `None` at the end or before a cut-off batch. `InvalidData` for what is no batch.
    pub fn next_batch(&mut self) -> io::Result<Option<ScannedBatch>> {
        let left = self.end.saturating_sub(self.position);
        if left <= ENTRY_HEADER_SIZE as u64 {
            return Ok(None);
        }
        let position = self.position;
        let bytes = self.header_bytes()?;
        let entry = Entry::peek(bytes).map_err(|error| not_a_batch(position, error))?;
        if entry.size_in_bytes as u64 > left {
            return Ok(None);
        }
        let header = match entry.magic {
            MAGIC_V2 => BatchHeader::parse(bytes).map(AnyHeader::V2),
            _ => LegacyHeader::parse(bytes).map(AnyHeader::Legacy),
        };
        let header = header.map_err(|error| not_a_batch(position, error))?;
        self.position += entry.size_in_bytes as u64;
        Ok(Some(ScannedBatch { position, size: entry.size_in_bytes, header }))
    }

    /// Where the next batch would start.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The bytes at the position: a whole header if the file has one there.
    fn header_bytes(&mut self) -> io::Result<&[u8]> {
        let wanted = (self.end - self.position).min(HEADER_SIZE as u64) as usize;
        let skip = self.position.wrapping_sub(self.buffered_at);
        if self.buffered == 0 || skip.saturating_add(wanted as u64) > self.buffered as u64 {
            let len = (self.end - self.position).min(BUFFER as u64) as usize;
            self.buffered = read_up_to(&*self.file, &mut self.buffer[..len], self.position)?;
            self.buffered_at = self.position;
        }
        let skip = (self.position - self.buffered_at) as usize;
        Ok(&self.buffer[skip.min(self.buffered)..self.buffered])
    }
}

/// Fills as much of the buffer as the file has.
pub fn read_up_to(file: &dyn File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn not_a_batch(position: u64, error: RecordsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("at position {position}: {error}"))
}
