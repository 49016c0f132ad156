//! SyncGroup, API 14. Answered by the group coordinator.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `SyncGroupRequest`, `SyncGroupResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// The leader hands in the assignment; every member asks for its own.
    SyncGroupRequest 0..=5, flexible 4.. {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3..],
        protocol_type: Option<String> [5.., else ignored],
        protocol_name: Option<String> [5.., else ignored],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// In `SyncGroupRequest::assignments`.
    SyncGroupRequestAssignment {
        member_id: String,
        assignment: Bytes,
    }
}

message! {
    /// The member's assignment, opaque to the broker.
    SyncGroupResponse 0..=5, flexible 4.. {
        throttle_time_ms: i32 [1.., else ignored],
        error_code: i16,
        protocol_type: Option<String> [5.., else ignored],
        protocol_name: Option<String> [5.., else ignored],
        assignment: Bytes,
    }
}
