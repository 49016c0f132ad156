//! One story of the store's semantics, written down as text, so that two servers can be compared line by line.
//!
//! Transaction ids, times and session ids differ between servers: only their relations are written.

use std::time::Duration;

use bytes::Bytes;
use ottla_zk::server::LocalHandle;
use ottla_zk::store::{
    ChangeKind, Children, CreateMode, Event, Events, Local, MultiError, Op, OpResult, Remote, SessionEvent,
    Store, StoreError, WatchRoot, create_recursive, delete_recursive,
};

use crate::servers::session;

/// What happened, line by line.
#[derive(Default)]
pub struct Transcript(pub Vec<String>);

impl Transcript {
    fn note(&mut self, what: &str, outcome: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {outcome:?}"));
    }
}

/// An error without server's wording.
fn kind(error: &StoreError) -> String {
    match error {
        StoreError::Other { path, .. } => format!("Other({path})"),
        StoreError::ConnectionLoss { path, .. } => format!("ConnectionLoss({path})"),
        error => format!("{error:?}"),
    }
}

fn told<T, U: std::fmt::Debug>(result: Result<T, StoreError>, tell: impl FnOnce(T) -> U) -> String {
    match result {
        Ok(value) => format!("{:?}", tell(value)),
        Err(error) => kind(&error),
    }
}

fn told_multi(result: Result<Vec<OpResult>, MultiError>) -> String {
    match result {
        Ok(results) => {
            let tell = |result: &OpResult| match result {
                OpResult::Set { stat } => format!("set to {}", stat.version),
                other => format!("{other:?}"),
            };
            results.iter().map(tell).collect::<Vec<_>>().join(", ")
        }
        Err(failed) => format!("failed at {:?} with {}", failed.index, kind(&failed.error)),
    }
}

fn sorted(children: Children) -> (Vec<String>, i32, i32) {
    let mut names = children.names;
    names.sort();
    (names, children.stat.cversion, children.stat.num_children)
}

fn create(path: &str, data: &'static [u8], mode: CreateMode) -> Op {
    Op::Create { path: path.into(), data: Bytes::from_static(data), mode }
}

fn set(path: &str, data: &'static [u8], version: Option<i32>) -> Op {
    Op::Set { path: path.into(), data: Bytes::from_static(data), version }
}

fn check(path: &str, version: i32) -> Op {
    Op::Check { path: path.into(), version }
}

fn delete(path: &str) -> Op {
    Op::Delete { path: path.into(), version: None }
}

/// How sessions are opened.
pub enum Door {
    /// Over TCP, below a chroot.
    Tcp { port: u16, chroot: String },
    /// In the server's process.
    Local(LocalHandle),
}

/// An open session.
enum Session {
    Tcp(Remote),
    Local(Local),
}

impl Session {
    fn store(&self) -> &dyn Store {
        match self {
            Session::Tcp(store) => store,
            Session::Local(store) => store,
        }
    }

    async fn close(&self) {
        match self {
            Session::Tcp(store) => store.close(Duration::from_secs(5)).await,
            Session::Local(store) => store.close().await,
        }
    }
}

impl Door {
    async fn open(&self) -> Session {
        match self {
            Door::Tcp { port, chroot } => Session::Tcp(session(*port, chroot, Duration::from_secs(6)).await),
            Door::Local(server) => Session::Local(Local::connect(server, 6_000).await.unwrap()),
        }
    }
}

/// The whole story.
pub async fn tell(door: &Door) -> Vec<String> {
    let mut transcript = Transcript::default();
    let open = door.open().await;
    let store = open.store();
    nodes(store, &mut transcript).await;
    sequences_and_ephemerals(store, &mut transcript).await;
    multis(store, &mut transcript).await;
    sizes(store, &mut transcript).await;
    watches(store, &mut transcript).await;
    owners(door, store, &mut transcript).await;
    transcript.note("swept", told(delete_recursive(store, "/a").await, |existed| existed));
    for ephemeral in ["/m/c", "/m/r"] {
        transcript.note("sweep", told(store.delete(ephemeral, None).await, |()| ()));
    }
    kept(store, &mut transcript).await;
    open.close().await;
    transcript.note("after close", told(store.get("/a").await, |_| ()));
    transcript.0
}

/// The line of the story that a crash must not change.
pub async fn what_was_kept(door: &Door) -> String {
    let mut transcript = Transcript::default();
    let open = door.open().await;
    kept(open.store(), &mut transcript).await;
    open.close().await;
    transcript.0.remove(0)
}

async fn kept(store: &dyn Store, transcript: &mut Transcript) {
    let node = store.get("/m").await.unwrap().unwrap();
    transcript.note("kept", (node.data, node.stat.version, node.stat.cversion));
}

