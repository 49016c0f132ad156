//! Directories of a real Kafka 3.9.2, after a clean stop and after a SIGKILL, must load and hold exactly what
//! Kafka's own dump tool says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ottla::clock::Timestamp;
use ottla::protocol::ids::TopicPartition;
use ottla::protocol::records::record::records;
use ottla::protocol::records::view::BatchView;
use ottla::storage::checkpoint::{HIGH_WATERMARK_FILE, read_offsets};
use ottla::storage::descriptors::Descriptors;
use ottla::storage::dirs::LogDir;
use ottla::storage::fs::{Fs, OsFs};
use ottla::storage::log::{Bound, Log, LogContext};
use ottla::storage::log_config::LogConfig;
use ottla::storage::manager::{LoadProgress, LogManager};

use crate::sample::{self, DumpedBatch, DumpedRecord};
use crate::writer::read_all;

/// A day after the sample was made: no producer has expired by then.
const NOW: Timestamp = Timestamp(1_795_246_400_000);

fn load(dir: &Path) -> (LogManager, u64) {
    let fs: Arc<dyn Fs> = Arc::new(Descriptors::new(Arc::new(OsFs), 64));
    let text = std::fs::read_to_string(dir.join("meta.properties")).unwrap();
    let cluster = text.lines().find_map(|line| line.strip_prefix("cluster.id=")).unwrap().to_owned();
    let log_dir = LogDir::open(fs.clone(), dir.to_owned(), Some(1), &cluster).unwrap();
    let manager = LogManager::new(Arc::new(LogContext::new(fs)), vec![log_dir]);
    let (recovered, done) = (AtomicU64::new(0), AtomicUsize::new(0));
    let progress = |progress| match progress {
        LoadProgress::Recovered(bytes) => drop(recovered.fetch_add(bytes, Ordering::Relaxed)),
        LoadProgress::Loaded => drop(done.fetch_add(1, Ordering::Relaxed)),
        LoadProgress::Found(count) => assert_eq!(count, 17),
    };
    let config = Arc::new(LogConfig::default());
    manager.load_all(&|_| config.clone(), 2, NOW, &progress).unwrap();
    assert_eq!(done.into_inner(), 17);
    (manager, recovered.into_inner())
}

fn dumped(batch: &[u8], position: u64) -> DumpedBatch {
    let view = BatchView::parse(batch).unwrap();
    let mut records_of = Vec::new();
    for record in records(&view, 1 << 20).unwrap().iter().unwrap() {
        let record = record.unwrap();
        let len = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i32);
        let marker = view.is_control().then(|| record.key.unwrap()[3]);
        records_of.push(DumpedRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key_size: len(record.key),
            value_size: len(record.value),
            marker: marker.map(|kind| if kind == 1 { "COMMIT" } else { "ABORT" }.to_owned()),
        });
    }
    let crc = match view.v2() {
        Some(header) => header.crc,
        None => u32::from_be_bytes(batch[12..16].try_into().unwrap()),
    };
    DumpedBatch {
        last_offset: view.last_offset(),
        position,
        size: view.size_in_bytes(),
        magic: view.magic(),
        codec: view.compression().unwrap().name().to_owned(),
        crc,
        producer: view.producer().map(|producer| (producer.id, producer.epoch, producer.base_sequence)),
        transactional: view.is_transactional(),
        control: view.is_control(),
        records: records_of,
    }
}

fn check_batches(name: &str, log: &Arc<Log>, expected: &[DumpedBatch]) {
    for step in [1, 500, 1 << 20] {
        let found = read_all(log, step);
        assert_eq!(found.len(), expected.len(), "{name}: number of batches");
        for (bytes, expected) in found.iter().zip(expected) {
            let mut found = dumped(bytes, expected.position);
            if found.magic < 2 {
                // The tool prints inner timestamps and offsets of old formats; sizes and checksums settle it.
                found
                    .records
                    .iter_mut()
                    .zip(&expected.records)
                    .for_each(|(f, e)| f.marker = e.marker.clone());
            }
            assert_eq!(&found, expected, "{name}");
        }
    }
}

/// Aborted transactions, from the dump: (producer id, first offset, marker's offset).
fn aborted(batches: &[DumpedBatch]) -> Vec<(i64, i64, i64)> {
    let mut open: BTreeMap<i64, i64> = BTreeMap::new();
    let mut found = Vec::new();
    for batch in batches {
        let Some((id, _, _)) = batch.producer.filter(|_| batch.transactional) else { continue };
        let first = batch.records[0].offset;
        match batch.records[0].marker.as_deref() {
            None => drop(open.entry(id).or_insert(first)),
            Some(kind) => {
                let started = open.remove(&id).unwrap();
                found.extend((kind == "ABORT").then_some((id, started, first)));
            }
        }
    }
    found
}

fn check_state(state: &str) {
    let root = tempfile::tempdir().unwrap();
    sample::unpack(root.path());
    let dumps = sample::dumps(root.path());
    let dir = root.path().join(state);
    let fs: Arc<dyn Fs> = Arc::new(OsFs);
    let watermarks = read_offsets(&fs, &dir.join(HIGH_WATERMARK_FILE)).unwrap();
    let (manager, recovered) = load(&dir);
    assert_eq!(recovered == 0, state == "clean", "only a crash needs recovery");
    assert!(manager.context().trash.is_empty());
    for log in manager.all() {
        let name = format!("{state}/{}", log.partition());
        let expected = dumps.get(&name).map_or(&[][..], |batches| batches);
        check_batches(&name, &log, expected);
        let end = log.log_end_offset();
        let dumped_end = expected.last().map_or(0, |batch| batch.last_offset + 1);
        assert_eq!(end, dumped_end, "{name}: log end");
        assert!(log.topic_id().is_some());
        assert_eq!(log.high_watermark(), 0, "unknown until the replica has a role");
        let watermark = watermarks.get(log.partition()).copied().unwrap_or(0);
        assert_eq!(log.update_high_watermark(watermark.max(end)), end);
        let is_txn = &*log.partition().topic == "txn";
        assert_eq!(log.last_stable_offset(), if is_txn { 192 } else { end }, "{name}: last stable offset");
        if is_txn {
            check_transactions(&log, expected);
        }
        check_producers(&name, &log, expected);
        check_timestamps(&name, &log, expected);
    }
}

