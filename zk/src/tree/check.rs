//! May this write be done, and what exactly would it do? The answer is a [`Txn`] or ZooKeeper's error.
//!
//! The order of the checks is ZooKeeper's, because it decides which of two errors a client sees. Changes nothing.
//! Source: `PrepRequestProcessor.pRequest2Txn` of ZooKeeper 3.9.

use super::txn::{Owner, Txn};
use super::{Caller, SPECIAL, Tree, acl, path};
use crate::jute::{
    Acl, CreateMode, CreateRequest, ErrorCode, PathVersion, Request, SetAclRequest, SetDataRequest, perms,
};
use bytes::Bytes;

/// Longest time to live: 40 bits of milliseconds, as in ZooKeeper.
const MAX_TTL_MS: i64 = (1 << 40) - 1;

/// A create request of any of the four types.
struct Creation<'a> {
    path: &'a str,
    data: &'a Option<Bytes>,
    acl: &'a [Acl],
    flags: i32,
    ttl_ms: i64,
    /// Set by the types that imply how long the node lives.
    owner: Option<Owner>,
}

impl<'a> Creation<'a> {
    fn plain(request: &'a CreateRequest, owner: Option<Owner>) -> Creation<'a> {
        let CreateRequest { path, data, acl, flags } = request;
        Creation { path, data, acl, flags: *flags, ttl_ms: -1, owner }
    }
}

impl Tree {
    /// What a write would do; `Ok(None)` for a check, which changes nothing.
    pub(super) fn check(&self, caller: &Caller<'_>, request: &Request) -> Result<Option<Txn>, ErrorCode> {
        match request {
            Request::Create(r) | Request::Create2(r) => self.check_create(caller, &Creation::plain(r, None)),
            Request::CreateContainer(r) => {
                self.check_create(caller, &Creation::plain(r, Some(Owner::Container)))
            }
            Request::CreateTtl(r) => {
                let owner = Some(Owner::Ttl(r.ttl_ms));
                let (flags, ttl_ms) = (r.flags, r.ttl_ms);
                self.check_create(
                    caller,
                    &Creation { path: &r.path, data: &r.data, acl: &r.acl, flags, ttl_ms, owner },
                )
            }
            Request::Delete(r) => self.check_delete(caller, r),
            Request::SetData(r) => self.check_set_data(caller, r),
            Request::SetAcl(r) => self.check_set_acl(caller, r),
            Request::Check(r) => self.check_version(caller, r).map(|()| None),
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    fn check_create(&self, caller: &Caller<'_>, request: &Creation<'_>) -> Result<Option<Txn>, ErrorCode> {
        let (mode, sequential) = CreateMode::from_flags(request.flags).ok_or(ErrorCode::BadArguments)?;
        let lives_for_a_time = mode == CreateMode::Ttl || matches!(request.owner, Some(Owner::Ttl(_)));
        let ttl_is_valid = match mode {
            CreateMode::Ttl => true,
            _ => request.ttl_ms < 0,
        };
        if !ttl_is_valid || lives_for_a_time && !(1..=MAX_TTL_MS).contains(&request.ttl_ms) {
            return Err(ErrorCode::BadArguments);
        }
        if request.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let slash = request.path.rfind('/').ok_or(ErrorCode::BadArguments)?;
        let parent_path = if slash == 0 { "/" } else { &request.path[..slash] };
        let acl = acl::resolve(request.acl, caller.identities)?;
        let parent = self.node(parent_path)?;
        acl::require(&parent.acl, perms::CREATE, caller.identities)?;
        let path = match sequential {
            true => format!("{}{:010}", request.path, parent.children_created),
            false => request.path.to_owned(),
        };
        path::validate(&path)?;
        if self.nodes.contains_key(path.as_str()) {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent.owner, Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.check_size(request.data)?;
        if self.nodes.len() >= self.limits.max_nodes {
            return Err(ErrorCode::QuotaExceeded);
        }
        let owner = request.owner.unwrap_or(match mode {
            CreateMode::Ephemeral => Owner::Session(caller.session),
            _ => Owner::Nobody,
        });
        Ok(Some(Txn::Create { path, data: request.data.clone(), acl, owner }))
    }

    fn check_delete(&self, caller: &Caller<'_>, request: &PathVersion) -> Result<Option<Txn>, ErrorCode> {
        let path = request.path.as_str();
        if path.contains('\0') || SPECIAL.contains(&path) {
            return Err(ErrorCode::BadArguments);
        }
        let (parent, _) = path::split(path).ok_or(ErrorCode::BadArguments)?;
        acl::require(&self.node(parent)?.acl, perms::DELETE, caller.identities)?;
        let node = self.node(path)?;
        require_version(node.version, request.version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        Ok(Some(Txn::Delete { path: path.to_owned() }))
    }

    fn check_set_data(
        &self,
        caller: &Caller<'_>,
        request: &SetDataRequest,
    ) -> Result<Option<Txn>, ErrorCode> {
        path::validate(&request.path)?;
        let node = self.node(&request.path)?;
        acl::require(&node.acl, perms::WRITE, caller.identities)?;
        self.check_size(&request.data)?;
        require_version(node.version, request.version)?;
        Ok(Some(Txn::SetData { path: request.path.clone(), data: request.data.clone() }))
    }

    fn check_set_acl(&self, caller: &Caller<'_>, request: &SetAclRequest) -> Result<Option<Txn>, ErrorCode> {
        path::validate(&request.path)?;
        let acl = acl::resolve(&request.acl, caller.identities)?;
        let node = self.node(&request.path)?;
        acl::require(&node.acl, perms::ADMIN, caller.identities)?;
        require_version(node.aversion, request.version)?;
        Ok(Some(Txn::SetAcl { path: request.path.clone(), acl }))
    }

    fn check_version(&self, caller: &Caller<'_>, request: &PathVersion) -> Result<(), ErrorCode> {
        path::validate(&request.path)?;
        let node = self.node(&request.path)?;
        acl::require(&node.acl, perms::READ, caller.identities)?;
        require_version(node.version, request.version)
    }

    fn check_size(&self, data: &Option<Bytes>) -> Result<(), ErrorCode> {
        match data {
            Some(data) if data.len() > self.limits.max_node_bytes => Err(ErrorCode::QuotaExceeded),
            _ => Ok(()),
        }
    }
}

fn require_version(current: i32, expected: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == current { Ok(()) } else { Err(ErrorCode::BadVersion) }
}
