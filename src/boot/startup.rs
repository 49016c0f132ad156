//! Start and stop of a broker, one line a step (`KafkaServer.startup`, `shutdown`).

use std::collections::HashMap;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use ottla_zk::kafka::{self, brokers, cluster};
use ottla_zk::store::Store;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::access_rules;
use super::controlled_shutdown;
use super::directories::{self, Progress};
use super::tasks;
use crate::admin::Admin;
use crate::api::fetch_convert;
use crate::broker::Broker;
use crate::clock::{Clock, SystemClock};
use crate::config::broker::BrokerConfig;
use crate::config::listeners::Endpoint;
use crate::config::load::Settings;
use crate::controller::channel::{Settings as ChannelSettings, Versions};
use crate::controller::event::Change;
use crate::controller::machine::Config as ControllerConfig;
use crate::controller::runner::{self, ControllerHandle};
use crate::coordinator::directory::{GroupCoordinator, Settings as GroupSettings};
use crate::coordinator::group::{GroupConfig, ValueVersions};
use crate::membership::Notice;
use crate::membership::configurations;
use crate::membership::controller_line::LineSettings;
use crate::membership::producer_ids::ProducerIds;
use crate::membership::registration::Registration;
use crate::membership::watches::{self, Told, Watcher};
use crate::metadata::cache::MetadataCache;
use crate::metadata::configs::ConfigCache;
use crate::metrics::Metrics;
use crate::net::connection::ConnectionLimits;
use crate::net::limits::{Limits, ListenerLimits, Slots};
use crate::net::listener::{Listener, SocketBuffers, Workers};
use crate::net::memory::Memory;
use crate::net::rate::Windows;
use crate::protocol::ids::{OFFSETS_TOPIC, TopicPartition, Uuid};
use crate::protocol::records::batch::Compression;
use crate::replication::alter_partition::AlterQueue;
use crate::replication::alter_sender;
use crate::replication::fetch_session::FetchSessions;
use crate::replication::fetcher::manager::{self as fetchers, FetcherManager};
use crate::replication::fetcher::requests as follower;
use crate::replication::log_dirs;
use crate::replication::partition::PartitionContext;
use crate::replication::replica_manager::ReplicaManager;
use crate::replication::throttle::{self, Throttles};
use crate::shutdown::{Stop, Stopper, stop_pair};
use crate::storage::fs::Fs;
use crate::storage::manager::LogManager;

/// How long connections may take to finish what they are at when the broker stops.
const DRAIN: Duration = Duration::from_millis(500);

/// How long a stop waits for ZooKeeper, which may be gone: its session ends the registration anyway.
const UNREGISTER: Duration = Duration::from_secs(3);
const RECEIVE_BUFFER: &str = "socket.receive.buffer.bytes";

/// A running broker.
pub struct Running {
    /// Its parts.
    pub broker: Arc<Broker>,
    /// Bound listeners, with real hosts and ports.
    pub endpoints: Vec<Endpoint>,
    stopper: Stopper,
}

/// What a broker stands on.
#[derive(Clone)]
pub struct Ground {
    /// ZooKeeper.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The disk.
    pub fs: Arc<dyn Fs>,
}

/// A broker with its logs loaded, not yet in the cluster.
pub struct Loaded {
    config: BrokerConfig,
    ground: Ground,
    cluster_id: String,
    broker_id: i32,
    configs: Arc<ConfigCache>,
    /// Sequence of the last change note applied.
    last_change: i64,
    logs: Arc<LogManager>,
    /// High watermarks as checkpointed.
    marks: HashMap<TopicPartition, i64>,
}

