//! The controller's shell: elects, feeds the machine one input at a time, and carries out what it asks for.
//!
//! One task. Reads and writes run beside it and come back as inputs; what a round's results allow leaves only
//! after they are in. A write that finds another controller, the loss of the session, and the sight of another
//! `/controller` end the reign at once (`KafkaController`, `ControllerEventManager`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use ottla_zk::kafka::controller::{self as office, Election};
use ottla_zk::kafka::guarded::Guard;
use ottla_zk::store::{ChangeKind, Event as StoreEvent, Events, SessionEvent, Store, WatchRoot};
use ottla_zk::znode::reassign::{PREFERRED_ELECTION, REASSIGN_PARTITIONS};
use tokio::sync::{mpsc, oneshot};

use super::channel::{Channel, Settings};
use super::commit;
use super::event::{Answer, Change, Channel as ChannelChange, Input, Output, Request, Ticket, Timer};
use super::machine::{Config, Machine};
use super::recess::Recess;
use crate::clock::{Clock, Timestamp};
use crate::membership::Notice;
use crate::protocol::error_code::ErrorCode;

/// Pause before a failed election is tried again.
const ELECTION_PAUSE: Duration = Duration::from_millis(500);
/// How often a controller that leaves looks whether it was heard.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Epoch of "not the controller".
const NOT_ACTIVE: i32 = -1;

/// How the rest of the broker talks to the controller that lives here. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ControllerHandle {
    commands: mpsc::UnboundedSender<Command>,
    active_epoch: Arc<AtomicI32>,
}

enum Command {
    Notice(Notice),
    Change(Change),
    Ask(Request, oneshot::Sender<Answer>),
    IsQuiet(oneshot::Sender<bool>),
}

impl ControllerHandle {
    /// Whether this broker is the controller now.
    pub fn is_active(&self) -> bool {
        self.active_epoch.load(Ordering::SeqCst) != NOT_ACTIVE
    }

    /// Asks the controller; a broker that is not the controller answers so.
    pub async fn ask(&self, request: Request) -> Answer {
        let refused = request.refuse(ErrorCode::NotController);
        if !self.is_active() {
            return refused;
        }
        let (sender, answer) = oneshot::channel();
        if self.commands.send(Command::Ask(request, sender)).is_err() {
            return refused;
        }
        answer.await.unwrap_or(refused)
    }

