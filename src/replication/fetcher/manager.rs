//! All fetchers of a broker (`ReplicaFetcherManager`): which partition is copied by which.
//!
//! A fetcher serves one (leader, fetcher id); a partition's topic and number choose the id. What a partition is to
//! follow is read from the partition itself, so requests of an old and a new controller may come in any order. A
//! leader whose endpoint is not known yet is looked for again whenever the metadata change (in Kafka: only when
//! the controller speaks again). A fetcher without partitions ends.
//! Lock order: this manager's table, then a fetcher's machine; never across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::machine::Machine;
use super::requests::Settings;
use super::task::Task;
use super::work::Start;
use crate::metadata::cache::MetadataCache;
use crate::metadata::image::Endpoint;
use crate::protocol::ids::{TopicPartition, Uuid, java_string_hash};
use crate::replication::replica_manager::ReplicaManager;
use crate::replication::throttle::Throttles;
use crate::shutdown::Stop;

/// What the fetchers of a broker share.
pub struct Shared {
    /// The partitions.
    pub replicas: Arc<ReplicaManager>,
    /// Where leaders are reached.
    pub metadata: Arc<MetadataCache>,
    /// The replication quotas.
    pub throttles: Arc<Throttles>,
    /// czxid of this broker's registration, which the leader checks.
    pub broker_epoch: Arc<AtomicI64>,
    /// What requests say.
    pub requests: Settings,
    /// The listener on which brokers reach each other.
    pub listener: String,
    /// `replica.socket.timeout.ms`.
    pub socket_timeout: Duration,
    /// `num.replica.fetchers`.
    pub fetchers: i32,
}

/// See the module.
pub struct FetcherManager {
    shared: Arc<Shared>,
    runtime: Handle,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    followed: BTreeMap<TopicPartition, Followed>,
    /// Followed, but no fetcher could be had for their leader.
    waiting: BTreeSet<TopicPartition>,
    fetchers: BTreeMap<Place, Fetcher>,
    stopped: bool,
}

/// A leader and a fetcher id.
type Place = (i32, i32);

struct Followed {
    leader: i32,
    leader_epoch: i32,
    /// As the controller last said it: zero makes the fetcher name the topic.
    topic_id: Uuid,
}

