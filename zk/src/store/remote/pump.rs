//! The one task that keeps a [`super::Remote`]'s session alive and tells its owners what happens, in order.
//!
//! Invariants: after every reconnect all watches are added anew *before* `Reconnected` is told, so an owner that then
//! reads everything misses nothing; a session counts as expired only when a server said so, or when a new one had to
//! be made; the old watcher of a root is dropped only after its successor stands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use zookeeper_client as zk;

use super::super::events::{self, ChangeKind, Event, EventSender, Events, SessionEvent, WatchRoot};
use super::{Link, Shared, StoreError, connect_until, enter, translate};

/// Pause between attempts to reach a server, or to add watches that were refused.
const PAUSE: Duration = Duration::from_millis(500);

/// An owner's wish to watch.
pub(super) struct AddWatch {
    pub(super) roots: Vec<WatchRoot>,
    pub(super) reply: oneshot::Sender<Result<Events, StoreError>>,
}

struct Subscriber {
    sender: EventSender,
    roots: Vec<WatchRoot>,
}

/// Reads one watcher of the crate into the pump's channel; dropping it ends the watch.
struct Forwarder(JoinHandle<()>);

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A change and the root whose watcher told it.
type Fired = (Arc<str>, ChangeKind, String);

struct Pump {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<AddWatch>,
    subscribers: Vec<Subscriber>,
    /// Owners whose roots are not all watched yet.
    waiting: Vec<(Subscriber, AddWatch, Events)>,
    forwarders: HashMap<Arc<str>, Forwarder>,
    fired: mpsc::UnboundedReceiver<Fired>,
    fire: mpsc::UnboundedSender<Fired>,
    /// To be told once every watch stands.
    news: Option<SessionEvent>,
    told_disconnected: bool,
}

/// Runs until told to stop.
pub(super) async fn run(
    shared: Arc<Shared>,
    client: zk::Client,
    commands: mpsc::UnboundedReceiver<AddWatch>,
    mut stop: watch::Receiver<bool>,
) {
    let (fire, fired) = mpsc::unbounded_channel();
    let mut pump = Pump {
        shared,
        commands,
        subscribers: Vec::new(),
        waiting: Vec::new(),
        forwarders: HashMap::new(),
        fired,
        fire,
        news: None,
        told_disconnected: false,
    };
    let stopped = async move {
        // An error means that the store itself is gone, which stops the pump too.
        let _gone = stop.wait_for(|stop| *stop).await;
    };
    tokio::select! {
        () = pump.sessions(client) => {}
        () = stopped => {}
    }
}

impl Pump {
    /// One session after the other, for ever.
    async fn sessions(&mut self, mut client: zk::Client) {
        loop {
            let info = client.session().clone();
            self.serve(&client).await;
            self.shared.set_link(Link::Reattaching);
            self.tell_disconnected();
            self.forwarders.clear();
            drop(client);
            client = match self.reattach(info).await {
                Some(client) => client,
                None => self.renew().await,
            };
            self.shared.set_link(Link::Up(client.clone()));
        }
    }

    /// Serves one client until it is dead.
    async fn serve(&mut self, client: &zk::Client) {
        let mut states = client.state_watcher();
        let mut state = client.state();
        self.arm_if_needed(client, state).await;
        while !state.is_terminated() {
            self.forget_the_deaf();
            let unfinished = self.news.is_some() || !self.waiting.is_empty();
            tokio::select! {
                next = states.changed() => {
                    // The crate keeps the latest state only: connected after connected hides a break.
                    state = next;
                    if state == zk::SessionState::SyncConnected || state == zk::SessionState::Disconnected {
                        self.tell_disconnected();
                        self.news.get_or_insert(SessionEvent::Reconnected);
                    }
                }
                Some((root, kind, path)) = self.fired.recv() => {
                    self.hand_on(&root, kind, &path);
                    continue;
                }
                Some(command) = self.commands.recv() => self.enlist(command),
                () = tokio::time::sleep(PAUSE), if unfinished => {}
            }
            self.arm_if_needed(client, state).await;
        }
    }

    /// Adds missing watches (after a reconnect: all of them), then tells the news and lets waiting owners go.
    async fn arm_if_needed(&mut self, client: &zk::Client, state: zk::SessionState) {
        if state != zk::SessionState::SyncConnected || (self.news.is_none() && self.waiting.is_empty()) {
            return;
        }
        if self.news.is_some() && !self.arm_all(client).await {
            return;
        }
        if let Some(news) = self.news.take() {
            self.told_disconnected = false;
            self.tell(news);
        }
        for (subscriber, command, events) in std::mem::take(&mut self.waiting) {
            match self.arm(client, &subscriber.roots).await {
                Ok(()) => {
                    let session_id = client.session_id().0;
                    subscriber.sender.send(Event::Session(SessionEvent::Connected { session_id }));
                    self.subscribers.push(subscriber);
                    // An owner that stopped waiting has dropped its end; it is forgotten in the next round.
                    let _gone = command.reply.send(Ok(events));
                }
                Err(error) if error.outcome_unknown() => self.waiting.push((subscriber, command, events)),
                Err(error) => {
                    let _gone = command.reply.send(Err(error));
                }
            }
        }
    }

