//! The tree's semantics, against what ZooKeeper 3.9 does.

use super::*;
use crate::jute::{
    AddWatchRequest, CreateRequest, CreateTtlRequest, EventType, Field, OpResult, PathVersion, PathWatch,
    Reader, Reply, Request, SetAclRequest, SetDataRequest, SetWatchesRequest, WatcherKindRequest, Writer,
    perms,
};
use bytes::Bytes;

const ALICE: i64 = 11;
const BOB: i64 = 12;

/// A tree with two sessions, what it logged, and what its watchers heard.
struct Bench {
    tree: Tree,
    now_ms: i64,
    log: Vec<Record>,
    heard: Vec<Fired>,
    identities: Vec<Id>,
}

impl Bench {
    fn new() -> Bench {
        let mut tree = Tree::new(Limits::default());
        let log = [ALICE, BOB].map(|id| tree.open_session(id, 6000, [id as u8; 16], 1000));
        Bench { tree, now_ms: 1000, log: log.into(), heard: Vec::new(), identities: Vec::new() }
    }

    fn ask(&mut self, session: i64, request: Request) -> Result<Reply, ErrorCode> {
        self.now_ms += 1;
        let caller = Caller { session, watcher: WatcherId(session as u64), identities: &self.identities };
        let mut fired = Vec::new();
        let result = if request.is_write() {
            let outcome = self.tree.write(&caller, self.now_ms, &request, &mut fired);
            self.log.extend(outcome.record);
            outcome.result
        } else {
            self.tree.read(&caller, &request, &mut fired)
        };
        self.heard.extend(fired);
        result
    }

    fn create(&mut self, path: &str, flags: i32) -> Result<String, ErrorCode> {
        match self.ask(ALICE, create(path, flags))? {
            Reply::Path(path) => Ok(path),
            other => panic!("{other:?}"),
        }
    }

    fn stat(&self, path: &str) -> Stat {
        self.tree.stat(path).unwrap()
    }

    /// What was heard since the last call: who, what, where.
    fn events(&mut self) -> Vec<(i64, EventType, String)> {
        let heard = std::mem::take(&mut self.heard);
        heard.into_iter().map(|f| (f.watcher.0 as i64, f.event.event, f.event.path)).collect()
    }
}

fn create_request(path: &str, flags: i32) -> CreateRequest {
    CreateRequest { path: path.into(), data: Some(Bytes::from_static(b"x")), acl: vec![Acl::open()], flags }
}

fn create(path: &str, flags: i32) -> Request {
    Request::Create(create_request(path, flags))
}

fn set(path: &str, version: i32) -> Request {
    Request::SetData(SetDataRequest { path: path.into(), data: Some(Bytes::from_static(b"yy")), version })
}

fn delete(path: &str, version: i32) -> Request {
    Request::Delete(PathVersion { path: path.into(), version })
}

fn check(path: &str, version: i32) -> Request {
    Request::Check(PathVersion { path: path.into(), version })
}

fn watched(path: &str) -> PathWatch {
    PathWatch { path: path.into(), watch: true }
}

fn image(tree: &Tree) -> Vec<u8> {
    let mut writer = Writer::new();
    tree.write_image(&mut writer);
    writer.into_bytes()
}

#[test]
fn a_new_tree_is_zookeepers() {
    let bench = Bench::new();
    let root = bench.stat("/");
    assert_eq!((root.czxid, root.cversion, root.num_children), (0, -1, 1));
    assert_eq!(bench.stat("/zookeeper").cversion, -2);
    assert_eq!(bench.stat("/zookeeper/config").aversion, -1);
    assert_eq!(bench.tree.node_count(), 4);
}

