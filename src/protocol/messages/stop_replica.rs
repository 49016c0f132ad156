//! StopReplica, API 5. Controller to broker; versions follow `inter.broker.protocol.version`.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `StopReplicaRequest`, `StopReplicaResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// The controller tells a broker to stop replicas, and perhaps to delete them.
    StopReplicaRequest 0..=4, flexible 2.. {
        controller_id: i32,
        is_k_raft_controller: bool [4..],
        controller_epoch: i32,
        broker_epoch: i64 [1.., else ignored] = -1,
        delete_partitions: bool [0..=2],
        ungrouped_partitions: Vec<StopReplicaPartitionV0> [0..=0],
        topics: Vec<StopReplicaTopicV1> [1..=2],
        topic_states: Vec<StopReplicaTopicState> [3..],
    }

    /// In `StopReplicaRequest::ungrouped_partitions`.
    StopReplicaPartitionV0 {
        topic_name: String,
        partition_index: i32,
    }

    /// In `StopReplicaRequest::topics`.
    StopReplicaTopicV1 {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// In `StopReplicaRequest::topic_states`.
    StopReplicaTopicState {
        topic_name: String,
        partition_states: Vec<StopReplicaPartitionState>,
    }

    /// In `StopReplicaTopicState::partition_states`.
    StopReplicaPartitionState {
        partition_index: i32,
        leader_epoch: i32 = -1,
        delete_partition: bool,
    }
}

message! {
    /// How each partition of the order fared.
    StopReplicaResponse 0..=4, flexible 2.. {
        error_code: i16,
        partition_errors: Vec<StopReplicaPartitionError>,
    }

    /// In `StopReplicaResponse::partition_errors`.
    StopReplicaPartitionError {
        topic_name: String,
        partition_index: i32,
        error_code: i16,
    }
}
