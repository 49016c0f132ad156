//! The pipeline: every request of every client passes here, one after another.
//!
//! Check, change, log, answer. One thread owns the tree. It takes what is queued, lets the tree decide, collects the
//! records and the answers, makes the records durable with one sync, and only then lets any answer or event of the
//! batch leave: what a client learns is on disk. The tree may be ahead of the log by the batch in hand and no more;
//! so when the log fails, the tree is not served any further: all clients are cut off and every later request is
//! refused with the reason. While a sync runs, requests queue up and become the next batch.

use super::clients::{Client, ClientId, Message, Out, Outbox, Ticket};
use super::data_dir::DataDir;
use super::listener::Counts;
use super::local::ZkError;
use super::snapshot;
use super::txn_log::{Batch, TxnLog};
use super::{Options, admin_words};
use crate::jute::{ErrorCode, EventType, KeeperState, Reply, Request, WatchEvent};
use crate::tree::{Caller, Fired, Record, SessionClock, Tree, WatcherId, acl};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{error, info, warn};

/// Most requests and most log bytes of one batch.
const BATCH_REQUESTS: usize = 2000;
const BATCH_BYTES: usize = 4 << 20;
/// Most containers and TTL nodes deleted in one round, so that a round stays short.
const REAPED_AT_ONCE: usize = 1000;

/// Where durable things are kept.
pub(super) struct Storage {
    pub dir: Arc<DataDir>,
    pub log: TxnLog,
}

/// Figures for the four letter words.
#[derive(Default)]
pub(super) struct Figures {
    pub received: u64,
    pub sent: u64,
    pub latency_min_ms: i64,
    pub latency_max_ms: i64,
    pub latency_sum_ms: i64,
    pub answered: u64,
}

/// The one owner of the tree.
pub(super) struct Pipeline {
    pub(super) options: Options,
    pub(super) tree: Tree,
    pub(super) clients: HashMap<ClientId, Client>,
    pub(super) by_session: HashMap<i64, ClientId>,
    pub(super) figures: Figures,
    pub(super) clock: SessionClock,
    pub(super) next_session: i64,
    pub(super) random: File,
    pub(super) shared_counts: Arc<Counts>,
    pub(super) batch: Batch,
    pub(super) answers: Vec<Answer>,
    storage: Option<Storage>,
    start: Instant,
    /// The thread that writes a snapshot, if one does.
    snapshot: Option<JoinHandle<()>>,
    next_reap_ms: i64,
    no_expiry_before_ms: i64,
    failed: Option<String>,
    /// For messages to itself, from the thread that writes a snapshot.
    inbox: Sender<Message>,
}

/// What leaves when the batch is durable.
pub(super) enum Answer {
    Send(ClientId, Out),
    Resolve(tokio::sync::oneshot::Sender<Result<Reply, ZkError>>, Result<Reply, ZkError>),
    Close(ClientId),
}

