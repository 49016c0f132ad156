//! DescribeGroups, API 15. Answered by the group coordinator.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeGroupsRequest`, `DescribeGroupsResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Asks for the state and members of classic groups.
    DescribeGroupsRequest 0..=5, flexible 5.. {
        groups: Vec<String>,
        include_authorized_operations: bool [3..],
    }
}

message! {
    /// The groups.
    DescribeGroupsResponse 0..=5, flexible 5.. {
        throttle_time_ms: i32 [1.., else ignored],
        groups: Vec<DescribedGroup>,
    }

    /// In `DescribeGroupsResponse::groups`.
    DescribedGroup {
        error_code: i16,
        group_id: String,
        group_state: String,
        protocol_type: String,
        protocol_data: String,
        members: Vec<DescribedGroupMember>,
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// In `DescribedGroup::members`.
    DescribedGroupMember {
        member_id: String,
        group_instance_id: Option<String> [4.., else ignored],
        client_id: String,
        client_host: String,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
