//! A host's line to ZooKeeper: the shipped `Store` trait over the simulated network.
//!
//! A request whose answer is lost ends as connection loss, whether it was carried out or not. Requests of one store
//! arrive in the order in which they were made. Knows nothing of the tree.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ottla_zk::jute::{
    self, Acl, AddWatchRequest, CreateRequest, ErrorCode, EventType, PathVersion, PathWatch, Reply, Request,
    SetDataRequest, WatchEvent,
};
use ottla_zk::store::{
    ChangeKind, Children, CreateMode, Created, Event, EventSender, Events, MultiError, Node, Op, OpResult,
    SessionEvent, Stat, Store, StoreError, StoreFuture, WatchRoot, events,
};
use tokio::sync::oneshot;

use crate::network::{Out, Outbox};

const SEQUENTIAL: i32 = 2;

struct Owner {
    sender: EventSender,
    roots: Vec<WatchRoot>,
}

/// What the client library knows of its session.
#[derive(Default)]
pub struct Link {
    /// 0 = none.
    pub session: i64,
    /// The connection, 0 = none.
    pub watcher: u64,
    owners: Vec<Owner>,
}

/// See the module.
pub struct SimStore {
    link: Mutex<Link>,
    outbox: Outbox,
}

impl SimStore {
    /// Not connected yet.
    pub fn new(outbox: Outbox) -> Arc<SimStore> {
        Arc::new(SimStore { link: Mutex::default(), outbox })
    }

    /// The link, locked.
    pub fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all owners of watches what became of the session.
    pub fn tell(&self, news: SessionEvent) {
        for owner in &self.link().owners {
            owner.sender.send(Event::Session(news));
        }
    }

    /// What has to be watched on a new connection.
    pub fn roots(&self) -> Vec<WatchRoot> {
        let mut link = self.link();
        link.owners.retain(|owner| owner.sender.is_open());
        link.owners.iter().flat_map(|owner| owner.roots.clone()).collect()
    }

    /// A watch fired.
    pub fn fired(&self, event: &WatchEvent) {
        let kind = match event.event {
            EventType::Created => ChangeKind::Created,
            EventType::Deleted => ChangeKind::Deleted,
            EventType::DataChanged => ChangeKind::DataChanged,
            EventType::ChildrenChanged => ChangeKind::ChildrenChanged,
            EventType::None => return,
        };
        let link = self.link();
        let covers = |owner: &&Owner| owner.roots.iter().any(|root| root.covers(&event.path, kind));
        for owner in link.owners.iter().filter(covers) {
            owner.sender.send(Event::Changed { path: event.path.clone(), kind });
        }
    }

    async fn ask(&self, path: &str, request: Request) -> Result<Reply, StoreError> {
        let lost = || StoreError::ConnectionLoss { path: path.to_owned(), detail: "simulated".to_owned() };
        let (answer, waiting) = oneshot::channel();
        let sent = {
            let link = self.link();
            if link.session == 0 {
                return Err(StoreError::SessionExpired);
            }
            let (session, watcher) = (link.session, link.watcher);
            let is_up = watcher != 0;
            if is_up {
                self.outbox.push(Out::Zk { session, watcher, request: Box::new(request), answer });
            }
            is_up
        };
        if !sent {
            tokio::task::yield_now().await;
            return Err(lost());
        }
        match waiting.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(code)) => Err(refused(code, path)),
            Err(_) => Err(lost()),
        }
    }
}

/// The request that arms a watch.
pub fn arm(root: &WatchRoot) -> Request {
    let mode = i32::from(matches!(root, WatchRoot::Tree { .. }));
    Request::AddWatch(AddWatchRequest { path: root.path().to_owned(), mode })
}

