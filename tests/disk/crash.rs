//! A thousand seeded lives of a log on a disk that forgets what was not synced.
//!
//! After each crash: nothing below the last flush is lost, nothing is there that was never appended, offsets are
//! without holes, epochs do not fall, producers are those of the batches, and indexes find what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use ottla::clock::Timestamp;
use ottla::protocol::records::record::records;
use ottla::protocol::records::view::BatchView;
use ottla::storage::fs::Fs;
use ottla::storage::log::{Bound, Log, LogContext};
use ottla::storage::log_config::LogConfig;
use ottla::storage::log_error::LogError;
use ottla::storage::producer_state::Origin;
use ottla::storage::recovery::{LoadRequest, load};
use ottla::storage::sim_fs::SimFs;

use crate::writer::{bytes_of, marker, partition, plain, produced, read_all};

const SEEDS: u64 = 1000;
const LIVES: usize = 3;

struct World {
    random: Rng,
    fs: SimFs,
    context: Arc<LogContext>,
    config: Arc<LogConfig>,
    log: Arc<Log>,
    epoch: i32,
    now: i64,
    /// Next sequence and whether a transaction is open, by producer id.
    producers: BTreeMap<i64, (i32, bool)>,
    /// What the log holds now.
    model: Vec<Vec<u8>>,
    /// Every batch that was ever appended.
    ever: BTreeSet<Vec<u8>>,
    /// Below this everything was flushed.
    durable: i64,
    /// What the checkpoint files say.
    recovery_point: i64,
    log_start: i64,
    /// Retention has taken what is below this, flushed or not.
    deleted: i64,
}

