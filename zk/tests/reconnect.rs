//! What the store promises its owners when the connection breaks: every change is seen, the session is kept where the
//! server keeps it, and expiry is told once and heals.

#![expect(clippy::unwrap_used, reason = "a test says what it expected by panicking")]

#[path = "conformance/proxy.rs"]
mod proxy;
#[path = "conformance/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_zk::store::{
    CreateMode, Event, Events, Op, SessionEvent, Store, WatchRoot, create_recursive, join_all, retry, split,
};
use proxy::{Mode, Proxy};
use servers::{AnyServer, session};

const ROOT: &str = "/brokers/topics";
const TOPICS: usize = 20_000;
const CYCLES: usize = 5;

/// 65 bytes, as long as a topic's path may well be.
fn path(topic: usize) -> String {
    let path = format!("{ROOT}/{topic:0>49}");
    assert_eq!(path.len(), 65);
    path
}

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(Duration::from_secs(20), events.next())
        .await
        .expect("an event in time")
        .expect("open")
}

/// Waits for a session event of this kind; gives the session events that came before it.
async fn until(events: &mut Events, wanted: impl Fn(SessionEvent) -> bool) -> Vec<SessionEvent> {
    let mut before = Vec::new();
    loop {
        if let Event::Session(event) = next(events).await {
            if wanted(event) {
                return before;
            }
            before.push(event);
        }
    }
}

async fn create_topics(store: &dyn Store) {
    create_recursive(store, ROOT, b"").await.unwrap();
    let create = |topic| Op::Create {
        path: path(topic),
        data: Bytes::from_static(b"0"),
        mode: CreateMode::Persistent,
    };
    let multis = split(None, (0..TOPICS).map(create).collect(), 50_000);
    for result in join_all(multis.into_iter().map(|ops| store.multi(ops)).collect()).await {
        result.unwrap();
    }
}

/// An owner's picture of all topics, kept as the contract demands.
struct Mirror {
    topics: BTreeMap<String, Bytes>,
    rereads: usize,
    slowest: Duration,
}

impl Mirror {
    async fn read_all(&mut self, store: &dyn Store) {
        let started = Instant::now();
        let children = retry::read(|| store.children(ROOT)).await.unwrap();
        let paths: Vec<String> = children.names.iter().map(|name| format!("{ROOT}/{name}")).collect();
        let nodes = retry::read(|| store.get_many(&paths)).await.unwrap();
        self.topics =
            paths.into_iter().zip(nodes).filter_map(|(path, node)| Some((path, node?.data))).collect();
        self.rereads += 1;
        self.slowest = self.slowest.max(started.elapsed());
    }

    async fn on(&mut self, store: &dyn Store, event: Event) {
        match event {
            Event::Session(SessionEvent::Connected { .. } | SessionEvent::Reconnected) => {
                self.read_all(store).await
            }
            Event::Session(_) => {}
            Event::Changed { path, .. } if path == ROOT => {}
            Event::Changed { path, .. } => match retry::read(|| store.get(&path)).await.unwrap() {
                Some(node) => {
                    self.topics.insert(path, node.data);
                }
                None => {
                    self.topics.remove(&path);
                }
            },
        }
    }
}

