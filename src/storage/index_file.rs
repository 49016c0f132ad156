//! A file of fixed-size, sorted entries: what the three indexes of a segment have in common (`AbstractIndex`).
//!
//! Kafka maps its index files and preallocates them to 10 MiB. Ours hold no descriptor while idle: the file is
//! opened for each look-up (a [`Descriptors`](super::descriptors::Descriptors) file system makes that cheap),
//! entries are appended by plain writes, and the newest few wait in memory. What waits may be lost by a crash,
//! as with Kafka: recovery rebuilds the indexes of every segment that was not flushed.
//! A file Kafka left behind after a crash ends in zeros up to its preallocated size. No entry but the first can
//! be all zeros, so the end is found by bisection; what follows is ignored, and cut off at the next flush.
//! Knows nothing of what an entry means, except that zeros are none.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::fs::{Fs, Open, damaged};

/// The longest entry of any index: that of the transaction index.
pub(super) const MAX_ENTRY: usize = 34;
/// Bytes read by one probe of a search.
const BLOCK: usize = 4096;
/// Bytes of new entries that wait in memory before they are written.
const TAIL: usize = 512;
/// `segment.index.bytes` when nobody sets it.
const DEFAULT_MAX_BYTES: u32 = 10 << 20;

/// An entry's bytes, at the front.
pub(super) type RawEntry = [u8; MAX_ENTRY];

/// See the module.
pub(super) struct IndexFile {
    fs: Arc<dyn Fs>,
    path: Box<Path>,
    entry_size: usize,
    max_bytes: u32,
    /// What is known of the file; loaded at the first use.
    stored: OnceLock<Stored>,
    /// Entries after those in the file, back to back.
    tail: Vec<u8>,
}

/// The file's part of an index.
#[derive(Clone, Copy)]
struct Stored {
    /// Valid entries in the file.
    entries: u32,
    /// The last of them; zeros when there is none.
    last: RawEntry,
    /// Whether the file is longer than its valid entries.
    surplus: bool,
}

impl IndexFile {
    /// An index over `path`, which may be missing (it then has no entries). Reads nothing yet.
    pub fn new(fs: Arc<dyn Fs>, path: PathBuf, entry_size: usize) -> IndexFile {
        let max_bytes = DEFAULT_MAX_BYTES;
        let path = path.into_boxed_path();
        IndexFile { fs, path, entry_size, max_bytes, stored: OnceLock::new(), tail: Vec::new() }
    }

    /// Creates the file when it is missing: Kafka takes a segment without it for damaged.
    pub fn create_if_missing(&self) -> io::Result<()> {
        if !self.fs.exists(&self.path)? {
            self.fs.open(&self.path, Open::Create)?;
        }
        Ok(())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file (or a directory above it) was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.path = path.into_boxed_path();
    }

    /// Sets the size at which the index counts as full (`segment.index.bytes`).
    pub fn set_max_bytes(&mut self, max_bytes: u32) {
        self.max_bytes = max_bytes;
    }

    /// Most entries the index may have.
    pub fn max_entries(&self) -> u32 {
        self.max_bytes / self.entry_size as u32
    }

    /// Number of entries.
    pub fn entries(&self) -> io::Result<u32> {
        Ok(self.stored()?.entries + (self.tail.len() / self.entry_size) as u32)
    }

    /// The last entry.
    pub fn last(&self) -> io::Result<Option<RawEntry>> {
        if !self.tail.is_empty() {
            return Ok(Some(raw(&self.tail[self.tail.len() - self.entry_size..])));
        }
        let stored = self.stored()?;
        Ok((stored.entries > 0).then_some(stored.last))
    }

    /// Entry `number`, counted from 0.
    pub fn entry(&self, number: u32) -> io::Result<Option<RawEntry>> {
        let stored = self.stored()?.entries;
        if number >= stored {
            let start = (number - stored) as usize * self.entry_size;
            return Ok(self.tail.get(start..start + self.entry_size).map(raw));
        }
        let mut entry = [0; MAX_ENTRY];
        let file = self.fs.open(&self.path, Open::Read)?;
        file.read_exact_at(&mut entry[..self.entry_size], self.position(number))?;
        Ok(Some(entry))
    }

    /// Appends an entry in memory, and writes the waiting ones out when they are many.
    pub fn push(&mut self, entry: &[u8]) -> io::Result<()> {
        debug_assert_eq!(entry.len(), self.entry_size);
        self.stored()?;
        if self.tail.is_empty() {
            self.tail.reserve_exact(TAIL);
        }
        self.tail.extend_from_slice(entry);
        if self.tail.len() + self.entry_size > TAIL { self.write_tail() } else { Ok(()) }
    }

