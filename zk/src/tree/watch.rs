//! Watches: who is told what.
//!
//! A watch belongs to a connection and a path; it is of one or more kinds. One-shot and persistent watches hear of
//! their own path, recursive ones of all paths below too, but never of "children changed". Data watches and child
//! watches are kept apart, as in ZooKeeper. Source: `WatchManager`, `DataTree.setWatches`, `DataTree.removeWatch`.

use crate::jute::{Acl, EventType, Id, KeeperState, WatchEvent, perms};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A connection's number, chosen by the server and never used twice.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatcherId(pub u64);

/// A watch that fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired {
    /// Whom to tell.
    pub watcher: WatcherId,
    /// What.
    pub event: WatchEvent,
    acl: Option<Arc<[Acl]>>,
}

impl Fired {
    /// An event of a watch set again after a reconnect: it needs no permission, as in ZooKeeper.
    pub(super) fn at_once(watcher: WatcherId, event: EventType, path: &str) -> Fired {
        let event = WatchEvent { event, state: KeeperState::SyncConnected, path: path.into(), zxid: -1 };
        Fired { watcher, event, acl: None }
    }

    /// Whether a connection with these identities may learn of it (it must be allowed to read the node).
    pub fn visible_to(&self, identities: &[Id]) -> bool {
        self.acl.as_ref().is_none_or(|acl| super::acl::allows(acl, perms::READ, identities))
    }
}

/// Bits of the kinds of one watch.
pub(super) const ONE_SHOT: u8 = 1;
pub(super) const PERSISTENT: u8 = 2;
pub(super) const RECURSIVE: u8 = 4;
pub(super) const ANY: u8 = ONE_SHOT | PERSISTENT | RECURSIVE;

/// The watches on one aspect of nodes.
#[derive(Default)]
pub(super) struct WatchTable {
    by_path: HashMap<Arc<str>, BTreeMap<WatcherId, u8>>,
    by_watcher: HashMap<WatcherId, BTreeSet<Arc<str>>>,
    recursive: usize,
}

impl WatchTable {
    fn add(&mut self, path: &str, watcher: WatcherId, kind: u8) {
        let shared = match self.by_path.get_key_value(path) {
            Some((shared, _)) => shared.clone(),
            None => Arc::from(path),
        };
        let kinds = self.by_path.entry(shared.clone()).or_default().entry(watcher).or_default();
        self.recursive += usize::from(kind == RECURSIVE && *kinds & RECURSIVE == 0);
        *kinds |= kind;
        self.by_watcher.entry(watcher).or_default().insert(shared);
    }

    fn has(&self, path: &str, watcher: WatcherId, kinds: u8) -> bool {
        self.by_path.get(path).and_then(|watchers| watchers.get(&watcher)).is_some_and(|own| own & kinds != 0)
    }

    /// Takes kinds away; whether there were any.
    fn remove(&mut self, path: &str, watcher: WatcherId, kinds: u8) -> bool {
        let Some(watchers) = self.by_path.get_mut(path) else { return false };
        let Some(own) = watchers.get_mut(&watcher) else { return false };
        let taken = *own & kinds;
        self.recursive -= usize::from(taken & RECURSIVE != 0);
        *own &= !kinds;
        if *own == 0 {
            watchers.remove(&watcher);
            if watchers.is_empty() {
                self.by_path.remove(path);
            }
            if let Some(paths) = self.by_watcher.get_mut(&watcher) {
                paths.remove(path);
                if paths.is_empty() {
                    self.by_watcher.remove(&watcher);
                }
            }
        }
        taken != 0
    }

    fn drop_watcher(&mut self, watcher: WatcherId) {
        for path in self.by_watcher.remove(&watcher).unwrap_or_default() {
            if let Some(watchers) = self.by_path.get_mut(&path) {
                let kinds = watchers.remove(&watcher).unwrap_or_default();
                self.recursive -= usize::from(kinds & RECURSIVE != 0);
                if watchers.is_empty() {
                    self.by_path.remove(&path);
                }
            }
        }
    }

