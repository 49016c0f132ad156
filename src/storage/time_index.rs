//! Time index: timestamp -> offset, sparse (`TimeIndex`).
//!
//! Entries of 12 bytes: the largest timestamp so far, and the relative offset of (the last record of the batch
//! with) it. Timestamps strictly increase, offsets never fall. One slot stays reserved for the entry that
//! closing the segment adds. Older releases stored record offsets, 3.9 stores the batch's last: both are read.
//! Knows nothing of batches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Fs, damaged};
use super::index_file::{IndexFile, i32_at, i64_at, relative};

const ENTRY_SIZE: usize = 12;
/// "No timestamp".
const NONE: i64 = -1;

/// See the module.
pub struct TimeIndex {
    file: IndexFile,
    base_offset: i64,
}

impl TimeIndex {
    /// Opens the index of the segment that starts at `base_offset`; creates an empty file when there is none.
    /// Holds no descriptor afterwards, and reads the file only when first asked.
    pub fn open(fs: Arc<dyn Fs>, path: PathBuf, base_offset: i64) -> io::Result<TimeIndex> {
        let file = IndexFile::new(fs, path, ENTRY_SIZE);
        file.create_if_missing()?;
        Ok(TimeIndex { file, base_offset })
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

    /// The greatest entry at or below `timestamp` (milliseconds), as (timestamp, offset); -1 and the base offset
    /// when there is none.
    pub fn lookup(&self, timestamp: i64) -> io::Result<(i64, i64)> {
        match self.file.search(1.0, |entry| i64_at(entry, 0) <= timestamp)? {
            Some((_, entry)) => self.decode(&entry),
            None => Ok((NONE, self.base_offset)),
        }
    }

    /// The last entry, as (timestamp, offset); -1 and the base offset when there is none.
    pub fn last_entry(&self) -> io::Result<(i64, i64)> {
        self.file.last()?.map_or(Ok((NONE, self.base_offset)), |entry| self.decode(&entry))
    }

    /// Entry `number` from 0, as (timestamp, offset).
    pub fn entry(&self, number: u32) -> io::Result<Option<(i64, i64)>> {
        self.file.entry(number)?.map(|entry| self.decode(&entry)).transpose()
    }

    /// Number of entries.
    pub fn entries(&self) -> io::Result<u32> {
        self.file.entries()
    }

    /// Whether only the reserved slot is left; the segment must then roll.
    pub fn is_full(&self) -> io::Result<bool> {
        Ok(self.file.entries()?.saturating_add(1) >= self.file.max_entries())
    }

    /// Appends an entry if `timestamp` exceeds the last one's. `skip_full_check` lets the closing entry into the
    /// reserved slot. `InvalidInput` when the index is full, the offset falls, the timestamp falls, or the offset
    /// does not fit.
    pub fn maybe_append(&mut self, timestamp: i64, offset: i64, skip_full_check: bool) -> io::Result<()> {
        let (last_timestamp, last_offset) = self.last_entry()?;
        let entries = self.entries()?;
        let why = if !skip_full_check && self.is_full()? {
            Some(format!("full, no room for offset {offset}"))
        } else if entries > 0 && offset < last_offset {
            Some(format!("offset {offset} is below the last, {last_offset}"))
        } else if entries > 0 && timestamp < last_timestamp {
            Some(format!("timestamp {timestamp} is below the last, {last_timestamp}"))
        } else {
            None
        };
        if let Some(why) = why {
            let text = format!("{}: {why}", self.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if timestamp <= last_timestamp {
            return Ok(());
        }
        let offset = relative(self.path(), self.base_offset, offset)?;
        let mut entry = [0; ENTRY_SIZE];
        entry[..8].copy_from_slice(&timestamp.to_be_bytes());
        entry[8..].copy_from_slice(&offset.to_be_bytes());
        self.file.push(&entry)
    }

    /// Drops the entries with an offset at or above `offset`.
    pub fn truncate_to(&mut self, offset: i64) -> io::Result<()> {
        let limit = offset.saturating_sub(self.base_offset);
        let kept = self.file.search(1.0, |entry| i64::from(i32_at(entry, 8)) < limit)?;
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

    /// Kafka's check of an index it has not written in this run: whole entries, the last not below the first,
    /// its offset not below the base. `InvalidData` asks for a rebuild.
    pub fn sanity_check(&self) -> io::Result<()> {
        self.file.check_length()?;
        let (last, _) = self.last_entry()?;
        match self.entry(0)? {
            Some((first, _)) if last < first => {
                Err(damaged(self.path(), format_args!("last timestamp {last} is below the first, {first}")))
            }
            _ => Ok(()),
        }
    }

    fn decode(&self, entry: &[u8]) -> io::Result<(i64, i64)> {
        let (timestamp, offset) = (i64_at(entry, 0), i32_at(entry, 8));
        if offset < 0 {
            return Err(damaged(self.path(), format_args!("entry ({timestamp}, {offset}) is negative")));
        }
        Ok((timestamp, self.base_offset.saturating_add(offset.into())))
    }
}