/// Starts a broker on an open store. `progress` tells how far loading the logs is; `workers` carry the connections.
pub async fn start(
    config: BrokerConfig,
    store: Arc<dyn Store>,
    progress: Arc<Progress>,
    workers: Vec<Handle>,
) -> Result<Running, String> {
    let ground = Ground { store, clock: Arc::new(SystemClock::new()), fs: directories::real() };
    let loaded = load(config, ground, progress).await?;
    let (bound, endpoints) = bind(&loaded.config).await?;
    let (running, stop) = enter(loaded, endpoints).await?;
    // Connections wait in the sockets' queues until here: a broker that is not registered knows no topic, and would
    // tell its clients so.
    listen(&running.broker, bound, workers, &stop);
    work(&running.broker, stop);
    tracing::info!("[KafkaServer id={}] started", running.broker.id);
    Ok(running)
}

/// Identity, configuration, and every log.
pub async fn load(config: BrokerConfig, ground: Ground, progress: Arc<Progress>) -> Result<Loaded, String> {
    let text = |error: kafka::KafkaError| error.to_string();
    let Ground { store, clock, fs } = ground.clone();
    kafka::create_top_level(&*store).await.map_err(text)?;
    access_rules::refuse(&config.settings, &*store).await?;
    let cluster_id = cluster::id_or_create(&*store, &Uuid::random().to_string()).await.map_err(text)?;
    let opened = {
        let (config, cluster_id) = (config.clone(), cluster_id.clone());
        blocking(move || directories::open(fs, &config, &cluster_id)).await??
    };
    let broker_id = broker_id(&config, opened.broker_id()?, &store).await?;
    let configs = Arc::new(ConfigCache::new(config.settings.clone()));
    let last_change = configurations::load_all(&*store, &configs, broker_id).await.map_err(text)?;
    let (logs, marks) = {
        let (config, configs) = (config.clone(), configs.clone());
        blocking(move || opened.load(broker_id, &config, &configs, &*clock, &progress)).await??
    };
    Ok(Loaded { config, ground, cluster_id, broker_id, configs, last_change, logs, marks })
}

/// Puts the parts together and registers the broker, to be reached at `endpoints`. It serves nobody yet.
pub async fn enter(loaded: Loaded, endpoints: Vec<Endpoint>) -> Result<(Running, Stop), String> {
    let Loaded { config, ground, cluster_id, broker_id, configs, last_change, logs, marks } = loaded;
    let Ground { store, clock, .. } = ground;
    let metadata = Arc::new(MetadataCache::default());
    let parts = Parts { config: Arc::new(config), store, clock, configs, metadata, broker_id, cluster_id };
    let replicas = Arc::new(ReplicaManager::new(parts.partitions(), logs, parts.configs.clone(), marks));
    let broker = parts.assemble(replicas).await;
    broker.throttles_changed(None);
    refuse_taken(&*parts.store, broker_id, &endpoints).await?;
    let (stopper, stop) = stop_pair();
    tasks::watch_dirs(&broker, &stop);
    register(&broker, endpoints.clone(), last_change, &parts, &stop).await?;
    Ok((Running { broker, endpoints, stopper }, stop))
}

/// Starts what a broker does of its own accord: periodic jobs, copying from leaders, changes of ISRs.
pub fn work(broker: &Arc<Broker>, stop: Stop) {
    tasks::start(broker, &stop);
    let fetchers = Arc::downgrade(&broker.fetchers);
    tokio::spawn(FetcherManager::run(fetchers, broker.metadata.clone(), stop.clone()));
    let (replicas, epoch) = (broker.replicas.clone(), broker.epoch.clone());
    tokio::spawn(log_dirs::run(replicas.clone(), stop.clone()));
    tokio::spawn(alter_sender::run(replicas, broker.controller_line.clone(), epoch, stop));
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    crate::blocking::run(work).await.map_err(|error| format!("start-up failed: {error}"))
}

/// `broker.id`, what the directories say, or a new one from ZooKeeper.
async fn broker_id(
    config: &BrokerConfig,
    on_disk: Option<i32>,
    store: &Arc<dyn Store>,
) -> Result<i32, String> {
    match config.broker_id.or(on_disk) {
        Some(id) => Ok(id),
        None => {
            let reserved = config.settings.number("reserved.broker.max.id") as i32;
            brokers::generate_id(&**store, reserved).await.map_err(|error| error.to_string())
        }
    }
}

