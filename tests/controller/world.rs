//! A model cluster around the machine: the store of `store`, brokers that answer, and the checks that hold at every
//! step: nothing is sent that is not stored, and replicas hear LeaderAndIsr before anyone hears UpdateMetadata.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ottla::clock::Timestamp;
use ottla::controller::context::{Assignment, Broker, Leadership};
use ottla::controller::event::{
    AlterPartition, AlterTopic, Answer, Change, Channel, Input, Output, Reply, Request, Ticket, Timer,
    TopicRef, WantedIsr,
};
use ottla::controller::machine::{Config, Machine};
use ottla::controller::outbox::{Addressed, ControlRequest};
use ottla::controller::store::{StoreOp, StoreResult, TopicRecord};
use ottla::metadata::image::{BrokerImage, Endpoint, Image, PartitionImage};
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::TopicPartition;

use crate::store::Store;
use crate::words::{describe, placed, shown};

pub fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub fn config() -> Config {
    Config {
        broker_id: 1,
        inter_broker_listener: "PLAINTEXT".to_owned(),
        delete_topics: true,
        topic_ids: true,
        leader_recovery: true,
        features: true,
        feature_version: 2,
        rebalance: false,
        rebalance_interval_ms: 300_000,
        imbalance_percentage: 10,
    }
}

/// What a broker has heard.
#[derive(Default)]
pub struct Peer {
    pub image: Image,
    /// Leader epoch of the last LeaderAndIsr for each of its partitions.
    pub epochs: BTreeMap<TopicPartition, i32>,
    /// Replicas in a failed directory.
    pub failed: BTreeSet<TopicPartition>,
    /// Whether it refuses to delete logs.
    pub refuses_deletion: bool,
}

/// The cluster.
pub struct World {
    pub machine: Machine,
    pub store: Store,
    pub peers: BTreeMap<i32, Peer>,
    pub transcript: Vec<String>,
    pub answers: Vec<(Ticket, Answer)>,
    pub timers: Vec<(Timer, Timestamp)>,
    pub inbox: VecDeque<Input>,
    /// Results and replies are kept back until [`World::release`].
    pub hold: bool,
    held: VecDeque<Input>,
    pub now: Timestamp,
    pub record: bool,
    /// Shows the transcript as it grows.
    pub print: bool,
    epoch: i32,
    zxid: i64,
    tickets: u64,
    announced: BTreeSet<(TopicPartition, i32)>,
    /// The controller epoch whose first UpdateMetadata each broker has had.
    first_word: BTreeMap<i32, i32>,
}

impl World {
    /// Brokers 1 to `brokers` registered, nobody elected.
    pub fn with_brokers(brokers: i32) -> World {
        let mut world = World {
            machine: Machine::new(config()),
            store: Store::default(),
            peers: BTreeMap::new(),
            transcript: Vec::new(),
            answers: Vec::new(),
            timers: Vec::new(),
            inbox: VecDeque::new(),
            hold: false,
            held: VecDeque::new(),
            now: Timestamp(1_000),
            record: true,
            print: false,
            epoch: 0,
            zxid: 100,
            tickets: 0,
            announced: BTreeSet::new(),
            first_word: BTreeMap::new(),
        };
        for id in 1..=brokers {
            world.register(id);
        }
        world
    }

    /// As above, with the machine elected and settled and an empty transcript.
    pub fn elected(brokers: i32) -> World {
        let mut world = World::with_brokers(brokers);
        world.elect();
        world.run();
        world.transcript.clear();
        world
    }

    pub fn register(&mut self, id: i32) {
        self.zxid += 1;
        let endpoint = Endpoint {
            listener: "PLAINTEXT".into(),
            host: format!("h{id}").into(),
            port: 9092,
            security_protocol: 0,
        };
        let image = BrokerImage { id, endpoints: vec![endpoint], rack: None };
        self.store.brokers.insert(id, Broker { epoch: self.zxid, image });
        self.peers.insert(id, Peer::default());
    }

