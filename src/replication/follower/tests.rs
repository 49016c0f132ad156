//! A follower's log beside its leader's: single cases, and both sides of random histories of elections.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::clock::ManualClock;
use crate::metadata::cache::MetadataCache;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::Records;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::protocol::messages::fetch::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use crate::protocol::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use crate::protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use crate::protocol::records::builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::replication::alter_partition::AlterQueue;
use crate::replication::fetcher::machine::{Local, Machine, Step};
use crate::replication::fetcher::requests::{EARLIEST, Request, Settings, Versions};
use crate::replication::partition::{Leadership, PartitionContext};
use crate::storage::log::{Bound, LogContext};
use crate::storage::log_config::LogConfig;
use crate::storage::producer_state::Origin;
use crate::storage::sim_fs::SimFs;

const NOW: Timestamp = Timestamp(10_000);
const ID: Uuid = Uuid([7; 16]);

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// One broker's replica.
struct Replica {
    log: Arc<Log>,
    partition: Arc<Partition>,
}

impl Replica {
    fn new(id: i32) -> Replica {
        let context = Arc::new(LogContext::new(Arc::new(SimFs::new(7))));
        let config = LogConfig { segment_bytes: 600, index_interval_bytes: 100, ..LogConfig::default() };
        let log = Log::create(context, tp(), PathBuf::from("/data/t-0"), Some(ID), Arc::new(config), NOW);
        let log = Arc::new(log.expect("a new log"));
        let context = PartitionContext {
            broker_id: id,
            clock: Arc::new(ManualClock::at(NOW)),
            metadata: Arc::new(MetadataCache::default()),
            lag_max_ms: 30_000,
            alters: AlterQueue::default(),
        };
        let leadership = Leadership {
            role: Role::Follower,
            leader: -1,
            leader_epoch: 0,
            since: 0,
            partition_epoch: 0,
            controller_epoch: 1,
            isr: vec![],
            replicas: vec![1, 2],
        };
        let state = State { leadership, topic_id: ID, log: Some(log.clone()), isr: None };
        Replica { partition: Partition::new(tp(), Arc::new(context), state), log }
    }

    fn follow_in(&self, leader: i32, leader_epoch: i32) -> Start {
        {
            let mut state = self.partition.lock();
            state.leadership.role = Role::Follower;
            (state.leadership.leader, state.leadership.leader_epoch) = (leader, leader_epoch);
        }
        let (found, start) = self.partition.follow_from().expect("a follower with a log");
        assert_eq!(found, leader);
        start
    }

    fn lead_in(&self, leader_epoch: i32) {
        let mut state = self.partition.lock();
        state.leadership.role = Role::Leader;
        state.leadership.leader_epoch = leader_epoch;
        self.log.assign_epoch_at_end(leader_epoch).expect("the epoch is written");
    }

    fn append(&self, leader_epoch: i32, records: &Bytes) {
        self.log.append_as_leader(records, leader_epoch, Origin::Client, NOW).expect("it is appended");
    }

    /// All batches that begin in `from..to`.
    fn bytes(&self, from: i64, to: i64) -> Vec<u8> {
        let mut all = Vec::new();
        let mut at = from;
        while at < to {
            let read = read(&self.log, at, 1);
            at = crate::protocol::records::view::BatchView::parse(&read).expect("a batch").last_offset() + 1;
            all.extend(read);
        }
        all
    }

    fn work(&self, leader_epoch: i32, act: Act) -> Outcome {
        self.partition.follow(&Work { tp: tp(), leader_epoch, act }, NOW)
    }
}

fn read(log: &Log, from: i64, max: usize) -> Vec<u8> {
    let slice = log.read(from, max, Bound::LogEnd, true).expect("it can be read");
    let mut bytes = vec![0; slice.region.as_ref().map_or(0, |region| region.len)];
    if let Some(region) = &slice.region {
        region.file.read_exact_at(&mut bytes, region.position).expect("it can be read");
    }
    bytes
}