/// Binds every listener, and works out what to advertise.
async fn bind(config: &BrokerConfig) -> Result<(Vec<(Endpoint, TcpListener)>, Vec<Endpoint>), String> {
    let mut bound = Vec::new();
    for endpoint in &config.listeners.bind {
        let host = if endpoint.host.is_empty() { "0.0.0.0" } else { endpoint.host.as_str() };
        let port = endpoint.port;
        let address = (host, port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| format!("listeners: {endpoint}: the host {host:?} has no address"))?;
        let open = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(config.settings.number("socket.listen.backlog.size").clamp(50, 65_535) as u32)
        };
        let socket = open().map_err(|error| {
            format!("listeners: cannot listen on {endpoint}: {error}; is another broker using the port?")
        })?;
        let port = socket.local_addr().map_err(|error| error.to_string())?.port();
        bound.push((Endpoint { port, ..endpoint.clone() }, socket));
    }
    let advertised = config.listeners.advertised.iter().map(|endpoint| {
        let real = bound.iter().find(|(bound, _)| bound.listener == endpoint.listener);
        let port = match (endpoint.port, real) {
            (0, Some((bound, _))) => bound.port,
            (port, _) => port,
        };
        let host = if endpoint.host.is_empty() { local_host_name() } else { endpoint.host.clone() };
        Endpoint { host, port, ..endpoint.clone() }
    });
    let advertised = advertised.collect();
    Ok((bound, advertised))
}

/// The name that Kafka advertises when none is configured (`InetAddress.getLocalHost.getCanonicalHostName`).
fn local_host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let resolves =
        (name.as_str(), 0u16).to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some());
    if resolves { name } else { "localhost".to_owned() }
}

/// What the parts of a broker are made of.
struct Parts {
    config: Arc<BrokerConfig>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    configs: Arc<ConfigCache>,
    metadata: Arc<MetadataCache>,
    broker_id: i32,
    cluster_id: String,
}

impl Parts {
    fn partitions(&self) -> Arc<PartitionContext> {
        Arc::new(PartitionContext {
            broker_id: self.broker_id,
            clock: self.clock.clone(),
            metadata: self.metadata.clone(),
            lag_max_ms: self.config.settings.number("replica.lag.time.max.ms"),
            alters: AlterQueue::default(),
        })
    }

    fn controller_line(&self) -> LineSettings {
        LineSettings {
            metadata: self.metadata.clone(),
            listener: self.config.listeners.inter_broker.clone(),
            client_id: self.broker_id.to_string(),
            timeout: self.config.ms("controller.socket.timeout.ms"),
        }
    }

    fn fetchers(
        &self,
        replicas: Arc<ReplicaManager>,
        throttles: Arc<Throttles>,
        broker_epoch: Arc<AtomicI64>,
    ) -> Arc<FetcherManager> {
        let settings = &self.config.settings;
        let int = |key: &str| settings.number(key).clamp(0, i64::from(i32::MAX)) as i32;
        let protocol = settings.text("inter.broker.protocol.version");
        let requests = follower::Settings {
            broker_id: self.broker_id,
            versions: follower::Versions::for_protocol(protocol)
                .expect("the configuration refuses releases without versions"),
            max_wait_ms: int("replica.fetch.wait.max.ms"),
            min_bytes: int("replica.fetch.min.bytes"),
            response_max_bytes: int("replica.fetch.response.max.bytes"),
            partition_max_bytes: int("replica.fetch.max.bytes"),
            backoff_ms: settings.number("replica.fetch.backoff.ms"),
        };
        let shared = fetchers::Shared {
            replicas,
            metadata: self.metadata.clone(),
            throttles,
            broker_epoch,
            requests,
            listener: self.config.listeners.inter_broker.clone(),
            socket_timeout: self.config.ms("replica.socket.timeout.ms"),
            fetchers: int("num.replica.fetchers"),
        };
        FetcherManager::new(shared, Handle::current())
    }

