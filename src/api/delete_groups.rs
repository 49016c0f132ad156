//! DeleteGroups: forgets empty groups with all their offsets.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, Reply};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::delete_groups::DeletableGroupResult;
use crate::protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DeleteGroupsRequest,
    _call: Call<'_>,
) -> Answer<DeleteGroupsResponse> {
    let mut results: Vec<DeletableGroupResult> = Vec::new();
    for group_id in request.groups_names {
        if results.iter().any(|done| done.group_id == group_id) {
            continue;
        }
        let code = match broker.groups.ask(&group_id, Command::DeleteGroup(group_id.clone())).await {
            Reply::DeleteGroup(code) => code,
            _ => ErrorCode::UnknownServerError,
        };
        results.push(DeletableGroupResult { group_id, error_code: code.code(), ..Default::default() });
    }
    Answer::Now(DeleteGroupsResponse { results, ..Default::default() })
}
