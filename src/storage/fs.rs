//! The file system behind the log: one trait for real disks and for the faulty one of the tests.
//!
//! Paths are absolute or relative to the process; names are Kafka's ASCII file names. Every method maps to one
//! or two system calls, and reports `io::Error` as it came: the caller decides what a failure means
//! (usually: the log directory goes offline, and nothing is retried).

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

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

/// Bytes of a file system.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Space {
    /// All there are.
    pub total: u64,
    /// Those an unprivileged process may still use.
    pub usable: u64,
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
    /// Sets the time of last modification, in milliseconds since the epoch (compaction keeps its source's).
    fn set_modified_ms(&self, path: &Path, ms: i64) -> io::Result<()>;
    /// Size of the file system that holds `path` (`DescribeLogDirs`).
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Makes durable, in one call for the file system that holds `dir`, every sync that [`deferring`] has put off.
    /// A file system that puts nothing off has nothing to do.
    fn sync_deferred(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Closes what is kept open between uses and was not used since the last call: once a while by whoever has a
    /// timer. A file system that keeps nothing open has nothing to do.
    fn close_unused(&self) {}

    /// Replaces the whole content of a small file, atomically and durably: `<path>.tmp` is written and synced,
    /// renamed over `path`, and the directory is synced. After a crash the file holds the old or the new bytes.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let tmp = with_suffix(path, ".tmp");
        let file = self.open(&tmp, Open::Truncate)?;
        file.write_all_at(&[IoSlice::new(bytes)], 0)?;
        file.sync()?;
        drop(file);
        self.rename(&tmp, path)?;
        self.sync_dir(parent_of(path))
    }

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
    /// Takes an exclusive advisory lock without waiting; false when somebody else holds it. Released when the
    /// handle is dropped.
    fn try_lock(&self) -> io::Result<bool>;

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

/// `path` with `suffix` appended to its last component (`a.log` + `.deleted`).
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory a path's name lives in; `.` for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// An [`io::Error`] of kind `InvalidData` about `path`: what a damaged file gives.
pub fn damaged(path: &Path, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

/// The machine's file system.
#[derive(Copy, Clone, Debug, Default)]
pub struct OsFs;

/// Most slices one `pwritev` takes (`IOV_MAX` on Linux).
const MAX_SLICES: usize = 1024;

impl Fs for OsFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(how != Open::Read);
        options.create(matches!(how, Open::Create | Open::Truncate)).truncate(how == Open::Truncate);
        Ok(Arc::new(OsFile(options.open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A log directory may hold a link to a directory on another disk: follow it, as Kafka does.
            let kind = entry.file_type()?;
            let is_dir = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir });
            }
        }
        Ok(entries)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let modified = fs::metadata(path)?.modified()?;
        Ok(match modified.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_deferred(&self, dir: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(dir)?)?)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if defers() {
            return Ok(());
        }
        fs::File::open(dir)?.sync_all()
    }

    fn set_modified_ms(&self, path: &Path, ms: i64) -> io::Result<()> {
        let distance = Duration::from_millis(ms.unsigned_abs());
        let time = if ms >= 0 { UNIX_EPOCH.checked_add(distance) } else { UNIX_EPOCH.checked_sub(distance) };
        let time: SystemTime = time.ok_or(io::ErrorKind::InvalidInput)?;
        fs::OpenOptions::new().write(true).open(path)?.set_modified(time)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

thread_local! {
    static DEFERS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether this thread's syncs are put off: for file systems.
pub(super) fn defers() -> bool {
    DEFERS.get()
}

/// Runs `work`, in which this thread's syncs do nothing: thousands of small syncs cost seconds, one
/// [`Fs::sync_deferred`] after them costs milliseconds. Until that call nothing of `work` counts as durable, so it is
/// for what may be lost whole: new, empty logs, the end of a run before it is marked clean, and what is synced later.
pub fn deferring<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEFERS.set(self.0);
        }
    }
    let _restore = Restore(DEFERS.replace(true));
    work()
}

#[derive(Debug)]
struct OsFile(fs::File);

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
        for chunk in slices.chunks(MAX_SLICES) {
            let total: usize = chunk.iter().map(|slice| slice.len()).sum();
            let mut written = write_some(&self.0, chunk, position)?;
            while written < total {
                // A short write: rare (a full disk, a signal), so the rest may go out slice by slice.
                written += write_rest(&self.0, chunk, written, position)?;
            }
            position += total as u64;
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if defers() {
            return Ok(());
        }
        self.0.sync_data()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn try_lock(&self) -> io::Result<bool> {
        // `flock` keeps out other handles of this process; `fcntl` is what Java locks with, so it keeps out Kafka.
        for attempt in [
            rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive),
            rustix::fs::fcntl_lock(&self.0, FlockOperation::NonBlockingLockExclusive),
        ] {
            match attempt {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::ACCESS) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// One `pwritev`, repeated when a signal interrupts it before the first byte.
fn write_some(file: &fs::File, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwritev(file, slices, position) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Writes the slice in which byte `done` of the chunk falls, from that byte on.
fn write_rest(file: &fs::File, chunk: &[IoSlice<'_>], done: usize, position: u64) -> io::Result<usize> {
    let mut start = 0;
    for slice in chunk {
        if done < start + slice.len() {
            let rest = &slice[done - start..];
            file.write_all_at(rest, position + done as u64)?;
            return Ok(rest.len());
        }
        start += slice.len();
    }
    Err(io::ErrorKind::WriteZero.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_many_slices_in_order_and_past_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let file = OsFs.open(&path, Open::Create).unwrap();
        let parts: Vec<Vec<u8>> = (0..2500u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let slices: Vec<IoSlice> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_all_at(&slices, 10).unwrap();
        let mut expected = vec![0; 10];
        expected.extend(parts.concat());
        assert_eq!(OsFs.read(&path, 1 << 20).unwrap(), expected);
        assert_eq!(OsFs.read(&path, 10).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(write_rest(&fs::File::create(&path).unwrap(), &slices[..3], 5, 0).unwrap(), 3);
        assert_eq!(fs::read(&path).unwrap()[5..], [0, 0, 1]);
    }

    #[test]
    fn opens_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(OsFs.open(&path, Open::Read).err().unwrap().kind(), io::ErrorKind::NotFound);
        assert_eq!(OsFs.open(&path, Open::Write).err().unwrap().kind(), io::ErrorKind::NotFound);
        OsFs.replace(&path, b"abc").unwrap();
        OsFs.open(&path, Open::Create).unwrap();
        assert_eq!(OsFs.size(&path).unwrap(), 3);
        OsFs.open(&path, Open::Truncate).unwrap();
        assert_eq!(OsFs.size(&path).unwrap(), 0);
        OsFs.set_modified_ms(&path, 1_700_000_000_123).unwrap();
        assert_eq!(OsFs.modified_ms(&path).unwrap(), 1_700_000_000_123);
        assert_eq!(OsFs.list(dir.path()).unwrap(), [Entry { name: "x".into(), is_dir: false }]);
        let space = OsFs.space(dir.path()).unwrap();
        assert!(space.usable <= space.total && space.total > 0);
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let first = OsFs.open(&path, Open::Create).unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!OsFs.open(&path, Open::Create).unwrap().try_lock().unwrap());
        drop(first);
        assert!(OsFs.open(&path, Open::Create).unwrap().try_lock().unwrap());
    }
}
