//! ZooKeeper: the shipped znode tree, its sessions on the simulated clock, and who watches what.
//!
//! One server that never lags and never forgets; what goes wrong goes wrong on the way to it. Knows nothing of brokers.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_zk::jute::{ErrorCode, PathWatch, Reply, Request, Stat};
use ottla_zk::tree::{Caller, Fired, Limits, SessionClock, Tree, WatcherId};

/// The session with which the simulator itself reads and writes; it never ends.
pub const GOD: i64 = 1;
const TICK_MS: i64 = 500;

/// See the module.
pub struct Ensemble {
    tree: Tree,
    clock: SessionClock,
    next_session: i64,
    next_watcher: u64,
    /// Host and its life, by connection.
    pub watchers: BTreeMap<u64, (usize, u64)>,
}

impl Ensemble {
    /// An empty tree.
    pub fn new(now: i64) -> Ensemble {
        let mut tree = Tree::new(Limits::default());
        tree.open_session(GOD, i32::MAX, [0; 16], now);
        Ensemble {
            tree,
            clock: SessionClock::new(TICK_MS),
            next_session: 100,
            next_watcher: 0,
            watchers: BTreeMap::new(),
        }
    }

    /// A new session.
    pub fn open(&mut self, now: i64, timeout_ms: i32) -> i64 {
        self.next_session += 1;
        self.tree.open_session(self.next_session, timeout_ms, [0; 16], now);
        self.clock.start(now, self.next_session, timeout_ms);
        self.next_session
    }

    /// Whether a session lives.
    pub fn lives(&self, session: i64) -> bool {
        self.tree.session(session).is_some()
    }

    /// A session was heard of.
    pub fn heard(&mut self, now: i64, session: i64) {
        self.clock.touch(now, session);
    }

    /// After an outage of the server every session gets its time again.
    pub fn forgive(&mut self, now: i64) {
        let mut all: Vec<(i64, i32)> = self.tree.sessions().map(|(id, s)| (id, s.timeout_ms)).collect();
        all.sort_unstable();
        for (id, timeout_ms) in all.into_iter().filter(|(id, _)| *id != GOD) {
            self.clock.start(now, id, timeout_ms);
        }
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&mut self, now: i64) -> (Vec<i64>, Vec<Fired>) {
        let (over, mut fired) = (self.clock.expired(now), Vec::new());
        for session in &over {
            self.tree.close_session(*session, now, &mut fired);
        }
        (over, fired)
    }

    /// Ends a session at once, as its owner asked.
    pub fn close(&mut self, now: i64, session: i64) -> Vec<Fired> {
        let mut fired = Vec::new();
        self.clock.stop(session);
        self.tree.close_session(session, now, &mut fired);
        fired
    }

    /// A connection of `host` in its `life`.
    pub fn connect(&mut self, host: usize, life: u64) -> u64 {
        self.next_watcher += 1;
        self.watchers.insert(self.next_watcher, (host, life));
        self.next_watcher
    }

    /// It is gone, with its watches.
    pub fn disconnect(&mut self, watcher: u64) {
        self.watchers.remove(&watcher);
        self.tree.drop_watcher(WatcherId(watcher));
    }

    /// Carries out a request.
    pub fn serve(
        &mut self,
        now: i64,
        session: i64,
        watcher: u64,
        request: &Request,
    ) -> (Result<Reply, ErrorCode>, Vec<Fired>) {
        let caller = Caller { session, watcher: WatcherId(watcher), identities: &[] };
        let mut fired = Vec::new();
        self.clock.touch(now, session);
        let result = match request.is_write() {
            true => self.tree.write(&caller, now, request, &mut fired).result,
            false => self.tree.read(&caller, request, &mut fired),
        };
        (result, fired)
    }

    /// Looks at a node.
    pub fn peek(&mut self, path: &str) -> Option<(Bytes, Stat)> {
        let caller = Caller { session: GOD, watcher: WatcherId(0), identities: &[] };
        let request = Request::GetData(PathWatch { path: path.to_owned(), watch: false });
        match self.tree.read(&caller, &request, &mut Vec::new()) {
            Ok(Reply::Data(data, stat)) => Some((data.unwrap_or_default(), stat)),
            _ => None,
        }
    }

    /// The children of a node.
    pub fn children(&mut self, path: &str) -> Vec<String> {
        let caller = Caller { session: GOD, watcher: WatcherId(0), identities: &[] };
        let request = Request::GetChildren2(PathWatch { path: path.to_owned(), watch: false });
        match self.tree.read(&caller, &request, &mut Vec::new()) {
            Ok(Reply::Children2(names, _)) => names,
            _ => Vec::new(),
        }
    }
}
