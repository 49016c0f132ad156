//! One znode, and its stat as clients see it. Source: `DataNode.copyStat` of ZooKeeper 3.9.

use super::txn::Owner;
use crate::jute::{Acl, Stat};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A node. `children_created` counts creations only: it numbers sequential children and never goes back.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub data: Option<Bytes>,
    pub acl: Arc<[Acl]>,
    pub owner: Owner,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub aversion: i32,
    pub children_created: i32,
    pub children: BTreeSet<Box<str>>,
}

impl Node {
    /// A node that was there before the first transaction.
    pub fn special(acl: Arc<[Acl]>) -> Node {
        Node::created(Some(Bytes::new()), acl, Owner::Nobody, 0, 0)
    }

    /// A node as its creation leaves it.
    pub fn created(data: Option<Bytes>, acl: Arc<[Acl]>, owner: Owner, zxid: i64, time: i64) -> Node {
        Node {
            data,
            acl,
            owner,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            version: 0,
            aversion: 0,
            children_created: 0,
            children: BTreeSet::new(),
        }
    }

    /// Length of the data; null counts as 0.
    pub fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, Bytes::len)
    }

    /// What clients see. Their `cversion` counts deletions too: each child ever created and not there any more
    /// was deleted once.
    pub fn stat(&self) -> Stat {
        let num_children = self.children.len() as i32;
        let ephemeral_owner = match self.owner {
            Owner::Session(id) => id,
            Owner::Nobody | Owner::Container | Owner::Ttl(_) => 0,
        };
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.children_created.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner,
            data_length: self.data_len() as i32,
            num_children,
            pzxid: self.pzxid,
        }
    }

    /// Whether a container or TTL node has outlived its purpose. A container that never had a child stays.
    pub fn is_reapable(&self, now_ms: i64) -> bool {
        self.children.is_empty()
            && match self.owner {
                Owner::Container => self.children_created > 0,
                Owner::Ttl(ttl_ms) => now_ms.saturating_sub(self.mtime) > ttl_ms,
                Owner::Nobody | Owner::Session(_) => false,
            }
    }
}
