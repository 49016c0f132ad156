//! LeaderAndIsr, API 4. Controller to broker; versions follow `inter.broker.protocol.version`.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `LeaderAndIsrRequest`, `LeaderAndIsrResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// The controller tells a broker which partitions to lead or follow.
    LeaderAndIsrRequest 0..=7, flexible 4.. {
        controller_id: i32,
        is_k_raft_controller: bool [7..],
        controller_epoch: i32,
        broker_epoch: i64 [2.., else ignored] = -1,
        /// 0 unknown, 1 only changed partitions, 2 every partition of the broker.
        r#type: i8 [5..],
        ungrouped_partition_states: Vec<LeaderAndIsrPartitionState> [0..=1],
        topic_states: Vec<LeaderAndIsrTopicState> [2..],
        live_leaders: Vec<LeaderAndIsrLiveLeader>,
    }

    /// In `LeaderAndIsrRequest::ungrouped_partition_states`.
    LeaderAndIsrPartitionState {
        topic_name: String [0..=1, else ignored],
        partition_index: i32,
        controller_epoch: i32,
        leader: i32,
        leader_epoch: i32,
        isr: Vec<i32>,
        partition_epoch: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32> [3.., else ignored],
        removing_replicas: Vec<i32> [3.., else ignored],
        is_new: bool [1.., else ignored],
        leader_recovery_state: i8 [6..],
    }

    /// In `LeaderAndIsrRequest::topic_states`.
    LeaderAndIsrTopicState {
        topic_name: String,
        topic_id: Uuid [5.., else ignored],
        partition_states: Vec<LeaderAndIsrPartitionState>,
    }

    /// In `LeaderAndIsrRequest::live_leaders`.
    LeaderAndIsrLiveLeader {
        broker_id: i32,
        host_name: String,
        port: i32,
    }
}

message! {
    /// How each partition of the order fared.
    LeaderAndIsrResponse 0..=7, flexible 4.. {
        error_code: i16,
        partition_errors: Vec<LeaderAndIsrPartitionError> [0..=4],
        topics: Vec<LeaderAndIsrTopicError> [5..],
    }

    /// In `LeaderAndIsrResponse::partition_errors`.
    LeaderAndIsrPartitionError {
        topic_name: String [0..=4, else ignored],
        partition_index: i32,
        error_code: i16,
    }

    /// In `LeaderAndIsrResponse::topics`.
    LeaderAndIsrTopicError {
        topic_id: Uuid,
        partition_errors: Vec<LeaderAndIsrPartitionError>,
    }
}