    async fn assemble(&self, replicas: Arc<ReplicaManager>) -> Arc<Broker> {
        let metadata = self.metadata.clone();
        let epoch = Arc::new(AtomicI64::new(-1));
        let offsets_partitions = self.offsets_partitions().await;
        let groups = GroupCoordinator::new(
            self.group_settings(),
            replicas.clone(),
            self.clock.clone(),
            Handle::current(),
            offsets_partitions,
        );
        let settings = &self.config.settings;
        let throttles = Arc::new(Throttles::new(self.broker_id, replication_windows(settings)));
        let slots = settings.number("max.incremental.fetch.session.cache.slots").max(0) as usize;
        Arc::new(Broker {
            id: self.broker_id,
            cluster_id: self.cluster_id.clone(),
            config: self.config.clone(),
            configs: self.configs.clone(),
            clock: self.clock.clone(),
            admin: Admin {
                broker_id: self.broker_id,
                store: self.store.clone(),
                metadata: metadata.clone(),
                configs: self.configs.clone(),
                config: self.config.clone(),
                clock: self.clock.clone(),
                creating: Default::default(),
            },
            producer_ids: ProducerIds::new(self.broker_id, epoch.clone(), self.controller_line()),
            controller_line: self.controller_line(),
            fetchers: self.fetchers(replicas.clone(), throttles.clone(), epoch.clone()),
            throttles,
            metadata,
            replicas,
            sessions: FetchSessions::new(slots),
            conversions: Arc::new(Semaphore::new(fetch_convert::AT_ONCE)),
            groups,
            store: self.store.clone(),
            controller: self.controller(),
            metrics: Metrics::default(),
            epoch,
            feature_epoch: Arc::new(AtomicI64::new(-1)),
            standing: Arc::default(),
            halt: Notify::new(),
        })
    }

    /// How many partitions `__consumer_offsets` has, or will have.
    async fn offsets_partitions(&self) -> i32 {
        let names = [OFFSETS_TOPIC.to_owned()];
        let stored = kafka::topics::read(&*self.store, &names).await.ok().and_then(|mut topics| topics.pop());
        let configured = self.config.settings.number("offsets.topic.num.partitions") as i32;
        stored.and_then(Result::ok).map_or(configured, |topic| topic.node.partitions.len() as i32)
    }

    fn group_settings(&self) -> GroupSettings {
        let settings = &self.config.settings;
        let number = |key: &str| settings.number(key);
        let int = |key: &str| settings.number(key) as i32;
        GroupSettings {
            groups: GroupConfig {
                min_session_timeout_ms: int("group.min.session.timeout.ms"),
                max_session_timeout_ms: int("group.max.session.timeout.ms"),
                max_size: number("group.max.size").max(1) as usize,
                initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms"),
                max_offset_metadata: number("offset.metadata.max.bytes").max(0) as usize,
                offsets_retention_ms: number("offsets.retention.minutes").saturating_mul(60_000),
                commit_timeout_ms: number("offsets.commit.timeout.ms"),
                versions: ValueVersions::default(),
            },
            load_buffer: number("offsets.load.buffer.size").max(1) as usize,
            compression: Compression::from_id(number("offsets.topic.compression.codec").clamp(0, 4) as u8)
                .unwrap_or(Compression::None),
        }
    }

    fn controller(&self) -> ControllerHandle {
        let settings = &self.config.settings;
        let release = self.config.inter_broker_release;
        let versions =
            Versions::for_release(release).expect("the configuration refuses releases without versions");
        runner::start(runner::Parts {
            store: self.store.clone(),
            clock: self.clock.clone(),
            config: ControllerConfig {
                broker_id: self.broker_id,
                inter_broker_listener: self.config.listeners.inter_broker.clone(),
                delete_topics: self.config.delete_topics,
                topic_ids: release >= (2, 8),
                leader_recovery: release >= (3, 2),
                features: release >= (2, 7),
                feature_version: if release >= (3, 3) { 2 } else { 1 },
                rebalance: settings.flag("auto.leader.rebalance.enable"),
                rebalance_interval_ms: settings.number("leader.imbalance.check.interval.seconds") * 1000,
                imbalance_percentage: settings.number("leader.imbalance.per.broker.percentage") as i32,
            },
            channels: ChannelSettings {
                controller_id: self.broker_id,
                listener: self.config.listeners.inter_broker.clone(),
                socket_timeout: self.config.ms("controller.socket.timeout.ms"),
                request_timeout: self.config.request_timeout,
                versions,
            },
            unclean_by_default: {
                let configs = self.configs.clone();
                Box::new(move || configs.plain().unclean_leader_election)
            },
        })
    }
}

