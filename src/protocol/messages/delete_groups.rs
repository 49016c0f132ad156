//! DeleteGroups, API 42. KIP-229.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DeleteGroupsRequest`, `DeleteGroupsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Deletes empty groups.
    DeleteGroupsRequest 0..=2, flexible 2.. {
        groups_names: Vec<String>,
    }
}

message! {
    /// How each group fared.
    DeleteGroupsResponse 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult>,
    }

    /// In `DeleteGroupsResponse::results`.
    DeletableGroupResult {
        group_id: String,
        error_code: i16,
    }
}
