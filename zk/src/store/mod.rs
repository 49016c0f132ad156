//! The store: how a broker reads, writes and watches znodes.
//!
//! [`Store`] is the only way in; [`remote`] speaks to an ensemble (or to the embedded server) over TCP, [`local`] to the
//! embedded server in the same process, a simulator implements the same trait over a `tree`. Invariants every implementation keeps:
//! - requests of one store are applied in the order in which their futures were first polled;
//! - session events and changes of one [`Events`] come in order on one channel; between two watched roots there is
//!   no order, so owners read again instead of trusting a sequence;
//! - a change after [`Store::watch`] returned, or after [`SessionEvent::Reconnected`] was delivered, is never missed.
//!
//! Knows nothing of Kafka. Behaviour: ZooKeeper 3.8 (`ZooKeeper`, `ClientCnxn`), KIP-free.

pub mod events;
pub mod local;
pub mod recursive;
pub mod remote;
pub mod retry;

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;

pub use events::{ChangeKind, Event, EventSender, Events, SessionEvent, WatchRoot};
pub use local::Local;
pub use recursive::{create_recursive, delete_recursive};
pub use remote::{Options, Remote};

/// Requests of this size or more are refused: one byte less than the server's default `jute.maxbuffer` (1 MiB).
pub const MAX_REQUEST_BYTES: usize = 0xf_ffff - 1024;

/// What an operation of the store gives, later.
pub type StoreFuture<'a, T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Facts the server keeps beside a znode's data.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// Transaction that created the node. For `/brokers/ids/<id>` this is the broker epoch.
    pub czxid: i64,
    /// Transaction that last changed the data.
    pub mzxid: i64,
    /// Transaction that last created or deleted a child.
    pub pzxid: i64,
    /// Creation, milliseconds since 1970 by the server's clock.
    pub ctime_ms: i64,
    /// Last data change, milliseconds since 1970 by the server's clock.
    pub mtime_ms: i64,
    /// Number of data changes; what conditional writes compare.
    pub version: i32,
    /// Number of child changes.
    pub cversion: i32,
    /// Number of ACL changes.
    pub aversion: i32,
    /// Session that owns the ephemeral node, 0 for a persistent one.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
}

/// A znode as read. ZooKeeper's null data is read as empty data: nobody but `/latest_producer_id_block` could tell
/// them apart, and that one is never created without content (`kafka::producer_ids`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Content.
    pub data: Bytes,
    /// Version and the rest.
    pub stat: Stat,
}

/// The names (not paths) of a node's children, in no order, and the node's own [`Stat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Names of the children.
    pub names: Vec<String>,
    /// Of the parent.
    pub stat: Stat,
}

/// What kind of node [`Store::create`] makes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// Stays until deleted.
    Persistent,
    /// Goes with the session.
    Ephemeral,
    /// Stays; the server appends a 10-digit counter to the path.
    PersistentSequential,
}

/// A node just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Full path, with the counter if sequential.
    pub path: String,
    /// Version 0 and the transaction id.
    pub stat: Stat,
}

/// One operation of [`Store::multi`]. A version of `None` fits any version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The node exists with this data version.
    Check { path: String, version: i32 },
    /// See [`Store::create`].
    Create { path: String, data: Bytes, mode: CreateMode },
    /// See [`Store::set`].
    Set { path: String, data: Bytes, version: Option<i32> },
    /// See [`Store::delete`].
    Delete { path: String, version: Option<i32> },
}

impl Op {
    /// The node it is about.
    pub fn path(&self) -> &str {
        match self {
            Op::Check { path, .. }
            | Op::Create { path, .. }
            | Op::Set { path, .. }
            | Op::Delete { path, .. } => path,
        }
    }

    /// An upper bound of its bytes in a request: header, path, data, ACL, numbers.
    pub fn wire_size(&self) -> usize {
        let data = match self {
            Op::Create { data, .. } | Op::Set { data, .. } => data.len(),
            Op::Check { .. } | Op::Delete { .. } => 0,
        };
        128 + self.path().len() + data
    }
}

