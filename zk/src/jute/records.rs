//! The small records: stat, access control entry, headers, session handshake, watch event.
//!
//! Source: `zookeeper.jute` (packages data and proto) of ZooKeeper 3.9. Knows no request.

use super::wire::{Field, Reader, WireError, Writer, record};
use bytes::Bytes;

/// Permission bits of an [`Acl`].
pub mod perms {
    /// Data and children may be read.
    pub const READ: i32 = 1;
    /// Data may be set.
    pub const WRITE: i32 = 2;
    /// Children may be created.
    pub const CREATE: i32 = 4;
    /// Children may be deleted.
    pub const DELETE: i32 = 8;
    /// The list itself may be set.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// Reserved request numbers.
pub mod xids {
    /// A watch event.
    pub const NOTIFICATION: i32 = -1;
    /// A ping and its answer.
    pub const PING: i32 = -2;
    /// An auth packet.
    pub const AUTH: i32 = -4;
    /// Watches set again.
    pub const SET_WATCHES: i32 = -8;
}

record! {
    /// What ZooKeeper knows about a node besides its data.
    #[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
    Stat {
        /// Transaction that created the node.
        czxid: i64,
        /// Transaction that last set its data.
        mzxid: i64,
        /// Creation time, milliseconds since the epoch.
        ctime: i64,
        /// Time its data was last set, milliseconds since the epoch.
        mtime: i64,
        /// Number of times the data was set.
        version: i32,
        /// Number of times a child came or went.
        cversion: i32,
        /// Number of times the access control list was set.
        aversion: i32,
        /// Session of an ephemeral node; 0 for every other kind.
        ephemeral_owner: i64,
        /// Length of the data in bytes.
        data_length: i32,
        /// Number of children.
        num_children: i32,
        /// Transaction that last created or deleted a child.
        pzxid: i64,
    }

    /// Somebody, in the words of a scheme.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    Id {
        /// `world`, `auth`, `digest` or `ip`.
        scheme: String,
        /// `anyone`, `user:hash`, an address.
        id: String,
    }

    /// One entry of an access control list.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    Acl {
        /// Bits of [`perms`].
        perms: i32,
        /// Whom they are given to.
        id: Id,
    }

    /// One identity of a connection, as `whoAmI` shows it.
    #[derive(Clone, PartialEq, Eq, Debug)]
    ClientInfo {
        /// The scheme.
        auth_scheme: String,
        /// The user, without any secret.
        user: String,
    }

    /// Begins every request but the first.
    #[derive(Copy, Clone, PartialEq, Eq, Debug)]
    RequestHeader {
        /// The client's number for the request.
        xid: i32,
        /// The request type: a number of [`super::OpCode`].
        op: i32,
    }

    /// Begins every reply but the first.
    #[derive(Copy, Clone, PartialEq, Eq, Debug)]
    ReplyHeader {
        /// The request's number.
        xid: i32,
        /// The last transaction this reply knows of.
        zxid: i64,
        /// 0 or a number of [`super::ErrorCode`]; with an error, no body follows.
        error: i32,
    }
}

impl Acl {
    /// Everything for everyone.
    pub fn open() -> Acl {
        Acl { perms: perms::ALL, id: Id { scheme: "world".into(), id: "anyone".into() } }
    }
}

/// The first frame of a connection: opens a session, or attaches to one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest {
    /// 0.
    pub protocol_version: i32,
    /// The newest transaction the client knows of.
    pub last_zxid_seen: i64,
    /// The session timeout wished for, in milliseconds.
    pub timeout_ms: i32,
    /// 0, or the session to attach to.
    pub session_id: i64,
    /// The session's password.
    pub password: Option<Bytes>,
    /// Whether a read-only server would do; `None` from clients older than 3.4, which do not send it.
    pub read_only: Option<bool>,
}

/// The answer to a [`ConnectRequest`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectResponse {
    /// 0.
    pub protocol_version: i32,
    /// The timeout granted, in milliseconds; 0 when there is no such session.
    pub timeout_ms: i32,
    /// The session, or 0.
    pub session_id: i64,
    /// 16 bytes with which to attach again.
    pub password: Option<Bytes>,
    /// Sent only to clients that sent theirs.
    pub read_only: Option<bool>,
}

fn read_optional_flag(reader: &mut Reader<'_>) -> Result<Option<bool>, WireError> {
    if reader.left() == 0 { Ok(None) } else { bool::read(reader).map(Some) }
}