    /// Waits until every broker has answered what it was sent, at most `limit`: a controller that leaves before would
    /// take its words with it, and the next one would have to find them out.
    pub async fn quiet(&self, limit: Duration) {
        let quiet = async {
            while self.is_active() {
                let (sender, is_quiet) = oneshot::channel();
                if self.commands.send(Command::IsQuiet(sender)).is_err() || is_quiet.await.unwrap_or(true) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        // A broker that does not answer is the next controller's to deal with.
        let _in_time = tokio::time::timeout(limit, quiet).await;
    }

    /// Tells it what happened to the broker's session.
    pub fn notice(&self, notice: Notice) {
        // Only a stopping broker has no runner any more.
        let _stopping = self.commands.send(Command::Notice(notice));
    }

    /// Tells it that a configuration changed.
    pub fn changed(&self, change: Change) {
        let _stopping = self.commands.send(Command::Change(change));
    }
}

/// What a runner needs.
pub struct Parts {
    /// ZooKeeper.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For the machine.
    pub config: Config,
    /// For the lines to brokers.
    pub channels: Settings,
    /// `unclean.leader.election.enable` of this broker as it is now: it can be changed while the broker runs.
    pub unclean_by_default: Box<dyn Fn() -> bool + Send + Sync>,
}

struct Runner {
    parts: Parts,
    machine: Machine,
    guard: Option<Guard>,
    watch: Option<Events>,
    channels: HashMap<i32, Channel>,
    tickets: HashMap<Ticket, oneshot::Sender<Answer>>,
    next_ticket: u64,
    timers: BTreeMap<Timer, Timestamp>,
    inputs: mpsc::UnboundedSender<Input>,
    /// Results of reads and writes, with the epoch of the reign that asked: those of an older one are void.
    rounds: mpsc::UnboundedSender<(i32, Input)>,
    active_epoch: Arc<AtomicI32>,
    /// Registered in the current session: only then may it stand for election.
    registered: bool,
    /// When this reign began.
    elected: Timestamp,
    recess: Recess,
}

/// Starts the runner's task.
pub fn start(parts: Parts) -> ControllerHandle {
    let (commands, receiver) = mpsc::unbounded_channel();
    let (inputs, replies) = mpsc::unbounded_channel();
    let (rounds, results) = mpsc::unbounded_channel();
    let active_epoch = Arc::new(AtomicI32::new(NOT_ACTIVE));
    let runner = Runner {
        machine: Machine::new(parts.config.clone()),
        parts,
        guard: None,
        watch: None,
        channels: HashMap::new(),
        tickets: HashMap::new(),
        next_ticket: 0,
        timers: BTreeMap::new(),
        inputs,
        rounds,
        active_epoch: active_epoch.clone(),
        registered: false,
        elected: Timestamp::default(),
        recess: Recess::default(),
    };
    tokio::spawn(runner.run(receiver, replies, results));
    ControllerHandle { commands, active_epoch }
}

/// What the controller watches, each a handful of paths or one tree (dependencies.md 2.3).
fn roots() -> Vec<WatchRoot> {
    vec![
        WatchRoot::tree("/brokers/ids", 1),
        WatchRoot::tree("/brokers/topics", 1),
        WatchRoot::node("/admin/delete_topics"),
        WatchRoot::node("/log_dir_event_notification"),
        WatchRoot::node("/isr_change_notification"),
        WatchRoot::node(REASSIGN_PARTITIONS),
        WatchRoot::node(PREFERRED_ELECTION),
    ]
}

enum Next {
    Command(Option<Command>),
    Input(Input),
    Result(i32, Input),
    Event(Option<StoreEvent>),
    Timer,
}

impl Runner {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut replies: mpsc::UnboundedReceiver<Input>,
        mut results: mpsc::UnboundedReceiver<(i32, Input)>,
    ) {
        loop {
            let due = self.timers.values().copied().chain(self.recess.until()).min();
            let wait = due.map(|due| due.since_ms(self.parts.clock.now()).max(0) as u64);
            let watch = &mut self.watch;
            let event = async {
                match watch {
                    Some(events) => events.next().await,
                    None => std::future::pending().await,
                }
            };
            let timer = async {
                match wait {
                    Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                command = commands.recv() => Next::Command(command),
                Some((epoch, input)) = results.recv() => Next::Result(epoch, input),
                Some(input) = replies.recv() => Next::Input(input),
                event = event => Next::Event(event),
                () = timer => Next::Timer,
            };
            match next {
                Next::Command(None) => return,
                Next::Command(Some(command)) => self.command(command).await,
                Next::Input(input) => self.step(input),
                Next::Result(epoch, Input::Deposed) if self.reigns(epoch) => {
                    self.depose("a write was refused")
                }
                Next::Result(epoch, input) if self.reigns(epoch) => self.step(input),
                Next::Result(..) => {}
                Next::Event(event) => self.store_event(event),
                Next::Timer => self.fire().await,
            }
        }
    }

    fn reigns(&self, epoch: i32) -> bool {
        self.guard.is_some_and(|guard| guard.epoch == epoch)
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Notice(Notice::Registered) => {
                self.registered = true;
                self.depose("a new session was registered");
                self.elect().await;
            }
            Command::Notice(Notice::SessionLost) => {
                self.registered = false;
                self.depose("the ZooKeeper session is lost");
            }
            Command::Notice(Notice::Leaving) => {
                self.registered = false;
                self.depose("this broker stops");
            }
            Command::Notice(Notice::ControllerChanged) => self.look_at_office().await,
            Command::Change(change) => {
                if self.guard.is_some() {
                    self.step(Input::Change(change));
                }
            }
            Command::IsQuiet(sender) => {
                // Who asked may have given up.
                let _gone = sender.send(self.channels.values().all(Channel::is_quiet));
            }
            Command::Ask(request, sender) => {
                self.next_ticket += 1;
                let ticket = Ticket(self.next_ticket);
                self.tickets.insert(ticket, sender);
                self.step(Input::Request(ticket, request));
            }
        }
    }

    /// `/controller` changed: still ours, another's, or free.
    async fn look_at_office(&mut self) {
        match office::active(&*self.parts.store).await {
            Ok(Some(active))
                if active.node.broker_id == self.parts.config.broker_id && self.guard.is_some() => {}
            Ok(Some(_)) => self.depose("another broker is the controller"),
            Ok(None) => {
                self.depose("/controller is gone");
                self.elect().await;
            }
            // A lost connection comes back with an event of its own, after which this is looked at again.
            Err(error) => tracing::warn!(%error, "cannot see who is the controller"),
        }
    }

    async fn elect(&mut self) {
        while self.registered && self.guard.is_none() && self.recess.until().is_none() {
            let now = self.parts.clock.now();
            match office::elect(&*self.parts.store, self.parts.config.broker_id, now.0).await {
                Ok(Election::Won(guard)) => return self.reign(guard).await,
                Ok(Election::Lost { .. }) => return,
                Err(error) => {
                    tracing::warn!(%error, "the election of a controller failed; trying again");
                    tokio::time::sleep(ELECTION_PAUSE).await;
                    if self.parts.store.session_id() == 0 {
                        return;
                    }
                }
            }
        }
    }

    async fn reign(&mut self, guard: Guard) {
        self.elected = self.parts.clock.now();
        match self.parts.store.watch(&roots()).await {
            Ok(events) => {
                tracing::info!(epoch = guard.epoch, "this broker is the controller");
                self.watch = Some(events);
                self.guard = Some(guard);
                self.active_epoch.store(guard.epoch, Ordering::SeqCst);
                self.step(Input::Elected { epoch: guard.epoch });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch the cluster; giving the controllership back");
                self.recess.begin(self.parts.clock.now(), self.elected);
                if let Err(error) = office::resign(&*self.parts.store, guard).await {
                    tracing::warn!(%error, "could not resign; the session's end will do it");
                }
            }
        }
    }

    fn depose(&mut self, why: &str) {
        if self.guard.is_none() {
            return;
        }
        tracing::info!(why, "this broker is no longer the controller");
        self.step(Input::Deposed);
        self.end_reign();
    }

    fn end_reign(&mut self) {
        self.guard = None;
        self.watch = None;
        self.active_epoch.store(NOT_ACTIVE, Ordering::SeqCst);
        self.channels.clear();
        self.timers.clear();
    }

    fn store_event(&mut self, event: Option<StoreEvent>) {
        match event {
            None => self.watch = None,
            Some(StoreEvent::Session(SessionEvent::Reconnected)) => self.look_at_everything(),
            // Expiry and new sessions come through the broker's own watch, with the registration.
            Some(StoreEvent::Session(_)) => {}
            Some(StoreEvent::Changed { path, kind }) => {
                if let Some(change) = change_of(&path, kind) {
                    self.step(Input::Change(change));
                }
            }
        }
    }

    /// Changes were missed while disconnected.
    fn look_at_everything(&mut self) {
        let topics: Vec<Arc<str>> = self.machine.context().topics().keys().cloned().collect();
        let ids: Vec<i32> = self.machine.context().brokers.keys().copied().collect();
        let roots = [Change::Brokers, Change::Topics, Change::Deletions, Change::LogDirs, Change::IsrChanges];
        for change in roots.into_iter().chain([Change::ReassignmentWishes, Change::ElectionWishes]) {
            self.step(Input::Change(change));
        }
        ids.into_iter().for_each(|id| self.step(Input::Change(Change::Broker(id))));
        topics.into_iter().for_each(|topic| self.step(Input::Change(Change::Topic(topic))));
    }

    async fn fire(&mut self) {
        let now = self.parts.clock.now();
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            self.step(Input::Timer(timer));
        }
        if self.recess.ends(now) {
            self.elect().await;
        }
    }

