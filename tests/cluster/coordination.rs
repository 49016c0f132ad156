//! Topics through the controller, and the znodes that come of it, held against those of a real Kafka 3.9.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::create_partitions::CreatePartitionsTopic;
use ottla::protocol::messages::delete_topics::DeleteTopicState;
use ottla::protocol::messages::{CreatePartitionsRequest, DeleteTopicsRequest};
use ottla_zk::store::Store;
use serde_json::{Value, json};

use super::client::{Client, code};
use super::nodes::{Node, json as znode, one, until};
use super::sample;

/// Every znode below `path` with its data and whether it is ephemeral.
async fn tree(store: &dyn Store, path: &str, found: &mut BTreeMap<String, (Vec<u8>, bool)>) {
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        let Some(node) = store.get(&path).await.expect("ZooKeeper answers") else { continue };
        found.insert(path.clone(), (node.data.to_vec(), node.stat.ephemeral_owner != 0));
        let parent = if path == "/" { "" } else { &path };
        let children = store.children(&path).await.map(|children| children.names).unwrap_or_default();
        paths.extend(children.iter().map(|name| format!("{parent}/{name}")));
    }
}

/// The keys of a JSON text in the order they were written.
fn keys(text: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find("\":") {
        let start = rest[..end].rfind('"').map_or(0, |quote| quote + 1);
        keys.push(&rest[start..end]);
        rest = &rest[end + 2..];
    }
    keys
}

