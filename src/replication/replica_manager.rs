//! All partitions on this broker (`ReplicaManager.scala`): finding them, and what concerns many at once.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::{Equivalent, HashMap};

use super::alter_partition::{Answer, Ask};
use super::partition::{Partition, PartitionContext, Role};
use crate::clock::{Clock, Timestamp};
use crate::metadata::configs::ConfigCache;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::storage::manager::LogManager;

/// A partition's name borrowed from a request, to look it up without copying the topic.
#[derive(Copy, Clone)]
struct Name<'a>(&'a str, i32);

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
        self.1.hash(hasher);
    }
}

impl Equivalent<TopicPartition> for Name<'_> {
    fn equivalent(&self, tp: &TopicPartition) -> bool {
        self.1 == tp.partition && *self.0 == *tp.topic
    }
}

/// The partitions of this broker.
pub struct ReplicaManager {
    /// This broker's id.
    pub broker_id: i32,
    /// Their logs.
    pub logs: Arc<LogManager>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What its partitions share.
    pub context: Arc<PartitionContext>,
    /// Topic settings.
    pub configs: Arc<ConfigCache>,
    /// Held while LeaderAndIsr, UpdateMetadata or StopReplica is applied: one at a time.
    pub changing: std::sync::Mutex<()>,
    partitions: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
    controller_epoch: AtomicI32,
}

impl ReplicaManager {
    /// No partition yet: the controller tells which. `initial_marks`, the high watermarks as they were checkpointed
    /// before this start, go to the logs at once: the next checkpoint writes them again, whether the controller has
    /// spoken by then or not (KAFKA-1647).
    pub fn new(
        context: Arc<PartitionContext>,
        logs: Arc<LogManager>,
        configs: Arc<ConfigCache>,
        initial_marks: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> ReplicaManager {
        for (tp, mark) in initial_marks {
            if let Some(log) = logs.get(&tp) {
                log.maybe_increment_high_watermark(mark);
            }
        }
        ReplicaManager {
            broker_id: context.broker_id,
            clock: context.clock.clone(),
            context,
            logs,
            configs,
            changing: std::sync::Mutex::default(),
            partitions: RwLock::default(),
            controller_epoch: AtomicI32::new(0),
        }
    }

    /// Wall-clock time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The partition, if this broker has it.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.get(&Name(topic, partition)).cloned()
    }

    /// The partition, or the code that tells a client why this broker cannot serve it: the cluster knows it
    /// (`known`), so it moved, or nobody does (`ReplicaManager.getPartitionOrError`).
    pub fn partition_or(
        &self,
        topic: &str,
        partition: i32,
        known: bool,
    ) -> Result<Arc<Partition>, ErrorCode> {
        self.partition(topic, partition).ok_or(match known {
            true => ErrorCode::NotLeaderOrFollower,
            false => ErrorCode::UnknownTopicOrPartition,
        })
    }

    /// Every partition, in no order.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Puts a partition on the books.
    pub(super) fn insert(&self, partition: Arc<Partition>) {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        partitions.insert(partition.tp.clone(), partition);
    }

    /// Takes it off.
    pub(super) fn remove(&self, tp: &TopicPartition) -> Option<Arc<Partition>> {
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).remove(tp)
    }

    /// Accepts a controller's request by its epoch, and remembers the highest.
    pub fn accept_controller(&self, epoch: i32) -> Result<(), ErrorCode> {
        let highest = self.controller_epoch.fetch_max(epoch, Ordering::SeqCst);
        if epoch < highest { Err(ErrorCode::StaleControllerEpoch) } else { Ok(()) }
    }

    /// Takes the settings of `topic` (all topics when `None`) into force.
    pub fn configs_changed(&self, topic: Option<&str>) {
        for partition in self.all() {
            if topic.is_some_and(|topic| *topic != *partition.tp.topic) {
                continue;
            }
            let log = partition.lock().log.clone();
            if let Some(log) = log {
                log.update_config(self.configs.log_config(&partition.tp.topic));
            }
        }
    }

    /// Looks for members of ISRs that are late: every half of `replica.lag.time.max.ms`.
    pub fn shrink_isrs(&self) {
        for partition in self.all() {
            partition.shrink_isr();
        }
    }

    /// Brokers have gone: a high watermark that waited for one that was about to join its ISR moves on now, not with the
    /// next append or the next look for late members.
    pub fn brokers_gone(&self) {
        for partition in self.all() {
            partition.forget_the_dead();
        }
    }

    /// Hands the controller's answers to the partitions that asked; how many ask again.
    pub fn settle(&self, answers: &[(Ask, Option<Answer>)]) -> usize {
        let again = answers.iter().filter(|(ask, answer)| {
            let partition = self.partition(&ask.tp.topic, ask.tp.partition);
            partition.is_some_and(|partition| partition.settle(ask, answer.as_ref()))
        });
        again.count()
    }

    /// A log directory failed: its partitions go offline, and whoever waits for them is told.
    pub fn take_offline(&self, failed: &[TopicPartition]) {
        for tp in failed {
            if let Some(partition) = self.partition(&tp.topic, tp.partition) {
                partition.lock().log = None;
                partition.touch();
            }
        }
    }

    /// High watermarks of all partitions with a log: what `replication-offset-checkpoint` holds.
    pub fn high_watermarks(&self) -> Vec<(TopicPartition, i64)> {
        let marks = self.all().into_iter().filter_map(|partition| {
            let log = partition.lock().log.clone()?;
            Some((partition.tp.clone(), log.high_watermark()))
        });
        marks.collect()
    }

    /// Partitions that this broker leads and others follow: what it can hand over.
    pub fn led_for_others(&self) -> usize {
        let leads = |partition: &&Arc<Partition>| {
            let leadership = &partition.lock().leadership;
            leadership.role == Role::Leader && leadership.replicas.len() > 1
        };
        self.all().iter().filter(leads).count()
    }

    /// Partitions that this broker leads.
    pub fn leader_count(&self) -> usize {
        self.all().iter().filter(|partition| partition.lock().leadership.role == Role::Leader).count()
    }
}
