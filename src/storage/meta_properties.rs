//! `meta.properties`: whose a log directory is (`MetaProperties`, `MetaPropertiesEnsemble`).
//!
//! Java properties: `version=0`, `broker.id`, `cluster.id`; a missing version means 0. It keeps a directory of
//! one cluster or broker from being served by another. `directory.id` may be there after a cluster has been in
//! migration mode; it is kept. Knows nothing of locks or of other directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fs::Fs;

/// Name of the file in a log directory.
pub const META_FILE: &str = "meta.properties";

/// Largest file read.
const MAX_BYTES: u64 = 64 << 10;
/// Bytes of it that are shown, at most.
const SHOWN: usize = 256;

/// Why a directory's identity cannot be read or is not ours.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no Java properties file, or a value is malformed.
    #[error("{}: {what}; restore the file from another log directory of this broker", path.display())]
    Malformed {
        /// Of what.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// Written by a broker without ZooKeeper.
    #[error(
        "{}: version={version}, but only version 0 (a broker coordinated by ZooKeeper) can be served; \
         the directory belongs to a KRaft broker",
        path.display()
    )]
    Version {
        /// Of what.
        path: PathBuf,
        /// The version found.
        version: i32,
    },
    /// Another cluster's.
    #[error(
        "{}: cluster.id={found}, but ZooKeeper says {expected}; check zookeeper.connect and log.dirs",
        path.display()
    )]
    ClusterId {
        /// Of what.
        path: PathBuf,
        /// In the file.
        found: String,
        /// In ZooKeeper.
        expected: String,
    },
    /// Another broker's.
    #[error(
        "{}: broker.id={found}, but this broker has {expected}; check broker.id and log.dirs (every directory \
         must belong to the same broker)",
        path.display()
    )]
    BrokerId {
        /// In which file.
        path: PathBuf,
        /// In the file.
        found: i32,
        /// Configured, or in another directory.
        expected: i32,
    },
}

impl MetaError {
    fn io(path: &Path, source: std::io::Error) -> MetaError {
        MetaError::Io { path: path.to_owned(), source }
    }
}

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MetaProperties {
    /// The broker whose directory this is.
    pub broker_id: Option<i32>,
    /// The cluster it belongs to.
    pub cluster_id: Option<String>,
    /// An id a migrating cluster has left; not used, only kept.
    pub directory_id: Option<String>,
}

impl MetaProperties {
    /// Reads the file at `path`; `None` when it is missing.
    pub fn read(fs: &Arc<dyn Fs>, path: &Path) -> Result<Option<MetaProperties>, MetaError> {
        match fs.read(path, MAX_BYTES) {
            Ok(bytes) => MetaProperties::decode(path, &bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(MetaError::io(path, error)),
        }
    }

    /// Whether it says whose directory this is, in full.
    pub fn is_complete(&self) -> bool {
        self.broker_id.is_some() && self.cluster_id.is_some()
    }

    /// The beginning of the file at `path` as one line for the log, whatever is in it.
    pub fn excerpt(fs: &Arc<dyn Fs>, path: &Path) -> Result<String, MetaError> {
        let bytes = fs.read(path, MAX_BYTES).map_err(|error| MetaError::io(path, error))?;
        Ok(bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string())
    }

    /// Replaces the file at `path`, atomically and durably.
    pub fn write(&self, fs: &Arc<dyn Fs>, path: &Path) -> Result<(), MetaError> {
        let bytes = self.encode().map_err(|error| MetaError::io(path, std::io::Error::other(error)))?;
        fs.replace(path, &bytes).map_err(|error| MetaError::io(path, error))
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<MetaProperties, MetaError> {
        let malformed = |what: String| MetaError::Malformed { path: path.to_owned(), what };
        let values = java_properties::read(bytes).map_err(|error| malformed(error.to_string()))?;
        let number = |key: &str| match values.get(key) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<i32>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(malformed(format!("{key}={text} is not a number"))),
            },
        };
        match number("version")? {
            None | Some(0) => {}
            Some(version) => return Err(MetaError::Version { path: path.to_owned(), version }),
        }
        // -1 is how older releases wrote "none yet".
        let broker_id = number("broker.id")?.filter(|id| *id != -1);
        if let Some(id) = broker_id.filter(|id| *id < 0) {
            return Err(malformed(format!("broker.id={id} is negative")));
        }
        let text = |key: &str| values.get(key).filter(|value| !value.is_empty()).cloned();
        Ok(MetaProperties { broker_id, cluster_id: text("cluster.id"), directory_id: text("directory.id") })
    }