fn replication_windows(settings: &Settings) -> throttle::Windows {
    throttle::Windows {
        count: settings.number("replication.quota.window.num"),
        size_ms: settings.number("replication.quota.window.size.seconds").saturating_mul(1000),
    }
}

fn listen(broker: &Arc<Broker>, bound: Vec<(Endpoint, TcpListener)>, workers: Vec<Handle>, stop: &Stop) {
    let settings = &broker.config.settings;
    let number = |key: &str| settings.number(key);
    let overrides = settings.list("max.connections.per.ip.overrides").into_iter().filter_map(|pair| {
        let (host, limit) = pair.rsplit_once(':')?;
        let address = (host, 0u16).to_socket_addrs().ok()?.next()?;
        Some((address.ip().to_canonical(), limit.trim().parse().ok()?))
    });
    let slots = Slots::new(Limits {
        total: number("max.connections").max(0) as usize,
        per_ip: number("max.connections.per.ip").max(0) as usize,
        per_ip_overrides: overrides.collect::<HashMap<_, _>>(),
        rate: number("max.connection.creation.rate"),
        windows: Windows {
            count: number("quota.window.num"),
            size_ms: number("quota.window.size.seconds").saturating_mul(1000),
        },
        listeners: bound.iter().map(|(endpoint, _)| listener_limits(&broker.config, endpoint)).collect(),
    });
    let buffer = |key: &str| usize::try_from(number(key)).ok().filter(|bytes| *bytes > 0);
    let memory = Some(number("queued.max.request.bytes")).filter(|bytes| *bytes > 0).map(Memory::new);
    let workers = Arc::new(Workers::new(workers));
    for (place, (endpoint, socket)) in bound.into_iter().enumerate() {
        tracing::info!(listener = %endpoint, "listening");
        let listener = Listener {
            name: endpoint.listener.as_str().into(),
            socket,
            broker: broker.clone(),
            slots: slots.clone(),
            place,
            limits: ConnectionLimits {
                request_max_bytes: number("socket.request.max.bytes") as i32,
                idle: u64::try_from(number("connections.max.idle.ms")).ok().map(Duration::from_millis),
                memory: memory.clone(),
            },
            workers: workers.clone(),
            stop: stop.clone(),
            buffers: SocketBuffers {
                send: buffer("socket.send.buffer.bytes"),
                // The system's own sizing takes large requests in fewer, larger reads than Kafka's 100 KiB.
                receive: settings.set(RECEIVE_BUFFER).and_then(|_| buffer(RECEIVE_BUFFER)),
            },
        };
        tokio::spawn(listener.run());
    }
}

fn listener_limits(config: &BrokerConfig, endpoint: &Endpoint) -> ListenerLimits {
    let name = &endpoint.listener;
    let number = |key: &str| config.settings.number_of_listener(name, key);
    ListenerLimits {
        connections: number("max.connections").max(0) as usize,
        rate: number("max.connection.creation.rate"),
        protected: *name == config.listeners.inter_broker && config.listeners.bind.len() > 1,
    }
}

