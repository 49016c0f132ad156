//! The znode tree: pure, one transaction at a time.
//!
//! [`Tree`] holds nodes, sessions and watches, and answers as ZooKeeper 3.9 would: same stats, same sequence numbers,
//! same order of checks and so the same error. It reads no clock and draws no random number: time and passwords
//! come with the request, so a server, an in-process store and a simulator share it. What a write did is a
//! [`Record`]; applying the same records to the same tree gives the same tree, which is how it is restored.
//! Source: `PrepRequestProcessor`, `FinalRequestProcessor`, `DataTree` and `WatchManager` of ZooKeeper 3.9.

pub mod acl;
mod change;
mod check;
mod image;
mod node;
mod path;
mod read;
mod session;
#[cfg(test)]
mod tests;
mod txn;
mod watch;
mod write;

use crate::jute::{Acl, ErrorCode, Id, Stat};
use acl::AclTable;
use node::Node;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use thiserror::Error;

pub use image::ImageError;
pub use path::validate as validate_path;
pub use session::{Session, SessionClock};
pub use txn::{Owner, Record, Txn, TxnHeader};
pub use watch::{Fired, WatcherId};
pub use write::Outcome;

/// Bounds on what clients may make a tree hold or answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most nodes; a create beyond is refused with [`ErrorCode::QuotaExceeded`].
    pub max_nodes: usize,
    /// Largest data of one node, in bytes; more is refused with [`ErrorCode::QuotaExceeded`].
    pub max_node_bytes: usize,
    /// Largest answer, in bytes; a longer one becomes [`ErrorCode::MarshallingError`].
    pub max_reply_bytes: usize,
    /// Most watches of one connection; one more is refused with [`ErrorCode::QuotaExceeded`].
    pub max_watches: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_nodes: 5_000_000,
            max_node_bytes: 0xf_ffff,
            max_reply_bytes: 64 << 20,
            max_watches: 1_000_000,
        }
    }
}

/// Who asks: a session on a connection, with the identities it has proven.
#[derive(Copy, Clone, Debug)]
pub struct Caller<'a> {
    /// The session; ephemeral nodes belong to it.
    pub session: i64,
    /// The connection; watches belong to it.
    pub watcher: WatcherId,
    /// Its identities.
    pub identities: &'a [Id],
}

/// A record that does not fit the tree it is applied to: the log is not this tree's, or is damaged.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("transaction {zxid:#x} does not fit the tree, which is at {tree_zxid:#x}: {why}")]
pub struct MisfitError {
    /// The record's transaction.
    pub zxid: i64,
    /// The tree's last transaction.
    pub tree_zxid: i64,
    /// What did not fit.
    pub why: String,
}

/// Nodes, sessions and watches.
pub struct Tree {
    limits: Limits,
    nodes: HashMap<Box<str>, Node>,
    sessions: HashMap<i64, Session>,
    /// Paths of containers and TTL nodes, which [`Tree::reapable`] looks at.
    reaped: BTreeSet<Box<str>>,
    acls: AclTable,
    data_bytes: u64,
    last_zxid: i64,
    watches: watch::Watches,
}

/// Nodes every ZooKeeper has from the start and nobody may delete.
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

impl Tree {
    /// A tree with `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config`, as a new ZooKeeper has it.
    pub fn new(limits: Limits) -> Tree {
        let mut tree = Tree {
            limits,
            nodes: HashMap::new(),
            sessions: HashMap::new(),
            reaped: BTreeSet::new(),
            acls: AclTable::default(),
            data_bytes: 0,
            last_zxid: 0,
            watches: watch::Watches::default(),
        };
        let open = tree.acls.intern(vec![Acl::open()]);
        let read_only = tree.acls.intern(acl::read_only());
        for path in SPECIAL {
            let mut node = Node::special(open.clone());
            if path == "/zookeeper/config" {
                node.acl = read_only.clone();
                node.aversion = -1;
            }
            tree.insert(path.into(), node);
        }
        tree
    }

    /// The last transaction applied.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Number of nodes, the four that are always there included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes of all paths and data, as `mntr` counts them.
    pub fn approximate_data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Number of ephemeral nodes.
    pub fn ephemeral_count(&self) -> usize {
        self.sessions.values().map(|session| session.ephemerals.len()).sum()
    }

    /// Number of watches of all connections.
    pub fn watch_count(&self) -> usize {
        self.watches.count()
    }

    /// A session, if it is alive.
    pub fn session(&self, id: i64) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All sessions, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = (i64, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// The stat of a node, without any check of permissions.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.nodes.get(path).map(Node::stat)
    }

    /// Forgets the watches of a connection that is gone.
    pub fn drop_watcher(&mut self, watcher: WatcherId) {
        self.watches.drop_watcher(watcher);
    }

    /// Containers that lost their last child and TTL nodes idle beyond their time at `now_ms` (milliseconds since
    /// the epoch), at most `limit`. Give each to [`Tree::reap`]. Source: `ContainerManager.getCandidates`.
    pub fn reapable(&self, now_ms: i64, limit: usize) -> Vec<String> {
        let due = |path: &str| self.nodes.get(path).is_some_and(|node| node.is_reapable(now_ms));
        self.reaped.iter().filter(|path| due(path)).take(limit).map(|path| path.to_string()).collect()
    }

    fn node(&self, path: &str) -> Result<&Node, ErrorCode> {
        self.nodes.get(path).ok_or(ErrorCode::NoNode)
    }

    /// Puts a node into every index. Its parent, if it has one, must be there.
    fn insert(&mut self, path: Box<str>, node: Node) {
        if let Some((parent, name)) = path::split(&path)
            && let Some(parent) = self.nodes.get_mut(parent)
        {
            parent.children.insert(name.into());
        }
        match node.owner {
            Owner::Nobody => {}
            Owner::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.ephemerals.insert(path.clone());
                }
            }
            Owner::Container | Owner::Ttl(_) => {
                self.reaped.insert(path.clone());
            }
        }
        self.data_bytes += (path.len() + node.data_len()) as u64;
        self.nodes.insert(path, node);
    }

    /// Takes a node out of every index.
    fn remove(&mut self, path: &str) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        if let Some((parent, name)) = path::split(path)
            && let Some(parent) = self.nodes.get_mut(parent)
        {
            parent.children.remove(name);
        }
        match node.owner {
            Owner::Nobody => {}
            Owner::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.ephemerals.remove(path);
                }
            }
            Owner::Container | Owner::Ttl(_) => {
                self.reaped.remove(path);
            }
        }
        self.data_bytes -= (path.len() + node.data_len()) as u64;
        Some(node)
    }

    /// The list of a node's parent, to judge who may see that a child came or went.
    fn acl_of_parent(&self, path: &str) -> Option<Arc<[Acl]>> {
        let (parent, _) = path::split(path)?;
        self.nodes.get(parent).map(|node| node.acl.clone())
    }
}