fn batch(options: BatchOptions, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        let record = NewRecord { timestamp: NOW.0, key: None, value: Some(value.as_bytes()), headers: &[] };
        builder.append(&record).expect("it fits");
    }
    Bytes::from(builder.finish().expect("a batch"))
}

fn records(values: &[&str]) -> Bytes {
    batch(BatchOptions::default(), values)
}

fn at(base_offset: i64, partition_leader_epoch: i32, values: &[&str]) -> Bytes {
    batch(BatchOptions { base_offset, partition_leader_epoch, ..BatchOptions::default() }, values)
}

fn fetched(fetch_offset: i64, records: Bytes, high_watermark: i64, log_start_offset: i64) -> Act {
    Act::Append(Fetched { fetch_offset, records, high_watermark, log_start_offset })
}

fn ends_at(log_end_offset: i64, last_epoch: Option<i32>) -> Outcome {
    Outcome::Done(Position { log_end_offset, last_epoch })
}

#[test]
fn marks_follow_the_leader_as_far_as_the_own_log_goes() {
    let own = Replica::new(2);
    own.follow_in(1, 3);
    let outcome = own.work(3, fetched(0, at(0, 3, &["a", "b"]), 9, 1));
    assert_eq!(outcome, ends_at(2, Some(3)));
    assert_eq!((own.log.high_watermark(), own.log.log_start_offset()), (2, 1), "not above the own end");
    assert_eq!(own.work(3, fetched(2, at(2, 3, &["c", "d"]), 3, 3)), ends_at(4, Some(3)));
    assert_eq!((own.log.high_watermark(), own.log.log_start_offset()), (3, 3));
    // Nothing new, but the leader has committed more.
    assert_eq!(own.work(3, fetched(4, Bytes::new(), 4, 3)), ends_at(4, Some(3)));
    assert_eq!(own.log.high_watermark(), 4);
    // A start above everything here is not this answer's business: the next fetch is out of range.
    assert_eq!(own.work(3, fetched(4, Bytes::new(), 9, 8)), ends_at(4, Some(3)));
    assert_eq!(own.log.log_start_offset(), 3);
}

#[test]
fn what_comes_late_changes_nothing() {
    let own = Replica::new(2);
    own.follow_in(1, 3);
    own.work(3, fetched(0, at(0, 3, &["a", "b"]), 0, 0));
    let late = || [fetched(2, at(2, 3, &["c"]), 3, 0), Act::CutTo(0), Act::RestartAt(9)];
    own.follow_in(1, 4);
    for act in late() {
        assert!(matches!(own.work(3, act), Outcome::Later(_)), "another term");
    }
    own.lead_in(4);
    for act in late() {
        assert!(matches!(own.work(4, act), Outcome::Later(_)), "it leads now");
    }
    assert_eq!((own.log.log_end_offset(), own.log.log_start_offset()), (2, 0));
    own.follow_in(1, 5);
    // The log has moved on under the answer: the fetcher learns where it stands.
    assert_eq!(own.work(5, fetched(0, at(0, 5, &["x"]), 1, 0)), ends_at(2, Some(4)));
    own.partition.lock().log = None;
    assert!(matches!(own.work(5, Act::CutTo(0)), Outcome::Failed(_)), "the disk is gone");
}

#[test]
fn damage_is_for_later_and_a_broken_order_for_good() {
    let own = Replica::new(2);
    own.follow_in(1, 3);
    let mut damaged = at(0, 3, &["a"]).to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    assert!(matches!(own.work(3, fetched(0, damaged.into(), 1, 0)), Outcome::Later(_)));
    assert_eq!(own.work(3, fetched(0, at(0, 3, &["a", "b"]), 1, 0)), ends_at(2, Some(3)));
    let below = own.work(3, fetched(2, at(1, 3, &["b", "c"]), 1, 0));
    assert!(matches!(below, Outcome::Failed(_)), "{below:?}");
    // A batch that is cut short is left for the next answer.
    let whole = at(2, 3, &["c"]);
    let part = whole.slice(..whole.len() - 1);
    assert_eq!(own.work(3, fetched(2, part, 1, 0)), ends_at(2, Some(3)));
}

