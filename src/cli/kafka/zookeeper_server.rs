//! `zookeeper-server-start [-daemon] zookeeper.properties`: the embedded ZooKeeper by itself.
//!
//! One machine, no TLS, no logins. It never starts on data of an Apache ZooKeeper: it would serve an empty tree beside
//! what is there. Source: `bin/zookeeper-server-start.sh`, `QuorumPeerMain`, `ZooKeeperServerMain`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use ottla_zk::server::{Options, Server};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::daemon;
use super::settings::properties;
use super::zookeeper_properties::{Wishes, read};
use crate::cli::logging;

/// The class that Kafka's script starts.
pub const CLASS: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
const USAGE: &str = "USAGE: zookeeper-server-start.sh [-daemon] zookeeper.properties";
/// The name of the file that takes the output of a daemon.
const SERVICE: &str = "zookeeper";

/// Runs a server until a signal; with `-daemon` starts one and returns.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let daemon = arguments.first().is_some_and(|first| first == "-daemon");
    let arguments = &arguments[usize::from(daemon)..];
    let [file] = arguments else { return Err(USAGE.into()) };
    if file.starts_with('-') {
        return Err(format!("{file} stands where the name of zookeeper.properties is expected\n{USAGE}"));
    }
    if daemon {
        return daemon::start(arguments, SERVICE);
    }
    let wishes = read(properties(file)?).map_err(|error| format!("{file}: {error}"))?;
    logging::start();
    for warning in &wishes.warnings {
        tracing::warn!("{file}: {warning}");
    }
    let options = options(&wishes)?;
    let text = |error: std::io::Error| format!("cannot start the runtime: {error}");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(text)?;
    runtime.block_on(serve(options))
}

fn options(wishes: &Wishes) -> Result<Options, String> {
    for folder in wishes.data_log_dir.iter().chain([&wishes.data_dir]) {
        if of_apache(folder) {
            return Err(format!(
                "{} holds data of an Apache ZooKeeper: run that with this file, or name another dataDir",
                folder.display()
            ));
        }
    }
    let (address, port) = (wishes.address.as_str(), wishes.port);
    let mut found = (address, port)
        .to_socket_addrs()
        .map_err(|error| format!("clientPortAddress={address} is no address of this machine: {error}"))?;
    let listen: SocketAddr =
        found.next().ok_or_else(|| format!("clientPortAddress={address} has no address"))?;
    let defaults = Options::default();
    Ok(Options {
        listen,
        data_dir: Some(wishes.data_dir.clone()),
        tick_time_ms: wishes.tick_time_ms,
        max_client_connections: wishes.connections,
        jute_maxbuffer: wishes.jute_maxbuffer.unwrap_or(defaults.jute_maxbuffer),
        ..defaults
    })
}

/// Whether a ZooKeeper has written here: it keeps its files in `version-2`.
fn of_apache(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder.join("version-2")) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with("log.") || name.starts_with("snapshot."))
    })
}

async fn serve(options: Options) -> Result<(), String> {
    let text = |error: std::io::Error| format!("cannot wait for signals: {error}");
    let mut term = signal(SignalKind::terminate()).map_err(text)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
    let (listen, data) = (options.listen, options.data_dir.clone().unwrap_or_default());
    let server = Server::start(options).await.map_err(|error| {
        format!("ZooKeeper cannot start on {listen} with data in {}: {error}", data.display())
    })?;
    // The words that those who start a ZooKeeper wait for in its output.
    tracing::info!(data = %data.display(), "binding to port {}", server.local_addr());
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    server.stop().await.map_err(|error| format!("ZooKeeper did not stop cleanly: {error}"))
}
