//! Requests: one enum, told apart by the header's request type.
//!
//! Source: `zookeeper.jute` (package proto) and `MultiOperationRecord` of ZooKeeper 3.9. A multi holds only writes,
//! a multi-read only reads, and neither holds another multi, so decoding does not recurse further.

use super::code::OpCode;
use super::records::{Acl, CreateMode};
use super::wire::{Field, Reader, WireError, Writer, record};
use bytes::Bytes;

record! {
    /// Creates a node.
    #[derive(Clone, PartialEq, Eq, Debug)]
    CreateRequest {
        /// Where; a sequence number may be appended.
        path: String,
        /// Its data; null and empty are different.
        data: Option<Bytes>,
        /// Its access control list.
        acl: Vec<Acl>,
        /// See [`super::CreateMode::from_flags`].
        flags: i32,
    }

    /// Creates a node with a time to live.
    #[derive(Clone, PartialEq, Eq, Debug)]
    CreateTtlRequest {
        /// Where; a sequence number may be appended.
        path: String,
        /// Its data.
        data: Option<Bytes>,
        /// Its access control list.
        acl: Vec<Acl>,
        /// See [`super::CreateMode::from_flags`].
        flags: i32,
        /// Idle time after which the childless node goes, in milliseconds.
        ttl_ms: i64,
    }

    /// Deletes or checks a node of a version.
    #[derive(Clone, PartialEq, Eq, Debug)]
    PathVersion {
        /// Which node.
        path: String,
        /// The version it must have, -1 for any.
        version: i32,
    }

    /// Reads a node and may leave a one-shot watch.
    #[derive(Clone, PartialEq, Eq, Debug)]
    PathWatch {
        /// Which node.
        path: String,
        /// Whether to watch it.
        watch: bool,
    }

    /// Replaces a node's data.
    #[derive(Clone, PartialEq, Eq, Debug)]
    SetDataRequest {
        /// Which node.
        path: String,
        /// The new data.
        data: Option<Bytes>,
        /// The version it must have, -1 for any.
        version: i32,
    }

    /// Replaces a node's access control list.
    #[derive(Clone, PartialEq, Eq, Debug)]
    SetAclRequest {
        /// Which node.
        path: String,
        /// The new list.
        acl: Vec<Acl>,
        /// The version of the list it must have, -1 for any.
        version: i32,
    }

    /// Adds an identity to the connection.
    #[derive(Clone, PartialEq, Eq)]
    AuthRequest {
        /// 0.
        kind: i32,
        /// `digest` or `ip`.
        scheme: String,
        /// `user:password`.
        auth: Option<Bytes>,
    }

    /// Watches to set again after a reconnect; the last two lists are on the wire in version 2 only.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    SetWatchesRequest {
        /// What changed after this transaction fires at once.
        relative_zxid: i64,
        /// Nodes whose data is watched.
        data: Vec<String>,
        /// Nodes whose coming is watched.
        exist: Vec<String>,
        /// Nodes whose children are watched.
        child: Vec<String>,
        /// Persistent watches.
        persistent: Vec<String>,
        /// Persistent recursive watches.
        persistent_recursive: Vec<String>,
    }

    /// Adds a watch that stays.
    #[derive(Clone, PartialEq, Eq, Debug)]
    AddWatchRequest {
        /// Which node, or the root of a subtree.
        path: String,
        /// 0 persistent, 1 persistent recursive.
        mode: i32,
    }

    /// Asks for or removes watches of a kind.
    #[derive(Clone, PartialEq, Eq, Debug)]
    WatcherKindRequest {
        /// The watched path.
        path: String,
        /// 1 children, 2 data, 3 any, 4 persistent, 5 persistent recursive.
        kind: i32,
    }

    /// Precedes each operation of a multi, and ends it.
    #[derive(Copy, Clone, PartialEq, Eq, Debug)]
    MultiHeader {
        /// Type of the operation, -1 for an error result and at the end.
        op: i32,
        /// True at the end.
        done: bool,
        /// Error of a result, else -1.
        error: i32,
    }
}

