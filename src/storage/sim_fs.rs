//! A file system in memory that fails as disks do: for tests and the simulator (`Fs` without a disk).
//!
//! It keeps what a reader sees apart from what a crash leaves. After [`SimFs::crash`], of every 4 KiB page
//! written and not synced the seed decides: kept, lost, or torn at a 512-byte sector; a file that grew may end
//! anywhere between its old and its new size. Of the changes to one directory that were not synced a prefix
//! survives (each directory has its own, as with a journal per directory; a rename between two directories is
//! atomic). Syncing a file does not make its name durable: POSIX promises no more, so neither do we.
//! Syncs that are put off (`fs::deferring`) do nothing, as on a real disk.
//! A failed sync loses its pages for good even if a later sync succeeds, as on Linux. Handles opened before
//! a crash fail afterwards. Everything is decided by the seed and the order of calls.
//! Source of the faults: Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020.

mod content;
mod names;

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fs::{Entry, File, Fs, Open, Space, defers};
use content::PAGE;
use names::{Names, Node};

/// What a fault is injected into.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Reading from a file.
    Read,
    /// Writing to a file, or changing its length.
    Write,
    /// Making a file or a directory durable.
    Sync,
    /// Opening, listing, creating, renaming, removing.
    Name,
}

/// A planned failure.
struct Fault {
    call: Call,
    /// The path must contain this.
    part: String,
    /// Matching calls still to let pass.
    skip: u64,
    error: i32,
}

/// Linux's error numbers of the faults that matter.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const ESTALE: i32 = 116;
/// Size of the disk unless limited.
const HUGE: u64 = 1 << 50;

/// See the module. Clones share the disk.
#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

struct State {
    random: fastrand::Rng,
    names: Names,
    faults: Vec<Fault>,
    /// Bytes the disk holds in all; more is `ENOSPC`.
    capacity: u64,
    used: u64,
    now_ms: i64,
    /// Number of crashes; handles of an earlier life are stale.
    life: u64,
    calls: u64,
}

impl SimFs {
    /// An empty disk whose failures follow from `seed`.
    pub fn new(seed: u64) -> SimFs {
        SimFs {
            state: Arc::new(Mutex::new(State {
                random: fastrand::Rng::with_seed(seed),
                names: Names::new(),
                faults: Vec::new(),
                capacity: HUGE,
                used: 0,
                now_ms: 0,
                life: 0,
                calls: 0,
            })),
        }
    }

    /// Power off, power on: only what a disk would have kept is left. Planned faults are dropped.
    pub fn crash(&self) {
        let mut state = self.lock();
        let State { random, names, .. } = &mut *state;
        names.crash(random);
        state.life += 1;
        state.faults.clear();
        state.used = state.names.files().map(|content| content.used()).sum();
    }

