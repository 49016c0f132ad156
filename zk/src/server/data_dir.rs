//! The data directory: who holds it, what is in it, what may go.
//!
//! Recovery takes the newest whole snapshot and applies every later transaction of the logs, which must follow one
//! another without a gap; anything else is an error that says what to do, never a silent loss. The directory is
//! locked while it is open, so two servers never write the same log.

use super::snapshot;
use super::txn_log::{self, TxnLog, parse_name};
use crate::tree::{Limits, Tree};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// A directory that is open.
pub(super) struct DataDir {
    path: PathBuf,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

/// Snapshots kept: the newest, and one to fall back on.
const KEPT_SNAPSHOTS: usize = 2;

impl DataDir {
    /// Creates the directory if it is missing, and locks it.
    pub fn open(path: &Path) -> io::Result<DataDir> {
        if !path.is_dir() {
            fs::create_dir_all(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                txn_log::sync_dir(parent)?;
            }
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "{} is in use by another server: stop it or choose another directory",
                    path.display()
                ),
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Files of a kind with the transactions in their names, in order.
    fn files(&self, kind: &str) -> io::Result<Vec<(i64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(zxid) = parse_name(kind, name) {
                files.push((zxid, entry.path()));
            } else if name.starts_with("snapshot.") && name.ends_with(".tmp") {
                fs::remove_file(entry.path())?;
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Restores the tree and opens the log behind its last transaction.
    pub fn recover(&self, limits: Limits) -> io::Result<(Tree, TxnLog)> {
        let logs = self.files("log")?;
        let mut tree = self.newest_snapshot(limits)?;
        let next = tree.last_zxid() + 1;
        let from = logs.partition_point(|(first, _)| *first <= next).saturating_sub(1);
        let (mut last, mut applied) = (None, 0);
        for (index, (_, path)) in logs.iter().enumerate().skip(from) {
            let scan = txn_log::scan(path)?;
            if let Some(why) = &scan.torn {
                if index + 1 < logs.len() {
                    return Err(damaged(path, &format!("{why}, and it is not the last log file")));
                }
                cut_off(path, scan.whole, why)?;
            }
            for record in scan.records.iter().filter(|record| record.header.zxid >= next) {
                tree.apply(record).map_err(|error| damaged(path, &error.to_string()))?;
                applied += 1;
            }
            last = Some((path.as_path(), scan.whole));
        }
        info!(dir = %self.path.display(), zxid = tree.last_zxid(), nodes = tree.node_count(), applied, "recovered");
        let log = TxnLog::open(&self.path, last, applied)?;
        Ok((tree, log))
    }

    fn newest_snapshot(&self, limits: Limits) -> io::Result<Tree> {
        for (_, path) in self.files("snapshot")?.iter().rev() {
            match snapshot::read(path, limits.clone()) {
                Ok(tree) => return Ok(tree),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    warn!(%error, "snapshot is damaged, falling back on an older one");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Tree::new(limits))
    }

    /// Removes snapshots beyond the newest two, and logs that the older of them makes superfluous.
    pub fn purge(&self) -> io::Result<()> {
        let snapshots = self.files("snapshot")?;
        let Some(oldest_kept) = snapshots.len().checked_sub(KEPT_SNAPSHOTS) else { return Ok(()) };
        for (_, path) in &snapshots[..oldest_kept] {
            fs::remove_file(path)?;
        }
        let needed_from = snapshots[oldest_kept].0 + 1;
        let logs = self.files("log")?;
        for pair in logs.windows(2) {
            if pair[1].0 <= needed_from {
                fs::remove_file(&pair[0].1)?;
            }
        }
        Ok(())
    }
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{}: {why}: restore the directory from a copy, or move it away to start empty",
            path.display()
        ),
    )
}

fn cut_off(path: &Path, whole: u64, why: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let bytes = file.metadata()?.len() - whole;
    warn!(file = %path.display(), bytes, why, "cutting off a torn write that was never acknowledged");
    file.set_len(whole)?;
    file.sync_data()
}