/// Milliseconds since the epoch.
pub(super) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Pipeline {
    /// A pipeline over a restored tree. Every session of it gets its full timeout.
    pub fn new(
        options: Options,
        tree: Tree,
        storage: Option<Storage>,
        start: Instant,
        inbox: Sender<Message>,
        shared_counts: Arc<Counts>,
    ) -> io::Result<Pipeline> {
        let mut clock = SessionClock::new(i64::from(options.tick_time_ms.max(1)) / 2);
        let now = start.elapsed().as_millis() as i64;
        // As ZooKeeper makes them: a server number of 1, then the time, then a counter.
        let mut next_session = (1 << 56) | ((wall_ms() << 24) as u64 >> 8) as i64 & 0x00ff_ffff_ffff_ffff;
        for (id, session) in tree.sessions() {
            clock.start(now, id, session.timeout_ms);
            next_session = next_session.max(id.saturating_add(1));
        }
        Ok(Pipeline {
            next_reap_ms: now + options.reap_interval_ms,
            options,
            tree,
            clients: HashMap::new(),
            by_session: HashMap::new(),
            figures: Figures::default(),
            clock,
            next_session,
            random: File::open("/dev/urandom")?,
            batch: Batch::default(),
            answers: Vec::new(),
            storage,
            start,
            snapshot: None,
            no_expiry_before_ms: 0,
            failed: None,
            inbox,
            shared_counts,
        })
    }

    /// Works until told to stop. When it returns, nothing holds the data directory any more.
    pub fn run(mut self, inbox: &Receiver<Message>) {
        self.work(inbox);
        if let Some(thread) = self.snapshot.take()
            && thread.join().is_err()
        {
            warn!("the thread that wrote a snapshot panicked");
        }
    }

    fn work(&mut self, inbox: &Receiver<Message>) {
        loop {
            let patience = self.patience();
            let planned_ms = self.steady_ms() + patience.as_millis() as i64;
            let first = inbox.recv_timeout(patience);
            self.forgive(planned_ms);
            let mut stop = match first {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for _ in 1..BATCH_REQUESTS {
                if stop.is_some() || self.batch.len() >= BATCH_BYTES {
                    break;
                }
                let Ok(message) = inbox.try_recv() else { break };
                stop = self.take(message);
            }
            if stop == Some(Stop::Now) {
                return;
            }
            if self.failed.is_none() {
                self.tick();
            }
            let before_ms = self.steady_ms();
            self.commit();
            self.forgive(before_ms);
            if stop.is_some() {
                info!(zxid = self.tree.last_zxid(), "stopped");
                return;
            }
        }
    }

    /// Milliseconds of a clock that never goes back.
    pub(super) fn steady_ms(&self) -> i64 {
        self.start.elapsed().as_millis() as i64
    }

    /// This server itself was late by more than a tick (stopped, or waiting for the disk): sessions get a tick in which
    /// to be heard before any of them is called silent.
    fn forgive(&mut self, planned_ms: i64) {
        let (now, tick_ms) = (self.steady_ms(), i64::from(self.options.tick_time_ms));
        if now > planned_ms + tick_ms {
            warn!(late_ms = now - planned_ms, "the server was held up; no session expires for a tick");
            self.no_expiry_before_ms = now + tick_ms;
        }
    }

    fn patience(&self) -> Duration {
        if self.failed.is_some() {
            return Duration::from_secs(3600);
        }
        let due = self.clock.next_due().map(|due| due.max(self.no_expiry_before_ms));
        let next = due.map_or(self.next_reap_ms, |due| due.min(self.next_reap_ms));
        Duration::from_millis((next - self.steady_ms()).max(1) as u64)
    }

    fn take(&mut self, message: Message) -> Option<Stop> {
        match message {
            Message::Stop => return Some(Stop::AfterBatch),
            Message::Halt => return Some(Stop::Now),
            Message::SnapshotDone(result) => self.snapshot_done(result),
            Message::Word { word, answer } => {
                let text = match &self.failed {
                    None => admin_words::answer(self, word),
                    Some(_) => admin_words::NOT_SERVING.into(),
                };
                // The asker may be gone.
                let _ = answer.send(text);
            }
            Message::Gone { id } => self.forget(id),
            Message::Connect { id, client, request } => match &self.failed {
                None => self.connect(id, *client, &request),
                Some(why) => refuse_session(*client, why),
            },
            Message::Request { id, ticket, request, received_ms } => match &self.failed {
                None => self.request(id, ticket, request, received_ms),
                Some(why) => refuse_request(ticket, why),
            },
        }
        None
    }

    fn request(
        &mut self,
        id: ClientId,
        ticket: Ticket,
        request: Result<Request, ErrorCode>,
        received_ms: i64,
    ) {
        let steady_ms = self.steady_ms();
        let Some(client) = self.clients.get_mut(&id) else {
            if let Ticket::Local(answer) = ticket {
                self.answers.push(Answer::Resolve(answer, Err(ErrorCode::SessionExpired.into())));
            }
            return;
        };
        client.received += 1;
        self.figures.received += 1;
        self.clock.touch(steady_ms, client.session);
        if let Outbox::Remote { backlog, .. } = &client.outbox {
            let most = self.options.max_backlog_bytes;
            if backlog.own() > most || backlog.all() > most.saturating_mul(4) {
                warn!(client = %client.address, bytes = backlog.own(), "closing: it does not read its answers");
                return self.answers.push(Answer::Close(id));
            }
        }
        let (result, close) = match request {
            Err(error) => (Err(error), error == ErrorCode::Unimplemented),
            Ok(Request::Auth(auth)) => self.authenticate(id, &auth),
            Ok(Request::CloseSession) => {
                let session = client.session;
                self.end_session(session);
                (Ok(Reply::Empty), true)
            }
            Ok(request) => (self.serve(id, &request), false),
        };
        self.note_latency(steady_ms - received_ms);
        match ticket {
            Ticket::Local(answer) => {
                self.answers.push(Answer::Resolve(answer, result.map_err(ZkError::from)));
            }
            Ticket::Remote { xid, .. } => {
                let zxid = self.tree.last_zxid();
                self.answers.push(Answer::Send(id, Out::Reply { xid, zxid, result }));
            }
        }
        if close {
            self.answers.push(Answer::Close(id));
        }
    }

    fn serve(&mut self, id: ClientId, request: &Request) -> Result<Reply, ErrorCode> {
        let client = self.clients.get(&id).ok_or(ErrorCode::SessionExpired)?;
        let caller =
            Caller { session: client.session, watcher: WatcherId(id), identities: &client.identities };
        let mut fired = Vec::new();
        let result = if request.is_write() {
            let outcome = self.tree.write(&caller, wall_ms(), request, &mut fired);
            if let Some(record) = &outcome.record {
                self.batch_push(record);
            }
            outcome.result
        } else {
            self.tree.read(&caller, request, &mut fired)
        };
        self.tell(fired);
        result
    }

    fn authenticate(
        &mut self,
        id: ClientId,
        auth: &crate::jute::AuthRequest,
    ) -> (Result<Reply, ErrorCode>, bool) {
        let Some(client) = self.clients.get_mut(&id) else { return (Err(ErrorCode::SessionExpired), true) };
        let secret = auth.auth.as_deref().unwrap_or_default();
        match acl::prove(&auth.scheme, secret, client.address.ip()) {
            Some(identity) => {
                if !client.identities.contains(&identity) {
                    client.identities.push(identity);
                }
                (Ok(Reply::Empty), false)
            }
            None => {
                warn!(client = %client.address, scheme = auth.scheme, "authentication failed");
                (Err(ErrorCode::AuthFailed), true)
            }
        }
    }

    /// Ends a session in the tree; its connection is closed by whoever asked for it.
    pub(super) fn end_session(&mut self, session: i64) {
        self.clock.stop(session);
        let mut fired = Vec::new();
        if let Some(record) = self.tree.close_session(session, wall_ms(), &mut fired) {
            self.batch_push(&record);
        }
        self.tell(fired);
    }

    /// Puts a record into the batch, if there is a log.
    pub(super) fn batch_push(&mut self, record: &Record) {
        if self.storage.is_some() {
            self.batch.push(record);
        }
    }

    fn tell(&mut self, fired: Vec<Fired>) {
        for fired in fired {
            let id = fired.watcher.0;
            let Some(client) = self.clients.get(&id) else { continue };
            if fired.visible_to(&client.identities) {
                self.answers.push(Answer::Send(id, Out::Event(fired.event)));
            }
        }
    }

    fn note_latency(&mut self, ms: i64) {
        let figures = &mut self.figures;
        let ms = ms.max(0);
        figures.latency_min_ms = if figures.answered == 0 { ms } else { figures.latency_min_ms.min(ms) };
        figures.latency_max_ms = figures.latency_max_ms.max(ms);
        figures.latency_sum_ms += ms;
        figures.answered += 1;
    }

    /// Ends sessions whose time is over, and deletes containers and TTL nodes whose time is over.
    fn tick(&mut self) {
        let now = self.steady_ms();
        let expired = if now < self.no_expiry_before_ms { Vec::new() } else { self.clock.expired(now) };
        for session in expired {
            let owner = self.by_session.get(&session).copied();
            match owner.and_then(|id| self.clients.get(&id)) {
                // A session of this process lives as long as the process holds it.
                Some(client) if client.is_local() => {
                    let timeout_ms = self.tree.session(session).map_or(0, |session| session.timeout_ms);
                    self.clock.start(now, session, timeout_ms);
                }
                _ => {
                    info!(session = format_args!("{session:#x}"), "session expired");
                    self.end_session(session);
                    self.answers.extend(owner.map(Answer::Close));
                }
            }
        }
        if now < self.next_reap_ms {
            return;
        }
        self.next_reap_ms = now + self.options.reap_interval_ms;
        let wall = wall_ms();
        for path in self.tree.reapable(wall, REAPED_AT_ONCE) {
            let mut fired = Vec::new();
            if let Some(record) = self.tree.reap(&path, wall, &mut fired) {
                self.batch_push(&record);
            }
            self.tell(fired);
        }
    }

    /// Makes the batch durable and lets its answers leave.
    fn commit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if let Some(storage) = &mut self.storage
            && !batch.is_empty()
            && let Err(error) = storage.log.append(batch)
        {
            return self.fail(&error);
        }
        for answer in std::mem::take(&mut self.answers) {
            match answer {
                Answer::Send(id, out) => {
                    if let Some(client) = self.clients.get_mut(&id) {
                        self.figures.sent += 1;
                        client.send(out);
                    }
                }
                // Whoever asked may have stopped waiting.
                Answer::Resolve(ticket, result) => drop(ticket.send(result)),
                Answer::Close(id) => self.forget(id),
            }
        }
        self.snapshot_if_due();
    }

    /// A client is gone: its watches go, its session stays until its time is over.
    pub(super) fn forget(&mut self, id: ClientId) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        self.tree.drop_watcher(WatcherId(id));
        if self.by_session.get(&client.session) == Some(&id) {
            self.by_session.remove(&client.session);
        }
        if client.is_local() && self.tree.session(client.session).is_none() {
            let (event, state) = (EventType::None, KeeperState::Expired);
            client.send(Out::Event(WatchEvent { event, state, path: String::new(), zxid: -1 }));
        }
    }

    /// The log failed: nothing of the batch may be answered, and nothing more may be served.
    fn fail(&mut self, error: &io::Error) {
        let why =
            format!("the transaction log cannot be written ({error}); free or repair the disk and restart");
        error!(%error, zxid = self.tree.last_zxid(), "{why}");
        for answer in std::mem::take(&mut self.answers) {
            if let Answer::Resolve(ticket, _) = answer {
                // Whoever asked may have stopped waiting.
                let _ = ticket.send(Err(ZkError::Stopped(why.clone())));
            }
        }
        self.clients.clear();
        self.by_session.clear();
        self.failed = Some(why);
    }

    fn snapshot_if_due(&mut self) {
        let Some(storage) = &mut self.storage else { return };
        let due = storage.log.records >= self.options.snapshot_records
            || storage.log.bytes >= self.options.snapshot_log_bytes;
        if !due || self.snapshot.is_some() {
            return;
        }
        let (zxid, bytes) = (self.tree.last_zxid(), snapshot::encode(&self.tree));
        let (dir, done) = (storage.dir.clone(), self.inbox.clone());
        let work = move || {
            let written = snapshot::write(dir.path(), zxid, &bytes).and_then(|()| dir.purge());
            // The pipeline may have stopped meanwhile.
            let _ = done.send(Message::SnapshotDone(written));
        };
        match std::thread::Builder::new().name("zk-snapshot".into()).spawn(work) {
            Ok(thread) => {
                storage.log.roll();
                self.snapshot = Some(thread);
            }
            Err(error) => warn!(%error, "cannot start a snapshot, the log goes on"),
        }
    }

    fn snapshot_done(&mut self, result: io::Result<()>) {
        self.snapshot = None;
        if let Err(error) = result {
            warn!(%error, "snapshot failed; the log keeps everything, and the next one will be tried later");
        }
    }
}

/// When to end.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stop {
    AfterBatch,
    Now,
}

fn refuse_session(client: Client, why: &str) {
    if let Outbox::Local { connected: Some(connected), .. } = client.outbox {
        // Whoever asked may have stopped waiting.
        let _ = connected.send(Err(ZkError::Stopped(why.to_owned())));
    }
}

fn refuse_request(ticket: Ticket, why: &str) {
    if let Ticket::Local(answer) = ticket {
        // Whoever asked may have stopped waiting.
        let _ = answer.send(Err(ZkError::Stopped(why.to_owned())));
    }
}
