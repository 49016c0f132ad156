//! Round trips, known bytes, and hostile bytes.

use super::*;
use bytes::Bytes;

fn one_of_each() -> Vec<Request> {
    let create = CreateRequest {
        path: "/a".into(),
        data: Some(Bytes::from_static(b"x")),
        acl: vec![Acl::open()],
        flags: 3,
    };
    let watch = PathWatch { path: "/a/b".into(), watch: true };
    let version = PathVersion { path: "/c".into(), version: -1 };
    let set = SetDataRequest { path: "/a".into(), data: None, version: 7 };
    let kind = WatcherKindRequest { path: "/w".into(), kind: 3 };
    let ttl = CreateTtlRequest {
        path: "/t".into(),
        data: Some(Bytes::new()),
        acl: vec![Acl::open()],
        flags: 5,
        ttl_ms: 1000,
    };
    let one_shot = SetWatchesRequest {
        relative_zxid: 9,
        data: vec!["/a".into()],
        exist: vec![],
        child: vec!["/b".into(), "/c".into()],
        ..SetWatchesRequest::default()
    };
    let all_kinds = SetWatchesRequest {
        persistent: vec!["/p".into()],
        persistent_recursive: vec!["/r".into()],
        ..one_shot.clone()
    };
    vec![
        Request::Create(create.clone()),
        Request::Create2(create.clone()),
        Request::CreateContainer(create.clone()),
        Request::CreateTtl(ttl.clone()),
        Request::Delete(version.clone()),
        Request::Exists(watch.clone()),
        Request::GetData(watch.clone()),
        Request::SetData(set.clone()),
        Request::GetAcl("/a".into()),
        Request::SetAcl(SetAclRequest { path: "/a".into(), acl: vec![Acl::open()], version: 0 }),
        Request::GetChildren(watch.clone()),
        Request::GetChildren2(watch.clone()),
        Request::Sync("/".into()),
        Request::Ping,
        Request::Check(version.clone()),
        Request::Multi(vec![
            Request::Create(create),
            Request::CreateTtl(ttl),
            Request::Check(version.clone()),
            Request::SetData(set),
            Request::Delete(version),
        ]),
        Request::MultiRead(vec![Request::GetData(watch.clone()), Request::GetChildren(watch)]),
        Request::Auth(AuthRequest {
            kind: 0,
            scheme: "digest".into(),
            auth: Some(Bytes::from_static(b"u:p")),
        }),
        Request::SetWatches(one_shot),
        Request::SetWatches2(all_kinds),
        Request::AddWatch(AddWatchRequest { path: "/a".into(), mode: 1 }),
        Request::CheckWatches(kind.clone()),
        Request::RemoveWatches(kind),
        Request::GetEphemerals(Some("/".into())),
        Request::GetAllChildrenNumber("/".into()),
        Request::WhoAmI,
        Request::CloseSession,
    ]
}

fn replies() -> Vec<(OpCode, Reply)> {
    let stat = Stat { czxid: 1, mzxid: 2, version: 3, data_length: 1, pzxid: 4, ..Stat::default() };
    let data = Some(Bytes::from_static(b"d"));
    let names = vec!["a".to_owned(), "b".to_owned()];
    let client = ClientInfo { auth_scheme: "ip".into(), user: "127.0.0.1".into() };
    vec![
        (OpCode::Delete, Reply::Empty),
        (OpCode::Create, Reply::Path("/a".into())),
        (OpCode::CreateTtl, Reply::Created("/a".into(), stat)),
        (OpCode::Exists, Reply::Stat(stat)),
        (OpCode::GetData, Reply::Data(data.clone(), stat)),
        (OpCode::GetAcl, Reply::Acl(vec![Acl::open()], stat)),
        (OpCode::GetChildren, Reply::Children(names.clone())),
        (OpCode::GetChildren2, Reply::Children2(names.clone(), stat)),
        (OpCode::GetAllChildrenNumber, Reply::Number(5)),
        (OpCode::WhoAmI, Reply::Clients(vec![client])),
        (
            OpCode::Multi,
            Reply::Multi(vec![
                OpResult::Checked,
                OpResult::Deleted,
                OpResult::Path("/a".into()),
                OpResult::Created("/a".into(), stat),
                OpResult::Stat(stat),
                OpResult::Data(data, stat),
                OpResult::Children(names),
                OpResult::Error(-2),
            ]),
        ),
    ]
}

