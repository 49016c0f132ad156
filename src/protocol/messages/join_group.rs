//! JoinGroup, API 11. Static members are KIP-345.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `JoinGroupRequest`, `JoinGroupResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// A member enters a classic group, or stays in it through a rebalance.
    JoinGroupRequest 0..=9, flexible 6.. {
        group_id: String,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1.., else ignored] = -1,
        member_id: String,
        group_instance_id: Option<String> [5..],
        protocol_type: String,
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<String> [8.., else ignored],
    }

    /// In `JoinGroupRequest::protocols`.
    JoinGroupRequestProtocol {
        name: String,
        metadata: Bytes,
    }
}

message! {
    /// The generation, and for the leader the members to assign.
    JoinGroupResponse 0..=9, flexible 6.. {
        throttle_time_ms: i32 [2.., else ignored],
        error_code: i16,
        generation_id: i32 = -1,
        protocol_type: Option<String> [7.., else ignored],
        protocol_name: Option<String> [0.., null 7..] = Some(String::new()),
        leader: String,
        skip_assignment: bool [9..],
        member_id: String,
        members: Vec<JoinGroupResponseMember>,
    }

    /// In `JoinGroupResponse::members`.
    JoinGroupResponseMember {
        member_id: String,
        group_instance_id: Option<String> [5.., else ignored],
        metadata: Bytes,
    }
}
