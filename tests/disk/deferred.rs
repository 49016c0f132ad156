//! Many logs made or closed with one sync of the file system for all, on a disk that loses power before or after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use ottla::clock::Timestamp;
use ottla::protocol::ids::{TopicPartition, Uuid};
use ottla::storage::dirs::LogDir;
use ottla::storage::fs::{Fs, deferring};
use ottla::storage::log::LogContext;
use ottla::storage::log_config::LogConfig;
use ottla::storage::manager::LogManager;
use ottla::storage::producer_state::Origin;
use ottla::storage::sim_fs::{Call, SimFs};

use crate::writer::{partition, plain, read_all};

const NOW: Timestamp = Timestamp(50_000);
const SEEDS: u64 = 200;
const LOGS: usize = 12;

fn config() -> Arc<LogConfig> {
    Arc::new(LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..LogConfig::default() })
}

fn open(fs: &SimFs) -> LogManager {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let dir = LogDir::open(shared.clone(), PathBuf::from("/a"), Some(1), "cluster").unwrap();
    let manager = LogManager::new(Arc::new(LogContext::new(shared)), vec![dir]);
    manager.load_all(&|_| config(), 2, NOW, &|_| {}).unwrap();
    manager
}

fn names() -> Vec<TopicPartition> {
    (0..LOGS).map(|n| partition(&format!("t{n}"))).collect()
}

fn create(manager: &LogManager, id: Uuid) {
    deferring(|| {
        for tp in names() {
            manager.get_or_create(&tp, Some(id), &config(), true, NOW).unwrap();
        }
        assert!(manager.sync_new(NOW).is_empty());
    });
}

fn append(manager: &LogManager, tp: &TopicPartition, random: &mut Rng) {
    let log = manager.get(tp).unwrap();
    for n in 0..random.i64(1..20) {
        log.append_as_leader(&plain(n, &[b"some value", b"another"]), 1, Origin::Client, NOW).unwrap();
    }
}

#[test]
fn logs_created_together_are_there_after_their_one_sync() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (fs, mut random, id) = (SimFs::new(seed), Rng::with_seed(seed), Uuid([7; 16]));
        fs.create_dir_all(Path::new("/a")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let manager = open(&fs);
        create(&manager, id);
        let synced = random.bool();
        let mut flushed = Vec::new();
        if synced {
            assert!(manager.sync_deferred().is_empty(), "seed {seed}");
        }
        for tp in names() {
            if random.bool() {
                continue;
            }
            append(&manager, &tp, &mut random);
            if synced && random.bool() {
                let log = manager.get(&tp).unwrap();
                log.flush(NOW).unwrap();
                flushed.push((tp, read_all(&log, 1 << 20)));
            }
        }
        drop(manager);
        fs.crash();
        let manager = open(&fs);
        let there = manager.all();
        lost += LOGS - there.len();
        if synced {
            assert_eq!(there.len(), LOGS, "seed {seed}: a log that was told of is gone");
            assert!(there.iter().all(|log| log.topic_id() == Some(id)), "seed {seed}: a topic id is gone");
        }
        for (tp, before) in flushed {
            let after = read_all(&manager.get(&tp).unwrap(), 1 << 20);
            assert_eq!(&after[..before.len()], before, "seed {seed}: {tp} lost what was flushed");
        }
        // Whatever is left can be made whole and used.
        create(&manager, id);
        append(&manager, &partition("t0"), &mut random);
    }
    assert!(lost > 0, "no crash before the sync lost a log: the disk puts nothing off");
}

#[test]
fn a_clean_end_keeps_everything_and_a_failed_one_is_not_called_clean() {
    for seed in 0..SEEDS {
        let (fs, mut random) = (SimFs::new(seed), Rng::with_seed(seed));
        fs.create_dir_all(Path::new("/a")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let manager = open(&fs);
        create(&manager, Uuid([7; 16]));
        assert!(manager.sync_deferred().is_empty());
        names().iter().for_each(|tp| append(&manager, tp, &mut random));
        let before: Vec<_> = names().iter().map(|tp| read_all(&manager.get(tp).unwrap(), 1 << 20)).collect();
        let fails = random.bool();
        if fails {
            fs.fail_nth(Call::Sync, "/a", 1);
        }
        assert_eq!(manager.shutdown(2, NOW).is_empty(), !fails, "seed {seed}");
        drop(manager);
        fs.crash();
        let marked = fs.exists(Path::new("/a/.kafka_cleanshutdown")).unwrap();
        assert_eq!(marked, !fails, "seed {seed}: the marker of a clean end");
        let manager = open(&fs);
        for (tp, before) in names().iter().zip(before) {
            let after = manager.get(tp).map(|log| read_all(&log, 1 << 20)).unwrap_or_default();
            match fails {
                false => assert_eq!(after, before, "seed {seed}: {tp}"),
                true => assert!(before.starts_with(&after), "seed {seed}: {tp} holds what was never written"),
            }
        }
    }
}

/// A follower that is too far behind begins anew at its leader's start, which counts as flushed without a sync.
#[test]
fn a_log_begun_anew_and_not_synced_does_not_take_its_directory_down() {
    for seed in 0..SEEDS {
        let (fs, tp) = (SimFs::new(seed), partition("t"));
        fs.create_dir_all(Path::new("/a")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let manager = open(&fs);
        let log = manager.get_or_create(&tp, Some(Uuid([7; 16])), &config(), true, NOW).unwrap();
        log.truncate_fully_and_start_at(50, NOW).unwrap();
        assert!(manager.checkpoint_recovery_points().is_empty(), "seed {seed}");
        fs.crash();
        drop((log, manager));
        assert_eq!(open(&fs).live_dirs().count(), 1, "seed {seed}");
    }
}