    /// Who hears of a change of `path`. One-shot watches on it are used up.
    fn trigger(&mut self, path: &str) -> BTreeSet<WatcherId> {
        let mut heard = BTreeSet::new();
        if let Some(watchers) = self.by_path.get(path) {
            heard.extend(watchers.keys());
            for watcher in &heard {
                self.remove(path, *watcher, ONE_SHOT);
            }
        }
        if self.recursive == 0 {
            return heard;
        }
        let mut above = path;
        while let Some((parent, _)) = super::path::split(above) {
            let watchers = self.by_path.get(parent).into_iter().flatten();
            heard.extend(watchers.filter(|(_, kinds)| **kinds & RECURSIVE != 0).map(|(watcher, _)| *watcher));
            above = parent;
        }
        heard
    }
}

/// Who may learn of a change: the lists of the node and of its parent when it happened.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub event: EventType,
    pub path: String,
    pub acl: Arc<[Acl]>,
    pub parent_acl: Option<Arc<[Acl]>>,
}

/// All watches.
#[derive(Default)]
pub(super) struct Watches {
    data: WatchTable,
    child: WatchTable,
}

impl Watches {
    pub fn is_empty(&self) -> bool {
        self.data.by_path.is_empty() && self.child.by_path.is_empty()
    }

    pub fn count(&self) -> usize {
        let of = |table: &WatchTable| table.by_path.values().map(BTreeMap::len).sum::<usize>();
        of(&self.data) + of(&self.child)
    }

    /// Watches of one connection.
    pub fn count_of(&self, watcher: WatcherId) -> usize {
        let of = |table: &WatchTable| table.by_watcher.get(&watcher).map_or(0, BTreeSet::len);
        of(&self.data) + of(&self.child)
    }

    pub fn add_data(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher, ONE_SHOT);
    }

    pub fn add_child(&mut self, path: &str, watcher: WatcherId) {
        self.child.add(path, watcher, ONE_SHOT);
    }

    pub fn add_persistent(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher, PERSISTENT);
        self.child.add(path, watcher, PERSISTENT);
    }

    pub fn add_recursive(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher, RECURSIVE);
    }

    pub fn has(&self, data: u8, child: u8, path: &str, watcher: WatcherId) -> bool {
        self.data.has(path, watcher, data) || self.child.has(path, watcher, child)
    }

    pub fn remove(&mut self, data: u8, child: u8, path: &str, watcher: WatcherId) -> bool {
        let from_data = data != 0 && self.data.remove(path, watcher, data);
        let from_child = child != 0 && self.child.remove(path, watcher, child);
        from_data || from_child
    }

    pub fn drop_watcher(&mut self, watcher: WatcherId) {
        self.data.drop_watcher(watcher);
        self.child.drop_watcher(watcher);
    }

    /// Tells of a change in ZooKeeper's order: the node's data watches, its child watches (who heard of a deletion
    /// is not told twice), then the parent's child watches.
    pub fn fire(&mut self, change: &Change, zxid: i64, fired: &mut Vec<Fired>) {
        let mut tell = |watchers: BTreeSet<WatcherId>, event, path: &str, acl: &Option<Arc<[Acl]>>| {
            fired.extend(watchers.into_iter().map(|watcher| Fired {
                watcher,
                event: WatchEvent { event, state: KeeperState::SyncConnected, path: path.to_owned(), zxid },
                acl: acl.clone(),
            }));
        };
        let acl = Some(change.acl.clone());
        let heard = self.data.trigger(&change.path);
        tell(heard.clone(), change.event, &change.path, &acl);
        if change.event == EventType::DataChanged {
            return;
        }
        if change.event == EventType::Deleted {
            let mut more = self.child.trigger(&change.path);
            more.retain(|watcher| !heard.contains(watcher));
            tell(more, EventType::Deleted, &change.path, &acl);
        }
        if let Some((parent, _)) = super::path::split(&change.path) {
            let watchers = self.child.trigger(parent);
            tell(watchers, EventType::ChildrenChanged, parent, &change.parent_acl);
        }
    }
}
