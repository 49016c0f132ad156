//! Which group coordinators live here: one per led partition of `__consumer_offsets`, loading or serving
//! (`GroupCoordinator.onElection`, `onResignation`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::group::{Command, GroupConfig, GroupShard, Reply};
use super::loader;
use super::runtime::{self, Ask, Place};
use crate::clock::Clock;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{OFFSETS_TOPIC, TopicPartition, partition_for};
use crate::protocol::records::batch::Compression;
use crate::replication::replica_manager::ReplicaManager;

/// Commands that may wait for one coordinator.
const QUEUE: usize = 1024;

/// The settings that are not the shard's own.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shards' settings.
    pub groups: GroupConfig,
    /// `offsets.load.buffer.size`.
    pub load_buffer: usize,
    /// `offsets.topic.compression.codec`.
    pub compression: Compression,
}

enum Shard {
    Loading,
    Serving(mpsc::Sender<Ask<GroupShard>>),
}

struct Entry {
    since: i32,
    shard: Shard,
}

/// A command on its way.
pub struct Submitted {
    answer: Option<oneshot::Receiver<Reply>>,
    refused: Reply,
}

impl Submitted {
    /// Its answer; a refusal if the coordinator went away meanwhile.
    pub async fn reply(self) -> Reply {
        match self.answer {
            Some(answer) => answer.await.unwrap_or(self.refused),
            None => self.refused,
        }
    }
}

/// The coordinators of this broker.
pub struct GroupCoordinator {
    settings: Settings,
    replicas: Arc<ReplicaManager>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    /// Partitions of `__consumer_offsets`; read once it exists, else the configured count.
    partition_count: AtomicI32,
    entries: RwLock<HashMap<i32, Entry>>,
    /// Highest epoch in which each partition was elected or resigned.
    epochs: Mutex<HashMap<i32, i32>>,
    stopping: watch::Sender<bool>,
}