fn next_of(batch: &[u8]) -> i64 {
    BatchView::parse(batch).unwrap().next_offset()
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Rng::with_seed(seed);
        let fs = SimFs::new(seed);
        fs.create_dir_all(&PathBuf::from("/data")).unwrap();
        fs.sync_dir(&PathBuf::from("/")).unwrap();
        let context = Arc::new(LogContext::new(Arc::new(fs.clone())));
        let config = Arc::new(LogConfig {
            segment_bytes: random.u32(1100..4000),
            index_interval_bytes: random.u32(0..400),
            retention_bytes: 3000,
            retention_ms: -1,
            file_delete_delay_ms: 5,
            preallocate: random.bool(),
            ..LogConfig::default()
        });
        let log = World::create(&context, &config);
        World {
            random,
            fs,
            context,
            config,
            log,
            epoch: 0,
            now: 1_000,
            producers: BTreeMap::new(),
            model: Vec::new(),
            ever: BTreeSet::new(),
            durable: 0,
            recovery_point: 0,
            log_start: 0,
            deleted: 0,
        }
    }

    fn dir() -> PathBuf {
        PathBuf::from("/data/t-0")
    }

    fn create(context: &Arc<LogContext>, config: &Arc<LogConfig>) -> Arc<Log> {
        let now = Timestamp(1_000);
        let log = Log::create(context.clone(), partition("t"), World::dir(), None, config.clone(), now);
        Arc::new(log.unwrap())
    }

    fn append(&mut self, records: Bytes, origin: Origin) {
        let now = Timestamp(self.now);
        let info = self.log.append_as_leader(&records, self.epoch, origin, now).unwrap();
        let slice = self.log.read(info.first_offset, 1 << 20, Bound::LogEnd, true).unwrap();
        let bytes = bytes_of(&slice);
        assert_eq!(next_of(&bytes), info.log_end_offset);
        self.ever.insert(bytes.clone());
        self.model.push(bytes);
    }

    fn step(&mut self) {
        self.now += self.random.i64(0..50);
        let now = Timestamp(self.now);
        match self.random.u32(0..100) {
            0..35 => {
                let value = vec![self.random.u8(..); self.random.usize(0..300)];
                let values = vec![&value[..]; self.random.usize(1..4)];
                let timestamp = self.now - self.random.i64(0..100);
                self.append(plain(timestamp, &values), Origin::Client);
            }
            35..60 => self.produce(),
            60..68 => {
                self.durable = self.log.flush(now).unwrap();
                assert_eq!(self.durable, self.log.log_end_offset());
            }
            68..72 => self.durable = self.durable.max(self.log.flush_sealed(now).unwrap()),
            72..77 => drop(self.log.roll(now).unwrap()),
            77..82 => self.truncate(now),
            82..87 => drop(self.log.update_high_watermark(self.random.i64(0..=self.log.log_end_offset()))),
            87..90 => {
                self.log.delete_old_segments(now).unwrap();
                self.deleted = self.log.log_start_offset();
            }
            90..93 => assert!(self.context.trash.empty(&self.fs, now).is_empty()),
            _ => {
                self.recovery_point = self.log.recovery_point();
                self.log_start = self.log.log_start_offset();
            }
        }
    }

    fn produce(&mut self) {
        let id = self.random.i64(1..4);
        let (sequence, is_open) = self.producers.get(&id).copied().unwrap_or((0, false));
        if is_open && self.random.bool() {
            let commit = self.random.bool();
            self.append(marker(id, 0, commit), Origin::Coordinator);
            self.producers.insert(id, (sequence, false));
            return;
        }
        let transactional = is_open || self.random.bool();
        let count = self.random.usize(1..4);
        self.append(produced(id, 0, sequence, transactional, &vec![&b"value"[..]; count]), Origin::Client);
        self.producers.insert(id, (sequence + count as i32, transactional));
    }

    fn truncate(&mut self, now: Timestamp) {
        let start = self.log.log_start_offset();
        let to = self.random.i64(start..=self.log.log_end_offset());
        self.log.truncate_to(to, now).unwrap();
        let end = self.log.log_end_offset();
        self.model.retain(|batch| next_of(batch) <= end);
        self.durable = self.durable.min(end).min(to);
        // A broker checkpoints after every truncation.
        self.recovery_point = self.recovery_point.min(self.log.recovery_point());
        self.epoch += 1;
        self.log.assign_epoch_at_end(self.epoch).unwrap();
        self.adopt_producers();
    }

    /// Sequences go on from what the log knows.
    fn adopt_producers(&mut self) {
        self.producers = self
            .log
            .active_producers()
            .into_iter()
            .map(|entry| (entry.producer_id, (entry.last_sequence + 1, entry.current_txn_first_offset >= 0)))
            .collect();
    }

    fn reload(&mut self, is_clean: bool) {
        let request = LoadRequest {
            context: self.context.clone(),
            partition: partition("t"),
            dir: World::dir(),
            config: self.config.clone(),
            is_clean,
            recovery_point: self.recovery_point,
            recovery_point_is_unknown: false,
            log_start_offset: self.log_start,
            now: Timestamp(self.now),
        };
        self.context.trash.forget(&World::dir());
        self.log = match load(&request, &|_| {}) {
            Ok(log) => Arc::new(log),
            Err(LogError::Storage(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                assert_eq!((self.durable, is_clean), (0, false), "only a log never flushed may vanish");
                World::create(&self.context, &self.config)
            }
            Err(error) => panic!("{error}"),
        };
    }

    fn crash(&mut self) {
        self.fs.crash();
        self.reload(false);
        self.check();
    }

    fn close(&mut self) {
        self.log.close(Timestamp(self.now)).unwrap();
        self.durable = self.log.log_end_offset();
        self.recovery_point = self.durable;
        self.log_start = self.log.log_start_offset();
        let before = (self.log.offsets().log_end_offset, self.log.epochs(), self.log.active_producers());
        if self.random.bool() {
            self.fs.crash();
        }
        self.reload(true);
        let after = (self.log.offsets().log_end_offset, self.log.epochs(), self.log.active_producers());
        assert_eq!(before, after, "a clean stop loses nothing");
        self.check();
    }

    fn check(&mut self) {
        let found = read_all(&self.log, 1 << 20);
        let offsets = self.log.offsets();
        assert!(self.log.recovery_point() <= offsets.flushed_offset);
        assert!(offsets.log_end_offset >= self.durable, "{offsets:?} ends below {}", self.durable);
        assert!(offsets.log_start_offset <= self.durable.max(self.log_start).max(self.deleted));
        let (mut next, mut epoch) = (None, -1);
        for batch in &found {
            assert!(self.ever.contains(batch), "a batch that nobody appended");
            let view = BatchView::parse(batch).unwrap();
            assert_eq!(view.base_offset(), next.unwrap_or(view.base_offset()), "no hole");
            assert!(view.partition_leader_epoch() >= epoch, "epochs do not fall");
            (next, epoch) = (Some(view.next_offset()), view.partition_leader_epoch());
        }
        assert_eq!(next.unwrap_or(offsets.log_end_offset), offsets.log_end_offset);
        let kept: BTreeSet<&Vec<u8>> = found.iter().collect();
        for batch in &self.model {
            let next = next_of(batch);
            if next <= self.durable && next > offsets.log_start_offset {
                assert!(kept.contains(batch), "flushed batch before {next} lost");
            }
        }
        self.check_derived(&found);
        self.durable = self.durable.min(offsets.log_end_offset);
        self.model = found;
        self.epoch = self.epoch.max(self.log.latest_epoch().unwrap_or(0)) + 1;
        self.log.assign_epoch_at_end(self.epoch).unwrap();
        self.adopt_producers();
    }

    /// What is derived from batches agrees with them.
    fn check_derived(&self, found: &[Vec<u8>]) {
        let start = self.log.log_start_offset();
        let mut last = BTreeMap::new();
        let mut all = Vec::new();
        let epochs = self.log.epochs();
        for batch in found {
            let view = BatchView::parse(batch).unwrap();
            let at = view.base_offset().max(start);
            let known = epochs.iter().rfind(|entry| entry.start_offset <= at).map(|entry| entry.epoch);
            assert_eq!(known, Some(view.partition_leader_epoch()), "the epoch at {at}: {epochs:?}");
            if let Some(producer) = view.producer().filter(|_| !view.is_control()) {
                last.insert(producer.id, (producer.last_sequence, view.last_offset()));
            }
            for offset in [view.base_offset(), view.last_offset()] {
                if offset >= start {
                    let slice = self.log.read(offset, 1, Bound::LogEnd, true).unwrap();
                    assert_eq!(slice.first_base_offset, view.base_offset());
                }
            }
            let opened = records(&view, 1 << 20).unwrap();
            let records = opened.iter().unwrap().map(Result::unwrap);
            all.extend(records.filter(|record| record.offset >= start).map(|r| (r.timestamp, r.offset)));
        }
        let known: BTreeMap<i64, (i32, i64)> = self
            .log
            .active_producers()
            .into_iter()
            .filter(|entry| entry.last_offset >= start)
            .map(|entry| (entry.producer_id, (entry.last_sequence, entry.last_offset)))
            .collect();
        let last: BTreeMap<i64, (i32, i64)> = last.into_iter().filter(|(_, (_, at))| *at >= start).collect();
        assert_eq!(known, last, "producers");
        for (timestamp, _) in all.iter().step_by(5) {
            for probe in [*timestamp, timestamp + 1] {
                let wanted = all.iter().find(|(timestamp, _)| *timestamp >= probe).copied();
                let found = self.log.offset_for_timestamp(probe).unwrap();
                assert_eq!(found.map(|found| (found.timestamp, found.offset)), wanted, "at {probe}");
            }
        }
        self.check_aborted(found);
    }

    fn check_aborted(&self, found: &[Vec<u8>]) {
        let start = self.log.log_start_offset();
        let mut open: BTreeMap<i64, i64> = BTreeMap::new();
        let mut wanted = Vec::new();
        for batch in found {
            let view = BatchView::parse(batch).unwrap();
            let Some(producer) = view.producer().filter(|_| view.is_transactional()) else { continue };
            if !view.is_control() {
                open.entry(producer.id).or_insert(view.base_offset());
                continue;
            }
            let opened = records(&view, 1 << 20).unwrap();
            let is_abort = opened.iter().unwrap().next().unwrap().unwrap().key.unwrap()[3] == 0;
            let first = open.remove(&producer.id);
            wanted.extend(first.filter(|_| is_abort).map(|first| (producer.id, first, view.base_offset())));
        }
        self.log.update_high_watermark(i64::MAX);
        let mut all = BTreeSet::new();
        let stable = self.log.last_stable_offset();
        for batch in found {
            let from = BatchView::parse(batch).unwrap().base_offset().max(start);
            if from < stable {
                let slice = self.log.read(from, 1, Bound::LastStable, true).unwrap();
                all.extend(
                    slice.aborted.unwrap().iter().map(|t| (t.producer_id, t.first_offset, t.last_offset)),
                );
            }
        }
        // What began below the log start is known to the log, not to what is left of the batches.
        let same = |w: &(i64, i64, i64), t: &(i64, i64, i64)| {
            (w.0, w.2) == (t.0, t.2) && (w.1 == t.1 || t.1 < start)
        };
        for txn in wanted.iter().filter(|(_, first, _)| *first < stable && *first >= start) {
            assert!(all.iter().any(|other| same(txn, other)), "aborted {txn:?} not reported, only {all:?}");
        }
        let invented =
            all.iter().find(|(_, first, _)| *first >= start && !wanted.iter().any(|w| w.1 == *first));
        assert_eq!(invented, None);
        let first_open = open.values().min().copied().filter(|first| *first >= start);
        assert_eq!(stable.min(first_open.unwrap_or(stable)), stable, "an open transaction bounds it");
    }
}

