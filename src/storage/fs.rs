//! The file system behind the log: one trait for real disks and for the faulty one of the tests.
//!
//! Paths are absolute or relative to the process; names are Kafka's ASCII file names. Every method maps to one
//! or two system calls, and reports `io::Error` as it came: the caller decides what a failure means
//! (usually: the log directory goes offline, and nothing is retried).

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// How to open a file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Open {
    /// Must exist; reading only.
    Read,
    /// Must exist; reading and writing.
    Write,
    /// Created when missing; reading and writing; content kept.
    Create,
    /// Created when missing; reading and writing; emptied.
    Truncate,
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The bare name.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What the log needs of a file system.
pub trait Fs: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;
    /// Names in a directory, in no order. Names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Size of a file in bytes; `NotFound` when it is missing.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// Time of last modification, in milliseconds since the epoch.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// Creates a directory and its parents.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames, replacing the target; atomic, durable only after `sync_dir` of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and what it holds.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether the path exists.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.size(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole file of at most `limit` bytes; a longer one is `InvalidData`.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let len = file.size()?;
        if len > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has {len} bytes, more than the {limit} allowed", path.display()),
            ));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// An open file. All positions are explicit: there is no cursor, so a handle can be shared.
pub trait File: Send + Sync + 'static {
    /// Reads at most `buffer.len()` bytes at `position`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `slices`, one after another, at `position`, which may be past the end.
    fn write_all_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or zero-extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes content and size durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// The descriptor, for `sendfile` and `mmap`; `None` where there is none (the faulty file system).
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Fills the buffer from `position`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, position) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    position += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