impl std::fmt::Debug for AuthRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AuthRequest {{ scheme: {:?}, auth: (hidden) }}", self.scheme)
    }
}

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Answered with [`super::Reply::Path`].
    Create(CreateRequest),
    /// Answered with [`super::Reply::Created`].
    Create2(CreateRequest),
    /// Answered with [`super::Reply::Created`].
    CreateContainer(CreateRequest),
    /// Answered with [`super::Reply::Created`].
    CreateTtl(CreateTtlRequest),
    /// Answered with [`super::Reply::Empty`].
    Delete(PathVersion),
    /// Answered with [`super::Reply::Stat`].
    Exists(PathWatch),
    /// Answered with [`super::Reply::Data`].
    GetData(PathWatch),
    /// Answered with [`super::Reply::Stat`].
    SetData(SetDataRequest),
    /// Answered with [`super::Reply::Acl`].
    GetAcl(String),
    /// Answered with [`super::Reply::Stat`].
    SetAcl(SetAclRequest),
    /// Answered with [`super::Reply::Children`].
    GetChildren(PathWatch),
    /// Answered with [`super::Reply::Children2`].
    GetChildren2(PathWatch),
    /// Answered with [`super::Reply::Path`].
    Sync(String),
    /// Answered with [`super::Reply::Empty`].
    Ping,
    /// Inside a multi: answered with [`super::OpResult::Done`].
    Check(PathVersion),
    /// Answered with [`super::Reply::Multi`].
    Multi(Vec<Request>),
    /// Answered with [`super::Reply::Multi`].
    MultiRead(Vec<Request>),
    /// Answered with [`super::Reply::Empty`].
    Auth(AuthRequest),
    /// Answered with [`super::Reply::Empty`].
    SetWatches(SetWatchesRequest),
    /// Answered with [`super::Reply::Empty`].
    SetWatches2(SetWatchesRequest),
    /// Answered with [`super::Reply::Number`] 0.
    AddWatch(AddWatchRequest),
    /// Answered with [`super::Reply::Empty`].
    CheckWatches(WatcherKindRequest),
    /// Answered with [`super::Reply::Empty`].
    RemoveWatches(WatcherKindRequest),
    /// Paths of the session's ephemeral nodes below a prefix. Answered with [`super::Reply::Children`].
    GetEphemerals(Option<String>),
    /// Answered with [`super::Reply::Number`].
    GetAllChildrenNumber(String),
    /// Answered with [`super::Reply::Clients`].
    WhoAmI,
    /// Answered with [`super::Reply::Empty`].
    CloseSession,
}

impl Request {
    /// The type in the header.
    pub fn op(&self) -> OpCode {
        match self {
            Request::Create(_) => OpCode::Create,
            Request::Create2(_) => OpCode::Create2,
            Request::CreateContainer(_) => OpCode::CreateContainer,
            Request::CreateTtl(_) => OpCode::CreateTtl,
            Request::Delete(_) => OpCode::Delete,
            Request::Exists(_) => OpCode::Exists,
            Request::GetData(_) => OpCode::GetData,
            Request::SetData(_) => OpCode::SetData,
            Request::GetAcl(_) => OpCode::GetAcl,
            Request::SetAcl(_) => OpCode::SetAcl,
            Request::GetChildren(_) => OpCode::GetChildren,
            Request::GetChildren2(_) => OpCode::GetChildren2,
            Request::Sync(_) => OpCode::Sync,
            Request::Ping => OpCode::Ping,
            Request::Check(_) => OpCode::Check,
            Request::Multi(_) => OpCode::Multi,
            Request::MultiRead(_) => OpCode::MultiRead,
            Request::Auth(_) => OpCode::Auth,
            Request::SetWatches(_) => OpCode::SetWatches,
            Request::SetWatches2(_) => OpCode::SetWatches2,
            Request::AddWatch(_) => OpCode::AddWatch,
            Request::CheckWatches(_) => OpCode::CheckWatches,
            Request::RemoveWatches(_) => OpCode::RemoveWatches,
            Request::GetEphemerals(_) => OpCode::GetEphemerals,
            Request::GetAllChildrenNumber(_) => OpCode::GetAllChildrenNumber,
            Request::WhoAmI => OpCode::WhoAmI,
            Request::CloseSession => OpCode::CloseSession,
        }
    }

