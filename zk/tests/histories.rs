//! One random history, two servers: the embedded one must answer as a real ZooKeeper does.
//!
//! Needs a ZooKeeper 3.9 with `zookeeper.extendedTypesEnabled=true`, which is left with a few nodes more; its address is taken
//! from `OTTLA_ZOOKEEPER`. Without it this test says so and does nothing. Answers are compared with transaction
//! numbers and session ids renamed in the order of their appearance, and without times: only their values differ.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bytes::Bytes;
use ottla_zk::jute::{
    Acl, AddWatchRequest, AuthRequest, ConnectRequest, ConnectResponse, CreateRequest, CreateTtlRequest,
    Field, Id, OpResult, PathVersion, PathWatch, Reader, Reply, ReplyHeader, Request, RequestHeader,
    SetAclRequest, SetDataRequest, SetWatchesRequest, Stat, WatchEvent, WatcherKindRequest, Writer, perms,
    xids,
};
use ottla_zk::server::{Options, Server};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Replaces numbers by names, the same number by the same name.
#[derive(Default)]
struct Names(BTreeMap<i64, i64>);

impl Names {
    fn of(&mut self, number: i64) -> i64 {
        if number <= 0 {
            return number;
        }
        let next = self.0.len() as i64 + 1;
        *self.0.entry(number).or_insert(next)
    }

    fn stat(&mut self, stat: &mut Stat) {
        for zxid in [&mut stat.czxid, &mut stat.mzxid, &mut stat.pzxid, &mut stat.ephemeral_owner] {
            *zxid = self.of(*zxid);
        }
        (stat.ctime, stat.mtime) = (0, 0);
    }