/// What one [`Op`] gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The check held.
    Checked,
    /// Path of the new node. Its `Stat` is not told inside a multi: let an [`Op::Set`] follow to learn it.
    Created { path: String },
    /// The node after the write.
    Set { stat: Stat },
    /// Gone.
    Deleted,
}

/// Why an operation failed. What the store can know of the outcome is told by [`StoreError::outcome_unknown`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such node (or no parent for a create).
    #[error("{0}: no such znode")]
    NoNode(String),
    /// The node to create exists.
    #[error("{0}: the znode exists already")]
    NodeExists(String),
    /// The node's version is not the expected one.
    #[error("{0}: the znode was changed by another (bad version)")]
    BadVersion(String),
    /// The node to delete has children.
    #[error("{0}: the znode has children")]
    NotEmpty(String),
    /// Ephemeral nodes can have no children.
    #[error("{0}: the parent is ephemeral and can have no children")]
    EphemeralParent(String),
    /// The session ended: its ephemerals are gone. Nothing was done.
    #[error("the ZooKeeper session expired")]
    SessionExpired,
    /// The connection broke (or anything else unexpected happened) before the answer: done or not, nobody knows.
    #[error("{path}: connection to ZooKeeper lost, outcome unknown: {detail}")]
    ConnectionLoss { path: String, detail: String },
    /// No answer in time: done or not, nobody knows; it may even still be done later.
    #[error("{path}: no answer from ZooKeeper within {timeout_ms} ms, outcome unknown")]
    Timeout { path: String, timeout_ms: u64 },
    /// The node's ACL refuses this session.
    #[error("{0}: refused by the znode's ACL; check zookeeper.set.acl and the ZooKeeper login")]
    Unauthorized(String),
    /// ZooKeeper refused the login.
    #[error("ZooKeeper refused the login; check the credentials for ZooKeeper")]
    AuthFailed,
    /// The request would reach the server's `jute.maxbuffer`, which closes the connection. Nothing was sent.
    #[error(
        "{path}: a request of {bytes} bytes exceeds ZooKeeper's limit of {MAX_REQUEST_BYTES}; make it smaller"
    )]
    TooLarge { path: String, bytes: usize },
    /// No server answered at start.
    #[error(
        "no ZooKeeper server of {connect:?} answered within {timeout_ms} ms ({detail}); check zookeeper.connect, \
         that the servers run, and zookeeper.connection.timeout.ms"
    )]
    Unreachable { connect: String, timeout_ms: u64, detail: String },
    /// A path or an option is wrong, or the server refuses the kind of request.
    #[error("{path}: {what}")]
    Other { path: String, what: String },
}

impl StoreError {
    /// Whether a write that failed so may have been applied: read back before repeating (see [`retry`]).
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, StoreError::ConnectionLoss { .. } | StoreError::Timeout { .. })
    }
}

/// Why a multi failed. Nothing of it was applied, unless the error's outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{error}", .index.map(|at| format!("operation {at} of the multi: ")).unwrap_or_default())]
pub struct MultiError {
    /// The operation that failed; `None` when the whole request did.
    pub index: Option<usize>,
    /// Why.
    pub error: StoreError,
}

impl From<StoreError> for MultiError {
    fn from(error: StoreError) -> MultiError {
        MultiError { index: None, error }
    }
}

impl From<MultiError> for StoreError {
    fn from(error: MultiError) -> StoreError {
        error.error
    }
}

/// A tree of znodes with versions, sessions and watches. Cheap to share as `Arc<dyn Store>`.
pub trait Store: Send + Sync {
    /// The node, or `None` if there is none.
    fn get<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Node>>;

    /// Many nodes, in the order of `paths`, pipelined. Not one snapshot: nodes may change between the reads.
    fn get_many<'a>(&'a self, paths: &'a [String]) -> StoreFuture<'a, Vec<Option<Node>>>;

    /// The names of the children. [`StoreError::NoNode`] if there is no such node.
    fn children<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Children>;

    /// The node's [`Stat`], or `None` if there is none.
    fn exists<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Stat>>;