    fn encode(&self) -> Result<Vec<u8>, java_properties::PropertiesError> {
        let mut values = BTreeMap::from([("version", "0".to_owned())]);
        values.extend(self.broker_id.map(|id| ("broker.id", id.to_string())));
        values.extend(self.cluster_id.clone().map(|id| ("cluster.id", id)));
        values.extend(self.directory_id.clone().map(|id| ("directory.id", id)));
        let mut bytes = Vec::new();
        let mut writer = java_properties::PropertiesWriter::new(&mut bytes);
        writer.set_line_ending(java_properties::LineEnding::LF);
        for (key, value) in &values {
            writer.write(key, value)?;
        }
        writer.finish()?;
        drop(writer);
        Ok(bytes)
    }

    /// Checks that the directory is ours: same cluster, and same broker where both are known. Gives what the
    /// file should say, which differs from what it says only where that was silent.
    pub fn verify(
        &self,
        path: &Path,
        broker_id: Option<i32>,
        cluster_id: &str,
    ) -> Result<MetaProperties, MetaError> {
        if let Some(found) = self.cluster_id.as_deref().filter(|found| *found != cluster_id) {
            let (found, expected) = (found.to_owned(), cluster_id.to_owned());
            return Err(MetaError::ClusterId { path: path.to_owned(), found, expected });
        }
        if let (Some(found), Some(expected)) = (self.broker_id, broker_id)
            && found != expected
        {
            return Err(MetaError::BrokerId { path: path.to_owned(), found, expected });
        }
        Ok(MetaProperties {
            broker_id: self.broker_id.or(broker_id),
            cluster_id: Some(cluster_id.to_owned()),
            directory_id: self.directory_id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sim_fs::SimFs;
    use super::*;

    fn decode(text: &str) -> Result<MetaProperties, MetaError> {
        MetaProperties::decode(Path::new("/data/meta.properties"), text.as_bytes())
    }

    #[test]
    fn round_trips_with_escapes() {
        let meta = MetaProperties {
            broker_id: Some(3),
            cluster_id: Some("a=b:c#d".into()),
            directory_id: Some("x y".into()),
        };
        let bytes = meta.encode().unwrap();
        assert_eq!(MetaProperties::decode(Path::new("m"), &bytes).unwrap(), meta);
    }

    #[test]
    fn reads_what_java_writes() {
        let text = "#\n#Sat Nov 21 07:31:59 UTC 2026\nbroker.id=1\ncluster.id=ab\\:c\\u0064\n";
        let meta = decode(text).unwrap();
        assert_eq!((meta.broker_id, meta.cluster_id.as_deref()), (Some(1), Some("ab:cd")));
        assert_eq!(decode("broker.id=-1\n").unwrap(), MetaProperties::default());
    }

    #[test]
    fn refuses_with_the_reason_and_the_remedy() {
        let path = Path::new("/data/meta.properties");
        let version = decode("version=1\nnode.id=1\n").unwrap_err().to_string();
        assert!(version.contains("KRaft") && version.contains("/data/meta.properties"), "{version}");
        for text in ["broker.id=x\n", "broker.id=-7\n", "version=\\uzzzz\n"] {
            assert!(matches!(decode(text), Err(MetaError::Malformed { .. })), "{text}");
        }
        let meta = decode("broker.id=1\ncluster.id=one\n").unwrap();
        assert!(matches!(
            meta.verify(path, Some(2), "one"),
            Err(MetaError::BrokerId { found: 1, expected: 2, .. })
        ));
        assert!(matches!(meta.verify(path, Some(1), "two"), Err(MetaError::ClusterId { .. })));
        assert_eq!(meta.verify(path, None, "one").unwrap(), meta);
        assert_eq!(MetaProperties::default().verify(path, Some(1), "one").unwrap(), meta);
    }

    #[test]
    fn what_says_too_little_is_shown_in_one_short_line() {
        assert!(decode("broker.id=1\ncluster.id=one\n").unwrap().is_complete());
        for text in ["", "garbage\n", "broker.id=-1\ncluster.id=one\n", "broker.id=1\ncluster.id=\n"] {
            assert!(!decode(text).unwrap().is_complete(), "{text}");
        }
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
        let path = Path::new("/meta.properties");
        fs.replace(path, b"gar\xffbage\r\n\x1b[31m").unwrap();
        assert_eq!(MetaProperties::excerpt(&fs, path).unwrap(), r"gar\xffbage\r\n\x1b[31m");
        fs.replace(path, &[b'x'; 5000]).unwrap();
        assert_eq!(MetaProperties::excerpt(&fs, path).unwrap(), "x".repeat(SHOWN));
    }

    #[test]
    fn garbled_bytes_are_no_panic() {
        let good = b"#\nversion=0\nbroker.id=1\ncluster.id=b9abMqVrQMutUELmB5HOyw\n";
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(0..=bytes.len()));
            let _ = MetaProperties::decode(Path::new("m"), &bytes);
        }
    }
}