    fn reply(&mut self, reply: &mut Reply) {
        match reply {
            Reply::Stat(stat) | Reply::Created(_, stat) | Reply::Data(_, stat) | Reply::Acl(_, stat) => {
                self.stat(stat);
            }
            // Java's order of children is that of a hash table.
            Reply::Children(names) => names.sort(),
            Reply::Children2(names, stat) => {
                names.sort();
                self.stat(stat);
            }
            Reply::Multi(results) => {
                for result in results {
                    match result {
                        OpResult::Created(_, stat) | OpResult::Stat(stat) | OpResult::Data(_, stat) => {
                            self.stat(stat);
                        }
                        OpResult::Children(names) => names.sort(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// One session over a plain socket.
struct Peer {
    stream: TcpStream,
    names: Names,
    session: (i64, Option<Bytes>),
    seen_zxid: i64,
}

type Heard = Vec<String>;

impl Peer {
    fn connect(address: &str, session: (i64, Option<Bytes>)) -> Peer {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 30_000,
            session_id: session.0,
            password: session.1,
            read_only: Some(false),
        };
        send(&mut stream, |writer| request.write(writer));
        let granted = ConnectResponse::read(&mut Reader::new(&receive(&mut stream))).unwrap();
        let session = (granted.session_id, granted.password);
        Peer { stream, names: Names::default(), session, seen_zxid: 0 }
    }

    /// Asks, and gives what was heard before the answer and the answer.
    fn ask(&mut self, request: &Request) -> (Heard, String) {
        let xid = if matches!(request, Request::Ping) { xids::PING } else { 7 };
        send(&mut self.stream, |writer| {
            RequestHeader { xid, op: request.op().number() }.write(writer);
            request.encode(writer);
        });
        let mut heard = Heard::new();
        loop {
            let bytes = receive(&mut self.stream);
            let mut reader = Reader::new(&bytes);
            let header = ReplyHeader::read(&mut reader).unwrap();
            if header.xid == xids::NOTIFICATION {
                let event = WatchEvent::read(&header, &mut reader).unwrap();
                heard.push(format!("{:?} {}", event.event, event.path));
                continue;
            }
            assert_eq!(header.xid, xid);
            self.seen_zxid = header.zxid;
            // Java tells the watches of one request in the order of its hash tables.
            heard.sort();
            if header.error != 0 {
                return (heard, format!("error {}", header.error));
            }
            let mut reply = Reply::decode(request.op(), &mut reader).unwrap();
            assert_eq!(reader.left(), 0, "{request:?}");
            self.names.reply(&mut reply);
            return (heard, format!("{reply:?}"));
        }
    }
}

fn send(stream: &mut TcpStream, write: impl FnOnce(&mut Writer)) {
    let mut writer = Writer::new();
    let start = writer.begin_frame();
    write(&mut writer);
    writer.end_frame(start);
    stream.write_all(&writer.into_bytes()).unwrap();
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

struct Draw {
    random: fastrand::Rng,
    /// A node of this history alone, under which everything happens.
    base: String,
}

impl Draw {
    fn path(&mut self) -> String {
        let below = ["/a", "/b", "/a/x", "/a/y", "/a/x/z", "/b/x", "/c", "/c/k", "/n-", "", "/a/", "/a//b"];
        format!("{}{}", self.base, self.random.choice(below).unwrap())
    }

    fn version(&mut self) -> i32 {
        *self.random.choice(&[-1, -1, -1, 0, 1, 2]).unwrap()
    }

    fn data(&mut self) -> Option<Bytes> {
        let data = [None, Some(Bytes::new()), Some(Bytes::from_static(b"data"))];
        self.random.choice(data).unwrap()
    }

    fn acl(&mut self) -> Vec<Acl> {
        let entry =
            |perms, scheme: &str, id: &str| Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } };
        match self.random.u8(..16) {
            0 => vec![],
            1 => vec![entry(perms::ALL, "auth", "")],
            2 => vec![entry(perms::READ, "world", "anyone"), entry(perms::ALL, "digest", "u:h")],
            3 => vec![entry(perms::ALL, "ip", "127.0.0.0/8")],
            4 => vec![entry(perms::ALL, "ip", "10.0.0.0/40")],
            5 => vec![entry(perms::ALL, "nobody", "x")],
            _ => vec![Acl::open()],
        }
    }

    fn watch(&mut self) -> PathWatch {
        PathWatch { path: self.path(), watch: self.random.bool() }
    }

    fn create(&mut self) -> CreateRequest {
        let flags = *self.random.choice(&[0, 0, 0, 1, 2, 3, 9]).unwrap();
        CreateRequest { path: self.path(), data: self.data(), acl: self.acl(), flags }
    }

    fn write(&mut self) -> Request {
        match self.random.u8(..12) {
            0..=2 => Request::Create(self.create()),
            3 => Request::Create2(self.create()),
            4 => Request::CreateContainer(CreateRequest { flags: 4, ..self.create() }),
            5 => {
                let CreateRequest { path, data, acl, .. } = self.create();
                let ttl_ms = *self.random.choice(&[-1, 0, 100_000, 1 << 40]).unwrap();
                Request::CreateTtl(CreateTtlRequest { path, data, acl, flags: 5, ttl_ms })
            }
            6..=8 => Request::Delete(PathVersion { path: self.path(), version: self.version() }),
            9 => Request::Check(PathVersion { path: self.path(), version: self.version() }),
            _ => Request::SetData(SetDataRequest {
                path: self.path(),
                data: self.data(),
                version: self.version(),
            }),
        }
    }

    fn read(&mut self) -> Request {
        match self.random.u8(..11) {
            0 | 1 => Request::Exists(self.watch()),
            2 | 3 => Request::GetData(self.watch()),
            4 => Request::GetChildren(self.watch()),
            5 => Request::GetChildren2(self.watch()),
            6 => Request::GetAcl(self.path()),
            7 => Request::GetEphemerals(Some(self.path())),
            8 => Request::WhoAmI,
            9 => Request::MultiRead(vec![Request::GetData(self.quiet()), Request::GetChildren(self.quiet())]),
            _ => Request::Sync(self.path()),
        }
    }

    fn quiet(&mut self) -> PathWatch {
        PathWatch { watch: false, ..self.watch() }
    }

    fn watch_request(&mut self) -> Request {
        let path = self.path();
        match self.random.u8(..4) {
            0 => Request::AddWatch(AddWatchRequest { path, mode: self.random.i32(0..2) }),
            1 => Request::RemoveWatches(WatcherKindRequest { path, kind: self.random.i32(1..6) }),
            2 => Request::CheckWatches(WatcherKindRequest { path, kind: self.random.i32(1..6) }),
            _ => Request::SetWatches2(SetWatchesRequest {
                relative_zxid: if self.random.bool() { 0 } else { i64::MAX },
                data: vec![self.path()],
                exist: vec![self.path()],
                child: vec![self.path()],
                persistent: vec![],
                persistent_recursive: vec![],
            }),
        }
    }

    fn request(&mut self) -> Request {
        match self.random.u8(..20) {
            0..=8 => loop {
                // ZooKeeper answers a check outside a multi with a body that is not one.
                let write = self.write();
                if !matches!(write, Request::Check(_)) {
                    return write;
                }
            },
            9 => {
                Request::SetAcl(SetAclRequest { path: self.path(), acl: self.acl(), version: self.version() })
            }
            10 | 11 => Request::Multi((0..self.random.usize(1..4)).map(|_| self.write()).collect()),
            12 | 13 => self.watch_request(),
            14 if self.random.u8(..5) == 0 => {
                let auth = Some(Bytes::from_static(b"u:p"));
                Request::Auth(AuthRequest { kind: 0, scheme: "digest".into(), auth })
            }
            _ => self.read(),
        }
    }
}

fn compare(seed: u64, ours: &str, theirs: &str) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // Sequence numbers come from the parent, so the parent is of this history alone too.
    let parent = format!("/history-{seed}-{}", since.as_millis());
    let base = format!("{parent}/base");
    let mut draw = Draw { random: fastrand::Rng::with_seed(seed), base };
    let mut pairs: Vec<(Peer, Peer)> =
        (0..2).map(|_| (Peer::connect(ours, (0, None)), Peer::connect(theirs, (0, None)))).collect();
    for path in [parent, draw.base.clone()] {
        let begin = CreateRequest { path, data: None, acl: vec![Acl::open()], flags: 0 };
        let begin = Request::Create(begin);
        assert_eq!(pairs[0].0.ask(&begin), pairs[0].1.ask(&begin));
    }
    for step in 0..1500 {
        let which = draw.random.usize(..2);
        let (our, their) = &mut pairs[which];
        if draw.random.u8(..100) == 0 {
            // The connection breaks: watches and proven identities go, the session stays.
            *our = Peer::connect(ours, our.session.clone());
            *their = Peer::connect(theirs, their.session.clone());
            continue;
        }
        let request = draw.request();
        assert_eq!(
            our.ask(&request),
            their.ask(&request),
            "seed {seed}, step {step}, session {which}: {request:?}"
        );
    }
    for (mut our, mut their) in pairs {
        assert_eq!(
            our.ask(&Request::CloseSession),
            their.ask(&Request::CloseSession),
            "seed {seed}, at the end"
        );
    }
}

#[tokio::test]
async fn random_histories_are_answered_as_a_real_zookeeper_does() {
    let Ok(theirs) = std::env::var("OTTLA_ZOOKEEPER") else {
        eprintln!("SKIPPED: set OTTLA_ZOOKEEPER=host:port to compare with a real ZooKeeper");
        return;
    };
    let seeds = std::env::var("OTTLA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(4);
    let first: u64 = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let compared = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for seed in first..first + seeds {
            let server = runtime.block_on(Server::start(Options::default())).unwrap();
            compare(seed, &server.local_addr().to_string(), &theirs);
        }
    });
    compared.await.unwrap();
}
