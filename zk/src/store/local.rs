//! A store over the embedded server of the same process: no TCP, no session timeout, no client crate.
//!
//! Differs from [`super::remote`] in two ways only: the session cannot break (it ends with the server, or with
//! [`Local::close`]), and empty data is written as null, which is what Kafka writes wherever it writes nothing.
//! Knows nothing of Kafka.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

use super::events::{self, ChangeKind, Event, EventSender, Events, SessionEvent, WatchRoot};
use super::{
    Children, CreateMode, Created, MultiError, Node, Op, OpResult, Stat, Store, StoreError, StoreFuture,
    check_size,
};
use crate::jute::{
    self, Acl, AddWatchRequest, CreateRequest, ErrorCode, EventType, KeeperState, PathVersion, PathWatch,
    Reply, Request, SetDataRequest, WatchEvent, WatcherKindRequest,
};
use crate::server::{LocalHandle, LocalSession, ZkError};
use crate::tree::validate_path;

/// Reads bundled into one request.
const READS_PER_REQUEST: usize = 1_000;

/// Flag of a create whose path gets a counter.
const SEQUENTIAL: i32 = 2;

struct Subscriber {
    sender: EventSender,
    roots: Vec<WatchRoot>,
}

type Subscribers = Arc<Mutex<Vec<Subscriber>>>;

fn lock(subscribers: &Subscribers) -> MutexGuard<'_, Vec<Subscriber>> {
    // A panic while holding the lock cannot leave the list half changed.
    subscribers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session with the embedded server of this process.
pub struct Local {
    session: LocalSession,
    subscribers: Subscribers,
}

impl Local {
    /// Opens a session. Must be called inside a tokio runtime. `session_timeout_ms` counts from when the value is
    /// dropped without [`Local::close`].
    pub async fn connect(server: &LocalHandle, session_timeout_ms: i32) -> Result<Local, StoreError> {
        let mut session = server.connect(session_timeout_ms).await.map_err(|error| translate(error, "/"))?;
        let subscribers = Subscribers::default();
        if let Some(events) = session.events() {
            tokio::spawn(hand_on(events, subscribers.clone()));
        }
        Ok(Local { session, subscribers })
    }

    /// Ends the session; its ephemerals are then gone.
    pub async fn close(&self) {
        if let Err(error) = self.session.request(Request::CloseSession).await {
            tracing::debug!(%error, "the embedded server ended before its session");
        }
    }

    async fn ask(&self, path: &str, request: Request) -> Result<Reply, StoreError> {
        // As every client does; the server would let some bad paths end as "no such node".
        let sequential = matches!(&request, Request::Create2(create) if create.flags == SEQUENTIAL);
        check_path(path, sequential)?;
        self.session.request(request).await.map_err(|error| translate(error, path))
    }

    async fn get_bundle(&self, paths: &[String]) -> Result<Vec<Option<Node>>, StoreError> {
        let first = paths.first().map_or("/", String::as_str);
        paths.iter().try_for_each(|path| check_path(path, false))?;
        let reads = paths.iter().map(|path| Request::GetData(PathWatch { path: path.clone(), watch: false }));
        let Reply::Multi(results) = self.ask(first, Request::MultiRead(reads.collect())).await? else {
            return Err(strange(first));
        };
        let read = |(path, result): (&String, jute::OpResult)| match result {
            jute::OpResult::Data(data, stat) => Ok(Some(node(data, &stat))),
            jute::OpResult::Error(number) if number == ErrorCode::NoNode.number() => Ok(None),
            jute::OpResult::Error(number) => Err(refused(number, path)),
            _ => Err(strange(path)),
        };
        paths.iter().zip(results).map(read).collect()
    }

    /// Adds the watches of `roots`; the same watch twice is one.
    async fn arm(&self, roots: &[WatchRoot]) -> Result<(), StoreError> {
        for root in roots {
            let mode = i32::from(matches!(root, WatchRoot::Tree { .. }));
            let path = root.path().to_owned();
            self.ask(root.path(), Request::AddWatch(AddWatchRequest { path, mode })).await?;
        }
        Ok(())
    }

    /// Removes the watches only dropped channels wanted.
    async fn forget_the_deaf(&self) {
        let unwanted: Vec<WatchRoot> = {
            let mut all = lock(&self.subscribers);
            let (kept, gone): (Vec<_>, Vec<_>) =
                std::mem::take(&mut *all).into_iter().partition(|owner| owner.sender.is_open());
            *all = kept;
            let wanted = |root: &WatchRoot| {
                all.iter().any(|owner| owner.roots.iter().any(|other| other.path() == root.path()))
            };
            gone.into_iter().flat_map(|owner| owner.roots).filter(|root| !wanted(root)).collect()
        };
        for root in unwanted {
            let kind = if matches!(root, WatchRoot::Tree { .. }) { 5 } else { 4 };
            let request = WatcherKindRequest { path: root.path().to_owned(), kind };
            if let Err(error) = self.ask(root.path(), Request::RemoveWatches(request)).await {
                tracing::debug!(%error, "a watch was gone already");
            }
        }
    }
}

