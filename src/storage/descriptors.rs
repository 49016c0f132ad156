//! Open files are scarce: a file system that keeps the handles of segments and indexes open for reuse, up to a
//! limit, and counts all that are open.
//!
//! Whoever reads or appends opens the file each time and drops the handle; here that is a look-up in a map.
//! A handle in use stays valid when its file is evicted, renamed or removed, so a reader is never cut off.
//! Calls of [`Fs::close_unused`] close what is idle, but for the `.log` file of each directory with the greatest name,
//! a zero-padded base offset: the segment that is appended to, whose descriptor also carries the news of a failed
//! write-back to the next sync.
//! Cached are files by their endings only; the directory they are in holds no directory with such files.
//! Knows nothing of what is in a file.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::fs::{Entry, File, Fs, Open, Space, parent_of};

/// Endings of the files whose handles are kept.
const KEPT: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// Raises the soft limit of open files to the hard one; gives the limit then in force.
pub fn raise_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(limit.current.unwrap_or(u64::MAX));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// See the module.
pub struct Descriptors {
    inner: Arc<dyn Fs>,
    limit: usize,
    open: Arc<AtomicUsize>,
    kept: Mutex<Kept>,
}

/// The handles kept, by directory.
#[derive(Default)]
struct Kept {
    dirs: HashMap<PathBuf, Vec<Slot>>,
    count: usize,
    /// Rises with every use.
    clock: u64,
    /// The clock at the last [`Fs::close_unused`].
    last_pass: u64,
    /// Rises whenever a name may have changed its meaning.
    forgotten: u64,
}

struct Slot {
    name: Box<str>,
    file: Arc<dyn File>,
    writable: bool,
    used: u64,
}

impl Descriptors {
    /// Keeps at most `limit` (at least 1) handles of files of `inner` open between uses.
    pub fn new(inner: Arc<dyn Fs>, limit: usize) -> Descriptors {
        Descriptors { inner, limit: limit.max(1), open: Arc::default(), kept: Mutex::default() }
    }

    /// Files open now: kept or in use.
    pub fn open_files(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Closes every kept handle that nobody uses. After a [`SimFs`](super::sim_fs::SimFs) crash the kept ones are
    /// stale, so tests call this too.
    pub fn close_idle(&self) {
        let mut kept = self.lock();
        kept.dirs.clear();
        kept.count = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // The map is whole between any two statements that could panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_counted(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = match self.inner.open(path, how) {
            Err(error) if is_out_of_descriptors(&error) => {
                self.close_idle();
                self.inner.open(path, how)?
            }
            other => other?,
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Counted { file, open: self.open.clone() }))
    }

    /// The name no longer stands for what it did: called before the change, so that nobody is handed the old
    /// file under it, and after, for handles opened in between.
    fn forget(&self, path: &Path) {
        let mut kept = self.lock();
        kept.forgotten += 1;
        match kept_name(path) {
            Some(name) => kept.remove(parent_of(path), name),
            None => kept.remove_dir(path),
        }
    }
}

impl Kept {
    fn get(&mut self, dir: &Path, name: &str, writable: bool) -> Option<Arc<dyn File>> {
        self.clock += 1;
        let slot = self.dirs.get_mut(dir)?.iter_mut().find(|slot| &*slot.name == name)?;
        slot.used = self.clock;
        (slot.writable || !writable).then(|| slot.file.clone())
    }

    fn insert(&mut self, dir: &Path, name: &str, writable: bool, file: Arc<dyn File>, limit: usize) {
        self.remove(dir, name);
        if self.count >= limit {
            self.evict(limit);
        }
        self.clock += 1;
        let slot = Slot { name: name.into(), file, writable, used: self.clock };
        match self.dirs.get_mut(dir) {
            Some(slots) => slots.push(slot),
            None => drop(self.dirs.insert(dir.to_owned(), vec![slot])),
        }
        self.count += 1;
    }

    fn remove(&mut self, dir: &Path, name: &str) {
        let Some(slots) = self.dirs.get_mut(dir) else { return };
        let before = slots.len();
        slots.retain(|slot| &*slot.name != name);
        self.count -= before - slots.len();
        if slots.is_empty() {
            self.dirs.remove(dir);
        }
    }

    fn remove_dir(&mut self, dir: &Path) {
        self.count -= self.dirs.remove(dir).map_or(0, |slots| slots.len());
    }

