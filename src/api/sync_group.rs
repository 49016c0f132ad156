//! SyncGroup: the leader hands in the assignments, everybody gets their own. The answer waits for the leader.
//! v3: static members; v5: protocol type and name must agree with the group's.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, Reply, SyncGroup, SyncGroupReply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::{SyncGroupRequest, SyncGroupResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: SyncGroupRequest,
    call: Call<'_>,
) -> Answer<SyncGroupResponse> {
    if request.group_id.is_empty() {
        return Answer::Now(respond(SyncGroupReply::error(ErrorCode::InvalidGroupId)));
    }
    let group_id = request.group_id.clone();
    let command = Command::SyncGroup(SyncGroup {
        group_id: request.group_id,
        generation_id: request.generation_id,
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
        require_protocol: call.version >= 5,
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: request
            .assignments
            .into_iter()
            .map(|assignment| (assignment.member_id, assignment.assignment))
            .collect(),
    });
    let submitted = broker.groups.submit(&group_id, command).await;
    Answer::Later(Box::pin(async move {
        match submitted.reply().await {
            Reply::SyncGroup(reply) => respond(reply),
            _ => respond(SyncGroupReply::error(ErrorCode::UnknownServerError)),
        }
    }))
}

fn respond(reply: SyncGroupReply) -> SyncGroupResponse {
    let text = |text: Option<Arc<str>>| text.as_deref().map(str::to_owned);
    SyncGroupResponse {
        error_code: reply.error.code(),
        protocol_type: text(reply.protocol_type),
        protocol_name: text(reply.protocol_name),
        assignment: reply.assignment,
        ..Default::default()
    }
}