#[test]
fn stats_count_as_zookeepers_do() {
    let mut bench = Bench::new();
    bench.create("/a", 0).unwrap();
    bench.create("/a/b", 0).unwrap();
    bench.create("/a/c", 0).unwrap();
    bench.ask(ALICE, delete("/a/b", 0)).unwrap();
    let before = bench.stat("/a");
    assert_eq!((before.czxid, before.mzxid, before.pzxid), (3, 3, 6));
    assert_eq!((before.cversion, before.version, before.num_children), (3, 0, 1));
    bench.ask(ALICE, set("/a", 0)).unwrap();
    let after = bench.stat("/a");
    assert_eq!((after.mzxid, after.pzxid, after.version, after.data_length), (7, 6, 1, 2));
    assert_eq!((after.ctime, after.mtime), (1001, 1005));
    let acl = vec![Acl { perms: perms::READ | perms::ADMIN, ..Acl::open() }];
    let set_acl = Request::SetAcl(SetAclRequest { path: "/a".into(), acl, version: 0 });
    let Ok(Reply::Stat(stat)) = bench.ask(ALICE, set_acl) else { panic!() };
    assert_eq!((stat.aversion, stat.mzxid, stat.version), (1, 7, 1));
    assert_eq!(bench.ask(ALICE, set("/a", -1)), Err(ErrorCode::NoAuth));
}

#[test]
fn sequence_numbers_follow_creations_only() {
    let mut bench = Bench::new();
    bench.create("/q", 0).unwrap();
    assert_eq!(bench.create("/q/n-", 2).unwrap(), "/q/n-0000000000");
    bench.create("/q/other", 0).unwrap();
    assert_eq!(bench.create("/q/n-", 3).unwrap(), "/q/n-0000000002");
    bench.ask(ALICE, delete("/q/other", -1)).unwrap();
    assert_eq!(bench.create("/q/", 2).unwrap(), "/q/0000000003");
    // A create that fails inside a multi gives its number back.
    let multi = Request::Multi(vec![create("/q/m-", 2), create("/q/m-", 2), delete("/no", -1)]);
    bench.ask(ALICE, multi).unwrap();
    assert_eq!(bench.create("/q/n-", 2).unwrap(), "/q/n-0000000004");
}

#[test]
fn errors_come_in_zookeepers_order() {
    let mut bench = Bench::new();
    bench.create("/a", 0).unwrap();
    bench.create("/e", 1).unwrap();
    assert_eq!(bench.stat("/e").ephemeral_owner, ALICE);
    let cases = [
        (create("/a", 0), ErrorCode::NodeExists),
        (create("/", 0), ErrorCode::NodeExists),
        (create("/e/x", 0), ErrorCode::NoChildrenForEphemerals),
        (create("/no/x", 0), ErrorCode::NoNode),
        (create("a", 0), ErrorCode::BadArguments),
        (create("/a/", 0), ErrorCode::BadArguments),
        (create("/a//b", 0), ErrorCode::NoNode),
        (create("/a/..", 0), ErrorCode::BadArguments),
        (create("/x", 7), ErrorCode::BadArguments),
        (create("/x", 5), ErrorCode::BadArguments),
        (Request::Create(CreateRequest { acl: vec![], ..create_request("/no/x", 0) }), ErrorCode::InvalidAcl),
        (delete("/", -1), ErrorCode::BadArguments),
        (delete("/zookeeper", -1), ErrorCode::BadArguments),
        (delete("/no", -1), ErrorCode::NoNode),
        (delete("/a", 1), ErrorCode::BadVersion),
        (set("/a", 1), ErrorCode::BadVersion),
        (set("/no", -1), ErrorCode::NoNode),
        (set("a", -1), ErrorCode::BadArguments),
        (Request::GetData(watched("/no")), ErrorCode::NoNode),
    ];
    let zxid = bench.tree.last_zxid();
    for (request, error) in cases {
        assert_eq!(bench.ask(ALICE, request.clone()), Err(error), "{request:?}");
    }
    bench.create("/a/b", 0).unwrap();
    assert_eq!(bench.ask(ALICE, delete("/a", -1)), Err(ErrorCode::NotEmpty));
    assert_eq!(bench.ask(99, set("/a", -1)), Err(ErrorCode::SessionExpired));
    assert_eq!(bench.tree.last_zxid(), zxid + 1, "refused writes use no number");
}

