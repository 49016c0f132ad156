//! ListGroups, API 16. Filters are KIP-518 and KIP-848.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ListGroupsRequest`, `ListGroupsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the groups this broker coordinates.
    ListGroupsRequest 0..=5, flexible 3.. {
        states_filter: Vec<String> [4..],
        types_filter: Vec<String> [5..],
    }
}

message! {
    /// The groups, filtered by state and type.
    ListGroupsResponse 0..=5, flexible 3.. {
        throttle_time_ms: i32 [1.., else ignored],
        error_code: i16,
        groups: Vec<ListedGroup>,
    }

    /// In `ListGroupsResponse::groups`.
    ListedGroup {
        group_id: String,
        protocol_type: String,
        group_state: String [4.., else ignored],
        group_type: String [5.., else ignored],
    }
}
