//! Transcripts of one fetcher: what it asks, what it is told, what it has done. One test for each kind of answer.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::requests::Versions;
use super::*;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::Records;
use crate::protocol::messages::fetch::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use crate::protocol::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};

const BACKOFF: i64 = 1_000;

fn tp(name: &str) -> TopicPartition {
    let (topic, partition) = name.split_once('-').expect("topic-partition");
    TopicPartition::new(topic, partition.parse().expect("a number"))
}

/// The topic id of a test's topic: its first letter, 16 times. Topics in capitals have none.
fn id_of(topic: &str) -> Uuid {
    let letter = topic.as_bytes()[0];
    if letter.is_ascii_uppercase() { Uuid::ZERO } else { Uuid([letter; 16]) }
}

struct Bench {
    machine: Machine,
    now: Timestamp,
    log_starts: BTreeMap<TopicPartition, i64>,
    throttled: Vec<TopicPartition>,
    exceeded: bool,
}

impl Bench {
    fn new(partitions: &[(&str, i32, i64, Option<i32>)]) -> Bench {
        Bench::speaking("3.9", partitions)
    }

    fn speaking(protocol: &str, partitions: &[(&str, i32, i64, Option<i32>)]) -> Bench {
        let settings = Settings {
            broker_id: 2,
            versions: Versions::for_protocol(protocol).expect("known"),
            max_wait_ms: 500,
            min_bytes: 1,
            response_max_bytes: 10 << 20,
            partition_max_bytes: 1 << 20,
            backoff_ms: BACKOFF,
        };
        let machine = Machine::new(settings);
        let (now, log_starts) = (Timestamp(0), BTreeMap::new());
        let mut bench = Bench { machine, now, log_starts, throttled: vec![], exceeded: false };
        for (name, epoch, offset, last_epoch) in partitions {
            bench.add(name, *epoch, *offset, *last_epoch);
        }
        bench
    }

    fn add(&mut self, name: &str, leader_epoch: i32, offset: i64, last_epoch: Option<i32>) {
        let tp = tp(name);
        let topic_id = id_of(&tp.topic);
        self.machine.add(Start { tp, topic_id, leader_epoch, offset, last_epoch });
    }

    fn step(&mut self) -> Step {
        let (starts, throttled) = (&self.log_starts, &self.throttled);
        self.machine.next(self.now, 77, self.exceeded, |tp| {
            let log_start_offset = starts.get(tp).copied().unwrap_or(0);
            let is_throttled = throttled.contains(tp);
            (log_start_offset >= 0).then_some(Local { log_start_offset, is_throttled })
        })
    }

    /// The next step in words: `fetch 0/0 a-0@5 e3 l2 | forget b-0`.
    fn next(&mut self) -> String {
        match self.step() {
            Step::Wait(until) => format!("wait {:?}", until.map(|until| until.0 - self.now.0)),
            Step::Do(work) => work.iter().map(words).collect::<Vec<_>>().join(", "),
            Step::Ask(Request::ListOffsets { request, .. }) => {
                let mut text = "offsets".to_owned();
                for topic in &request.topics {
                    for one in &topic.partitions {
                        let (n, epoch, of) = (one.partition_index, one.current_leader_epoch, one.timestamp);
                        text += &format!(" {}-{n} e{epoch} {of}", topic.name);
                    }
                }
                text
            }
            Step::Ask(Request::Fetch { request, version }) => {
                let mut text = format!("fetch {}/{}", request.session_id, request.session_epoch);
                for topic in &request.topics {
                    assert_eq!(version >= 13, !topic.topic_id.is_zero() && version >= 13);
                    for one in &topic.partitions {
                        let (n, at, epoch) = (one.partition, one.fetch_offset, one.current_leader_epoch);
                        text += &format!(" {}-{n}@{at} e{epoch} l{}", topic.topic, one.last_fetched_epoch);
                        if one.log_start_offset != 0 {
                            text += &format!(" from {}", one.log_start_offset);
                        }
                    }
                }
                let forgotten = request.forgotten_topics_data.iter();
                let names = forgotten
                    .flat_map(|topic| topic.partitions.iter().map(move |n| format!(" {}-{n}", topic.topic)));
                let names: String = names.collect();
                if names.is_empty() { text } else { text + " | forget" + &names }
            }
        }
    }

