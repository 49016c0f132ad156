//! DeleteTopics, API 20. Answered by the controller.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DeleteTopicsRequest`, `DeleteTopicsResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// Deletes topics by name or by id.
    DeleteTopicsRequest 0..=6, flexible 4.. {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<String> [0..=5, else ignored],
        timeout_ms: i32,
    }

    /// In `DeleteTopicsRequest::topics`.
    DeleteTopicState {
        name: Option<String>,
        topic_id: Uuid,
    }
}

message! {
    /// How each topic fared.
    DeleteTopicsResponse 0..=6, flexible 4.. {
        throttle_time_ms: i32 [1.., else ignored],
        responses: Vec<DeletableTopicResult>,
    }

    /// In `DeleteTopicsResponse::responses`.
    DeletableTopicResult {
        name: Option<String> [0.., null 6..] = Some(String::new()),
        topic_id: Uuid [6.., else ignored],
        error_code: i16,
        error_message: Option<String> [5.., else ignored],
    }
}
