//! CreatePartitions, API 37. Answered by the controller.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `CreatePartitionsRequest`, `CreatePartitionsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Adds partitions to topics.
    CreatePartitionsRequest 0..=3, flexible 2.. {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// In `CreatePartitionsRequest::topics`.
    CreatePartitionsTopic {
        name: String,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>> = Some(Vec::new()),
    }

    /// In `CreatePartitionsTopic::assignments`.
    CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }
}

message! {
    /// How each topic fared.
    CreatePartitionsResponse 0..=3, flexible 2.. {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult>,
    }

    /// In `CreatePartitionsResponse::results`.
    CreatePartitionsTopicResult {
        name: String,
        error_code: i16,
        error_message: Option<String>,
    }
}
