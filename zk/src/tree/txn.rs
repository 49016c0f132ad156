//! What a write did, in the form the log keeps.
//!
//! A [`Record`] holds only decisions already made: the sequence number is part of the path, `auth` is replaced, the
//! versions matched. Applying it cannot be refused by anything but a damaged log. Encoded with jute's primitives,
//! one byte of kind before each transaction; this format is ours and is not ZooKeeper's.

use crate::jute::{Acl, Field, Reader, WireError, Writer};
use bytes::Bytes;

/// How long a node lives.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Until it is deleted.
    Nobody,
    /// As long as a session.
    Session(i64),
    /// Until its last child is gone.
    Container,
    /// Until it was idle and childless for so many milliseconds.
    Ttl(i64),
}

/// When and for whom a transaction was made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TxnHeader {
    /// Its number: one more than that of the transaction before.
    pub zxid: i64,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The session, or 0 for the server itself.
    pub session: i64,
}

/// A change of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Txn {
    /// The header's session begins.
    CreateSession {
        /// Granted timeout.
        timeout_ms: i32,
        /// With which it may be attached to again.
        password: [u8; 16],
    },
    /// The header's session ends, and its ephemeral nodes with it.
    CloseSession,
    /// A node is created.
    Create {
        /// Its full path.
        path: String,
        /// Its data.
        data: Option<Bytes>,
        /// Its list.
        acl: Vec<Acl>,
        /// How long it lives.
        owner: Owner,
    },
    /// A node without children is deleted.
    Delete {
        /// Its path.
        path: String,
    },
    /// A node's data is replaced.
    SetData {
        /// Its path.
        path: String,
        /// The new data.
        data: Option<Bytes>,
    },
    /// A node's list is replaced.
    SetAcl {
        /// Its path.
        path: String,
        /// The new list.
        acl: Vec<Acl>,
    },
    /// Several changes under one number. Holds no further multi.
    Multi(Vec<Txn>),
}

/// A transaction with its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// When and for whom.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
}

const CREATE_SESSION: u8 = 1;
const CLOSE_SESSION: u8 = 2;
const CREATE: u8 = 3;
const DELETE: u8 = 4;
const SET_DATA: u8 = 5;
const SET_ACL: u8 = 6;
const MULTI: u8 = 7;

impl Field for Owner {
    const MIN_BYTES: usize = 9;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = reader.take(1)?[0];
        let value = i64::read(reader)?;
        match kind {
            0 => Ok(Owner::Nobody),
            1 => Ok(Owner::Session(value)),
            2 => Ok(Owner::Container),
            3 => Ok(Owner::Ttl(value)),
            _ => Err(WireError::BadValue { what: "owner kind", value: kind.into() }),
        }
    }
    fn write(&self, writer: &mut Writer) {
        let (kind, value) = match *self {
            Owner::Nobody => (0, 0),
            Owner::Session(id) => (1, id),
            Owner::Container => (2, 0),
            Owner::Ttl(ttl_ms) => (3, ttl_ms),
        };
        writer.raw(&[kind]);
        value.write(writer);
    }
}

/// Reads a session's password: 16 bytes without a length.
pub(super) fn read_password(reader: &mut Reader<'_>) -> Result<[u8; 16], WireError> {
    let mut password = [0; 16];
    password.copy_from_slice(reader.take(16)?);
    Ok(password)
}

impl Txn {
    fn write(&self, writer: &mut Writer) {
        match self {
            Txn::CreateSession { timeout_ms, password } => {
                writer.raw(&[CREATE_SESSION]);
                timeout_ms.write(writer);
                writer.raw(password);
            }
            Txn::CloseSession => writer.raw(&[CLOSE_SESSION]),
            Txn::Create { path, data, acl, owner } => {
                writer.raw(&[CREATE]);
                path.write(writer);
                data.write(writer);
                acl.write(writer);
                owner.write(writer);
            }
            Txn::Delete { path } => {
                writer.raw(&[DELETE]);
                path.write(writer);
            }
            Txn::SetData { path, data } => {
                writer.raw(&[SET_DATA]);
                path.write(writer);
                data.write(writer);
            }
            Txn::SetAcl { path, acl } => {
                writer.raw(&[SET_ACL]);
                path.write(writer);
                acl.write(writer);
            }
            Txn::Multi(txns) => {
                writer.raw(&[MULTI]);
                (txns.len() as i32).write(writer);
                for txn in txns {
                    txn.write(writer);
                }
            }
        }
    }

    fn read(reader: &mut Reader<'_>, inside_multi: bool) -> Result<Txn, WireError> {
        let kind = reader.take(1)?[0];
        Ok(match kind {
            CREATE_SESSION => {
                Txn::CreateSession { timeout_ms: Field::read(reader)?, password: read_password(reader)? }
            }
            CLOSE_SESSION => Txn::CloseSession,
            CREATE => Txn::Create {
                path: Field::read(reader)?,
                data: Field::read(reader)?,
                acl: Field::read(reader)?,
                owner: Field::read(reader)?,
            },
            DELETE => Txn::Delete { path: Field::read(reader)? },
            SET_DATA => Txn::SetData { path: Field::read(reader)?, data: Field::read(reader)? },
            SET_ACL => Txn::SetAcl { path: Field::read(reader)?, acl: Field::read(reader)? },
            MULTI if !inside_multi => {
                let count = i32::read(reader)?;
                let mut txns = Vec::new();
                for _ in 0..count {
                    txns.push(Txn::read(reader, true)?);
                }
                Txn::Multi(txns)
            }
            _ => return Err(WireError::BadValue { what: "transaction kind", value: kind.into() }),
        })
    }
}

impl Field for Record {
    const MIN_BYTES: usize = 25;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let header = TxnHeader {
            zxid: Field::read(reader)?,
            time_ms: Field::read(reader)?,
            session: Field::read(reader)?,
        };
        Ok(Record { header, txn: Txn::read(reader, false)? })
    }
    fn write(&self, writer: &mut Writer) {
        self.header.zxid.write(writer);
        self.header.time_ms.write(writer);
        self.header.session.write(writer);
        self.txn.write(writer);
    }
}
