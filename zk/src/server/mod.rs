//! The embedded server: ZooKeeper's protocol on one machine, over TCP and for the process it lives in.
//!
//! For development, tests and installations of one broker; it is no ensemble and never becomes one. What is answered
//! is on disk (see the transaction log's invariant), sessions survive a restart with their full timeouts, and
//! everything a client can make the server hold is bounded by [`Options`]. It speaks without TLS or SASL, so it
//! listens on loopback unless told otherwise.

mod admin_words;
mod attach;
mod clients;
mod connection;
mod data_dir;
mod listener;
mod local;
mod pipeline;
mod snapshot;
#[cfg(test)]
mod tests;
mod txn_log;

use crate::tree::{Limits, Tree};
use clients::Message;
use data_dir::DataDir;
use listener::{Counts, Shared};
use pipeline::{Pipeline, Storage};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::info;

pub use local::{LocalHandle, LocalSession, ZkError};

/// Bytes of requests read ahead over all connections, at least.
const READ_AHEAD_BYTES: usize = 64 << 20;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 lets the system choose. Default: loopback, port 0.
    pub listen: SocketAddr,
    /// Where to keep what must survive; `None` keeps nothing. Created when missing. Default: `None`.
    pub data_dir: Option<PathBuf>,
    /// ZooKeeper's `tickTime`: session timeouts are between 2 and 20 of it. Default: 2000.
    pub tick_time_ms: i32,
    /// Most connections at once, from all addresses together. Default: 1000.
    pub max_client_connections: usize,
    /// Longest frame accepted, in bytes. Default: 1,048,575, as ZooKeeper's.
    pub jute_maxbuffer: usize,
    /// Answers that may wait for one client, in bytes, before it is cut off; four times that for all. Default: 128 MiB.
    pub max_backlog_bytes: usize,
    /// Bounds of the tree.
    pub limits: Limits,
    /// How often containers and TTL nodes are looked at, in milliseconds. Default: 60,000, as ZooKeeper's.
    pub reap_interval_ms: i64,
    /// A snapshot is taken after so many transactions ... Default: 100,000.
    pub snapshot_records: u64,
    /// ... or so many bytes of log. Default: 64 MiB.
    pub snapshot_log_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: None,
            tick_time_ms: 2000,
            max_client_connections: 1000,
            jute_maxbuffer: 0xf_ffff,
            max_backlog_bytes: 128 << 20,
            limits: Limits::default(),
            reap_interval_ms: 60_000,
            snapshot_records: 100_000,
            snapshot_log_bytes: 64 << 20,
        }
    }
}

impl Options {
    /// The session timeout granted to a client that wishes for `wished_ms`: between 2 and 20 ticks.
    pub(crate) fn grant(&self, wished_ms: i32) -> i32 {
        let tick = self.tick_time_ms.max(1);
        wished_ms.clamp(tick.saturating_mul(2), tick.saturating_mul(20))
    }
}

/// A running server. Dropping it ends it as a crash would, except that it waits for a write in progress; its address
/// is free when the runtime has run once more. [`Server::stop`] waits for that too.
pub struct Server {
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
    pipeline: Option<JoinHandle<()>>,
}

impl Server {
    /// Restores what the data directory holds, and serves. Errors: the address is taken, the directory is in use,
    /// damaged, or cannot be read. Must be called on a tokio runtime.
    pub async fn start(options: Options) -> io::Result<Server> {
        let listener = TcpListener::bind(options.listen).await?;
        let local_addr = listener.local_addr()?;
        let (limits, data_dir) = (options.limits.clone(), options.data_dir.clone());
        let (tree, storage) = tokio::task::spawn_blocking(move || restore(data_dir, limits)).await??;
        let (sender, inbox) = channel();
        let start = Instant::now();
        let counts = Arc::new(Counts::default());
        let pipeline = Pipeline::new(options.clone(), tree, storage, start, sender.clone(), counts.clone())?;
        let pipeline =
            std::thread::Builder::new().name("zk-pipeline".into()).spawn(move || pipeline.run(&inbox))?;
        let read_ahead = READ_AHEAD_BYTES.max(options.jute_maxbuffer.saturating_mul(2));
        let shared = Arc::new(Shared {
            in_flight: Arc::new(Semaphore::new(read_ahead.min(Semaphore::MAX_PERMITS))),
            options,
            local_addr,
            pipeline: sender,
            backlog: Arc::default(),
            counts,
            start,
            next_client: AtomicU64::new(1),
        });
        let accepting = tokio::spawn(listener::accept(listener, shared.clone()));
        info!(address = %local_addr, "embedded ZooKeeper server listens");
        Ok(Server { shared, accepting, pipeline: Some(pipeline) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// The door for this process.
    pub fn handle(&self) -> LocalHandle {
        LocalHandle { shared: self.shared.clone() }
    }

    /// Answers what was received, then ends. Sessions stay, and may be attached to after a restart.
    pub async fn stop(mut self) -> io::Result<()> {
        self.accepting.abort();
        // It ends as cancelled; what matters is that the address is free.
        let _ = (&mut self.accepting).await;
        let pipeline = self.pipeline.take();
        // A pipeline that has ended needs no telling.
        let _ = self.shared.pipeline.send(Message::Stop);
        tokio::task::spawn_blocking(move || join(pipeline)).await?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        if self.pipeline.is_some() {
            // A pipeline that has ended needs no telling; a panic in it was reported when it happened.
            let _ = self.shared.pipeline.send(Message::Halt);
            let _ = join(self.pipeline.take());
        }
    }
}

fn join(pipeline: Option<JoinHandle<()>>) -> io::Result<()> {
    let Some(pipeline) = pipeline else { return Ok(()) };
    pipeline.join().map_err(|_| io::Error::other("the embedded ZooKeeper server has panicked"))
}

fn restore(data_dir: Option<PathBuf>, limits: Limits) -> io::Result<(Tree, Option<Storage>)> {
    let Some(path) = data_dir else { return Ok((Tree::new(limits), None)) };
    let dir = DataDir::open(&path)?;
    let (tree, log) = dir.recover(limits)?;
    Ok((tree, Some(Storage { dir: Arc::new(dir), log })))
}