    /// Whether it may change the tree or the session, and so needs the log.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Request::Create(_)
                | Request::Create2(_)
                | Request::CreateContainer(_)
                | Request::CreateTtl(_)
                | Request::Delete(_)
                | Request::SetData(_)
                | Request::SetAcl(_)
                | Request::Check(_)
                | Request::Multi(_)
        )
    }

    /// Reads the body of a request of type `op`. Bytes after it are ignored, as ZooKeeper does.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Request, WireError> {
        match op {
            OpCode::Multi => Ok(Request::Multi(decode_multi(reader, Request::is_multi_write)?)),
            OpCode::MultiRead => Ok(Request::MultiRead(decode_multi(reader, Request::is_multi_read)?)),
            _ => Request::decode_single(op, reader),
        }
    }

    fn decode_single(op: OpCode, reader: &mut Reader<'_>) -> Result<Request, WireError> {
        Ok(match op {
            OpCode::Create => Request::Create(Field::read(reader)?),
            OpCode::Create2 => Request::Create2(Field::read(reader)?),
            OpCode::CreateContainer => Request::CreateContainer(Field::read(reader)?),
            OpCode::CreateTtl => Request::CreateTtl(Field::read(reader)?),
            OpCode::Delete => Request::Delete(Field::read(reader)?),
            OpCode::Exists => Request::Exists(Field::read(reader)?),
            OpCode::GetData => Request::GetData(Field::read(reader)?),
            OpCode::SetData => Request::SetData(Field::read(reader)?),
            OpCode::GetAcl => Request::GetAcl(Field::read(reader)?),
            OpCode::SetAcl => Request::SetAcl(Field::read(reader)?),
            OpCode::GetChildren => Request::GetChildren(Field::read(reader)?),
            OpCode::GetChildren2 => Request::GetChildren2(Field::read(reader)?),
            OpCode::Sync => Request::Sync(Field::read(reader)?),
            OpCode::Ping => Request::Ping,
            OpCode::Check => Request::Check(Field::read(reader)?),
            OpCode::Auth => Request::Auth(Field::read(reader)?),
            OpCode::SetWatches => Request::SetWatches(read_set_watches(reader, false)?),
            OpCode::SetWatches2 => Request::SetWatches2(read_set_watches(reader, true)?),
            OpCode::AddWatch => Request::AddWatch(Field::read(reader)?),
            OpCode::CheckWatches => Request::CheckWatches(Field::read(reader)?),
            OpCode::RemoveWatches => Request::RemoveWatches(Field::read(reader)?),
            OpCode::GetEphemerals => Request::GetEphemerals(Field::read(reader)?),
            OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber(Field::read(reader)?),
            OpCode::WhoAmI => Request::WhoAmI,
            OpCode::CloseSession => Request::CloseSession,
            OpCode::Multi | OpCode::MultiRead | OpCode::Reconfig | OpCode::DeleteContainer | OpCode::Sasl => {
                return Err(WireError::UnknownOp(op.number()));
            }
        })
    }

    /// Appends the body, without header.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Request::Create(r) | Request::Create2(r) | Request::CreateContainer(r) => r.write(writer),
            Request::CreateTtl(r) => r.write(writer),
            Request::Delete(r) | Request::Check(r) => r.write(writer),
            Request::Exists(r) | Request::GetData(r) | Request::GetChildren(r) | Request::GetChildren2(r) => {
                r.write(writer)
            }
            Request::SetData(r) => r.write(writer),
            Request::GetAcl(path) | Request::Sync(path) | Request::GetAllChildrenNumber(path) => {
                path.write(writer);
            }
            Request::SetAcl(r) => r.write(writer),
            Request::Multi(ops) | Request::MultiRead(ops) => encode_multi(ops, writer),
            Request::Auth(r) => r.write(writer),
            Request::SetWatches(r) => write_one_shot_watches(r, writer),
            Request::SetWatches2(r) => r.write(writer),
            Request::AddWatch(r) => r.write(writer),
            Request::CheckWatches(r) | Request::RemoveWatches(r) => r.write(writer),
            Request::GetEphemerals(prefix) => prefix.write(writer),
            Request::Ping | Request::WhoAmI | Request::CloseSession => {}
        }
    }

    fn is_multi_write(&self) -> bool {
        self.is_write() && !matches!(self, Request::SetAcl(_) | Request::Multi(_))
    }

    /// Inside a multi, ZooKeeper refuses unknown flags while it reads.
    fn check_flags(&self) -> Result<(), WireError> {
        let flags = match self {
            Request::Create(r) | Request::Create2(r) | Request::CreateContainer(r) => r.flags,
            _ => return Ok(()),
        };
        let known = CreateMode::from_flags(flags).map(drop);
        known.ok_or(WireError::BadValue { what: "create mode", value: flags })
    }

    fn is_multi_read(&self) -> bool {
        matches!(self, Request::GetData(_) | Request::GetChildren(_))
    }
}

fn read_set_watches(reader: &mut Reader<'_>, version_2: bool) -> Result<SetWatchesRequest, WireError> {
    if version_2 {
        return SetWatchesRequest::read(reader);
    }
    Ok(SetWatchesRequest {
        relative_zxid: Field::read(reader)?,
        data: Field::read(reader)?,
        exist: Field::read(reader)?,
        child: Field::read(reader)?,
        ..SetWatchesRequest::default()
    })
}

fn write_one_shot_watches(request: &SetWatchesRequest, writer: &mut Writer) {
    request.relative_zxid.write(writer);
    request.data.write(writer);
    request.exist.write(writer);
    request.child.write(writer);
}

fn decode_multi(reader: &mut Reader<'_>, allowed: fn(&Request) -> bool) -> Result<Vec<Request>, WireError> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::read(reader)?;
        if header.done {
            return Ok(ops);
        }
        let op = OpCode::from_number(header.op).ok_or(WireError::UnknownOp(header.op))?;
        let request = Request::decode_single(op, reader)?;
        if !allowed(&request) {
            return Err(WireError::UnknownOp(header.op));
        }
        request.check_flags()?;
        ops.push(request);
    }
}

fn encode_multi(ops: &[Request], writer: &mut Writer) {
    for op in ops {
        MultiHeader { op: op.op().number(), done: false, error: -1 }.write(writer);
        op.encode(writer);
    }
    MultiHeader { op: -1, done: true, error: -1 }.write(writer);
}
