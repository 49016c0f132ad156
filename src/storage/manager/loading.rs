//! Loading every log at start-up, in parallel.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::LogManager;
use crate::clock::Timestamp;
use crate::protocol::ids::TopicPartition;
use crate::storage::checkpoint::{LOG_START_FILE, RECOVERY_POINT_FILE, read_offsets};
use crate::storage::dirs::LogDir;
use crate::storage::log::Log;
use crate::storage::log_config::LogConfig;
use crate::storage::log_error::LogError;
use crate::storage::partition_dir::{DirKind, parse_dir_name};
use crate::storage::recovery::{LoadRequest, load};

/// Kept by a directory of remote log indexes: not a partition.
const REMOTE_CACHE: &str = "remote-log-index-cache";

/// How far loading is. Called from several threads.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LoadProgress {
    /// So many partitions are to be loaded from one directory.
    Found(usize),
    /// So many more bytes were checked by recovery.
    Recovered(u64),
    /// One more partition is done.
    Loaded,
}

/// Why start-up cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// A directory name that no partition has. Kafka refuses to start too.
    #[error("{} is not the directory of a partition; move it out of the log directory", path.display())]
    StrangeDirectory {
        /// Which.
        path: PathBuf,
    },
    /// Two live directories hold the same partition.
    #[error("{partition} is in two log directories, {} and {}", first.display(), second.display())]
    Twice {
        /// Which.
        partition: TopicPartition,
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// No directory works.
    #[error("all log directories are offline")]
    NoDirLeft,
}

/// One partition directory to load.
struct Task {
    partition: TopicPartition,
    kind: DirKind,
    dir: PathBuf,
    recovery_point: Option<i64>,
    log_start_offset: i64,
    is_clean: bool,
}

impl LogManager {
    /// Loads all logs, with `threads` threads per directory. `config` gives a topic's settings. A directory that
    /// fails goes offline and the others go on.
    pub fn load_all(
        &self,
        config: &(dyn Fn(&str) -> Arc<LogConfig> + Sync),
        threads: usize,
        now: Timestamp,
        progress: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<(), LoadFailure> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let dirs: Vec<_> = self.live_dirs().cloned().collect();
            let load = |dir: Arc<LogDir>| {
                scope.spawn(move || {
                    let loaded = self.load_dir(&dir, config, threads.max(1), now, progress);
                    (dir, loaded)
                })
            };
            let running: Vec<_> = dirs.into_iter().map(load).collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("loading panics in no known case"))
                .collect()
        });
        for (dir, loaded) in results {
            match loaded {
                Ok(()) => {}
                Err(DirLoad::Fatal(failure)) => return Err(failure),
                Err(DirLoad::Offline(error)) => drop(self.fail_dir(dir.path(), &error)),
            }
        }
        match self.live_dirs().next() {
            Some(_) => Ok(()),
            None => Err(LoadFailure::NoDirLeft),
        }
    }

    fn load_dir(
        &self,
        dir: &LogDir,
        config: &(dyn Fn(&str) -> Arc<LogConfig> + Sync),
        threads: usize,
        now: Timestamp,
        progress: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<(), DirLoad> {
        let is_clean = dir.take_clean_marker()?;
        let tasks = self.tasks(dir.path(), is_clean, now)?;
        progress(LoadProgress::Found(tasks.len()));
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..threads.min(tasks.len()) {
                scope.spawn(|| {
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = self.load_one(task, config, now, progress) {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            next.store(tasks.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        self.write().loaded.push(dir.path().to_path_buf());
        Ok(())
    }

    fn load_one(
        &self,
        task: &Task,
        config: &(dyn Fn(&str) -> Arc<LogConfig> + Sync),
        now: Timestamp,
        progress: &(dyn Fn(LoadProgress) + Sync),
    ) -> Result<(), DirLoad> {
        let request = LoadRequest {
            context: self.context.clone(),
            partition: task.partition.clone(),
            dir: task.dir.clone(),
            config: config(&task.partition.topic),
            is_clean: task.is_clean,
            recovery_point: task.recovery_point.unwrap_or(0),
            recovery_point_is_unknown: task.recovery_point.is_none(),
            log_start_offset: task.log_start_offset,
            now,
        };
        let log = load(&request, &|bytes| progress(LoadProgress::Recovered(bytes)));
        let log =
            Arc::new(log.map_err(|error| DirLoad::Offline(format!("{}: {error}", task.dir.display())))?);
        self.admit(task, log)?;
        progress(LoadProgress::Loaded);
        Ok(())
    }

    fn admit(&self, task: &Task, log: Arc<Log>) -> Result<(), DirLoad> {
        let mut tables = self.write();
        let logs = match task.kind {
            DirKind::Future => &mut tables.future,
            _ => &mut tables.current,
        };
        match logs.insert(task.partition.clone(), log) {
            None => Ok(()),
            Some(other) => Err(DirLoad::Fatal(LoadFailure::Twice {
                partition: task.partition.clone(),
                first: other.dir(),
                second: task.dir.clone(),
            })),
        }
    }

    /// What is to be loaded from a directory. Directories of deleted partitions go to the trash, strays stay.
    fn tasks(&self, dir: &Path, is_clean: bool, now: Timestamp) -> Result<Vec<Task>, DirLoad> {
        let recovery_points = self.read_checkpoint(dir, RECOVERY_POINT_FILE)?;
        let log_starts = self.read_checkpoint(dir, LOG_START_FILE)?;
        let mut tasks = Vec::new();
        for entry in self.fs().list(dir)?.into_iter().filter(|entry| entry.is_dir) {
            let path = dir.join(&entry.name);
            if entry.name == REMOTE_CACHE {
                continue;
            }
            let Some((partition, kind)) = parse_dir_name(&entry.name) else {
                return Err(DirLoad::Fatal(LoadFailure::StrangeDirectory { path }));
            };
            match kind {
                DirKind::Deleted => {
                    let delay_ms = LogConfig::default().file_delete_delay_ms;
                    self.context.trash.dir(path, now.plus_ms(delay_ms));
                }
                DirKind::Stray => {}
                DirKind::Current | DirKind::Future => {
                    let offset = |offsets: &BTreeMap<TopicPartition, i64>| {
                        offsets.get(&partition).copied().unwrap_or(0)
                    };
                    tasks.push(Task {
                        recovery_point: recovery_points.as_ref().map(offset),
                        log_start_offset: log_starts.as_ref().map_or(0, offset),
                        partition,
                        kind,
                        dir: path,
                        is_clean,
                    });
                }
            }
        }
        Ok(tasks)
    }

    /// A checkpoint; `None` for a damaged one: then more is recovered, and nothing is lost.
    fn read_checkpoint(&self, dir: &Path, file: &str) -> io::Result<Option<BTreeMap<TopicPartition, i64>>> {
        match read_offsets(self.fs(), &dir.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "checkpoint ignored");
                Ok(None)
            }
            other => other.map(Some),
        }
    }
}

/// How loading a directory ended badly.
enum DirLoad {
    /// The directory goes offline.
    Offline(String),
    /// The broker must not start.
    Fatal(LoadFailure),
}

impl From<io::Error> for DirLoad {
    fn from(error: io::Error) -> DirLoad {
        DirLoad::Offline(error.to_string())
    }
}

impl From<LogError> for DirLoad {
    fn from(error: LogError) -> DirLoad {
        DirLoad::Offline(error.to_string())
    }
}