#[test]
fn batches_of_a_later_epoch_wait_until_it_is_told() {
    // KAFKA-18723: the leader's log was cut and written anew while the answer was made.
    let own = Replica::new(2);
    own.follow_in(1, 3);
    let mixed = [at(0, 3, &["a"]), at(1, 4, &["b"]), at(2, 3, &["c"])].concat();
    assert_eq!(own.work(3, fetched(0, mixed.into(), 0, 0)), ends_at(1, Some(3)));
}

#[test]
fn an_empty_log_may_begin_inside_a_batch() {
    // KAFKA-6975 (R14): records were deleted up to the middle of the leader's first batch.
    let own = Replica::new(2);
    own.follow_in(1, 3);
    assert_eq!(own.work(3, Act::RestartAt(12)), ends_at(12, None));
    let first = at(10, 3, &["a", "b", "c", "d"]);
    assert_eq!(own.work(3, fetched(12, first, 14, 12)), ends_at(14, Some(3)));
    let offsets = own.log.offsets();
    assert_eq!((offsets.log_start_offset, offsets.high_watermark), (12, 14));
}

#[test]
fn a_producers_past_may_be_gone() {
    // KAFKA-6003 (R16): what the leader took is right, whatever sequence it begins with.
    let own = Replica::new(2);
    own.follow_in(1, 3);
    let options = BatchOptions {
        partition_leader_epoch: 3,
        producer_id: 5,
        producer_epoch: 2,
        base_sequence: 100,
        ..BatchOptions::default()
    };
    assert_eq!(own.work(3, fetched(0, batch(options, &["a"]), 0, 0)), ends_at(1, Some(3)));
}

/// Found by the simulation (seed 302 of its time): records that the leader never had were cut by its raised log start,
/// and their producer's sequence stayed.
#[test]
fn a_log_that_ends_where_its_leaders_starts_may_have_left_it() {
    let of = |base_sequence, values: &[&str]| {
        let options = BatchOptions { producer_id: 9, producer_epoch: 0, base_sequence, ..Default::default() };
        batch(options, values)
    };
    let sequence =
        |replica: &Replica| replica.log.active_producers().first().map(|entry| entry.last_sequence);
    let replica = Replica::new(2);
    replica.lead_in(3);
    replica.append(3, &of(0, &["a", "b", "c"]));
    // Nobody copied it, and others went on: three records of their own, which they have deleted since.
    replica.follow_in(1, 4);
    assert_eq!(replica.work(4, fetched(3, Bytes::new(), 3, 3)), ends_at(3, None));
    assert_eq!((sequence(&replica), replica.log.log_start_offset()), (None, 3));
    // What is committed is known to be the leader's, and so is what came in its own term.
    let known = at(3, 4, &["d"]);
    assert_eq!(replica.work(4, fetched(3, known, 3, 3)), ends_at(4, Some(4)));
    let mut written =
        BatchOptions { producer_id: 9, producer_epoch: 0, base_sequence: 5, ..Default::default() };
    (written.base_offset, written.partition_leader_epoch) = (4, 4);
    assert_eq!(replica.work(4, fetched(4, batch(written, &["e"]), 4, 3)), ends_at(5, Some(4)));
    assert_eq!(replica.work(4, fetched(5, Bytes::new(), 5, 5)), ends_at(5, Some(4)));
    assert_eq!(sequence(&replica), Some(5));
    replica.follow_in(1, 5);
    assert_eq!(replica.work(5, fetched(5, Bytes::new(), 5, 5)), ends_at(5, Some(4)));
    assert_eq!(sequence(&replica), Some(5));
}

#[test]
fn a_restart_moves_every_mark() {
    // KAFKA-9491 (R13).
    let own = Replica::new(2);
    own.follow_in(1, 3);
    own.work(3, fetched(0, at(0, 3, &["a", "b"]), 2, 0));
    assert_eq!(own.work(3, Act::RestartAt(50)), ends_at(50, None));
    let offsets = own.log.offsets();
    assert_eq!((offsets.log_start_offset, offsets.high_watermark, offsets.log_end_offset), (50, 50, 50));
    assert_eq!(own.work(3, fetched(50, at(50, 3, &["c"]), 51, 50)), ends_at(51, Some(3)));
}

