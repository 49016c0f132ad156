//! The periodic passes and the clean end. Whoever owns the timers calls them; each returns the directories that
//! failed, to be given to `fail_dir`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::LogManager;
use crate::clock::Timestamp;
use crate::protocol::ids::TopicPartition;
use crate::storage::checkpoint::{HIGH_WATERMARK_FILE, LOG_START_FILE, RECOVERY_POINT_FILE, write_offsets};
use crate::storage::dirs::LogDir;
use crate::storage::fs::deferring;
use crate::storage::log::Log;
use crate::storage::log_error::LogError;

/// Directories that failed in a pass, with the first reason of each.
pub type Failures = BTreeMap<PathBuf, String>;

impl LogManager {
    /// Syncs the logs that have a sealed segment unsynced or whose `flush.ms` has passed.
    pub fn flush_pass(&self, now: Timestamp) -> Failures {
        let due = self.all().into_iter().filter(|log| log.needs_flush(now));
        let mut failures = Failures::new();
        for log in due {
            let base_only = log.config().flush_ms == i64::MAX;
            let flushed = if base_only { log.flush_sealed(now) } else { log.flush(now) };
            note(&mut failures, &log, flushed.map(|_| ()));
        }
        failures
    }

    /// Applies retention to every log. Compacted logs lose only what lies below their log start; those with
    /// both policies are the cleaner's to call.
    pub fn retention_pass(&self, now: Timestamp) -> (usize, Failures) {
        let (mut deleted, mut failures) = (0, Failures::new());
        for log in self.all().into_iter().filter(|log| !log.config().compact) {
            match log.delete_old_segments(now) {
                Ok(count) => deleted += count,
                Err(error) => note(&mut failures, &log, Err(error)),
            }
        }
        (deleted, failures)
    }

    /// Forgets producers that were idle too long, in all logs.
    pub fn expire_producers(&self, now: Timestamp) -> usize {
        self.all().iter().map(|log| log.remove_expired_producers(now)).sum()
    }

    /// Writes the recovery points of every live directory.
    pub fn checkpoint_recovery_points(&self) -> Failures {
        self.checkpoint(RECOVERY_POINT_FILE, |log| Some(log.recovery_point()))
    }

    /// Writes the log start offsets, of logs that start above their first segment.
    pub fn checkpoint_log_starts(&self) -> Failures {
        self.checkpoint(LOG_START_FILE, start_above_first_segment)
    }

    /// Writes the high watermarks. `high_watermark` may know better than the log (a replica manager does).
    pub fn checkpoint_high_watermarks(
        &self,
        high_watermark: impl Fn(&TopicPartition) -> Option<i64>,
    ) -> Failures {
        self.checkpoint(HIGH_WATERMARK_FILE, |log| {
            Some(high_watermark(log.partition()).unwrap_or_else(|| log.high_watermark()))
        })
    }

    fn checkpoint(&self, file: &str, value: impl Fn(&Log) -> Option<i64>) -> Failures {
        let mut failures = Failures::new();
        for dir in self.live_dirs() {
            match self.checkpoint_dir(dir, file, &value) {
                Ok(()) => {}
                // The old checkpoint stands and is right, only older: recovery looks at a little more.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    tracing::warn!(dir = %dir.path().display(), file, "no space left: appends are refused until some is freed");
                }
                Err(error) => {
                    failures.insert(dir.path().to_path_buf(), error.to_string());
                }
            }
        }
        failures
    }

    fn checkpoint_dir(
        &self,
        dir: &LogDir,
        file: &str,
        value: &impl Fn(&Log) -> Option<i64>,
    ) -> io::Result<()> {
        let logs = self.read().current.values().filter(|log| log.log_dir() == dir.path()).cloned().collect();
        let logs: Vec<Arc<Log>> = logs;
        let offsets: BTreeMap<TopicPartition, i64> =
            logs.iter().filter_map(|log| Some((log.partition().clone(), value(log)?))).collect();
        write_offsets(self.fs(), &dir.path().join(file), &offsets)
    }

    /// Makes durable what was done under [`deferring`].
    pub fn sync_deferred(&self) -> Failures {
        let mut failures = Failures::new();
        for dir in self.live_dirs() {
            if let Err(error) = self.fs().sync_deferred(dir.path()) {
                failures.insert(dir.path().to_path_buf(), error.to_string());
            }
        }
        failures
    }

    /// Makes the directories of logs created since their last flush durable, with their topic ids.
    pub fn sync_new(&self, now: Timestamp) -> Failures {
        let mut failures = Failures::new();
        for log in self.all().into_iter().filter(|log| log.is_new()) {
            note(&mut failures, &log, log.flush(now).map(|_| ()));
        }
        failures
    }

    /// The clean end: flushes and closes every log, `threads` at a time per directory, writes the checkpoints,
    /// and marks as clean the directories in which all that succeeded. Gives those in which it did not.
    pub fn shutdown(&self, threads: usize, now: Timestamp) -> Failures {
        let mut failures = Failures::new();
        for dir in self.live_dirs() {
            if let Err(error) = self.shut_dir(dir, threads.max(1), now) {
                tracing::error!(dir = %dir.path().display(), %error, "not shut down cleanly");
                failures.insert(dir.path().to_path_buf(), error.to_string());
            }
        }
        failures
    }

    fn shut_dir(&self, dir: &LogDir, threads: usize, now: Timestamp) -> Result<(), LogError> {
        let logs = self.logs_in(dir.path());
        // One sync of the file system for all logs: nothing counts before the marker that follows it.
        close_all(&logs, threads, now)?;
        self.fs().sync_deferred(dir.path())?;
        self.checkpoint_dir(dir, RECOVERY_POINT_FILE, &|log| Some(log.recovery_point()))?;
        self.checkpoint_dir(dir, HIGH_WATERMARK_FILE, &|log| Some(log.high_watermark()))?;
        self.checkpoint_dir(dir, LOG_START_FILE, &start_above_first_segment)?;
        // A directory that was not loaded to its end holds logs nobody closed.
        if self.read().loaded.iter().any(|loaded| loaded == dir.path()) {
            dir.write_clean_marker()?;
        }
        Ok(())
    }
}

/// The log start offset, if the first segment's name does not say it already.
fn start_above_first_segment(log: &Log) -> Option<i64> {
    let start = log.log_start_offset();
    let first = log.segments().first().map_or(0, |segment| segment.base_offset());
    (start > first).then_some(start)
}

fn close_all(logs: &[Arc<Log>], threads: usize, now: Timestamp) -> Result<(), LogError> {
    let share = logs.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let close = |part: &[Arc<Log>]| deferring(|| part.iter().try_for_each(|log| log.close(now)));
        let running: Vec<_> = logs.chunks(share).map(|part| scope.spawn(move || close(part))).collect();
        let mut result = Ok(());
        for thread in running {
            let ended =
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic while closing").into()));
            result = result.and(ended);
        }
        result
    })
}

fn note(failures: &mut Failures, log: &Log, result: Result<(), LogError>) {
    match result {
        Err(error) if error.is_fatal_for_dir() => {
            failures.entry(log.log_dir()).or_insert_with(|| error.to_string());
        }
        Err(LogError::Closed) | Ok(()) => {}
        Err(error) => tracing::warn!(partition = %log.partition(), %error, "pass skipped a log"),
    }
}
