//! `ottla dev` and `ottla start`: run a broker until a signal ends it.

use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ottla_zk::server::{Options as ServerOptions, Server};
use ottla_zk::store::{Local, Options as StoreOptions, Store};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{config, logging};
use crate::boot::directories::Progress;
use crate::boot::startup::{self, Running};
use crate::boot::{ensemble, ownership};
use crate::config::broker::BrokerConfig;
use crate::config::environment::dialect::ALONE;

const EARLY: &str = "stopped by a signal before it was up";

/// A broker with an embedded ZooKeeper, for development.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where logs and znodes are kept.
    #[arg(long, default_value = "ottla-data")]
    data: PathBuf,
    /// The broker's port on 127.0.0.1.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// The embedded ZooKeeper's port on 127.0.0.1.
    #[arg(long, default_value_t = 2181)]
    zookeeper_port: u16,
    /// Sets a key of server.properties: key=value.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Default for Dev {
    fn default() -> Dev {
        Dev { data: "ottla-data".into(), port: 9092, zookeeper_port: 2181, overrides: Vec::new() }
    }
}

/// A broker on an external ensemble.
#[derive(Debug, Args)]
pub struct Start {
    /// server.properties, or the same keys in TOML (*.toml).
    #[arg(long)]
    config: PathBuf,
    /// Sets a key, over the file: key=value.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Dev {
    /// Runs until a signal.
    pub fn run(self) -> Result<(), String> {
        logging::start();
        let mut defaults = vec![
            ("zookeeper.connect", format!("127.0.0.1:{}", self.zookeeper_port)),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{}", self.port)),
            ("log.dirs", self.data.join("logs").to_string_lossy().into_owned()),
        ];
        defaults.extend(ALONE.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let (config, warnings) = config::load(None, &self.overrides, &defaults)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let zookeeper = SocketAddr::from((Ipv4Addr::LOCALHOST, self.zookeeper_port));
        embedded(config, &self.data.join("zookeeper"), zookeeper, ready(()))
    }
}

impl Start {
    /// A broker with this file, and these keys over it.
    pub fn new(config: PathBuf, overrides: Vec<String>) -> Start {
        Start { config, overrides }
    }

