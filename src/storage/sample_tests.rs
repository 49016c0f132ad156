//! Every small file a real Kafka 3.9.2 left, clean and after SIGKILL: read, written again, held against what
//! Kafka's own dump tool says of the batches.

#[path = "../../tests/support/sample.rs"]
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint;
use super::dirs::{CLEAN_SHUTDOWN_FILE, LogDir};
use super::epoch_cache::{EPOCH_FILE, EpochCache};
use super::fs::{Fs, Open, parent_of};
use super::meta_properties::{META_FILE, MetaProperties};
use super::offset_index::OffsetIndex;
use super::partition_dir::{DirKind, parse_dir_name};
use super::partition_metadata::{self, PARTITION_METADATA_FILE};
use super::producer_snapshot;
use super::producer_state::{BatchInfo, EndMarker, ProducerEntry, ProducerState};
use super::sim_fs::SimFs;
use super::time_index::TimeIndex;
use super::txn_index::{AbortedTxn, TxnIndex};
use crate::clock::Timestamp;
use crate::protocol::ids::TopicPartition;

/// A batch as the dump tool shows it.
#[derive(Debug)]
struct Dumped {
    position: u32,
    info: BatchInfo,
}

/// The batches of each segment of `clean/`, by path of the `.log`.
fn dumped() -> BTreeMap<String, Vec<Dumped>> {
    let file = sample::files(|name| name == "dumps.txt").remove("dumps.txt").unwrap();
    let text = String::from_utf8_lossy(&file);
    let mut segments: BTreeMap<String, Vec<Dumped>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("## ") {
            current = path.trim().to_owned();
        } else if line.starts_with("baseOffset: ") {
            segments.entry(current.clone()).or_default().push(dumped_batch(line));
        } else if let Some((_, marker)) = line.split_once(" endTxnMarker: ") {
            let mut words = marker.split_whitespace();
            let commit = words.next() == Some("COMMIT");
            let coordinator_epoch = words.nth(1).unwrap().parse().unwrap();
            let batch = segments.get_mut(&current).unwrap().last_mut().unwrap();
            batch.info.control = Some(EndMarker { commit, coordinator_epoch });
        }
    }
    assert!(segments.len() > 20, "the dump has every segment");
    segments
}

fn dumped_batch(line: &str) -> Dumped {
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = |key: &str| words.iter().position(|word| *word == key).map(|index| words[index + 1]);
    let number = |key: &str| word(key).map_or(-1, |text| text.parse::<i64>().unwrap());
    Dumped {
        position: number("position:") as u32,
        info: BatchInfo {
            producer_id: number("producerId:"),
            producer_epoch: number("producerEpoch:") as i16,
            base_sequence: number("baseSequence:") as i32,
            last_sequence: number("lastSequence:") as i32,
            base_offset: number("baseOffset:"),
            last_offset: number("lastOffset:"),
            max_timestamp: number("CreateTime:").max(number("LogAppendTime:")),
            is_transactional: word("isTransactional:") == Some("true"),
            control: None,
        },
    }
}