    pub fn up(&mut self, id: i32) {
        self.register(id);
        self.change(Change::Brokers);
    }

    pub fn down(&mut self, id: i32) {
        self.store.brokers.remove(&id);
        self.peers.remove(&id);
        self.change(Change::Brokers);
    }

    pub fn elect(&mut self) {
        self.epoch += 1;
        self.inbox.push_back(Input::Elected { epoch: self.epoch });
    }

    /// Another machine takes over; the old one hears nothing any more.
    pub fn fail_over(&mut self) {
        self.machine = Machine::new(config());
        self.inbox.clear();
        self.held.clear();
        self.elect();
    }

    pub fn change(&mut self, change: Change) {
        self.inbox.push_back(Input::Change(change));
    }

    pub fn create(&mut self, topic: &str, assignment: &[&[i32]]) {
        let partitions =
            assignment.iter().enumerate().map(|(n, r)| (n as i32, Assignment::of((*r).into()))).collect();
        let topic: Arc<str> = topic.into();
        self.store.topics.insert(topic.clone(), TopicRecord { topic, id: None, partitions });
        self.change(Change::Topics);
    }

    pub fn delete(&mut self, topic: &str) {
        self.store.deletions.insert(topic.into());
        self.change(Change::Deletions);
    }

    pub fn ask(&mut self, request: Request) -> Ticket {
        self.tickets += 1;
        self.inbox.push_back(Input::Request(Ticket(self.tickets), request));
        Ticket(self.tickets)
    }

    pub fn answer(&self, ticket: Ticket) -> Option<&Answer> {
        self.answers.iter().find(|(of, _)| *of == ticket).map(|(_, answer)| answer)
    }

    /// Runs until nothing is left to happen.
    pub fn run(&mut self) {
        let mut ticks = 0;
        while self.tick() {
            ticks += 1;
            assert!(ticks < 1_000_000, "goes round in circles: {:?}", self.inbox);
        }
        assert!(self.hold || self.machine.is_idle(), "stuck: {:?}", self.machine);
    }

    /// Handles one input; false if there is none.
    pub fn tick(&mut self) -> bool {
        let Some(input) = self.inbox.pop_front() else { return false };
        let output = self.machine.step(self.now, input);
        self.take(output);
        true
    }

    /// Lets what was held go.
    pub fn release(&mut self) {
        self.hold = false;
        self.inbox.append(&mut self.held);
    }

    fn answer_with(&mut self, input: Input) {
        if self.hold { self.held.push_back(input) } else { self.inbox.push_back(input) }
    }

    pub fn take(&mut self, output: Output) {
        if output.resigned {
            self.note("resigned".to_owned());
        }
        for channel in &output.channels {
            let (Channel::Open(Broker { image: BrokerImage { id, .. }, .. }) | Channel::Close(id)) = channel;
            let verb = if matches!(channel, Channel::Open(_)) { "open" } else { "close" };
            self.note(format!("{verb} {id}"));
        }
        for addressed in output.send {
            self.deliver(addressed);
        }
        for (ticket, answer) in output.replies {
            self.note(format!("answer {}", ticket.0));
            self.answers.push((ticket, answer));
        }
        self.timers.extend(output.timers);
        assert!(output.store.is_empty() || output.read.is_empty(), "one kind of round");
        let round = output.round;
        if !output.store.is_empty() {
            let last = matches!(output.store[..], [StoreOp::DeleteController]);
            let results = output.store.iter().map(|op| self.write(op)).collect();
            if !last {
                self.answer_with(Input::Stored { round, results });
            }
        }
        if !output.read.is_empty() {
            let data = Ok(output.read.iter().map(|op| self.store.read(op)).collect());
            self.answer_with(Input::Loaded { round, data });
        }
    }

