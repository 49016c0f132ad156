//! DescribeTransactions, API 65. KIP-664.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeTransactionsRequest`, `DescribeTransactionsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the state of transactions.
    DescribeTransactionsRequest 0..=0, flexible 0.. {
        transactional_ids: Vec<String>,
    }
}

message! {
    /// The transactions.
    DescribeTransactionsResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        transaction_states: Vec<TransactionState>,
    }

    /// In `DescribeTransactionsResponse::transaction_states`.
    TransactionState {
        error_code: i16,
        transactional_id: String,
        transaction_state: String,
        transaction_timeout_ms: i32,
        transaction_start_time_ms: i64,
        producer_id: i64,
        producer_epoch: i16,
        topics: Vec<TopicData>,
    }

    /// In `TransactionState::topics`.
    TopicData {
        topic: String,
        partitions: Vec<i32>,
    }
}
