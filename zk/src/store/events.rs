//! What a watching owner receives: session events and changes, in order, on one bounded channel.
//!
//! Invariants: at most [`MAX_QUEUED`] events wait. When an owner is slower than that, its queued changes are dropped
//! and one [`SessionEvent::Reconnected`] takes their place, which means the same as after a lost connection: read
//! everything again. Session events are never dropped. Knows nothing of sockets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::StoreError;

/// Events that may wait for a slow owner before its changes are replaced by "read everything again".
pub const MAX_QUEUED: usize = 65_536;

/// What happened to a node.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It exists now.
    Created,
    /// It is gone.
    Deleted,
    /// Its data was written.
    DataChanged,
    /// A child came or went (only of a root watched as a node; a tree tells of the child itself).
    ChildrenChanged,
}

/// What happened to the session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A new session: the first one, or the one after [`SessionEvent::Expired`]. Ephemerals must be created, and
    /// everything read again.
    Connected { session_id: i64 },
    /// The connection is lost; the session may live. Changes made from now on are not delivered one by one.
    Disconnected,
    /// The same session, connected again. Changes were missed: everything must be read again.
    Reconnected,
    /// The session is gone, with its ephemerals. [`SessionEvent::Connected`] follows when a new one stands.
    Expired,
    /// ZooKeeper refuses the login; it is tried again.
    AuthFailed,
}

/// One event of [`Events`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Of the session.
    Session(SessionEvent),
    /// Of a watched node.
    Changed { path: String, kind: ChangeKind },
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WatchRoot {
    /// One node: created, deleted, data changed, children changed. It need not exist.
    Node { path: String },
    /// A node and all below it, down to `depth` levels (1 = children): created, deleted, data changed.
    Tree { path: String, depth: usize },
}

impl WatchRoot {
    /// One node.
    pub fn node(path: impl Into<String>) -> WatchRoot {
        WatchRoot::Node { path: path.into() }
    }

    /// A node and what is below it, `depth` levels deep.
    pub fn tree(path: impl Into<String>, depth: usize) -> WatchRoot {
        WatchRoot::Tree { path: path.into(), depth }
    }

    /// Its node.
    pub fn path(&self) -> &str {
        match self {
            WatchRoot::Node { path } | WatchRoot::Tree { path, .. } => path,
        }
    }

    /// Whether an event of this kind at `path` belongs to the root.
    pub fn covers(&self, path: &str, kind: ChangeKind) -> bool {
        match self {
            WatchRoot::Node { path: root } => root == path,
            WatchRoot::Tree { path: root, depth } => {
                let below = match path.strip_prefix(root.as_str()) {
                    _ if root == "/" => path.strip_prefix('/').filter(|rest| !rest.is_empty()),
                    Some("") => None,
                    Some(rest) if rest.starts_with('/') => Some(&rest[1..]),
                    _ => return false,
                };
                let level = below.map_or(0, |rest| 1 + rest.bytes().filter(|&byte| byte == b'/').count());
                level <= *depth && kind != ChangeKind::ChildrenChanged
            }
        }
    }
}

/// Most roots watched at once: the paths a client re-sends after a break must stay far below 128 KiB.
const MAX_WATCH_ROOTS: usize = 256;