    fn write(&mut self, op: &StoreOp) -> StoreResult {
        let result = self.store.write(op);
        if self.record {
            let verdict = match result {
                StoreResult::BadVersion => " BadVersion",
                StoreResult::NodeExists => " NodeExists",
                _ => "",
            };
            let line = match op {
                StoreOp::CreatePartitionState { partition, state } => {
                    format!("create {partition} {}", shown(state))
                }
                StoreOp::UpdatePartitionState { partition, state } => {
                    format!("update {partition} {}", shown(state))
                }
                StoreOp::AddTopicId { topic, .. } => format!("add id {topic}"),
                StoreOp::SetTopicAssignment { topic, .. } => format!("restore {topic}"),
                StoreOp::PlaceReplicas { topic, partitions } => {
                    let placed: Vec<String> = partitions.iter().map(placed).collect();
                    format!("place {topic} {}", placed.join("; "))
                }
                StoreOp::KeepReassignments(left) => format!("keep {} wishes", left.len()),
                StoreOp::ForgetElections => "forget elections".to_owned(),
                StoreOp::DeleteTopic(topic) => format!("delete {topic}"),
                StoreOp::DeleteDeletionMarker(topic) => format!("unmark {topic}"),
                StoreOp::DeleteNotifications(kind, _) => format!("clear {kind:?}"),
                StoreOp::SetFeature { .. } => "set feature".to_owned(),
                StoreOp::SetProducerIds { block, .. } => format!("block {}..{}", block.start, block.end),
                StoreOp::DeleteController => "delete controller".to_owned(),
            };
            self.note(line + verdict);
        }
        // The controller's own writes come back through its watches.
        match op {
            StoreOp::PlaceReplicas { topic, .. } => self.change(Change::Topic(topic.clone())),
            StoreOp::KeepReassignments(_) => self.change(Change::ReassignmentWishes),
            StoreOp::ForgetElections => self.change(Change::ElectionWishes),
            _ => {}
        }
        result
    }

    fn deliver(&mut self, sent: Addressed) {
        assert_eq!(sent.controller_epoch, self.epoch, "sent under an old epoch");
        let Some(known) =
            self.store.brokers.get(&sent.broker).filter(|known| known.epoch == sent.broker_epoch)
        else {
            return; // to an earlier life of the broker: lost on the way
        };
        let (broker, broker_epoch) = (sent.broker, known.epoch);
        let lines = if self.record { describe(&sent) } else { None };
        if let Some(line) = lines {
            self.note(line);
        }
        let reply = match &sent.request {
            ControlRequest::LeaderAndIsr(request) => {
                let mut errors = Vec::new();
                for topic in &request.topics {
                    assert_eq!(self.machine.context().topic_name(topic.id), Some(&topic.name));
                    for entry in &topic.partitions {
                        let partition = TopicPartition::new(topic.name.clone(), entry.index);
                        self.check_leader_listed(entry.leadership.leader, &request.live_leaders);
                        self.check_stored(&partition, &entry.leadership);
                        assert!(
                            entry.assignment.replicas.contains(&broker),
                            "{partition} is not on {broker}"
                        );
                        let code = self.peer(broker).follow(&partition, entry.leadership.leader_epoch);
                        errors.push((TopicRef::Id(topic.id), entry.index, code));
                    }
                }
                Some(Reply::LeaderAndIsr { error: ErrorCode::None, partitions: errors })
            }
            ControlRequest::UpdateMetadata(update) => {
                // The first word of a new controller repeats what earlier ones decided, told or not.
                let epoch = self.epoch;
                let first = self.first_word.insert(broker, epoch) != Some(epoch);
                for topic in &update.topics {
                    let own = |image: &&PartitionImage| !first || image.controller_epoch == epoch;
                    for image in topic.partitions.iter().filter(|image| image.leader >= 0).filter(own) {
                        let partition = TopicPartition::new(topic.name.clone(), image.index);
                        let alive: Vec<i32> = update.brokers.iter().map(|broker| broker.id).collect();
                        self.check_announced(&partition, image, &alive);
                    }
                }
                let peer = self.peer(broker);
                peer.image = peer.image.apply(update).image;
                None
            }
            ControlRequest::StopReplica(request) => {
                let peer = self.peer(broker);
                let mut partitions = Vec::new();
                for (topic, entries) in &request.topics {
                    for entry in entries {
                        let partition = TopicPartition::new(topic.clone(), entry.index);
                        let refused = entry.delete && peer.refuses_deletion;
                        if !refused {
                            peer.epochs.remove(&partition);
                        }
                        let code = if refused { ErrorCode::KafkaStorageError } else { ErrorCode::None };
                        partitions.push((partition, code));
                    }
                }
                Some(Reply::StopReplica { request: request.clone(), error: ErrorCode::None, partitions })
            }
        };
        if let Some(reply) = reply {
            self.answer_with(Input::Replied { broker, broker_epoch, reply });
        }
    }

