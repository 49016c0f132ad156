//! LeaveGroup, API 13. Version 3 removes several at once (KIP-345).
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `LeaveGroupRequest`, `LeaveGroupResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Removes members from a classic group.
    LeaveGroupRequest 0..=5, flexible 4.. {
        group_id: String,
        member_id: String [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    /// In `LeaveGroupRequest::members`.
    MemberIdentity {
        member_id: String,
        group_instance_id: Option<String>,
        reason: Option<String> [5.., else ignored],
    }
}

message! {
    /// How each member fared.
    LeaveGroupResponse 0..=5, flexible 4.. {
        throttle_time_ms: i32 [1.., else ignored],
        error_code: i16,
        members: Vec<MemberResponse> [3..],
    }

    /// In `LeaveGroupResponse::members`.
    MemberResponse {
        member_id: String,
        group_instance_id: Option<String> = Some(String::new()),
        error_code: i16,
    }
}