/// Two brokers at one address would each get the other's requests: the controller's commands among them. Source:
/// `KafkaServer.createBrokerInfo`.
async fn refuse_taken(store: &dyn Store, id: i32, endpoints: &[Endpoint]) -> Result<(), String> {
    let live = brokers::list(store).await.map_err(|error| error.to_string())?;
    for other in live.iter().filter(|other| other.id != id) {
        let has = |own: &&Endpoint| {
            let theirs = &other.registration.endpoints;
            theirs.iter().any(|at| at.host == own.host && at.port == i32::from(own.port))
        };
        let taken: Vec<String> = endpoints.iter().filter(has).map(Endpoint::to_string).collect();
        if !taken.is_empty() {
            let (taken, other) = (taken.join(","), other.id);
            return Err(format!(
                "advertised.listeners: {taken} is registered by broker {other} already; give each broker a host and port \
                 of its own (if this is broker {other} under a new id, wait until its old session has ended)"
            ));
        }
    }
    Ok(())
}

/// Registers this broker, and watches from then on.
async fn register(
    broker: &Arc<Broker>,
    endpoints: Vec<Endpoint>,
    last_change: i64,
    parts: &Parts,
    stop: &Stop,
) -> Result<(), String> {
    let events = parts.store.watch(&watches::roots()).await.map_err(|error| error.to_string())?;
    let hearer = Arc::downgrade(broker);
    let watcher = Watcher {
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        registration: Registration { broker_id: broker.id, endpoints, rack: parts.config.rack.clone() },
        configs: parts.configs.clone(),
        broker_epoch: broker.epoch.clone(),
        feature_epoch: broker.feature_epoch.clone(),
        standing: broker.standing.clone(),
        tell: Box::new(move |told| {
            if let Some(broker) = hearer.upgrade() {
                hear(&broker, told);
            }
        }),
        last_change,
    };
    let (sender, registered) = oneshot::channel();
    let mut stop = stop.clone();
    tokio::spawn(async move {
        // A stop ends the session itself: no loss to warn of, and no reason to register again.
        tokio::select! {
            biased;
            () = stop.requested() => {}
            () = watcher.run(events, sender) => {}
        }
    });
    registered.await.map_err(|_| "the ZooKeeper session ended before this broker was registered".to_owned())
}

fn hear(broker: &Arc<Broker>, told: Told) {
    match told {
        Told::Controller(notice) => broker.controller.notice(notice),
        Told::TopicConfig(topic) => {
            broker.throttles_changed(Some(&topic));
            broker.replicas.configs_changed(Some(&topic));
            if broker.configs.log_config(&topic).unclean_leader_election {
                broker.controller.changed(Change::UncleanOf(topic.into()));
            }
        }
        Told::BrokerConfig => {
            broker.throttles_changed(None);
            broker.replicas.configs_changed(None);
            if broker.configs.plain().unclean_leader_election {
                broker.controller.changed(Change::UncleanByDefault);
            }
        }
    }
}

impl Running {
    /// Stops in order: no new requests, the registration removed, logs flushed and marked clean.
    pub async fn stop(self) {
        tracing::info!("stopping");
        controlled_shutdown::leave(&self.broker).await;
        // First out of office: a controller that sees its own broker leave would take every leadership away.
        self.broker.controller.notice(Notice::Leaving);
        let unregister = brokers::unregister(&*self.broker.store, self.broker.id);
        const STAYS: &str = "the registration stays until the ZooKeeper session ends";
        match tokio::time::timeout(UNREGISTER, unregister).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "{STAYS}"),
            Err(_) => tracing::warn!(error = "ZooKeeper does not answer", "{STAYS}"),
        }
        self.stopper.stop();
        self.broker.groups.stop();
        tokio::time::sleep(DRAIN).await;
        let broker = self.broker.clone();
        let threads = broker.config.settings.number("num.recovery.threads.per.data.dir").max(1) as usize;
        let failures =
            crate::blocking::run(move || broker.replicas.logs.shutdown(threads, broker.clock.now())).await;
        match failures {
            Ok(failures) if failures.is_empty() => {
                tracing::info!("[KafkaServer id={}] shut down", self.broker.id)
            }
            Ok(failures) => tracing::error!(?failures, "not every log directory was closed cleanly"),
            Err(error) => tracing::error!(%error, "the logs were not closed cleanly"),
        }
    }
}