/// Refuses roots that no store can watch beside `known` ones: one path as node and as tree, or too many.
pub(super) fn check_roots<'a>(
    known: impl Iterator<Item = &'a WatchRoot>,
    wanted: &'a [WatchRoot],
) -> Result<(), StoreError> {
    let is_tree = |root: &WatchRoot| matches!(root, WatchRoot::Tree { .. });
    let mut modes = HashMap::new();
    for root in known.chain(wanted) {
        if *modes.entry(root.path()).or_insert(is_tree(root)) != is_tree(root) {
            let what = "is already watched in the other mode".to_owned();
            return Err(StoreError::Other { path: root.path().to_owned(), what });
        }
    }
    if modes.len() > MAX_WATCH_ROOTS {
        let what = format!("more than {MAX_WATCH_ROOTS} watches: watch a tree instead");
        return Err(StoreError::Other { path: "/".to_owned(), what });
    }
    Ok(())
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    changes: usize,
    sender_gone: bool,
    receiver_gone: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while holding the lock cannot leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending half; a store holds it.
pub struct EventSender(Arc<Shared>);

/// The receiving half. Dropping it ends the watch.
pub struct Events(Arc<Shared>);

/// A new channel.
pub fn channel() -> (EventSender, Events) {
    let shared = Arc::new(Shared::default());
    (EventSender(shared.clone()), Events(shared))
}

impl EventSender {
    /// Queues an event; false if nobody listens any more.
    pub fn send(&self, event: Event) -> bool {
        let mut queue = self.0.lock();
        if queue.receiver_gone {
            return false;
        }
        if matches!(event, Event::Changed { .. }) {
            if queue.changes >= MAX_QUEUED {
                queue.events.retain(|event| matches!(event, Event::Session(_)));
                queue.changes = 0;
                queue.events.push_back(Event::Session(SessionEvent::Reconnected));
            }
            queue.changes += 1;
        } else if queue.events.back() == Some(&event) {
            // A flapping connection must not fill memory: the same news twice in a row is one.
            return true;
        }
        queue.events.push_back(event);
        drop(queue);
        self.0.arrived.notify_one();
        true
    }

    /// Whether somebody still listens.
    pub fn is_open(&self) -> bool {
        !self.0.lock().receiver_gone
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.0.lock().sender_gone = true;
        self.0.arrived.notify_one();
    }
}

impl Events {
    /// The next event; `None` once the store is closed. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(event) = queue.events.pop_front() {
                    if matches!(event, Event::Changed { .. }) {
                        queue.changes -= 1;
                    }
                    return Some(event);
                }
                if queue.sender_gone {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.receiver_gone = true;
        queue.events.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(path: &str) -> Event {
        Event::Changed { path: path.into(), kind: ChangeKind::DataChanged }
    }

    #[test]
    fn roots_cover_their_depth() {
        let tree = WatchRoot::tree("/brokers/topics", 1);
        assert!(tree.covers("/brokers/topics", ChangeKind::DataChanged));
        assert!(tree.covers("/brokers/topics/a", ChangeKind::Created));
        assert!(!tree.covers("/brokers/topics/a/partitions", ChangeKind::Created));
        assert!(!tree.covers("/brokers/topicsx", ChangeKind::Created));
        assert!(!tree.covers("/brokers", ChangeKind::Deleted));
        let all = WatchRoot::tree("/", 2);
        assert!(all.covers("/", ChangeKind::DataChanged));
        assert!(all.covers("/a/b", ChangeKind::Created) && !all.covers("/a/b/c", ChangeKind::Created));
        let node = WatchRoot::node("/a");
        assert!(node.covers("/a", ChangeKind::ChildrenChanged) && !node.covers("/a/b", ChangeKind::Created));
    }

    #[tokio::test]
    async fn a_slow_owner_is_told_to_read_again_instead_of_filling_memory() {
        let (sender, mut events) = channel();
        sender.send(Event::Session(SessionEvent::Disconnected));
        for n in 0..MAX_QUEUED + 10 {
            assert!(sender.send(changed(&format!("/n{n}"))));
        }
        drop(sender);
        assert_eq!(events.next().await, Some(Event::Session(SessionEvent::Disconnected)));
        assert_eq!(events.next().await, Some(Event::Session(SessionEvent::Reconnected)));
        for n in MAX_QUEUED..MAX_QUEUED + 10 {
            assert_eq!(events.next().await, Some(changed(&format!("/n{n}"))));
        }
        assert_eq!(events.next().await, None);
    }

    #[test]
    fn a_dropped_receiver_is_noticed() {
        let (sender, events) = channel();
        assert!(sender.is_open());
        drop(events);
        assert!(!sender.is_open() && !sender.send(changed("/a")));
    }
}
