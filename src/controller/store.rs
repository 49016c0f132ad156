//! The controller's disk in its own words: what it reads from and writes to ZooKeeper.
//!
//! Knows nothing of paths, JSON or sessions: the shell turns these into znodes, each write (but for the exceptions
//! named here) as a multi with a check on `/controller_epoch`. Source: Kafka's `KafkaZkClient`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Assignment, Broker, Leadership};
use super::event::ProducerIdBlock;
use crate::protocol::ids::{TopicPartition, Uuid};

/// Which notification directory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Notifications {
    /// `/log_dir_event_notification`.
    LogDirs,
    /// `/isr_change_notification`.
    IsrChanges,
}

/// Partitions and where a tool of old wants their replicas.
pub type ReassignmentWishes = Vec<(TopicPartition, Vec<i32>)>;

/// One write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreOp {
    /// Creates the partition's nodes: `partitions` (may exist), `partitions/<p>`, `state`. Answers `Version(0)`.
    CreatePartitionState {
        /// Which.
        partition: TopicPartition,
        /// Its first state; `partition_epoch` is not part of the data.
        state: Leadership,
    },
    /// Overwrites the state if its version is still `state.partition_epoch`. Answers the new version.
    UpdatePartitionState {
        /// Which.
        partition: TopicPartition,
        /// Its new state.
        state: Leadership,
    },
    /// Gives the topic a fresh id, keeping its assignment as handed over. Answers `TopicId`.
    AddTopicId {
        /// Which.
        topic: Arc<str>,
        /// What was read.
        partitions: Vec<(i32, Assignment)>,
    },
    /// Overwrites the topic's assignment.
    SetTopicAssignment {
        /// Which.
        topic: Arc<str>,
        /// Its id; zero for none.
        id: Uuid,
        /// All its partitions.
        partitions: Vec<(i32, Assignment)>,
    },
    /// Writes where these partitions' replicas are and are going; the topic's id and its other partitions stay as they
    /// are in the node. Answers the new version.
    PlaceReplicas {
        /// Which.
        topic: Arc<str>,
        /// Those that change.
        partitions: Vec<(i32, Assignment)>,
    },
    /// What is left in `/admin/reassign_partitions`; deletes it if nothing is. A missing node is fine.
    KeepReassignments(ReassignmentWishes),
    /// Deletes `/admin/preferred_replica_election`; a missing node is fine.
    ForgetElections,
    /// Deletes the topic's node with all below, then its config node, then its deletion marker; what is missing is fine.
    DeleteTopic(Arc<str>),
    /// Deletes the marker under `/admin/delete_topics`; a missing one is fine.
    DeleteDeletionMarker(Arc<str>),
    /// Deletes notifications: the named children, or all there are.
    DeleteNotifications(Notifications, Option<Vec<String>>),
    /// Writes `/feature`, not guarded: creates it if `expected_version` is `None`.
    SetFeature {
        /// What to write.
        feature: FeatureRecord,
        /// Version that was read.
        expected_version: Option<i32>,
    },
    /// Writes `/latest_producer_id_block` if its version is still the one given; not guarded.
    SetProducerIds {
        /// The block handed out.
        block: ProducerIdBlock,
        /// Version that was read.
        expected_version: i32,
    },
    /// Deletes `/controller`, so that an election follows. Its result is not awaited.
    DeleteController,
}

/// How a write ended, unless it found `/controller_epoch` moved (that is `Input::Deposed`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreResult {
    /// Written; the node's version is now this.
    Version(i32),
    /// Written, with this id.
    TopicId(Uuid),
    /// Done.
    Done,
    /// The node's version is not the expected one.
    BadVersion,
    /// The node to create is there.
    NodeExists,
    /// The node to write is not there.
    NoNode,
    /// Anything else, in words.
    Failed(String),
}

/// One read. A node that is missing or unreadable is left out of a list and `None` elsewhere, unless said otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadOp {
    /// `/brokers/ids` and its children's data and czxids; watches the children. Answers `Brokers`.
    Brokers,
    /// `/brokers/ids/<id>`; watches it. Answers `Broker`.
    Broker(i32),
    /// Children of `/brokers/topics`; watches them. Answers `Names`.
    Topics,
    /// The topics' data; watches each. Answers `Topics`; an unreadable node counts as a topic without partitions.
    TopicRecords(Vec<Arc<str>>),
    /// State nodes. Answers `States`, one each, in order.
    PartitionStates(Vec<TopicPartition>),
    /// Children of `/admin/delete_topics`; watches them. Answers `Names`.
    Deletions,
    /// Children of `/log_dir_event_notification` and their brokers; watches them. Answers `LogDirs`.
    LogDirs,
    /// Children of `/isr_change_notification` and their partitions; watches them. Answers `IsrChanges`.
    IsrChanges,
    /// `unclean.leader.election.enable` of topics, read from the store over this broker's own default. Answers
    /// `Unclean`, one each, in order; false where a config cannot be read.
    UncleanElection(Vec<Arc<str>>),
    /// `/latest_producer_id_block`. Answers `ProducerIds`, or `Unreadable`.
    ProducerIds,
    /// `/feature`. Answers `Feature`, or `Unreadable`.
    Feature,
    /// `/admin/reassign_partitions`; watches it. Answers `ReassignmentWishes`, or `Unreadable`.
    ReassignmentWishes,
    /// `/admin/preferred_replica_election`; watches it. Answers `ElectionWishes`, or `Unreadable`.
    ElectionWishes,
}

/// What a topic node says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicRecord {
    /// Topic name.
    pub topic: Arc<str>,
    /// Its id, if it has one.
    pub id: Option<Uuid>,
    /// Its partitions, ascending by index.
    pub partitions: Vec<(i32, Assignment)>,
}

/// What `/feature` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureRecord {
    /// Format: 1, or 2 from inter-broker protocol 3.3-IV0.
    pub version: i32,
    /// Whether feature versioning is enabled (inter-broker protocol 2.7-IV0 on).
    pub enabled: bool,
    /// Finalized levels.
    pub features: BTreeMap<String, i16>,
}

/// The answer to a [`ReadOp`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// The registered brokers.
    Brokers(Vec<Broker>),
    /// One registered broker.
    Broker(Option<Broker>),
    /// Names of children.
    Names(Vec<Arc<str>>),
    /// Topics.
    Topics(Vec<TopicRecord>),
    /// Partition states; `partition_epoch` is the node's version.
    States(Vec<Option<Leadership>>),
    /// Children with the broker each names (`None` if unreadable).
    LogDirs(Vec<(String, Option<i32>)>),
    /// Children with the partitions each names.
    IsrChanges(Vec<(String, Vec<TopicPartition>)>),
    /// Whether unclean election is allowed.
    Unclean(Vec<bool>),
    /// The last block handed out, if any, and the node's version.
    ProducerIds(Option<ProducerIdBlock>, i32),
    /// The feature node and its version.
    Feature(Option<(FeatureRecord, i32)>),
    /// The wished reassignments, `None` without the node.
    ReassignmentWishes(Option<ReassignmentWishes>),
    /// The partitions for which a preferred election is wished, `None` without the node.
    ElectionWishes(Option<Vec<TopicPartition>>),
    /// Instead of the last four: the node is there and nobody can read it. The alarm has been raised.
    Unreadable,
}