    /// Takes out what was not used since the last call, but for the log file of each directory with the greatest name.
    fn take_unused(&mut self) -> Vec<Slot> {
        let since = std::mem::replace(&mut self.last_pass, self.clock);
        let mut unused = Vec::new();
        for slots in self.dirs.values_mut() {
            // Not the one used last: that may be an old segment that somebody reads.
            let names = slots.iter().map(|slot| &slot.name).filter(|name| name.ends_with(".log"));
            let active = names.max().cloned();
            unused.extend(
                slots.extract_if(.., |slot| slot.used <= since && active.as_ref() != Some(&slot.name)),
            );
        }
        self.dirs.retain(|_, slots| !slots.is_empty());
        self.count -= unused.len();
        unused
    }

    /// Drops the quarter of the handles that was not used for longest, so that the search is rare.
    fn evict(&mut self, limit: usize) {
        let mut uses: Vec<u64> = self.dirs.values().flatten().map(|slot| slot.used).collect();
        let kept = limit - limit.div_ceil(4);
        let gone = uses.len().saturating_sub(kept);
        if gone == 0 {
            return;
        }
        let (_, newest_gone, _) = uses.select_nth_unstable(gone - 1);
        let newest_gone = *newest_gone;
        self.dirs.retain(|_, slots| {
            slots.retain(|slot| slot.used > newest_gone);
            !slots.is_empty()
        });
        self.count = self.dirs.values().map(Vec::len).sum();
    }
}