/// The manager's end of a fetcher.
struct Fetcher {
    endpoint: Endpoint,
    machine: Arc<Mutex<Machine>>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetcher {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FetcherManager {
    /// No fetcher yet; they will run on `runtime`.
    pub fn new(shared: Shared, runtime: Handle) -> Arc<FetcherManager> {
        Arc::new(FetcherManager { shared: Arc::new(shared), runtime, table: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the fetchers follow what these partitions are now, with the topic ids that the controller named.
    pub fn sync<'a>(&self, partitions: impl IntoIterator<Item = (&'a TopicPartition, Uuid)>) {
        let mut table = self.lock();
        for (tp, topic_id) in partitions {
            self.sync_one(&mut table, tp, topic_id);
        }
        table.end_idle();
        table.tell();
    }

    fn sync_one(&self, table: &mut Table, tp: &TopicPartition, topic_id: Uuid) {
        let partition = self.shared.replicas.partition(&tp.topic, tp.partition);
        let Some((leader, start)) = partition.and_then(|partition| partition.follow_from()) else {
            table.take_out(tp, self.fetcher_id(tp));
            return;
        };
        let place = (leader, self.fetcher_id(tp));
        let known = table.followed.get(tp);
        if known.is_some_and(|known| known.leader != leader || known.leader_epoch != start.leader_epoch) {
            table.take_out(tp, place.1);
        }
        let followed = Followed { leader, leader_epoch: start.leader_epoch, topic_id };
        table.followed.insert(tp.clone(), followed);
        self.place(table, place, Start { topic_id, ..start });
    }

    /// Gives a partition to its fetcher, which may have to be made; without an endpoint it waits.
    fn place(&self, table: &mut Table, place: Place, start: Start) {
        if table.stopped {
            return;
        }
        let endpoint = match table.fetchers.get(&place) {
            Some(fetcher) => Some(fetcher.endpoint.clone()),
            None => self.endpoint(place.0),
        };
        let Some(endpoint) = endpoint else {
            tracing::debug!(partition = %start.tp, leader = place.0, "its leader is not alive");
            table.waiting.insert(start.tp);
            return;
        };
        table.waiting.remove(&start.tp);
        let fetcher = table.fetchers.entry(place).or_insert_with(|| self.begin(place, endpoint));
        tracing::debug!(
            partition = %start.tp, leader = place.0, leader_epoch = start.leader_epoch, offset = start.offset,
            "copying from its leader"
        );
        fetcher.lock().add(start);
        fetcher.wake.notify_one();
    }

    fn begin(&self, (leader, fetcher_id): Place, endpoint: Endpoint) -> Fetcher {
        let machine = Arc::new(Mutex::new(Machine::new(self.shared.requests.clone())));
        let wake = Arc::new(Notify::new());
        let task = Task::new(
            self.shared.clone(),
            (leader, fetcher_id),
            endpoint.clone(),
            machine.clone(),
            wake.clone(),
        );
        Fetcher { endpoint, machine, wake, task: self.runtime.spawn(task.run()) }
    }

    fn endpoint(&self, leader: i32) -> Option<Endpoint> {
        let image = self.shared.metadata.image();
        image.broker(leader)?.endpoint(&self.shared.listener).cloned()
    }

    /// `AbstractFetcherManager.getFetcherId`.
    fn fetcher_id(&self, tp: &TopicPartition) -> i32 {
        let hash = java_string_hash(&tp.topic).wrapping_mul(31).wrapping_add(tp.partition);
        let positive = if hash == i32::MIN { 0 } else { hash.abs() };
        positive % self.shared.fetchers.max(1)
    }

    /// Stops copying these partitions.
    pub fn remove<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        let mut table = self.lock();
        for tp in partitions {
            table.take_out(tp, self.fetcher_id(tp));
        }
        table.end_idle();
    }

    /// The metadata have changed: leaders that were not alive may be, others may have moved.
    fn refresh(&self) {
        let mut table = self.lock();
        let moved: Vec<Place> = table
            .fetchers
            .iter()
            .filter(|(place, fetcher)| self.endpoint(place.0).is_some_and(|now| now != fetcher.endpoint))
            .map(|(place, _)| *place)
            .collect();
        for place in &moved {
            tracing::info!(leader = place.0, "a leader has moved to another endpoint");
            table.fetchers.remove(place);
        }
        let is_moved = |tp: &TopicPartition, followed: &Followed| {
            moved.contains(&(followed.leader, self.fetcher_id(tp)))
        };
        let mut again = table.waiting.clone();
        if !moved.is_empty() {
            let followed = table.followed.iter().filter(|(tp, followed)| is_moved(tp, followed));
            again.extend(followed.map(|(tp, _)| tp.clone()));
        }
        again.retain(|tp| {
            table.followed.get(tp).is_some_and(|followed| self.endpoint(followed.leader).is_some())
        });
        for tp in again {
            let topic_id = table.followed.get(&tp).map_or(Uuid::ZERO, |followed| followed.topic_id);
            self.sync_one(&mut table, &tp, topic_id);
        }
        table.end_idle();
    }

    /// Looks at the metadata whenever they change, until the stop; then every fetcher ends.
    pub async fn run(manager: Weak<FetcherManager>, metadata: Arc<MetadataCache>, mut stop: Stop) {
        let mut changes = metadata.changes();
        loop {
            let Some(manager) = manager.upgrade() else { return };
            manager.refresh();
            drop(manager);
            tokio::select! {
                biased;
                () = stop.requested() => break,
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        if let Some(manager) = manager.upgrade() {
            let mut table = manager.lock();
            *table = Table { stopped: true, ..Table::default() };
        }
    }

    /// Partitions whose copying has failed, and why: they wait for the controller.
    pub fn failed(&self) -> BTreeMap<TopicPartition, String> {
        let table = self.lock();
        table.fetchers.values().flat_map(|fetcher| fetcher.lock().failed().clone()).collect()
    }

    /// How far the partition furthest behind its leader is behind, in records.
    pub fn max_lag(&self) -> i64 {
        self.lock().fetchers.values().map(|fetcher| fetcher.lock().max_lag()).max().unwrap_or(0)
    }

    /// Number of fetchers.
    pub fn count(&self) -> usize {
        self.lock().fetchers.len()
    }
}

impl Table {
    fn take_out(&mut self, tp: &TopicPartition, fetcher_id: i32) {
        self.waiting.remove(tp);
        let Some(followed) = self.followed.remove(tp) else { return };
        if let Some(fetcher) = self.fetchers.get(&(followed.leader, fetcher_id)) {
            fetcher.lock().remove(tp);
        }
    }

    fn tell(&self) {
        let (followed, waiting, fetchers) = (self.followed.len(), self.waiting.len(), self.fetchers.len());
        tracing::info!(followed, waiting, fetchers, "copying partitions from their leaders");
    }

    /// A failed partition keeps its fetcher's place in the table, so that its failure is seen.
    fn end_idle(&mut self) {
        self.fetchers.retain(|_, fetcher| {
            let machine = fetcher.lock();
            !machine.is_empty() || !machine.failed().is_empty()
        });
    }
}

#[cfg(test)]
mod tests;
