//! ListTransactions, API 66. KIP-664, KIP-994.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ListTransactionsRequest`, `ListTransactionsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the transactions this broker coordinates.
    ListTransactionsRequest 0..=1, flexible 0.. {
        state_filters: Vec<String>,
        producer_id_filters: Vec<i64>,
        duration_filter: i64 [1..] = -1,
    }
}

message! {
    /// The transactions, filtered.
    ListTransactionsResponse 0..=1, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        unknown_state_filters: Vec<String>,
        transaction_states: Vec<TransactionState>,
    }

    /// In `ListTransactionsResponse::transaction_states`.
    TransactionState {
        transactional_id: String,
        producer_id: i64,
        transaction_state: String,
    }
}
