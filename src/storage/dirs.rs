//! One log directory: its lock, its identity, how it was last shut down, and whether it still works.
//!
//! A directory is open in at most one process: `.lock` is locked while it is served, in a way that also keeps
//! out a running Kafka. `.kafka_cleanshutdown` is there exactly from the end of a clean shutdown to the next
//! start; it is removed before anything is loaded, so a crash while loading counts as unclean. The first I/O
//! error takes the directory offline until the process restarts; nothing is retried.
//! Knows nothing of partitions. (`LogManager`, `CleanShutdownFileHandler`, `LogDirFailureChannel`; KIP-112.)

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::fs::{File, Fs, Open};
use super::meta_properties::{META_FILE, MetaError, MetaProperties};
use crate::bugs::{self, Bug};

/// Name of the file locked while a directory is served.
pub const LOCK_FILE: &str = ".lock";
/// Name of the file whose existence says that the last shutdown was clean.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// What Kafka 3.9 writes there when coordinated by ZooKeeper.
const CLEAN_SHUTDOWN: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;

/// Why a log directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The file system refuses. Only this directory is affected: the broker may start without it.
    #[error("log directory {}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else serves it. Fatal.
    #[error(
        "log directory {}: another process holds its lock ({LOCK_FILE}); stop the other broker, or give each \
         broker its own log.dirs",
        path.display()
    )]
    Locked {
        /// Of what.
        path: PathBuf,
    },
    /// It is not this broker's. Fatal.
    #[error(transparent)]
    Identity(MetaError),
}

/// See the module.
pub struct LogDir {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    meta: MetaProperties,
    failure: OnceLock<String>,
    /// Unlocks when dropped; none of a directory that failed before it was locked.
    _lock: Option<Arc<dyn File>>,
}

impl LogDir {
    /// Creates the directory if needed, locks it, and checks that it belongs to this cluster and broker.
    /// `broker_id` is `None` while the broker takes its id from its directories (`broker.id=-1`). A directory
    /// without identity gets one as soon as the id is known: here, or by [`LogDir::set_broker_id`].
    pub fn open(
        fs: Arc<dyn Fs>,
        path: PathBuf,
        broker_id: Option<i32>,
        cluster_id: &str,
    ) -> Result<LogDir, DirError> {
        let io = |source| DirError::Io { path: path.clone(), source };
        fs.create_dir_all(&path).map_err(io)?;
        let lock = fs.open(&path.join(LOCK_FILE), Open::Create).map_err(io)?;
        if !lock.try_lock().map_err(io)? {
            return Err(DirError::Locked { path });
        }
        let file = path.join(META_FILE);
        let found = MetaProperties::read(&fs, &file).map_err(identity)?;
        let is_vague = found.as_ref().is_some_and(|found| !found.is_complete());
        let found = found.unwrap_or_default();
        let meta = found.verify(&file, broker_id, cluster_id).map_err(identity)?;
        if is_vague {
            // Kafka writes it anew in silence; but a file that lost its content may not be the only one that did.
            let content = MetaProperties::excerpt(&fs, &file).map_err(identity)?;
            tracing::warn!(file = %file.display(), content,
                "does not say both broker.id and cluster.id; taken for this broker's directory, and written anew");
        }
        let dir = LogDir { fs, path, meta, failure: OnceLock::new(), _lock: Some(lock) };
        if dir.meta != found && dir.meta.broker_id.is_some() {
            dir.write_identity()?;
        }
        Ok(dir)
    }