    /// Creates a node whose parent exists.
    fn create<'a>(&'a self, path: &'a str, data: &'a [u8], mode: CreateMode) -> StoreFuture<'a, Created>;

    /// Overwrites the data if the version is `version` (any if `None`).
    fn set<'a>(&'a self, path: &'a str, data: &'a [u8], version: Option<i32>) -> StoreFuture<'a, Stat>;

    /// Deletes a node without children if its version is `version` (any if `None`).
    fn delete<'a>(&'a self, path: &'a str, version: Option<i32>) -> StoreFuture<'a, ()>;

    /// All of `ops` or none, in order; one result each. It cannot be split, so it must stay below
    /// [`MAX_REQUEST_BYTES`] (see [`split`] for what may be applied in several transactions).
    fn multi(&self, ops: Vec<Op>) -> StoreFuture<'_, Vec<OpResult>, MultiError>;

    /// Brings the server this session talks to up to date with the leader: what was committed before is seen by
    /// later reads. Call it before loading what decisions depend on.
    fn sync(&self) -> StoreFuture<'_, ()>;

    /// The session's id; 0 while there is none.
    fn session_id(&self) -> i64;

    /// Opens a channel of session events and of changes below `roots` (which may be empty: session events only; nodes
    /// need not exist). The first event is the state of the session. When this returns, every later change is
    /// delivered, so reading after it misses nothing. One path may be watched either as node or as tree, not both.
    fn watch<'a>(&'a self, roots: &'a [WatchRoot]) -> StoreFuture<'a, Events>;
}

fn check_size(path: &str, bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_REQUEST_BYTES {
        return Err(StoreError::TooLarge { path: path.to_owned(), bytes });
    }
    Ok(())
}

/// Cuts `ops` into transactions that stay below `limit` bytes each, every one led by `guard` if there is one. Only for
/// operations that need not be atomic together. An operation too large by itself gets a multi of its own, which the
/// store refuses with its path.
pub fn split(guard: Option<&Op>, ops: Vec<Op>, limit: usize) -> Vec<Vec<Op>> {
    let base = guard.map_or(0, Op::wire_size);
    let mut multis: Vec<Vec<Op>> = Vec::new();
    let mut size = usize::MAX;
    for op in ops {
        let bytes = op.wire_size();
        if size.saturating_add(bytes) > limit {
            multis.push(guard.cloned().into_iter().collect());
            size = base;
        }
        size = size.saturating_add(bytes);
        if let Some(last) = multis.last_mut() {
            last.push(op);
        }
    }
    multis
}

/// Polls all futures together and gives their outputs in order: how requests are pipelined. Keep it to some hundred
/// futures: every wake-up polls all that are left.
pub async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut open: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut outputs: Vec<Option<F::Output>> = open.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (slot, output) in open.iter_mut().zip(&mut outputs) {
            match slot.as_mut().map(|future| future.as_mut().poll(context)) {
                Some(Poll::Ready(ready)) => {
                    *output = Some(ready);
                    *slot = None;
                }
                Some(Poll::Pending) => pending = true,
                None => {}
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// The path of a node's parent; `None` for the root.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        Some(0) if path.len() > 1 => Some("/"),
        Some(at) if at > 0 => Some(&path[..at]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
    }

    #[test]
    fn splitting_keeps_order_and_leads_every_part_with_the_guard() {
        let guard = Op::Check { path: "/controller_epoch".into(), version: 3 };
        let ops: Vec<Op> =
            (0..100).map(|n| Op::Delete { path: format!("/some/longer/path/{n}"), version: None }).collect();
        let parts = split(Some(&guard), ops.clone(), 1000);
        assert!(parts.len() > 10);
        let mut seen = Vec::new();
        for part in parts {
            assert!(part.iter().map(Op::wire_size).sum::<usize>() <= 1000);
            assert_eq!(part[0], guard);
            seen.extend_from_slice(&part[1..]);
        }
        assert_eq!(seen, ops);
        assert!(split(None, Vec::new(), 1000).is_empty());
    }
}