#[test]
fn an_epoch_without_records_is_forgotten_by_a_cut_that_removes_nothing() {
    // KAFKA-7415 (R5): it led in 4 and 5, and nobody wrote.
    let own = Replica::new(2);
    own.follow_in(1, 3);
    own.work(3, fetched(0, at(0, 3, &["a", "b"]), 2, 0));
    own.lead_in(4);
    own.lead_in(5);
    let start = own.follow_in(1, 6);
    assert_eq!((start.offset, start.last_epoch), (2, Some(5)));
    let cut = Act::CutAtEpoch { fetch_offset: 2, epoch: 3, end_offset: 2 };
    assert_eq!(own.work(6, cut), ends_at(2, Some(3)));
}

#[test]
fn without_epochs_it_begins_at_the_high_watermark() {
    let own = Replica::new(2);
    let start = own.follow_in(1, 3);
    assert_eq!((start.offset, start.last_epoch, start.leader_epoch, start.topic_id), (0, None, 3, ID));
    own.work(3, fetched(0, at(0, 3, &["a", "b"]), 1, 0));
    let start = own.follow_in(1, 4);
    assert_eq!((start.offset, start.last_epoch), (2, Some(3)));
    own.lead_in(5);
    assert_eq!(own.partition.follow_from(), None);
}

/// A fetcher of one partition, and the other replica's log to answer it.
struct Pull {
    machine: Machine,
    now: Timestamp,
}

impl Pull {
    fn new(start: Start) -> Pull {
        let settings = Settings {
            broker_id: 2,
            versions: Versions::for_protocol("3.9").expect("known"),
            max_wait_ms: 0,
            min_bytes: 1,
            response_max_bytes: 1,
            partition_max_bytes: 200,
            backoff_ms: 10,
        };
        let mut machine = Machine::new(settings);
        machine.add(start);
        Pull { machine, now: Timestamp(0) }
    }

    /// One step; whether it found the follower's log as long as the leader's.
    fn step(&mut self, own: &Replica, leader: &Replica) -> bool {
        let local = |_: &TopicPartition| {
            Some(Local { log_start_offset: own.log.log_start_offset(), is_throttled: false })
        };
        let step = self.machine.next(self.now, 1, false, local);
        let work = match step {
            Step::Do(work) => work,
            Step::Wait(until) => {
                self.now = until.expect("nothing has failed");
                return false;
            }
            Step::Ask(Request::Fetch { request, .. }) => {
                self.machine.on_fetch(self.now, answer(&leader.log, &request))
            }
            Step::Ask(Request::ListOffsets { request, .. }) => {
                self.machine.on_offsets(self.now, &offsets(&leader.log, &request))
            }
        };
        let mut caught_up = false;
        for work in work {
            caught_up = matches!(&work.act, Act::Append(fetched) if fetched.fetch_offset == leader.log.log_end_offset());
            let outcome = own.partition.follow(&work, NOW);
            self.machine.on_done(self.now, &work, outcome);
        }
        assert!(self.machine.failed().is_empty(), "{:?}", self.machine.failed());
        caught_up
    }
}

