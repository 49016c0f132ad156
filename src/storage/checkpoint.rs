//! Checkpoint files: the small text files that say how far a log is flushed, replicated or cleaned.
//!
//! Frame (`CheckpointFile` in Kafka): version `0`, number of entries, one entry a line. Written through a
//! temporary file, synced, renamed, directory synced, so a crash leaves the old or the new content. An empty
//! file holds no entries (some file systems leave one behind after a crash). What an error means is the
//! caller's choice: Kafka goes on without the recovery and start-offset checkpoints, and fails on the others.
//! Knows nothing of logs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fs::{Fs, damaged};
use crate::protocol::ids::TopicPartition;

/// Offset up to which data is on disk, per partition.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// High watermark, per partition.
pub const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
/// Log start offset, per partition that starts above its first segment.
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
/// First offset not yet compacted, per compacted partition.
pub const CLEANER_FILE: &str = "cleaner-offset-checkpoint";

/// Longest checkpoint we read: a million partitions with names of 200 characters fit.
const MAX_BYTES: u64 = 256 << 20;

/// What a checkpoint says; nothing if there is none.
pub(super) fn read_text(fs: &Arc<dyn Fs>, path: &Path) -> io::Result<String> {
    match fs.read(path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| damaged(path, "not UTF-8 text")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// The entry lines of a checkpoint, each passed to `parse`, which gives `None` for a malformed one. An empty file has no
/// entries.
pub(super) fn entries_of<T>(
    path: &Path,
    text: &str,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut lines = text.lines();
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    if version.trim() != "0" {
        return Err(damaged(path, format_args!("version {version:?} is not the known version 0")));
    }
    let count = lines.next().unwrap_or_default();
    let expected: usize = match count.trim().parse() {
        Ok(expected) => expected,
        Err(_) => return Err(damaged(path, format_args!("line 2 is {count:?}, not a number of entries"))),
    };
    let mut entries = Vec::new();
    for (index, line) in lines.enumerate() {
        let entry = parse(line);
        let bad = || damaged(path, format_args!("line {} is {line:?}, not an entry", index + 3));
        entries.push(entry.ok_or_else(bad)?);
    }
    if entries.len() != expected {
        return Err(damaged(path, format_args!("{expected} entries announced, {} found", entries.len())));
    }
    Ok(entries)
}

/// Writes a checkpoint of these entry lines, atomically and durably.
pub(super) fn write_entries<L: std::fmt::Display>(
    fs: &Arc<dyn Fs>,
    path: &Path,
    lines: impl ExactSizeIterator<Item = L>,
) -> io::Result<()> {
    let mut text = format!("0\n{}\n", lines.len());
    for line in lines {
        writeln!(text, "{line}").map_err(io::Error::other)?;
    }
    fs.replace(path, text.as_bytes())
}

/// Reads one of the offset checkpoints of a log directory (`OffsetCheckpointFile`). A missing or empty file
/// gives no entries; a damaged one `InvalidData`.
pub fn read_offsets(fs: &Arc<dyn Fs>, path: &Path) -> io::Result<BTreeMap<TopicPartition, i64>> {
    Ok(entries_of(path, &read_text(fs, path)?, parse_offset)?.into_iter().collect())
}

/// Replaces one of the offset checkpoints, atomically and durably.
pub fn write_offsets(
    fs: &Arc<dyn Fs>,
    path: &Path,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> io::Result<()> {
    let lines = offsets.iter().map(|(tp, offset)| format!("{} {} {offset}", tp.topic, tp.partition));
    write_entries(fs, path, lines)
}

/// `topic partition offset`.
fn parse_offset(line: &str) -> Option<(TopicPartition, i64)> {
    let mut words = line.split_whitespace();
    let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let (partition, offset): (i32, i64) = (partition.parse().ok()?, offset.parse().ok()?);
    let valid = words.next().is_none() && partition >= 0 && offset >= 0;
    valid.then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::super::fs::OsFs;
    use super::super::sim_fs::{Call, SimFs};
    use super::*;

    fn read(text: &[u8]) -> io::Result<BTreeMap<TopicPartition, i64>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RECOVERY_POINT_FILE);
        std::fs::write(&path, text).unwrap();
        read_offsets(&(Arc::new(OsFs) as Arc<dyn Fs>), &path)
    }

    #[test]
    fn offsets_round_trip_and_replace() {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let path = dir.path().join(HIGH_WATERMARK_FILE);
        assert!(read_offsets(&fs, &path).unwrap().is_empty());
        let mut offsets = BTreeMap::new();
        write_offsets(&fs, &path, &offsets).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n0\n");
        offsets.insert(TopicPartition::new("b", 0), 3);
        offsets.insert(TopicPartition::new("a.b-c", 12), i64::MAX);
        write_offsets(&fs, &path, &offsets).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n2\na.b-c 12 9223372036854775807\nb 0 3\n");
        assert_eq!(read_offsets(&fs, &path).unwrap(), offsets);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn reads_what_kafka_reads() {
        assert!(read(b"").unwrap().is_empty());
        assert!(read(b"0\n0").unwrap().is_empty());
        assert_eq!(read(b"0\r\n1\r\nt  \t 1 7\r\n").unwrap()[&TopicPartition::new("t", 1)], 7);
    }

    #[test]
    fn refuses_what_is_damaged() {
        for text in [
            &b"1\n0\n"[..],
            b"0\n",
            b"0\n-1\n",
            b"0\n99999999999999999999\n",
            b"0\n2\nt 0 1\n",
            b"0\n0\nt 0 1\n",
            b"0\n1\nt 0\n",
            b"0\n1\nt 0 1 2\n",
            b"0\n1\nt x 1\n",
            b"0\n1\nt 0 -1\n",
            b"0\n1\nt 0 9223372036854775808\n",
            b"0\n1\n\xff 0 1\n",
            b"\0\0\0\0",
        ] {
            let error = read(text).expect_err(&String::from_utf8_lossy(text));
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(RECOVERY_POINT_FILE), "names the file: {error}");
        }
    }

    #[test]
    fn whatever_call_fails_and_whenever_power_goes_a_whole_checkpoint_is_left() {
        let path = Path::new("/c");
        let of = |offset| BTreeMap::from([(TopicPartition::new("t", 0), offset)]);
        let mut failures = 0;
        for call in [Call::Name, Call::Write, Call::Sync] {
            for (nth, seed) in (1..4).flat_map(|nth| (0..40).map(move |seed| (nth, seed))) {
                let sim = SimFs::new(seed);
                let fs: Arc<dyn Fs> = Arc::new(sim.clone());
                write_offsets(&fs, path, &of(1)).unwrap();
                sim.fail_nth(call, "", nth);
                let written = write_offsets(&fs, path, &of(2));
                failures += u32::from(written.is_err());
                sim.crash();
                let read = read_offsets(&fs, path).unwrap();
                let context = format!("{call:?} {nth}, seed {seed}: {written:?}, {read:?}");
                assert!(read == of(2) || (written.is_err() && read == of(1)), "{context}");
            }
        }
        assert_eq!(failures, 40 * (2 + 1 + 2), "open, rename; write; file and directory sync");
    }
}