fn check_transactions(log: &Arc<Log>, expected: &[DumpedBatch]) {
    let all = aborted(expected);
    assert_eq!(all.len(), 4, "every third of twelve transactions was aborted");
    for from in (0..192).step_by(7) {
        let slice = log.read(from, 1 << 20, Bound::LastStable, true).unwrap();
        assert_eq!(slice.last_stable_offset, 192);
        let found: Vec<_> = slice
            .aborted
            .unwrap()
            .iter()
            .map(|txn| (txn.producer_id, txn.first_offset, txn.last_offset))
            .collect();
        let region = slice.region.unwrap();
        let mut bytes = vec![0; region.len];
        region.file.read_exact_at(&mut bytes, region.position).unwrap();
        let read =
            ottla::protocol::records::batches(&bytes).map(|view| view.unwrap().next_offset()).max().unwrap();
        let wanted: Vec<_> =
            all.iter().copied().filter(|(_, first, last)| *last >= from && *first < read).collect();
        assert_eq!(found, wanted, "from {from}");
        assert!(read <= 192, "nothing of the open transaction is read");
    }
    let open = log.active_producers();
    let ongoing: Vec<_> = open.iter().filter(|entry| entry.current_txn_first_offset >= 0).collect();
    assert_eq!(ongoing.len(), 1);
    assert_eq!(ongoing[0].current_txn_first_offset, 192);
    assert!(log.has_open_transaction(ongoing[0].producer_id));
}

fn check_producers(name: &str, log: &Log, expected: &[DumpedBatch]) {
    let mut last: BTreeMap<i64, (i16, i32, i64)> = BTreeMap::new();
    for batch in expected.iter().filter(|batch| !batch.control) {
        if let Some((id, epoch, sequence)) = batch.producer {
            let count = batch.records.len() as i32;
            last.insert(id, (epoch, sequence + count - 1, batch.last_offset));
        }
    }
    let found: BTreeMap<i64, (i16, i32, i64)> = log
        .active_producers()
        .into_iter()
        .filter(|entry| entry.last_offset >= 0)
        .map(|entry| (entry.producer_id, (entry.producer_epoch, entry.last_sequence, entry.last_offset)))
        .collect();
    let ids = |map: &BTreeMap<i64, (i16, i32, i64)>| map.keys().copied().collect::<Vec<_>>();
    assert_eq!(ids(&found), ids(&last), "{name}: producers");
    for (id, (_, sequence, offset)) in &found {
        assert_eq!((*sequence, *offset), (last[id].1, last[id].2), "{name}: producer {id}");
    }
}

fn check_timestamps(name: &str, log: &Log, expected: &[DumpedBatch]) {
    let all: Vec<(i64, i64)> = expected
        .iter()
        .flat_map(|batch| &batch.records)
        .filter(|record| record.timestamp >= 0)
        .map(|record| (record.timestamp, record.offset))
        .collect();
    let probes = all.iter().step_by(11).flat_map(|(timestamp, _)| [timestamp - 1, *timestamp, timestamp + 1]);
    for probe in probes {
        let wanted = all.iter().find(|(timestamp, _)| *timestamp >= probe);
        let found = log.offset_for_timestamp(probe).unwrap();
        assert_eq!(found.map(|found| (found.timestamp, found.offset)), wanted.copied(), "{name} at {probe}");
    }
    let max = all.iter().map(|(timestamp, _)| *timestamp).max();
    let wanted = all.iter().find(|(timestamp, _)| Some(*timestamp) == max).copied();
    let found = log.offset_for_max_timestamp().unwrap();
    assert_eq!(found.map(|found| (found.timestamp, found.offset)), wanted, "{name}: largest timestamp");
}

#[test]
fn a_clean_directory_holds_what_kafka_wrote() {
    check_state("clean");
}

#[test]
fn a_killed_directory_holds_what_kafka_wrote() {
    check_state("unclean");
}

#[test]
fn a_directory_survives_clean_restarts_byte_for_byte() {
    let root = tempfile::tempdir().unwrap();
    sample::unpack(root.path());
    let dir = root.path().join("clean");
    let files = |dir: &Path| -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|e| e.path().is_dir()) {
            for file in std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
                let name = format!("{:?}/{:?}", entry.file_name(), file.file_name());
                found.insert(name, std::fs::read(file.path()).unwrap());
            }
        }
        found
    };
    let before = files(&dir);
    for _ in 0..2 {
        let (manager, recovered) = load(&dir);
        assert_eq!(recovered, 0);
        assert!(!dir.join(".kafka_cleanshutdown").exists(), "a crash from here on is a crash");
        assert_eq!(manager.shutdown(2, NOW), BTreeMap::new());
        assert!(dir.join(".kafka_cleanshutdown").exists());
        let after = files(&dir);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before));
        for (name, bytes) in &before {
            assert_eq!(&after[name], bytes, "{name}");
        }
    }
    let fs: Arc<dyn Fs> = Arc::new(OsFs);
    let points = read_offsets(&fs, &dir.join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(points[&TopicPartition::new("codec-none", 0)], 230);
    assert_eq!(points.len(), 17);
}
