//! What survives a restart: everything that was answered.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bytes::Bytes;
use ottla_zk::jute::{
    Acl, CreateRequest, ErrorCode, PathVersion, PathWatch, Reply, Request, SetDataRequest, Stat,
};
use ottla_zk::server::{LocalSession, Options, Server, ZkError};
use std::collections::BTreeMap;
use std::path::Path;

fn options(dir: &Path) -> Options {
    Options { data_dir: Some(dir.to_owned()), ..Options::default() }
}

fn create(path: &str, data: &[u8], flags: i32) -> Request {
    let data = Some(Bytes::copy_from_slice(data));
    Request::Create(CreateRequest { path: path.into(), data, acl: vec![Acl::open()], flags })
}

fn get(path: &str) -> Request {
    Request::GetData(PathWatch { path: path.into(), watch: false })
}

fn children(path: &str) -> Request {
    Request::GetChildren2(PathWatch { path: path.into(), watch: false })
}

/// Every node with its data and stat.
async fn dump(session: &LocalSession) -> BTreeMap<String, (Option<Bytes>, Stat)> {
    let (mut nodes, mut todo) = (BTreeMap::new(), vec!["/".to_owned()]);
    while let Some(path) = todo.pop() {
        let Ok(Reply::Data(data, stat)) = session.request(get(&path)).await else { panic!("{path}") };
        let Ok(Reply::Children2(names, _)) = session.request(children(&path)).await else { panic!("{path}") };
        let prefix = if path == "/" { "" } else { &path };
        todo.extend(names.iter().map(|name| format!("{prefix}/{name}")));
        nodes.insert(path, (data, stat));
    }
    nodes
}

#[tokio::test]
async fn random_histories_survive_crashes_and_snapshots() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        // Small enough that snapshots are taken and logs purged all the time.
        let options = Options { snapshot_records: 60, ..options(dir.path()) };
        let mut known: Option<(i64, Bytes)> = None;
        let mut expected = BTreeMap::new();
        for round in 0..6 {
            let server = Server::start(options.clone()).await.unwrap();
            let handle = server.handle();
            let session = match &known {
                None => handle.connect(30_000).await.unwrap(),
                Some((id, password)) => handle.reattach(30_000, *id, password).await.unwrap(),
            };
            if round > 0 {
                assert_eq!(dump(&session).await, expected, "seed {seed}, round {round}");
            }
            known = Some((session.session_id(), session.password()));
            for _ in 0..100 {
                let path = format!("/{}", random.choice(["a", "b", "a/x", "a/y", "b/x", "s-"]).unwrap());
                let version = *random.choice(&[-1, 0, 1]).unwrap();
                let request = match random.u8(..5) {
                    0 | 1 => create(&path, &[random.u8(..)], random.i32(0..4)),
                    2 => Request::Delete(PathVersion { path, version }),
                    3 => Request::SetData(SetDataRequest { path, data: None, version }),
                    _ => Request::Multi(vec![
                        create("/m", b"1", 2),
                        Request::SetData(SetDataRequest { path, data: Some(Bytes::new()), version }),
                    ]),
                };
                let answered = session.request(request).await;
                assert!(!matches!(answered, Err(ZkError::Stopped(_))), "{answered:?}");
            }
            expected = dump(&session).await;
            if random.bool() {
                server.stop().await.unwrap();
            } else {
                drop(server);
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_snapshot_falls_back_on_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { snapshot_records: 20, ..options(dir.path()) };
    let server = Server::start(options.clone()).await.unwrap();
    let session = server.handle().connect(30_000).await.unwrap();
    for number in 0..200 {
        session.request(create(&format!("/n{number}"), b"x", 0)).await.unwrap();
    }
    let expected = dump(&session).await;
    server.stop().await.unwrap();
    let mut snapshots: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("snapshot."))
        .collect();
    snapshots.sort();
    assert!((2..=3).contains(&snapshots.len()), "old snapshots are purged: {snapshots:?}");
    let newest = snapshots.last().unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    let server = Server::start(options).await.unwrap();
    let session = server.handle().connect(30_000).await.unwrap();
    assert_eq!(dump(&session).await, expected);
}

#[tokio::test]
async fn a_full_disk_stops_the_server_instead_of_answering() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("log.0000000000000001")).unwrap();
    let server = Server::start(options(dir.path())).await.unwrap();
    let Err(ZkError::Stopped(_)) = server.handle().connect(30_000).await else {
        panic!("a session that is not on disk was granted")
    };
    let Err(ZkError::Stopped(why)) = server.handle().connect(30_000).await else { panic!() };
    assert!(why.contains("cannot be written"), "{why}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_needs_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(options(dir.path())).await.unwrap();
    let session = server.handle().connect(30_000).await.unwrap();
    session.request(create("/e", b"", 1)).await.unwrap();
    let (id, password) = (session.session_id(), session.password());
    drop(server);
    let server = Server::start(options(dir.path())).await.unwrap();
    let wrong = server.handle().reattach(30_000, id, &[0; 16]).await;
    assert_eq!(wrong.err(), Some(ZkError::Refused(ErrorCode::SessionExpired)));
    let session = server.handle().reattach(30_000, id, &password).await.unwrap();
    let Ok(Reply::Data(_, stat)) = session.request(get("/e")).await else { panic!() };
    assert_eq!(stat.ephemeral_owner, id);
    session.close().await.unwrap();
    let other = server.handle().connect(30_000).await.unwrap();
    assert_eq!(other.request(get("/e")).await, Err(ZkError::Refused(ErrorCode::NoNode)));
}