    async fn arm_all(&mut self, client: &zk::Client) -> bool {
        let old = std::mem::take(&mut self.forwarders);
        let roots: Vec<WatchRoot> =
            self.subscribers.iter().flat_map(|subscriber| subscriber.roots.iter().cloned()).collect();
        let armed = self.arm(client, &roots).await;
        // Successors stand (or the connection is lost again): only now may the old watchers go.
        drop(old);
        match armed {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "cannot watch ZooKeeper yet; trying again");
                false
            }
        }
    }

    /// Adds the watches of `roots` that do not stand yet.
    async fn arm(&mut self, client: &zk::Client, roots: &[WatchRoot]) -> Result<(), StoreError> {
        for root in roots {
            let path = root.path();
            if self.forwarders.contains_key(path) {
                continue;
            }
            let mode = match root {
                WatchRoot::Tree { .. } => zk::AddWatchMode::PersistentRecursive,
                WatchRoot::Node { .. } => zk::AddWatchMode::Persistent,
            };
            let adding = tokio::time::timeout(self.shared.options.request_timeout, client.watch(path, mode));
            let watcher = match adding.await {
                Ok(Ok(watcher)) => watcher,
                Ok(Err(zk::Error::SessionExpired)) | Err(_) => {
                    return Err(super::unexpected(path, "end of the session while adding a watch"));
                }
                Ok(Err(error @ zk::Error::Unimplemented)) => {
                    let what =
                        format!("cannot be watched ({error}); the ensemble must run ZooKeeper 3.6 or later");
                    return Err(StoreError::Other { path: path.to_owned(), what });
                }
                Ok(Err(error)) => return Err(translate(error, path)),
            };
            let path: Arc<str> = path.into();
            let task = tokio::spawn(forward(watcher, path.clone(), self.fire.clone()));
            self.forwarders.insert(path, Forwarder(task));
        }
        Ok(())
    }

    fn enlist(&mut self, command: AddWatch) {
        let known = self.subscribers.iter().chain(self.waiting.iter().map(|(subscriber, ..)| subscriber));
        let known = known.flat_map(|subscriber| &subscriber.roots);
        if let Err(error) = events::check_roots(known, &command.roots) {
            let _gone = command.reply.send(Err(error));
            return;
        }
        let (sender, events) = events::channel();
        self.waiting.push((Subscriber { sender, roots: command.roots.clone() }, command, events));
    }

    /// Drops owners that no longer listen, and the watches nobody else wants.
    fn forget_the_deaf(&mut self) {
        let before = self.subscribers.len();
        self.subscribers.retain(|subscriber| subscriber.sender.is_open());
        self.waiting.retain(|(_, command, _)| !command.reply.is_closed());
        if self.subscribers.len() == before {
            return;
        }
        let subscribers = &self.subscribers;
        self.forwarders.retain(|path, _| {
            subscribers.iter().any(|subscriber| subscriber.roots.iter().any(|root| root.path() == &**path))
        });
    }

    fn hand_on(&self, root: &str, kind: ChangeKind, path: &str) {
        for subscriber in &self.subscribers {
            let wants = |wanted: &WatchRoot| wanted.path() == root && wanted.covers(path, kind);
            if subscriber.roots.iter().any(wants) {
                subscriber.sender.send(Event::Changed { path: path.to_owned(), kind });
            }
        }
    }

    fn tell(&self, event: SessionEvent) {
        for subscriber in &self.subscribers {
            subscriber.sender.send(Event::Session(event));
        }
    }

    fn tell_disconnected(&mut self) {
        if !std::mem::replace(&mut self.told_disconnected, true) {
            self.tell(SessionEvent::Disconnected);
        }
    }

    /// Attaches to the saved session; `None` when a server says that it is gone. Tries for as long as nobody answers:
    /// the session may outlive the break.
    async fn reattach(&mut self, info: zk::SessionInfo) -> Option<zk::Client> {
        loop {
            let options = &self.shared.options;
            let (servers, chroot) = options.servers_and_chroot();
            match options.connector().with_session(info.clone()).connect(&servers.join(",")).await {
                Ok(client) => {
                    let client = enter(client, chroot).ok()?;
                    // The new connection may be to a server behind the one we read from.
                    let synced = client.sync("/").await;
                    if let Err(error) = synced {
                        tracing::warn!(%error, "ZooKeeper session taken up again, but not in sync; trying again");
                        continue;
                    }
                    tracing::info!(session = %client.session_id(), "took up the ZooKeeper session again");
                    self.news.get_or_insert(SessionEvent::Reconnected);
                    return Some(client);
                }
                Err(zk::Error::SessionExpired) => return None,
                Err(zk::Error::AuthFailed) => self.tell(SessionEvent::AuthFailed),
                Err(error) => tracing::debug!(%error, "no ZooKeeper server to take up the session"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells the expiry and opens a new session.
    async fn renew(&mut self) -> zk::Client {
        tracing::warn!("the ZooKeeper session expired; opening a new one");
        self.shared.set_link(Link::Gone);
        self.tell(SessionEvent::Expired);
        loop {
            match connect_until(&self.shared.options, self.shared.options.connection_timeout).await {
                Ok(client) => {
                    self.news = Some(SessionEvent::Connected { session_id: client.session_id().0 });
                    return client;
                }
                Err(StoreError::AuthFailed) => self.tell(SessionEvent::AuthFailed),
                Err(error) => tracing::warn!(%error, "no new ZooKeeper session yet; trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Hands a watcher's changes on until the session ends (polling it after that would panic).
async fn forward(mut watcher: zk::PersistentWatcher, root: Arc<str>, fire: mpsc::UnboundedSender<Fired>) {
    loop {
        let event = watcher.changed().await;
        let kind = match event.event_type {
            zk::EventType::Session if event.session_state.is_terminated() => return,
            zk::EventType::Session => continue,
            zk::EventType::NodeCreated => ChangeKind::Created,
            zk::EventType::NodeDeleted => ChangeKind::Deleted,
            zk::EventType::NodeDataChanged => ChangeKind::DataChanged,
            zk::EventType::NodeChildrenChanged => ChangeKind::ChildrenChanged,
        };
        if fire.send((root.clone(), kind, event.path)).is_err() {
            return;
        }
    }
}
