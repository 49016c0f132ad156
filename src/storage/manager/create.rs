//! Creating logs.
//!
//! A creation costs a directory, four small files and no sync: ten thousand take a second or two. What that
//! means for `partition.metadata`: its content becomes durable with the log's first flush, before any record of
//! the log counts as flushed, and `sync_new` (run soon after creations, and before anything in `synced` mode is
//! acknowledged, by the same flush) makes a group of them durable. A half-written file after a power loss is
//! dropped by recovery, as long as nothing was flushed beside it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LogManager, ManagerError, Tables};
use crate::clock::Timestamp;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::storage::fs::Open;
use crate::storage::log::Log;
use crate::storage::log_config::LogConfig;
use crate::storage::log_error::LogError;
use crate::storage::partition_dir::{DirKind, dir_name};
use crate::storage::partition_metadata::{PARTITION_METADATA_FILE, encode};

impl LogManager {
    /// The log of a partition, created if it is not here. `is_new` says that the partition itself is new: one
    /// that is not must not be created while a directory is offline, it may be there. With a `topic_id` the log
    /// must have the same, or none yet, and gets it.
    pub fn get_or_create(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: &Arc<LogConfig>,
        is_new: bool,
        now: Timestamp,
    ) -> Result<Arc<Log>, ManagerError> {
        let log = match self.get(partition) {
            Some(log) => log,
            None => self.create(partition, topic_id, config, is_new, now)?,
        };
        self.check_topic_id(&log, topic_id)?;
        Ok(log)
    }

    fn create(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: &Arc<LogConfig>,
        is_new: bool,
        now: Timestamp,
    ) -> Result<Arc<Log>, ManagerError> {
        let mut tables = self.write();
        if let Some(log) = tables.current.get(partition) {
            return Ok(log.clone());
        }
        if !is_new && self.dirs.iter().any(|dir| dir.is_offline()) {
            return Err(ManagerError::MayBeOffline { partition: partition.clone() });
        }
        let preferred = tables.preferred.remove(partition);
        let preferred = preferred.filter(|dir| self.live_dirs().any(|live| live.path() == dir));
        let parent = match preferred {
            Some(dir) => dir,
            None => self.emptiest_dir(&tables).ok_or(ManagerError::NoDirLeft)?,
        };
        let dir = parent.join(partition.to_string());
        let log = self.create_in(&parent, dir, partition, topic_id, config, now)?;
        tables.current.insert(partition.clone(), log.clone());
        Ok(log)
    }

    /// A second, empty log of the partition in another directory, to be filled and then put in its place.
    pub fn create_future(
        &self,
        partition: &TopicPartition,
        parent: &Path,
        config: &Arc<LogConfig>,
        now: Timestamp,
    ) -> Result<Arc<Log>, ManagerError> {
        let topic_id = self.get(partition).and_then(|log| log.topic_id());
        let mut tables = self.write();
        if let Some(log) = tables.future.get(partition) {
            return Ok(log.clone());
        }
        if self.live_dirs().all(|live| live.path() != parent) {
            return Err(ManagerError::MayBeOffline { partition: partition.clone() });
        }
        let dir = parent.join(dir_name(partition, DirKind::Future, Uuid::random()));
        let log = self.create_in(parent, dir, partition, topic_id, config, now)?;
        tables.future.insert(partition.clone(), log.clone());
        Ok(log)
    }

    fn create_in(
        &self,
        parent: &Path,
        dir: PathBuf,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: &Arc<LogConfig>,
        now: Timestamp,
    ) -> Result<Arc<Log>, ManagerError> {
        let created = (|| {
            let log = Log::create(
                self.context.clone(),
                partition.clone(),
                dir.clone(),
                topic_id,
                config.clone(),
                now,
            )?;
            if let Some(topic_id) = topic_id {
                self.write_topic_id(&dir, topic_id)?;
            }
            Ok(Arc::new(log))
        })();
        created.map_err(|source: LogError| self.log_error(parent, source))
    }

    fn write_topic_id(&self, dir: &Path, topic_id: Uuid) -> io::Result<()> {
        let file = self.fs().open(&dir.join(PARTITION_METADATA_FILE), Open::Truncate)?;
        file.write_all_at(&[IoSlice::new(encode(topic_id).as_bytes())], 0)
    }

    fn check_topic_id(&self, log: &Log, wanted: Option<Uuid>) -> Result<(), ManagerError> {
        match (wanted.filter(|id| !id.is_zero()), log.topic_id()) {
            (Some(wanted), None) => {
                let written = crate::storage::partition_metadata::write(self.fs(), &log.dir(), wanted);
                written.map_err(|error| self.log_error(&log.log_dir(), error.into()))?;
                log.set_topic_id(wanted);
                Ok(())
            }
            (Some(wanted), Some(found)) if wanted != found => {
                let source =
                    LogError::InconsistentTopicId { expected: wanted.to_string(), found: found.to_string() };
                Err(self.log_error(&log.log_dir(), source))
            }
            _ => Ok(()),
        }
    }

    /// The live directory with the fewest logs.
    fn emptiest_dir(&self, tables: &Tables) -> Option<PathBuf> {
        let mut live = self.live_dirs();
        let first = live.next()?;
        if live.next().is_none() {
            return Some(first.path().to_path_buf());
        }
        let count = |dir: &Path| {
            let logs = tables.current.values().chain(tables.future.values());
            logs.filter(|log| log.log_dir() == dir).count()
        };
        self.live_dirs().min_by_key(|dir| count(dir.path())).map(|dir| dir.path().to_path_buf())
    }
}
