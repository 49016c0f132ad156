//! AllocateProducerIds, API 67. Broker to controller (KIP-730).
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AllocateProducerIdsRequest`, `AllocateProducerIdsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// A broker asks the controller for a block of producer ids.
    AllocateProducerIdsRequest 0..=0, flexible 0.. {
        broker_id: i32,
        broker_epoch: i64 = -1,
    }
}

message! {
    /// The block.
    AllocateProducerIdsResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id_start: i64,
        producer_id_len: i32,
    }
}
