//! What a controller's LeaderAndIsr and StopReplica do here (`ReplicaManager.becomeLeaderOrFollower`,
//! `stopReplicas`). Each partition gets its own code; one bad partition does not stop the others.

use std::cmp::Ordering;
use std::sync::{Arc, PoisonError};

use super::isr::Isr;
use super::partition::{Leadership, Partition, PartitionContext, Role, State};
use super::replica_manager::ReplicaManager;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::protocol::messages::leader_and_isr::LeaderAndIsrPartitionState;
use crate::storage::fs::deferring;
use crate::storage::log::Log;

/// One partition of a LeaderAndIsr, and its answer.
#[derive(Debug)]
pub struct Became {
    /// Which.
    pub tp: TopicPartition,
    /// Topic id of the request.
    pub topic_id: Uuid,
    /// How it went.
    pub code: ErrorCode,
    /// The role it took, when it took one.
    pub taken: Option<Taken>,
}

/// A role.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// What this broker is now.
    pub role: Role,
    /// Since which term.
    pub since: i32,
}

/// One partition of a StopReplica.
#[derive(Clone, Debug)]
pub struct StopAsk {
    /// Which.
    pub tp: TopicPartition,
    /// Leader epoch; -1 none, -2 the topic is being deleted.
    pub leader_epoch: i32,
    /// Remove the log too.
    pub delete: bool,
}

/// Whether a partition takes the role that it is told.
enum Change {
    Take,
    /// It stays as it is, with this answer.
    Keep(ErrorCode),
}

/// More new partitions than this in one request share one sync.
const NEW_AT_ONCE: usize = 8;
const EPOCH_DURING_DELETE: i32 = -2;
const NO_EPOCH: i32 = -1;

/// Whether the role goes on. In a term that this leader was not told of another one may have led: what it knows of its followers'
/// logs is from before they followed that one, and says nothing of what they have now. (`Partition.makeLeader` asks only whether it
/// led before; seed 172 of the simulation is what comes of that.)
fn goes_on(before: &Leadership, now: &Leadership) -> bool {
    match (before.role, now.role) {
        (Role::Leader, Role::Leader) => before.leader_epoch.checked_add(1) == Some(now.leader_epoch),
        (before, now) => before == now,
    }
}

impl Leadership {
    fn taken(&self) -> Taken {
        Taken { role: self.role, since: self.since }
    }
}

impl ReplicaManager {
    /// Applies the partitions of one LeaderAndIsr, in order.
    pub fn become_replicas(
        &self,
        asked: &[(TopicPartition, Uuid, &LeaderAndIsrPartitionState)],
    ) -> Vec<Became> {
        let _one_change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_many = asked.iter().filter(|(_, _, state)| state.is_new).count() > NEW_AT_ONCE;
        let became = asked.iter().map(|(tp, topic_id, state)| match is_many && state.is_new {
            true => deferring(|| self.become_one(tp, *topic_id, state)),
            false => self.become_one(tp, *topic_id, state),
        });
        let became = became.collect();
        if is_many {
            // The directories' failures are told to the log context, as those of appends are.
            for (dir, error) in self.logs.sync_deferred() {
                self.logs.context().failures.ring(&dir, &error);
            }
        }
        became
    }

    fn become_one(&self, tp: &TopicPartition, topic_id: Uuid, asked: &LeaderAndIsrPartitionState) -> Became {
        let changed = match self.partition(&tp.topic, tp.partition) {
            Some(partition) => match self.check_change(&partition, topic_id, asked) {
                Change::Take => self.take_role(&partition, topic_id, self.leadership(asked)),
                Change::Keep(code) => Err(code),
            },
            None if !asked.replicas.contains(&self.broker_id) => Err(ErrorCode::UnknownTopicOrPartition),
            None => self.take_first_role(tp, topic_id, asked),
        };
        Became {
            tp: tp.clone(),
            topic_id,
            code: changed.err().unwrap_or(ErrorCode::None),
            taken: changed.ok(),
        }
    }

    fn take_first_role(
        &self,
        tp: &TopicPartition,
        topic_id: Uuid,
        asked: &LeaderAndIsrPartitionState,
    ) -> Result<Taken, ErrorCode> {
        let log = self.open_log(tp, topic_id, asked.is_new)?;
        let leadership = self.leadership(asked);
        let taken = leadership.taken();
        let state = State { leadership, topic_id, log: Some(log), isr: None };
        let partition = Partition::new(tp.clone(), self.context.clone(), state);
        begin_role(&mut partition.lock(), &self.context, None)?;
        self.insert(partition);
        Ok(taken)
    }

    fn leadership(&self, asked: &LeaderAndIsrPartitionState) -> Leadership {
        let role = if asked.leader == self.broker_id { Role::Leader } else { Role::Follower };
        Leadership {
            role,
            leader: asked.leader,
            leader_epoch: asked.leader_epoch,
            since: asked.leader_epoch,
            partition_epoch: asked.partition_epoch,
            controller_epoch: asked.controller_epoch,
            // Only a leader knows its ISR.
            isr: if role == Role::Leader { asked.isr.clone() } else { Vec::new() },
            replicas: asked.replicas.clone(),
        }
    }

