//! DescribeConfigs, API 32. Resource types: 2 topic, 4 broker, 8 broker logger.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeConfigsRequest`, `DescribeConfigsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the configuration of topics, brokers and loggers.
    DescribeConfigsRequest 0..=4, flexible 4.. {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }

    /// In `DescribeConfigsRequest::resources`.
    DescribeConfigsResource {
        resource_type: i8,
        resource_name: String,
        configuration_keys: Option<Vec<String>> = Some(Vec::new()),
    }
}

message! {
    /// The configuration of each resource.
    DescribeConfigsResponse 0..=4, flexible 4.. {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    /// In `DescribeConfigsResponse::results`.
    DescribeConfigsResult {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        resource_type: i8,
        resource_name: String,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    /// In `DescribeConfigsResult::configs`.
    DescribeConfigsResourceResult {
        name: String,
        value: Option<String> = Some(String::new()),
        read_only: bool,
        is_default: bool [0..=0],
        config_source: i8 [1.., else ignored] = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym> [1.., else ignored],
        config_type: i8 [3.., else ignored],
        documentation: Option<String> [3.., else ignored] = Some(String::new()),
    }

    /// In `DescribeConfigsResourceResult::synonyms`.
    DescribeConfigsSynonym {
        name: String,
        value: Option<String> = Some(String::new()),
        source: i8,
    }
}
