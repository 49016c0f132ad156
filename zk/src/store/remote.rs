//! A store behind a ZooKeeper connect string: an ensemble, or the embedded server. This file and its
//! [`pump`] alone name the `zookeeper_client` crate.
//!
//! What the crate leaves to its user, and where it is done:
//! - it loses persistent watches on reconnect, and a reconnect with much more than a hundred KiB of watched paths never
//!   succeeds: few roots, added anew by [`pump`] after each reconnect, then `Reconnected` is told: read again;
//! - it declares a session expired that the server may still keep: [`pump`] attaches again with the saved session
//!   first, and only the server's refusal is an expiry;
//! - it has no per-request timeout, no bound of requests in flight and no size limit: [`Remote`]'s `call`;
//! - any error it invents ("no response from connection in ..") is a lost connection with unknown outcome;
//! - it cannot write null data, nor tell it from empty data.
//!
//! Watches need servers of ZooKeeper 3.6 or later. Knows nothing of Kafka, except which paths must not be
//! world-readable (`ZkData.sensitivePath`).

mod pump;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use zookeeper_client as zk;

use super::events::{Events, WatchRoot};
use super::{
    Children, CreateMode, Created, MultiError, Node, Op, OpResult, Stat, Store, StoreError, StoreFuture,
    check_size,
};
use crate::jute::{Acl, Id, perms};

/// Reads bundled into one request by [`Store::get_many`]: bounds the answer's size.
const READS_PER_REQUEST: usize = 128;
/// Such requests in flight at once: 8,192 nodes.
const REQUESTS_PER_WAVE: usize = 64;

/// Who may do what with the nodes this store creates (`zookeeper.set.acl`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum AclPolicy {
    /// Everybody everything.
    #[default]
    Open,
    /// The creator's login everything, everybody may read, but nobody else reads credentials
    /// (`/config/users`, `/config/brokers`, `/delegation_token/tokens`). `/consumers` itself stays open.
    Secure,
}

/// How to reach ZooKeeper.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port,host:port/chroot`; the chroot is created when missing.
    pub connect: String,
    /// `zookeeper.session.timeout.ms`: asked for; the server may grant another.
    pub session_timeout: Duration,
    /// `zookeeper.connection.timeout.ms`: how long [`Remote::connect`] tries.
    pub connection_timeout: Duration,
    /// How long one request may take before it fails with [`StoreError::Timeout`].
    pub request_timeout: Duration,
    /// Requests in flight at once; more wait in order.
    pub max_in_flight: usize,
    /// ACLs of created nodes.
    pub acl: AclPolicy,
    /// Logins (`digest`, `user:password`), sent first on every connection.
    pub auth: Vec<(String, Vec<u8>)>,
}

impl Options {
    /// Kafka's defaults for this connect string; 2,000 requests in flight.
    pub fn new(connect: impl Into<String>) -> Options {
        Options {
            connect: connect.into(),
            session_timeout: Duration::from_secs(18),
            connection_timeout: Duration::from_secs(18),
            request_timeout: Duration::from_secs(30),
            max_in_flight: 2_000,
            acl: AclPolicy::Open,
            auth: Vec::new(),
        }
    }

    fn connector(&self) -> zk::Connector {
        let connector = zk::Client::connector().with_session_timeout(self.session_timeout);
        self.auth.iter().fold(connector, |connector, (scheme, auth)| connector.with_auth(scheme, auth))
    }

    /// The servers as the connect string names them, each `host` or `host:port`; one without a port is at 2181.
    pub fn servers(&self) -> Vec<&str> {
        self.servers_and_chroot().0
    }

    /// The servers, without the blanks and empty parts that ZooKeeper's own clients pass over, and the chroot (empty if
    /// none).
    fn servers_and_chroot(&self) -> (Vec<&str>, &str) {
        let (servers, chroot) = match self.connect.find('/') {
            Some(at) => (&self.connect[..at], self.connect[at..].trim_end_matches('/')),
            None => (self.connect.as_str(), ""),
        };
        (servers.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(), chroot)
    }
}