    fn peer(&mut self, id: i32) -> &mut Peer {
        self.peers.get_mut(&id).expect("registered")
    }

    /// A follower must be able to reach its leader, whether or not it has seen metadata.
    fn check_leader_listed(&self, leader: i32, live_leaders: &[(i32, Endpoint)]) {
        let registered = self.machine.context().brokers.contains_key(&leader);
        let listed =
            live_leaders.iter().any(|(id, endpoint)| *id == leader && *endpoint.host == *format!("h{id}"));
        assert!(listed || !registered, "{leader} leads but is not in {live_leaders:?}");
    }

    /// Nothing may be sent that is not in the store.
    fn check_stored(&self, partition: &TopicPartition, sent: &Leadership) {
        let Some(stored) = self.store.states.get(partition) else {
            panic!("{partition} was sent but never stored");
        };
        assert!(sent.leader_epoch <= stored.leader_epoch, "{partition}: {sent:?} sent, {stored:?} stored");
        if sent.partition_epoch == stored.partition_epoch {
            assert_eq!((sent.leader, &sent.isr), (stored.leader, &stored.isr), "{partition}");
        }
    }

    /// Before anyone hears of a leader epoch, every live member of the ISR has it.
    fn check_announced(&mut self, partition: &TopicPartition, image: &PartitionImage, alive: &[i32]) {
        if !self.announced.insert((partition.clone(), image.leader_epoch)) {
            return;
        }
        // A member that a reassignment takes away is stopped instead.
        let expected =
            |id: &&i32| alive.contains(id) && !image.offline.contains(id) && image.replicas.contains(id);
        for id in image.isr.iter().filter(expected) {
            let Some(peer) = self.peers.get(id) else { continue };
            // A restarted broker the machine has not noticed yet, or a directory not known to have failed: lost on the way.
            let noticed = self.machine.context().brokers.get(id).map(|broker| broker.epoch);
            let current = noticed == Some(self.store.brokers[id].epoch) && !peer.failed.contains(partition);
            let knows = peer.epochs.get(partition).copied();
            assert!(
                !current || knows >= Some(image.leader_epoch),
                "{partition} {image:?}: {id} has {knows:?}"
            );
        }
    }

    fn note(&mut self, line: String) {
        if self.print {
            eprintln!("{line}");
        }
        if self.record {
            self.transcript.push(line);
        }
    }