/// Changes, deletes and creates topics, and gives what they are then.
async fn disturb(store: &dyn Store, truth: &mut BTreeMap<String, Bytes>, round: usize) {
    for step in 0..60 {
        let path = path(fastrand::usize(..TOPICS));
        let data = Bytes::from(format!("{round}-{step}"));
        if !truth.contains_key(&path) {
            retry::create(store, &path, &data, CreateMode::Persistent).await.unwrap();
        } else if step % 5 == 0 {
            retry::delete(store, &path, None).await.unwrap();
            truth.remove(&path);
            continue;
        } else {
            retry::read(|| store.set(&path, &data, None)).await.unwrap();
        }
        truth.insert(path, data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_over_five_crashes_of_the_server() {
    let seed = fastrand::u64(..);
    fastrand::seed(seed);
    println!("seed {seed}");
    for server in AnyServer::all().await {
        crash_and_follow(server).await;
    }
}

async fn crash_and_follow(mut server: AnyServer) {
    let owner = session(server.port(), "", Duration::from_secs(10)).await;
    let writer = session(server.port(), "", Duration::from_secs(10)).await;
    create_topics(&writer).await;
    let mut truth: BTreeMap<String, Bytes> =
        (0..TOPICS).map(|topic| (path(topic), Bytes::from_static(b"0"))).collect();
    let mut events = owner.watch(&[WatchRoot::tree(ROOT, 1)]).await.unwrap();
    let mut mirror = Mirror { topics: BTreeMap::new(), rereads: 0, slowest: Duration::ZERO };
    let session_id = owner.session_id();
    for cycle in 0..CYCLES {
        server.kill();
        // The writer's first changes are asked for while the server is down: they race with the owner's return.
        let (restarted, ()) = tokio::join!(server.restart(), disturb(&writer, &mut truth, cycle));
        server = restarted;
        until_equal(&owner, &mut events, &mut mirror, &truth).await;
        disturb(&writer, &mut truth, cycle + 100).await;
        until_equal(&owner, &mut events, &mut mirror, &truth).await;
    }
    assert_eq!(owner.session_id(), session_id, "the session outlives its server");
    assert!(mirror.rereads > CYCLES, "every break is told");
    let (name, rereads, slowest) = (server.name(), mirror.rereads, mirror.slowest);
    println!("{name}: {rereads} re-reads of {TOPICS} topics, the slowest {slowest:?}");
}

/// Follows events until the picture is the truth; fails if it does not get there.
async fn until_equal(
    store: &dyn Store,
    events: &mut Events,
    mirror: &mut Mirror,
    truth: &BTreeMap<String, Bytes>,
) {
    while mirror.topics != *truth {
        let event = tokio::time::timeout(Duration::from_secs(15), events.next()).await;
        let event = event.unwrap_or_else(|_| {
            let missed = truth.iter().filter(|(path, data)| mirror.topics.get(*path) != Some(data)).count();
            panic!("{missed} changes were never told")
        });
        mirror.on(store, event.expect("open")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_the_client_gave_up_is_taken_up_again() {
    for server in AnyServer::all().await {
        give_up_and_take_up(server).await;
    }
}

async fn give_up_and_take_up(mut server: AnyServer) {
    let store = session(server.port(), "", Duration::from_secs(2)).await;
    let session_id = store.session_id();
    store.create("/e", b"", CreateMode::Ephemeral).await.unwrap();
    let mut events = store.watch(&[WatchRoot::node("/n")]).await.unwrap();
    server.kill();
    // The crate gives a session up after 1.4 x its timeout; a stopped server does not count the time.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let _server = server.restart().await;
    let before = until(&mut events, |event| event == SessionEvent::Reconnected).await;
    assert!(!before.contains(&SessionEvent::Expired), "{before:?}");
    assert_eq!(store.session_id(), session_id);
    assert_eq!(store.exists("/e").await.unwrap().unwrap().ephemeral_owner, session_id);
    store.create("/n", b"", CreateMode::Persistent).await.unwrap();
    while !matches!(next(&mut events).await, Event::Changed { path, .. } if path == "/n") {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_is_told_and_a_new_session_follows() {
    for server in AnyServer::all().await {
        expire(server).await;
    }
}

async fn expire(server: AnyServer) {
    let proxy = Proxy::to(server.port()).await;
    let store = session(proxy.port, "/chroot", Duration::from_secs(1)).await;
    let witness = session(server.port(), "/chroot", Duration::from_secs(10)).await;
    let old = store.session_id();
    store.create("/e", b"", CreateMode::Ephemeral).await.unwrap();
    let mut events = store.watch(&[WatchRoot::tree("/", 1)]).await.unwrap();
    proxy.set(Mode::Cut);
    while witness.exists("/e").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    proxy.set(Mode::Pass);
    let before = until(&mut events, |event| event == SessionEvent::Expired).await;
    assert!(before.contains(&SessionEvent::Disconnected), "{before:?}");
    let mut fresh = 0;
    while fresh == 0 {
        if let Event::Session(SessionEvent::Connected { session_id }) = next(&mut events).await {
            fresh = session_id;
        }
    }
    assert_ne!(fresh, old);
    assert_eq!(store.session_id(), fresh);
    witness.create("/n", b"", CreateMode::Persistent).await.unwrap();
    while !matches!(next(&mut events).await, Event::Changed { path, .. } if path == "/n") {}
    assert!(store.create("/e", b"", CreateMode::Ephemeral).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_done_once() {
    for server in AnyServer::all().await {
        lose_answers(server).await;
    }
}

async fn lose_answers(server: AnyServer) {
    let proxy = Proxy::to(server.port()).await;
    let store = session(proxy.port, "", Duration::from_secs(6)).await;
    store.create("/n", b"0", CreateMode::Persistent).await.unwrap();
    let mute = Duration::from_millis(300);
    let (set, ()) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            retry::set(&store, "/n", b"1", 0).await
        },
        proxy.lose(Mode::Mute, mute)
    );
    assert_eq!(set.unwrap().version, 1);
    assert_eq!(store.get("/n").await.unwrap().unwrap().stat.version, 1);
    let (made, ()) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            retry::create(&store, "/e", b"mine", CreateMode::Ephemeral).await
        },
        proxy.lose(Mode::Mute, mute)
    );
    assert_eq!(made.unwrap().stat.ephemeral_owner, store.session_id());
    let (gone, ()) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            retry::delete(&store, "/n", Some(1)).await
        },
        proxy.lose(Mode::Mute, mute)
    );
    assert_eq!(gone, Ok(()));
    assert_eq!(store.get("/n").await.unwrap(), None);
}

#[tokio::test]
async fn nobody_at_home_is_said_clearly_and_in_time() {
    let mut options = ottla_zk::store::Options::new(format!("127.0.0.1:{}/kafka", servers::free_port()));
    options.connection_timeout = Duration::from_millis(1_500);
    let started = Instant::now();
    let error = ottla_zk::store::Remote::connect(options).await.err().expect("nobody is there").to_string();
    assert!(started.elapsed() < Duration::from_secs(4));
    for word in ["127.0.0.1", "1500 ms", "zookeeper.connect"] {
        assert!(error.contains(word), "{error}");
    }
}