fn answer(log: &Log, request: &FetchRequest) -> FetchResponse {
    let mut response = FetchResponse::default();
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|asked| {
            let offsets = log.offsets();
            let (epoch, end_offset) = log.end_offset_for_epoch(asked.last_fetched_epoch);
            let mut data = PartitionData {
                high_watermark: offsets.high_watermark,
                log_start_offset: offsets.log_start_offset,
                ..Default::default()
            };
            let range = offsets.log_start_offset..=offsets.log_end_offset;
            if (asked.last_fetched_epoch >= 0 && end_offset < 0) || !range.contains(&asked.fetch_offset) {
                data.error_code = ErrorCode::OffsetOutOfRange.code();
            } else if asked.last_fetched_epoch >= 0
                && (epoch < asked.last_fetched_epoch || end_offset < asked.fetch_offset)
            {
                data.diverging_epoch = EpochEndOffset { epoch, end_offset, ..Default::default() };
            } else {
                let bytes = read(log, asked.fetch_offset, asked.partition_max_bytes as usize);
                data.records = Some(Records::from(Bytes::from(bytes)));
            }
            data
        });
        let partitions = partitions.collect();
        response.responses.push(FetchableTopicResponse {
            topic_id: topic.topic_id,
            partitions,
            ..Default::default()
        });
    }
    response
}

fn offsets(log: &Log, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let asked = &request.topics[0].partitions[0];
    let offset = match asked.timestamp {
        EARLIEST => log.log_start_offset(),
        _ => log.log_end_offset(),
    };
    let one = ListOffsetsPartitionResponse { offset, ..Default::default() };
    let topic = ListOffsetsTopicResponse { name: "t".into(), partitions: vec![one], ..Default::default() };
    ListOffsetsResponse { topics: vec![topic], ..Default::default() }
}

/// Elections to and fro, some without records, followers that stop half-way (R1, R3, R5): in the end both logs are
/// the same, and what both had at some time while either could lead is still there.
#[test]
fn histories_of_elections_end_in_equal_logs() {
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let replicas = [Replica::new(1), Replica::new(2)];
        // What both have: whoever leads, it stays.
        let (mut committed, mut committed_start, mut committed_end) = (Vec::new(), 0, 0);
        let mut leader = 0;
        for epoch in 1..30 {
            leader = random.usize(0..2);
            let (leading, own) = (&replicas[leader], &replicas[1 - leader]);
            leading.lead_in(epoch);
            for n in 0..random.u8(0..4) {
                let values = vec!["value"; random.usize(1..4)];
                leading.append(epoch, &records(&values));
                if n == 2 && random.bool() {
                    let start = random.i64(0..=committed_end);
                    leading.log.update_high_watermark(committed_end);
                    leading.log.increment_log_start(start, "a test").expect("it moves");
                }
            }
            let mut pull = Pull::new(own.follow_in(leader as i32 + 1, epoch));
            for _ in 0..random.usize(0..25) {
                if pull.step(own, leading) {
                    committed_end = leading.log.log_end_offset();
                    committed_start = leading.log.log_start_offset();
                    committed = leading.bytes(committed_start, committed_end);
                    leading.log.update_high_watermark(committed_end);
                    break;
                }
            }
            for replica in &replicas {
                let start = replica.log.log_start_offset().max(committed_start);
                let now = replica.bytes(start, committed_end);
                assert!(committed.ends_with(&now), "seed {seed}, epoch {epoch}: committed records changed");
                assert!(
                    replica.log.log_end_offset() >= committed_end,
                    "seed {seed}, epoch {epoch}: they are gone"
                );
            }
        }
        let (leading, own) = (&replicas[leader], &replicas[1 - leader]);
        leading.lead_in(30);
        leading.append(30, &records(&["last"]));
        let mut pull = Pull::new(own.follow_in(leader as i32 + 1, 30));
        let mut steps = 0;
        while !pull.step(own, leading) {
            steps += 1;
            assert!(steps < 1_000, "seed {seed}: it never catches up");
        }
        let end = leading.log.log_end_offset();
        // A leader of before may have deleted more than this one was told.
        let start = leading.log.log_start_offset().max(own.log.log_start_offset());
        assert_eq!(own.log.log_end_offset(), end, "seed {seed}");
        assert_eq!(own.bytes(start, end), leading.bytes(start, end), "seed {seed}");
        let since = |replica: &Replica| {
            let entries = replica.log.epochs().into_iter();
            entries.filter(|entry| entry.start_offset > start).collect::<Vec<_>>()
        };
        assert_eq!(since(own), since(leading), "seed {seed}: epochs of records both hold");
    }
}
