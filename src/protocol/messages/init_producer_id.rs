//! InitProducerId, API 22. KIP-98, KIP-360.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `InitProducerIdRequest`, `InitProducerIdResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for a producer id, or for a new epoch of a transactional one.
    InitProducerIdRequest 0..=5, flexible 2.. {
        transactional_id: Option<String> = Some(String::new()),
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
    }
}

message! {
    /// The producer id and epoch.
    InitProducerIdResponse 0..=5, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 = -1,
        producer_epoch: i16,
    }
}