fn bytes_of(request: &Request) -> Vec<u8> {
    let mut writer = Writer::new();
    request.encode(&mut writer);
    writer.into_bytes()
}

#[test]
fn requests_survive_the_wire() {
    for request in one_of_each() {
        let bytes = bytes_of(&request);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Request::decode(request.op(), &mut reader), Ok(request.clone()));
        assert_eq!(reader.left(), 0, "{request:?}");
    }
}

#[test]
fn replies_survive_the_wire() {
    for (op, reply) in replies() {
        let mut writer = Writer::new();
        reply.encode(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Reply::decode(op, &mut reader), Ok(reply));
        assert_eq!(reader.left(), 0);
    }
}

#[test]
fn a_create_request_has_the_bytes_java_writes() {
    let request = Request::Create(CreateRequest {
        path: "/a".into(),
        data: Some(Bytes::from_static(b"hi")),
        acl: vec![Acl::open()],
        flags: 1,
    });
    let expected = b"\0\0\0\x02/a\0\0\0\x02hi\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone\0\0\0\x01";
    assert_eq!(bytes_of(&request), expected);
}

#[test]
fn a_connect_request_may_lack_its_last_byte() {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 7,
        timeout_ms: 6000,
        session_id: 0,
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: None,
    };
    for read_only in [None, Some(false), Some(true)] {
        let request = ConnectRequest { read_only, ..request.clone() };
        let mut writer = Writer::new();
        request.write(&mut writer);
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), 44 + usize::from(read_only.is_some()));
        assert_eq!(ConnectRequest::read(&mut Reader::new(&bytes)), Ok(request));
    }
}

#[test]
fn events_survive_the_wire() {
    let event = WatchEvent {
        event: EventType::ChildrenChanged,
        state: KeeperState::SyncConnected,
        path: "/a".into(),
        zxid: 5,
    };
    let mut writer = Writer::new();
    event.write(&mut writer);
    let bytes = writer.into_bytes();
    let mut reader = Reader::new(&bytes);
    let header = ReplyHeader::read(&mut reader).unwrap();
    assert_eq!(header, ReplyHeader { xid: xids::NOTIFICATION, zxid: 5, error: 0 });
    assert_eq!(WatchEvent::read(&header, &mut reader), Ok(event));
}

#[test]
fn a_length_that_lies_is_refused_before_memory_is_asked_for() {
    // A path, no data, and two billion access control entries.
    let bytes = b"\0\0\0\x02/a\xff\xff\xff\xff\x7f\xff\xff\xff";
    let error = Request::decode(OpCode::Create, &mut Reader::new(bytes)).unwrap_err();
    assert!(matches!(error, WireError::Truncated { left: 0, .. }), "{error}");
    let negative = Request::decode(OpCode::Sync, &mut Reader::new(b"\x80\0\0\0"));
    assert_eq!(negative, Err(WireError::NegativeLength(i32::MIN)));
}

#[test]
fn a_multi_holds_no_multi_and_no_reads() {
    let read = Request::GetData(PathWatch { path: "/a".into(), watch: false });
    for inner in [Request::Multi(vec![]), Request::MultiRead(vec![]), read, Request::CloseSession] {
        let number = inner.op().number();
        let bytes = bytes_of(&Request::Multi(vec![inner]));
        assert_eq!(
            Request::decode(OpCode::Multi, &mut Reader::new(&bytes)),
            Err(WireError::UnknownOp(number))
        );
    }
}

#[test]
fn mutated_bytes_never_panic() {
    let seed = 0x5eed_0001;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..200 {
        for request in one_of_each() {
            let mut bytes = bytes_of(&request);
            for _ in 0..random.usize(1..4) {
                if bytes.is_empty() {
                    break;
                }
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap()),
                    _ => bytes[at] ^= 1 << random.u8(..8),
                }
            }
            // Whatever is accepted must be the same when written and read again.
            if let Ok(read) = Request::decode(request.op(), &mut Reader::new(&bytes)) {
                let again = bytes_of(&read);
                let reread = Request::decode(request.op(), &mut Reader::new(&again));
                assert_eq!(reread, Ok(read), "seed {seed:#x}, round {round}");
            }
            let _ = Reply::decode(request.op(), &mut Reader::new(&bytes));
            let _ = ConnectRequest::read(&mut Reader::new(&bytes));
        }
    }
}