#[test]
fn a_thousand_lives() {
    let first: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let count = if std::env::var("SEED").is_ok() { 1 } else { SEEDS };
    for seed in first..first + count {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..LIVES {
                for _ in 0..world.random.usize(1..50) {
                    world.step();
                }
                if world.random.u32(0..4) == 0 { world.close() } else { world.crash() }
            }
        });
        assert!(run.is_ok(), "replay with SEED={seed}");
    }
}

/// A cut that the disk lost brings records back; they must neither push out what was flushed after the cut nor hide
/// in a segment below the one that holds their offsets by its name.
#[test]
fn a_lost_cut_before_a_roll_leaves_one_log() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        let now = Timestamp(world.now);
        (0..3).for_each(|_| world.append(plain(1, &[b"old", b"older"]), Origin::Client));
        world.log.flush(now).unwrap();
        world.log.truncate_to(4, now).unwrap();
        world.model.pop();
        world.durable = 4;
        world.log.roll(now).unwrap();
        if seed % 2 == 0 {
            (0..2).for_each(|_| world.append(plain(1, &[b"new"]), Origin::Client));
            world.durable = world.log.flush(now).unwrap();
        }
        world.crash();
    }
}

/// A crash after every single call of one busy life.
#[test]
fn a_crash_after_any_number_of_steps() {
    for steps in 1..120 {
        let mut world = World::new(4242);
        for _ in 0..steps {
            world.step();
        }
        world.crash();
        world.crash();
    }
    let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
    assert!(!fs.exists(&World::dir()).unwrap());
}