#[test]
fn a_multi_is_all_or_nothing() {
    let mut bench = Bench::new();
    bench.create("/a", 0).unwrap();
    bench.create("/a/old", 1).unwrap();
    let before = image(&bench.tree);
    let bytes = bench.tree.approximate_data_bytes();
    let ops = vec![
        check("/a", 0),
        set("/a", 0),
        delete("/a/old", -1),
        create("/a/new", 0),
        create("/a/new/child", 1),
        set("/a", 0),
        create("/b", 0),
    ];
    bench.ask(BOB, Request::GetChildren(watched("/a"))).unwrap();
    let codes = [0, 0, 0, 0, 0, -103, -2].map(OpResult::Error);
    assert_eq!(bench.ask(ALICE, Request::Multi(ops.clone())), Ok(Reply::Multi(codes.into())));
    assert_eq!(image(&bench.tree), before);
    assert_eq!(bench.tree.approximate_data_bytes(), bytes);
    assert_eq!(bench.events(), []);
    // Without the stale set it goes through, under one number.
    let ops = ops.into_iter().enumerate().filter(|(index, _)| *index != 5).map(|(_, op)| op).collect();
    let zxid = bench.tree.last_zxid();
    let Ok(Reply::Multi(results)) = bench.ask(ALICE, Request::Multi(ops)) else { panic!() };
    assert_eq!(results[0], OpResult::Checked);
    assert_eq!(results[2], OpResult::Deleted);
    assert_eq!(results[3], OpResult::Path("/a/new".into()));
    assert_eq!(bench.tree.last_zxid(), zxid + 1);
    assert_eq!(bench.stat("/a/new/child").czxid, zxid + 1);
    assert_eq!(bench.events(), [(BOB, EventType::ChildrenChanged, "/a".into())]);
}

#[test]
fn one_shot_watches_fire_once_and_in_order() {
    let mut bench = Bench::new();
    bench.create("/a", 0).unwrap();
    assert_eq!(bench.ask(BOB, Request::Exists(watched("/a/b"))), Err(ErrorCode::NoNode));
    bench.ask(BOB, Request::GetChildren2(watched("/a"))).unwrap();
    bench.create("/a/b", 0).unwrap();
    let expected =
        [(BOB, EventType::Created, "/a/b".to_owned()), (BOB, EventType::ChildrenChanged, "/a".to_owned())];
    assert_eq!(bench.events(), expected);
    bench.ask(ALICE, set("/a/b", -1)).unwrap();
    assert_eq!(bench.events(), []);
    // Data and child watch on the same node: a deletion is told once.
    bench.ask(BOB, Request::GetData(watched("/a/b"))).unwrap();
    bench.ask(BOB, Request::GetChildren(watched("/a/b"))).unwrap();
    bench.ask(ALICE, delete("/a/b", -1)).unwrap();
    assert_eq!(bench.events(), [(BOB, EventType::Deleted, "/a/b".into())]);
    assert_eq!(bench.tree.watch_count(), 0);
}

#[test]
fn persistent_watches_stay() {
    let mut bench = Bench::new();
    bench.create("/a", 0).unwrap();
    let add = |path: &str, mode| Request::AddWatch(AddWatchRequest { path: path.into(), mode });
    bench.ask(ALICE, add("/a", 0)).unwrap();
    bench.ask(BOB, add("/a", 1)).unwrap();
    for _ in 0..2 {
        bench.create("/a/b", 0).unwrap();
        bench.ask(BOB, set("/a/b", -1)).unwrap();
        bench.ask(BOB, delete("/a/b", -1)).unwrap();
        let b = "/a/b".to_owned();
        let expected = [
            (BOB, EventType::Created, b.clone()),
            (ALICE, EventType::ChildrenChanged, "/a".into()),
            (BOB, EventType::DataChanged, b.clone()),
            (BOB, EventType::Deleted, b),
            (ALICE, EventType::ChildrenChanged, "/a".into()),
        ];
        assert_eq!(bench.events(), expected);
    }
    let kind = |kind| WatcherKindRequest { path: "/a".into(), kind };
    assert_eq!(bench.ask(BOB, Request::CheckWatches(kind(4))), Err(ErrorCode::NoWatcher));
    assert_eq!(bench.ask(BOB, Request::CheckWatches(kind(5))), Ok(Reply::Empty));
    assert_eq!(bench.ask(BOB, Request::RemoveWatches(kind(3))), Ok(Reply::Empty));
    assert_eq!(bench.ask(BOB, Request::RemoveWatches(kind(3))), Err(ErrorCode::NoWatcher));
    assert_eq!(bench.ask(ALICE, Request::RemoveWatches(kind(2))), Err(ErrorCode::NoWatcher));
    assert_eq!(bench.ask(ALICE, Request::RemoveWatches(kind(4))), Ok(Reply::Empty));
    bench.ask(ALICE, set("/a", -1)).unwrap();
    assert_eq!(bench.events(), []);
    assert_eq!(bench.ask(BOB, add("/a", 9)), Err(ErrorCode::MarshallingError));
}

