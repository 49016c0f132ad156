//! Reads, and what they leave behind: watches.
//!
//! Source: `FinalRequestProcessor`, `DataTree.setWatches` of ZooKeeper 3.9. Changes no node.

use super::watch::{ANY, ONE_SHOT, PERSISTENT, RECURSIVE};
use super::{Caller, Fired, Tree, acl};
use crate::jute::{
    AddWatchRequest, ErrorCode, EventType, OpResult, PathWatch, Reply, Request, SetWatchesRequest,
    WatcherKindRequest, perms,
};

/// What an answer holds besides names and data, generously.
const REPLY_OVERHEAD: usize = 128;

impl Tree {
    /// Answers a read. Watches set again that fire at once are appended to `fired`.
    pub fn read(
        &mut self,
        caller: &Caller<'_>,
        request: &Request,
        fired: &mut Vec<Fired>,
    ) -> Result<Reply, ErrorCode> {
        if !self.sessions.contains_key(&caller.session) {
            return Err(ErrorCode::SessionExpired);
        }
        let mut budget = self.limits.max_reply_bytes;
        match request {
            Request::Exists(r) => self.exists(caller, r),
            Request::GetData(r) => {
                let (data, stat) = self.get_data(caller, r, &mut budget)?;
                Ok(Reply::Data(data, stat))
            }
            Request::GetChildren(r) => Ok(Reply::Children(self.get_children(caller, r, &mut budget)?)),
            Request::GetChildren2(r) => {
                let names = self.get_children(caller, r, &mut budget)?;
                Ok(Reply::Children2(names, self.node(&r.path)?.stat()))
            }
            Request::GetAcl(path) => self.get_acl(caller, path),
            Request::GetAllChildrenNumber(path) => self.count_descendants(caller, path),
            Request::GetEphemerals(prefix) => self.ephemerals(caller, prefix.as_deref()),
            Request::MultiRead(ops) => Ok(Reply::Multi(self.multi_read(caller, ops, &mut budget)?)),
            Request::Sync(path) => Ok(Reply::Path(path.clone())),
            Request::WhoAmI => Ok(Reply::Clients(caller.identities.iter().map(acl::client_info).collect())),
            Request::SetWatches(r) | Request::SetWatches2(r) => self.set_watches(caller, r, fired),
            Request::AddWatch(r) => self.add_watch(caller, r),
            Request::CheckWatches(r) => {
                let (data, child) = kinds(r.kind, true)?;
                let has = self.watches.has(data, child, &r.path, caller.watcher);
                has.then_some(Reply::Empty).ok_or(ErrorCode::NoWatcher)
            }
            Request::RemoveWatches(r) => self.remove_watches(caller, r),
            Request::Ping => Ok(Reply::Empty),
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    fn exists(&mut self, caller: &Caller<'_>, request: &PathWatch) -> Result<Reply, ErrorCode> {
        if request.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let stat = match self.nodes.get(request.path.as_str()) {
            None => None,
            Some(node) => {
                acl::require(&node.acl, perms::READ, caller.identities)?;
                Some(node.stat())
            }
        };
        if request.watch {
            self.room_for_watches(caller, 1)?;
            self.watches.add_data(&request.path, caller.watcher);
        }
        stat.map(Reply::Stat).ok_or(ErrorCode::NoNode)
    }

    fn get_data(
        &mut self,
        caller: &Caller<'_>,
        request: &PathWatch,
        budget: &mut usize,
    ) -> Result<(Option<bytes::Bytes>, crate::jute::Stat), ErrorCode> {
        let node = self.node(&request.path)?;
        acl::require(&node.acl, perms::READ, caller.identities)?;
        spend(budget, node.data_len() + REPLY_OVERHEAD)?;
        let answer = (node.data.clone(), node.stat());
        if request.watch {
            self.room_for_watches(caller, 1)?;
            self.watches.add_data(&request.path, caller.watcher);
        }
        Ok(answer)
    }

    fn get_children(
        &mut self,
        caller: &Caller<'_>,
        request: &PathWatch,
        budget: &mut usize,
    ) -> Result<Vec<String>, ErrorCode> {
        let node = self.node(&request.path)?;
        acl::require(&node.acl, perms::READ, caller.identities)?;
        spend(budget, REPLY_OVERHEAD)?;
        let mut names = Vec::with_capacity(node.children.len());
        for name in &node.children {
            spend(budget, name.len() + 4)?;
            names.push(name.to_string());
        }
        if request.watch {
            self.room_for_watches(caller, 1)?;
            self.watches.add_child(&request.path, caller.watcher);
        }
        Ok(names)
    }

    /// Each read has its own result, and each its share of the one limit on the answer.
    fn multi_read(
        &mut self,
        caller: &Caller<'_>,
        ops: &[Request],
        budget: &mut usize,
    ) -> Result<Vec<OpResult>, ErrorCode> {
        let mut results = Vec::with_capacity(ops.len());
        for op in ops {
            let result = match op {
                Request::GetData(r) => {
                    self.get_data(caller, r, budget).map(|(data, stat)| OpResult::Data(data, stat))
                }
                Request::GetChildren(r) => self.get_children(caller, r, budget).map(OpResult::Children),
                _ => return Err(ErrorCode::MarshallingError),
            };
            match result {
                Err(ErrorCode::MarshallingError) => return Err(ErrorCode::MarshallingError),
                Err(error) => results.push(OpResult::Error(error.number())),
                Ok(result) => results.push(result),
            }
        }
        Ok(results)
    }

    fn get_acl(&self, caller: &Caller<'_>, path: &str) -> Result<Reply, ErrorCode> {
        let node = self.node(path)?;
        acl::require(&node.acl, perms::READ | perms::ADMIN, caller.identities)?;
        let acl = match acl::allows(&node.acl, perms::ADMIN, caller.identities) {
            true => node.acl.to_vec(),
            false => acl::masked(&node.acl),
        };
        Ok(Reply::Acl(acl, node.stat()))
    }

    fn count_descendants(&self, caller: &Caller<'_>, path: &str) -> Result<Reply, ErrorCode> {
        acl::require(&self.node(path)?.acl, perms::READ, caller.identities)?;
        if path == "/" {
            return Ok(Reply::Number(self.nodes.len() as i32 - 1));
        }
        let below = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        Ok(Reply::Number(self.nodes.keys().filter(|other| below(other)).count() as i32))
    }

    fn ephemerals(&self, caller: &Caller<'_>, prefix: Option<&str>) -> Result<Reply, ErrorCode> {
        let session = self.sessions.get(&caller.session).ok_or(ErrorCode::SessionExpired)?;
        let prefix = match prefix.map(str::trim) {
            None | Some("" | "/") => "",
            Some(prefix) => prefix,
        };
        let mut budget = self.limits.max_reply_bytes;
        let mut paths = Vec::new();
        for path in session.ephemerals.iter().filter(|path| path.starts_with(prefix)) {
            spend(&mut budget, path.len() + 4)?;
            paths.push(path.to_string());
        }
        Ok(Reply::Children(paths))
    }

    fn add_watch(&mut self, caller: &Caller<'_>, request: &AddWatchRequest) -> Result<Reply, ErrorCode> {
        self.room_for_watches(caller, 2)?;
        match request.mode {
            0 => self.watches.add_persistent(&request.path, caller.watcher),
            1 => self.watches.add_recursive(&request.path, caller.watcher),
            _ => return Err(ErrorCode::MarshallingError),
        }
        Ok(Reply::Number(0))
    }

    fn remove_watches(
        &mut self,
        caller: &Caller<'_>,
        request: &WatcherKindRequest,
    ) -> Result<Reply, ErrorCode> {
        let (data, child) = kinds(request.kind, false)?;
        let removed = self.watches.remove(data, child, &request.path, caller.watcher);
        removed.then_some(Reply::Empty).ok_or(ErrorCode::NoWatcher)
    }

    /// Sets the watches a client had on its last connection; what changed since its last transaction fires now.
    fn set_watches(
        &mut self,
        caller: &Caller<'_>,
        request: &SetWatchesRequest,
        fired: &mut Vec<Fired>,
    ) -> Result<Reply, ErrorCode> {
        let SetWatchesRequest { relative_zxid, data, exist, child, persistent, persistent_recursive } =
            request;
        let asked =
            data.len() + exist.len() + child.len() + 2 * persistent.len() + persistent_recursive.len();
        self.room_for_watches(caller, asked)?;
        let mut tell = |event, path: &str| fired.push(Fired::at_once(caller.watcher, event, path));
        for path in data {
            match self.nodes.get(path.as_str()) {
                None => tell(EventType::Deleted, path),
                Some(node) if node.mzxid > *relative_zxid => tell(EventType::DataChanged, path),
                Some(_) => self.watches.add_data(path, caller.watcher),
            }
        }
        for path in exist {
            match self.nodes.contains_key(path.as_str()) {
                true => tell(EventType::Created, path),
                false => self.watches.add_data(path, caller.watcher),
            }
        }
        for path in child {
            match self.nodes.get(path.as_str()) {
                None => tell(EventType::Deleted, path),
                Some(node) if node.pzxid > *relative_zxid => tell(EventType::ChildrenChanged, path),
                Some(_) => self.watches.add_child(path, caller.watcher),
            }
        }
        for path in persistent {
            self.watches.add_persistent(path, caller.watcher);
        }
        for path in persistent_recursive {
            self.watches.add_recursive(path, caller.watcher);
        }
        Ok(Reply::Empty)
    }

    fn room_for_watches(&self, caller: &Caller<'_>, more: usize) -> Result<(), ErrorCode> {
        let count = self.watches.count_of(caller.watcher).saturating_add(more);
        if count > self.limits.max_watches { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }
}

fn spend(budget: &mut usize, bytes: usize) -> Result<(), ErrorCode> {
    *budget = budget.checked_sub(bytes).ok_or(ErrorCode::MarshallingError)?;
    Ok(())
}

/// Which kinds of data and of child watches a number stands for. A persistent watch is looked up among the data
/// watches only, and removed from both.
fn kinds(kind: i32, looking: bool) -> Result<(u8, u8), ErrorCode> {
    match kind {
        1 => Ok((0, ONE_SHOT)),
        2 => Ok((ONE_SHOT, 0)),
        3 => Ok((ANY, ANY)),
        4 => Ok((PERSISTENT, if looking { 0 } else { PERSISTENT })),
        5 => Ok((RECURSIVE, 0)),
        _ => Err(ErrorCode::MarshallingError),
    }
}
