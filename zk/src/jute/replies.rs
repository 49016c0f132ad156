//! Replies: one enum, told apart by the request that is answered.
//!
//! Source: `zookeeper.jute` (package proto) and `MultiResponse` of ZooKeeper 3.9. A refused request has no body, its
//! error is in the header; only inside a multi is an error part of the body.

use super::code::OpCode;
use super::records::{Acl, ClientInfo, Stat};
use super::requests::MultiHeader;
use super::wire::{Field, Reader, WireError, Writer};
use bytes::Bytes;

/// The body of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Nothing to tell.
    Empty,
    /// The path created or synced.
    Path(String),
    /// The path created and its stat.
    Created(String, Stat),
    /// A stat.
    Stat(Stat),
    /// Data and stat.
    Data(Option<Bytes>, Stat),
    /// Access control list and stat.
    Acl(Vec<Acl>, Stat),
    /// Names of children, or paths.
    Children(Vec<String>),
    /// Names of children and stat of the parent.
    Children2(Vec<String>, Stat),
    /// One result for each operation.
    Multi(Vec<OpResult>),
    /// A count.
    Number(i32),
    /// The connection's identities.
    Clients(Vec<ClientInfo>),
}

/// The result of one operation of a multi or multi-read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpResult {
    /// Of a check.
    Checked,
    /// Of a delete.
    Deleted,
    /// Of a create.
    Path(String),
    /// Of create2, createContainer and createTTL.
    Created(String, Stat),
    /// Of setData.
    Stat(Stat),
    /// Of getData.
    Data(Option<Bytes>, Stat),
    /// Of getChildren.
    Children(Vec<String>),
    /// A number of [`super::ErrorCode`]; 0 for operations before the one that failed.
    Error(i32),
}

impl Reply {
    /// Appends the body.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Reply::Empty => {}
            Reply::Path(path) => path.write(writer),
            Reply::Created(path, stat) => {
                path.write(writer);
                stat.write(writer);
            }
            Reply::Stat(stat) => stat.write(writer),
            Reply::Data(data, stat) => {
                data.write(writer);
                stat.write(writer);
            }
            Reply::Acl(acl, stat) => {
                acl.write(writer);
                stat.write(writer);
            }
            Reply::Children(names) => names.write(writer),
            Reply::Children2(names, stat) => {
                names.write(writer);
                stat.write(writer);
            }
            Reply::Multi(results) => encode_results(results, writer),
            Reply::Number(number) => number.write(writer),
            Reply::Clients(clients) => clients.write(writer),
        }
    }

    /// Reads the answer to a request of type `op`.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Reply, WireError> {
        Ok(match op {
            OpCode::Create | OpCode::Sync => Reply::Path(Field::read(reader)?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Reply::Created(Field::read(reader)?, Field::read(reader)?)
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Reply::Stat(Field::read(reader)?),
            OpCode::GetData => Reply::Data(Field::read(reader)?, Field::read(reader)?),
            OpCode::GetAcl => Reply::Acl(Field::read(reader)?, Field::read(reader)?),
            OpCode::GetChildren | OpCode::GetEphemerals => Reply::Children(Field::read(reader)?),
            OpCode::GetChildren2 => Reply::Children2(Field::read(reader)?, Field::read(reader)?),
            OpCode::Multi | OpCode::MultiRead => Reply::Multi(decode_results(reader)?),
            OpCode::GetAllChildrenNumber | OpCode::AddWatch => Reply::Number(Field::read(reader)?),
            OpCode::WhoAmI => Reply::Clients(Field::read(reader)?),
            OpCode::Delete
            | OpCode::Ping
            | OpCode::Check
            | OpCode::Reconfig
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::DeleteContainer
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::Sasl
            | OpCode::CloseSession => Reply::Empty,
        })
    }
}

impl OpResult {
    fn header(&self) -> MultiHeader {
        let op = match self {
            OpResult::Checked => OpCode::Check,
            OpResult::Deleted => OpCode::Delete,
            OpResult::Path(_) => OpCode::Create,
            OpResult::Created(..) => OpCode::Create2,
            OpResult::Stat(_) => OpCode::SetData,
            OpResult::Data(..) => OpCode::GetData,
            OpResult::Children(_) => OpCode::GetChildren,
            OpResult::Error(error) => return MultiHeader { op: -1, done: false, error: *error },
        };
        MultiHeader { op: op.number(), done: false, error: 0 }
    }

    fn encode(&self, writer: &mut Writer) {
        self.header().write(writer);
        match self {
            OpResult::Checked | OpResult::Deleted => {}
            OpResult::Path(path) => path.write(writer),
            OpResult::Created(path, stat) => {
                path.write(writer);
                stat.write(writer);
            }
            OpResult::Stat(stat) => stat.write(writer),
            OpResult::Data(data, stat) => {
                data.write(writer);
                stat.write(writer);
            }
            OpResult::Children(names) => names.write(writer),
            OpResult::Error(error) => error.write(writer),
        }
    }

    fn decode(op: i32, reader: &mut Reader<'_>) -> Result<OpResult, WireError> {
        if op == -1 {
            return Ok(OpResult::Error(Field::read(reader)?));
        }
        Ok(match OpCode::from_number(op) {
            Some(OpCode::Check) => OpResult::Checked,
            Some(OpCode::Delete) => OpResult::Deleted,
            Some(OpCode::Create) => OpResult::Path(Field::read(reader)?),
            Some(OpCode::Create2) => OpResult::Created(Field::read(reader)?, Field::read(reader)?),
            Some(OpCode::SetData) => OpResult::Stat(Field::read(reader)?),
            Some(OpCode::GetData) => OpResult::Data(Field::read(reader)?, Field::read(reader)?),
            Some(OpCode::GetChildren) => OpResult::Children(Field::read(reader)?),
            _ => return Err(WireError::UnknownOp(op)),
        })
    }
}

fn encode_results(results: &[OpResult], writer: &mut Writer) {
    for result in results {
        result.encode(writer);
    }
    MultiHeader { op: -1, done: true, error: -1 }.write(writer);
}

fn decode_results(reader: &mut Reader<'_>) -> Result<Vec<OpResult>, WireError> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::read(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(OpResult::decode(header.op, reader)?);
    }
}