    fn fetched(&mut self, session: i32, answers: Vec<(&str, PartitionData)>) -> Vec<Work> {
        let responses = answers.into_iter().map(|(name, data)| {
            let tp = tp(name);
            FetchableTopicResponse {
                topic: tp.topic.to_string(),
                topic_id: id_of(&tp.topic),
                partitions: vec![PartitionData { partition_index: tp.partition, ..data }],
                ..Default::default()
            }
        });
        let responses = responses.collect();
        let response = FetchResponse { session_id: session, responses, ..Default::default() };
        self.machine.on_fetch(self.now, response)
    }

    fn offset(&mut self, name: &str, error: ErrorCode, offset: i64) -> Vec<Work> {
        let tp = tp(name);
        let one = ListOffsetsPartitionResponse {
            partition_index: tp.partition,
            error_code: error.code(),
            offset,
            ..Default::default()
        };
        let topic = ListOffsetsTopicResponse {
            name: tp.topic.to_string(),
            partitions: vec![one],
            ..Default::default()
        };
        let response = ListOffsetsResponse { topics: vec![topic], ..Default::default() };
        self.machine.on_offsets(self.now, &response)
    }

    fn done(&mut self, work: &[Work], log_end_offset: i64, last_epoch: i32) {
        let last_epoch = Some(last_epoch);
        for work in work {
            self.machine.on_done(self.now, work, Outcome::Done(Position { log_end_offset, last_epoch }));
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }
}

fn words(work: &Work) -> String {
    let (tp, epoch) = (&work.tp, work.leader_epoch);
    match &work.act {
        Act::Append(fetched) => {
            let (bytes, mark, start) =
                (fetched.records.len(), fetched.high_watermark, fetched.log_start_offset);
            format!("{tp} e{epoch} append {bytes} at {} hw {mark} start {start}", fetched.fetch_offset)
        }
        Act::CutAtEpoch { fetch_offset, epoch: theirs, end_offset } => {
            format!("{tp} e{epoch} cut where {theirs} ends at {end_offset}, asked at {fetch_offset}")
        }
        Act::CutTo(offset) => format!("{tp} e{epoch} cut to {offset}"),
        Act::RestartAt(offset) => format!("{tp} e{epoch} restart at {offset}"),
    }
}

fn records(bytes: usize, high_watermark: i64) -> PartitionData {
    let records = Some(Records::from(Bytes::from(vec![0; bytes])));
    PartitionData { records, high_watermark, log_start_offset: 0, ..Default::default() }
}

fn error(code: ErrorCode) -> PartitionData {
    PartitionData { error_code: code.code(), high_watermark: -1, ..Default::default() }
}

fn diverging(epoch: i32, end_offset: i64) -> PartitionData {
    let diverging_epoch = EpochEndOffset { epoch, end_offset, ..Default::default() };
    PartitionData { diverging_epoch, high_watermark: 99, ..Default::default() }
}

#[test]
fn records_are_appended_and_the_next_fetch_says_only_what_changed() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 4, 0, Some(0))]);
    assert_eq!(bench.next(), "fetch 0/0 a-0@5 e3 l2 b-0@0 e4 l0");
    let work = bench.fetched(7, vec![("a-0", records(100, 9)), ("b-0", records(0, 0))]);
    let said: Vec<String> = work.iter().map(words).collect();
    assert_eq!(said, ["a-0 e3 append 100 at 5 hw 9 start 0", "b-0 e4 append 0 at 0 hw 0 start 0"]);
    bench.done(&work[..1], 8, 3);
    bench.done(&work[1..], 0, 0);
    assert_eq!(bench.machine.max_lag(), 1);
    assert_eq!(bench.next(), "fetch 7/1 a-0@8 e3 l3");
    assert!(bench.fetched(7, vec![]).is_empty());
    assert_eq!(bench.next(), "fetch 7/2", "nothing has changed: an empty request waits at the leader");
    let work = bench.fetched(7, vec![("b-0", records(40, 2))]);
    bench.done(&work, 2, 4);
    assert_eq!(bench.next(), "fetch 7/3 b-0@2 e4 l4");
    // What got data goes to the end of the order, which a full request shows.
    bench.machine.on_failure(bench.now);
    bench.pass(BACKOFF);
    assert_eq!(bench.next(), "fetch 7/0 a-0@8 e3 l3 b-0@2 e4 l4");
    assert_eq!(bench.machine.counts(), Counts { requests: 5, bytes: 140 });
}

