//! CreateTopics, API 19. Answered by the controller.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `CreateTopicsRequest`, `CreateTopicsResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// Creates topics.
    CreateTopicsRequest 0..=7, flexible 5.. {
        topics: Vec<CreatableTopic>,
        timeout_ms: i32 = 60000,
        validate_only: bool [1..],
    }

    /// In `CreateTopicsRequest::topics`.
    CreatableTopic {
        name: String,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig>,
    }

    /// In `CreatableTopic::assignments`.
    CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// In `CreatableTopic::configs`.
    CreatableTopicConfig {
        name: String,
        value: Option<String> = Some(String::new()),
    }
}

message! {
    /// How each topic fared, and what it was created with.
    CreateTopicsResponse 0..=7, flexible 5.. {
        throttle_time_ms: i32 [2.., else ignored],
        topics: Vec<CreatableTopicResult>,
    }

    /// In `CreateTopicsResponse::topics`.
    CreatableTopicResult {
        name: String,
        topic_id: Uuid [7.., else ignored],
        error_code: i16,
        error_message: Option<String> [1.., else ignored] = Some(String::new()),
        num_partitions: i32 [5.., else ignored] = -1,
        replication_factor: i16 [5.., else ignored] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5.., else ignored] = Some(Vec::new()),
        @0 topic_config_error_code: i16 [5.., else ignored],
    }

    /// In `CreatableTopicResult::configs`.
    CreatableTopicConfigs {
        name: String,
        value: Option<String> = Some(String::new()),
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
