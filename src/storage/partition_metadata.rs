//! `partition.metadata`: the topic id of a partition directory (`PartitionMetadataFile`, KIP-516).
//!
//! Two lines, `version: 0` and `topic_id: <22 characters>`, no line end after the last. Written durably before
//! the first record, so a directory can never be taken for one of a later topic of the same name.
//! Knows nothing of what a mismatch means (the controller's request is then refused).

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fs::{Fs, damaged};
use crate::protocol::ids::Uuid;

/// Name of the file in a partition directory.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// Reads the topic id of a partition directory; `None` when the file is missing (a topic without id, or one
/// whose first request is still to come). A damaged file is `InvalidData`.
pub fn read(fs: &Arc<dyn Fs>, dir: &Path) -> io::Result<Option<Uuid>> {
    let path = dir.join(PARTITION_METADATA_FILE);
    let bytes = match fs.read(&path, 4096) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    decode(&bytes).map(Some).map_err(|why| damaged(&path, why))
}

/// Writes the topic id, atomically and durably. The zero id is `InvalidInput`.
pub fn write(fs: &Arc<dyn Fs>, dir: &Path, topic_id: Uuid) -> io::Result<()> {
    if topic_id.is_zero() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a topic id of zero is not stored"));
    }
    fs.replace(&dir.join(PARTITION_METADATA_FILE), encode(topic_id).as_bytes())
}

/// The content of the file.
pub fn encode(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

fn decode(bytes: &[u8]) -> Result<Uuid, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())?;
    let mut lines = text.lines();
    let mut field = |name: &str| {
        let line = lines.next().unwrap_or_default();
        let value = line.split_once(':').filter(|(key, _)| *key == name).map(|(_, value)| value.trim());
        value.ok_or_else(|| format!("expected `{name}: ...`, found {line:?}"))
    };
    let version = field("version")?;
    // A later version adds fields; Kafka reads it too.
    if version.parse::<u16>().is_err() {
        return Err(format!("version {version:?} is not a number from 0"));
    }
    let topic_id: Uuid = field("topic_id")?.parse().map_err(|error| format!("topic id {error}"))?;
    if topic_id.is_zero() {
        return Err("the topic id is zero".to_owned());
    }
    Ok(topic_id)
}

#[cfg(test)]
mod tests {
    use super::super::sim_fs::SimFs;
    use super::*;

    #[test]
    fn round_trips() {
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
        let dir = Path::new("/t-0");
        fs.create_dir_all(dir).unwrap();
        assert_eq!(read(&fs, dir).unwrap(), None);
        let id = Uuid::random();
        write(&fs, dir, id).unwrap();
        assert_eq!(read(&fs, dir).unwrap(), Some(id));
        assert!(write(&fs, dir, Uuid::ZERO).is_err());
    }

    #[test]
    fn refuses_what_is_damaged() {
        let good = encode(Uuid([5; 16]));
        assert_eq!(decode(good.as_bytes()), Ok(Uuid([5; 16])));
        assert_eq!(decode(good.replace(": 0", ": 1").as_bytes()), Ok(Uuid([5; 16])));
        for cut in 0..good.len() {
            assert!(decode(&good.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
        for bad in
            [&b"\0\0\0\0"[..], b"\xff", b"version: -1\ntopic_id: BQUFBQUFBQUFBQUFBQUFBQ", b"topic_id: x"]
        {
            assert!(decode(bad).is_err());
        }
        assert!(decode(encode(Uuid::ZERO).as_bytes()).is_err());
    }
}