#[test]
fn logs_that_part_are_cut_again_and_again_until_they_agree() {
    // KIP-279: epochs without records on either side (R3, R5).
    let mut bench = Bench::new(&[("a-0", 9, 50, Some(8))]);
    bench.next();
    let work = bench.fetched(7, vec![("a-0", diverging(6, 40))]);
    assert_eq!(words(&work[0]), "a-0 e9 cut where 6 ends at 40, asked at 50");
    bench.done(&work, 30, 4);
    assert_eq!(bench.next(), "fetch 7/1 a-0@30 e9 l4");
    let work = bench.fetched(7, vec![("a-0", diverging(3, 20))]);
    bench.done(&work, 20, 3);
    assert_eq!(bench.next(), "fetch 7/2 a-0@20 e9 l3");
    let work = bench.fetched(7, vec![("a-0", records(10, 21))]);
    assert_eq!(words(&work[0]), "a-0 e9 append 10 at 20 hw 21 start 0", "only now the marks are taken over");
}

#[test]
fn a_cut_that_changes_nothing_is_not_repeated_at_once() {
    let mut bench = Bench::new(&[("a-0", 9, 50, Some(8))]);
    bench.next();
    let work = bench.fetched(7, vec![("a-0", diverging(8, 60))]);
    bench.done(&work, 50, 8);
    assert_eq!(bench.next(), "fetch 7/1 | forget a-0");
    bench.fetched(0, vec![]);
    assert_eq!(bench.next(), "wait Some(1000)");
    // The same with records of which none can be appended.
    bench.pass(BACKOFF);
    assert_eq!(bench.next(), "fetch 0/0 a-0@50 e9 l8");
    let work = bench.fetched(0, vec![("a-0", records(10, 50))]);
    bench.done(&work, 50, 8);
    assert_eq!(bench.next(), "wait Some(1000)");
}

#[test]
fn out_of_range_asks_where_the_leader_ends_then_where_it_starts() {
    let three = [("a-0", 3, 50, Some(2)), ("a-1", 3, 50, Some(2)), ("a-2", 3, 50, Some(2))];
    let out = || error(ErrorCode::OffsetOutOfRange);
    // The leader ends before: cut to its end.
    let mut bench = Bench::new(&three[..1]);
    bench.next();
    assert!(bench.fetched(7, vec![("a-0", out())]).is_empty());
    assert_eq!(bench.next(), "offsets a-0 e3 -1");
    let work = bench.offset("a-0", ErrorCode::None, 40);
    assert_eq!(words(&work[0]), "a-0 e3 cut to 40");
    bench.done(&work, 40, 1);
    assert_eq!(bench.next(), "fetch 7/1 a-0@40 e3 l1");
    // The leader starts after: begin anew there.
    let mut bench = Bench::new(&three[..1]);
    bench.next();
    bench.fetched(7, vec![("a-0", out())]);
    bench.next();
    assert!(bench.offset("a-0", ErrorCode::None, 900).is_empty());
    assert_eq!(bench.next(), "offsets a-0 e3 -2");
    let work = bench.offset("a-0", ErrorCode::None, 800);
    assert_eq!(words(&work[0]), "a-0 e3 restart at 800");
    bench.machine.on_done(
        bench.now,
        &work[0],
        Outcome::Done(Position { log_end_offset: 800, last_epoch: None }),
    );
    assert_eq!(bench.next(), "fetch 7/1 a-0@800 e3 l-1");
    // In between: go on, but not at once.
    let mut bench = Bench::new(&three[..1]);
    bench.next();
    bench.fetched(7, vec![("a-0", out())]);
    bench.next();
    bench.offset("a-0", ErrorCode::None, 60);
    bench.next();
    assert!(bench.offset("a-0", ErrorCode::None, 10).is_empty());
    bench.pass(BACKOFF);
    assert_eq!(bench.next(), "fetch 7/1", "it stands where it stood");
    // Several ask together; an error is that partition's alone.
    let mut bench = Bench::new(&three);
    bench.next();
    bench.fetched(7, vec![("a-0", out()), ("a-1", out()), ("a-2", out())]);
    assert_eq!(bench.next(), "offsets a-0 e3 -1 a-1 e3 -1 a-2 e3 -1");
    let work = bench.offset("a-0", ErrorCode::None, 40);
    assert_eq!(work.len(), 1);
    bench.done(&work, 40, 2);
    assert_eq!(bench.next(), "fetch 7/1 a-0@40 e3 l2 | forget a-1 a-2", "the two not answered wait");
}