    fn step(&mut self, input: Input) {
        if matches!(input, Input::Deposed) && self.guard.is_none() {
            return;
        }
        let output = self.machine.step(self.parts.clock.now(), input);
        self.carry_out(output);
    }

    fn carry_out(&mut self, output: Output) {
        for (ticket, answer) in output.replies {
            if let Some(sender) = self.tickets.remove(&ticket) {
                // The asker may have hung up.
                let _gone = sender.send(answer);
            }
        }
        if output.resigned {
            self.resign(output.store);
            return;
        }
        for change in output.channels {
            match change {
                ChannelChange::Open(broker) => {
                    let id = broker.image.id;
                    let channel = Channel::open(broker, self.parts.channels.clone(), self.inputs.clone());
                    self.channels.insert(id, channel);
                }
                ChannelChange::Close(id) => drop(self.channels.remove(&id)),
            }
        }
        for request in output.send {
            if let Some(channel) = self.channels.get(&request.broker) {
                channel.send(request);
            }
        }
        self.timers.extend(output.timers);
        let Some(guard) = self.guard else { return };
        let (store, rounds, round) = (self.parts.store.clone(), self.rounds.clone(), output.round);
        if !output.store.is_empty() {
            tokio::spawn(async move {
                let input = match commit::write(&*store, guard, output.store).await {
                    Ok(results) => Input::Stored { round, results },
                    Err(deposed) => {
                        tracing::info!(%deposed, "a write of the controller was refused");
                        Input::Deposed
                    }
                };
                let _stopping = rounds.send((guard.epoch, input));
            });
        } else if !output.read.is_empty() {
            let unclean = (self.parts.unclean_by_default)();
            tokio::spawn(async move {
                let data = commit::read(&*store, &output.read, unclean).await;
                let _stopping = rounds.send((guard.epoch, Input::Loaded { round, data }));
            });
        }
    }