    /// The last entry for which `before` holds, with its number. `before` must hold for a prefix of the
    /// entries (for a damaged file it may not: any entry may then be found, but the search ends). `guess` is
    /// the part of the entries for which it may hold, from 0 to 1: a good one saves reads.
    pub fn search(&self, guess: f64, before: impl Fn(&[u8]) -> bool) -> io::Result<Option<(u32, RawEntry)>> {
        let stored = self.stored()?;
        if let Some((slot, entry)) = last_before(&self.tail, self.entry_size, &before) {
            return Ok(Some((stored.entries + slot, entry)));
        }
        if stored.entries == 0 {
            return Ok(None);
        }
        if before(&stored.last[..self.entry_size]) {
            return Ok(Some((stored.entries - 1, stored.last)));
        }
        self.search_file(stored.entries, guess, before)
    }

    /// Reads the block at the guess, then blocks ever farther from it, never beyond the middle of what is left:
    /// at most twice the reads of a bisection, and one or two when the guess is good.
    fn search_file(
        &self,
        entries: u32,
        guess: f64,
        before: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<(u32, RawEntry)>> {
        let file = self.fs.open(&self.path, Open::Read)?;
        let size = self.entry_size;
        let per_block = (BLOCK / size) as u32;
        let mut buffer = [0; BLOCK];
        let (mut low, mut high, mut best) = (0, entries, None);
        let middle = |low: u32, high: u32| low + (high - low).saturating_sub(per_block) / 2;
        let guessed = (guess * f64::from(entries)) as u32;
        let mut start = guessed.saturating_sub(per_block / 2).min(entries.saturating_sub(per_block));
        let mut stride = 0;
        while low < high {
            let count = per_block.min(high - start);
            let block = &mut buffer[..count as usize * size];
            file.read_exact_at(block, self.position(start))?;
            match last_before(block, size, &before) {
                None => {
                    high = start;
                    start = high.saturating_sub(per_block + stride).max(middle(low, high));
                }
                Some((slot, entry)) => {
                    best = Some((start + slot, entry));
                    if slot + 1 < count {
                        break;
                    }
                    low = start + count;
                    start = low.saturating_add(stride).min(middle(low, high));
                }
            }
            stride = stride.saturating_mul(2).saturating_add(per_block);
        }
        Ok(best)
    }

    /// Keeps the first `entries` entries.
    pub fn truncate(&mut self, entries: u32) -> io::Result<()> {
        let stored = *self.stored()?;
        if entries >= stored.entries {
            self.tail.truncate((entries - stored.entries) as usize * self.entry_size);
            return Ok(());
        }
        let last = match entries.checked_sub(1) {
            Some(last) => self.entry(last)?.unwrap_or([0; MAX_ENTRY]),
            None => [0; MAX_ENTRY],
        };
        self.fs.open(&self.path, Open::Write)?.set_len(self.position(entries))?;
        self.tail.clear();
        self.stored = OnceLock::from(Stored { entries, last, surplus: false });
        Ok(())
    }

    /// Drops every entry, and what else the file holds, without reading it.
    pub fn reset(&mut self) -> io::Result<()> {
        self.tail = Vec::new();
        self.stored = OnceLock::from(Stored { entries: 0, last: [0; MAX_ENTRY], surplus: false });
        match self.fs.open(&self.path, Open::Write) {
            Ok(file) => file.set_len(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes what waits in memory; creates the file when needed.
    pub fn write_tail(&mut self) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let mut stored = *self.stored()?;
        let file = self.fs.open(&self.path, Open::Create)?;
        file.write_all_at(&[IoSlice::new(&self.tail)], self.position(stored.entries))?;
        stored.entries += (self.tail.len() / self.entry_size) as u32;
        stored.last = raw(&self.tail[self.tail.len() - self.entry_size..]);
        self.tail.clear();
        self.stored = OnceLock::from(stored);
        Ok(())
    }

    /// Writes what waits and makes the file exactly as long as its entries; gives the memory back. Kafka takes
    /// an index for valid to its end, so this comes before every clean close.
    pub fn trim(&mut self) -> io::Result<()> {
        self.write_tail()?;
        self.tail = Vec::new();
        let stored = match self.stored.get() {
            Some(stored) => *stored,
            // Nothing was ever asked of it: only a file of Kafka's can have a surplus.
            None => *self.stored()?,
        };
        if stored.surplus {
            self.fs.open(&self.path, Open::Write)?.set_len(self.position(stored.entries))?;
            self.stored = OnceLock::from(Stored { surplus: false, ..stored });
        }
        Ok(())
    }

    /// [`trim`](Self::trim), then makes the file durable, if there is one.
    pub fn flush(&mut self) -> io::Result<()> {
        self.trim()?;
        match self.fs.open(&self.path, Open::Write) {
            Ok(file) => file.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Checks the file's length: a clean file holds whole entries.
    pub fn check_length(&self) -> io::Result<()> {
        let len = match self.fs.size(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if !len.is_multiple_of(self.entry_size as u64) {
            let size = self.entry_size;
            return Err(damaged(&self.path, format_args!("{len} bytes are no multiple of {size}")));
        }
        Ok(())
    }

    /// Calls `visit` with the entries from number `from` on, until it gives false or there are no more.
    pub fn scan(&self, from: u32, mut visit: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
        let stored = self.stored()?.entries;
        let size = self.entry_size;
        let mut next = from;
        if next < stored {
            let file = self.fs.open(&self.path, Open::Read)?;
            let mut buffer = [0; BLOCK];
            while next < stored {
                let count = ((BLOCK / size) as u32).min(stored - next);
                let block = &mut buffer[..count as usize * size];
                file.read_exact_at(block, self.position(next))?;
                for entry in block.chunks_exact(size) {
                    if !visit(entry)? {
                        return Ok(());
                    }
                }
                next += count;
            }
        }
        for entry in self.tail.chunks_exact(size).skip((next - stored) as usize) {
            if !visit(entry)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn position(&self, number: u32) -> u64 {
        u64::from(number) * self.entry_size as u64
    }

    fn stored(&self) -> io::Result<&Stored> {
        if let Some(stored) = self.stored.get() {
            return Ok(stored);
        }
        let loaded = self.load()?;
        Ok(self.stored.get_or_init(|| loaded))
    }

    fn load(&self) -> io::Result<Stored> {
        let mut stored = Stored { entries: 0, last: [0; MAX_ENTRY], surplus: false };
        let len = match self.fs.size(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
            other => other?,
        };
        let whole = len / self.entry_size as u64;
        let entries = u32::try_from(whole).map_err(|_| damaged(&self.path, "larger than any index"))?;
        stored.surplus = !len.is_multiple_of(self.entry_size as u64);
        if entries == 0 {
            return Ok(stored);
        }
        let file = self.fs.open(&self.path, Open::Read)?;
        let read = |number: u32| -> io::Result<RawEntry> {
            let mut entry = [0; MAX_ENTRY];
            file.read_exact_at(&mut entry[..self.entry_size], self.position(number))?;
            Ok(entry)
        };
        let is_zero = |entry: &RawEntry| entry.iter().all(|byte| *byte == 0);
        stored.entries = entries;
        stored.last = read(entries - 1)?;
        if entries > 1 && is_zero(&stored.last) {
            // Entries 0..low are there, entry `high` and all after it are zeros.
            let (mut low, mut high) = (0, entries - 1);
            while low < high {
                let middle = low + (high - low) / 2;
                if is_zero(&read(middle)?) { high = middle } else { low = middle + 1 }
            }
            stored.entries = low;
            stored.last = if low > 0 { read(low - 1)? } else { [0; MAX_ENTRY] };
            stored.surplus = true;
        }
        Ok(stored)
    }
}

/// The last of the `size`d entries in `block` for which `before` holds.
fn last_before(block: &[u8], size: usize, before: impl Fn(&[u8]) -> bool) -> Option<(u32, RawEntry)> {
    let entry = |slot: usize| &block[slot * size..(slot + 1) * size];
    let (mut low, mut high) = (0, block.len() / size);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(entry(middle)) { low = middle + 1 } else { high = middle }
    }
    low.checked_sub(1).map(|slot| (slot as u32, raw(entry(slot))))
}

fn raw(bytes: &[u8]) -> RawEntry {
    let mut entry = [0; MAX_ENTRY];
    entry[..bytes.len()].copy_from_slice(bytes);
    entry
}

/// Eight big-endian bytes of an entry.
pub(super) fn i64_at(entry: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(entry[at..at + 8].try_into().expect("8 bytes were cut out"))
}

/// Four big-endian bytes of an entry.
pub(super) fn i32_at(entry: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(entry[at..at + 4].try_into().expect("4 bytes were cut out"))
}

/// `offset` relative to a segment's base, as indexes hold it; an error when it does not fit.
pub(super) fn relative(path: &Path, base_offset: i64, offset: i64) -> io::Result<i32> {
    let relative = offset.checked_sub(base_offset).filter(|relative| *relative >= 0);
    relative.and_then(|relative| i32::try_from(relative).ok()).ok_or_else(|| {
        let path = path.display();
        let text = format!("{path}: offset {offset} does not fit an index that starts at {base_offset}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

#[cfg(test)]
mod tests;