    /// Runs until a signal.
    pub fn run(self) -> Result<(), String> {
        logging::start();
        let (config, warnings) = config::load(Some(&self.config), &self.overrides, &[])?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let is_over = self.overrides.iter().any(|pair| pair.starts_with("zookeeper.connect="));
        let place = if is_over { "--override".into() } else { self.config.to_string_lossy() };
        external(config, &format!("zookeeper.connect in {place}"), ready(()))
    }
}

/// Runs a broker with a ZooKeeper of its own, that keeps its znodes in `data` and listens at `zookeeper`, until a signal;
/// `meanwhile` runs beside it.
pub fn embedded(
    config: BrokerConfig,
    data: &Path,
    zookeeper: SocketAddr,
    meanwhile: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let runtimes = Runtimes::start(&config)?;
    runtimes.control.block_on(async {
        let mut signals = Signals::listen()?;
        let options =
            ServerOptions { listen: zookeeper, data_dir: Some(data.to_owned()), ..ServerOptions::default() };
        let server = Server::start(options).await.map_err(|error| {
            format!(
                "the embedded ZooKeeper cannot start on {zookeeper} with data in {}: {error}; {}",
                data.display(),
                ownership::explain(data).unwrap_or_else(|| "choose another port or place".to_owned())
            )
        })?;
        tracing::info!(zookeeper = %server.local_addr(), data = %data.display(), "embedded ZooKeeper is up");
        let timeout_ms = config.zookeeper_session_timeout.as_millis() as i32;
        let store = Local::connect(&server.handle(), timeout_ms).await.map_err(|error| error.to_string())?;
        let store = Arc::new(store);
        tokio::spawn(meanwhile);
        let result = serve(config, store.clone(), &runtimes, &mut signals).await;
        store.close().await;
        server
            .stop()
            .await
            .map_err(|error| format!("the embedded ZooKeeper did not stop cleanly: {error}"))?;
        result
    })
}

/// Runs a broker of the ensemble that its configuration names, until a signal; `named` is where the operator wrote which that is;
/// `meanwhile` runs beside it.
pub fn external(
    config: BrokerConfig,
    named: &str,
    meanwhile: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let runtimes = Runtimes::start(&config)?;
    runtimes.control.block_on(async {
        let mut signals = Signals::listen()?;
        let mut options = StoreOptions::new(config.zookeeper_connect.clone());
        options.session_timeout = config.zookeeper_session_timeout;
        options.connection_timeout = config.zookeeper_connection_timeout;
        tracing::info!(zookeeper = config.zookeeper_connect, "connecting to ZooKeeper");
        let store = tokio::select! {
            store = ensemble::connect(options, named) => Arc::new(store?),
            () = signals.any() => return Err(EARLY.into()),
        };
        tokio::spawn(meanwhile);
        let result = serve(config, store.clone(), &runtimes, &mut signals).await;
        store.close(Duration::from_secs(5)).await;
        result
    })
}

/// One single-threaded runtime a core for the connections, and a small shared one for everything else.
struct Runtimes {
    control: Runtime,
    workers: Vec<Handle>,
}

impl Runtimes {
    fn start(config: &BrokerConfig) -> Result<Runtimes, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let text = |error: std::io::Error| format!("cannot start the runtime: {error}");
        let control = Builder::new_multi_thread()
            .worker_threads(cores.clamp(1, 2))
            .max_blocking_threads(config.settings.number("background.threads").clamp(4, 64) as usize)
            .thread_name("ottla-control")
            .enable_all()
            .build()
            .map_err(text)?;
        let mut workers = Vec::new();
        for index in 0..cores {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(text)?;
            workers.push(runtime.handle().clone());
            std::thread::Builder::new()
                .name(format!("ottla-data-{index}"))
                .spawn(move || runtime.block_on(std::future::pending::<()>()))
                .map_err(text)?;
        }
        Ok(Runtimes { control, workers })
    }
}

/// What ends a broker. Heard from the first moment on: the first process of a container is not ended by a signal that it does not
/// ask for.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, String> {
        let listen = |kind| signal(kind).map_err(|error| error.to_string());
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn serve(
    config: BrokerConfig,
    store: Arc<dyn Store>,
    runtimes: &Runtimes,
    signals: &mut Signals,
) -> Result<(), String> {
    let progress = Arc::new(Progress::default());
    let bar = tokio::spawn(show(progress.clone()));
    let started = tokio::select! {
        started = startup::start(config, store, progress, runtimes.workers.clone()) => started,
        () = signals.any() => return Err(EARLY.into()),
    };
    bar.abort();
    let running: Running = started?;
    for endpoint in &running.endpoints {
        tracing::info!("point clients at {}:{}", endpoint.host, endpoint.port);
    }
    tokio::select! {
        () = signals.any() => {}
        () = running.broker.halt.notified() => return Err("no log directory is left; mend the disks and start again".into()),
    }
    running.stop().await;
    Ok(())
}

/// A bar while logs are loaded; it appears only when that takes long enough to be seen.
async fn show(progress: Arc<Progress>) {
    const PATIENCE: Duration = Duration::from_millis(500);
    tokio::time::sleep(PATIENCE).await;
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("loading logs {bar:40} {pos}/{len} partitions {msg}") {
        bar.set_style(style);
    }
    loop {
        bar.set_length(progress.found.load(Ordering::Relaxed));
        bar.set_position(progress.loaded.load(Ordering::Relaxed));
        let mib = progress.recovered_bytes.load(Ordering::Relaxed) >> 20;
        if mib > 0 {
            bar.set_message(format!("({mib} MiB checked)"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