#[test]
fn what_is_added_while_offsets_are_asked_is_not_answered() {
    let mut bench = Bench::new(&[("a-0", 3, 50, Some(2))]);
    bench.next();
    bench.fetched(7, vec![("a-0", error(ErrorCode::OffsetOutOfRange))]);
    bench.next();
    bench.add("b-0", 3, 5, None);
    let work = bench.offset("a-0", ErrorCode::None, 40);
    bench.done(&work, 40, 2);
    assert_eq!(bench.next(), "b-0 e3 cut to 5");
}

#[test]
fn out_of_range_fenced_fails() {
    let mut bench = Bench::new(&[("a-0", 3, 50, Some(2))]);
    bench.next();
    bench.fetched(7, vec![("a-0", error(ErrorCode::OffsetOutOfRange))]);
    bench.next();
    assert!(bench.offset("a-0", ErrorCode::FencedLeaderEpoch, -1).is_empty());
    assert!(bench.machine.is_empty() && bench.machine.failed().contains_key(&tp("a-0")));
}

#[test]
fn a_fenced_partition_waits_for_the_controller() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2))]);
    bench.next();
    let work = bench.fetched(7, vec![("a-0", error(ErrorCode::FencedLeaderEpoch)), ("b-0", records(9, 6))]);
    bench.done(&work, 6, 3);
    assert_eq!(bench.machine.failed().len(), 1);
    assert_eq!(bench.next(), "fetch 7/1 b-0@6 e3 l3 | forget a-0");
    bench.fetched(7, vec![]);
    bench.pass(10 * BACKOFF);
    assert_eq!(bench.next(), "fetch 7/2");
    bench.fetched(7, vec![]);
    bench.add("a-0", 4, 5, Some(2));
    assert!(bench.machine.failed().is_empty());
    assert_eq!(bench.next(), "fetch 7/3 a-0@5 e4 l2");
}

#[test]
fn other_errors_delay_that_partition_alone() {
    for code in [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId,
        ErrorCode::InconsistentTopicId,
        ErrorCode::KafkaStorageError,
        ErrorCode::TopicAuthorizationFailed,
        ErrorCode::UnknownServerError,
    ] {
        let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2))]);
        bench.next();
        let work = bench.fetched(7, vec![("a-0", error(code)), ("b-0", records(9, 6))]);
        bench.done(&work, 6, 3);
        assert_eq!(bench.next(), "fetch 7/1 b-0@6 e3 l3 | forget a-0", "{code}");
        bench.fetched(7, vec![]);
        bench.pass(BACKOFF - 1);
        assert_eq!(bench.next(), "fetch 7/2", "{code}");
        bench.fetched(7, vec![]);
        bench.pass(1);
        assert_eq!(bench.next(), "fetch 7/3 a-0@5 e3 l2", "{code}");
        assert!(bench.machine.failed().is_empty());
    }
}

