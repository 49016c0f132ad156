//! Transactions as records of `__transaction_state`.
//!
//! Keys and values start with their version as a 16-bit integer (see the parent module). A null value is a tombstone.
//! Source: `TransactionLogKey`, `TransactionLogValue`, `TransactionLog` in Kafka.

use crate::protocol::message::message;

message! {
    /// Which transactional id.
    TransactionLogKey 0..=0, flexible none {
        transactional_id: String,
    }
}

message! {
    /// The state of its transaction; version 0 is written, 1 is readable.
    TransactionLogValue 0..=1, flexible 1.. {
        producer_id: i64,
        producer_epoch: i16,
        transaction_timeout_ms: i32,
        transaction_status: i8,
        transaction_partitions: Option<Vec<PartitionsSchema>> = Some(Vec::new()),
        transaction_last_update_timestamp_ms: i64,
        transaction_start_timestamp_ms: i64,
    }

    /// In `TransactionLogValue::transaction_partitions`.
    PartitionsSchema {
        topic: String,
        partition_ids: Vec<i32>,
    }
}
