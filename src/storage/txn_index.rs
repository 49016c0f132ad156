//! Transaction index: the aborted transactions that end in a segment (`TransactionIndex`).
//!
//! Entries of 34 bytes, ordered by the offset of the abort marker. The file appears with the first entry, which
//! most segments never have, and is written at once: recovery of a flushed segment does not rebuild it.
//! Knows nothing of producers or of the high watermark.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::{Fs, damaged};
use super::index_file::{IndexFile, i64_at};

const ENTRY_SIZE: usize = 34;

/// One aborted transaction (`AbortedTxn`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of its abort marker.
    pub last_offset: i64,
    /// The last stable offset once the marker was written.
    pub last_stable_offset: i64,
}

/// See the module.
pub struct TxnIndex {
    file: IndexFile,
}

impl TxnIndex {
    /// Opens the index; the file may be missing and is created by the first append. Holds no descriptor.
    pub fn open(fs: Arc<dyn Fs>, path: PathBuf) -> io::Result<TxnIndex> {
        Ok(TxnIndex { file: IndexFile::new(fs, path, ENTRY_SIZE) })
    }

    /// Where the file is, or would be.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file (or a directory above it) was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.file.set_path(path);
    }

    /// Appends a transaction and writes it. Its marker must come after the last one's, else `InvalidInput`.
    pub fn append(&mut self, txn: AbortedTxn) -> io::Result<()> {
        if let Some(last) = self.file.last()? {
            let last = decode(self.path(), &last)?.last_offset;
            if last >= txn.last_offset {
                let path = self.path().display();
                let text = format!("{path}: marker {} is not above the last, {last}", txn.last_offset);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        let mut entry = [0; ENTRY_SIZE];
        let fields = [txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset];
        for (field, bytes) in fields.iter().zip(entry[2..].chunks_exact_mut(8)) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        self.file.push(&entry)?;
        self.file.write_tail()
    }

    /// The aborted transactions that overlap `fetch_offset..upper_bound`, and whether the answer is complete:
    /// if not, later segments' indexes must be asked too (`collectAbortedTxns`).
    pub fn collect(&self, fetch_offset: i64, upper_bound: i64) -> io::Result<(Vec<AbortedTxn>, bool)> {
        let mut found = Vec::new();
        let mut is_complete = false;
        let before = self.file.search(1.0, |entry| i64_at(entry, 18) < fetch_offset)?;
        self.file.scan(before.map_or(0, |(slot, _)| slot + 1), |entry| {
            let txn = decode(self.path(), entry)?;
            if txn.last_offset >= fetch_offset && txn.first_offset < upper_bound {
                found.push(txn);
            }
            is_complete = txn.last_stable_offset >= upper_bound;
            Ok(!is_complete)
        })?;
        Ok((found, is_complete))
    }

    /// Every transaction, in order.
    pub fn all(&self) -> io::Result<Vec<AbortedTxn>> {
        let mut all = Vec::new();
        self.file.scan(0, |entry| {
            all.push(decode(self.path(), entry)?);
            Ok(true)
        })?;
        Ok(all)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.file.entries()? == 0)
    }

    /// Drops the transactions whose marker is at or above `offset`.
    pub fn truncate_to(&mut self, offset: i64) -> io::Result<()> {
        let kept = self.file.search(1.0, |entry| i64_at(entry, 18) < offset)?;
        self.file.truncate(kept.map_or(0, |(slot, _)| slot + 1))
    }

    /// Drops all entries.
    pub fn reset(&mut self) -> io::Result<()> {
        self.file.reset()
    }

    /// Makes the file durable, if there is one.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Checks every entry of a file not written in this run: whole entries of a known version, markers in order
    /// and not below the segment's base. `InvalidData` asks for a rebuild.
    pub fn sanity_check(&self, base_offset: i64) -> io::Result<()> {
        self.file.check_length()?;
        let mut least = base_offset;
        self.file.scan(0, |entry| {
            let txn = decode(self.path(), entry)?;
            if txn.last_offset < least || txn.first_offset > txn.last_offset {
                return Err(damaged(self.path(), format_args!("{txn:?} is out of order")));
            }
            least = txn.last_offset.saturating_add(1);
            Ok(true)
        })
    }
}

fn decode(path: &Path, entry: &[u8]) -> io::Result<AbortedTxn> {
    let version = i16::from_be_bytes([entry[0], entry[1]]);
    if version != 0 {
        return Err(damaged(path, format_args!("entry of version {version}, only 0 is known")));
    }
    Ok(AbortedTxn {
        producer_id: i64_at(entry, 2),
        first_offset: i64_at(entry, 10),
        last_offset: i64_at(entry, 18),
        last_stable_offset: i64_at(entry, 26),
    })
}