#[test]
fn watches_set_again_fire_for_what_changed_meanwhile() {
    let mut bench = Bench::new();
    for path in ["/same", "/set", "/gone", "/parent", "/quiet"] {
        bench.create(path, 0).unwrap();
    }
    let seen = bench.tree.last_zxid();
    bench.tree.drop_watcher(WatcherId(BOB as u64));
    bench.ask(ALICE, set("/set", -1)).unwrap();
    bench.ask(ALICE, delete("/gone", -1)).unwrap();
    bench.create("/parent/child", 0).unwrap();
    bench.create("/come", 0).unwrap();
    let request = SetWatchesRequest {
        relative_zxid: seen,
        data: ["/same", "/set", "/gone"].map(String::from).into(),
        exist: ["/come", "/never"].map(String::from).into(),
        child: ["/parent", "/quiet", "/gone"].map(String::from).into(),
        persistent: vec![],
        persistent_recursive: vec!["/parent".into()],
    };
    bench.ask(BOB, Request::SetWatches2(request)).unwrap();
    let expected = [
        (BOB, EventType::DataChanged, "/set".to_owned()),
        (BOB, EventType::Deleted, "/gone".into()),
        (BOB, EventType::Created, "/come".into()),
        (BOB, EventType::ChildrenChanged, "/parent".into()),
        (BOB, EventType::Deleted, "/gone".into()),
    ];
    assert_eq!(bench.events(), expected);
    bench.ask(ALICE, set("/same", -1)).unwrap();
    bench.create("/never", 0).unwrap();
    bench.ask(ALICE, delete("/parent/child", -1)).unwrap();
    bench.create("/quiet/x", 0).unwrap();
    let paths: Vec<String> = bench.events().into_iter().map(|(_, _, path)| path).collect();
    assert_eq!(paths, ["/same", "/never", "/parent/child", "/quiet"]);
}

#[test]
fn a_session_takes_its_ephemerals_with_it() {
    let mut bench = Bench::new();
    bench.create("/a", 0).unwrap();
    bench.create("/a/e", 1).unwrap();
    let Ok(Reply::Children(paths)) = bench.ask(ALICE, Request::GetEphemerals(Some("/a".into()))) else {
        panic!()
    };
    assert_eq!(paths, ["/a/e"]);
    bench.ask(BOB, Request::Exists(watched("/a/e"))).unwrap();
    let mut fired = Vec::new();
    assert!(bench.tree.close_session(ALICE, 9, &mut fired).is_some());
    assert_eq!(fired[0].event.event, EventType::Deleted);
    assert_eq!(bench.stat("/a").pzxid, bench.tree.last_zxid());
    assert!(bench.tree.stat("/a/e").is_none());
    assert!(bench.tree.close_session(ALICE, 9, &mut fired).is_none());
    assert_eq!(bench.ask(ALICE, set("/a", -1)), Err(ErrorCode::SessionExpired));
}

