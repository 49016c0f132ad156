//! One member of a classic group: who it is, what it speaks, and which of its requests are waiting.
//!
//! Invariant: at most one JoinGroup and one SyncGroup of a member wait at a time. Source: `MemberMetadata`.

use std::sync::Arc;

use bytes::Bytes;

use super::super::command::{JoinGroup, JoinedMember, Protocol};
use crate::coordinator::shard::Ticket;

/// A participant of a group.
#[derive(Debug)]
pub(in super::super) struct Member {
    pub id: Arc<str>,
    /// `group.instance.id` makes a member static.
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In order of preference.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// Not yet part of any generation: a waiting JoinGroup does not prove it alive.
    pub is_new: bool,
    /// The JoinGroup that waits for the next generation.
    pub joining: Option<Ticket>,
    /// The SyncGroup that waits for the leader's assignment.
    pub syncing: Option<Ticket>,
    pub session: Session,
}

/// When a member counts as dead. The timer lags behind: it fires at `armed_ms` and is set anew if the deadline
/// has moved meanwhile, so that a heartbeat only writes a number.
#[derive(Copy, Clone, Debug, Default)]
pub(in super::super) struct Session {
    pub deadline_ms: i64,
    pub armed_ms: Option<i64>,
}

impl Member {
    /// The member a JoinGroup describes.
    pub fn joining(id: Arc<str>, request: &mut JoinGroup) -> Member {
        Member {
            id,
            instance_id: request.group_instance_id.as_deref().map(Arc::from),
            client_id: request.client_id.as_str().into(),
            client_host: request.client_host.as_str().into(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: std::mem::take(&mut request.protocols),
            assignment: Bytes::new(),
            is_new: true,
            joining: None,
            syncing: None,
            session: Session::default(),
        }
    }

    /// Whether the member stays when it misses a rebalance.
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whether a passed deadline does not matter, because a request of the member is known to wait here.
    pub fn is_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// What the member says in `protocol`; nothing if it does not speak it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let spoken = self.protocols.iter().find(|spoken| &*spoken.name == protocol);
        spoken.map(|spoken| spoken.metadata.clone()).unwrap_or_default()
    }

    /// The member as the leader sees it.
    pub fn joined(&self, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }
}
