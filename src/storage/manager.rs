//! All logs of a broker, in its log directories (`LogManager`).
//!
//! Loads them in parallel, creates and deletes them, and runs the periodic passes when told: flush, retention,
//! checkpoints, removal of deleted files. No thread and no timer of its own. The first I/O error of a log takes
//! its directory offline: its logs are dropped from memory, the rest goes on; without a directory left the
//! broker must halt. A current log and a future one (on its way to another directory) of the same partition
//! are different logs. Knows nothing of replicas or of ZooKeeper. Lock order: the table of logs, then a log.

mod create;
mod loading;
mod passes;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::dirs::LogDir;
use super::fs::Fs;
use super::log::{Log, LogContext};
use super::log_error::LogError;
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

pub use loading::{LoadFailure, LoadProgress};
pub use passes::Failures;

/// Why the manager could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The log or its directory failed.
    #[error("log directory {}: {source}", dir.display())]
    Log {
        /// The log directory concerned.
        dir: PathBuf,
        /// Why.
        source: LogError,
    },
    /// A partition that is not new may lie in a directory that is offline: it must not be created elsewhere.
    #[error("{partition} may be in a log directory that is offline")]
    MayBeOffline {
        /// Which.
        partition: TopicPartition,
    },
    /// No directory works any more: the broker must halt.
    #[error("all log directories are offline")]
    NoDirLeft,
}

impl ManagerError {
    /// What the controller is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            ManagerError::Log { source, .. } => source.code(),
            ManagerError::MayBeOffline { .. } | ManagerError::NoDirLeft => ErrorCode::KafkaStorageError,
        }
    }
}

/// What happened when a directory went offline.
#[derive(Debug, Default)]
pub struct DirFailure {
    /// Partitions whose current log was there.
    pub current: Vec<TopicPartition>,
    /// Partitions whose future log was there.
    pub future: Vec<TopicPartition>,
    /// No directory is left: the broker must halt.
    pub must_halt: bool,
}

/// See the module.
pub struct LogManager {
    context: Arc<LogContext>,
    dirs: Vec<Arc<LogDir>>,
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    /// In order, so that passes over all logs are the same in every run.
    current: BTreeMap<TopicPartition, Arc<Log>>,
    future: BTreeMap<TopicPartition, Arc<Log>>,
    /// Where a partition is to be created, said by AlterReplicaLogDirs before it exists.
    preferred: HashMap<TopicPartition, PathBuf>,
    /// Directories that started clean or have been loaded to the end: only these may be marked clean.
    loaded: Vec<PathBuf>,
}

