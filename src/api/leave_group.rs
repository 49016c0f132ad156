//! LeaveGroup: members leave, or are removed by an administrator. v3: several at once, also by instance id; v5: reason.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, LeaveGroup, LeaveGroupReply, LeavingMember, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::leave_group::MemberResponse;
use crate::protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: LeaveGroupRequest,
    call: Call<'_>,
) -> Answer<LeaveGroupResponse> {
    let failed =
        |code: ErrorCode| Answer::Now(LeaveGroupResponse { error_code: code.code(), ..Default::default() });
    if request.group_id.is_empty() {
        return failed(ErrorCode::InvalidGroupId);
    }
    let members = match call.version {
        0..=2 => vec![LeavingMember { member_id: request.member_id, group_instance_id: None }],
        _ => request
            .members
            .into_iter()
            .map(|member| LeavingMember {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
            })
            .collect(),
    };
    let command = Command::LeaveGroup(LeaveGroup { group_id: request.group_id.clone(), members });
    match broker.groups.ask(&request.group_id, command).await {
        Reply::LeaveGroup(reply) => Answer::Now(respond(reply, call.version)),
        _ => failed(ErrorCode::UnknownServerError),
    }
}

fn respond(reply: LeaveGroupReply, version: i16) -> LeaveGroupResponse {
    if version <= 2 {
        // Old versions have one member and one code.
        let member = reply.members.first().map_or(ErrorCode::None, |(_, code)| *code);
        let code = if reply.error == ErrorCode::None { member } else { reply.error };
        return LeaveGroupResponse { error_code: code.code(), ..Default::default() };
    }
    let members = reply.members.into_iter().map(|(member, code)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code.code(),
        ..Default::default()
    });
    LeaveGroupResponse { error_code: reply.error.code(), members: members.collect(), ..Default::default() }
}