#[test]
fn a_leader_that_is_not_there_yet_is_asked_again_soon_and_then_less_often() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2))]);
    let mut pauses = Vec::new();
    for code in [ErrorCode::UnknownLeaderEpoch, ErrorCode::NotLeaderOrFollower].repeat(5) {
        assert!(bench.next().contains("a-0@5"));
        bench.fetched(7, vec![("a-0", error(code))]);
        assert!(bench.next().starts_with("fetch 7") && bench.fetched(7, vec![]).is_empty());
        let began = bench.now;
        let Step::Wait(Some(until)) = bench.step() else { panic!("it waits") };
        (bench.now, _) = (until, pauses.push(until.since_ms(began)));
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, BACKOFF, BACKOFF, BACKOFF]);
    // Once it has answered, the next time is a first time again.
    bench.next();
    let work = bench.fetched(7, vec![("a-0", records(9, 6))]);
    bench.done(&work, 6, 3);
    bench.next();
    bench.fetched(7, vec![("a-0", error(ErrorCode::NotLeaderOrFollower))]);
    bench.next();
    bench.fetched(7, vec![]);
    assert_eq!(bench.next(), "wait Some(10)");
}

#[test]
fn a_bad_batch_stops_its_partition_for_a_while_and_a_bad_disk_for_good() {
    // KAFKA-4384 (R15).
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2)), ("c-0", 3, 5, Some(2))]);
    bench.next();
    let all = vec![("a-0", records(9, 9)), ("b-0", records(9, 9)), ("c-0", records(9, 9))];
    let work = bench.fetched(7, all);
    bench.machine.on_done(bench.now, &work[0], Outcome::Later("checksum".into()));
    bench.machine.on_done(bench.now, &work[1], Outcome::Failed("input/output error".into()));
    bench.done(&work[2..], 9, 3);
    assert_eq!(bench.next(), "fetch 7/1 c-0@9 e3 l3 | forget a-0 b-0");
    assert_eq!(bench.machine.failed()[&tp("b-0")], "input/output error");
    bench.fetched(7, vec![]);
    bench.pass(BACKOFF);
    assert_eq!(bench.next(), "fetch 7/2 a-0@5 e3 l2");
}

#[test]
fn without_an_answer_everything_waits_and_the_session_begins_anew() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2))]);
    bench.next();
    bench.fetched(7, vec![("a-0", records(0, 5)), ("b-0", records(0, 5))]);
    bench.machine.on_failure(bench.now);
    assert_eq!(bench.next(), "wait Some(1000)");
    bench.pass(400);
    bench.add("c-0", 1, 0, Some(0));
    assert_eq!(bench.next(), "fetch 7/0 c-0@0 e1 l0", "what is added does not wait with the others");
}

#[test]
fn an_answer_counts_only_where_it_was_asked() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2)), ("c-0", 3, 5, Some(2))]);
    bench.next();
    bench.add("a-0", 4, 5, Some(2));
    bench.machine.remove(&tp("b-0"));
    bench.machine.remove(&tp("c-0"));
    bench.add("c-0", 3, 2, Some(2));
    let late =
        vec![("a-0", error(ErrorCode::FencedLeaderEpoch)), ("b-0", records(9, 9)), ("c-0", records(9, 9))];
    assert!(bench.fetched(7, late).is_empty());
    assert!(bench.machine.failed().is_empty());
    assert_eq!(bench.next(), "fetch 7/1 a-0@5 e4 l2 c-0@2 e3 l2 | forget b-0");
    // Work given out in one term is not reported into the next.
    let work = bench.fetched(7, vec![("a-0", records(9, 9))]);
    bench.add("a-0", 5, 5, Some(2));
    bench.machine.on_done(bench.now, &work[0], Outcome::Failed("late".into()));
    assert!(bench.machine.failed().is_empty());
    assert_eq!(bench.next(), "fetch 7/2 a-0@5 e5 l2");
    // The same term told twice changes nothing.
    bench.add("a-0", 5, 0, Some(0));
    bench.fetched(7, vec![]);
    assert_eq!(bench.next(), "fetch 7/3");
}

