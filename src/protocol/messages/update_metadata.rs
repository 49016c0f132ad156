//! UpdateMetadata, API 6. Controller to broker; versions follow `inter.broker.protocol.version`.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `UpdateMetadataRequest`, `UpdateMetadataResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// The controller tells every broker the state of partitions and the live brokers.
    UpdateMetadataRequest 0..=8, flexible 6.. {
        controller_id: i32,
        is_k_raft_controller: bool [8..],
        controller_epoch: i32,
        broker_epoch: i64 [5.., else ignored] = -1,
        ungrouped_partition_states: Vec<UpdateMetadataPartitionState> [0..=4],
        topic_states: Vec<UpdateMetadataTopicState> [5..],
        live_brokers: Vec<UpdateMetadataBroker>,
        @0 r#type: i8 [8..],
    }

    /// In `UpdateMetadataRequest::ungrouped_partition_states`.
    UpdateMetadataPartitionState {
        topic_name: String [0..=4, else ignored],
        partition_index: i32,
        controller_epoch: i32,
        leader: i32,
        leader_epoch: i32,
        isr: Vec<i32>,
        zk_version: i32,
        replicas: Vec<i32>,
        offline_replicas: Vec<i32> [4.., else ignored],
    }

    /// In `UpdateMetadataRequest::topic_states`.
    UpdateMetadataTopicState {
        topic_name: String,
        topic_id: Uuid [7.., else ignored],
        partition_states: Vec<UpdateMetadataPartitionState>,
    }

    /// In `UpdateMetadataRequest::live_brokers`.
    UpdateMetadataBroker {
        id: i32,
        v0_host: String [0..=0, else ignored],
        v0_port: i32 [0..=0, else ignored],
        endpoints: Vec<UpdateMetadataEndpoint> [1.., else ignored],
        rack: Option<String> [2.., else ignored] = Some(String::new()),
    }

    /// In `UpdateMetadataBroker::endpoints`.
    UpdateMetadataEndpoint {
        port: i32,
        host: String,
        listener: String [3.., else ignored],
        security_protocol: i16,
    }
}

message! {
    /// Whether the image was taken.
    UpdateMetadataResponse 0..=8, flexible 6.. {
        error_code: i16,
    }
}
