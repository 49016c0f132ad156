//! JoinGroup: a member wants to be part of the next generation. The answer waits for the join barrier.
//!
//! v1: rebalance timeout; v4: newcomers are first told their id (KIP-394); v5: static members; v7: protocol type in the
//! answer; v8: reason; v9: the leader may be told to skip the assignment (KIP-814).

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, JoinGroup, JoinGroupReply, Protocol, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;
use crate::protocol::messages::join_group::JoinGroupResponseMember;
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: JoinGroupRequest,
    call: Call<'_>,
) -> Answer<JoinGroupResponse> {
    let version = call.version;
    if request.group_id.is_empty() {
        let refused = JoinGroupReply::error(request.member_id, ErrorCode::InvalidGroupId);
        return Answer::Now(respond(refused, version));
    }
    let group_id = request.group_id.clone();
    let command = Command::JoinGroup(JoinGroup {
        group_id: request.group_id,
        member_id: request.member_id,
        require_known_member_id: version >= 4 && request.group_instance_id.is_none(),
        group_instance_id: request.group_instance_id,
        supports_skip_assignment: version >= 9,
        client_id: call.client_id.to_owned(),
        client_host: call.caller.java_host(),
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        session_timeout_ms: request.session_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| Protocol { name: protocol.name.into(), metadata: protocol.metadata })
            .collect(),
        fresh_id: Uuid::random(),
    });
    let submitted = broker.groups.submit(&group_id, command).await;
    Answer::Later(Box::pin(async move {
        match submitted.reply().await {
            Reply::JoinGroup(reply) => respond(reply, version),
            _ => respond(JoinGroupReply::error("", ErrorCode::UnknownServerError), version),
        }
    }))
}

fn respond(reply: JoinGroupReply, version: i16) -> JoinGroupResponse {
    let text = |text: Option<Arc<str>>| text.as_deref().map(str::to_owned);
    JoinGroupResponse {
        error_code: reply.error.code(),
        generation_id: reply.generation_id,
        protocol_type: text(reply.protocol_type),
        protocol_name: match version {
            7.. => text(reply.protocol_name),
            _ => Some(text(reply.protocol_name).unwrap_or_default()),
        },
        leader: reply.leader.to_string(),
        skip_assignment: version >= 9 && reply.skip_assignment,
        member_id: reply.member_id.to_string(),
        members: reply
            .members
            .into_iter()
            .map(|member| JoinGroupResponseMember {
                member_id: member.member_id.to_string(),
                group_instance_id: text(member.group_instance_id),
                metadata: member.metadata,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}