/// A disk with these files under `/`.
fn disk(files: &BTreeMap<String, Vec<u8>>) -> Arc<dyn Fs> {
    let sim = SimFs::new(1);
    for (name, bytes) in files {
        let path = Path::new("/").join(name);
        sim.create_dir_all(parent_of(&path)).unwrap();
        let file = sim.open(&path, Open::Create).unwrap();
        // Preallocated files are mostly zeros: leave those a hole.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        file.write_all_at(&[IoSlice::new(&bytes[..used])], 0).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }
    Arc::new(sim)
}

fn small_files() -> BTreeMap<String, Vec<u8>> {
    let ending = |name: &str| name.ends_with("index") || name.ends_with(".log") || name.ends_with(".deleted");
    sample::files(|name| name.contains("clean/") && !ending(name))
}

fn base_offset(name: &str) -> i64 {
    let stem = Path::new(name).file_stem().unwrap().to_str().unwrap();
    stem.parse().unwrap()
}

fn at(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

#[test]
fn offset_checkpoints() {
    let files = small_files();
    let fs = disk(&files);
    for name in files.keys().filter(|name| name.ends_with("-offset-checkpoint")) {
        let offsets = checkpoint::read_offsets(&fs, &at(name)).unwrap();
        let again = at("again");
        checkpoint::write_offsets(&fs, &again, &offsets).unwrap();
        let lines = |bytes: &[u8]| -> BTreeSet<String> {
            String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect()
        };
        assert_eq!(lines(&fs.read(&again, 1 << 20).unwrap()), lines(&files[name]), "{name}");
        if name.ends_with("clean/recovery-point-offset-checkpoint") && name.starts_with("clean") {
            assert_eq!((offsets.len(), offsets[&TopicPartition::new("txn", 0)]), (17, 193));
        }
    }
}

#[test]
fn log_directories_open() {
    let fs = disk(&small_files());
    for (name, clean) in [("/clean", true), ("/unclean", false)] {
        let dir = LogDir::open(fs.clone(), name.into(), Some(1), "b9abMqVrQMutUELmB5HOyw").unwrap();
        assert_eq!(dir.take_clean_marker().unwrap(), clean);
        let meta = MetaProperties::read(&fs, &Path::new(name).join(META_FILE)).unwrap().unwrap();
        assert_eq!((meta.broker_id, meta.cluster_id.as_deref()), (Some(1), Some("b9abMqVrQMutUELmB5HOyw")));
        dir.write_clean_marker().unwrap();
        let marker = fs.read(&Path::new(name).join(CLEAN_SHUTDOWN_FILE), 99).unwrap();
        assert_eq!(marker, small_files()["clean/.kafka_cleanshutdown"]);
    }
    assert!(LogDir::open(fs, "/clean".into(), Some(2), "b9abMqVrQMutUELmB5HOyw").is_err());
}

#[test]
fn partition_files_are_written_as_kafka_does() {
    let files = small_files();
    let fs = disk(&files);
    let mut seen = BTreeMap::<&str, usize>::new();
    for (name, bytes) in &files {
        let path = at(name);
        let dir = parent_of(&path);
        let dir_name = dir.file_name().and_then(|name| name.to_str()).unwrap();
        let again = at("again");
        let kind = match path.file_name().and_then(|name| name.to_str()).unwrap() {
            PARTITION_METADATA_FILE => {
                let id = partition_metadata::read(&fs, dir).unwrap().unwrap();
                assert_eq!(partition_metadata::encode(id).as_bytes(), bytes, "{name}");
                assert!(parse_dir_name(dir_name).is_some_and(|(_, kind)| kind == DirKind::Current));
                PARTITION_METADATA_FILE
            }
            EPOCH_FILE => {
                let cache = EpochCache::load(fs.clone(), path.clone()).unwrap();
                let mut copy = EpochCache::empty(fs.clone(), again.clone());
                for entry in cache.entries() {
                    copy.assign(entry.epoch, entry.start_offset).unwrap();
                }
                assert_eq!(&fs.read(&again, 1 << 20).unwrap(), bytes, "{name}");
                fs.remove_file(&again).unwrap();
                EPOCH_FILE
            }
            snapshot if producer_snapshot::snapshot_offset(snapshot).is_some() => {
                let entries = producer_snapshot::read(&fs, &path).unwrap();
                assert_eq!(&producer_snapshot::encode(entries.into_iter()), bytes, "{name}");
                ".snapshot"
            }
            _ => continue,
        };
        *seen.entry(kind).or_default() += 1;
    }
    assert_eq!(seen[PARTITION_METADATA_FILE], 34);
    assert_eq!(seen[EPOCH_FILE], 34);
    assert!(seen[".snapshot"] > 30);
}

/// The entries of an offset index file.
fn offsets_of(index: &OffsetIndex) -> Vec<(i64, u32)> {
    (0..index.entries().unwrap()).map(|number| index.entry(number).unwrap().unwrap()).collect()
}

#[test]
fn indexes_agree_with_the_dump() {
    let dumps = dumped();
    let files = sample::files(|name| name.starts_with("clean/") && name.ends_with("index"));
    let fs = disk(&files);
    let mut entries_seen = 0;
    for name in files.keys() {
        let (stem, kind) = name.rsplit_once('.').unwrap();
        let none = Vec::new();
        let batches = dumps.get(&format!("{stem}.log")).unwrap_or(&none);
        let base = base_offset(name);
        if kind == "index" {
            let index = OffsetIndex::open(fs.clone(), at(name), base).unwrap();
            index.sanity_check().unwrap();
            let entries = offsets_of(&index);
            entries_seen += entries.len();
            for (offset, position) in &entries {
                let pair = |batch: &&Dumped| (batch.info.last_offset, batch.position) == (*offset, *position);
                assert!(batches.iter().any(|batch| pair(&batch)), "{name}: ({offset}, {position})");
            }
            for batch in batches {
                let (offset, position) = index.lookup(batch.info.base_offset).unwrap();
                assert!(offset <= batch.info.base_offset && position <= batch.position, "{name}");
            }
        } else if kind == "timeindex" {
            let index = TimeIndex::open(fs.clone(), at(name), base).unwrap();
            index.sanity_check().unwrap();
            for number in 0..index.entries().unwrap() {
                let entry = index.entry(number).unwrap().unwrap();
                assert_eq!(index.lookup(entry.0).unwrap(), entry);
                let magic2 = batches.iter().find(|batch| batch.info.last_offset == entry.1);
                assert!(magic2.is_none_or(|batch| batch.info.max_timestamp == entry.0), "{name}: {entry:?}");
            }
        }
    }
    assert!(entries_seen > 30, "{entries_seen}");
}

#[test]
fn preallocated_indexes_hold_what_the_clean_ones_hold() {
    let clean = sample::files(|name| name.starts_with("clean/") && name.ends_with("index"));
    let dirs: BTreeSet<&str> = clean.keys().map(|name| name.split('/').nth(1).unwrap()).collect();
    for dir in dirs {
        let prefix = format!("unclean/{dir}/");
        let files = sample::files(|name| name.starts_with(&prefix) && name.ends_with("index"));
        let fs = disk(&files);
        for (name, bytes) in files.iter().filter(|(name, _)| !name.ends_with(".txnindex")) {
            let expected = &clean[name.strip_prefix("un").unwrap()];
            let (len, held) = if name.ends_with(".timeindex") {
                let mut index = TimeIndex::open(fs.clone(), at(name), base_offset(name)).unwrap();
                let held = index.entries().unwrap() * 12;
                index.trim().unwrap();
                (fs.size(&at(name)).unwrap(), held)
            } else {
                let mut index = OffsetIndex::open(fs.clone(), at(name), base_offset(name)).unwrap();
                let held = index.entries().unwrap() * 8;
                index.trim().unwrap();
                (fs.size(&at(name)).unwrap(), held)
            };
            assert_eq!(len, u64::from(held), "{name}");
            // Closing adds a last time index entry, and recovery may index more batches: never fewer.
            assert!(held as usize <= expected.len(), "{name}");
            assert!(bytes[held as usize..].iter().all(|byte| *byte == 0), "{name}: entries after the zeros");
        }
    }
}

#[test]
fn replayed_transactions_give_kafkas_snapshots_and_transaction_indexes() {
    let dumps = dumped();
    let files = sample::files(|name| name.starts_with("clean/txn-0/") && !name.ends_with(".log"));
    let fs = disk(&files);
    let mut state = ProducerState::new();
    let mut snapshots = 0;
    for (log, batches) in dumps.iter().filter(|(log, _)| log.starts_with("clean/txn-0/")) {
        let mut aborted = Vec::new();
        for batch in batches {
            if let Some(txn) = state.apply(&batch.info).filter(|txn| txn.is_aborted) {
                let (producer_id, first_offset) = (txn.producer_id, txn.first_offset);
                let (last_offset, last_stable_offset) = (txn.last_offset, txn.last_stable_offset);
                aborted.push(AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset });
            }
            state.set_end_offset(batch.info.last_offset + 1);
        }
        let index = TxnIndex::open(fs.clone(), at(&log.replace(".log", ".txnindex"))).unwrap();
        index.sanity_check(base_offset(log)).unwrap();
        assert_eq!(index.all().unwrap(), aborted, "{log}");
        let snapshot = producer_snapshot::snapshot_path(Path::new("/clean/txn-0"), state.end_offset());
        let sorted = |mut entries: Vec<ProducerEntry>| {
            entries.sort_by_key(|entry| entry.producer_id);
            entries
        };
        let expected = sorted(producer_snapshot::read(&fs, &snapshot).unwrap());
        assert_eq!(state.active_producers().collect::<Vec<_>>(), expected, "{log}");
        let loaded = ProducerState::from_snapshot(&expected, state.end_offset(), Timestamp(0), i64::MAX);
        assert_eq!(loaded.first_undecided_offset(), state.first_undecided_offset());
        snapshots += 1;
    }
    assert_eq!(snapshots, 3);
    state.on_high_watermark(193);
    assert_eq!(state.last_stable_offset(193), 192, "one transaction is still open");
}

#[test]
fn garbled_files_are_errors_and_no_panic() {
    let files = small_files();
    let mut random = fastrand::Rng::with_seed(3);
    for (name, good) in
        files.iter().filter(|(name, _)| name.starts_with("clean/txn-0/") || !name[6..].contains('/'))
    {
        for round in 0..300 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(0..4) {
                if let Some(at) = bytes.len().checked_sub(1).map(|last| random.usize(0..=last)) {
                    bytes[at] = random.u8(..);
                }
            }
            if random.u8(0..3) == 0 {
                bytes.truncate(random.usize(0..=bytes.len()));
            }
            let fs = disk(&BTreeMap::from([(name.clone(), bytes.clone())]));
            let path = at(name);
            let _ = checkpoint::read_offsets(&fs, &path);
            let _ = EpochCache::load(fs.clone(), path.clone());
            let _ = partition_metadata::read(&fs, parent_of(&path));
            let _ = MetaProperties::read(&fs, &path);
            let snapshot = producer_snapshot::read(&fs, &path);
            let is_snapshot = name.ends_with(".snapshot") && bytes == *good;
            assert_eq!(snapshot.is_ok(), is_snapshot, "{name} round {round}");
        }
    }
}
