//! What the machine is told and what it asks for in return.
//!
//! The contract with the shell, the one consumer of [`Output`]:
//! * `store` and `read` of one output form a round; its results come back as [`Input::Stored`] or [`Input::Loaded`]
//!   with the same number. There is at most one round under way; results of another round are ignored.
//! * Whatever is in `send` and `replies` relies only on writes whose results the machine has already seen, so it may
//!   leave at once; it must never leave after a deposition.
//! * A write refused because `/controller_epoch` moved on is [`Input::Deposed`], not a result. So are the loss of the
//!   session and the sight of another controller.
//! * `channels` take effect before `send`; a request to a broker without a channel is dropped.
//!
//! Knows nothing of ZooKeeper, sockets or the wire. Source: Kafka's `ControllerEventManager`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Assignment, Broker, Leadership};
use super::outbox::{Outbox, StopReplica};
use super::store::{Loaded, ReadOp, StoreOp, StoreResult};
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{TopicPartition, Uuid};

/// A waiting client of the controller: the shell's number for it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Everything that can happen to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// This broker won the election: `/controller` is ours.
    Elected {
        /// The new controller epoch.
        epoch: i32,
    },
    /// This broker is not the controller (any more), or cannot know: stop at once.
    Deposed,
    /// A watch fired or a configuration changed.
    Change(Change),
    /// A broker or an admin client asks.
    Request(Ticket, Request),
    /// Results of the round's `store`, one an operation, in order.
    Stored {
        /// [`Output::round`] of the operations.
        round: u64,
        /// One for each operation.
        results: Vec<StoreResult>,
    },
    /// Results of the round's `read`, one an operation, in order; or why they cannot be had.
    Loaded {
        /// [`Output::round`] of the operations.
        round: u64,
        /// One for each operation.
        data: Result<Vec<Loaded>, String>,
    },
    /// A broker answered a request of the outbox.
    Replied {
        /// Who.
        broker: i32,
        /// The broker epoch the request was addressed to.
        broker_epoch: i64,
        /// What.
        reply: Reply,
    },
    /// A timer of [`Output::timers`] is due.
    Timer(Timer),
}

/// Something to look at. Queued once however often it is told, for it is read afresh when its turn comes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Change {
    /// Children of `/brokers/ids`.
    Brokers,
    /// Data of `/brokers/ids/<id>`.
    Broker(i32),
    /// Children of `/brokers/topics`.
    Topics,
    /// Data of `/brokers/topics/<topic>`.
    Topic(Arc<str>),
    /// Children of `/admin/delete_topics`.
    Deletions,
    /// Children of `/log_dir_event_notification`.
    LogDirs,
    /// Children of `/isr_change_notification`.
    IsrChanges,
    /// `/admin/reassign_partitions`, written by old tools.
    ReassignmentWishes,
    /// `/admin/preferred_replica_election`, written by old tools.
    ElectionWishes,
    /// This broker's `unclean.leader.election.enable` became true.
    UncleanByDefault,
    /// A topic's `unclean.leader.election.enable` became true.
    UncleanOf(Arc<str>),
}

/// What brokers and admin clients ask of the controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A leader wants to change an ISR.
    AlterPartition(AlterPartition),
    /// A broker wants to leave and asks to move its leaderships first.
    ControlledShutdown {
        /// Who.
        broker: i32,
        /// Its epoch, -1 if it does not know.
        broker_epoch: i64,
    },
    /// A broker needs producer ids.
    AllocateProducerIds {
        /// Who.
        broker: i32,
        /// Its epoch.
        broker_epoch: i64,
    },
    /// An admin client wants elections.
    ElectLeaders {
        /// Unclean rather than preferred.
        unclean: bool,
        /// The partitions, or all.
        partitions: Option<Vec<TopicPartition>>,
    },
    /// An admin client wants partitions' replicas on these brokers, preferred leader first; `None` cancels a move.
    AlterReassignments(BTreeMap<TopicPartition, Option<Vec<i32>>>),
    /// An admin client asks what is on the move.
    ListReassignments {
        /// The partitions, or all.
        partitions: Option<Vec<TopicPartition>>,
    },
}

impl Request {
    /// The answer that only carries an error.
    pub fn refuse(&self, code: ErrorCode) -> Answer {
        match self {
            Request::AlterPartition(_) => Answer::AlterPartition(Err(code)),
            Request::ControlledShutdown { .. } => Answer::ControlledShutdown(Err(code)),
            Request::AllocateProducerIds { .. } => Answer::ProducerIds(Err(code)),
            Request::ElectLeaders { .. } => Answer::ElectLeaders(Err(code)),
            Request::AlterReassignments(_) => Answer::AlterReassignments(Err(code)),
            Request::ListReassignments { .. } => Answer::ListReassignments(Err(code)),
        }
    }
}

