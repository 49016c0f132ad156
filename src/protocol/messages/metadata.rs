//! Metadata, API 3. A null topic list means every topic.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `MetadataRequest`, `MetadataResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// Asks for brokers, and for topics with their partitions and leaders.
    MetadataRequest 0..=12, flexible 9.. {
        /// Null asks for all topics; in version 0 an empty list does.
        topics: Option<Vec<MetadataRequestTopic>> [0.., null 1..] = Some(Vec::new()),
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// In `MetadataRequest::topics`.
    MetadataRequestTopic {
        topic_id: Uuid [10.., else ignored],
        name: Option<String> [0.., null 10..] = Some(String::new()),
    }
}

message! {
    /// The cluster as this broker knows it.
    MetadataResponse 0..=12, flexible 9.. {
        throttle_time_ms: i32 [3.., else ignored],
        brokers: Vec<MetadataResponseBroker>,
        cluster_id: Option<String> [2.., else ignored],
        controller_id: i32 [1.., else ignored] = -1,
        topics: Vec<MetadataResponseTopic>,
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
    }

    /// In `MetadataResponse::brokers`.
    MetadataResponseBroker {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String> [1.., else ignored],
    }

    /// In `MetadataResponse::topics`.
    MetadataResponseTopic {
        error_code: i16,
        name: Option<String> [0.., null 12..] = Some(String::new()),
        topic_id: Uuid [10.., else ignored],
        is_internal: bool [1.., else ignored],
        partitions: Vec<MetadataResponsePartition>,
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// In `MetadataResponseTopic::partitions`.
    MetadataResponsePartition {
        error_code: i16,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 [7.., else ignored] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5.., else ignored],
    }
}
