//! Directories that fail or fill, leftovers of compaction and deletion, lost and garbled small files.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla::clock::Timestamp;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::Uuid;
use ottla::storage::dirs::LogDir;
use ottla::storage::fs::{Fs, Open};
use ottla::storage::log::{Bound, LogContext};
use ottla::storage::log_config::LogConfig;
use ottla::storage::log_error::LogError;
use ottla::storage::manager::{LoadFailure, LogManager, ManagerError};
use ottla::storage::producer_state::Origin;
use ottla::storage::sim_fs::{Call, SimFs};

use crate::writer::{partition, plain, produced, read_all};

const NOW: Timestamp = Timestamp(50_000);

fn small() -> Arc<LogConfig> {
    Arc::new(LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..LogConfig::default() })
}

fn manager(fs: &SimFs, dirs: &[&str]) -> LogManager {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let open = |dir: &&str| LogDir::open(shared.clone(), PathBuf::from(dir), Some(1), "cluster").unwrap();
    LogManager::new(Arc::new(LogContext::new(shared.clone())), dirs.iter().map(open).collect())
}

fn loaded(fs: &SimFs, dirs: &[&str]) -> Result<LogManager, LoadFailure> {
    let manager = manager(fs, dirs);
    manager.load_all(&|_| small(), 2, NOW, &|_| {})?;
    Ok(manager)
}

fn fill(manager: &LogManager, topic: &str, batches: i64) {
    let log = manager.get_or_create(&partition(topic), None, &small(), true, NOW).unwrap();
    for n in 0..batches {
        log.append_as_leader(&plain(n, &[b"some value", b"another"]), 1, Origin::Client, NOW).unwrap();
    }
}

fn write(fs: &SimFs, path: &str, bytes: &[u8]) {
    let file = fs.open(Path::new(path), Open::Truncate).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
}

#[test]
fn new_logs_go_where_there_are_fewest_and_survive_a_restart() {
    let fs = SimFs::new(3);
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    let id = Uuid::random();
    for n in 0..10 {
        let tp = partition(&format!("t{n}"));
        manager.get_or_create(&tp, Some(id), &small(), true, NOW).unwrap();
    }
    assert_eq!((manager.logs_in(Path::new("/a")).len(), manager.logs_in(Path::new("/b")).len()), (5, 5));
    fill(&manager, "t3", 20);
    let other = manager.get_or_create(&partition("t3"), Some(Uuid::random()), &small(), false, NOW);
    let Err(ManagerError::Log { source, .. }) = other else { panic!("another topic's log") };
    assert_eq!(source.code(), ErrorCode::InconsistentTopicId);
    let before = read_all(&manager.get(&partition("t3")).unwrap(), 1 << 20);
    assert!(manager.sync_new(NOW).is_empty());
    assert!(manager.shutdown(3, NOW).is_empty());
    drop(manager);
    fs.crash();
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    assert_eq!(manager.all().len(), 10);
    assert!(manager.all().iter().all(|log| log.topic_id() == Some(id)));
    assert_eq!(read_all(&manager.get(&partition("t3")).unwrap(), 1 << 20), before);
}

#[test]
fn a_preallocated_segment_is_cut_to_size_when_it_is_rolled_or_closed() {
    let fs = SimFs::new(5);
    let manager = loaded(&fs, &["/a"]).unwrap();
    let config = Arc::new(LogConfig { segment_bytes: 10_000, preallocate: true, ..LogConfig::default() });
    let log = manager.get_or_create(&partition("t"), None, &config, true, NOW).unwrap();
    let size = |base: i64| fs.size(&PathBuf::from(format!("/a/t-0/{base:020}.log"))).unwrap();
    let append = || {
        log.append_as_leader(&plain(1, &[b"some value"]), 1, Origin::Client, NOW).unwrap();
        read_all(&log, 1 << 20).pop().unwrap().len() as u64
    };
    let batch = append();
    assert_eq!(size(0), 10_000);
    log.roll(NOW).unwrap();
    append();
    assert_eq!((size(0), size(1)), (batch, 10_000));
    assert!(manager.shutdown(1, NOW).is_empty());
    fs.crash();
    assert_eq!((size(0), size(1)), (batch, batch));
    let manager = loaded(&fs, &["/a"]).unwrap();
    assert_eq!(manager.get(&partition("t")).unwrap().log_end_offset(), 2);
}

