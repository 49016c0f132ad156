//! IncrementalAlterConfigs, API 44. KIP-339; operations: 0 set, 1 delete, 2 append, 3 subtract.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `IncrementalAlterConfigsRequest`, `IncrementalAlterConfigsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Sets, deletes, appends to or subtracts from single configuration keys.
    IncrementalAlterConfigsRequest 0..=1, flexible 1.. {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// In `IncrementalAlterConfigsRequest::resources`.
    AlterConfigsResource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    /// In `AlterConfigsResource::configs`.
    AlterableConfig {
        name: String,
        config_operation: i8,
        value: Option<String> = Some(String::new()),
    }
}

message! {
    /// How each resource fared.
    IncrementalAlterConfigsResponse 0..=1, flexible 1.. {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    /// In `IncrementalAlterConfigsResponse::responses`.
    AlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        resource_type: i8,
        resource_name: String,
    }
}
