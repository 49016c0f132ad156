//! A whole tree as bytes, for snapshots and comparisons. Equal trees give equal bytes.
//!
//! Sessions by id, lists of the nodes, nodes by path (so a parent comes before its children). Watches are not part of
//! it. The format is ours; the file around it, with its checksum, is the server's. Source of none of it: ZooKeeper.

use super::acl::AclTable;
use super::node::Node;
use super::session::Session;
use super::txn::{Owner, read_password};
use super::watch::Watches;
use super::{Limits, SPECIAL, Tree, path};
use crate::jute::{Acl, Field, Reader, WireError, Writer};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use thiserror::Error;

/// Why bytes are not a tree.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ImageError {
    /// A field cannot be read.
    #[error("image of a tree is damaged: {0}")]
    Wire(#[from] WireError),
    /// The parts contradict each other.
    #[error("image of a tree is damaged: {0}")]
    Inconsistent(String),
}

/// The number of each list in an image.
type ListNumbers = HashMap<Arc<[Acl]>, i32>;

impl Tree {
    /// Appends the tree to `writer`.
    pub fn write_image(&self, writer: &mut Writer) {
        self.last_zxid.write(writer);
        let mut sessions: Vec<_> = self.sessions.iter().collect();
        sessions.sort_unstable_by_key(|(id, _)| **id);
        (sessions.len() as i32).write(writer);
        for (id, session) in sessions {
            id.write(writer);
            session.timeout_ms.write(writer);
            writer.raw(&session.password);
        }
        let mut paths: Vec<&str> = self.nodes.keys().map(|path| path.as_ref()).collect();
        paths.sort_unstable();
        let (lists, numbers) = self.number_lists(&paths);
        (lists.len() as i32).write(writer);
        for list in lists {
            list.to_vec().write(writer);
        }
        (paths.len() as i32).write(writer);
        for path in paths {
            writer.string(path);
            write_node(&self.nodes[path], &numbers, writer);
        }
    }

    /// Lists in the order of their first use, and the number of each.
    fn number_lists(&self, paths: &[&str]) -> (Vec<Arc<[Acl]>>, ListNumbers) {
        let (mut lists, mut numbers) = (Vec::new(), HashMap::new());
        for path in paths {
            let list = &self.nodes[*path].acl;
            if !numbers.contains_key(list) {
                numbers.insert(list.clone(), lists.len() as i32);
                lists.push(list.clone());
            }
        }
        (lists, numbers)
    }

    /// Reads a tree that [`Tree::write_image`] wrote.
    pub fn read_image(reader: &mut Reader<'_>, limits: Limits) -> Result<Tree, ImageError> {
        let mut tree = Tree {
            limits,
            nodes: HashMap::new(),
            sessions: HashMap::new(),
            reaped: BTreeSet::new(),
            acls: AclTable::default(),
            data_bytes: 0,
            last_zxid: i64::read(reader)?,
            watches: Watches::default(),
        };
        for _ in 0..i32::read(reader)? {
            let (id, timeout_ms) = (i64::read(reader)?, i32::read(reader)?);
            let password = read_password(reader)?;
            tree.sessions.insert(id, Session { password, timeout_ms, ephemerals: BTreeSet::new() });
        }
        let mut lists = Vec::new();
        for _ in 0..i32::read(reader)? {
            let list = Vec::<Acl>::read(reader)?;
            lists.push(tree.acls.intern(list));
        }
        for _ in 0..i32::read(reader)? {
            let path = String::read(reader)?;
            let node = read_node(reader, &lists)?;
            tree.check_restored(&path, &node)?;
            tree.insert(path.into(), node);
        }
        match SPECIAL.iter().find(|path| !tree.nodes.contains_key(**path)) {
            Some(path) => Err(ImageError::Inconsistent(format!("{path} is missing"))),
            None => Ok(tree),
        }
    }

    fn check_restored(&self, path: &str, node: &Node) -> Result<(), ImageError> {
        let known = match path::split(path) {
            None => path == "/",
            Some((parent, _)) => self.nodes.contains_key(parent),
        };
        let owner_known = !matches!(node.owner, Owner::Session(id) if !self.sessions.contains_key(&id));
        if known && owner_known && !self.nodes.contains_key(path) {
            return Ok(());
        }
        Err(ImageError::Inconsistent(format!("{path} has no parent or no session, or is there twice")))
    }
}

fn write_node(node: &Node, numbers: &ListNumbers, writer: &mut Writer) {
    writer.buffer(node.data.as_deref());
    numbers[&node.acl].write(writer);
    node.owner.write(writer);
    for number in [node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime] {
        number.write(writer);
    }
    for number in [node.version, node.aversion, node.children_created] {
        number.write(writer);
    }
}

fn read_node(reader: &mut Reader<'_>, lists: &[Arc<[Acl]>]) -> Result<Node, ImageError> {
    let data = Field::read(reader)?;
    let number = i32::read(reader)?;
    let acl = usize::try_from(number).ok().and_then(|number| lists.get(number));
    Ok(Node {
        data,
        acl: acl.ok_or_else(|| ImageError::Inconsistent(format!("there is no list {number}")))?.clone(),
        owner: Field::read(reader)?,
        czxid: Field::read(reader)?,
        mzxid: Field::read(reader)?,
        pzxid: Field::read(reader)?,
        ctime: Field::read(reader)?,
        mtime: Field::read(reader)?,
        version: Field::read(reader)?,
        aversion: Field::read(reader)?,
        children_created: Field::read(reader)?,
        children: BTreeSet::new(),
    })
}