    /// The process that had files open was killed: what it wrote stays, its handles fail, its locks are gone. Planned
    /// faults are dropped.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.names.release_all();
        state.life += 1;
        state.faults.clear();
    }

    /// Lets the matching call number `nth` (from 1) from now on fail once with `EIO`; `part` must occur in the
    /// path, "" matches all.
    pub fn fail_nth(&self, call: Call, part: &str, nth: u64) {
        let fault = Fault { call, part: part.to_owned(), skip: nth.saturating_sub(1), error: EIO };
        self.lock().faults.push(fault);
    }

    /// Lets only `bytes` more be allocated (in pages of 4 KiB) before writes fail with `ENOSPC`; `None` lifts
    /// the limit. Removing files makes room.
    pub fn limit_space(&self, bytes: Option<u64>) {
        let mut state = self.lock();
        state.capacity = bytes.map_or(HUGE, |bytes| state.used.saturating_add(bytes));
    }

    /// Sets the time that modifications get, in milliseconds since the epoch.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.lock().now_ms = now_ms;
    }

    /// Number of calls so far that could have failed: for "crash after the nth call" matrices.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a failed test; the others may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a call and fails it if a fault is due.
    fn enter(&mut self, call: Call, path: &str) -> io::Result<()> {
        self.calls += 1;
        let mut error = None;
        self.faults.retain_mut(|fault| {
            if fault.call != call || !path.contains(&fault.part) {
                return true;
            }
            if fault.skip > 0 || error.is_some() {
                fault.skip = fault.skip.saturating_sub(1);
                return true;
            }
            error = Some(fault.error);
            false
        });
        error.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    fn enter_path(&mut self, call: Call, path: &Path) -> io::Result<()> {
        self.enter(call, &path.to_string_lossy())
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.enter_path(Call::Name, path)?;
        let now_ms = state.now_ms;
        let node = match state.names.find(path) {
            Ok(node) => node,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && matches!(how, Open::Create | Open::Truncate) =>
            {
                state.names.create_file(path, now_ms)?
            }
            Err(error) => return Err(error),
        };
        let content = state.names.file_mut(node)?;
        if how == Open::Truncate && content.len() > 0 {
            let before = content.used();
            content.set_len(0, now_ms);
            state.used = state.used.saturating_sub(before);
        }
        state.names.hold(node);
        let file = SimFile {
            disk: self.clone(),
            path: path.to_string_lossy().into_owned(),
            node,
            life: state.life,
            writable: how != Open::Read,
            locked: AtomicBool::new(false),
        };
        Ok(Arc::new(file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.lock();
        state.enter_path(Call::Name, dir)?;
        state.names.list(dir)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.lock();
        state.enter_path(Call::Name, path)?;
        let node = state.names.find(path)?;
        Ok(state.names.file_mut(node).map_or(PAGE, |content| content.len()))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let mut state = self.lock();
        let node = state.names.find(path)?;
        Ok(state.names.file_mut(node)?.modified_ms)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.enter_path(Call::Name, dir)?;
        state.names.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.enter_path(Call::Name, from)?;
        let freed = state.names.rename(from, to)?;
        state.used = state.used.saturating_sub(freed);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.enter_path(Call::Name, path)?;
        let freed = state.names.remove_file(path)?;
        state.used = state.used.saturating_sub(freed);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.enter_path(Call::Name, dir)?;
        let freed = state.names.remove_dir_all(dir)?;
        state.used = state.used.saturating_sub(freed);
        Ok(())
    }

    fn sync_deferred(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let entered = state.enter_path(Call::Sync, dir);
        state.names.sync_all(entered.is_ok());
        entered
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if defers() {
            return Ok(());
        }
        let mut state = self.lock();
        state.enter_path(Call::Sync, dir)?;
        state.names.sync_dir(dir)
    }

    fn set_modified_ms(&self, path: &Path, ms: i64) -> io::Result<()> {
        let mut state = self.lock();
        let node = state.names.find(path)?;
        state.names.file_mut(node)?.modified_ms = ms;
        Ok(())
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let state = self.lock();
        state.names.find(path)?;
        Ok(Space { total: state.capacity, usable: state.capacity.saturating_sub(state.used) })
    }
}

struct SimFile {
    disk: SimFs,
    path: String,
    node: Node,
    life: u64,
    writable: bool,
    locked: AtomicBool,
}

impl SimFile {
    /// The disk, if this handle is of its present life and `call` does not fail.
    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.lock();
        if state.life != self.life {
            return Err(io::Error::from_raw_os_error(ESTALE));
        }
        if call == Call::Write && !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        state.enter(call, &self.path)?;
        Ok(state)
    }

    /// The disk, without a chance to fail but for staleness.
    fn peek(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.life == self.life { Ok(state) } else { Err(io::Error::from_raw_os_error(ESTALE)) }
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.enter(Call::Read)?;
        Ok(state.names.file_mut(self.node)?.read_at(buffer, position))
    }

    fn write_all_at(&self, slices: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
        let mut guard = self.enter(Call::Write)?;
        let state = &mut *guard;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                // Page by page, so that a full disk takes the front of a write, as real ones do.
                let (page, rest_of_page) = rest.split_at(rest.len().min((PAGE - position % PAGE) as usize));
                let content = state.names.file_mut(self.node)?;
                if !content.has_page(position / PAGE) {
                    if state.used + PAGE > state.capacity {
                        return Err(io::Error::from_raw_os_error(ENOSPC));
                    }
                    state.used += PAGE;
                }
                content.write_page(page, position, state.now_ms);
                position += page.len() as u64;
                rest = rest_of_page;
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.peek()?.names.file_mut(self.node)?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.enter(Call::Write)?;
        let now_ms = state.now_ms;
        let content = state.names.file_mut(self.node)?;
        let before = content.used();
        content.set_len(len, now_ms);
        let freed = before - content.used();
        state.used = state.used.saturating_sub(freed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if defers() {
            return self.peek().map(drop);
        }
        match self.enter(Call::Sync) {
            Ok(mut state) => {
                state.names.file_mut(self.node)?.sync();
                Ok(())
            }
            Err(error) => {
                // Linux marks the pages clean although they never reached the disk.
                if let Ok(mut state) = self.peek() {
                    state.names.file_mut(self.node)?.fail_sync();
                }
                Err(error)
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn try_lock(&self) -> io::Result<bool> {
        let taken = self.peek()?.names.try_lock(self.node);
        self.locked.fetch_or(taken, Ordering::Relaxed);
        Ok(taken)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.life == self.life {
            state.names.release(self.node, self.locked.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests;