impl GroupCoordinator {
    /// No coordinator yet: elections bring them. Their tasks run on `runtime`.
    pub fn new(
        settings: Settings,
        replicas: Arc<ReplicaManager>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
        partition_count: i32,
    ) -> Arc<GroupCoordinator> {
        Arc::new(GroupCoordinator {
            settings,
            replicas,
            clock,
            runtime,
            partition_count: AtomicI32::new(partition_count),
            entries: RwLock::default(),
            epochs: Mutex::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// The partition of `__consumer_offsets` that owns a group.
    pub fn partition_of(&self, group_id: &str) -> i32 {
        partition_for(group_id, self.partition_count.load(Ordering::Relaxed))
    }

    /// Tells how many partitions `__consumer_offsets` has: it decides which partition owns a group.
    pub fn set_partition_count(&self, count: i32) {
        self.partition_count.store(count.max(1), Ordering::Relaxed);
    }

    /// This broker leads a partition of `__consumer_offsets` without a break since the term `since`: load it, then serve;
    /// if it is loaded, go on.
    pub fn elected(self: &Arc<Self>, partition: i32, since: i32) {
        if !self.advance(partition, Some(since)) {
            return;
        }
        let entry = Entry { since, shard: Shard::Loading };
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(partition, entry);
        let coordinator = self.clone();
        self.runtime.spawn_blocking(move || coordinator.load(partition, since));
    }

    /// This broker leads it no more.
    pub fn resigned(&self, partition: i32, leader_epoch: Option<i32>) {
        if self.advance(partition, leader_epoch) {
            // Dropping the sender ends the task, which answers whoever waits.
            self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(&partition);
        }
    }

    /// Epochs only rise; what comes with an older one is late. Without epoch it always counts.
    fn advance(&self, partition: i32, leader_epoch: Option<i32>) -> bool {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = epochs.entry(partition).or_insert(-1);
        match leader_epoch {
            None => true,
            Some(epoch) if epoch > *known => {
                *known = epoch;
                true
            }
            Some(epoch) => epoch == *known && *known == -1,
        }
    }

    fn still_wanted(&self, partition: i32, since: i32) -> bool {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&partition).is_some_and(|entry| entry.since == since)
    }

    fn load(self: Arc<Self>, partition: i32, since: i32) {
        let Some(replica) = self.replicas.partition(OFFSETS_TOPIC, partition) else { return };
        let mut shard = GroupShard::new(self.settings.groups.clone());
        let begun = self.clock.steady_ms();
        let wanted = || self.still_wanted(partition, since) && !*self.stopping.borrow();
        match loader::load(&mut shard, &replica, self.settings.load_buffer, &wanted) {
            Ok(loaded) if loaded.records > 0 => tracing::info!(
                partition,
                records = loaded.records,
                ms = self.clock.steady_ms() - begun,
                "loaded groups and offsets"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(error, "not all groups could be loaded; serving those that could"),
        }
        let (sender, commands) = mpsc::channel(QUEUE);
        let place = Place {
            partition: replica,
            since,
            clock: self.clock.clone(),
            commit_timeout_ms: self.settings.groups.commit_timeout_ms,
            compression: self.settings.compression,
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&partition).filter(|entry| entry.since == since) {
            entry.shard = Shard::Serving(sender);
            self.runtime.spawn(runtime::run(shard, place, commands));
        }
    }

    fn sender(&self, partition: i32) -> Result<mpsc::Sender<Ask<GroupShard>>, ErrorCode> {
        if *self.stopping.borrow() {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        match self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&partition) {
            None => Err(ErrorCode::NotCoordinator),
            Some(Entry { shard: Shard::Loading, .. }) => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(Entry { shard: Shard::Serving(sender), .. }) => Ok(sender.clone()),
        }
    }

    /// Gives a command to the coordinator of a group; what comes back waits for its answer.
    pub async fn submit(&self, group_id: &str, command: Command) -> Submitted {
        self.submit_to(self.partition_of(group_id), command).await
    }

    /// Gives a command to the coordinator of a group and waits for its answer.
    pub async fn ask(&self, group_id: &str, command: Command) -> Reply {
        self.submit(group_id, command).await.reply().await
    }

    async fn submit_to(&self, partition: i32, command: Command) -> Submitted {
        let sender = match self.sender(partition) {
            Ok(sender) => sender,
            Err(code) => return Submitted { answer: None, refused: command.refuse(code) },
        };
        let refused = command.clone().refuse(ErrorCode::NotCoordinator);
        let (answer, reply) = oneshot::channel();
        // A task that ends meanwhile drops the command, and with it the answer's sender.
        let _ended = sender.send((command, answer)).await;
        Submitted { answer: Some(reply), refused }
    }

    /// Gives a command to every coordinator here, and returns the answers; for a loading one, its refusal.
    pub async fn ask_all(&self, command: &Command) -> Vec<Reply> {
        let partitions: Vec<i32> =
            self.entries.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        let mut replies = Vec::with_capacity(partitions.len());
        for partition in partitions {
            replies.push(self.submit_to(partition, command.clone()).await.reply().await);
        }
        replies
    }

    /// Topics were deleted: their offsets go.
    pub fn topics_deleted(self: &Arc<Self>, deleted: &[TopicPartition]) {
        let mut topics: Vec<Arc<str>> = deleted.iter().map(|tp| tp.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        let coordinator = self.clone();
        self.runtime.spawn(async move {
            coordinator.ask_all(&Command::TopicsDeleted(topics)).await;
        });
    }

    /// Removes expired offsets and empty groups (`offsets.retention.check.interval.ms`).
    pub async fn expire_offsets(&self) -> usize {
        let replies = self.ask_all(&Command::ExpireOffsets).await;
        replies.iter().map(|reply| if let Reply::Removed(count) = reply { *count } else { 0 }).sum()
    }

    /// Stops: every command from now on, and everyone who waits, is told COORDINATOR_NOT_AVAILABLE.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        self.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
