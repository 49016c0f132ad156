//! Heartbeat, API 12. Answered by the group coordinator.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `HeartbeatRequest`, `HeartbeatResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// A member of a classic group says that it lives.
    HeartbeatRequest 0..=4, flexible 4.. {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3..],
    }
}

message! {
    /// Whether the member must rejoin.
    HeartbeatResponse 0..=4, flexible 4.. {
        throttle_time_ms: i32 [1.., else ignored],
        error_code: i16,
    }
}
