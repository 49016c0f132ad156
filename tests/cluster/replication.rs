//! Partitions on two brokers: a follower's files are its leader's, byte for byte, whatever happens in between.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use ottla::protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla::protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest};
use ottla::protocol::records::batch::set_base_offset;
use ottla::protocol::records::view::batches;

use super::client::{batch, code};
use super::nodes::{Node, Zk, all_known, until};

/// Replicas fall out of the ISR soon, and errors are tried again soon.
const SETTINGS: &[(&str, &str)] = &[
    ("replica.lag.time.max.ms", "3000"),
    ("replica.fetch.wait.max.ms", "200"),
    ("replica.fetch.backoff.ms", "100"),
    ("replica.high.watermark.checkpoint.interval.ms", "200"),
    ("controlled.shutdown.retry.backoff.ms", "200"),
    ("auto.leader.rebalance.enable", "false"),
];

async fn two() -> (Zk, Node, Node) {
    two_with(SETTINGS).await
}

async fn two_with(settings: &[(&str, &str)]) -> (Zk, Node, Node) {
    let zk = Zk::start().await;
    let one = Node::start(&zk, 1, settings).await;
    let two = Node::start(&zk, 2, settings).await;
    all_known(&[&one, &two]).await;
    (zk, one, two)
}

/// A topic with one partition on brokers 1 and 2; the first one leads.
pub async fn create(at: &Node, name: &str) {
    let assignment =
        CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1, 2], ..Default::default() };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
    let created = at.client().await.call(7, &request).await.topics.remove(0);
    assert_eq!(created.error_code, 0, "{name}: {:?}", created.error_message);
}

fn segment(node: &Node, name: &str) -> PathBuf {
    node.logs().join(format!("{name}-0")).join("00000000000000000000.log")
}

/// Waits until both hold the same bytes, up to `end` at least.
async fn until_equal(one: &Node, two: &Node, name: &str, end: i64) {
    until("the follower's log to equal the leader's", async || {
        let read = |node: &Node| std::fs::read(segment(node, name)).ok();
        let (ours, theirs) = (read(one)?, read(two)?);
        let last = batches(&ours).last()?.ok()?.last_offset();
        (ours == theirs && last + 1 >= end).then_some(())
    })
    .await;
}

pub async fn until_isr(at: &Node, name: &str, wanted: &[i32]) {
    let wanted: BTreeSet<i32> = wanted.iter().copied().collect();
    until(&format!("the ISR to be {wanted:?}"), async || {
        let topic = at.client().await.topic(name).await;
        let isr: BTreeSet<i32> = topic.partitions.first()?.isr_nodes.iter().copied().collect();
        (isr == wanted).then_some(())
    })
    .await;
}

pub async fn until_leader(at: &Node, name: &str, leader: i32) {
    until(&format!("broker {leader} to lead"), async || {
        let topic = at.client().await.topic(name).await;
        (topic.partitions.first()?.leader_id == leader).then_some(())
    })
    .await;
}

