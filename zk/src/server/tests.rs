//! Parts of the server on their own: log files torn and garbled byte by byte.

use super::data_dir::DataDir;
use super::txn_log::{Batch, TxnLog, scan};
use crate::jute::{Acl, CreateRequest, Request, Writer};
use crate::tree::{Caller, Limits, Tree, WatcherId};
use std::path::{Path, PathBuf};

fn image(tree: &Tree) -> Vec<u8> {
    let mut writer = Writer::new();
    tree.write_image(&mut writer);
    writer.into_bytes()
}

/// A log of a session and `creates` nodes, one batch each; the images after each batch, and where each batch ends.
fn written_log(dir: &Path, creates: usize) -> (PathBuf, Vec<Vec<u8>>, Vec<u64>) {
    let mut tree = Tree::new(Limits::default());
    let mut log = TxnLog::open(dir, None, 0).unwrap();
    let mut append = |record| {
        let mut batch = Batch::default();
        batch.push(&record);
        log.append(batch).unwrap();
        log.bytes
    };
    let mut ends = vec![append(tree.open_session(7, 1000, [1; 16], 5))];
    let mut images = vec![image(&tree)];
    for number in 0..creates {
        let path = format!("/n{number}");
        let request = Request::Create(CreateRequest { path, data: None, acl: vec![Acl::open()], flags: 1 });
        let caller = Caller { session: 7, watcher: WatcherId(1), identities: &[] };
        let outcome = tree.write(&caller, 6, &request, &mut Vec::new());
        ends.push(append(outcome.record.unwrap()));
        images.push(image(&tree));
    }
    let path = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    (path, images, ends)
}

fn recover(dir: &Path) -> std::io::Result<Vec<u8>> {
    let (tree, _) = DataDir::open(dir)?.recover(Limits::default())?;
    Ok(image(&tree))
}

#[test]
fn a_log_torn_at_any_byte_gives_what_was_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (path, images, ends) = written_log(dir.path(), 3);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, ends[3]);
    for length in (0..=bytes.len()).rev() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let whole = ends.iter().filter(|end| **end <= length as u64).count();
        let expected = match whole {
            0 => image(&Tree::new(Limits::default())),
            count => images[count - 1].clone(),
        };
        assert!(recover(dir.path()).unwrap() == expected, "cut at {length}");
        let kept = std::fs::metadata(&path).unwrap().len();
        assert_eq!(kept, if whole == 0 { 0 } else { ends[whole - 1] }, "cut at {length}");
    }
}

#[test]
fn damage_is_cut_off_at_the_tail_and_refused_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, images, ends) = written_log(dir.path(), 3);
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        let recovered = recover(dir.path());
        if (at as u64) < ends[2] {
            // The first zxid in the header is only for people: the name says it, and each record does.
            if (12..20).contains(&at) {
                assert!(recovered.unwrap() == images[3], "byte {at}");
                continue;
            }
            let message = recovered.unwrap_err().to_string();
            assert!(message.contains("is damaged at byte"), "byte {at}: {message}");
        } else {
            assert!(recovered.unwrap() == images[2], "byte {at}");
        }
    }
}

#[test]
fn a_log_goes_on_where_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _, ends) = written_log(dir.path(), 2);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let data_dir = DataDir::open(dir.path()).unwrap();
    let (mut tree, mut log) = data_dir.recover(Limits::default()).unwrap();
    let mut batch = Batch::default();
    batch.push(&tree.open_session(8, 1000, [2; 16], 9));
    log.append(batch).unwrap();
    drop((log, data_dir));
    assert!(std::fs::metadata(&path).unwrap().len() > ends[1]);
    assert!(recover(dir.path()).unwrap() == image(&tree));
}

#[test]
fn a_gap_between_logs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _, _) = written_log(dir.path(), 2);
    std::fs::rename(&path, dir.path().join("log.0000000000000005")).unwrap();
    let records = scan(&dir.path().join("log.0000000000000005")).unwrap().records;
    assert_eq!(records.len(), 3);
    // A directory whose first log is gone.
    std::fs::remove_file(dir.path().join("log.0000000000000005")).unwrap();
    let mut log = TxnLog::open(dir.path(), None, 0).unwrap();
    let mut batch = Batch::default();
    batch.push(&records[2]);
    log.append(batch).unwrap();
    let message = recover(dir.path()).unwrap_err().to_string();
    assert!(message.contains("does not fit"), "{message}");
}

#[test]
fn a_directory_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let _first = DataDir::open(dir.path()).unwrap();
    let Err(error) = DataDir::open(dir.path()) else { panic!("opened twice") };
    assert!(error.to_string().contains("in use"), "{error}");
}

#[test]
fn a_log_that_failed_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(Limits::default());
    let full = dir.path().join("log.0000000000000001");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let mut log = TxnLog::open(dir.path(), Some((&full, 0)), 0).unwrap();
    for id in [1, 2] {
        let mut batch = Batch::default();
        batch.push(&tree.open_session(id, 1000, [0; 16], 1));
        assert!(log.append(batch).is_err(), "batch {id}");
    }
}
