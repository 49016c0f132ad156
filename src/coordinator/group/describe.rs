//! DescribeGroups and ListGroups: what the shard shows of its groups.
//!
//! A group that is not there is shown as `Dead`. Members' metadata and assignments are shown in a stable group
//! only. Source: `GroupMetadata.summary` and `overview`, `handleListGroups`; KIP-518, KIP-848.

use std::sync::Arc;

use bytes::Bytes;

use super::classic::group::{Group, State};
use crate::protocol::error_code::ErrorCode;

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The group.
    pub group_id: String,
    /// What went wrong.
    pub error: ErrorCode,
    /// State name; `Dead` for an unknown group, empty on errors.
    pub state: &'static str,
    /// The group's kind, or empty.
    pub protocol_type: Arc<str>,
    /// The protocol in use when stable, or empty.
    pub protocol: Arc<str>,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its instance id, if static.
    pub group_instance_id: Option<Arc<str>>,
    /// Its client's id.
    pub client_id: Arc<str>,
    /// Where its client is, as Java prints an address.
    pub client_host: Arc<str>,
    /// What it says in the protocol in use.
    pub metadata: Bytes,
    /// What it works on.
    pub assignment: Bytes,
}

/// Which groups ListGroups shows; an empty list means all.
#[derive(Clone, Debug, Default)]
pub struct ListGroups {
    /// State names, in any case (v4+).
    pub states: Vec<String>,
    /// Group types, in any case (v5+); all groups here are `classic`.
    pub types: Vec<String>,
}

/// A group as ListGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: Arc<str>,
    /// Its kind, or empty.
    pub protocol_type: Arc<str>,
    /// State name.
    pub state: &'static str,
}

impl ListedGroup {
    /// The type of every group here.
    pub const GROUP_TYPE: &'static str = "classic";
}

impl Description {
    /// A refusal.
    pub fn error(group_id: String, error: ErrorCode) -> Description {
        Description {
            group_id,
            error,
            state: "",
            protocol_type: "".into(),
            protocol: "".into(),
            members: Vec::new(),
        }
    }

    /// The group of this id, or that there is none.
    pub(super) fn of(group_id: String, group: Option<&Group>) -> Description {
        let Some(group) = group else {
            return Description { state: "Dead", ..Description::error(group_id, ErrorCode::None) };
        };
        let stable = group.state == State::Stable;
        let protocol = group.protocol.clone().filter(|_| stable).unwrap_or_default();
        let members = group.members.values().map(|member| MemberDescription {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
            assignment: if stable { member.assignment.clone() } else { Bytes::new() },
        });
        Description {
            group_id,
            error: ErrorCode::None,
            state: group.state.name(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol,
        }
    }
}

impl ListGroups {
    /// Whether the group is asked for.
    pub(super) fn wants(&self, group: &Group) -> bool {
        let among = |list: &[String], name: &str| {
            list.is_empty() || list.iter().any(|asked| asked.eq_ignore_ascii_case(name))
        };
        among(&self.states, group.state.name()) && among(&self.types, ListedGroup::GROUP_TYPE)
    }
}

impl From<&Group> for ListedGroup {
    fn from(group: &Group) -> ListedGroup {
        ListedGroup {
            group_id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state.name(),
        }
    }
}