/// The follower's high watermark as its checkpoint has it.
async fn until_checkpointed(node: &Node, name: &str, mark: i64) {
    let path = node.logs().join("replication-offset-checkpoint");
    until("the high watermark in the checkpoint", async || {
        let text = std::fs::read_to_string(&path).ok()?;
        text.lines().any(|line| line == format!("{name} 0 {mark}")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_copies_its_leader() {
    let (_zk, one, two) = two().await;
    create(&one, "copied").await;
    let mut client = one.client().await;
    let large = "x".repeat(300_000);
    for n in 0..20 {
        let value = if n % 5 == 0 { large.as_str() } else { "small" };
        let answer = client.produce_as(11, ("copied", 0), 1, batch(&[value, "second"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, n * 2));
    }
    until_equal(&one, &two, "copied", 40).await;
    until_isr(&one, "copied", &[1, 2]).await;
    assert_eq!(client.produce(("copied", 0), &["committed by both"]).await, 40);
    until_equal(&one, &two, "copied", 41).await;
    until_checkpointed(&two, "copied", 41).await;
    // A consumer of version 11 and later may read from the follower, below its high watermark.
    let data = two.client().await.fetch_as(11, ("copied", 0), 40).await;
    assert_eq!((code(data.error_code), data.high_watermark), (ErrorCode::None, 41));
    let broker = &two.running.as_ref().expect("it runs").broker;
    assert_eq!((broker.fetchers.count(), broker.fetchers.failed().len()), (1, 0));
    assert_eq!(broker.fetchers.max_lag(), 0);
    let names = vec!["copied".to_owned()];
    let request = DeleteTopicsRequest { topic_names: names, timeout_ms: 20_000, ..Default::default() };
    let deleted = one.client().await.call(5, &request).await;
    assert_eq!(code(deleted.responses[0].error_code), ErrorCode::None);
    until("the fetcher to end with its last partition", async || {
        (broker.fetchers.count() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_follower_catches_up_and_joins_the_isr() {
    let (zk, one, mut two) = two().await;
    create(&one, "kept").await;
    let mut client = one.client().await;
    client.produce(("kept", 0), &["a", "b"]).await;
    until_checkpointed(&two, "kept", 2).await;
    two.stop().await;
    until_isr(&one, "kept", &[1]).await;
    for _ in 0..10 {
        client.produce(("kept", 0), &["while", "it", "was", "away"]).await;
    }
    two.start_again(&zk).await;
    let log = two.running.as_ref().expect("it runs").broker.replicas.partition("kept", 0);
    if let Some(log) = log.and_then(|partition| partition.lock().log.clone()) {
        assert!(log.high_watermark() >= 2, "the checkpointed mark is where it begins");
    }
    until_equal(&one, &two, "kept", 42).await;
    until_isr(&one, "kept", &[1, 2]).await;
    client.produce(("kept", 0), &["together"]).await;
    until_equal(&one, &two, "kept", 43).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_goes_to_and_fro_and_nothing_acknowledged_is_lost() {
    let (zk, mut one, mut two) = two().await;
    create(&one, "moved").await;
    let mut said = Vec::new();
    for round in 0..4 {
        until_isr(&one, "moved", &[1, 2]).await;
        let (leader, other) = if round % 2 == 0 { (&mut one, &two) } else { (&mut two, &one) };
        until_leader(other, "moved", leader.id).await;
        let mut client = leader.client().await;
        for n in 0..5 {
            let value = format!("round {round}, {n}");
            client.produce(("moved", 0), &[&value]).await;
            said.push(value);
        }
        leader.stop().await;
        until_leader(other, "moved", other.id).await;
        let alone = format!("round {round}, alone");
        until("the new leader to take records", async || {
            let answer = other.client().await.produce_as(11, ("moved", 0), -1, batch(&[&alone])).await;
            (answer.error_code == 0).then_some(())
        })
        .await;
        said.push(alone);
        leader.start_again(&zk).await;
    }
    until_isr(&two, "moved", &[1, 2]).await;
    until_equal(&one, &two, "moved", said.len() as i64).await;
    let found = one.client().await.values(("moved", 0), 0).await;
    let found: Vec<String> = found.into_iter().map(|(_, value)| value).collect();
    assert_eq!(found, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_diverged_is_cut_to_where_it_agrees() {
    let (zk, one, mut two) = two().await;
    create(&one, "parted").await;
    let mut client = one.client().await;
    client.produce(("parted", 0), &["a", "b"]).await;
    until_equal(&one, &two, "parted", 2).await;
    two.stop().await;
    // A record that only the follower has, as if it had been copied from a leader that lost it.
    let path = segment(&two, "parted");
    let mut bytes = std::fs::read(&path).expect("the segment");
    let mut stray = bytes.clone();
    for offset in [2, 4, 6] {
        set_base_offset(&mut stray, offset).expect("a batch");
        bytes.extend_from_slice(&stray);
    }
    std::fs::write(&path, &bytes).expect("the segment");
    std::fs::remove_file(two.logs().join(".kafka_cleanshutdown")).expect("it was shut down cleanly");
    until_isr(&one, "parted", &[1]).await;
    client.produce(("parted", 0), &["c", "d", "e"]).await;
    two.start_again(&zk).await;
    until_equal(&one, &two, "parted", 5).await;
    until_isr(&one, "parted", &[1, 2]).await;
    client.produce(("parted", 0), &["f"]).await;
    let found = one.client().await.values(("parted", 0), 0).await;
    let values: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["a", "b", "c", "d", "e", "f"]);
    until_equal(&one, &two, "parted", 6).await;
}

/// Sets a key of a topic (`2`) or a broker (`4`), or takes it back.
pub async fn alter(at: &Node, resource_type: i8, name: &str, key: &str, value: Option<&str>) {
    let config = AlterableConfig {
        name: key.to_owned(),
        config_operation: i8::from(value.is_none()),
        value: value.map(str::to_owned),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = at.client().await.call(1, &request).await.responses.remove(0);
    assert_eq!(code(answer.error_code), ErrorCode::None, "{key}: {:?}", answer.error_message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_follower_copies_no_faster_than_it_may() {
    let small = [SETTINGS, &[("replica.fetch.max.bytes", "50000")]].concat();
    let (zk, one, mut two) = two_with(&small).await;
    create(&one, "slow").await;
    two.stop().await;
    until_isr(&one, "slow", &[1]).await;
    let (topic_key, rate) =
        ("follower.replication.throttled.replicas", "follower.replication.throttled.rate");
    alter(&one, 2, "slow", topic_key, Some("0:2")).await;
    // Of all brokers: one broker's own values are for that broker to take.
    alter(&one, 4, "", rate, Some("20000")).await;
    let large = "x".repeat(50_000);
    for n in 0..40 {
        assert_eq!(one.client().await.produce(("slow", 0), &[&large]).await, n);
    }
    two.start_again(&zk).await;
    let begun = Instant::now();
    let size = || std::fs::metadata(segment(&two, "slow")).map_or(0, |file| file.len());
    until("the first batches", async || (size() > 100_000).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Two batches may pass before the rate is known to be exceeded.
    let copied = size();
    let allowed = 20_000 * (begun.elapsed().as_secs() + 1) + 150_000;
    assert!(copied < allowed, "{copied} bytes of 2,000,000 in {} ms", begun.elapsed().as_millis());
    alter(&one, 4, "", rate, None).await;
    until_equal(&one, &two, "slow", 40).await;
    until_isr(&one, "slow", &[1, 2]).await;
}