async fn nodes(store: &dyn Store, transcript: &mut Transcript) {
    let persistent = CreateMode::Persistent;
    transcript.note("get none", told(store.get("/a").await, |node| node.is_none()));
    transcript.note("children of none", told(store.children("/a").await, sorted));
    transcript.note(
        "create",
        told(store.create("/a", b"one", persistent).await, |made| (made.path, made.stat.version)),
    );
    transcript.note("create again", told(store.create("/a", b"x", persistent).await, |made| made.path));
    transcript.note("no parent", told(store.create("/b/c", b"x", persistent).await, |made| made.path));
    for bad in ["a", "", "/a/", "/a//b", "/a/./b", "/a/../b", "/a/b\u{0}"] {
        let made = told(store.create(bad, b"x", persistent).await, |made| made.path);
        transcript.note("bad path", (bad, made));
    }
    let read = |node: Option<ottla_zk::store::Node>| {
        node.map(|node| (node.data, node.stat.version, node.stat.data_length))
    };
    transcript.note("get", told(store.get("/a").await, read));
    transcript.note(
        "set any",
        told(store.set("/a", b"two", None).await, |stat| (stat.version, stat.mzxid > stat.czxid)),
    );
    transcript
        .note("set at 1", told(store.set("/a", b"", Some(1)).await, |stat| (stat.version, stat.data_length)));
    transcript.note("set at 1 again", told(store.set("/a", b"x", Some(1)).await, |stat| stat.version));
    transcript.note("set none", told(store.set("/none", b"x", None).await, |stat| stat.version));
    transcript.note("get empty", told(store.get("/a").await, read));
    transcript.note("recursive", told(create_recursive(store, "/a/b/c/d", b"deep").await, |made| made.path));
    transcript
        .note("recursive again", told(create_recursive(store, "/a/b/c/d", b"x").await, |made| made.path));
    transcript.note("children", told(store.children("/a").await, sorted));
    transcript.note("delete full", told(store.delete("/a/b", None).await, |()| ()));
    transcript.note("delete wrong", told(store.delete("/a/b/c/d", Some(7)).await, |()| ()));
    transcript.note("delete", told(store.delete("/a/b/c/d", Some(0)).await, |()| ()));
    transcript.note("delete none", told(store.delete("/a/b/c/d", None).await, |()| ()));
    transcript.note(
        "exists",
        told(store.exists("/a/b/c").await, |stat| stat.map(|stat| (stat.cversion, stat.num_children))),
    );
    let many: Vec<String> = ["/a", "/none", "/a/b", "/a/b/c"].map(str::to_owned).to_vec();
    transcript.note(
        "many",
        told(store.get_many(&many).await, |nodes| nodes.iter().map(Option::is_some).collect::<Vec<_>>()),
    );
    transcript.note("sync", told(store.sync().await, |()| ()));
}

async fn sequences_and_ephemerals(store: &dyn Store, transcript: &mut Transcript) {
    for _ in 0..3 {
        let made = store.create("/a/seq_", b"", CreateMode::PersistentSequential).await;
        transcript.note("sequential", told(made, |made| made.path));
    }
    // The counter is the parent's number of child changes: deletions do not take it back.
    transcript.note("delete one", told(store.delete("/a/seq_0000000002", None).await, |()| ()));
    let made = store.create("/a/other_", b"", CreateMode::PersistentSequential).await;
    transcript.note("sequential after a deletion", told(made, |made| made.path));
    let mine = store.session_id();
    let made = store.create("/a/e", b"e", CreateMode::Ephemeral).await;
    transcript.note("ephemeral", told(made, |made| made.stat.ephemeral_owner == mine));
    transcript.note(
        "child of it",
        told(store.create("/a/e/x", b"", CreateMode::Persistent).await, |made| made.path),
    );
    transcript.note(
        "persistent has no owner",
        told(store.exists("/a").await, |stat| stat.map(|stat| stat.ephemeral_owner)),
    );
}

async fn multis(store: &dyn Store, transcript: &mut Transcript) {
    let persistent = CreateMode::Persistent;
    let ephemeral = CreateMode::Ephemeral;
    let stories: Vec<(&str, Vec<Op>)> = vec![
        (
            "all",
            vec![
                create("/m", b"0", persistent),
                create("/m/c", b"", persistent),
                set("/m", b"1", Some(0)),
                check("/m", 1),
            ],
        ),
        ("exists", vec![set("/m", b"2", None), create("/m/c", b"", persistent), delete("/m/c")]),
        ("bad version", vec![check("/m", 7), set("/m", b"2", None)]),
        ("bad version later", vec![set("/m", b"2", Some(1)), set("/m", b"3", Some(1))]),
        (
            "sees itself",
            vec![
                set("/m", b"2", Some(1)),
                set("/m", b"3", Some(2)),
                delete("/m/c"),
                create("/m/c", b"", ephemeral),
            ],
        ),
        ("check none", vec![check("/none", 0)]),
        ("delete full", vec![delete("/m")]),
        ("no parent", vec![create("/none/x", b"", persistent)]),
        ("below an ephemeral", vec![create("/m/c/d", b"", persistent)]),
        (
            "sequential",
            vec![
                create("/m/s_", b"", CreateMode::PersistentSequential),
                create("/m/s_", b"", CreateMode::PersistentSequential),
            ],
        ),
        (
            "rolled back",
            vec![create("/m/new", b"", persistent), check("/m/new", 0), delete("/m/new"), check("/m", 9)],
        ),
        ("nothing", vec![]),
    ];
    for (name, ops) in stories {
        transcript.note(name, told_multi(store.multi(ops).await));
        let node = store.get("/m").await.unwrap().unwrap();
        transcript.note("then", (node.data, node.stat.version, node.stat.num_children));
    }
    // What a create inside a multi cannot tell, a set after it does.
    let results =
        store.multi(vec![create("/m/r", b"", ephemeral), set("/m/r", b"reg", Some(0))]).await.unwrap();
    let OpResult::Set { stat } = &results[1] else { panic!("{results:?}") };
    let found = store.exists("/m/r").await.unwrap().unwrap();
    transcript
        .note("epoch", (stat.czxid == found.czxid, stat.czxid == stat.mzxid, stat.version, stat.czxid > 0));
}

