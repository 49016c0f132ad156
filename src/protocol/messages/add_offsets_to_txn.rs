//! AddOffsetsToTxn, API 25. Answered by the transaction coordinator.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AddOffsetsToTxnRequest`, `AddOffsetsToTxnResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Adds a group's offsets to a transaction.
    AddOffsetsToTxnRequest 0..=4, flexible 3.. {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        group_id: String,
    }
}

message! {
    /// Whether they were added.
    AddOffsetsToTxnResponse 0..=4, flexible 3.. {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