/// AlterPartition, without what the ZooKeeper controller ignores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterPartition {
    /// Version of the request: below 2 some errors have another code.
    pub version: i16,
    /// The leader that asks.
    pub broker: i32,
    /// Its epoch.
    pub broker_epoch: i64,
    /// By topic.
    pub topics: Vec<AlterTopic>,
}

/// How a request names a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TopicRef {
    /// Versions 0 and 1.
    Name(Arc<str>),
    /// Version 2 on.
    Id(Uuid),
}

/// One topic of an [`AlterPartition`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterTopic {
    /// Which.
    pub topic: TopicRef,
    /// What is wanted.
    pub partitions: Vec<WantedIsr>,
}

/// The ISR a leader wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedIsr {
    /// Partition index.
    pub index: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The ISR.
    pub isr: Vec<i32>,
    /// Whether the leader still recovers from an unclean election.
    pub recovering: bool,
    /// The partition epoch the change is based on.
    pub partition_epoch: i32,
}

/// One topic of the answer to an [`AlterPartition`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlteredTopic {
    /// As it was asked.
    pub topic: TopicRef,
    /// The state a partition has now, or why it was not changed.
    pub partitions: Vec<(i32, Result<Leadership, ErrorCode>)>,
}

/// A block of producer ids.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProducerIdBlock {
    /// The broker it belongs to.
    pub broker: i32,
    /// First id.
    pub start: i64,
    /// Last id, inclusive.
    pub end: i64,
}

/// Partitions with their new leader, or why there is none.
pub type ElectionResults = Vec<(TopicPartition, Result<i32, ErrorCode>)>;

/// Why something was not done, for a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The kind.
    pub code: ErrorCode,
    /// In a sentence; without one for what the code says already.
    pub message: Option<String>,
}

/// Partitions and whether their reassignment was taken up (or cancelled).
pub type ReassignmentResults = Vec<(TopicPartition, Result<(), Refused>)>;

/// Answers to [`Request`]s; `Err` refuses the whole request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To AlterPartition.
    AlterPartition(Result<Vec<AlteredTopic>, ErrorCode>),
    /// To ControlledShutdown: what the broker still leads.
    ControlledShutdown(Result<Vec<TopicPartition>, ErrorCode>),
    /// To AllocateProducerIds.
    ProducerIds(Result<ProducerIdBlock, ErrorCode>),
    /// To ElectLeaders: the new leader of each partition, or why there is none. The shell leaves out
    /// ELECTION_NOT_NEEDED where all partitions were asked for, and waits until metadata shows the leaders.
    ElectLeaders(Result<ElectionResults, ErrorCode>),
    /// To AlterReassignments: stored, and goes on whatever happens to this controller.
    AlterReassignments(Result<ReassignmentResults, ErrorCode>),
    /// To ListReassignments: those of the partitions that are on the move.
    ListReassignments(Result<Vec<(TopicPartition, Assignment)>, ErrorCode>),
}

/// What a broker answered. UpdateMetadata's reply tells nothing the machine acts upon.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To LeaderAndIsr.
    LeaderAndIsr {
        /// Of the whole request.
        error: ErrorCode,
        /// Of each partition.
        partitions: Vec<(TopicRef, i32, ErrorCode)>,
    },
    /// To StopReplica.
    StopReplica {
        /// What was sent: only partitions it deletes matter.
        request: Arc<StopReplica>,
        /// Of the whole request.
        error: ErrorCode,
        /// Of each partition.
        partitions: Vec<(TopicPartition, ErrorCode)>,
    },
}

/// Why a timer was set.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// Look whether leaders are where they should be.
    Rebalance,
}

/// A connection to a broker that must be opened or closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Connect to this broker and keep a queue for it.
    Open(Broker),
    /// Drop the connection and all that is queued for it.
    Close(i32),
}

/// What the machine wants done.
#[derive(Debug, Default)]
pub struct Output {
    /// Number of the round that `store` or `read` opens; meaningless if both are empty.
    pub round: u64,
    /// Written in this order, in parallel where the operations are independent (they are).
    pub store: Vec<StoreOp>,
    /// What must be read and handed back. Never together with `store`.
    pub read: Vec<ReadOp>,
    /// Connections to open and close, in order, before `send`.
    pub channels: Vec<Channel>,
    /// Requests to brokers, in order for each broker.
    pub send: Outbox,
    /// Answers to clients.
    pub replies: Vec<(Ticket, Answer)>,
    /// Timers to set.
    pub timers: Vec<(Timer, Timestamp)>,
    /// The machine stopped being the controller: close all channels, drop their queues and all timers, and drop
    /// whatever of earlier outputs has not left yet. `store` may hold [`StoreOp::DeleteController`].
    pub resigned: bool,
}
