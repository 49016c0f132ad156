//! CreateAcls, API 30. Numbers are those of `ResourceType`, `PatternType`, `AclOperation`, `AclPermissionType`.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `CreateAclsRequest`, `CreateAclsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Adds access rules.
    CreateAclsRequest 0..=3, flexible 2.. {
        creations: Vec<AclCreation>,
    }

    /// In `CreateAclsRequest::creations`.
    AclCreation {
        resource_type: i8,
        resource_name: String,
        resource_pattern_type: i8 [1..] = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}

message! {
    /// How each rule fared, in the order asked.
    CreateAclsResponse 0..=3, flexible 2.. {
        throttle_time_ms: i32,
        results: Vec<AclCreationResult>,
    }

    /// In `CreateAclsResponse::results`.
    AclCreationResult {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
    }
}