#[test]
fn a_log_without_epochs_is_cut_to_its_high_watermark_first() {
    let mut bench = Bench::new(&[("a-0", 3, 5, None), ("b-0", 3, 5, Some(2))]);
    let step = bench.step();
    let Step::Do(work) = step else { panic!("{step:?}") };
    assert_eq!(words(&work[0]), "a-0 e3 cut to 5");
    let later = Outcome::Later("no space".into());
    bench.machine.on_done(bench.now, &work[0], later);
    assert_eq!(bench.next(), "fetch 0/0 b-0@5 e3 l2");
    bench.fetched(7, vec![("b-0", records(0, 5))]);
    bench.pass(BACKOFF);
    assert_eq!(bench.next(), "a-0 e3 cut to 5");
    bench.machine.on_done(
        bench.now,
        &work[0],
        Outcome::Done(Position { log_end_offset: 5, last_epoch: None }),
    );
    assert!(bench.next().contains("a-0@5 e3 l-1"));
}

#[test]
fn refused_fetches_wait_and_lost_sessions_do_not() {
    let answer = |code: ErrorCode| FetchResponse { error_code: code.code(), ..Default::default() };
    let open = || {
        let mut bench = Bench::new(&[("a-0", 3, 5, Some(2))]);
        bench.next();
        let work = bench.fetched(7, vec![("a-0", records(0, 5))]);
        bench.done(&work, 5, 2);
        bench.next();
        bench
    };
    let mut bench = open();
    bench.machine.on_fetch(bench.now, answer(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(bench.next(), "fetch 0/0 a-0@5 e3 l2");
    let mut bench = open();
    bench.machine.on_fetch(bench.now, answer(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(bench.next(), "fetch 7/0 a-0@5 e3 l2");
    let mut bench = open();
    bench.machine.on_fetch(bench.now, answer(ErrorCode::FetchSessionTopicIdError));
    assert_eq!(bench.next(), "wait Some(1000)");
}

#[test]
fn versions_topic_ids_and_the_asker() {
    let fetch = |bench: &mut Bench| match bench.step() {
        Step::Ask(Request::Fetch { version, request }) => (version, request),
        other => panic!("{other:?}"),
    };
    let (version, request) = fetch(&mut Bench::new(&[("a-0", 3, 5, Some(2))]));
    assert_eq!((version, request.replica_id), (17, -1));
    assert_eq!((request.replica_state.replica_id, request.replica_state.replica_epoch), (2, 77));
    assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (500, 1, 10 << 20));
    assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 1 << 20);
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("B-0", 3, 5, Some(2))]);
    let (version, request) = fetch(&mut bench);
    assert_eq!((version, request.replica_id, request.replica_state.replica_id), (12, 2, -1));
    let work = bench.fetched(7, vec![("a-0", records(0, 5)), ("B-0", records(0, 5))]);
    bench.done(&work, 5, 2);
    // The topic gets its id: a new session, by id.
    bench.machine.set_topic_id(&tp("B-0"), Uuid([66; 16]));
    let (version, request) = fetch(&mut bench);
    assert_eq!((version, request.session_id, request.session_epoch), (17, 7, 0));
    let (version, request) = fetch(&mut Bench::speaking("3.4", &[("a-0", 3, 5, Some(2))]));
    assert_eq!((version, request.replica_id), (13, 2));
    assert_eq!(fetch(&mut Bench::speaking("2.8", &[("a-0", 3, 5, Some(2))])).0, 12);
}

