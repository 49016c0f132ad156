//! EndTxn, API 26. Answered by the transaction coordinator before the markers are out.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `EndTxnRequest`, `EndTxnResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Commits or aborts a transaction.
    EndTxnRequest 0..=4, flexible 3.. {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    }
}

message! {
    /// Whether the outcome was decided.
    EndTxnResponse 0..=4, flexible 3.. {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