impl Store for SimStore {
    fn get<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<Node>> {
        Box::pin(async move {
            match self.ask(path, Request::GetData(PathWatch { path: path.to_owned(), watch: false })).await {
                Ok(Reply::Data(data, stat)) => {
                    Ok(Some(Node { data: data.unwrap_or_default(), stat: stat_of(&stat) }))
                }
                Ok(_) => Err(strange(path)),
                Err(StoreError::NoNode(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn get_many<'a>(&'a self, paths: &'a [String]) -> StoreFuture<'a, Vec<Option<Node>>> {
        Box::pin(async move {
            let all = paths.iter().map(|path| self.get(path)).collect();
            ottla_zk::store::join_all(all).await.into_iter().collect()
        })
    }

    fn children<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Children> {
        Box::pin(async move {
            let request = Request::GetChildren2(PathWatch { path: path.to_owned(), watch: false });
            match self.ask(path, request).await? {
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
            match self.ask(path, create_request(path, Bytes::copy_from_slice(data), mode)).await? {
                Reply::Created(path, stat) => Ok(Created { path, stat: stat_of(&stat) }),
                _ => Err(strange(path)),
            }
        })
    }

    fn set<'a>(&'a self, path: &'a str, data: &'a [u8], version: Option<i32>) -> StoreFuture<'a, Stat> {
        Box::pin(async move {
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
            let Reply::Multi(results) =
                self.ask("/", Request::Multi(ops.iter().map(request_of).collect())).await?
            else {
                return Err(strange("/").into());
            };
            let failed = |result: &jute::OpResult| match result {
                jute::OpResult::Error(number) if *number != 0 => Some(*number),
                _ => None,
            };
            if let Some((index, number)) =
                results.iter().enumerate().find_map(|(at, r)| Some((at, failed(r)?)))
            {
                let code = ErrorCode::from_number(number).unwrap_or(ErrorCode::MarshallingError);
                return Err(MultiError { index: Some(index), error: refused(code, ops[index].path()) });
            }
            let done = results.into_iter().map(|result| match result {
                jute::OpResult::Checked => Ok(OpResult::Checked),
                jute::OpResult::Deleted => Ok(OpResult::Deleted),
                jute::OpResult::Created(path, _) | jute::OpResult::Path(path) => {
                    Ok(OpResult::Created { path })
                }
                jute::OpResult::Stat(stat) => Ok(OpResult::Set { stat: stat_of(&stat) }),
                _ => Err(strange("/")),
            });
            Ok(done.collect::<Result<_, _>>()?)
        })
    }

    fn sync(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.ask("/", Request::Sync("/".to_owned())).await.map(drop) })
    }

    fn session_id(&self) -> i64 {
        self.link().session
    }

    fn watch<'a>(&'a self, roots: &'a [WatchRoot]) -> StoreFuture<'a, Events> {
        Box::pin(async move {
            let (sender, receiver) = events::channel();
            {
                let mut link = self.link();
                sender.send(Event::Session(SessionEvent::Connected { session_id: link.session }));
                link.owners.push(Owner { sender, roots: roots.to_vec() });
            }
            for root in roots {
                self.ask(root.path(), arm(root)).await?;
            }
            Ok(receiver)
        })
    }
}

fn request_of(op: &Op) -> Request {
    match op {
        Op::Check { path, version } => Request::Check(PathVersion { path: path.clone(), version: *version }),
        Op::Create { path, data, mode } => create_request(path, data.clone(), *mode),
        Op::Set { path, data, version } => set_request(path, data.clone(), *version),
        Op::Delete { path, version } => Request::Delete(path_version(path, *version)),
    }
}

/// The request that creates a node.
pub fn create_request(path: &str, data: Bytes, mode: CreateMode) -> Request {
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

fn refused(code: ErrorCode, path: &str) -> StoreError {
    let path = path.to_owned();
    match code {
        ErrorCode::NoNode => StoreError::NoNode(path),
        ErrorCode::NodeExists => StoreError::NodeExists(path),
        ErrorCode::BadVersion => StoreError::BadVersion(path),
        ErrorCode::NotEmpty => StoreError::NotEmpty(path),
        ErrorCode::NoChildrenForEphemerals => StoreError::EphemeralParent(path),
        ErrorCode::SessionExpired | ErrorCode::SessionMoved => StoreError::SessionExpired,
        code => StoreError::Other { path, what: format!("refused: {code:?}") },
    }
}

fn strange(path: &str) -> StoreError {
    StoreError::Other { path: path.to_owned(), what: "was answered with something not asked for".to_owned() }
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