#[test]
fn one_directory_fails_and_only_its_logs_go() {
    let fs = SimFs::new(4);
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    for n in 0..6 {
        fill(&manager, &format!("t{n}"), 3);
    }
    fs.fail_nth(Call::Sync, "/b/", 1);
    let failures =
        manager.all().into_iter().filter_map(|log| log.flush(NOW).err().map(|e| (log.log_dir(), e)));
    let failures: Vec<_> = failures.collect();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].1.is_fatal_for_dir());
    let failure = manager.fail_dir(&failures[0].0, &failures[0].1).unwrap();
    assert_eq!((failure.current.len(), failure.must_halt), (3, false));
    assert!(manager.fail_dir(Path::new("/b"), &"again").is_none(), "announced once");
    assert_eq!(manager.all().len(), 3);
    let lost = failure.current[0].clone();
    let again = manager.get_or_create(&lost, None, &small(), false, NOW);
    assert!(matches!(again, Err(ManagerError::MayBeOffline { .. })), "not created elsewhere");
    manager.get_or_create(&partition("fresh"), None, &small(), true, NOW).unwrap();
    assert!(manager.fail_dir(Path::new("/a"), &"too").unwrap().must_halt);
    assert!(manager.shutdown(1, NOW).is_empty());
    assert!(!fs.exists(Path::new("/b/.kafka_cleanshutdown")).unwrap(), "a failed directory is not clean");
}

#[test]
fn a_directory_that_cannot_be_loaded_goes_offline_and_the_rest_starts() {
    let fs = SimFs::new(5);
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    fill(&manager, "x", 3);
    fill(&manager, "y", 3);
    assert!(manager.shutdown(1, NOW).is_empty());
    drop(manager);
    fs.fail_nth(Call::Read, "/a/x-0/", 1);
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    assert_eq!(manager.live_dirs().count(), 1);
    assert!(manager.get(&partition("y")).is_some() && manager.get(&partition("x")).is_none());
    drop(manager);
    fs.create_dir_all(Path::new("/b/not a partition")).unwrap();
    assert!(matches!(loaded(&fs, &["/a", "/b"]), Err(LoadFailure::StrangeDirectory { .. })));
    fs.remove_dir_all(Path::new("/b/not a partition")).unwrap();
    fs.create_dir_all(Path::new("/b/x-0")).unwrap();
    assert!(matches!(loaded(&fs, &["/a", "/b"]), Err(LoadFailure::Twice { .. })));
}

#[test]
fn a_crash_while_loading_counts_as_a_crash() {
    let fs = SimFs::new(6);
    let manager = loaded(&fs, &["/a"]).unwrap();
    fill(&manager, "x", 30);
    assert!(manager.shutdown(1, NOW).is_empty());
    drop(manager);
    let manager = loaded(&fs, &["/a"]).unwrap();
    drop(manager);
    assert!(!fs.exists(Path::new("/a/.kafka_cleanshutdown")).unwrap());
    fs.crash();
    let manager = loaded(&fs, &["/a"]).unwrap();
    assert_eq!(manager.get(&partition("x")).unwrap().log_end_offset(), 60);
}

#[test]
fn garbled_small_files_cost_time_not_records() {
    let small_files = [
        "/a/recovery-point-offset-checkpoint",
        "/a/log-start-offset-checkpoint",
        "/a/x-0/leader-epoch-checkpoint",
        "/a/x-0/00000000000000000012.snapshot",
        "/a/x-0/00000000000000000000.index",
        "/a/x-0/00000000000000000000.timeindex",
        "/a/x-0/00000000000000000024.index",
        "/a/x-0/00000000000000000024.timeindex",
    ];
    for path in small_files {
        for garbage in [
            &b""[..],
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"garbage that is no file of Kafka's",
            &[0xff; 48],
        ] {
            let fs = SimFs::new(8);
            let manager = loaded(&fs, &["/a"]).unwrap();
            let log = manager.get_or_create(&partition("x"), None, &small(), true, NOW).unwrap();
            for n in 0..30 {
                log.append_as_leader(
                    &produced(7, 0, n * 2, false, &[b"one", b"two"]),
                    1,
                    Origin::Client,
                    NOW,
                )
                .unwrap();
            }
            let before = read_all(&log, 1 << 20);
            let (producers, epochs) = (log.active_producers(), log.epochs());
            assert!(manager.shutdown(1, NOW).is_empty());
            drop((manager, log));
            write(&fs, path, garbage);
            if path.ends_with("checkpoint") || path.ends_with("snapshot") {
                fs.remove_file(Path::new("/a/.kafka_cleanshutdown")).unwrap();
            }
            let manager = loaded(&fs, &["/a"]).unwrap();
            let log = manager.get(&partition("x")).unwrap_or_else(|| panic!("{path} {garbage:?}"));
            assert_eq!(read_all(&log, 1), before, "{path} {garbage:?}");
            assert_eq!(log.active_producers(), producers, "{path} {garbage:?}");
            assert_eq!(log.epochs(), epochs, "{path} {garbage:?}");
            for offset in 0..60 {
                let slice = log.read(offset, 1, Bound::LogEnd, true).unwrap();
                assert_eq!(slice.first_base_offset, offset / 2 * 2, "{path} {garbage:?}");
            }
        }
    }
}

