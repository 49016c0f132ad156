//! ConsumerGroupDescribe, API 69. KIP-848.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ConsumerGroupDescribeRequest`, `ConsumerGroupDescribeResponse` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// Asks for the state and members of consumer groups.
    ConsumerGroupDescribeRequest 0..=0, flexible 0.. {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }
}

message! {
    /// The groups.
    ConsumerGroupDescribeResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        groups: Vec<DescribedGroup>,
    }

    /// In `ConsumerGroupDescribeResponse::groups`.
    DescribedGroup {
        error_code: i16,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<Member>,
        authorized_operations: i32 = i32::MIN,
    }

    /// In `DescribedGroup::members`.
    Member {
        member_id: String,
        instance_id: Option<String>,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        assignment: Assignment,
        target_assignment: Assignment,
    }

    /// In `Member::assignment`.
    Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// In `Assignment::topic_partitions`.
    TopicPartitions {
        topic_id: Uuid,
        topic_name: String,
        partitions: Vec<i32>,
    }
}
