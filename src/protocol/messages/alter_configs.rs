//! AlterConfigs, API 33. Resource types: 2 topic, 4 broker, 8 broker logger.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AlterConfigsRequest`, `AlterConfigsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Replaces the whole dynamic configuration of resources.
    AlterConfigsRequest 0..=2, flexible 2.. {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// In `AlterConfigsRequest::resources`.
    AlterConfigsResource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    /// In `AlterConfigsResource::configs`.
    AlterableConfig {
        name: String,
        value: Option<String> = Some(String::new()),
    }
}

message! {
    /// How each resource fared.
    AlterConfigsResponse 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    /// In `AlterConfigsResponse::responses`.
    AlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        resource_type: i8,
        resource_name: String,
    }
}
