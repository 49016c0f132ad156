//! Random members, clients and failures, by seed. What must hold, whatever happens:
//!
//! - every request is answered exactly once (the bench checks);
//! - one leader assigns in a generation, and an assignment that a member was given is never replaced within it;
//! - a partition has one owner per generation, and a member's generations never fall under one coordinator;
//! - what was acknowledged to be committed is read from then on, and reads never go back;
//! - when all clients are gone the group is empty, and a shard loaded from the log shows the same.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ottla::coordinator::group::{
    Command, CommitPartition, CommitTopic, GroupConfig, Heartbeat, JoinGroup, JoinGroupReply, LeaveGroup,
    LeavingMember, OffsetCommit, OffsetFetch, Protocol, Reply, SyncGroup,
};
use ottla::coordinator::shard::Ticket;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::Uuid;

use super::bench::Bench;
use super::print;

/// Partitions of the topic that the group shares.
const PARTITIONS: usize = 4;

#[derive(Default)]
struct Client {
    instance: Option<String>,
    version: i32,
    member_id: String,
    generation: i32,
    /// The members, if this client leads its generation.
    led: Vec<String>,
    /// Whether it has its assignment, and what it was given.
    synced: bool,
    owned: Vec<usize>,
}

struct Churn {
    bench: Bench,
    random: fastrand::Rng,
    clients: Vec<Client>,
    waiting: HashMap<Ticket, (usize, Asked)>,
    coordinators: u32,
    /// Who assigns, by coordinator and generation.
    assigners: HashMap<(u32, i32), String>,
    /// The leader whose assignment was handed out, by generation.
    handed_out: BTreeMap<i32, String>,
    /// The client that was given a partition, by generation.
    owners: HashMap<(i32, usize), usize>,
    next_value: i64,
    acknowledged: [i64; PARTITIONS],
    read: [i64; PARTITIONS],
    stable_joins: u32,
}

enum Asked {
    Join,
    Sync,
    Heartbeat,
    /// Values by partition; the generation they are sent in, and the newest one known to be in use.
    Commit(Vec<(usize, i64)>, i32, i32),
    Fetch,
    Leave,
}

impl Churn {
    fn new(seed: u64) -> Churn {
        let mut random = fastrand::Rng::with_seed(seed);
        let config = GroupConfig {
            initial_rebalance_delay_ms: random.choice([0, 3_000]).expect("one of two"),
            max_size: random.choice([3, 100]).expect("one of two"),
            ..GroupConfig::default()
        };
        let client = |index: usize| Client {
            instance: index.is_multiple_of(3).then(|| format!("i{index}")),
            version: random.i32(3..=9),
            ..Client::default()
        };
        let clients = (0..6).map(client).collect();
        Churn {
            bench: Bench::new(config),
            random,
            clients,
            waiting: HashMap::new(),
            coordinators: 0,
            assigners: HashMap::new(),
            handed_out: BTreeMap::new(),
            owners: HashMap::new(),
            next_value: 0,
            acknowledged: [-1; PARTITIONS],
            read: [-1; PARTITIONS],
            stable_joins: 0,
        }
    }

    fn step(&mut self) {
        match self.random.u32(0..400) {
            0..=199 => self.proceed(),
            200..=249 => self.heartbeat(),
            250..=299 => self.commit(),
            300..=319 => self.fetch(),
            320..=374 => {
                let ms = self.random.choice([0, 10, 1_000, 3_000, 12_000]).expect("one of five");
                self.bench.sleep(ms);
            }
            375..=379 => self.leave(),
            // A process is replaced by a new one that knows nothing.
            380..=383 => {
                let index = self.random.usize(0..self.clients.len());
                let old = std::mem::take(&mut self.clients[index]);
                self.clients[index] =
                    Client { instance: old.instance, version: old.version, ..Client::default() };
                self.waiting.retain(|_, (waiter, _)| *waiter != index);
            }
            384..=385 => self.bench.hold = true,
            386..=388 => {
                let up_to = self.random.i64(0..=self.bench.log.len() as i64);
                self.bench.commit(up_to);
            }
            389..=393 => {
                self.bench.hold = false;
                self.bench.commit(self.bench.log.len() as i64);
            }
            394 => self.bench.refuse = Some(ErrorCode::NotEnoughReplicas),
            395..=397 => self.bench.refuse = None,
            _ => self.fail_over(),
        }
        self.take_answers();
    }

    fn fail_over(&mut self) {
        let uncommitted = self.bench.log.len() - self.bench.high_watermark as usize;
        let lost = self.random.usize(0..=uncommitted);
        self.bench.fail_over(lost);
        self.coordinators += 1;
        for client in &mut self.clients {
            client.led.clear();
        }
    }

    fn send(&mut self, index: usize, asked: Asked, command: Command) {
        let ticket = self.bench.send(command);
        self.waiting.insert(ticket, (index, asked));
    }

