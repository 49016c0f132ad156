//! DescribeAcls, API 29. Numbers are those of `ResourceType`, `PatternType`, `AclOperation`, `AclPermissionType`.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeAclsRequest`, `DescribeAclsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for access rules that match a filter.
    DescribeAclsRequest 0..=3, flexible 2.. {
        resource_type_filter: i8,
        resource_name_filter: Option<String> = Some(String::new()),
        pattern_type_filter: i8 [1..] = 3,
        principal_filter: Option<String> = Some(String::new()),
        host_filter: Option<String> = Some(String::new()),
        operation: i8,
        permission_type: i8,
    }
}

message! {
    /// The rules, by resource.
    DescribeAclsResponse 0..=3, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        resources: Vec<DescribeAclsResource>,
    }

    /// In `DescribeAclsResponse::resources`.
    DescribeAclsResource {
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 [1..] = 3,
        acls: Vec<AclDescription>,
    }

    /// In `DescribeAclsResource::acls`.
    AclDescription {
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
