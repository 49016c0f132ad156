//! DescribeCluster, API 60. KIP-700.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeClusterRequest`, `DescribeClusterResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks for the cluster id, the controller and the brokers.
    DescribeClusterRequest 0..=1, flexible 0.. {
        include_cluster_authorized_operations: bool,
        endpoint_type: i8 [1..] = 1,
    }
}

message! {
    /// The cluster.
    DescribeClusterResponse 0..=1, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        endpoint_type: i8 [1..] = 1,
        cluster_id: String,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        cluster_authorized_operations: i32 = i32::MIN,
    }

    /// In `DescribeClusterResponse::brokers`.
    DescribeClusterBroker {
        broker_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