/// Hands the session's events to their owners until the server or the session ends.
async fn hand_on(mut events: UnboundedReceiver<WatchEvent>, subscribers: Subscribers) {
    while let Some(event) = events.recv().await {
        let kind = match event.event {
            EventType::Created => ChangeKind::Created,
            EventType::Deleted => ChangeKind::Deleted,
            EventType::DataChanged => ChangeKind::DataChanged,
            EventType::ChildrenChanged => ChangeKind::ChildrenChanged,
            _ if event.state == KeeperState::Expired => {
                lock(&subscribers).iter().for_each(|owner| tell(owner, SessionEvent::Expired));
                continue;
            }
            _ => continue,
        };
        for owner in lock(&subscribers)
            .iter()
            .filter(|owner| owner.roots.iter().any(|root| root.covers(&event.path, kind)))
        {
            owner.sender.send(Event::Changed { path: event.path.clone(), kind });
        }
    }
    // Dropping the senders closes the owners' channels.
    let owners = std::mem::take(&mut *lock(&subscribers));
    owners.iter().for_each(|owner| tell(owner, SessionEvent::Disconnected));
}

fn tell(owner: &Subscriber, event: SessionEvent) {
    owner.sender.send(Event::Session(event));
}

impl Store for Local {
    fn get<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Node>> {
        Box::pin(async move {
            match self.ask(path, Request::GetData(PathWatch { path: path.to_owned(), watch: false })).await {
                Ok(Reply::Data(data, stat)) => Ok(Some(node(data, &stat))),
                Ok(_) => Err(strange(path)),
                Err(StoreError::NoNode(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn get_many<'a>(&'a self, paths: &'a [String]) -> StoreFuture<'a, Vec<Option<Node>>> {
        Box::pin(async move {
            let mut nodes = Vec::with_capacity(paths.len());
            for bundle in paths.chunks(READS_PER_REQUEST) {
                nodes.extend(self.get_bundle(bundle).await?);
            }
            Ok(nodes)
        })
    }

    fn children<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Children> {
        Box::pin(async move {
            match self
                .ask(path, Request::GetChildren2(PathWatch { path: path.to_owned(), watch: false }))
                .await?
            {
                Reply::Children2(names, stat) => Ok(Children { names, stat: stat_of(&stat) }),
                _ => Err(strange(path)),
            }
        })
    }

    fn exists<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Stat>> {
        Box::pin(async move {
            match self.ask(path, Request::Exists(PathWatch { path: path.to_owned(), watch: false })).await {
                Ok(Reply::Stat(stat)) => Ok(Some(stat_of(&stat))),
                Ok(_) => Err(strange(path)),
                Err(StoreError::NoNode(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn create<'a>(&'a self, path: &'a str, data: &'a [u8], mode: CreateMode) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            check_size(path, 128 + path.len() + data.len())?;
            match self.ask(path, create_request(path, Bytes::copy_from_slice(data), mode)).await? {
                Reply::Created(path, stat) => Ok(Created { path, stat: stat_of(&stat) }),
                _ => Err(strange(path)),
            }
        })
    }

    fn set<'a>(&'a self, path: &'a str, data: &'a [u8], version: Option<i32>) -> StoreFuture<'a, Stat> {
        Box::pin(async move {
            check_size(path, 128 + path.len() + data.len())?;
            match self.ask(path, set_request(path, Bytes::copy_from_slice(data), version)).await? {
                Reply::Stat(stat) => Ok(stat_of(&stat)),
                _ => Err(strange(path)),
            }
        })
    }

    fn delete<'a>(&'a self, path: &'a str, version: Option<i32>) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.ask(path, Request::Delete(path_version(path, version))).await.map(drop) })
    }

    fn multi(&self, ops: Vec<Op>) -> StoreFuture<'_, Vec<OpResult>, MultiError> {
        Box::pin(async move {
            if ops.is_empty() {
                return Ok(Vec::new());
            }
            let first = ops.first().map_or("/", Op::path);
            check_size(first, ops.iter().map(Op::wire_size).sum())?;
            for (at, op) in ops.iter().enumerate() {
                let sequential = matches!(op, Op::Create { mode: CreateMode::PersistentSequential, .. });
                check_path(op.path(), sequential).map_err(|error| MultiError { index: Some(at), error })?;
            }
            let requests = ops.iter().map(request_of).collect();
            let Reply::Multi(results) = self.ask("/", Request::Multi(requests)).await? else {
                return Err(strange(first).into());
            };
            let failed = |result: &jute::OpResult| match result {
                jute::OpResult::Error(number) if *number != 0 => Some(*number),
                _ => None,
            };
            if let Some((index, number)) =
                results.iter().enumerate().find_map(|(at, result)| Some((at, failed(result)?)))
            {
                let path = ops.get(index).map_or(first, Op::path);
                return Err(MultiError { index: Some(index), error: refused(number, path) });
            }
            let results = results.into_iter().map(|result| match result {
                jute::OpResult::Checked => Ok(OpResult::Checked),
                jute::OpResult::Deleted => Ok(OpResult::Deleted),
                jute::OpResult::Created(path, _) | jute::OpResult::Path(path) => {
                    Ok(OpResult::Created { path })
                }
                jute::OpResult::Stat(stat) => Ok(OpResult::Set { stat: stat_of(&stat) }),
                _ => Err(strange(first)),
            });
            Ok(results.collect::<Result<_, _>>()?)
        })
    }

    fn sync(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.ask("/", Request::Sync("/".to_owned())).await.map(drop) })
    }

    fn session_id(&self) -> i64 {
        self.session.session_id()
    }

    fn watch<'a>(&'a self, roots: &'a [WatchRoot]) -> StoreFuture<'a, Events> {
        Box::pin(async move {
            self.forget_the_deaf().await;
            let (sender, events) = events::channel();
            sender.send(Event::Session(SessionEvent::Connected { session_id: self.session_id() }));
            {
                let mut subscribers = lock(&self.subscribers);
                events::check_roots(subscribers.iter().flat_map(|owner| &owner.roots), roots)?;
                subscribers.push(Subscriber { sender, roots: roots.to_vec() });
            }
            // A failure drops the channel, which forgets the subscriber.
            self.arm(roots).await?;
            Ok(events)
        })
    }
}

fn check_path(path: &str, sequential: bool) -> Result<(), StoreError> {
    let valid = if sequential { validate_path(&format!("{path}0")) } else { validate_path(path) };
    valid.map_err(|_| StoreError::Other { path: path.to_owned(), what: "is no valid path".to_owned() })
}

fn request_of(op: &Op) -> Request {
    match op {
        Op::Check { path, version } => Request::Check(PathVersion { path: path.clone(), version: *version }),
        Op::Create { path, data, mode } => create_request(path, data.clone(), *mode),
        Op::Set { path, data, version } => set_request(path, data.clone(), *version),
        Op::Delete { path, version } => Request::Delete(path_version(path, *version)),
    }
}

fn create_request(path: &str, data: Bytes, mode: CreateMode) -> Request {
    let flags = match mode {
        CreateMode::Persistent => 0,
        CreateMode::Ephemeral => 1,
        CreateMode::PersistentSequential => SEQUENTIAL,
    };
    let data = Some(data).filter(|data| !data.is_empty());
    Request::Create2(CreateRequest { path: path.to_owned(), data, acl: vec![Acl::open()], flags })
}

fn set_request(path: &str, data: Bytes, version: Option<i32>) -> Request {
    Request::SetData(SetDataRequest {
        path: path.to_owned(),
        data: Some(data),
        version: version.unwrap_or(-1),
    })
}

fn path_version(path: &str, version: Option<i32>) -> PathVersion {
    PathVersion { path: path.to_owned(), version: version.unwrap_or(-1) }
}

fn translate(error: ZkError, path: &str) -> StoreError {
    match error {
        ZkError::Refused(code) => refused(code.number(), path),
        ZkError::Stopped(detail) => StoreError::ConnectionLoss { path: path.to_owned(), detail },
    }
}

fn refused(number: i32, path: &str) -> StoreError {
    let path = path.to_owned();
    match ErrorCode::from_number(number) {
        Some(ErrorCode::NoNode) => StoreError::NoNode(path),
        Some(ErrorCode::NodeExists) => StoreError::NodeExists(path),
        Some(ErrorCode::BadVersion) => StoreError::BadVersion(path),
        Some(ErrorCode::NotEmpty) => StoreError::NotEmpty(path),
        Some(ErrorCode::NoChildrenForEphemerals) => StoreError::EphemeralParent(path),
        Some(ErrorCode::NoAuth) => StoreError::Unauthorized(path),
        Some(ErrorCode::AuthFailed) => StoreError::AuthFailed,
        Some(ErrorCode::SessionExpired | ErrorCode::SessionMoved) => StoreError::SessionExpired,
        Some(code) => StoreError::Other { path, what: format!("the embedded ZooKeeper refuses: {code:?}") },
        None => StoreError::Other { path, what: format!("the embedded ZooKeeper refuses: error {number}") },
    }
}

fn strange(path: &str) -> StoreError {
    StoreError::Other { path: path.to_owned(), what: "was answered with something not asked for".to_owned() }
}

fn node(data: Option<Bytes>, stat: &jute::Stat) -> Node {
    Node { data: data.unwrap_or_default(), stat: stat_of(stat) }
}

fn stat_of(stat: &jute::Stat) -> Stat {
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
