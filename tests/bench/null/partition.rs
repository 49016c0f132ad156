//! One partition of the null broker: a file, and in memory where its batches begin.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ottla::protocol::frame::{FileRegion, RegionSource};
use ottla::protocol::records::batch::{self, BatchHeader};

use crate::client::failed;

/// Batches closer together than this share an entry, so that one-record batches do not fill the memory.
const ENTRY_BYTES: u64 = 16_000;

struct BatchFile(File);

impl RegionSource for BatchFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// Batches in a file.
pub struct Partition {
    file: Arc<BatchFile>,
    size: u64,
    /// Offset of the next record.
    pub next_offset: i64,
    /// First offset and position of batches, ascending.
    entries: Vec<(i64, u64)>,
}

impl Partition {
    /// An empty one in a new file.
    pub fn create(path: &Path) -> io::Result<Partition> {
        let file = File::options().read(true).append(true).create_new(true).open(path)?;
        Ok(Partition { file: Arc::new(BatchFile(file)), size: 0, next_offset: 0, entries: Vec::new() })
    }

    /// Appends one batch and returns the offset it got.
    pub fn append(&mut self, records: &[u8]) -> io::Result<i64> {
        let header = BatchHeader::parse(records).map_err(failed)?;
        batch::verify_crc(records).map_err(failed)?;
        let base = self.next_offset;
        let offset = base.to_be_bytes();
        let parts = [IoSlice::new(&offset), IoSlice::new(&records[offset.len()..])];
        if (&self.file.0).write_vectored(&parts)? != records.len() {
            return Err(failed("a short write"));
        }
        if self.entries.last().is_none_or(|&(_, position)| self.size - position >= ENTRY_BYTES) {
            self.entries.push((base, self.size));
        }
        self.size += records.len() as u64;
        self.next_offset += i64::from(header.last_offset_delta) + 1;
        Ok(base)
    }

    /// Whole batches from around `offset`, at most `max` bytes unless the first is longer; nothing at the
    /// end.
    pub fn read(&self, offset: i64, max: u64) -> Option<FileRegion> {
        if offset >= self.next_offset {
            return None;
        }
        let first = self.entries.partition_point(|&(base, _)| base <= offset).checked_sub(1)?;
        let position = self.entries[first].1;
        let end = if self.size - position <= max {
            self.size
        } else {
            let beyond = self.entries.partition_point(|&(_, at)| at <= position + max);
            self.entries.get((beyond - 1).max(first + 1)).map_or(self.size, |&(_, at)| at)
        };
        let source = Arc::clone(&self.file) as Arc<dyn RegionSource>;
        Some(FileRegion { source, position, len: (end - position) as usize })
    }
}