impl Field for ConnectRequest {
    const MIN_BYTES: usize = 28;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(ConnectRequest {
            protocol_version: Field::read(reader)?,
            last_zxid_seen: Field::read(reader)?,
            timeout_ms: Field::read(reader)?,
            session_id: Field::read(reader)?,
            password: Field::read(reader)?,
            read_only: read_optional_flag(reader)?,
        })
    }
    fn write(&self, writer: &mut Writer) {
        self.protocol_version.write(writer);
        self.last_zxid_seen.write(writer);
        self.timeout_ms.write(writer);
        self.session_id.write(writer);
        self.password.write(writer);
        if let Some(flag) = self.read_only {
            flag.write(writer);
        }
    }
}

impl Field for ConnectResponse {
    const MIN_BYTES: usize = 20;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(ConnectResponse {
            protocol_version: Field::read(reader)?,
            timeout_ms: Field::read(reader)?,
            session_id: Field::read(reader)?,
            password: Field::read(reader)?,
            read_only: read_optional_flag(reader)?,
        })
    }
    fn write(&self, writer: &mut Writer) {
        self.protocol_version.write(writer);
        self.timeout_ms.write(writer);
        self.session_id.write(writer);
        self.password.write(writer);
        if let Some(flag) = self.read_only {
            flag.write(writer);
        }
    }
}

/// How a node lives, from the flags of a create request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CreateMode {
    /// Until it is deleted.
    Persistent,
    /// As long as its session.
    Ephemeral,
    /// Until its last child is gone.
    Container,
    /// Until it was idle and childless for a time.
    Ttl,
}

impl CreateMode {
    /// The mode, and whether the name gets a sequence number. Source: `CreateMode.fromFlag`.
    pub fn from_flags(flags: i32) -> Option<(CreateMode, bool)> {
        match flags {
            0 => Some((CreateMode::Persistent, false)),
            1 => Some((CreateMode::Ephemeral, false)),
            2 => Some((CreateMode::Persistent, true)),
            3 => Some((CreateMode::Ephemeral, true)),
            4 => Some((CreateMode::Container, false)),
            5 => Some((CreateMode::Ttl, false)),
            6 => Some((CreateMode::Ttl, true)),
            _ => None,
        }
    }
}

/// What happened to a watched path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum EventType {
    /// Only the connection's state changed.
    None,
    /// The node came to be.
    Created,
    /// The node was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
    /// A child was created or deleted.
    ChildrenChanged,
}

/// The session's state, told with every event.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum KeeperState {
    /// Not connected.
    Disconnected,
    /// Connected.
    SyncConnected,
    /// The session is over.
    Expired,
}

/// A watch that fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub event: EventType,
    /// The session's state.
    pub state: KeeperState,
    /// Where.
    pub path: String,
    /// The transaction that did it; -1 when unknown (watches set again after a reconnect).
    pub zxid: i64,
}

impl WatchEvent {
    /// Appends header and body, without the frame length.
    pub fn write(&self, writer: &mut Writer) {
        ReplyHeader { xid: xids::NOTIFICATION, zxid: self.zxid, error: 0 }.write(writer);
        let event: i32 = match self.event {
            EventType::None => -1,
            EventType::Created => 1,
            EventType::Deleted => 2,
            EventType::DataChanged => 3,
            EventType::ChildrenChanged => 4,
        };
        let state: i32 = match self.state {
            KeeperState::Disconnected => 0,
            KeeperState::SyncConnected => 3,
            KeeperState::Expired => -112,
        };
        event.write(writer);
        state.write(writer);
        writer.string(&self.path);
    }

    /// Reads the body that follows `header`.
    pub fn read(header: &ReplyHeader, reader: &mut Reader<'_>) -> Result<WatchEvent, WireError> {
        let event = match i32::read(reader)? {
            -1 => EventType::None,
            1 => EventType::Created,
            2 => EventType::Deleted,
            3 => EventType::DataChanged,
            4 => EventType::ChildrenChanged,
            value => return Err(WireError::BadValue { what: "event type", value }),
        };
        let state = match i32::read(reader)? {
            0 => KeeperState::Disconnected,
            3 => KeeperState::SyncConnected,
            -112 => KeeperState::Expired,
            value => return Err(WireError::BadValue { what: "keeper state", value }),
        };
        Ok(WatchEvent { event, state, path: String::read(reader)?, zxid: header.zxid })
    }
}
