//! What a controller's LeaderAndIsr and StopReplica do here (`ReplicaManager.becomeLeaderOrFollower`,
//! `stopReplicas`). Each partition gets its own code; one bad partition does not stop the others.

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
    /// The role it took, when it took one, with the leader epoch.
    pub taken: Option<(Role, i32)>,
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

/// More new partitions than this in one request share one sync.
const NEW_AT_ONCE: usize = 8;
const EPOCH_DURING_DELETE: i32 = -2;
const NO_EPOCH: i32 = -1;

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
        let answer = |code, taken| Became { tp: tp.clone(), topic_id, code, taken };
        let leadership = self.leadership(asked);
        if let Some(partition) = self.partition(&tp.topic, tp.partition) {
            let code = self.check_change(&partition, topic_id, asked);
            if code != ErrorCode::None {
                return answer(code, None);
            }
            let role = leadership.role;
            let failed = self.take_role(&partition, topic_id, leadership).err();
            return answer(
                failed.unwrap_or(ErrorCode::None),
                failed.is_none().then_some((role, asked.leader_epoch)),
            );
        }
        if !asked.replicas.contains(&self.broker_id) {
            return answer(ErrorCode::UnknownTopicOrPartition, None);
        }
        let log = match self.open_log(tp, topic_id, asked.is_new) {
            Ok(log) => log,
            Err(code) => return answer(code, None),
        };
        let role = leadership.role;
        let state = State { leadership, topic_id, log: Some(log), isr: None };
        let partition = Partition::new(tp.clone(), self.context.clone(), state);
        if let Err(code) = begin_role(&mut partition.lock(), &self.context, None) {
            return answer(code, None);
        }
        self.insert(partition);
        answer(ErrorCode::None, Some((role, asked.leader_epoch)))
    }

    fn leadership(&self, asked: &LeaderAndIsrPartitionState) -> Leadership {
        Leadership {
            role: if asked.leader == self.broker_id { Role::Leader } else { Role::Follower },
            leader: asked.leader,
            leader_epoch: asked.leader_epoch,
            partition_epoch: asked.partition_epoch,
            controller_epoch: asked.controller_epoch,
            isr: asked.isr.clone(),
            replicas: asked.replicas.clone(),
        }
    }

    /// Whether a known partition may change (api-versions.md 5.5): offline, then topic id, then leader epoch.
    fn check_change(
        &self,
        partition: &Partition,
        topic_id: Uuid,
        asked: &LeaderAndIsrPartitionState,
    ) -> ErrorCode {
        let config = self.configs.log_config(&partition.tp.topic);
        let mut state = partition.lock();
        if state.log.is_none() {
            return ErrorCode::KafkaStorageError;
        }
        if !topic_id.is_zero() && !state.topic_id.is_zero() && topic_id != state.topic_id {
            return ErrorCode::InconsistentTopicId;
        }
        match asked.leader_epoch.cmp(&state.leadership.leader_epoch) {
            std::cmp::Ordering::Greater if asked.replicas.contains(&self.broker_id) => ErrorCode::None,
            std::cmp::Ordering::Greater => ErrorCode::UnknownTopicOrPartition,
            std::cmp::Ordering::Equal if state.topic_id.is_zero() && !topic_id.is_zero() => {
                // An equal epoch may still bring the id of a topic that had none (KIP-516).
                state.topic_id = topic_id;
                match self.logs.get_or_create(&partition.tp, Some(topic_id), &config, false, self.now()) {
                    Err(error) => error.code(),
                    Ok(_) => ErrorCode::StaleControllerEpoch,
                }
            }
            _ => ErrorCode::StaleControllerEpoch,
        }
    }

    fn open_log(&self, tp: &TopicPartition, topic_id: Uuid, is_new: bool) -> Result<Arc<Log>, ErrorCode> {
        let config = self.configs.log_config(&tp.topic);
        let id = Some(topic_id).filter(|id| !id.is_zero());
        let log = self.logs.get_or_create(tp, id, &config, is_new, self.now()).map_err(|error| {
            tracing::error!(partition = %tp, %error, "cannot open the log of this partition");
            error.code()
        })?;
        if let Some(mark) = self.initial_mark(tp) {
            log.maybe_increment_high_watermark(mark.min(log.log_end_offset()));
        }
        Ok(log)
    }

    fn take_role(
        &self,
        partition: &Partition,
        topic_id: Uuid,
        leadership: Leadership,
    ) -> Result<(), ErrorCode> {
        {
            let mut state = partition.lock();
            let led = state.leadership.role == Role::Leader;
            let before = state.isr.take().filter(|_| led);
            state.leadership = leadership;
            if state.topic_id.is_zero() {
                state.topic_id = topic_id;
            }
            begin_role(&mut state, &self.context, before.as_ref())?;
        }
        partition.touch();
        Ok(())
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

    fn delete_log(&self, tp: &TopicPartition) -> ErrorCode {
        match self.logs.delete(tp, false, self.now()) {
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
