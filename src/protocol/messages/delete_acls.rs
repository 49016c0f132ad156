//! DeleteAcls, API 31. Numbers are those of `ResourceType`, `PatternType`, `AclOperation`, `AclPermissionType`.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DeleteAclsRequest`, `DeleteAclsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Removes the access rules that match filters.
    DeleteAclsRequest 0..=3, flexible 2.. {
        filters: Vec<DeleteAclsFilter>,
    }

    /// In `DeleteAclsRequest::filters`.
    DeleteAclsFilter {
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
    /// What each filter removed, in the order asked.
    DeleteAclsResponse 0..=3, flexible 2.. {
        throttle_time_ms: i32,
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    /// In `DeleteAclsResponse::filter_results`.
    DeleteAclsFilterResult {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    /// In `DeleteAclsFilterResult::matching_acls`.
    DeleteAclsMatchingAcl {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 [1..] = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