/// A session with a ZooKeeper ensemble. Dropping it, or better [`Remote::close`], ends the session and its ephemerals.
pub struct Remote {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<pump::AddWatch>,
    stop: watch::Sender<bool>,
    pump: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// What requests find.
#[derive(Clone)]
enum Link {
    /// A session; the crate itself mends its connection.
    Up(zk::Client),
    /// The crate gave the session up, the server perhaps not.
    Reattaching,
    /// The session is gone, or the store closed.
    Gone,
}

struct Shared {
    options: Options,
    link: RwLock<Link>,
    in_flight: Semaphore,
}

impl Shared {
    fn link(&self) -> Link {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_link(&self, link: Link) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link;
    }
}

impl Remote {
    /// Opens a session. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if no server answers within the connection timeout, [`StoreError::AuthFailed`].
    pub async fn connect(options: Options) -> Result<Remote, StoreError> {
        let timeout = options.connection_timeout;
        let unreachable = |detail: String| StoreError::Unreachable {
            connect: options.connect.clone(),
            timeout_ms: millis(timeout),
            detail,
        };
        let client = match tokio::time::timeout(timeout, connect_until(&options, timeout)).await {
            Ok(Ok(client)) => client,
            Ok(Err(StoreError::ConnectionLoss { detail, .. })) => return Err(unreachable(detail)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(unreachable("no connection".into())),
        };
        let shared = Arc::new(Shared {
            link: RwLock::new(Link::Up(client.clone())),
            in_flight: Semaphore::new(options.max_in_flight.max(1)),
            options,
        });
        let (commands, receiver) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let pump = tokio::spawn(pump::run(shared.clone(), client, receiver, stopped));
        Ok(Remote { shared, commands, stop, pump: Mutex::new(Some(pump)) })
    }

    /// Ends the session and waits until the server has confirmed it, at most `timeout`; its ephemerals are then gone.
    /// Requests after it fail with [`StoreError::SessionExpired`].
    pub async fn close(&self, timeout: Duration) {
        let link = self.shared.link();
        self.shared.set_link(Link::Gone);
        self.stop.send_replace(true);
        let pump = self.pump.lock().unwrap_or_else(PoisonError::into_inner).take();
        let goodbye = async move {
            if let Some(pump) = pump {
                // A panic of the pump has been reported by the runtime; the session ends all the same.
                let _joined = pump.await;
            }
            if let Link::Up(client) = link {
                let mut states = client.state_watcher();
                drop(client);
                while !states.peek_state().is_terminated() {
                    states.changed().await;
                }
            }
        };
        if tokio::time::timeout(timeout, goodbye).await.is_err() {
            tracing::warn!(
                "ZooKeeper did not confirm the end of the session; its ephemerals go when it expires"
            );
        }
    }

    /// Sends one request: waits for its turn, bounds the time, translates the error.
    async fn call<T, F>(&self, path: &str, start: impl FnOnce(zk::Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, zk::Error>>,
    {
        let timeout = self.shared.options.request_timeout;
        let request = async {
            let _turn = self.shared.in_flight.acquire().await.map_err(|_| StoreError::SessionExpired)?;
            match self.shared.link() {
                Link::Up(client) => start(client).await.map_err(|error| translate(error, path)),
                Link::Reattaching => Err(unexpected(path, "break; taking up the session again")),
                Link::Gone => Err(StoreError::SessionExpired),
            }
        };
        match tokio::time::timeout(timeout, request).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Timeout { path: path.to_owned(), timeout_ms: millis(timeout) }),
        }
    }

    async fn get_bundle(&self, paths: &[String]) -> Result<Vec<Option<Node>>, StoreError> {
        let first = paths.first().map_or("/", String::as_str);
        let results = self
            .call(first, |client| async move {
                let mut reader = client.new_multi_reader();
                for path in paths {
                    reader.add_get_data(path)?;
                }
                reader.commit().await
            })
            .await?;
        let mut nodes = Vec::with_capacity(paths.len());
        for (path, result) in paths.iter().zip(results) {
            nodes.push(match result {
                zk::MultiReadResult::Data { data, stat } => Some(node(data, &stat)),
                zk::MultiReadResult::Error { err: zk::Error::NoNode } => None,
                zk::MultiReadResult::Error { err } => return Err(translate(err, path)),
                other => return Err(unexpected(path, &format!("answer {other:?} to a read"))),
            });
        }
        if nodes.len() != paths.len() {
            return Err(unexpected(first, "fewer answers than reads"));
        }
        Ok(nodes)
    }
}

impl Remote {
    /// The access control list of a node.
    pub async fn acl(&self, path: &str) -> Result<Vec<Acl>, StoreError> {
        let (entries, _stat) = self.call(path, |client| async move { client.get_acl(path).await }).await?;
        Ok(entries.iter().map(entry).collect())
    }