    /// The transcript since the last call.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.transcript)
    }

    /// The leader takes every live replica that it was told of into the ISR.
    pub fn catch_up(&mut self, partition: &TopicPartition) {
        let state = self.store.states[partition].clone();
        let Some(known) = self.machine.context().partition(partition) else { return };
        let able = |id: &i32| {
            let told = self.peers.get(id).is_some_and(|peer| peer.epochs.contains_key(partition));
            told && self.machine.context().is_online(*id, partition)
        };
        let mut isr: Vec<i32> = known.assignment.replicas.iter().copied().filter(able).collect();
        isr.sort_by_key(|id| state.isr.iter().position(|member| member == id).unwrap_or(usize::MAX));
        if self.store.brokers.contains_key(&state.leader) && *isr != *state.isr {
            self.ask_isr(partition, &isr);
        }
    }

    /// The leader asks for this ISR.
    pub fn ask_isr(&mut self, partition: &TopicPartition, isr: &[i32]) -> Ticket {
        let state = self.store.states[partition].clone();
        let wanted = WantedIsr {
            index: partition.partition,
            leader_epoch: state.leader_epoch,
            isr: isr.to_vec(),
            recovering: false,
            partition_epoch: state.partition_epoch,
        };
        let broker = state.leader;
        let broker_epoch = self.store.brokers[&broker].epoch;
        let topic = TopicRef::Id(self.store.topics[&partition.topic].id.expect("given on creation"));
        let topics = vec![AlterTopic { topic, partitions: vec![wanted] }];
        self.ask(Request::AlterPartition(AlterPartition { version: 3, broker, broker_epoch, topics }))
    }

    /// What must hold when nothing is under way.
    pub fn check_settled(&self) {
        let context = self.machine.context();
        for (topic, record) in &self.store.topics {
            for (index, stored) in &record.partitions {
                let known = context.partition(&TopicPartition::new(topic.clone(), *index));
                assert_eq!(known.map(|known| &known.assignment), Some(stored), "{topic}-{index}");
            }
        }
        for (partition, stored) in &self.store.states {
            let Some(known) = context.partition(partition) else { continue };
            let replicas = &known.assignment.replicas;
            assert!(stored.isr.iter().all(|id| replicas.contains(id)), "{partition}: {stored:?}");
            assert!(!stored.isr.is_empty());
            if stored.leader >= 0 {
                assert!(stored.isr.contains(&stored.leader), "{partition}: {stored:?}");
            }
            let held = known.leadership.as_ref().expect("stored, so known");
            assert_eq!(
                (held.leader, held.leader_epoch, &held.isr, held.partition_epoch),
                (stored.leader, stored.leader_epoch, &stored.isr, stored.partition_epoch),
                "{partition}"
            );
            if context.is_deleting(&partition.topic) {
                continue;
            }
            if stored.leader >= 0 {
                assert!(context.is_online_or_leaving(stored.leader, partition), "{partition}: dead leader");
            } else {
                let able = stored.isr.iter().find(|id| context.is_online(**id, partition));
                assert_eq!(able, None, "{partition}: no leader though one could be");
            }
            self.check_peers(partition, stored, replicas);
        }
    }

    fn check_peers(&self, partition: &TopicPartition, stored: &Leadership, replicas: &[i32]) {
        let context = self.machine.context();
        for (id, peer) in &self.peers {
            let image = peer.image.partition(&partition.topic, partition.partition).expect("announced");
            let told = (image.leader, image.leader_epoch, &image.isr, image.zk_version);
            let is = (stored.leader, stored.leader_epoch, &stored.isr, stored.partition_epoch);
            assert_eq!(told, is, "{partition} as {id} sees it");
            assert_eq!(peer.image.brokers().count(), self.store.brokers.len(), "alive as {id} sees it");
            if replicas.contains(id) && context.is_online(*id, partition) {
                assert_eq!(peer.epochs.get(partition), Some(&stored.leader_epoch), "{partition} on {id}");
            }
        }
    }
}

impl Peer {
    fn follow(&mut self, partition: &TopicPartition, leader_epoch: i32) -> ErrorCode {
        if self.failed.contains(partition) {
            return ErrorCode::KafkaStorageError;
        }
        let known = self.epochs.entry(partition.clone()).or_insert(-1);
        if leader_epoch <= *known {
            return ErrorCode::StaleControllerEpoch;
        }
        *known = leader_epoch;
        ErrorCode::None
    }
}
