//! The harness: a ZooKeeper and brokers of this process, each in its own temporary directory, on ports of the
//! system's choice.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla::boot::startup::{self, Running};
use ottla::cli::config;
use ottla_zk::jute::{Acl, Request, SetAclRequest, perms};
use ottla_zk::server::{Options as ServerOptions, Server};
use ottla_zk::store::{Options as StoreOptions, Remote, Store};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::client::Client;

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until `look` finds something; panics with `what` when it never does.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {} s in vain for: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until each of `nodes` knows as many brokers as they are.
pub async fn all_known(nodes: &[&Node]) {
    for node in nodes {
        until("every broker in the metadata", async || {
            let answer = node.client().await.metadata(&[]).await;
            (answer.brokers.len() == nodes.len()).then_some(())
        })
        .await;
    }
}

/// An embedded ZooKeeper that can be stopped and started again on the same port and data.
pub struct Zk {
    server: Option<Server>,
    address: SocketAddr,
    data: TempDir,
}

impl Zk {
    /// A fresh one. Sessions last from 400 ms on.
    pub async fn start() -> Zk {
        let data = tempfile::tempdir().expect("a temporary directory");
        let server = Zk::serve(SocketAddr::from(([127, 0, 0, 1], 0)), data.path()).await;
        Zk { address: server.local_addr(), server: Some(server), data }
    }

    async fn serve(listen: SocketAddr, data: &Path) -> Server {
        let options = ServerOptions {
            listen,
            data_dir: Some(data.to_owned()),
            tick_time_ms: 200,
            ..ServerOptions::default()
        };
        Server::start(options).await.expect("the embedded ZooKeeper starts")
    }

    /// Ends it in order; sessions live on in its data.
    pub async fn stop(&mut self) {
        self.server.take().expect("it runs").stop().await.expect("it stops");
    }

    /// Starts it again where it was.
    pub async fn start_again(&mut self) {
        self.server = Some(Zk::serve(self.address, self.data.path()).await);
    }

    /// Makes a znode one that nobody may read or write, or lets everybody again.
    pub async fn lock(&self, path: &str, locked: bool) {
        let session =
            self.server.as_ref().expect("it runs").handle().connect(4_000).await.expect("a session");
        let perms = if locked { perms::ADMIN } else { perms::ALL };
        let request =
            SetAclRequest { path: path.to_owned(), acl: vec![Acl { perms, ..Acl::open() }], version: -1 };
        session.request(Request::SetAcl(request)).await.expect("the access list is set");
        session.close().await.expect("the session ends");
    }

    /// `host:port`.
    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    /// A session of its own, as another broker or a tool would have.
    pub async fn session(&self, timeout: Duration) -> Arc<Remote> {
        session(self.connect_string(), timeout).await
    }
}

async fn session(connect: String, timeout: Duration) -> Arc<Remote> {
    let mut options = StoreOptions::new(connect);
    options.session_timeout = timeout;
    Arc::new(Remote::connect(options).await.expect("ZooKeeper answers"))
}

/// A line to ZooKeeper that can be cut: how a session expires while its broker lives.
pub struct Line {
    address: SocketAddr,
    up: watch::Sender<bool>,
}

impl Line {
    /// A line that works.
    pub async fn to(zk: &Zk) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (up, state) = watch::channel(true);
        let there = zk.address;
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, there, state.clone()));
            }
        });
        Line { address, up }
    }

    /// Cuts it (`false`), or mends it.
    pub fn set(&self, up: bool) {
        self.up.send_replace(up);
    }
}

async fn carry(mut near: TcpStream, there: SocketAddr, mut state: watch::Receiver<bool>) {
    if !*state.borrow() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(there).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = state.wait_for(|up| !up) => {}
    }
}

/// What a broker of this process is made of; it can be stopped and started again.
pub struct Node {
    /// `broker.id`.
    pub id: i32,
    settings: Vec<(String, String)>,
    logs: PathBuf,
    _dir: Option<TempDir>,
    store: Option<Arc<Remote>>,
    /// The line it reaches ZooKeeper by, if not straight.
    pub line: Option<Line>,
    /// The broker, while it runs.
    pub running: Option<Running>,
}

impl Node {
    /// A broker in a temporary directory, started.
    pub async fn start(zk: &Zk, id: i32, settings: &[(&str, &str)]) -> Node {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut node = Node::at(id, dir.path().join("logs"), settings);
        node._dir = Some(dir);
        node.start_again(zk).await;
        node
    }

    /// The same, behind a line to ZooKeeper that can be cut, and with a session of a second.
    pub async fn behind_line(zk: &Zk, id: i32) -> Node {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut node = Node::at(id, dir.path().join("logs"), &[("zookeeper.session.timeout.ms", "1000")]);
        node._dir = Some(dir);
        node.line = Some(Line::to(zk).await);
        node.start_again(zk).await;
        node
    }

    /// A broker with its logs at `logs`, not started.
    pub fn at(id: i32, logs: PathBuf, settings: &[(&str, &str)]) -> Node {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Node { id, settings, logs, _dir: None, store: None, line: None, running: None }
    }

    /// Starts it where it was.
    pub async fn start_again(&mut self, zk: &Zk) {
        self.try_start(zk).await.expect("the broker starts");
        // Started is not yet told by a controller, and the first broker has to elect itself first.
        let broker = self.running.as_ref().expect("just started").broker.clone();
        until("the broker to hear from a controller", async || {
            let controller = self.client().await.metadata(&[]).await.controller_id;
            (controller >= 0 && broker.feature_epoch() >= 0).then_some(())
        })
        .await;
    }

    /// The same, with the error.
    pub async fn try_start(&mut self, zk: &Zk) -> Result<(), String> {
        let connect = self.line.as_ref().map_or(zk.connect_string(), |line| line.address.to_string());
        let defaults = [
            ("broker.id", self.id.to_string()),
            ("zookeeper.connect", connect.clone()),
            ("zookeeper.session.timeout.ms", "4000".to_owned()),
            ("listeners", "PLAINTEXT://127.0.0.1:0".to_owned()),
            ("log.dirs", self.logs.to_string_lossy().into_owned()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ];
        let overrides: Vec<String> =
            self.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (config, _warnings) = config::load(None, &overrides, &defaults)?;
        let store = session(connect, config.zookeeper_session_timeout).await;
        self.store = Some(store.clone());
        let running = startup::start(config, store, Default::default(), vec![Handle::current()]).await?;
        self.running = Some(running);
        Ok(())
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        let endpoint = &self.running.as_ref().expect("it runs").endpoints[0];
        endpoint.port
    }

    /// A client of this broker.
    pub async fn client(&self) -> Client {
        Client::open(self.port()).await
    }

    /// Its log directory.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Its ZooKeeper session.
    pub fn store(&self) -> &Arc<Remote> {
        self.store.as_ref().expect("it was started")
    }

    /// Ends it in order.
    pub async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await;
        if let Some(store) = self.store.take() {
            store.close(Duration::from_secs(5)).await;
        }
    }
}

/// One ZooKeeper and one broker.
pub async fn one(settings: &[(&str, &str)]) -> (Zk, Node) {
    let zk = Zk::start().await;
    let node = Node::start(&zk, 1, settings).await;
    (zk, node)
}

/// A znode as JSON; `None` when it is missing.
pub async fn json(store: &dyn Store, path: &str) -> Option<serde_json::Value> {
    let node = store.get(path).await.expect("ZooKeeper answers")?;
    Some(serde_json::from_slice(&node.data).unwrap_or_else(|error| panic!("{path} holds no JSON: {error}")))
}
