//! FindCoordinator, API 10. Key types: 0 group, 1 transaction, 2 share group.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `FindCoordinatorRequest`, `FindCoordinatorResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks which broker coordinates a group or a transactional id.
    FindCoordinatorRequest 0..=6, flexible 3.. {
        key: String [0..=3],
        key_type: i8 [1..],
        coordinator_keys: Vec<String> [4..],
    }
}

message! {
    /// The coordinators, one for each key.
    FindCoordinatorResponse 0..=6, flexible 3.. {
        throttle_time_ms: i32 [1.., else ignored],
        error_code: i16 [0..=3],
        error_message: Option<String> [1..=3, else ignored] = Some(String::new()),
        node_id: i32 [0..=3],
        host: String [0..=3],
        port: i32 [0..=3],
        coordinators: Vec<Coordinator> [4..],
    }

    /// In `FindCoordinatorResponse::coordinators`.
    Coordinator {
        key: String,
        node_id: i32,
        host: String,
        port: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
    }
}
