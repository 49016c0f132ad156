//! One partition on this broker: its role, its epochs, its log, and who waits for it (`Partition.scala`).
//!
//! Reads and appends take the state's lock, look at the role, and work on the log while they hold it: an append is a short
//! write to the page cache, and nothing may change the leader epoch between the check and the write.
//! The lock is never held across an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::alter_partition::AlterQueue;
use super::isr::Isr;
use super::purgatory::{Waiters, Watched};
use crate::clock::{Clock, Timestamp};
use crate::metadata::cache::MetadataCache;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::storage::append_error::AppendError;
use crate::storage::log::AppendInfo;
use crate::storage::log::Log;
use crate::storage::producer_state::Origin;

/// What this broker is for the partition.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// Serves it.
    Leader,
    /// Copies it.
    Follower,
}

/// The part of a partition that LeaderAndIsr sets.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// This broker's part.
    pub role: Role,
    /// Broker id of the leader, -1 = none.
    pub leader: i32,
    /// Term of the leader.
    pub leader_epoch: i32,
    /// Term in which this broker took the role that it has had ever since. A leader that goes on in a new term, because
    /// its ISR or its replicas changed, has cut nothing away; one that missed a term may have.
    pub since: i32,
    /// Version of the state znode.
    pub partition_epoch: i32,
    /// Epoch of the controller that decided.
    pub controller_epoch: i32,
    /// In-sync replicas.
    pub isr: Vec<i32>,
    /// All replicas.
    pub replicas: Vec<i32>,
}

/// A partition's state under its lock.
pub struct State {
    /// Who leads.
    pub leadership: Leadership,
    /// Topic id, zero = none.
    pub topic_id: Uuid,
    /// The replica; `None` while its directory is offline.
    pub log: Option<Arc<Log>>,
    /// A leader's picture of its followers.
    pub isr: Option<Isr>,
}

/// What all partitions of a broker share.
pub struct PartitionContext {
    /// This broker.
    pub broker_id: i32,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who is alive.
    pub metadata: Arc<MetadataCache>,
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: i64,
    /// What leaders want of the controller.
    pub alters: AlterQueue,
}

impl PartitionContext {
    /// Whether the metadata lists the broker as alive: only such may be in an ISR.
    pub fn is_alive(&self, broker_id: i32) -> bool {
        self.metadata.image().broker(broker_id).is_some()
    }
}

/// One partition.
pub struct Partition {
    /// Its name.
    pub tp: TopicPartition,
    pub(super) context: Arc<PartitionContext>,
    state: Mutex<State>,
    waiters: Waiters,
}

impl Watched for Partition {
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }
}

/// Why an append was refused before the log saw it, or by the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendRefusal {
    /// This broker, its ISR or its disks cannot take it.
    #[error("{0}")]
    Replica(ErrorCode),
    /// The log refused the records.
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl AppendRefusal {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            AppendRefusal::Replica(code) => *code,
            AppendRefusal::Log(error) => error.code(),
        }
    }
}

/// An append by the leader.
#[derive(Debug)]
pub struct Appended {
    /// What the log says.
    pub info: AppendInfo,
    /// Since when this broker led: once another one has led it may be cut away.
    pub since: i32,
}

impl Partition {
    /// A partition in the state that the first LeaderAndIsr gives it.
    pub fn new(tp: TopicPartition, context: Arc<PartitionContext>, state: State) -> Arc<Partition> {
        Arc::new(Partition { tp, context, state: Mutex::new(state), waiters: Waiters::default() })
    }

    /// The state, locked. Keep it short, and touch no other partition meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, of a clock that never goes back.
    pub(super) fn steady_now(&self) -> Timestamp {
        Timestamp(self.context.clock.steady_ms())
    }

    /// Wakes whoever waits for offsets or leadership of this partition.
    pub fn touch(&self) {
        self.waiters.touch();
    }

    /// Appends what a client or a coordinator sent. With `acks` -1 the ISR must be large enough first.
    pub fn append_as_leader(
        &self,
        records: &Bytes,
        acks: i16,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Appended, AppendRefusal> {
        let appended = {
            let state = self.lock();
            let (log, isr) = state.leading().map_err(AppendRefusal::Replica)?;
            if acks == -1 && isr.committed().len() < state.min_isr(log) {
                return Err(AppendRefusal::Replica(ErrorCode::NotEnoughReplicas));
            }
            let leader_epoch = state.leadership.leader_epoch;
            let info = log.append_as_leader(records, leader_epoch, origin, now)?;
            state.advance_high_watermark(&self.context);
            Appended { info, since: state.leadership.since }
        };
        self.touch();
        Ok(appended)
    }

    /// The log, if this broker leads the partition; checks the epoch a client knows, -1 = none.
    pub fn leader_log(&self, current_leader_epoch: i32) -> Result<Arc<Log>, ErrorCode> {
        let state = self.lock();
        state.check_epoch(current_leader_epoch)?;
        state.leader_log().cloned()
    }

    /// The log, whoever leads.
    pub fn any_log(&self, current_leader_epoch: i32) -> Result<Arc<Log>, ErrorCode> {
        let state = self.lock();
        state.check_epoch(current_leader_epoch)?;
        state.log.clone().ok_or(ErrorCode::KafkaStorageError)
    }

    /// Whether offset `end` (exclusive), appended in the leadership `since`, is committed: `None` = not yet
    /// (`Partition.checkEnoughReplicasReachOffset`).
    pub fn committed(&self, end: i64, since: i32) -> Option<ErrorCode> {
        let state = self.lock();
        match state.leading() {
            Err(code) => Some(code),
            Ok(_) if state.leadership.since != since => Some(ErrorCode::NotLeaderOrFollower),
            Ok((log, isr)) if log.high_watermark() >= end => {
                Some(match isr.maximal_len() < state.min_isr(log) {
                    true => ErrorCode::NotEnoughReplicasAfterAppend,
                    false => ErrorCode::None,
                })
            }
            Ok(_) => None,
        }
    }

    /// Since which term this broker has led without a break, if it leads.
    pub fn leads_since(&self) -> Option<i32> {
        let state = self.lock();
        (state.leadership.role == Role::Leader).then_some(state.leadership.since)
    }

    /// The leader and its term, for answers that point the client elsewhere.
    pub fn leader(&self) -> (i32, i32) {
        let state = self.lock();
        (state.leadership.leader, state.leadership.leader_epoch)
    }
}

impl State {
    /// The log, if this broker leads.
    pub fn leader_log(&self) -> Result<&Arc<Log>, ErrorCode> {
        let log = self.log.as_ref().ok_or(ErrorCode::KafkaStorageError)?;
        match self.leadership.role {
            Role::Leader => Ok(log),
            Role::Follower => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// `Partition.effectiveMinIsr`: a topic with fewer replicas than min.insync.replicas can still be written.
    pub(super) fn min_isr(&self, log: &Log) -> usize {
        let configured = log.config().min_insync_replicas.max(1) as usize;
        configured.min(self.leadership.replicas.len())
    }

    /// Fences a client that knows another term (KIP-320).
    pub(super) fn check_epoch(&self, known: i32) -> Result<(), ErrorCode> {
        match known {
            -1 => Ok(()),
            known if known < self.leadership.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            known if known > self.leadership.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }
}