impl Fs for Descriptors {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let Some(name) = kept_name(path) else { return self.open_counted(path, how) };
        let (dir, writable) = (parent_of(path), how != Open::Read);
        let forgotten = {
            let mut kept = self.lock();
            if how != Open::Truncate
                && let Some(file) = kept.get(dir, name, writable)
            {
                return Ok(file);
            }
            kept.forgotten
        };
        // A file opened to be read is likely to be appended to next, and the other way round: open once for both
        // where allowed.
        let opened = match how {
            Open::Read => self.open_counted(path, Open::Write),
            other => self.open_counted(path, other),
        };
        let (file, writable) = match opened {
            Err(error) if how == Open::Read && is_read_only(&error) => (self.open_counted(path, how)?, false),
            other => (other?, true),
        };
        let mut kept = self.lock();
        if kept.forgotten == forgotten {
            // Otherwise a rename or removal overtook us, and the name may stand for another file by now.
            kept.insert(dir, name, writable, file.clone(), self.limit);
        }
        Ok(file)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.inner.size(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.inner.modified_ms(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        let renamed = self.inner.rename(from, to);
        self.forget(from);
        self.forget(to);
        renamed
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.forget(path);
        let removed = self.inner.remove_file(path);
        self.forget(path);
        removed
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.forget(dir);
        let removed = self.inner.remove_dir_all(dir);
        self.forget(dir);
        removed
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn set_modified_ms(&self, path: &Path, ms: i64) -> io::Result<()> {
        self.inner.set_modified_ms(path, ms)
    }

    fn sync_deferred(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_deferred(dir)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn close_unused(&self) {
        let unused = self.lock().take_unused();
        // Closed here, while nobody waits for the lock.
        drop(unused);
    }
}

/// The name of a file whose handle is kept.
fn kept_name(path: &Path) -> Option<&str> {
    let ending = path.extension()?.to_str()?;
    if KEPT.contains(&ending) { path.file_name()?.to_str() } else { None }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// A handle that says when it is closed.
struct Counted {
    file: Arc<dyn File>,
    open: Arc<AtomicUsize>,
}

impl File for Counted {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.file.write_all_at(slices, position)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.fd()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::OsFs;
    use super::*;

    fn put(fs: &dyn Fs, path: &Path, text: &str) {
        let file = fs.open(path, Open::Create).unwrap();
        file.write_all_at(&[IoSlice::new(text.as_bytes())], 0).unwrap();
    }

    fn get(fs: &dyn Fs, path: &Path) -> String {
        String::from_utf8(fs.read(path, 100).unwrap()).unwrap()
    }

    #[test]
    fn keeps_few_and_always_the_right_ones() {
        let root = tempfile::tempdir().unwrap();
        let fs = Descriptors::new(Arc::new(OsFs), 8);
        let mut random = fastrand::Rng::with_seed(5);
        let dirs = [root.path().join("p-0"), root.path().join("p-1")];
        fs.create_dir_all(&dirs[0]).unwrap();
        for step in 0..2000 {
            let dir = if fs.exists(&dirs[0]).unwrap() { 0 } else { 1 };
            let path = dirs[dir].join(format!("{}.{}", random.u8(0..20), KEPT[random.usize(0..4)]));
            match random.u8(0..6) {
                0 => put(&fs, &path, &format!("{step:05}")),
                1 => drop(fs.remove_file(&path)),
                2 => drop(fs.rename(&path, &dirs[dir].join("0.log"))),
                3 if step % 20 == 0 => fs.rename(&dirs[dir], &dirs[1 - dir]).unwrap(),
                _ => {
                    let seen = fs.read(&path, 100).map_err(|error| error.kind());
                    assert_eq!(seen, OsFs.read(&path, 100).map_err(|error| error.kind()), "step {step}");
                }
            }
            assert!(fs.open_files() <= 8, "step {step}: {} open", fs.open_files());
        }
        fs.close_idle();
        assert_eq!(fs.open_files(), 0);
    }

    #[test]
    fn the_longest_unused_go_first() {
        let root = tempfile::tempdir().unwrap();
        let fs = Descriptors::new(Arc::new(OsFs), 4);
        let path = |n: u8| root.path().join(format!("{n}.log"));
        for n in 0..4 {
            put(&fs, &path(n), "x");
        }
        let again = fs.open(&path(0), Open::Read).unwrap();
        put(&fs, &path(4), "x");
        assert!(Arc::ptr_eq(&again, &fs.open(&path(0), Open::Write).unwrap()), "recently used: kept");
        assert_eq!(fs.open_files(), 4);
    }

    #[test]
    fn the_unused_are_closed_but_for_one_log_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let fs = Descriptors::new(Arc::new(OsFs), 100);
        let dirs = ["a-0", "b-0"].map(|name| root.path().join(name));
        for dir in &dirs {
            fs.create_dir_all(dir).unwrap();
            for name in ["1.log", "1.index", "1.timeindex", "2.log", "2.index", "2.txnindex"] {
                put(&fs, &dir.join(name), name);
            }
        }
        fs.close_unused();
        assert_eq!(fs.open_files(), 12, "all were used before the first pass");
        let read = dirs[0].join("1.index");
        let reader = fs.open(&read, Open::Read).unwrap();
        fs.close_unused();
        assert_eq!(fs.open_files(), 3, "two logs, and the index that was read");
        assert!(Arc::ptr_eq(&reader, &fs.open(&read, Open::Read).unwrap()));
        fs.close_unused();
        drop(reader);
        let appended = fs.open(&dirs[0].join("2.log"), Open::Write).unwrap();
        fs.close_unused();
        // A consumer far behind reads an old segment, pass after pass, while nobody appends.
        for _ in 0..3 {
            get(&fs, &dirs[0].join("1.log"));
            fs.close_unused();
        }
        assert!(
            Arc::ptr_eq(&appended, &fs.open(&dirs[0].join("2.log"), Open::Write).unwrap()),
            "never closed"
        );
        drop(appended);
        fs.close_unused();
        fs.close_unused();
        assert_eq!(fs.open_files(), 2);
        let kept: Vec<String> = fs.lock().dirs.values().flatten().map(|slot| slot.name.to_string()).collect();
        assert_eq!((kept, fs.lock().count), (vec!["2.log".to_owned(); 2], 2));
    }

    #[test]
    fn a_handle_outlives_its_name() {
        let root = tempfile::tempdir().unwrap();
        let fs = Descriptors::new(Arc::new(OsFs), 1);
        let path = root.path().join("0.log");
        put(&fs, &path, "old");
        let reader = fs.open(&path, Open::Read).unwrap();
        fs.remove_file(&path).unwrap();
        put(&fs, &path, "new");
        let mut text = [0; 3];
        reader.read_exact_at(&mut text, 0).unwrap();
        assert_eq!((&text, get(&fs, &path).as_str()), (b"old", "new"));
        assert_eq!(fs.open_files(), 2);
    }

    #[test]
    fn the_limit_can_be_raised() {
        let limit = raise_limit().unwrap();
        assert_eq!(raise_limit().unwrap(), limit);
        assert!(limit >= 256);
    }
}