    /// Reads `paths` with all requests in flight at once, and appends the nodes in order.
    async fn get_wave(&self, paths: &[String], nodes: &mut Vec<Option<Node>>) -> Result<(), StoreError> {
        let bundles = paths.chunks(READS_PER_REQUEST).map(|bundle| self.get_bundle(bundle)).collect();
        for bundle in super::join_all(bundles).await {
            nodes.extend(bundle?);
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.shared.set_link(Link::Gone);
    }
}

impl Store for Remote {
    fn get<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Node>> {
        Box::pin(async move {
            match self.call(path, |client| async move { client.get_data(path).await }).await {
                Ok((data, stat)) => Ok(Some(node(data, &stat))),
                Err(StoreError::NoNode(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn get_many<'a>(&'a self, paths: &'a [String]) -> StoreFuture<'a, Vec<Option<Node>>> {
        Box::pin(async move {
            let mut nodes = Vec::with_capacity(paths.len());
            for wave in paths.chunks(READS_PER_REQUEST * REQUESTS_PER_WAVE) {
                self.get_wave(wave, &mut nodes).await?;
            }
            Ok(nodes)
        })
    }

    fn children<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Children> {
        Box::pin(async move {
            let (names, stat) =
                self.call(path, |client| async move { client.get_children(path).await }).await?;
            Ok(Children { names, stat: stat_of(&stat) })
        })
    }

    fn exists<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Stat>> {
        Box::pin(async move {
            let stat = self.call(path, |client| async move { client.check_stat(path).await }).await?;
            Ok(stat.as_ref().map(stat_of))
        })
    }

    fn create<'a>(&'a self, path: &'a str, data: &'a [u8], mode: CreateMode) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            check_size(path, 128 + path.len() + data.len())?;
            let acls = acls_of(self.shared.options.acl, path);
            let options = create_options(mode, &acls);
            let options = &options;
            let (stat, sequence) =
                self.call(path, |client| async move { client.create(path, data, options).await }).await?;
            let path = match mode {
                CreateMode::PersistentSequential => format!("{path}{sequence}"),
                CreateMode::Persistent | CreateMode::Ephemeral => path.to_owned(),
            };
            Ok(Created { path, stat: stat_of(&stat) })
        })
    }

    fn set<'a>(&'a self, path: &'a str, data: &'a [u8], version: Option<i32>) -> StoreFuture<'a, Stat> {
        Box::pin(async move {
            check_size(path, 128 + path.len() + data.len())?;
            let stat =
                self.call(path, |client| async move { client.set_data(path, data, version).await }).await?;
            Ok(stat_of(&stat))
        })
    }

    fn delete<'a>(&'a self, path: &'a str, version: Option<i32>) -> StoreFuture<'a, ()> {
        Box::pin(self.call(path, move |client| async move { client.delete(path, version).await }))
    }

    fn multi(&self, ops: Vec<Op>) -> StoreFuture<'_, Vec<OpResult>, MultiError> {
        Box::pin(async move {
            let first = ops.first().map_or("/", Op::path);
            check_size(first, ops.iter().map(Op::wire_size).sum())?;
            // The failing operation travels beside the crate's own error type.
            let result = self
                .call(first, |client| {
                    let ops = &ops;
                    async move { Ok(commit(&client, self.shared.options.acl, ops).await) }
                })
                .await?;
            match result {
                Ok(results) => Ok(results.into_iter().map(op_result).collect()),
                Err((index, error)) => {
                    let path = index.and_then(|at| ops.get(at)).map_or(first, Op::path);
                    Err(MultiError { index, error: translate(error, path) })
                }
            }
        })
    }

