//! ControlledShutdown, API 7. Broker to controller; version 0 has no client id in its header.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ControlledShutdownRequest`, `ControlledShutdownResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// A broker asks the controller to move its leaderships away before it stops.
    ControlledShutdownRequest 0..=3, flexible 3.. {
        broker_id: i32,
        broker_epoch: i64 [2.., else ignored] = -1,
    }
}

message! {
    /// The partitions it still leads.
    ControlledShutdownResponse 0..=3, flexible 3.. {
        error_code: i16,
        remaining_partitions: Vec<RemainingPartition>,
    }

    /// In `ControlledShutdownResponse::remaining_partitions`.
    RemainingPartition {
        topic_name: String,
        partition_index: i32,
    }
}