/// The znodes of the fixture that do not depend on what its topics are called.
fn kafkas() -> BTreeMap<String, (Option<String>, bool)> {
    let name = "znodes-running.jsonl";
    let file = sample::files(|path| path == name).remove(name).expect("the znodes of the fixture");
    let lines = String::from_utf8(file).expect("UTF-8");
    let nodes = lines.lines().map(|line| {
        let node: Value = serde_json::from_str(line).expect("a line of JSON");
        let path = node["path"].as_str().expect("a path").to_owned();
        (path, (node["data"].as_str().map(str::to_owned), node["ephemeral"].as_bool().expect("a flag")))
    });
    nodes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_znodes_are_kafkas() {
    let (zk, node) = one(&[("broker.rack", "r1")]).await;
    let mut client = node.client().await;
    client.create("codec-none", 1, &[]).await;
    client.create("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let session = zk.session(Duration::from_secs(4)).await;
    let mut ours = BTreeMap::new();
    tree(&*session, "/", &mut ours).await;
    let theirs = kafkas();
    let own_topics = ["codec-none", "compacted"];
    let about_other_topics = |path: &str| {
        let topic = path.strip_prefix("/brokers/topics/").or(path.strip_prefix("/config/topics/"));
        topic.is_some_and(|rest| !own_topics.contains(&rest.split('/').next().unwrap_or(rest)))
    };
    // Written by the fixture's other tests: dynamic configurations, producer ids.
    let about_other_things =
        ["/config/changes/", "/config/users/", "/config/brokers/", "/latest_producer_id_block"];
    for (path, (data, ephemeral)) in &theirs {
        if about_other_topics(path) || about_other_things.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        // Its broker had an authorizer, which makes its own nodes.
        if path.starts_with("/kafka-acl")
            || path.starts_with("/config/clients/")
            || path.starts_with("/config/ips/")
            || path.starts_with("/zookeeper")
        {
            continue;
        }
        let Some((own, own_ephemeral)) = ours.get(path) else { panic!("{path} is missing") };
        assert_eq!(own_ephemeral, ephemeral, "{path}");
        let own = String::from_utf8(own.clone()).expect("UTF-8");
        if path != "/config/topics/compacted" {
            assert_eq!(keys(&own), keys(data.as_deref().unwrap_or("")), "{path}: {own}");
        }
    }
    let strangers: Vec<&String> = ours
        .keys()
        .filter(|path| !theirs.contains_key(*path) && !path.starts_with("/zookeeper"))
        .filter(|path| !path.starts_with("/brokers/topics") && !path.starts_with("/config/topics"))
        .collect();
    assert!(strangers.is_empty(), "no znode that a Kafka 3.9 would not have: {strangers:?}");
    let config = znode(&*session, "/config/topics/compacted").await;
    assert_eq!(config, Some(json!({"version": 1, "config": {"cleanup.policy": "compact"}})));
    let state = znode(&*session, "/brokers/topics/compacted/partitions/0/state").await;
    let expected = json!({"controller_epoch": 1, "leader": 1, "version": 1, "leader_epoch": 0, "isr": [1]});
    assert_eq!(state, Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_topic_can_be_used_at_once() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    for round in 0..10 {
        let name = format!("round-{round}");
        let id = client.create(&name, 3, &[]).await;
        for partition in 0..3 {
            assert_eq!(client.produce((&name, partition), &["now"]).await, 0, "{name}-{partition}");
        }
        let topic = client.topic(&name).await;
        assert_eq!((topic.error_code, topic.partitions.len(), topic.topic_id), (0, 3, id));
        assert!(topic.partitions.iter().all(|part| part.leader_id == 1 && part.isr_nodes == [1]));
    }
    let again = client.try_create("round-0", 1, &[]).await;
    assert_eq!(code(again.error_code), ErrorCode::TopicAlreadyExists);
    for (name, partitions, configs, expected) in [
        ("bad name!", 1, vec![], ErrorCode::InvalidTopicException),
        ("..", 1, vec![], ErrorCode::InvalidTopicException),
        ("none", 0, vec![], ErrorCode::InvalidPartitions),
        ("config", 1, vec![("no.such.key", "1")], ErrorCode::InvalidConfig),
        ("config", 1, vec![("retention.ms", "soon")], ErrorCode::InvalidConfig),
        ("round.0", 1, vec![], ErrorCode::None),
        ("round_0", 1, vec![], ErrorCode::InvalidTopicException),
    ] {
        let created = client.try_create(name, partitions, &configs).await;
        assert_eq!(code(created.error_code), expected, "{name}: {:?}", created.error_message);
    }
}

async fn delete(client: &mut Client, name: &str) -> ErrorCode {
    let request =
        DeleteTopicsRequest { topic_names: vec![name.to_owned()], timeout_ms: 20_000, ..Default::default() };
    code(client.call(5, &request).await.responses[0].error_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_leaves_nothing_and_may_come_again() {
    let (zk, node) = one(&[("auto.create.topics.enable", "false"), ("file.delete.delay.ms", "0")]).await;
    let mut client = node.client().await;
    let session = zk.session(Duration::from_secs(4)).await;
    let first = client.create("phoenix", 2, &[]).await;
    client.produce(("phoenix", 0), &["old"]).await;
    assert_eq!(delete(&mut client, "phoenix").await, ErrorCode::None);
    assert_eq!(code(client.topic("phoenix").await.error_code), ErrorCode::UnknownTopicOrPartition);
    for path in ["/brokers/topics/phoenix", "/config/topics/phoenix", "/admin/delete_topics/phoenix"] {
        until("the topic's znodes to go", async || {
            session.get(path).await.expect("ZooKeeper answers").is_none().then_some(())
        })
        .await;
    }
    assert!(!node.logs().join("phoenix-0").exists(), "renamed before the controller was told");
    let second = client.create("phoenix", 1, &[]).await;
    assert_ne!(first, second);
    assert_eq!(client.values(("phoenix", 0), 0).await, [], "nothing of the old topic");
    assert_eq!(delete(&mut client, "never").await, ErrorCode::UnknownTopicOrPartition);
    let by_id = DeleteTopicState { topic_id: second, ..Default::default() };
    let request = DeleteTopicsRequest { topics: vec![by_id], timeout_ms: 20_000, ..Default::default() };
    assert_eq!(client.call(6, &request).await.responses[0].error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_grows() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("grows", 1, &[]).await;
    client.produce(("grows", 0), &["kept"]).await;
    for (count, expected) in
        [(4, ErrorCode::None), (4, ErrorCode::InvalidPartitions), (2, ErrorCode::InvalidPartitions)]
    {
        let topic = CreatePartitionsTopic {
            name: "grows".to_owned(),
            count,
            assignments: None,
            ..Default::default()
        };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
        let answer = client.call(3, &request).await;
        assert_eq!(code(answer.results[0].error_code), expected, "to {count}");
    }
    until("leaders of the new partitions", async || {
        let mut client = node.client().await;
        let topic = client.topic("grows").await;
        let led = topic.partitions.iter().filter(|part| part.error_code == 0 && part.leader_id == 1).count();
        (led == 4).then_some(())
    })
    .await;
    for partition in 1..4 {
        client.produce(("grows", partition), &["new"]).await;
    }
    assert_eq!(client.values(("grows", 0), 0).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_creates_topics_when_asked() {
    let (_zk, node) = one(&[("num.partitions", "2")]).await;
    let mut client = node.client().await;
    let request = ottla::protocol::messages::MetadataRequest {
        topics: Some(vec![ottla::protocol::messages::metadata::MetadataRequestTopic {
            name: Some("auto".to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let mut seen = BTreeSet::new();
    loop {
        let topic = client.call(9, &request).await.topics.remove(0);
        seen.insert(topic.error_code);
        if topic.error_code == 0 {
            assert_eq!(topic.partitions.len(), 2);
            break;
        }
        assert!(matches!(
            code(topic.error_code),
            ErrorCode::LeaderNotAvailable | ErrorCode::UnknownTopicOrPartition
        ));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen.len() <= 3, "{seen:?}");
}

/// Somebody else writes nonsense into ZooKeeper: the broker says so and lives on.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_znodes_kills_nobody() {
    let (zk, mut node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("sane", 1, &[]).await;
    client.create("broken-topic", 1, &[]).await;
    client.create("broken-state", 1, &[]).await;
    client.create("broken-config", 1, &[]).await;
    let session = zk.session(Duration::from_secs(4)).await;
    let persistent = ottla_zk::store::CreateMode::Persistent;
    for (path, nonsense) in [
        ("/brokers/topics/broken-topic", &b"{\"version\":"[..]),
        ("/brokers/topics/broken-state/partitions/0/state", b"\xff\xfe"),
        ("/config/topics/broken-config", b"[1,2]"),
    ] {
        session.set(path, nonsense, None).await.expect("a znode of a topic");
    }
    for (path, nonsense) in [
        ("/brokers/ids/77", &b"nobody"[..]),
        ("/brokers/ids/no-number", b"{}"),
        ("/brokers/topics/new-nonsense", b"{\"version\":3,\"partitions\":{\"x\":[1]}}"),
        ("/config/changes/config_change_0000000099", b"{\"version\":9}"),
    ] {
        session.create(path, nonsense, persistent).await.expect("ZooKeeper takes anything");
    }
    client.create("after", 1, &[]).await;
    client.produce(("after", 0), &["lives"]).await;
    client.produce(("sane", 0), &["lives"]).await;
    client.produce(("broken-topic", 0), &["still led"]).await;
    // It also starts with all that, and is elected.
    node.stop().await;
    node.start_again(&zk).await;
    let mut client = node.client().await;
    until("the sane topics to be led again", async || {
        let mut client = node.client().await;
        let topic = client.topic("sane").await;
        topic.partitions.iter().any(|part| part.error_code == 0).then_some(())
    })
    .await;
    client.produce(("sane", 0), &["after the restart"]).await;
    client.create("later", 1, &[]).await;
    let kept =
        session.get("/brokers/topics/broken-topic").await.expect("ZooKeeper answers").expect("it is there");
    assert_eq!(&kept.data[..], b"{\"version\":", "what cannot be read is not overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_of_the_same_id_waits() {
    let (zk, mut node) = one(&[]).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut twin = Node::at(1, dir.path().join("logs"), &[]);
    let gone = AtomicBool::new(false);
    let ((), started) = tokio::join!(
        async {
            // Nothing may happen to the first for a while; then it goes.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(node.client().await.metadata(&[]).await.brokers.len(), 1);
            node.client().await.create("first", 1, &[]).await;
            gone.store(true, Ordering::SeqCst);
            node.stop().await;
        },
        async {
            let started = twin.try_start(&zk).await;
            assert!(gone.load(Ordering::SeqCst), "it must wait while the first lives");
            started
        }
    );
    started.expect("it takes over once the first is gone");
    // As a client does: the twin is not controller the moment it is up.
    until("the twin to be controller", async || {
        let created = twin.client().await.try_create("second", 1, &[]).await;
        (created.error_code == 0).then_some(())
    })
    .await;
}