    /// A client does what a client does next: joins, syncs, or joins again.
    fn proceed(&mut self) {
        let index = self.random.usize(0..self.clients.len());
        let client = &self.clients[index];
        let mut asked = self.waiting.values().filter(|(waiter, _)| *waiter == index).map(|(_, asked)| asked);
        let waits = asked.any(|asked| matches!(asked, Asked::Join | Asked::Sync));
        if (waits || client.synced) && self.random.u32(0..20) > 0 {
            return;
        }
        if client.generation > 0 && !client.synced && self.random.u32(0..10) > 0 {
            let assign = |(place, id): (usize, &String)| {
                let owned: Vec<_> =
                    (0..PARTITIONS).filter(|partition| partition % client.led.len() == place).collect();
                let owned = owned.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
                (id.clone(), Bytes::from(format!("{}@{}@{owned}", client.generation, client.member_id)))
            };
            let command = Command::SyncGroup(SyncGroup {
                group_id: "g".into(),
                generation_id: client.generation,
                member_id: client.member_id.clone(),
                group_instance_id: client.instance.clone(),
                require_protocol: false,
                protocol_type: None,
                protocol_name: None,
                assignments: client.led.iter().enumerate().map(assign).collect(),
            });
            return self.send(index, Asked::Sync, command);
        }
        let mut fresh_id = Uuid::ZERO;
        fresh_id.0.copy_from_slice(&self.random.u128(..).to_be_bytes());
        let metadata = if self.random.u32(0..10) == 0 { "changed" } else { "same" };
        let command = Command::JoinGroup(JoinGroup {
            group_id: "g".into(),
            member_id: client.member_id.clone(),
            group_instance_id: client.instance.clone(),
            require_known_member_id: client.version >= 4 && client.instance.is_none(),
            supports_skip_assignment: client.version >= 9,
            client_id: format!("c{index}"),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 20_000,
            session_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "range".into(), metadata: metadata.into() }],
            fresh_id,
        });
        self.send(index, Asked::Join, command);
    }

    fn heartbeat(&mut self) {
        let index = self.random.usize(0..self.clients.len());
        let client = &self.clients[index];
        let command = Command::Heartbeat(Heartbeat {
            group_id: "g".into(),
            generation_id: client.generation,
            member_id: client.member_id.clone(),
            group_instance_id: client.instance.clone(),
        });
        self.send(index, Asked::Heartbeat, command);
    }

    fn commit(&mut self) {
        let index = self.random.usize(0..self.clients.len());
        let client = &self.clients[index];
        self.next_value += 1;
        let values: Vec<_> = client.owned.iter().map(|partition| (*partition, self.next_value)).collect();
        let partition = |(partition, offset): &(usize, i64)| CommitPartition {
            partition: *partition as i32,
            offset: *offset,
            leader_epoch: -1,
            metadata: None,
            commit_timestamp: None,
        };
        let partitions = values.iter().map(partition).collect();
        // Now and then one that has slept through a generation.
        let generation = client.generation - i32::from(client.generation > 1 && self.random.u32(0..10) == 0);
        let newest = self.handed_out.last_key_value().map_or(0, |(generation, _)| *generation);
        let command = Command::OffsetCommit(OffsetCommit {
            group_id: "g".into(),
            generation_id: generation,
            member_id: client.member_id.clone(),
            group_instance_id: client.instance.clone(),
            retention_ms: None,
            transaction: None,
            topics: vec![CommitTopic { name: "t".into(), partitions }],
        });
        if !values.is_empty() {
            self.send(index, Asked::Commit(values, generation, newest), command);
        }
    }

    fn fetch(&mut self) {
        let topics = Some(vec![("t".into(), (0..PARTITIONS as i32).collect())]);
        let command = OffsetFetch { group_id: "g".into(), topics, require_stable: self.random.bool() };
        self.send(0, Asked::Fetch, Command::OffsetFetch(command));
    }

    fn leave(&mut self) {
        let index = self.random.usize(0..self.clients.len());
        let client = &self.clients[index];
        let by_instance = client.instance.is_some() && self.random.bool();
        let member_id = if by_instance { String::new() } else { client.member_id.clone() };
        let member = LeavingMember { member_id, group_instance_id: client.instance.clone() };
        let command = LeaveGroup { group_id: "g".into(), members: vec![member] };
        self.send(index, Asked::Leave, Command::LeaveGroup(command));
    }

    fn take_answers(&mut self) {
        for (_, ticket, reply) in std::mem::take(&mut self.bench.answered) {
            // A client that was replaced meanwhile no longer listens.
            let Some((index, asked)) = self.waiting.remove(&ticket) else { continue };
            match (asked, reply) {
                (Asked::Join, Reply::JoinGroup(join)) => self.joined(index, join),
                (Asked::Sync, Reply::SyncGroup(sync)) if sync.error.is_none() => {
                    self.synced(index, std::str::from_utf8(&sync.assignment).expect("text"));
                }
                (Asked::Sync, Reply::SyncGroup(sync)) => self.failed(index, sync.error),
                (Asked::Heartbeat, Reply::Heartbeat(ErrorCode::RebalanceInProgress)) => {
                    self.failed(index, ErrorCode::RebalanceInProgress);
                }
                (Asked::Heartbeat, Reply::Heartbeat(error)) => self.failed(index, error),
                (Asked::Commit(values, generation, newest), Reply::OffsetCommit(topics)) => {
                    for ((partition, value), (_, error)) in values.into_iter().zip(&topics[0].partitions) {
                        if error.is_none() {
                            assert!(generation >= newest, "a commit of generation {generation} in {newest}");
                            self.acknowledged[partition] = self.acknowledged[partition].max(value);
                        }
                    }
                }
                (Asked::Fetch, Reply::OffsetFetch(_, topics)) => {
                    for one in topics[0].partitions.iter().filter(|one| one.error.is_none()) {
                        let partition = one.partition as usize;
                        assert!(
                            one.offset >= self.read[partition],
                            "{partition} went back to {}",
                            one.offset
                        );
                        assert!(
                            one.offset >= self.acknowledged[partition],
                            "a commit of {partition} is lost"
                        );
                        self.read[partition] = one.offset;
                    }
                }
                (Asked::Leave, Reply::LeaveGroup(leave)) => assert!(leave.error.is_none()),
                (_, reply) => panic!("an answer to something else: {}", print::reply(&reply)),
            }
        }
    }

    fn failed(&mut self, index: usize, error: ErrorCode) {
        let client = &mut self.clients[index];
        client.synced &= error.is_none();
        match error {
            ErrorCode::None => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                client.member_id.clear();
                client.generation = 0;
            }
            _ => client.generation = 0,
        }
    }

    fn joined(&mut self, index: usize, join: JoinGroupReply) {
        let client = &mut self.clients[index];
        client.owned.clear();
        client.led.clear();
        client.synced = false;
        if !join.error.is_none() {
            match join.error {
                ErrorCode::MemberIdRequired => client.member_id = join.member_id.to_string(),
                error => self.failed(index, error),
            }
            return;
        }
        if *client.member_id == *join.member_id && client.generation > 0 {
            assert!(
                join.generation_id >= client.generation || self.coordinators > 0,
                "{} fell from generation {} to {}",
                client.member_id,
                client.generation,
                join.generation_id
            );
        }
        client.member_id = join.member_id.to_string();
        client.generation = join.generation_id;
        if !join.members.is_empty() && !join.skip_assignment {
            assert_eq!(join.leader, join.member_id, "only the leader gets the members");
            client.led = join.members.iter().map(|member| member.member_id.to_string()).collect();
            let key = (self.coordinators, join.generation_id);
            let known = self.assigners.entry(key).or_insert_with(|| client.member_id.clone());
            assert_eq!(*known, client.member_id, "two leaders of generation {}", join.generation_id);
        }
    }

    fn synced(&mut self, index: usize, assignment: &str) {
        let client = &mut self.clients[index];
        client.owned.clear();
        client.synced = true;
        let mut parts = assignment.split('@');
        let (Some(generation), Some(leader), Some(owned)) = (parts.next(), parts.next(), parts.next()) else {
            return;
        };
        let generation: i32 = generation.parse().expect("a generation");
        self.stable_joins += 1;
        let known = self.handed_out.entry(generation).or_insert_with(|| leader.to_owned());
        assert_eq!(known, leader, "generation {generation} was assigned twice");
        for partition in owned.split(',').filter(|text| !text.is_empty()) {
            let partition: usize = partition.parse().expect("a partition");
            let owner = *self.owners.entry((generation, partition)).or_insert(index);
            assert_eq!(owner, index, "{partition} has two owners in generation {generation}");
            client.owned.push(partition);
        }
    }

    /// Everybody is gone: the group empties, and the log holds all there is to know.
    fn finish(&mut self) {
        self.bench.check();
        self.take_answers();
        let ask = |bench: &mut Bench, command: Command| {
            bench.send(command);
            print::reply(&bench.answered.pop().expect("an answer").2)
        };
        let fetch =
            || Command::OffsetFetch(OffsetFetch { group_id: "g".into(), topics: None, require_stable: true });
        let state = ask(&mut self.bench, Command::DescribeGroup("g".into()));
        let offsets = ask(&mut self.bench, fetch());
        assert!(state.contains("\"Empty\"") || state.contains("\"Dead\""), "{state}");
        assert!(!offsets.contains("UNSTABLE"), "{offsets}");
        self.bench.load();
        assert_eq!(ask(&mut self.bench, fetch()), offsets, "a new coordinator reads the same offsets");
        let counts = self.bench.shard.counts();
        assert_eq!(counts.offset_expirations, 0);
    }
}

#[test]
fn churn_keeps_the_invariants() {
    let start = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let seeds = start.map_or(0..150, |seed| seed..seed + 1);
    let mut stable_joins = 0;
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let mut churn = Churn::new(seed);
            for _ in 0..1_500 {
                churn.step();
            }
            churn.finish();
            churn.stable_joins
        });
        stable_joins += run.unwrap_or_else(|_| panic!("run again with SEED={seed}"));
    }
    assert!(start.is_some() || stable_joins > 3_000, "only {stable_joins} assignments: nothing was tested");
}
