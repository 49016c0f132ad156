//! The four changes of nodes, each with what takes it back.
//!
//! A multi applies its operations one by one and, when one is refused, takes the earlier ones back in reverse, so
//! the tree is as it was and nobody was told. Source: `DataTree.createNode`, `deleteNode`, `setData`, `setACL`.

use super::node::Node;
use super::txn::{Owner, Txn, TxnHeader};
use super::watch::Change;
use super::{Tree, path};
use crate::jute::{Acl, ErrorCode, EventType};
use bytes::Bytes;
use std::sync::Arc;

/// Takes one change back.
pub(super) enum Undo {
    Create { path: String, children_created: i32, pzxid: i64 },
    Delete { path: String, node: Box<Node>, pzxid: i64 },
    Data { path: String, data: Option<Bytes>, mzxid: i64, mtime: i64, version: i32 },
    Acl { path: String, acl: Arc<[Acl]>, aversion: i32 },
}

/// What happened so far under one transaction number.
#[derive(Default)]
pub(super) struct Journal {
    pub undo: Vec<Undo>,
    pub changes: Vec<Change>,
}

impl Tree {
    /// Makes one change. A multi and sessions are not single changes.
    pub(super) fn change(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        journal: &mut Journal,
    ) -> Result<(), ErrorCode> {
        match txn {
            Txn::Create { path, data, acl, owner } => {
                self.create_node(header, path, data.clone(), acl.clone(), *owner, journal)
            }
            Txn::Delete { path } => self.delete_node(header.zxid, path, journal),
            Txn::SetData { path, data } => self.set_data(header, path, data.clone(), journal),
            Txn::SetAcl { path, acl } => self.set_acl(path, acl.clone(), journal),
            Txn::CreateSession { .. } | Txn::CloseSession | Txn::Multi(_) => Err(ErrorCode::BadArguments),
        }
    }

    fn create_node(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<Bytes>,
        acl: Vec<Acl>,
        owner: Owner,
        journal: &mut Journal,
    ) -> Result<(), ErrorCode> {
        let (parent_path, _) = path::split(path).ok_or(ErrorCode::BadArguments)?;
        if self.nodes.contains_key(path) {
            return Err(ErrorCode::NodeExists);
        }
        let parent = self.nodes.get_mut(parent_path).ok_or(ErrorCode::NoNode)?;
        journal.undo.push(Undo::Create {
            path: path.to_owned(),
            children_created: parent.children_created,
            pzxid: parent.pzxid,
        });
        // At the last number ZooKeeper stops counting, and so stops telling.
        if let Some(next) = parent.children_created.checked_add(1) {
            parent.children_created = next;
            parent.pzxid = header.zxid;
        }
        let acl = self.acls.intern(acl);
        self.insert(path.into(), Node::created(data, acl.clone(), owner, header.zxid, header.time_ms));
        self.note(EventType::Created, path, acl, journal);
        Ok(())
    }

    fn delete_node(&mut self, zxid: i64, path: &str, journal: &mut Journal) -> Result<(), ErrorCode> {
        let (parent_path, _) = path::split(path).ok_or(ErrorCode::BadArguments)?;
        if !self.node(path)?.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        let node = self.remove(path).ok_or(ErrorCode::NoNode)?;
        self.note(EventType::Deleted, path, node.acl.clone(), journal);
        let parent = self.nodes.get_mut(parent_path).ok_or(ErrorCode::NoNode)?;
        let pzxid = std::mem::replace(&mut parent.pzxid, zxid);
        journal.undo.push(Undo::Delete { path: path.to_owned(), node: Box::new(node), pzxid });
        Ok(())
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<Bytes>,
        journal: &mut Journal,
    ) -> Result<(), ErrorCode> {
        let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        self.data_bytes -= node.data_len() as u64;
        journal.undo.push(Undo::Data {
            path: path.to_owned(),
            data: std::mem::replace(&mut node.data, data),
            mzxid: std::mem::replace(&mut node.mzxid, header.zxid),
            mtime: std::mem::replace(&mut node.mtime, header.time_ms),
            version: node.version,
        });
        node.version = node.version.wrapping_add(1);
        self.data_bytes += node.data_len() as u64;
        let acl = node.acl.clone();
        self.note(EventType::DataChanged, path, acl, journal);
        Ok(())
    }

    fn set_acl(&mut self, path: &str, acl: Vec<Acl>, journal: &mut Journal) -> Result<(), ErrorCode> {
        let acl = self.acls.intern(acl);
        let node = self.nodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        let before = std::mem::replace(&mut node.acl, acl);
        journal.undo.push(Undo::Acl { path: path.to_owned(), acl: before, aversion: node.aversion });
        node.aversion = node.aversion.wrapping_add(1);
        Ok(())
    }

    /// Remembers what watchers must hear of, if there are any.
    fn note(&self, event: EventType, path: &str, acl: Arc<[Acl]>, journal: &mut Journal) {
        if !self.watches.is_empty() {
            let parent_acl = self.acl_of_parent(path);
            journal.changes.push(Change { event, path: path.to_owned(), acl, parent_acl });
        }
    }

    /// Takes all changes of a journal back, the last one first.
    pub(super) fn undo(&mut self, journal: Journal) {
        for undo in journal.undo.into_iter().rev() {
            match undo {
                Undo::Create { path, children_created, pzxid } => {
                    self.remove(&path);
                    if let Some(parent) = self.parent_mut(&path) {
                        parent.children_created = children_created;
                        parent.pzxid = pzxid;
                    }
                }
                Undo::Delete { path, node, pzxid } => {
                    if let Some(parent) = self.parent_mut(&path) {
                        parent.pzxid = pzxid;
                    }
                    self.insert(path.into(), *node);
                }
                Undo::Data { path, data, mzxid, mtime, version } => {
                    if let Some(node) = self.nodes.get_mut(path.as_str()) {
                        self.data_bytes -= node.data_len() as u64;
                        (node.data, node.mzxid, node.mtime, node.version) = (data, mzxid, mtime, version);
                        self.data_bytes += node.data_len() as u64;
                    }
                }
                Undo::Acl { path, acl, aversion } => {
                    if let Some(node) = self.nodes.get_mut(path.as_str()) {
                        (node.acl, node.aversion) = (acl, aversion);
                    }
                }
            }
        }
    }

    fn parent_mut(&mut self, path: &str) -> Option<&mut Node> {
        let (parent, _) = path::split(path)?;
        self.nodes.get_mut(parent)
    }
}