async fn sizes(store: &dyn Store, transcript: &mut Transcript) {
    let big = vec![b'x'; 1_000_000];
    transcript.note(
        "a million bytes",
        told(store.create("/big", &big, CreateMode::Persistent).await, |made| made.stat.data_length),
    );
    transcript.note("read back", told(store.get("/big").await, |node| node.map(|node| node.data.len())));
    let huge = vec![b'x'; 2_000_000];
    transcript.note("too large", told(store.set("/big", &huge, None).await, |stat| stat.version));
    transcript.note("still there", told(store.delete("/big", Some(0)).await, |()| ()));
}

/// Changes until a sentinel node is made, sorted per path order of arrival.
async fn changes(store: &dyn Store, events: &mut Events, sentinel: &str) -> Vec<(String, ChangeKind)> {
    store.create(sentinel, b"", CreateMode::Persistent).await.unwrap();
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(10), events.next())
            .await
            .expect("an event")
            .expect("open")
        {
            Event::Changed { path, .. } if path == sentinel => return seen,
            Event::Changed { path, kind } => seen.push((path, kind)),
            Event::Session(_) => {}
        }
    }
}

async fn watches(store: &dyn Store, transcript: &mut Transcript) {
    let mut tree = store.watch(&[WatchRoot::tree("/w", 2)]).await.unwrap();
    let first = tree.next().await;
    transcript.note("first event", matches!(first, Some(Event::Session(SessionEvent::Connected { .. }))));
    let again = store.watch(&[WatchRoot::node("/w")]).await;
    transcript.note("both modes", told(again, |_| ()));
    for (path, data) in [("/w", "0"), ("/w/a", "1"), ("/w/a/b", "2"), ("/w/a/b/c", "3")] {
        store.create(path, data.as_bytes(), CreateMode::Persistent).await.unwrap();
    }
    store.set("/w/a", b"4", None).await.unwrap();
    store.set("/w/a/b/c", b"5", None).await.unwrap();
    store
        .multi(vec![set("/w", b"6", None), set("/w", b"7", None), create("/w/e", b"", CreateMode::Ephemeral)])
        .await
        .unwrap();
    delete_recursive(store, "/w/a").await.unwrap();
    store.get("/w").await.unwrap();
    transcript.note("tree", changes(store, &mut tree, "/w/end").await);
    drop(tree);
    let mut node = store.watch(&[WatchRoot::node("/n"), WatchRoot::node("/end")]).await.unwrap();
    store.create("/n", b"", CreateMode::Persistent).await.unwrap();
    store.create("/n/c", b"", CreateMode::Persistent).await.unwrap();
    store.set("/n/c", b"", None).await.unwrap();
    store.set("/n", b"", None).await.unwrap();
    store.delete("/n/c", None).await.unwrap();
    store.delete("/n", None).await.unwrap();
    store.create("/n", b"", CreateMode::Persistent).await.unwrap();
    // Two roots have no order between them: give the first a moment before the sentinel.
    tokio::time::sleep(Duration::from_millis(200)).await;
    transcript.note("node", changes(store, &mut node, "/end").await);
}

async fn owners(door: &Door, store: &dyn Store, transcript: &mut Transcript) {
    let mut events = store.watch(&[WatchRoot::tree("/o", 1)]).await.unwrap();
    store.create("/o", b"", CreateMode::Persistent).await.unwrap();
    let other = door.open().await;
    let mine = other.store().session_id();
    let made = other.store().create("/o/e", b"", CreateMode::Ephemeral).await.unwrap();
    transcript.note("owner", (made.stat.ephemeral_owner == mine, mine != store.session_id()));
    other.close().await;
    transcript.note("gone with its session", told(store.exists("/o/e").await, |stat| stat.is_none()));
    transcript.note("and told", changes(store, &mut events, "/o/end").await);
}