    fn sync(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.call("/", |client| async move { client.sync("/").await }))
    }

    fn session_id(&self) -> i64 {
        match self.shared.link() {
            Link::Up(client) => client.session_id().0,
            Link::Reattaching | Link::Gone => 0,
        }
    }

    fn watch<'a>(&'a self, roots: &'a [WatchRoot]) -> StoreFuture<'a, Events> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let timeout = self.shared.options.request_timeout;
            let closed = |_| StoreError::SessionExpired;
            self.commands.send(pump::AddWatch { roots: roots.to_vec(), reply }).map_err(|_| closed(()))?;
            match tokio::time::timeout(timeout, answer).await {
                Ok(answer) => answer.map_err(|_| closed(()))?,
                Err(_) => {
                    let path = roots.first().map_or("/", WatchRoot::path).to_owned();
                    Err(StoreError::Timeout { path, timeout_ms: millis(timeout) })
                }
            }
        })
    }
}

/// Connects a new session and enters the chroot, creating it; tries again until the caller's timeout cuts it off.
async fn connect_until(options: &Options, timeout: Duration) -> Result<zk::Client, StoreError> {
    let (servers, chroot) = options.servers_and_chroot();
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let error = match options.connector().connect(&servers.join(",")).await {
            Ok(client) => {
                let acls = acls_of(options.acl, chroot);
                let directory = create_options(CreateMode::Persistent, &acls);
                if !chroot.is_empty() {
                    client.mkdir(chroot, &directory).await.map_err(|error| translate(error, chroot))?;
                }
                return enter(client, chroot);
            }
            Err(error @ (zk::Error::Timeout | zk::Error::NoHosts)) => StoreError::ConnectionLoss {
                path: "/".into(),
                detail: format!("no server let us in: {error}"),
            },
            Err(error) => translate(error, "zookeeper.connect"),
        };
        if !error.outcome_unknown() || tokio::time::Instant::now() + super::retry::PAUSE >= deadline {
            return Err(error);
        }
        tokio::time::sleep(super::retry::PAUSE).await;
    }
}

fn enter(client: zk::Client, chroot: &str) -> Result<zk::Client, StoreError> {
    if chroot.is_empty() {
        return Ok(client);
    }
    client.chroot(chroot).map_err(|_| StoreError::Other {
        path: chroot.to_owned(),
        what: "is no valid chroot; write zookeeper.connect as host:port,host:port/path".into(),
    })
}

/// Sends a multi; the error carries the index of the failing operation if one failed.
async fn commit(
    client: &zk::Client,
    acl: AclPolicy,
    ops: &[Op],
) -> Result<Vec<zk::MultiWriteResult>, (Option<usize>, zk::Error)> {
    let mut writer = client.new_multi_writer();
    for (index, op) in ops.iter().enumerate() {
        let added = match op {
            Op::Check { path, version } => writer.add_check_version(path, *version),
            Op::Create { path, data, mode } => {
                let acls = acls_of(acl, path);
                writer.add_create(path, data, &create_options(*mode, &acls))
            }
            Op::Set { path, data, version } => writer.add_set_data(path, data, *version),
            Op::Delete { path, version } => writer.add_delete(path, *version),
        };
        added.map_err(|error| (Some(index), error))?;
    }
    writer.commit().await.map_err(|error| match error {
        zk::MultiWriteError::OperationFailed { index, source } => (Some(index), source),
        zk::MultiWriteError::RequestFailed { source } => (None, source),
    })
}

fn op_result(result: zk::MultiWriteResult) -> OpResult {
    match result {
        zk::MultiWriteResult::Create { path, .. } => OpResult::Created { path },
        zk::MultiWriteResult::SetData { stat } => OpResult::Set { stat: stat_of(&stat) },
        zk::MultiWriteResult::Delete => OpResult::Deleted,
        _ => OpResult::Checked,
    }
}

