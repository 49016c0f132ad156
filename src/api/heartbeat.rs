//! Heartbeat: a member is alive, and learns whether its group rebalances. v3: static members.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, Heartbeat, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::{HeartbeatRequest, HeartbeatResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: HeartbeatRequest,
    _call: Call<'_>,
) -> Answer<HeartbeatResponse> {
    let answer =
        |code: ErrorCode| Answer::Now(HeartbeatResponse { error_code: code.code(), ..Default::default() });
    if request.group_id.is_empty() {
        return answer(ErrorCode::InvalidGroupId);
    }
    let group_id = request.group_id.clone();
    let command = Command::Heartbeat(Heartbeat {
        group_id: request.group_id,
        generation_id: request.generation_id,
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
    });
    match broker.groups.ask(&group_id, command).await {
        Reply::Heartbeat(code) => answer(code),
        _ => answer(ErrorCode::UnknownServerError),
    }
}