    /// A directory that could not be opened: offline from the beginning, for what it holds must not be made anew elsewhere.
    pub fn failed(fs: Arc<dyn Fs>, path: PathBuf, error: &dyn std::fmt::Display) -> LogDir {
        let failure = OnceLock::from(error.to_string());
        LogDir { fs, path, meta: MetaProperties::default(), failure, _lock: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file system it is on.
    pub fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    /// The broker it belongs to, if that is known yet.
    pub fn broker_id(&self) -> Option<i32> {
        self.meta.broker_id
    }

    /// Gives the directory to `broker_id`, once it is known; a directory of another broker is refused.
    pub fn set_broker_id(&mut self, broker_id: i32) -> Result<(), DirError> {
        let cluster_id = self.meta.cluster_id.clone().unwrap_or_default();
        let meta = self.meta.verify(&self.path.join(META_FILE), Some(broker_id), &cluster_id);
        let meta = meta.map_err(identity)?;
        if meta != self.meta {
            self.meta = meta;
            self.write_identity()?;
        }
        Ok(())
    }

    fn write_identity(&self) -> Result<(), DirError> {
        self.meta.write(&self.fs, &self.path.join(META_FILE)).map_err(identity)
    }

    /// Whether the last shutdown was clean; removes the marker durably, so this answers true only once. To be
    /// asked before anything is loaded.
    pub fn take_clean_marker(&self) -> io::Result<bool> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        if bugs::is_back(Bug::R34) {
            return self.fs.exists(&path);
        }
        match self.fs.remove_file(&path) {
            Ok(()) => self.fs.sync_dir(&self.path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says that everything in the directory is flushed: the last write of a clean shutdown, and only of one
    /// whose logs were all loaded or which started clean. A directory that failed is refused.
    pub fn write_clean_marker(&self) -> io::Result<()> {
        match self.failure.get() {
            Some(failure) => {
                let text = format!("{} is offline ({failure}): not shut down cleanly", self.path.display());
                Err(io::Error::other(text))
            }
            None => self.fs.replace(&self.path.join(CLEAN_SHUTDOWN_FILE), CLEAN_SHUTDOWN),
        }
    }

    /// Takes the directory offline for the rest of the process. True for the first call: only that one has the
    /// failure to announce.
    pub fn mark_offline(&self, error: &dyn std::fmt::Display) -> bool {
        let first = self.failure.set(error.to_string()).is_ok();
        if first {
            tracing::error!(path = %self.path.display(), %error, "log directory goes offline");
        }
        first
    }

    /// Whether the directory failed.
    pub fn is_offline(&self) -> bool {
        self.failure.get().is_some()
    }

    /// What made the directory fail.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

/// The broker id the directories agree on, if any has one (`broker.id=-1` takes it from there).
pub fn agreed_broker_id(dirs: &[LogDir]) -> Result<Option<i32>, DirError> {
    let mut agreed = None;
    for dir in dirs.iter().filter(|dir| !dir.is_offline()) {
        let meta =
            dir.meta.verify(&dir.path.join(META_FILE), agreed, dir.meta.cluster_id.as_deref().unwrap_or(""));
        agreed = meta.map_err(identity)?.broker_id;
    }
    Ok(agreed)
}

fn identity(error: MetaError) -> DirError {
    match error {
        MetaError::Io { path, source } => DirError::Io { path, source },
        other => DirError::Identity(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::OsFs;
    use super::super::sim_fs::{Call, SimFs};
    use super::*;

    fn open(fs: &Arc<dyn Fs>, path: &Path, broker_id: Option<i32>) -> Result<LogDir, DirError> {
        LogDir::open(fs.clone(), path.to_owned(), broker_id, "b9abMqVrQMutUELmB5HOyw")
    }

    #[test]
    fn one_process_at_a_time_and_one_broker() {
        let root = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let path = root.path().join("new/dir");
        let dir = open(&fs, &path, Some(1)).unwrap();
        assert!(matches!(open(&fs, &path, Some(1)), Err(DirError::Locked { .. })));
        drop(dir);
        assert!(matches!(open(&fs, &path, Some(2)), Err(DirError::Identity(MetaError::BrokerId { .. }))));
        assert_eq!(open(&fs, &path, None).unwrap().broker_id(), Some(1));
        let text = std::fs::read_to_string(path.join(META_FILE)).unwrap();
        assert_eq!(text, "broker.id=1\ncluster.id=b9abMqVrQMutUELmB5HOyw\nversion=0\n");
    }

    #[test]
    fn directories_agree_on_a_broker() {
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
        let mut dirs =
            vec![open(&fs, Path::new("/a"), None).unwrap(), open(&fs, Path::new("/b"), Some(7)).unwrap()];
        assert!(!fs.exists(Path::new("/a/meta.properties")).unwrap(), "not before its broker is known");
        assert_eq!(agreed_broker_id(&dirs).unwrap(), Some(7));
        dirs[0].set_broker_id(7).unwrap();
        assert!(fs.exists(Path::new("/a/meta.properties")).unwrap());
        dirs.push(open(&fs, Path::new("/c"), Some(8)).unwrap());
        assert!(agreed_broker_id(&dirs).is_err());
        assert!(dirs[2].set_broker_id(7).is_err());
    }

    #[test]
    fn a_clean_shutdown_is_believed_once() {
        let sim = SimFs::new(2);
        let fs: Arc<dyn Fs> = Arc::new(sim.clone());
        fs.create_dir_all(Path::new("/a")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let dir = open(&fs, Path::new("/a"), Some(1)).unwrap();
        assert!(!dir.take_clean_marker().unwrap());
        dir.write_clean_marker().unwrap();
        sim.crash();
        let dir = open(&fs, Path::new("/a"), Some(1)).unwrap();
        assert_eq!(fs.size(Path::new("/a/.kafka_cleanshutdown")).unwrap(), 30);
        assert!(dir.take_clean_marker().unwrap());
        sim.crash();
        let dir = open(&fs, Path::new("/a"), Some(1)).unwrap();
        assert!(!dir.take_clean_marker().unwrap(), "the removal was durable");
    }

    #[test]
    fn a_failure_is_announced_once_and_no_clean_shutdown() {
        let sim = SimFs::new(3);
        let fs: Arc<dyn Fs> = Arc::new(sim.clone());
        let dir = open(&fs, Path::new("/a"), Some(1)).unwrap();
        assert!(!dir.is_offline());
        assert!(dir.mark_offline(&"input/output error"));
        assert!(!dir.mark_offline(&"another"));
        assert_eq!(dir.failure(), Some("input/output error"));
        assert!(dir.write_clean_marker().is_err());
        sim.fail_nth(Call::Name, "/z", 1);
        assert!(matches!(open(&fs, Path::new("/z"), Some(1)), Err(DirError::Io { .. })));
    }
}
