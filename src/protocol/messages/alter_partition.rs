//! AlterPartition, API 56. Broker to controller (KIP-497, KIP-841, KIP-903).
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AlterPartitionRequest`, `AlterPartitionResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// A leader asks the controller to change the in-sync replicas of its partitions.
    AlterPartitionRequest 0..=3, flexible 0.. {
        broker_id: i32,
        broker_epoch: i64 = -1,
        topics: Vec<TopicData>,
    }

    /// In `AlterPartitionRequest::topics`.
    TopicData {
        topic_name: String [0..=1, else ignored],
        topic_id: Uuid [2.., else ignored],
        partitions: Vec<PartitionData>,
    }

    /// In `TopicData::partitions`.
    PartitionData {
        partition_index: i32,
        leader_epoch: i32,
        new_isr: Vec<i32> [0..=2],
        new_isr_with_epochs: Vec<BrokerState> [3..],
        leader_recovery_state: i8 [1..],
        partition_epoch: i32,
    }

    /// In `PartitionData::new_isr_with_epochs`.
    BrokerState {
        broker_id: i32,
        broker_epoch: i64 = -1,
    }
}

message! {
    /// The state of each partition after the change.
    AlterPartitionResponse 0..=3, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        topics: Vec<TopicResult>,
    }

    /// In `AlterPartitionResponse::topics`.
    TopicResult {
        topic_name: String [0..=1, else ignored],
        topic_id: Uuid [2.., else ignored],
        partitions: Vec<PartitionResult>,
    }

    /// In `TopicResult::partitions`.
    PartitionResult {
        partition_index: i32,
        error_code: i16,
        leader_id: i32,
        leader_epoch: i32,
        isr: Vec<i32>,
        leader_recovery_state: i8 [1.., else ignored],
        partition_epoch: i32,
    }
}