#[test]
fn a_throttled_partition_is_left_out_until_it_is_in_sync_or_the_quota_has_room() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2))]);
    bench.throttled = vec![tp("a-0"), tp("b-0")];
    bench.exceeded = true;
    assert_eq!(bench.next(), "wait Some(1000)");
    bench.exceeded = false;
    assert_eq!(bench.next(), "fetch 0/0 a-0@5 e3 l2 b-0@5 e3 l2");
    let work = bench.fetched(7, vec![("a-0", records(10, 99)), ("b-0", records(10, 6))]);
    bench.done(&work, 6, 3);
    bench.exceeded = true;
    assert_eq!(bench.next(), "fetch 7/1 b-0@6 e3 l3 | forget a-0", "b has caught up");
    bench.fetched(7, vec![]);
    assert_eq!(bench.next(), "fetch 7/2");
    bench.fetched(7, vec![]);
    bench.exceeded = false;
    assert_eq!(bench.next(), "fetch 7/3 a-0@6 e3 l3");
}

#[test]
fn the_leader_hears_of_the_own_log_start_and_an_offline_log_waits() {
    let mut bench = Bench::new(&[("a-0", 3, 5, Some(2)), ("b-0", 3, 5, Some(2))]);
    bench.log_starts.insert(tp("a-0"), 4);
    assert_eq!(bench.next(), "fetch 0/0 a-0@5 e3 l2 from 4 b-0@5 e3 l2");
    let work = bench.fetched(7, vec![("a-0", records(0, 5)), ("b-0", records(0, 5))]);
    bench.done(&work, 5, 2);
    assert_eq!(bench.next(), "fetch 7/1");
    bench.fetched(7, vec![]);
    bench.log_starts.insert(tp("a-0"), 5);
    bench.log_starts.insert(tp("b-0"), -1);
    bench.pass(REFRESH_MS);
    assert_eq!(bench.next(), "fetch 7/2 a-0@5 e3 l2 from 5 | forget b-0");
}

/// Whatever a leader answers: no panic, no partition is lost, and the work is only for those that were asked.
#[test]
fn hostile_answers_do_no_harm() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let names = ["a-0", "a-1", "b-0", "C-0"];
        let mut bench = Bench::new(&[]);
        for (index, name) in names.iter().enumerate() {
            bench.add(name, 3, index as i64, random.bool().then_some(2));
        }
        for _ in 0..200 {
            let step = bench.step();
            let wild = |random: &mut fastrand::Rng| match random.u8(0..4) {
                0 => i64::MIN,
                1 => i64::MAX,
                _ => random.i64(-2..9),
            };
            let work = match step {
                Step::Wait(Some(until)) => {
                    bench.now = until;
                    continue;
                }
                Step::Wait(None) => break,
                Step::Do(work) => work,
                Step::Ask(Request::ListOffsets { .. }) => {
                    let (name, offset) = (names[random.usize(0..4)], wild(&mut random));
                    bench.offset(name, ErrorCode::from_i16(random.i16(-1..80)).unwrap_or_default(), offset)
                }
                Step::Ask(Request::Fetch { .. }) if random.u8(0..9) == 0 => {
                    bench.machine.on_failure(bench.now);
                    vec![]
                }
                Step::Ask(Request::Fetch { .. }) => {
                    let mut answers = Vec::new();
                    for name in names {
                        if random.u8(0..5) == 0 {
                            continue;
                        }
                        let mut data = match random.u8(0..4) {
                            0 => diverging(random.i32(-3..9), wild(&mut random)),
                            1 => error(ErrorCode::from_i16(random.i16(-1..110)).unwrap_or_default()),
                            _ => records(random.usize(0..3), wild(&mut random)),
                        };
                        data.log_start_offset = wild(&mut random);
                        answers.push((name, data));
                    }
                    bench.fetched(random.i32(0..3), answers)
                }
            };
            for work in work {
                let (log_end_offset, last_epoch) = (random.i64(0..9), random.bool().then_some(1));
                let outcome = match random.u8(0..6) {
                    0 => Outcome::Later("later".into()),
                    1 => Outcome::Failed("failed".into()),
                    _ => Outcome::Done(Position { log_end_offset, last_epoch }),
                };
                bench.machine.on_done(bench.now, &work, outcome);
            }
        }
        let (open, failed) = (bench.machine.partitions().count(), bench.machine.failed().len());
        assert_eq!(open + failed, names.len(), "seed {seed}: every partition is somewhere");
    }
}