#[test]
fn leftovers_of_deletion_and_compaction_are_settled() {
    let build = || {
        let fs = SimFs::new(9);
        let manager = loaded(&fs, &["/a"]).unwrap();
        fill(&manager, "x", 30);
        let log = manager.get(&partition("x")).unwrap();
        let bases: Vec<i64> = log.segments().iter().map(|segment| segment.base_offset()).collect();
        let before = read_all(&log, 1 << 20);
        assert!(manager.shutdown(1, NOW).is_empty());
        (fs, bases, before)
    };
    let rename = |fs: &SimFs, base: i64, suffix: &str, to: &str| {
        let from = format!("/a/x-0/{base:020}{suffix}");
        fs.rename(Path::new(&from), Path::new(&format!("{from}{to}"))).unwrap();
    };
    // Complete: the old first segment is replaced by its own copy under a swap name.
    let (fs, bases, before) = build();
    for suffix in [".log", ".index", ".timeindex"] {
        rename(&fs, bases[0], suffix, ".swap");
    }
    write(&fs, &format!("/a/x-0/{:020}.log.deleted", bases[1]), b"old");
    let manager = loaded(&fs, &["/a"]).unwrap();
    assert_eq!(read_all(&manager.get(&partition("x")).unwrap(), 1), before);
    let names: Vec<String> =
        fs.list(Path::new("/a/x-0")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().all(|name| !name.ends_with(".swap") && !name.ends_with(".deleted")), "{names:?}");
    drop(manager);
    // Not complete: a cleaned file says that the swap files of its group are not to be used.
    let (fs, bases, before) = build();
    write(&fs, &format!("/a/x-0/{:020}.log.cleaned", bases[0]), b"half");
    write(&fs, &format!("/a/x-0/{:020}.log.swap", bases[1]), b"half");
    write(&fs, &format!("/a/x-0/{:020}.index", 999), b"");
    let manager = loaded(&fs, &["/a"]).unwrap();
    assert_eq!(read_all(&manager.get(&partition("x")).unwrap(), 1), before);
    assert!(
        !fs.exists(Path::new("/a/x-0/00000000000000000999.index")).unwrap(),
        "an index without a segment"
    );
}

#[test]
fn deletion_renames_at_once_and_removes_later() {
    let fs = SimFs::new(10);
    let manager = loaded(&fs, &["/a"]).unwrap();
    fill(&manager, "x", 3);
    let log = manager.get(&partition("x")).unwrap();
    let region = log.read(0, 1 << 20, Bound::LogEnd, true).unwrap().region.unwrap();
    assert!(manager.delete(&partition("x"), false, NOW).unwrap());
    assert!(!manager.delete(&partition("x"), false, NOW).unwrap());
    assert!(matches!(log.read(0, 1, Bound::LogEnd, true), Err(LogError::Closed)));
    assert!(!fs.exists(Path::new("/a/x-0")).unwrap());
    fill(&manager, "x", 1);
    let count = || fs.list(Path::new("/a")).unwrap().into_iter().filter(|entry| entry.is_dir).count();
    assert_eq!(count(), 2, "the new one beside the old");
    assert!(manager.remove_deleted(NOW.plus_ms(60_000)).is_empty());
    assert_eq!(count(), 1);
    let mut bytes = vec![0; region.len];
    region.file.read_exact_at(&mut bytes, region.position).unwrap();
    assert_eq!(manager.get(&partition("x")).unwrap().log_end_offset(), 2);
}

#[test]
fn a_replica_moves_between_directories() {
    let fs = SimFs::new(11);
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    fill(&manager, "x", 3);
    let current = manager.get(&partition("x")).unwrap();
    let other = if current.log_dir() == Path::new("/a") { "/b" } else { "/a" };
    let future = manager.create_future(&partition("x"), Path::new(other), &small(), NOW).unwrap();
    for batch in read_all(&current, 1 << 20) {
        future.append_as_follower(&batch.into(), i32::MAX, NOW).unwrap();
    }
    let before = read_all(&current, 1 << 20);
    assert!(manager.replace_with_future(&partition("x"), NOW).unwrap());
    let moved = manager.get(&partition("x")).unwrap();
    assert_eq!(moved.dir(), Path::new(other).join("x-0"));
    assert_eq!(read_all(&moved, 1 << 20), before);
    moved.append_as_leader(&plain(1, &[b"v"]), 2, Origin::Client, NOW).unwrap();
    assert!(manager.shutdown(1, NOW).is_empty());
    drop(manager);
    let manager = loaded(&fs, &["/a", "/b"]).unwrap();
    assert_eq!(manager.get(&partition("x")).unwrap().log_end_offset(), 7);
}
