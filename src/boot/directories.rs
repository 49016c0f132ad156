//! The log directories at start: identity, clean or not, every log loaded, with a word on how far it is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ownership;
use crate::clock::Clock;
use crate::config::broker::BrokerConfig;
use crate::metadata::configs::ConfigCache;
use crate::protocol::ids::TopicPartition;
use crate::storage::checkpoint::{HIGH_WATERMARK_FILE, read_offsets};
use crate::storage::descriptors::Descriptors;
use crate::storage::dirs::{DirError, LogDir, agreed_broker_id};
use crate::storage::fs::{Fs, OsFs};
use crate::storage::log::LogContext;
use crate::storage::manager::{LoadProgress, LogManager};

/// Descriptors kept open for segments and indexes that are in use, at most.
const OPEN_FILES_KEPT: u64 = 4096;
/// Descriptors left for sockets and the rest.
const OPEN_FILES_SPARED: u64 = 512;

/// How far loading is, for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Partitions found so far.
    pub found: AtomicU64,
    /// Partitions loaded.
    pub loaded: AtomicU64,
    /// Bytes that recovery has checked.
    pub recovered_bytes: AtomicU64,
}

/// The opened directories, not loaded yet.
pub struct Directories {
    fs: Arc<dyn Fs>,
    dirs: Vec<LogDir>,
}

/// The machine's file system, with a cache of descriptors as large as the system allows.
pub fn real() -> Arc<dyn Fs> {
    let limit = crate::storage::descriptors::raise_limit().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of open files; going on with the one in force");
        1024
    });
    let kept = limit.saturating_sub(OPEN_FILES_SPARED).clamp(64, OPEN_FILES_KEPT);
    Arc::new(Descriptors::new(Arc::new(OsFs), kept as usize))
}

/// Opens and locks every directory of `log.dirs`. One that cannot be used is told and is offline; all of them is an error.
pub fn open(fs: Arc<dyn Fs>, config: &BrokerConfig, cluster_id: &str) -> Result<Directories, String> {
    let mut dirs = Vec::new();
    let mut faults = Vec::new();
    for path in &config.log_dirs {
        match LogDir::open(fs.clone(), path.clone(), config.broker_id, cluster_id) {
            Ok(dir) => dirs.push(dir),
            Err(error @ DirError::Io { .. }) => {
                let told = explained(&error);
                tracing::error!(dir = %path.display(), error = %told,
                    "a log directory cannot be used; its replicas stay offline until it is mended and the broker started again");
                dirs.push(LogDir::failed(fs.clone(), path.clone(), &error));
                faults.push(told);
            }
            // Another process's, broker's or cluster's: going on could do damage.
            Err(error) => return Err(error.to_string()),
        }
    }
    if dirs.iter().all(LogDir::is_offline) {
        return Err(format!("no log directory can be used: {}", faults.join("; ")));
    }
    Ok(Directories { fs, dirs })
}

/// The error, and where it is one of rights, whose.
fn explained(error: &DirError) -> String {
    match error {
        DirError::Io { path, source } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            let whose = ownership::explain(path).map(|whose| format!(": {whose}"));
            format!("{error}{}", whose.unwrap_or_default())
        }
        other => other.to_string(),
    }
}

/// What may be wrong with those of the directories at `paths` that failed while their logs were loaded.
fn tell_owners(manager: &LogManager, paths: &[PathBuf]) {
    for path in paths {
        if manager.dir(path).is_some_and(|dir| dir.is_offline())
            && let Some(whose) = ownership::explain(path)
        {
            tracing::error!("{whose}");
        }
    }
}

impl Directories {
    /// The broker id that the directories hold, if any.
    pub fn broker_id(&self) -> Result<Option<i32>, String> {
        agreed_broker_id(&self.dirs).map_err(|error| error.to_string())
    }

    /// Loads every log.
    pub fn load(
        mut self,
        broker_id: i32,
        config: &BrokerConfig,
        configs: &ConfigCache,
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<(Arc<LogManager>, HashMap<TopicPartition, i64>), String> {
        let mut marks = HashMap::new();
        for dir in self.dirs.iter_mut().filter(|dir| !dir.is_offline()) {
            dir.set_broker_id(broker_id).map_err(|error| explained(&error))?;
            match read_offsets(&self.fs, &dir.path().join(HIGH_WATERMARK_FILE)) {
                Ok(read) => marks.extend(read),
                Err(error) => tracing::warn!(dir = %dir.path().display(), %error,
                    "the high watermark checkpoint cannot be read; marks start at the log start"),
            }
        }
        let live = self.dirs.iter().filter(|dir| !dir.is_offline());
        let paths: Vec<PathBuf> = live.map(|dir| dir.path().to_owned()).collect();
        let context = Arc::new(LogContext::new(self.fs));
        context
            .producer_id_expiration_ms
            .store(config.settings.number("producer.id.expiration.ms"), Ordering::Relaxed);
        let manager = LogManager::new(context, self.dirs);
        let threads = config.settings.number("num.recovery.threads.per.data.dir").max(1) as usize;
        let begun = clock.steady_ms();
        let note = |step: LoadProgress| {
            let (counter, by) = match step {
                LoadProgress::Found(count) => (&progress.found, count as u64),
                LoadProgress::Loaded => (&progress.loaded, 1),
                LoadProgress::Recovered(bytes) => (&progress.recovered_bytes, bytes),
            };
            counter.fetch_add(by, Ordering::Relaxed);
        };
        let loaded = manager.load_all(&|topic| configs.log_config(topic), threads, clock.now(), &note);
        tell_owners(&manager, &paths);
        loaded.map_err(|error| error.to_string())?;
        tracing::info!(
            dirs = ?paths,
            partitions = progress.loaded.load(Ordering::Relaxed),
            recovered_mib = progress.recovered_bytes.load(Ordering::Relaxed) >> 20,
            ms = clock.steady_ms() - begun,
            "loaded the logs"
        );
        Ok((Arc::new(manager), marks))
    }
}
