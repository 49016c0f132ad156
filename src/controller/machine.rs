//! The machine: one event at a time, one round of reads or writes under way, everything else waits in its queue.
//!
//! Invariants: `waiting` is set exactly while a round is under way; tasks run in order, a task may put others before
//! the rest; nothing is done while not the controller but to answer NOT_CONTROLLER.
//! Knows nothing of what the tasks do. Source: Kafka's `ControllerEventManager` and `KafkaController`.

use std::collections::{BTreeSet, VecDeque};

use super::context::Context;
use super::event::{Answer, Change, Input, Output, Reply, Request, Ticket, Timer};
use super::flow::{Task, Waiting};
use super::outbox::Batch;
use super::store::{ReadOp, StoreOp};
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;

/// What the machine must know of this broker's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `broker.id`.
    pub broker_id: i32,
    /// Listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// Inter-broker protocol 2.8-IV0 on: topics get ids.
    pub topic_ids: bool,
    /// Inter-broker protocol 3.2-IV0 on: unclean leaders are marked as recovering.
    pub leader_recovery: bool,
    /// Inter-broker protocol 2.7-IV0 on: `/feature` is enabled.
    pub features: bool,
    /// Format of `/feature`: 2 from inter-broker protocol 3.3-IV0, else 1.
    pub feature_version: i32,
    /// `auto.leader.rebalance.enable`.
    pub rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`, in ms.
    pub rebalance_interval_ms: i64,
    /// `leader.imbalance.per.broker.percentage`.
    pub imbalance_percentage: i32,
}

/// Numbers for metrics.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// 1 for the controller, else 0.
    pub active_controllers: usize,
    /// Registered brokers.
    pub active_brokers: usize,
    /// Topics.
    pub topics: usize,
    /// Partitions that have or had a leader.
    pub partitions: usize,
    /// Partitions without a live leader, but for topics under deletion.
    pub offline_partitions: usize,
    /// Partitions not led by their preferred leader.
    pub imbalanced_partitions: usize,
    /// Partitions whose replicas are being added or removed.
    pub reassigning_partitions: usize,
    /// Topics queued for deletion.
    pub topics_to_delete: usize,
    /// Of these, those halted.
    pub ineligible_topics_to_delete: usize,
    /// Events in the queue.
    pub queued_events: usize,
    /// Unclean elections since start.
    pub unclean_elections: u64,
}

/// Something in the queue.
#[derive(Debug)]
pub(super) enum Event {
    Change(Change),
    Request(Ticket, Request),
    Replied { broker: i32, broker_epoch: i64, reply: Reply },
    Timer(Timer),
}

/// The controller.
#[derive(Debug)]
pub struct Machine {
    pub(super) config: Config,
    pub(super) context: Context,
    pub(super) now: Timestamp,
    pub(super) out: Output,
    /// Partitions for which the last election of this flow succeeded.
    pub(super) elected: Vec<TopicPartition>,
    pub(super) unclean_elections: u64,
    /// The request being served, with the answer in case it must be given up.
    pub(super) serving: Option<(Ticket, Answer)>,
    active: bool,
    round: u64,
    /// Writes of the round under way.
    expected: usize,
    waiting: Option<Waiting>,
    tasks: Vec<Task>,
    queue: VecDeque<Event>,
    queued_changes: BTreeSet<Change>,
}

impl Machine {
    /// A machine that is not the controller.
    pub fn new(config: Config) -> Machine {
        Machine {
            config,
            context: Context::default(),
            now: Timestamp::default(),
            out: Output::default(),
            elected: Vec::new(),
            unclean_elections: 0,
            serving: None,
            active: false,
            round: 0,
            expected: 0,
            waiting: None,
            tasks: Vec::new(),
            queue: VecDeque::new(),
            queued_changes: BTreeSet::new(),
        }
    }

    /// Takes one input and goes as far as it can without the store.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Output {
        self.now = now;
        match input {
            Input::Elected { epoch } => self.become_controller(epoch),
            Input::Deposed => self.resign(),
            Input::Request(ticket, request) if !self.active => {
                self.out.replies.push((ticket, request.refuse(ErrorCode::NotController)));
            }
            _ if !self.active => {}
            Input::Change(change) => {
                if self.queued_changes.insert(change.clone()) {
                    self.queue.push_back(Event::Change(change));
                }
            }
            Input::Request(ticket, request) => self.queue.push_back(Event::Request(ticket, request)),
            Input::Replied { broker, broker_epoch, reply } => {
                self.queue.push_back(Event::Replied { broker, broker_epoch, reply });
            }
            Input::Timer(timer) => self.queue.push_back(Event::Timer(timer)),
            Input::Stored { round, results } => {
                if let Some(waiting) = self.end_round(round) {
                    if results.len() == self.expected {
                        self.stored(waiting, results);
                    } else {
                        self.give_up("the store did not answer every write");
                    }
                }
            }
            Input::Loaded { round, data } => {
                if let Some(waiting) = self.end_round(round) {
                    match data {
                        Ok(data) => {
                            if !self.loaded(waiting, data) {
                                self.give_up("an answer of the store does not fit what was read");
                            }
                        }
                        Err(reason) => self.give_up(&reason),
                    }
                }
            }
        }
        self.run();
        self.out.round = self.round;
        std::mem::take(&mut self.out)
    }

    /// What is known of the cluster; empty while not the controller.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether this broker is the controller.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether nothing is under way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.tasks.is_empty() && self.queue.is_empty()
    }

    /// Numbers for metrics. Looks at every partition.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            active_controllers: usize::from(self.active),
            active_brokers: self.context.brokers.len(),
            topics: self.context.topics().len(),
            reassigning_partitions: self.context.reassigning().len(),
            topics_to_delete: self.context.deleting.len(),
            ineligible_topics_to_delete: self.context.deleting.values().filter(|d| d.ineligible).count(),
            queued_events: self.queue.len(),
            unclean_elections: self.unclean_elections,
            ..Counts::default()
        };
        for (name, topic) in self.context.topics() {
            let deleting = self.context.is_deleting(name);
            for partition in topic.partitions() {
                let Some(leadership) = &partition.leadership else { continue };
                counts.partitions += 1;
                let offline = partition.state == super::partition_state::PartitionState::Offline;
                counts.offline_partitions += usize::from(offline && !deleting);
                let preferred = partition.assignment.replicas.first();
                counts.imbalanced_partitions +=
                    usize::from(preferred != Some(&leadership.leader) && !deleting);
            }
        }
        counts
    }

    fn run(&mut self) {
        while self.active && self.waiting.is_none() {
            if let Some(task) = self.tasks.pop() {
                self.perform(task);
                continue;
            }
            self.serving = None;
            let Some(event) = self.queue.pop_front() else { return };
            self.begin(event);
        }
    }

    fn begin(&mut self, event: Event) {
        match event {
            Event::Change(change) => {
                self.queued_changes.remove(&change);
                self.begin_change(change);
            }
            Event::Request(ticket, request) => {
                self.serving = Some((ticket, request.refuse(ErrorCode::NotController)));
                self.begin_request(ticket, request);
            }
            Event::Replied { broker, broker_epoch, reply } => {
                // The answer of a broker's earlier life says nothing about this one.
                if self.context.brokers.get(&broker).is_some_and(|known| known.epoch == broker_epoch) {
                    self.begin_reply(broker, reply);
                }
            }
            Event::Timer(Timer::Rebalance) => self.rebalance(),
        }
    }

    /// Changes of this kind that wait next in line, to be read together.
    pub(super) fn take_topic_changes(&mut self) -> Vec<std::sync::Arc<str>> {
        let mut topics = Vec::new();
        while let Some(Event::Change(change @ Change::Topic(topic))) = self.queue.front() {
            topics.push(topic.clone());
            self.queued_changes.remove(change);
            self.queue.pop_front();
        }
        topics
    }

    /// Puts tasks before all others, the first of them next.
    pub(super) fn first(&mut self, tasks: impl IntoIterator<IntoIter: DoubleEndedIterator<Item = Task>>) {
        self.tasks.extend(tasks.into_iter().rev());
    }

    /// Opens a round of writes.
    pub(super) fn wait_store(&mut self, ops: Vec<StoreOp>, waiting: Waiting) {
        self.expected = ops.len();
        self.out.store = ops;
        self.open_round(waiting);
    }

    /// Opens a round of reads.
    pub(super) fn wait_read(&mut self, ops: Vec<ReadOp>, waiting: Waiting) {
        self.out.read = ops;
        self.open_round(waiting);
    }

    fn open_round(&mut self, waiting: Waiting) {
        debug_assert!(self.waiting.is_none(), "one round at a time");
        self.round += 1;
        self.waiting = Some(waiting);
    }

    fn end_round(&mut self, round: u64) -> Option<Waiting> {
        if round == self.round { self.waiting.take() } else { None }
    }

    /// Sends a batch: all it tells has been stored.
    pub(super) fn flush(&mut self, batch: Batch) {
        let (id, listener) = (self.config.broker_id, &self.config.inter_broker_listener);
        batch.flush(&self.context, id, listener, &mut self.out.send);
    }

    fn become_controller(&mut self, epoch: i32) {
        self.resign();
        self.active = true;
        self.context.epoch = epoch;
        self.fail_over();
    }

    /// Stops being the controller at once, whatever is under way.
    fn resign(&mut self) {
        if !self.active {
            return;
        }
        self.active = false;
        self.waiting = None;
        // Results of a round under way must find no taker, even after a new election.
        self.round += 1;
        self.tasks.clear();
        self.context = Context::default();
        self.elected.clear();
        self.out.store.clear();
        self.out.read.clear();
        self.out.send.clear();
        self.out.channels.clear();
        self.out.timers.clear();
        self.out.resigned = true;
        self.out.replies.extend(self.serving.take());
        for event in std::mem::take(&mut self.queue) {
            if let Event::Request(ticket, request) = event {
                self.out.replies.push((ticket, request.refuse(ErrorCode::NotController)));
            }
        }
        self.queued_changes.clear();
    }

    /// The store cannot be read, so nothing here can be trusted: make way for a controller that starts afresh.
    pub(super) fn give_up(&mut self, reason: &str) {
        tracing::error!(reason, "the controller gives up its office");
        self.resign();
        self.out.store.push(StoreOp::DeleteController);
    }
}