fn acls_of(policy: AclPolicy, path: &str) -> Vec<zk::Acl> {
    const SENSITIVE: [&str; 3] = ["/config/users", "/config/brokers", "/delegation_token/tokens"];
    let everybody = |permission| zk::Acl::new(permission, zk::AuthId::anyone());
    if policy == AclPolicy::Open || path == "/consumers" {
        return vec![everybody(zk::Permission::ALL)];
    }
    let mut acls = vec![zk::Acl::new(zk::Permission::ALL, zk::AuthId::authed())];
    if !SENSITIVE.iter().any(|prefix| path.starts_with(prefix)) {
        acls.push(everybody(zk::Permission::READ));
    }
    acls
}

fn create_options(mode: CreateMode, acls: &[zk::Acl]) -> zk::CreateOptions<'_> {
    match mode {
        CreateMode::Persistent => zk::CreateMode::Persistent,
        CreateMode::Ephemeral => zk::CreateMode::Ephemeral,
        CreateMode::PersistentSequential => zk::CreateMode::PersistentSequential,
    }
    .with_acls(zk::Acls::new(acls))
}

fn entry(acl: &zk::Acl) -> Acl {
    let bits = [
        (zk::Permission::READ, perms::READ),
        (zk::Permission::WRITE, perms::WRITE),
        (zk::Permission::CREATE, perms::CREATE),
        (zk::Permission::DELETE, perms::DELETE),
        (zk::Permission::ADMIN, perms::ADMIN),
    ];
    let given = bits.iter().filter(|(permission, _)| acl.permission().has(*permission));
    Acl {
        perms: given.map(|(_, bit)| bit).sum(),
        id: Id { scheme: acl.scheme().to_owned(), id: acl.id().to_owned() },
    }
}

fn translate(error: zk::Error, path: &str) -> StoreError {
    let path = path.to_owned();
    match error {
        zk::Error::NoNode => StoreError::NoNode(path),
        zk::Error::NodeExists => StoreError::NodeExists(path),
        zk::Error::BadVersion => StoreError::BadVersion(path),
        zk::Error::NotEmpty => StoreError::NotEmpty(path),
        zk::Error::NoChildrenForEphemerals => StoreError::EphemeralParent(path),
        zk::Error::NoAuth => StoreError::Unauthorized(path),
        zk::Error::AuthFailed => StoreError::AuthFailed,
        zk::Error::BadArguments(_)
        | zk::Error::InvalidAcl
        | zk::Error::Unimplemented
        | zk::Error::NotReadOnly
        | zk::Error::QuotaExceeded
        | zk::Error::MarshallingError => {
            StoreError::Other { path, what: format!("ZooKeeper refuses: {error}") }
        }
        // Everything else the crate may invent leaves the outcome open; so does its "expired", which it says by its
        // own clock: whether the session is gone is for the pump to find out.
        other => StoreError::ConnectionLoss { path, detail: other.to_string() },
    }
}

fn unexpected(path: &str, detail: &str) -> StoreError {
    StoreError::ConnectionLoss { path: path.to_owned(), detail: format!("unexpected {detail}") }
}

fn node(data: Vec<u8>, stat: &zk::Stat) -> Node {
    Node { data: Bytes::from(data), stat: stat_of(stat) }
}

fn stat_of(stat: &zk::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        pzxid: stat.pzxid,
        ctime_ms: stat.ctime,
        mtime_ms: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_empty_parts_between_servers_do_not_count() {
        let parsed = |text: &str| {
            let options = Options::new(text);
            let (servers, chroot) = options.servers_and_chroot();
            (servers.join(","), chroot.to_owned())
        };
        assert_eq!(parsed("a:1, b ,,c:3/kafka/"), ("a:1,b,c:3".into(), "/kafka".into()));
        assert_eq!(parsed("a"), ("a".into(), String::new()));
    }
}