#[test]
fn containers_and_ttl_nodes_go_when_they_are_over() {
    let mut bench = Bench::new();
    bench.ask(ALICE, Request::CreateContainer(create_request("/c", 4))).unwrap();
    let ttl = |ttl_ms| {
        let CreateRequest { path, data, acl, .. } = create_request("/t", 0);
        Request::CreateTtl(CreateTtlRequest { path, data, acl, flags: 5, ttl_ms })
    };
    assert_eq!(bench.ask(ALICE, ttl(0)), Err(ErrorCode::BadArguments));
    assert_eq!(bench.ask(ALICE, ttl(1 << 40)), Err(ErrorCode::BadArguments));
    bench.ask(ALICE, ttl(500)).unwrap();
    assert_eq!(bench.stat("/c").ephemeral_owner, 0);
    let now = bench.now_ms;
    assert_eq!(bench.tree.reapable(now + 500, 9), [""; 0]);
    bench.create("/c/x", 0).unwrap();
    bench.ask(ALICE, delete("/c/x", -1)).unwrap();
    assert_eq!(bench.tree.reapable(now + 500, 9), ["/c"]);
    assert_eq!(bench.tree.reapable(now + 501, 9), ["/c", "/t"]);
    assert!(bench.tree.reap("/t", now + 500, &mut Vec::new()).is_none());
    assert!(bench.tree.reap("/c", now + 500, &mut Vec::new()).is_some());
    assert!(bench.tree.stat("/c").is_none());
}

#[test]
fn permissions_are_enforced_where_zookeeper_enforces_them() {
    let mut bench = Bench::new();
    let owner = acl::digest_identity(b"kafka:secret").unwrap();
    bench.identities = vec![owner.clone()];
    let all = Acl { perms: perms::ALL, id: Id { scheme: "auth".into(), id: String::new() } };
    let private =
        |path: &str| Request::Create(CreateRequest { acl: vec![all.clone()], ..create_request(path, 0) });
    bench.ask(ALICE, private("/p")).unwrap();
    bench.ask(ALICE, private("/p/x")).unwrap();
    let open_child = create("/p/open", 0);
    bench.ask(ALICE, open_child.clone()).unwrap();
    bench.ask(BOB, Request::AddWatch(AddWatchRequest { path: "/p".into(), mode: 1 })).unwrap();
    bench.ask(ALICE, set("/p/x", -1)).unwrap();
    assert!(!bench.heard[0].visible_to(&[]));
    assert!(bench.heard[0].visible_to(&[owner]));
    bench.identities.clear();
    for request in [
        Request::GetData(watched("/p")),
        Request::GetChildren(watched("/p")),
        Request::Exists(watched("/p")),
        Request::GetAcl("/p".into()),
        Request::GetAllChildrenNumber("/p".into()),
        set("/p", -1),
        create("/p/y", 0),
        delete("/p/open", -1),
        check("/p/x", -1),
        Request::SetAcl(SetAclRequest { path: "/p".into(), acl: vec![Acl::open()], version: -1 }),
    ] {
        assert_eq!(bench.ask(BOB, request.clone()), Err(ErrorCode::NoAuth), "{request:?}");
    }
    bench.ask(BOB, set("/p/open", -1)).unwrap();
    let results = [-102, 0].map(|error| error);
    let reads = Request::MultiRead(vec![
        Request::GetData(PathWatch { path: "/p".into(), watch: false }),
        Request::GetData(PathWatch { path: "/p/open".into(), watch: false }),
    ]);
    let Ok(Reply::Multi(read)) = bench.ask(BOB, reads) else { panic!() };
    assert_eq!(read[0], OpResult::Error(results[0]));
    assert!(matches!(&read[1], OpResult::Data(Some(data), _) if data == "yy"));
}

