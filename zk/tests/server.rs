//! The embedded server under a real client: the `zookeeper-client` crate over TCP.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use ottla_zk::server::{Options, Server};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, CreateOptions, Error, EventType, MultiReadResult,
    MultiWriteError, SessionState,
};

const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const SEQUENTIAL: CreateOptions<'static> = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
const CONTAINER: CreateOptions<'static> = CreateMode::Container.with_acls(Acls::anyone_all());

async fn server() -> Server {
    let options = Options { tick_time_ms: 200, reap_interval_ms: 50, ..Options::default() };
    Server::start(options).await.unwrap()
}

async fn client(server: &Server) -> Client {
    Client::connect(&server.local_addr().to_string()).await.unwrap()
}

/// Waits until a check holds, or fails after ten seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_secs(10);
    while !check().await {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nodes_come_change_and_go() {
    let server = server().await;
    let client = client(&server).await;
    let (stat, _) = client.create("/a", b"one", &PERSISTENT).await.unwrap();
    assert_eq!((stat.version, stat.data_length, stat.ephemeral_owner), (0, 3, 0));
    assert_eq!(client.create("/a", b"", &PERSISTENT).await.unwrap_err(), Error::NodeExists);
    assert_eq!(client.set_data("/a", b"two", Some(1)).await.unwrap_err(), Error::BadVersion);
    let set = client.set_data("/a", b"two!", Some(0)).await.unwrap();
    let (data, read) = client.get_data("/a").await.unwrap();
    assert_eq!((data.as_slice(), read), (b"two!".as_slice(), set));
    for expected in [0, 1] {
        let (_, sequence) = client.create("/a/s-", b"", &SEQUENTIAL).await.unwrap();
        assert_eq!(sequence.into_i64(), expected);
    }
    let (names, stat) = client.get_children("/a").await.unwrap();
    assert_eq!(names, ["s-0000000000", "s-0000000001"]);
    assert_eq!((stat.cversion, stat.num_children), (2, 2));
    assert_eq!(client.delete("/a", None).await.unwrap_err(), Error::NotEmpty);
    assert_eq!(client.count_descendants_number("/a").await.unwrap(), 2);
    client.sync("/a").await.unwrap();
    assert_eq!(client.check_stat("/no").await.unwrap(), None);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn kafkas_multi_is_fenced_by_its_check() {
    let server = server().await;
    let client = client(&server).await;
    client.create("/epoch", b"1", &PERSISTENT).await.unwrap();
    client.create("/state", b"old", &PERSISTENT).await.unwrap();
    let mut writer = client.new_multi_writer();
    writer.add_check_version("/epoch", 0).unwrap();
    writer.add_set_data("/state", b"new", Some(0)).unwrap();
    writer.add_create("/me", b"", &EPHEMERAL).unwrap();
    assert_eq!(writer.commit().await.unwrap().len(), 3);
    client.set_data("/epoch", b"2", None).await.unwrap();
    let mut writer = client.new_multi_writer();
    writer.add_set_data("/state", b"stale", None).unwrap();
    writer.add_check_version("/epoch", 0).unwrap();
    let refused = writer.commit().await.unwrap_err();
    assert_eq!(refused, MultiWriteError::OperationFailed { index: 1, source: Error::BadVersion });
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/state").unwrap();
    reader.add_get_children("/nobody").unwrap();
    let results = reader.commit().await.unwrap();
    assert!(matches!(&results[0], MultiReadResult::Data { data, .. } if data == b"new"));
    assert!(matches!(results[1], MultiReadResult::Error { err: Error::NoNode }));
}

#[tokio::test]
async fn watches_reach_their_client() {
    let server = server().await;
    let (watching, acting) = (client(&server).await, client(&server).await);
    let (_, created) = watching.check_and_watch_stat("/a").await.unwrap();
    let mut below = watching.watch("/a", AddWatchMode::PersistentRecursive).await.unwrap();
    acting.create("/a", b"", &PERSISTENT).await.unwrap();
    let event = created.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/a"));
    let (_, _, children) = watching.get_and_watch_children("/a").await.unwrap();
    let (stat, _) = acting.create("/a/b", b"", &PERSISTENT).await.unwrap();
    assert_eq!(children.changed().await.event_type, EventType::NodeChildrenChanged);
    acting.set_data("/a/b", b"x", None).await.unwrap();
    acting.delete("/a/b", None).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..4 {
        let event = below.changed().await;
        heard.push((event.event_type, event.path, event.zxid - stat.czxid));
    }
    let expected = [
        (EventType::NodeCreated, "/a".to_owned(), -1),
        (EventType::NodeCreated, "/a/b".into(), 0),
        (EventType::NodeDataChanged, "/a/b".into(), 1),
        (EventType::NodeDeleted, "/a/b".into(), 2),
    ];
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_silent_session_expires_and_its_ephemerals_go() {
    let server = server().await;
    let watching = client(&server).await;
    // A detached client leaves its session behind when it is dropped.
    let address = server.local_addr().to_string();
    let connector = Client::connector().with_detached().with_session_timeout(Duration::from_millis(600));
    let silent = connector.connect(&address).await.unwrap();
    silent.create("/e", b"", &EPHEMERAL).await.unwrap();
    let (_, stat, gone) = watching.get_and_watch_data("/e").await.unwrap();
    assert_eq!(stat.ephemeral_owner, silent.session_id().0);
    let begin = Instant::now();
    drop(silent);
    assert_eq!(gone.changed().await.event_type, EventType::NodeDeleted);
    let took = begin.elapsed();
    assert!((400..3000).contains(&took.as_millis()), "expired after {took:?}");
}

#[tokio::test]
async fn closing_a_session_ends_it_at_once() {
    let server = server().await;
    let (first, second) = (client(&server).await, client(&server).await);
    first.create("/e", b"", &EPHEMERAL).await.unwrap();
    assert_eq!(first.list_ephemerals("/").await.unwrap(), ["/e"]);
    let (_, _, gone) = second.get_and_watch_data("/e").await.unwrap();
    drop(first);
    let event = tokio::time::timeout(Duration::from_secs(2), gone.changed()).await.unwrap();
    assert_eq!(event.event_type, EventType::NodeDeleted);
}

#[tokio::test]
async fn a_session_survives_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options { data_dir: Some(dir.path().into()), tick_time_ms: 1000, ..Options::default() };
    let first = Server::start(options.clone()).await.unwrap();
    options.listen = first.local_addr();
    let client = client(&first).await;
    client.create("/e", b"mine", &EPHEMERAL).await.unwrap();
    let (_, _, changed) = client.get_and_watch_data("/e").await.unwrap();
    drop(first);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = Server::start(options).await.unwrap();
    eventually("the client is back", || async { client.get_data("/e").await.is_ok() }).await;
    let (_, stat) = client.get_data("/e").await.unwrap();
    assert_eq!(stat.ephemeral_owner, client.session_id().0);
    assert_eq!(client.state(), SessionState::SyncConnected);
    client.set_data("/e", b"still", None).await.unwrap();
    assert_eq!(changed.changed().await.event_type, EventType::NodeDataChanged);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn another_connection_takes_a_session_over() {
    let server = server().await;
    let address = server.local_addr().to_string();
    let first = Client::connector().with_detached().connect(&address).await.unwrap();
    first.create("/e", b"", &EPHEMERAL).await.unwrap();
    // Without its client the session stays; two clients would take it from each other for ever.
    let session = first.into_session();
    let second = Client::connector().with_session(session.clone()).connect(&address).await.unwrap();
    assert_eq!(second.session_id(), session.id());
    let (_, stat) = second.get_data("/e").await.unwrap();
    assert_eq!(stat.ephemeral_owner, session.id().0);
}

#[tokio::test]
async fn lists_protect_their_nodes() {
    let server = server().await;
    let (owner, stranger) = (client(&server).await, client(&server).await);
    owner.auth("digest", b"kafka:secret").await.unwrap();
    let private = CreateMode::Persistent.with_acls(Acls::creator_all());
    owner.create("/p", b"x", &private).await.unwrap();
    assert_eq!(stranger.get_data("/p").await.unwrap_err(), Error::NoAuth);
    assert_eq!(stranger.create("/q", b"", &private).await.unwrap_err(), Error::InvalidAcl);
    let (acls, stat) = owner.get_acl("/p").await.unwrap();
    assert_eq!((acls.len(), acls[0].scheme(), stat.aversion), (1, "digest", 0));
    stranger.auth("digest", b"kafka:secret").await.unwrap();
    assert_eq!(stranger.get_data("/p").await.unwrap().0, b"x");
    let users = stranger.list_auth_users().await.unwrap();
    assert!(users.iter().any(|user| (user.scheme(), user.user()) == ("digest", "kafka")));
}

#[tokio::test]
async fn containers_and_ttl_nodes_are_reaped() {
    let server = server().await;
    let client = client(&server).await;
    client.create("/c", b"", &CONTAINER).await.unwrap();
    client.create("/c/x", b"", &PERSISTENT).await.unwrap();
    client.create("/t", b"", &PERSISTENT.with_ttl(Duration::from_millis(100))).await.unwrap();
    eventually("the TTL node is gone", || async { client.check_stat("/t").await.unwrap().is_none() }).await;
    assert!(client.check_stat("/c").await.unwrap().is_some());
    client.delete("/c/x", None).await.unwrap();
    eventually("the container is gone", || async { client.check_stat("/c").await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn pipelined_requests_are_done_in_order() {
    let server = server().await;
    let client = client(&server).await;
    client.create("/n", b"", &PERSISTENT).await.unwrap();
    let mut answers = Vec::new();
    for number in 0..2000_i32 {
        answers.push(client.set_data("/n", &number.to_be_bytes(), Some(number)));
    }
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().version, number as i32 + 1);
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused() {
    let options = Options { max_client_connections: 1, ..Options::default() };
    let server = Server::start(options).await.unwrap();
    let first = client(&server).await;
    let address = server.local_addr().to_string();
    let connector = Client::connector().with_fail_eagerly().with_connection_timeout(Duration::from_secs(1));
    assert!(connector.connect(&address).await.is_err());
    first.create("/a", b"", &PERSISTENT).await.unwrap();
}

#[tokio::test]
async fn it_listens_on_loopback_unless_told_otherwise() {
    let SocketAddr::V4(address) = server().await.local_addr() else { panic!() };
    assert!(address.ip().is_loopback());
}
