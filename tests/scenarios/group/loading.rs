//! A log that Kafka wrote: its records mean what Kafka's own dump says, and our bytes for them are Kafka's.

use bytes::Bytes;
use ottla::coordinator::group::{Command, GroupConfig, GroupShard, OffsetFetch, Reply};
use ottla::coordinator::shard::Shard;
use ottla::protocol::records::{batches, records};

use super::bench::{Bench, Entry};
use super::print;

/// The log of one partition as the bench keeps it.
fn load(partition: i32) -> Bench {
    let path = format!("clean/__consumer_offsets-{partition}/00000000000000000000.log");
    let file = crate::sample::files(|name| name == path).remove(&path).expect("the log is in the fixture");
    let mut bench = Bench::new(GroupConfig::default());
    for batch in batches(&file) {
        let batch = batch.expect("Kafka's batches are sound");
        batch.verify_crc().expect("Kafka's checksums hold");
        assert!(!batch.is_transactional() && !batch.is_control(), "the fixture has no transactional commits");
        let base_sequence = batch.v2().expect("magic 2").base_sequence;
        let body = records(&batch, 1 << 20).expect("a readable batch");
        for record in body.iter().expect("records") {
            let record = record.expect("a readable record");
            let key = Bytes::copy_from_slice(record.key.expect("a key"));
            let value = record.value.map(Bytes::copy_from_slice);
            bench.log.push(Entry::Record { key, value, transaction: None, base_sequence });
        }
    }
    bench.load();
    bench
}

fn ask(bench: &mut Bench, command: Command) -> String {
    bench.send(command);
    print::reply(&bench.answered.pop().expect("an answer").2)
}

fn fetch(group: &str) -> Command {
    Command::OffsetFetch(OffsetFetch { group_id: group.to_owned(), topics: None, require_stable: true })
}

#[test]
fn kafkas_groups_load() {
    let mut bench = load(2);
    assert_eq!(
        ask(&mut bench, fetch("g1")),
        "NONE codec-none:0=110@0 rolled:0=65@0 rolled:1=125@0",
        "what kafka-consumer-groups would show"
    );
    assert_eq!(ask(&mut bench, Command::DescribeGroup("g1".into())), r#"NONE "Empty" "consumer" """#);
    let mut bench = load(0);
    assert_eq!(ask(&mut bench, fetch("g2")), r#"NONE codec-gzip:0=42@-1"some metadata\0""#);
    assert_eq!(ask(&mut bench, Command::DescribeGroup("g2".into())), r#"NONE "Empty" "" """#);
    let mut bench = load(1);
    bench.send(Command::ListGroups(Default::default()));
    assert!(matches!(&bench.answered[0].2, Reply::ListGroups(_, groups) if groups.is_empty()));
}

#[test]
fn a_coordinator_that_dies_after_kafkas_first_record_finds_a_stable_group() {
    let mut bench = load(2);
    bench.log.truncate(1);
    bench.load();
    let shown = ask(&mut bench, Command::DescribeGroup("g1".into()));
    assert!(shown.starts_with("NONE \"Stable\" \"consumer\" \"range\"\n    rdkafka-f97fba63-"), "{shown}");
    assert!(shown.contains(" rdkafka/127.0.0.1 "), "{shown}");
    assert_eq!(shown.matches("codec-none").count(), 2, "subscription and assignment: {shown}");
    // The member's session of 45 s starts anew; then the group is empty, in generation 2 as Kafka wrote it.
    bench.sleep(44_999);
    assert!(ask(&mut bench, Command::DescribeGroup("g1".into())).starts_with("NONE \"Stable\""));
    bench.sleep(1);
    assert_eq!(ask(&mut bench, Command::DescribeGroup("g1".into())), r#"NONE "Empty" "consumer" """#);
    let last = print::entry(0, bench.log.last().expect("an entry"));
    assert_eq!(last, "0: seq=-1 group g1 gen=2 None None\n");
}

#[test]
fn kafkas_bytes_come_back_unchanged() {
    let mut count = 0;
    for partition in 0..3 {
        let bench = load(partition);
        for entry in &bench.log {
            let Entry::Record { key, value, .. } = entry else { continue };
            let record = GroupShard::decode(key.clone(), value.clone()).expect("readable").expect("known");
            let (our_key, our_value) = bench.shard.encode(&record).expect("encodable");
            assert_eq!((&our_key, &our_value), (key, value), "{record:?}");
            count += 1;
        }
    }
    assert_eq!(count, 6, "records in the fixture's logs");
}
