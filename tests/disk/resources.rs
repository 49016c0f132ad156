//! What many logs cost on a real disk: descriptors, memory, time to create and to load.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla::clock::Timestamp;
use ottla::protocol::ids::{TopicPartition, Uuid};
use ottla::storage::descriptors::Descriptors;
use ottla::storage::dirs::LogDir;
use ottla::storage::fs::{Fs, OsFs};
use ottla::storage::log::LogContext;
use ottla::storage::log_config::LogConfig;
use ottla::storage::manager::LogManager;
use ottla::storage::producer_state::Origin;

use crate::writer::plain;

const NOW: Timestamp = Timestamp(1_000);
const PARTITIONS: i32 = 1000;

fn manager(dir: &Path, descriptors: &Arc<Descriptors>) -> LogManager {
    let fs: Arc<dyn Fs> = descriptors.clone();
    let log_dir = LogDir::open(fs.clone(), dir.to_owned(), Some(1), "cluster").unwrap();
    let manager = LogManager::new(Arc::new(LogContext::new(fs)), vec![log_dir]);
    let config = Arc::new(LogConfig::default());
    manager.load_all(&|_| config.clone(), 2, NOW, &|_| {}).unwrap();
    manager
}

#[test]
fn a_thousand_logs_need_few_descriptors_and_little_time() {
    let dir = tempfile::tempdir().unwrap();
    let descriptors = Arc::new(Descriptors::new(Arc::new(OsFs), 50));
    let logs = manager(dir.path(), &descriptors);
    let config = Arc::new(LogConfig::default());
    let start = Instant::now();
    for n in 0..PARTITIONS {
        let tp = TopicPartition::new("many", n);
        logs.get_or_create(&tp, Some(Uuid::random()), &config, true, NOW).unwrap();
    }
    let created = start.elapsed();
    for log in logs.all() {
        log.append_as_leader(&plain(5, &[b"value"]), 0, Origin::Client, NOW).unwrap();
        assert!(descriptors.open_files() <= 52, "{} files are open", descriptors.open_files());
    }
    descriptors.close_idle();
    assert_eq!(descriptors.open_files(), 1, "only the directory's lock");
    let start = Instant::now();
    assert!(logs.shutdown(8, NOW).is_empty());
    let closed = start.elapsed();
    drop(logs);
    let start = Instant::now();
    let logs = manager(dir.path(), &descriptors);
    let loaded = start.elapsed();
    assert_eq!(logs.all().len(), PARTITIONS as usize);
    assert!(logs.all().iter().all(|log| log.log_end_offset() == 1));
    println!("{PARTITIONS} logs: created in {created:?}, closed in {closed:?}, loaded in {loaded:?}");
    // Generous for a busy machine, far below a second a log's worth of scans or syncs.
    assert!(created < Duration::from_secs(10) && loaded < Duration::from_secs(10));
}

#[test]
fn an_idle_log_holds_one_descriptor_at_most() {
    const LOGS: i32 = 20;
    let dir = tempfile::tempdir().unwrap();
    let descriptors = Arc::new(Descriptors::new(Arc::new(OsFs), 1000));
    let logs = manager(dir.path(), &descriptors);
    let config = LogConfig { segment_bytes: 1 << 10, index_interval_bytes: 1, ..LogConfig::default() };
    let config = Arc::new(config);
    for n in 0..LOGS {
        let tp = TopicPartition::new("idle", n);
        let log = logs.get_or_create(&tp, Some(Uuid::random()), &config, true, NOW).unwrap();
        for _ in 0..30 {
            log.append_as_leader(&plain(5, &[b"value"]), 0, Origin::Client, NOW).unwrap();
        }
    }
    // Not shut down: every log is recovered, which reads its segments and writes its indexes.
    drop(logs);
    descriptors.close_idle();
    let logs = manager(dir.path(), &descriptors);
    let after_recovery = descriptors.open_files();
    assert!(after_recovery > 3 * LOGS as usize, "{after_recovery} files are open: nothing to close");
    descriptors.close_unused();
    descriptors.close_unused();
    let (idle, lock) = (descriptors.open_files(), 1);
    assert!(idle <= LOGS as usize + lock, "{idle} files are open for {LOGS} idle logs");
    assert!(logs.all().iter().all(|log| log.log_end_offset() == 30));
    let log = logs.get(&TopicPartition::new("idle", 0)).unwrap();
    log.append_as_leader(&plain(5, &[b"value"]), 0, Origin::Client, NOW).unwrap();
    assert_eq!(crate::writer::read_all(&log, 100).len(), 31);
}
