//! Fetch, API 1. Sessions are KIP-227, topic ids KIP-516.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `FetchRequest`, `FetchResponse` in Kafka's clients.

use crate::protocol::frame::Records;
use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// Reads record batches from partitions: consumers and followers alike.
    FetchRequest 0..=17, flexible 12.. {
        /// Broker id of a follower, -1 for a consumer.
        replica_id: i32 [0..=14] = -1,
        /// Longest wait for `min_bytes`.
        max_wait_ms: i32,
        min_bytes: i32,
        /// Limit of the whole response; the first batch is returned even if it is longer.
        max_bytes: i32 [3.., else ignored] = i32::MAX,
        /// 0 read uncommitted, 1 read committed.
        isolation_level: i8 [4.., else ignored],
        /// 0 for none yet.
        session_id: i32 [7.., else ignored],
        /// 0 opens a session, -1 closes it or asks for none.
        session_epoch: i32 [7.., else ignored] = -1,
        topics: Vec<FetchTopic>,
        /// Partitions that leave the session.
        forgotten_topics_data: Vec<ForgottenTopic> [7..],
        /// Where the consumer is, to be sent to a near replica (KIP-392).
        rack_id: String [11.., else ignored],
        @0 cluster_id: Option<String> [12.., else ignored],
        @1 replica_state: ReplicaState [15..],
    }

    /// In `FetchRequest::replica_state`.
    ReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// In `FetchRequest::topics`.
    FetchTopic {
        topic: String [0..=12, else ignored],
        topic_id: Uuid [13.., else ignored],
        partitions: Vec<FetchPartition>,
    }

    /// In `FetchRequest::forgotten_topics_data`.
    ForgottenTopic {
        topic: String [7..=12, else ignored],
        topic_id: Uuid [13.., else ignored],
        partitions: Vec<i32>,
    }

    /// In `FetchTopic::partitions`.
    FetchPartition {
        partition: i32,
        /// The leader epoch the reader knows; -1 if it knows none.
        current_leader_epoch: i32 [9.., else ignored] = -1,
        fetch_offset: i64,
        /// Epoch of the last record a follower has, to find where logs diverge; else -1.
        last_fetched_epoch: i32 [12..] = -1,
        /// A follower's own log start offset; -1 for a consumer.
        log_start_offset: i64 [5.., else ignored] = -1,
        partition_max_bytes: i32,
        @0 replica_directory_id: Uuid [17.., else ignored],
    }
}

message! {
    /// The batches, partition by partition, with the marks a reader needs.
    FetchResponse 0..=17, flexible 12.. {
        throttle_time_ms: i32 [1.., else ignored],
        error_code: i16 [7.., else ignored],
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse>,
        @0 node_endpoints: Vec<NodeEndpoint> [16..],
    }

    /// In `FetchResponse::responses`.
    FetchableTopicResponse {
        topic: String [0..=12, else ignored],
        topic_id: Uuid [13.., else ignored],
        partitions: Vec<PartitionData>,
    }

    /// In `FetchResponse::node_endpoints`.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }

    /// In `FetchableTopicResponse::partitions`.
    PartitionData {
        partition_index: i32,
        error_code: i16,
        high_watermark: i64,
        last_stable_offset: i64 [4.., else ignored] = -1,
        log_start_offset: i64 [5.., else ignored] = -1,
        /// For read committed: the aborted transactions among the records; null otherwise.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4.., else ignored] = Some(Vec::new()),
        /// A nearer replica to read from, or -1.
        preferred_read_replica: i32 [11..] = -1,
        records: Option<Records>,
        @0 diverging_epoch: EpochEndOffset [12..],
        @1 current_leader: LeaderIdAndEpoch [12..],
        @2 snapshot_id: SnapshotId [12..],
    }

    /// In `PartitionData::diverging_epoch`.
    EpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// In `PartitionData::current_leader`.
    LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// In `PartitionData::snapshot_id`.
    SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// In `PartitionData::aborted_transactions`.
    AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }
}