impl LogManager {
    /// A manager over opened log directories, without logs yet.
    pub fn new(context: Arc<LogContext>, dirs: Vec<LogDir>) -> LogManager {
        let dirs = dirs.into_iter().map(Arc::new).collect();
        LogManager { context, dirs, tables: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        // The tables are whole between any two statements that could panic.
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn fs(&self) -> &Arc<dyn Fs> {
        &self.context.fs
    }

    /// What all logs share.
    pub fn context(&self) -> &Arc<LogContext> {
        &self.context
    }

    /// All log directories, offline ones too.
    pub fn dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// The directories that work.
    pub fn live_dirs(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.dirs.iter().filter(|dir| !dir.is_offline())
    }

    /// The directory at `path`.
    pub fn dir(&self, path: &Path) -> Option<&Arc<LogDir>> {
        self.dirs.iter().find(|dir| dir.path() == path)
    }

    /// The log of a partition, if it is here.
    pub fn get(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.read().current.get(partition).cloned()
    }

    /// The copy being made in another directory, if there is one.
    pub fn get_future(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.read().future.get(partition).cloned()
    }

    /// Partitions that are on their way to another directory, in order.
    pub fn futures(&self) -> Vec<TopicPartition> {
        let mut futures: Vec<TopicPartition> = self.read().future.keys().cloned().collect();
        futures.sort_unstable();
        futures
    }

    /// All current logs.
    pub fn all(&self) -> Vec<Arc<Log>> {
        self.read().current.values().cloned().collect()
    }

    /// All current and future logs in one directory.
    pub fn logs_in(&self, dir: &Path) -> Vec<Arc<Log>> {
        let tables = self.read();
        let logs = tables.current.values().chain(tables.future.values());
        logs.filter(|log| log.log_dir() == dir).cloned().collect()
    }

    /// Notes where a partition that does not exist yet shall be created.
    pub fn prefer_dir(&self, partition: TopicPartition, dir: PathBuf) {
        self.write().preferred.insert(partition, dir);
    }

    /// Takes a directory offline after an I/O error: its logs are let go of, nothing in it is touched again.
    /// `None` if it is offline already.
    pub fn fail_dir(&self, dir: &Path, error: &dyn std::fmt::Display) -> Option<DirFailure> {
        let found = self.dir(dir)?;
        if !found.mark_offline(error) {
            return None;
        }
        let mut failure = DirFailure::default();
        let mut tables = self.write();
        let take = |logs: &mut BTreeMap<TopicPartition, Arc<Log>>, taken: &mut Vec<TopicPartition>| {
            logs.retain(|partition, log| {
                let stays = log.log_dir() != dir;
                if !stays {
                    log.abandon();
                    taken.push(partition.clone());
                }
                stays
            });
        };
        take(&mut tables.current, &mut failure.current);
        take(&mut tables.future, &mut failure.future);
        self.context.trash.forget(dir);
        failure.must_halt = self.live_dirs().next().is_none();
        Some(failure)
    }

    fn log_error(&self, dir: &Path, source: LogError) -> ManagerError {
        ManagerError::Log { dir: dir.to_path_buf(), source }
    }

    /// Deletes a partition: its directory is renamed at once and removed after `file.delete.delay.ms`. Whether
    /// there was one.
    pub fn delete(
        &self,
        partition: &TopicPartition,
        is_future: bool,
        now: Timestamp,
    ) -> Result<bool, ManagerError> {
        let log = {
            let mut tables = self.write();
            let logs = if is_future { &mut tables.future } else { &mut tables.current };
            logs.remove(partition)
        };
        let Some(log) = log else { return Ok(false) };
        let delay_ms = log.config().file_delete_delay_ms;
        let dir = log.log_dir();
        let renamed = self.rename_for_deletion(&log, now.plus_ms(delay_ms));
        renamed.map_err(|source| self.log_error(&dir, source))?;
        Ok(true)
    }

    fn rename_for_deletion(&self, log: &Log, due: Timestamp) -> Result<(), LogError> {
        use super::partition_dir::{DirKind, dir_name};
        let name = dir_name(log.partition(), DirKind::Deleted, crate::protocol::ids::Uuid::random());
        let to = log.log_dir().join(name);
        self.context.trash.forget(&log.dir());
        log.rename_dir(&to)?;
        log.abandon();
        self.context.trash.dir(to, due);
        Ok(())
    }

    /// Lets the future log take the place of the current one, whose directory is deleted.
    pub fn replace_with_future(
        &self,
        partition: &TopicPartition,
        now: Timestamp,
    ) -> Result<bool, ManagerError> {
        let (future, old) = {
            let mut tables = self.write();
            let Some(future) = tables.future.remove(partition) else { return Ok(false) };
            let old = tables.current.insert(partition.clone(), future.clone());
            (future, old)
        };
        let dir = future.log_dir();
        if let Some(old) = old {
            let due = now.plus_ms(old.config().file_delete_delay_ms);
            let old_dir = old.log_dir();
            let renamed = self.rename_for_deletion(&old, due);
            renamed.map_err(|source| self.log_error(&old_dir, source))?;
        }
        let renamed = future.rename_dir(&dir.join(partition.to_string()));
        renamed.map_err(|source| self.log_error(&dir, source))?;
        Ok(true)
    }

    /// Removes files and directories whose time has come. Failures name the directory that must go offline.
    pub fn remove_deleted(&self, now: Timestamp) -> Vec<(PathBuf, io::Error)> {
        let failed = self.context.trash.empty(&**self.fs(), now);
        let dir_of = |path: &Path| self.dirs.iter().find(|dir| path.starts_with(dir.path()));
        failed
            .into_iter()
            .filter_map(|(path, error)| Some((dir_of(&path)?.path().to_path_buf(), error)))
            .collect()
    }
}
