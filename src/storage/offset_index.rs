//! Offset index: offset -> position in the segment, sparse (`OffsetIndex`).
//!
//! Entries of 8 bytes: offset relative to the segment's base, position. An entry is the *last* offset of an
//! appended chunk with the chunk's *start* position, so a reader starts at the entry at or below its target and
//! scans forward. Offsets strictly increase. No entry below the target means the segment's start.
//! Knows nothing of batches: positions of a damaged index are whatever the file says, readers must check them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Fs, damaged};
use super::index_file::{IndexFile, i32_at, relative};

const ENTRY_SIZE: usize = 8;

/// See the module.
pub struct OffsetIndex {
    file: IndexFile,
    base_offset: i64,
}

impl OffsetIndex {
    /// Opens the index of the segment that starts at `base_offset`; creates an empty file when there is none.
    /// Holds no descriptor afterwards, and reads the file only when first asked.
    pub fn open(fs: Arc<dyn Fs>, path: PathBuf, base_offset: i64) -> io::Result<OffsetIndex> {
        let file = IndexFile::new(fs, path, ENTRY_SIZE);
        file.create_if_missing()?;
        Ok(OffsetIndex { file, base_offset })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file (or a directory above it) was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.file.set_path(path);
    }

    /// Sets the size at which the index counts as full (`segment.index.bytes`, 10 MiB by default).
    pub fn set_max_bytes(&mut self, max_bytes: u32) {
        self.file.set_max_bytes(max_bytes);
    }

    /// The greatest entry at or below `target_offset`, as (offset, byte position in the segment); the base
    /// offset and position 0 when there is none.
    pub fn lookup(&self, target_offset: i64) -> io::Result<(i64, u32)> {
        let target = target_offset.saturating_sub(self.base_offset);
        // Offsets grow about evenly with the bytes of a segment.
        let last = self.last_offset()?.saturating_sub(self.base_offset);
        let guess = target as f64 / last as f64;
        match self.file.search(guess, |entry| i64::from(i32_at(entry, 0)) <= target)? {
            Some((_, entry)) => self.decode(&entry),
            None => Ok((self.base_offset, 0)),
        }
    }

    /// Entry `number` from 0, as (offset, position).
    pub fn entry(&self, number: u32) -> io::Result<Option<(i64, u32)>> {
        self.file.entry(number)?.map(|entry| self.decode(&entry)).transpose()
    }

    /// Number of entries.
    pub fn entries(&self) -> io::Result<u32> {
        self.file.entries()
    }

    /// Offset of the last entry; the base offset when there is none.
    pub fn last_offset(&self) -> io::Result<i64> {
        self.file.last()?.map_or(Ok(self.base_offset), |entry| Ok(self.decode(&entry)?.0))
    }

    /// Whether no entry fits any more; the segment must then roll.
    pub fn is_full(&self) -> io::Result<bool> {
        Ok(self.file.entries()? >= self.file.max_entries())
    }

    /// Appends an entry: the last offset of a chunk and its start position. `InvalidInput` when the index is
    /// full, the offset does not exceed the last one or does not fit 31 bits above the base.
    pub fn append(&mut self, offset: i64, position: u32) -> io::Result<()> {
        let refuse = |file: &IndexFile, why: String| {
            let text = format!("{}: {why}", file.path().display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        };
        if self.is_full()? {
            return refuse(&self.file, format!("full, no room for offset {offset}"));
        }
        let last = self.last_offset()?;
        if self.entries()? > 0 && offset <= last {
            return refuse(&self.file, format!("offset {offset} is not above the last, {last}"));
        }
        let Ok(position) = i32::try_from(position) else {
            return refuse(&self.file, format!("position {position} is beyond 2 GiB"));
        };
        let offset = relative(self.file.path(), self.base_offset, offset)?;
        let mut entry = [0; ENTRY_SIZE];
        entry[..4].copy_from_slice(&offset.to_be_bytes());
        entry[4..].copy_from_slice(&position.to_be_bytes());
        self.file.push(&entry)
    }

    /// Drops the entries at and above `offset`.
    pub fn truncate_to(&mut self, offset: i64) -> io::Result<()> {
        let limit = offset.saturating_sub(self.base_offset);
        let kept = self.file.search(1.0, |entry| i64::from(i32_at(entry, 0)) < limit)?;
        self.file.truncate(kept.map_or(0, |(slot, _)| slot + 1))
    }

    /// Drops all entries.
    pub fn reset(&mut self) -> io::Result<()> {
        self.file.reset()
    }

    /// Writes what waits in memory and cuts the file to its entries: at roll and close.
    pub fn trim(&mut self) -> io::Result<()> {
        self.file.trim()
    }

    /// Writes what waits in memory and makes the file durable.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Kafka's check of an index it has not written in this run: whole entries, last offset not below the base.
    /// `InvalidData` asks for a rebuild.
    pub fn sanity_check(&self) -> io::Result<()> {
        self.file.check_length()?;
        self.last_offset()?;
        match self.file.entries()? {
            0 => Ok(()),
            count => {
                let (first, last) = (self.entry(0)?, self.entry(count - 1)?);
                if first > last {
                    Err(damaged(self.path(), "the last entry is below the first"))
                } else {
                    Ok(())
                }
            }
        }
    }

    fn decode(&self, entry: &[u8]) -> io::Result<(i64, u32)> {
        let (offset, position) = (i32_at(entry, 0), i32_at(entry, 4));
        match u32::try_from(position) {
            Ok(position) if offset >= 0 => Ok((self.base_offset.saturating_add(offset.into()), position)),
            _ => Err(damaged(self.path(), format_args!("entry ({offset}, {position}) is negative"))),
        }
    }
}