    /// The machine gave up: forget everything, and let others stand for election if it asks for that.
    fn resign(&mut self, store_ops: Vec<super::store::StoreOp>) {
        let guard = self.guard;
        self.end_reign();
        if let (Some(guard), false) = (guard, store_ops.is_empty()) {
            self.recess.begin(self.parts.clock.now(), self.elected);
            let store = self.parts.store.clone();
            tokio::spawn(async move {
                if let Err(deposed) = commit::write(&*store, guard, store_ops).await {
                    tracing::info!(%deposed, "resigned; another controller is there already");
                }
            });
        }
    }
}

fn change_of(path: &str, kind: ChangeKind) -> Option<Change> {
    if let Some(id) = path.strip_prefix("/brokers/ids/") {
        return match kind {
            ChangeKind::DataChanged => id.parse().ok().map(Change::Broker),
            _ => Some(Change::Brokers),
        };
    }
    if let Some(topic) = path.strip_prefix("/brokers/topics/") {
        return match (topic.contains('/'), kind) {
            (true, _) => None,
            (false, ChangeKind::DataChanged) => Some(Change::Topic(topic.into())),
            (false, _) => Some(Change::Topics),
        };
    }
    match path {
        "/brokers/ids" => Some(Change::Brokers),
        "/brokers/topics" => Some(Change::Topics),
        "/admin/delete_topics" => Some(Change::Deletions),
        "/log_dir_event_notification" => Some(Change::LogDirs),
        "/isr_change_notification" => Some(Change::IsrChanges),
        REASSIGN_PARTITIONS => Some(Change::ReassignmentWishes),
        PREFERRED_ELECTION => Some(Change::ElectionWishes),
        _ => None,
    }
}
