//! One machine: its disk, its clock, and the broker process on it, if it runs.
//!
//! The process is the shipped broker from `boot::startup` on: controller, fetchers, periodic jobs, all of it, as tasks
//! of a runtime of its own whose time stands still until the world moves it. A paused process is one that is not
//! driven; when it goes on, the time that passed has passed. A killed one loses its memory, not its files; a power
//! loss also what was not synced.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ottla::boot::directories::Progress;
use ottla::boot::startup::{self, Ground};
use ottla::broker::Broker;
use ottla::client::network;
use ottla::clock::{ManualClock, Timestamp};
use ottla::config::broker::BrokerConfig;
use ottla::config::listeners::{Endpoint, SecurityProtocol};
use ottla::config::load::Settings;
use ottla::storage::sim_fs::SimFs;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::network::{Dialer, LISTENER, Outbox, PORTS};
use crate::store::SimStore;
use crate::world::Event;

/// Steps a task may take in a chain at one moment of simulated time; more wait for the next.
const HOPS: usize = 24;

/// How a process ended of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked to, in order.
    Stopped,
    /// It could not go on.
    Halted(String),
}

/// What the world may see of a process.
#[derive(Default)]
pub struct Status {
    /// The broker, once it serves.
    pub broker: OnceLock<Arc<Broker>>,
    /// Asks it to stop in order.
    pub leave: Notify,
    ended: Mutex<Option<End>>,
}

impl Status {
    fn end(&self, end: End) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running process.
pub struct Process {
    pub runtime: Runtime,
    pub outbox: Outbox,
    pub store: Arc<SimStore>,
    pub status: Arc<Status>,
    dialer: Arc<Dialer>,
    now: i64,
    /// Whether it was asked to stop.
    pub leaving: bool,
}

/// See the module.
pub struct Host {
    pub id: i32,
    pub clock: Arc<ManualClock>,
    pub disk: SimFs,
    pub process: Option<Process>,
    /// Counts starts.
    pub life: u64,
    pub paused: bool,
    /// Its disk was full, or is to fail.
    pub was_sick: bool,
    /// What arrived while it was paused.
    pub held: VecDeque<Event>,
    /// When the last request to and answer of ZooKeeper arrives: one connection keeps its order.
    pub zk_up: i64,
    pub zk_down: i64,
}

impl Process {
    /// A process without tasks.
    pub fn new(now: i64) -> Process {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let outbox = Outbox::default();
        Process {
            runtime: runtime.expect("a runtime without I/O needs nothing"),
            store: SimStore::new(outbox.clone()),
            dialer: Arc::new(Dialer(outbox.clone())),
            outbox,
            status: Arc::default(),
            now,
            leaving: false,
        }
    }

    /// Lets the process live until `now`.
    pub fn drive(&mut self, now: i64) {
        let passed = Duration::from_millis((now - self.now).max(0) as u64);
        self.now = now;
        network::simulate_here(Some(self.dialer.clone()));
        self.runtime.block_on(async {
            if !passed.is_zero() {
                tokio::time::advance(passed).await;
            }
            for _ in 0..HOPS {
                tokio::task::yield_now().await;
            }
        });
    }
}

impl Host {
    /// A machine that is switched off.
    pub fn new(id: i32, seed: u64, now: i64) -> Host {
        Host {
            id,
            clock: Arc::new(ManualClock::at(Timestamp(now))),
            disk: SimFs::new(seed),
            process: None,
            life: 0,
            paused: false,
            was_sick: false,
            held: VecDeque::new(),
            zk_up: 0,
            zk_down: 0,
        }
    }

    /// The broker, if it runs and serves.
    pub fn broker(&self) -> Option<&Arc<Broker>> {
        self.process.as_ref()?.status.broker.get()
    }

    /// Starts the broker.
    pub fn start(&mut self, now: i64, keys: &[(&str, String)]) {
        self.life += 1;
        let process = Process::new(now);
        let ground = Ground {
            store: process.store.clone(),
            clock: self.clock.clone(),
            fs: Arc::new(self.disk.clone()),
        };
        let config = config(self.id, keys);
        process.runtime.spawn(live(config, ground, self.id, process.status.clone()));
        self.process = Some(process);
    }
}

fn config(id: i32, keys: &[(&str, String)]) -> BrokerConfig {
    let fixed = [
        ("broker.id", id.to_string()),
        ("zookeeper.connect", "simulated:2181".to_owned()),
        ("listeners", format!("{LISTENER}://b{id}:{}", PORTS + id as u16)),
        ("log.dirs", "/data".to_owned()),
        ("num.recovery.threads.per.data.dir", "1".to_owned()),
        ("min.insync.replicas", "2".to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("log.retention.ms", "-1".to_owned()),
    ];
    let pairs = fixed.iter().chain(keys).map(|(key, value)| ((*key).to_owned(), value.clone()));
    let (settings, warnings) = Settings::from_pairs(pairs).expect("the keys are Kafka's");
    assert!(warnings.is_empty(), "{warnings:?}");
    BrokerConfig::from_settings(settings).expect("the configuration is valid")
}

async fn live(config: BrokerConfig, ground: Ground, id: i32, status: Arc<Status>) {
    let store = ground.store.clone();
    while store.session_id() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let endpoint = Endpoint {
        listener: LISTENER.to_owned(),
        host: format!("b{id}"),
        port: PORTS + id as u16,
        security: SecurityProtocol::Plaintext,
    };
    let entered = async {
        let loaded = startup::load(config, ground, Arc::new(Progress::default())).await?;
        startup::enter(loaded, vec![endpoint]).await
    };
    let (running, stop) = match entered.await {
        Ok(entered) => entered,
        Err(why) => return status.end(End::Halted(why)),
    };
    startup::work(&running.broker, stop);
    let broker = running.broker.clone();
    assert!(status.broker.set(broker.clone()).is_ok(), "a process starts once");
    tokio::select! {
        biased;
        () = broker.halt.notified() => status.end(End::Halted("no log directory is left".to_owned())),
        () = status.leave.notified() => {
            running.stop().await;
            status.end(End::Stopped);
        }
    }
}
