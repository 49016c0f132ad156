//! ZooKeeper's wire records.
//!
//! Everything a ZooKeeper 3.9 client and server say to each other, as plain values with `encode` and `decode`.
//! A frame is a four byte length followed by a header record and a body record; this room knows the records, not
//! the sockets. Every length is checked against what is left before anything is allocated, so hostile bytes end
//! as a [`WireError`]. Source: `zookeeper.jute` and `BinaryInputArchive` of ZooKeeper 3.9.

mod code;
mod records;
mod replies;
mod requests;
#[cfg(test)]
mod tests;
mod wire;

pub use code::{ErrorCode, OpCode};
pub use records::{
    Acl, ClientInfo, ConnectRequest, ConnectResponse, CreateMode, EventType, Id, KeeperState, ReplyHeader,
    RequestHeader, Stat, WatchEvent, perms, xids,
};
pub use replies::{OpResult, Reply};
pub use requests::{
    AddWatchRequest, AuthRequest, CreateRequest, CreateTtlRequest, PathVersion, PathWatch, Request,
    SetAclRequest, SetDataRequest, SetWatchesRequest, WatcherKindRequest,
};
pub use wire::{Field, Reader, WireError, Writer};
