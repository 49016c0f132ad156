//! DescribeGroups: state, protocol and members of groups. v3: authorised operations; v4: instance ids.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::Description;
use crate::coordinator::group::{Command, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use crate::protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

/// Every operation on a group, one bit each by its number (`AclOperation`): Read, Delete, Describe.
const GROUP_OPERATIONS: i32 = (1 << 3) | (1 << 6) | (1 << 8);

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeGroupsRequest,
    _call: Call<'_>,
) -> Answer<DescribeGroupsResponse> {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        let reply = broker.groups.ask(&group_id, Command::DescribeGroup(group_id.clone())).await;
        let mut group = match reply {
            Reply::DescribeGroup(description) => describe(description),
            _ => describe(Description::error(group_id, ErrorCode::UnknownServerError)),
        };
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = GROUP_OPERATIONS;
        }
        groups.push(group);
    }
    Answer::Now(DescribeGroupsResponse { groups, ..Default::default() })
}

fn describe(group: Description) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.member_id.to_string(),
        group_instance_id: member.group_instance_id.as_deref().map(str::to_owned),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..Default::default()
    });
    DescribedGroup {
        error_code: group.error.code(),
        group_id: group.group_id,
        group_state: group.state.to_owned(),
        protocol_type: group.protocol_type.to_string(),
        protocol_data: group.protocol.to_string(),
        members: members.collect(),
        ..Default::default()
    }
}
