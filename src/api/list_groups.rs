//! ListGroups: the groups whose coordinator is here. v4: filter by state; v5: filter by type.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::coordinator::group::{Command, Reply};
use crate::coordinator::group::{ListGroups, ListedGroup as Listed};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::list_groups::ListedGroup;
use crate::protocol::messages::{ListGroupsRequest, ListGroupsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ListGroupsRequest,
    _call: Call<'_>,
) -> Answer<ListGroupsResponse> {
    let command =
        Command::ListGroups(ListGroups { states: request.states_filter, types: request.types_filter });
    let mut response = ListGroupsResponse::default();
    for reply in broker.groups.ask_all(&command).await {
        let Reply::ListGroups(code, groups) = reply else { continue };
        // A partition that loads is told beside the groups of those that serve; one that left meanwhile is not.
        if code != ErrorCode::None && code != ErrorCode::NotCoordinator {
            response.error_code = code.code();
        }
        response.groups.extend(groups.into_iter().map(|group| ListedGroup {
            group_id: group.group_id.to_string(),
            protocol_type: group.protocol_type.to_string(),
            group_state: group.state.to_owned(),
            group_type: Listed::GROUP_TYPE.to_owned(),
            ..Default::default()
        }));
    }
    Answer::Now(response)
}
