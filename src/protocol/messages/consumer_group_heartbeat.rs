//! ConsumerGroupHeartbeat, API 68. KIP-848.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ConsumerGroupHeartbeatRequest`, `ConsumerGroupHeartbeatResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// A member of a consumer group reports and asks for its assignment.
    ConsumerGroupHeartbeatRequest 0..=0, flexible 0.. {
        group_id: String,
        member_id: String,
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<String>>,
        server_assignor: Option<String>,
        topic_partitions: Option<Vec<OwnedTopicPartitions>>,
    }

    /// In `ConsumerGroupHeartbeatRequest::topic_partitions`.
    OwnedTopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}

message! {
    /// The member's epoch and assignment.
    ConsumerGroupHeartbeatResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        member_id: Option<String>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<Assignment>,
    }

    /// In `ConsumerGroupHeartbeatResponse::assignment`.
    Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// In `Assignment::topic_partitions`.
    TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}