    /// Whether a known partition may change (api-versions.md 5.5): offline, then topic id, then leader epoch, then
    /// partition epoch.
    fn check_change(
        &self,
        partition: &Partition,
        topic_id: Uuid,
        asked: &LeaderAndIsrPartitionState,
    ) -> Change {
        let mut state = partition.lock();
        if state.log.is_none() {
            return Change::Keep(ErrorCode::KafkaStorageError);
        }
        if !topic_id.is_zero() && !state.topic_id.is_zero() && topic_id != state.topic_id {
            return Change::Keep(ErrorCode::InconsistentTopicId);
        }
        let known = &state.leadership;
        match asked.leader_epoch.cmp(&known.leader_epoch) {
            Ordering::Greater if !asked.replicas.contains(&self.broker_id) => {
                Change::Keep(ErrorCode::UnknownTopicOrPartition)
            }
            // An older state of the znode under a newer leader epoch: nothing changes, and nothing is wrong.
            Ordering::Greater if asked.partition_epoch < known.partition_epoch => {
                Change::Keep(ErrorCode::None)
            }
            Ordering::Greater => Change::Take,
            Ordering::Equal if state.topic_id.is_zero() && !topic_id.is_zero() => {
                // An equal epoch may still bring the id of a topic that had none (KIP-516) ...
                state.topic_id = topic_id;
                let config = self.configs.log_config(&partition.tp.topic);
                let noted =
                    self.logs.get_or_create(&partition.tp, Some(topic_id), &config, false, self.now());
                Change::Keep(noted.err().map_or(ErrorCode::None, |error| error.code()))
            }
            // ... or, from a controller that goes back to before topic ids, its end: followers fetch by name then.
            Ordering::Equal
                if topic_id.is_zero() && !state.topic_id.is_zero() && asked.leader != self.broker_id =>
            {
                Change::Keep(ErrorCode::None)
            }
            Ordering::Equal | Ordering::Less => Change::Keep(ErrorCode::StaleControllerEpoch),
        }
    }

    fn open_log(&self, tp: &TopicPartition, topic_id: Uuid, is_new: bool) -> Result<Arc<Log>, ErrorCode> {
        let config = self.configs.log_config(&tp.topic);
        let id = Some(topic_id).filter(|id| !id.is_zero());
        self.logs.get_or_create(tp, id, &config, is_new, self.now()).map_err(|error| {
            tracing::error!(partition = %tp, %error, "cannot open the log of this partition");
            error.code()
        })
    }

    fn take_role(
        &self,
        partition: &Partition,
        topic_id: Uuid,
        mut leadership: Leadership,
    ) -> Result<Taken, ErrorCode> {
        let taken = {
            let mut state = partition.lock();
            let goes_on = goes_on(&state.leadership, &leadership);
            if goes_on {
                leadership.since = state.leadership.since;
            }
            let taken = leadership.taken();
            let before = state.isr.take().filter(|_| goes_on);
            state.leadership = leadership;
            if state.topic_id.is_zero() {
                state.topic_id = topic_id;
            }
            begin_role(&mut state, &self.context, before.as_ref())?;
            taken
        };
        partition.touch();
        Ok(taken)
    }

    /// Applies the partitions of one StopReplica.
    pub fn stop_replicas(&self, asked: &[StopAsk]) -> Vec<ErrorCode> {
        let _one_change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(|ask| self.stop_one(ask)).collect()
    }

    fn stop_one(&self, ask: &StopAsk) -> ErrorCode {
        let Some(partition) = self.partition(&ask.tp.topic, ask.tp.partition) else {
            // Not in memory; a log may still lie on the disk of a broker that restarted meanwhile.
            return if ask.delete { self.delete_log(&ask.tp) } else { ErrorCode::None };
        };
        {
            let state = partition.lock();
            if state.log.is_none() {
                return ErrorCode::KafkaStorageError;
            }
            let fenced = ask.leader_epoch < state.leadership.leader_epoch
                && ask.leader_epoch != EPOCH_DURING_DELETE
                && ask.leader_epoch != NO_EPOCH;
            if fenced {
                return ErrorCode::FencedLeaderEpoch;
            }
        }
        if !ask.delete {
            partition.lock().leadership.role = Role::Follower;
            partition.touch();
            return ErrorCode::None;
        }
        self.remove(&ask.tp);
        let code = self.delete_log(&ask.tp);
        {
            let mut state = partition.lock();
            state.leadership.role = Role::Follower;
        }
        partition.touch();
        code
    }

    /// Deletes the log, and the copy that is on its way to another directory.
    fn delete_log(&self, tp: &TopicPartition) -> ErrorCode {
        let deleted = self.logs.delete(tp, true, self.now());
        match deleted.and_then(|_| self.logs.delete(tp, false, self.now())) {
            Ok(_) => ErrorCode::None,
            Err(error) => {
                tracing::error!(partition = %tp, %error, "cannot delete the log of this partition");
                error.code()
            }
        }
    }
}

fn begin_role(state: &mut State, context: &PartitionContext, before: Option<&Isr>) -> Result<(), ErrorCode> {
    let log = state.log.clone().ok_or(ErrorCode::KafkaStorageError)?;
    match state.leadership.role {
        Role::Leader => state.become_leader(&log, context, before).map_err(|error| error.code()),
        Role::Follower => Ok(()),
    }
}

#[cfg(test)]
pub(in crate::replication) mod tests;