#[test]
fn limits_refuse_what_would_be_too_much() {
    let mut bench = Bench::new();
    bench.tree.limits = Limits { max_nodes: 6, max_node_bytes: 1, max_reply_bytes: 300, max_watches: 2 };
    bench.create("/a", 0).unwrap();
    assert_eq!(bench.ask(ALICE, set("/a", -1)), Err(ErrorCode::QuotaExceeded));
    bench.create("/b", 0).unwrap();
    assert_eq!(bench.create("/c", 0), Err(ErrorCode::QuotaExceeded));
    for path in ["/x", "/y"] {
        assert_eq!(bench.ask(BOB, Request::Exists(watched(path))), Err(ErrorCode::NoNode));
    }
    assert_eq!(bench.ask(BOB, Request::Exists(watched("/z"))), Err(ErrorCode::QuotaExceeded));
    let read = Request::GetData(PathWatch { path: "/a".into(), watch: false });
    let reads = Request::MultiRead(vec![read; 3]);
    assert_eq!(bench.ask(BOB, reads), Err(ErrorCode::MarshallingError));
}

/// A random request over few paths, so that they meet.
fn random_request(random: &mut fastrand::Rng) -> Request {
    let path = format!("/{}", random.choice(["a", "b", "a/x", "a/y", "b/x", "a/x/z", "n-"]).unwrap());
    let version = *random.choice(&[-1, -1, 0, 1]).unwrap();
    match random.u8(..10) {
        0..=2 => create(&path, random.i32(0..4)),
        3 => Request::CreateContainer(create_request(&path, 4)),
        4..=5 => delete(&path, version),
        6..=7 => set(&path, version),
        8 => Request::SetAcl(SetAclRequest { path, acl: vec![Acl::open()], version }),
        _ => Request::Multi((0..random.usize(1..5)).map(|_| random_single(random)).collect()),
    }
}

fn random_single(random: &mut fastrand::Rng) -> Request {
    match random_request(random) {
        Request::Multi(_) | Request::SetAcl(_) => check("/a", -1),
        request => request,
    }
}

#[test]
fn the_log_and_the_image_restore_the_tree() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new();
        for _ in 0..200 {
            let session = if random.bool() { ALICE } else { BOB };
            let before = (image(&bench.tree), bench.tree.approximate_data_bytes());
            let logged = bench.log.len();
            let _ = bench.ask(session, random_request(&mut random));
            if bench.log.len() == logged {
                let after = (image(&bench.tree), bench.tree.approximate_data_bytes());
                assert!(after == before, "a refused write changed something, seed {seed}");
            }
        }
        bench.log.extend(bench.tree.close_session(BOB, 5, &mut Vec::new()));
        let expected = image(&bench.tree);
        let mut replayed = Tree::new(Limits::default());
        for record in &bench.log {
            let mut writer = Writer::new();
            record.write(&mut writer);
            let bytes = writer.into_bytes();
            replayed.apply(&Record::read(&mut Reader::new(&bytes)).unwrap()).unwrap();
        }
        assert!(image(&replayed) == expected, "replay, seed {seed}");
        let restored = Tree::read_image(&mut Reader::new(&expected), Limits::default()).unwrap();
        assert!(image(&restored) == expected, "image, seed {seed}");
        assert_eq!(restored.approximate_data_bytes(), bench.tree.approximate_data_bytes());
        assert_eq!(restored.ephemeral_count(), bench.tree.ephemeral_count());
    }
}

#[test]
fn a_damaged_image_is_an_error_and_never_a_panic() {
    let mut bench = Bench::new();
    for path in ["/a", "/a/b", "/c"] {
        bench.create(path, 1).ok();
    }
    let bytes = image(&bench.tree);
    let read = |bytes: &[u8]| Tree::read_image(&mut Reader::new(bytes), Limits::default()).map(drop);
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let _ = read(&damaged);
        }
    }
}

#[test]
fn a_record_out_of_turn_is_refused() {
    let bench = Bench::new();
    let mut other = Tree::new(Limits::default());
    let error = other.apply(&bench.log[1]).unwrap_err();
    assert_eq!((error.zxid, error.tree_zxid), (2, 0));
    let header = TxnHeader { zxid: 1, time_ms: 0, session: 0 };
    assert!(other.apply(&Record { header, txn: Txn::Delete { path: "/no".into() } }).is_err());
}
