//! Two brokers on one ZooKeeper: topics of one replica spread over both, and each client finds its leader.

use std::collections::BTreeSet;

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::DeleteTopicsRequest;
use ottla::protocol::messages::delete_topics::DeleteTopicState;

use super::client::{batch, code};
use super::nodes::{Node, Zk, all_known, json, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_joins_and_shares_the_work() {
    let zk = Zk::start().await;
    let mut one = Node::start(&zk, 1, &[]).await;
    let two = Node::start(&zk, 2, &[]).await;
    all_known(&[&one, &two]).await;
    let controller = json(&**two.store(), "/controller").await.expect("a controller");
    assert_eq!(controller["brokerid"], 1, "the first one stays controller");
    let mut client = one.client().await;
    client.create("shared", 4, &[]).await;
    let ports = [(1, one.port()), (2, two.port())];
    for node in [&one, &two] {
        until("the topic at each broker", async || {
            let topic = node.client().await.topic("shared").await;
            (topic.partitions.len() == 4 && topic.partitions.iter().all(|part| part.leader_id > 0))
                .then_some(())
        })
        .await;
    }
    let answer = two.client().await.metadata(&["shared"]).await;
    let known: BTreeSet<(i32, u16)> =
        answer.brokers.iter().map(|broker| (broker.node_id, broker.port as u16)).collect();
    assert_eq!(known, BTreeSet::from(ports));
    let leaders: Vec<(i32, i32)> =
        answer.topics[0].partitions.iter().map(|part| (part.partition_index, part.leader_id)).collect();
    assert_eq!(leaders.iter().filter(|(_, leader)| *leader == 1).count(), 2, "{leaders:?}");
    for (partition, leader) in leaders {
        let (right, wrong) = if leader == 1 { (&one, &two) } else { (&two, &one) };
        let at = ("shared", partition);
        right.client().await.produce(at, &["here"]).await;
        let refused = wrong.client().await.produce_as(11, at, -1, batch(&["there"])).await;
        assert_eq!(code(refused.error_code), ErrorCode::NotLeaderOrFollower);
        assert_eq!(refused.current_leader.leader_id, leader, "the answer names the leader");
        let refused = wrong.client().await.fetch_as(12, at, 0).await;
        assert_eq!(code(refused.error_code), ErrorCode::NotLeaderOrFollower);
        assert_eq!(right.client().await.values(at, 0).await.len(), 1);
    }
    // The controller goes: the other takes its place, and what it leads is served on.
    one.stop().await;
    until("the second broker as controller", async || {
        let controller = json(&**two.store(), "/controller").await?;
        (controller["brokerid"] == 2).then_some(())
    })
    .await;
    until("a topic made by the new controller", async || {
        let created = two.client().await.try_create("later", 1, &[]).await;
        (created.error_code == 0).then_some(())
    })
    .await;
    two.client().await.produce(("later", 0), &["served"]).await;
    let topic = two.client().await.topic("shared").await;
    let orphaned =
        topic.partitions.iter().filter(|part| code(part.error_code) == ErrorCode::LeaderNotAvailable);
    assert_eq!(orphaned.count(), 2, "a single replica's partitions wait for it");
    // It comes back and leads again.
    one.start_again(&zk).await;
    until("every partition to be led again", async || {
        let topic = two.client().await.topic("shared").await;
        topic.partitions.iter().all(|part| part.leader_id > 0).then_some(())
    })
    .await;
}

/// What each partition's leader says to a record of 1,000 bytes, each of which must lead one.
async fn judged(nodes: [&Node; 2], topic: &str) -> Vec<ErrorCode> {
    let mut codes = Vec::new();
    for node in nodes {
        let led = until("a partition led by each broker", async || {
            let topic = node.client().await.topic(topic).await;
            topic.partitions.iter().find(|part| part.leader_id == node.id).map(|part| part.partition_index)
        })
        .await;
        let record = batch(&["x".repeat(1_000).as_str()]);
        codes.push(code(node.client().await.produce_as(11, (topic, led), -1, record).await.error_code));
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_sets_at_its_birth_is_in_force_at_every_leader_and_goes_with_it() {
    let zk = Zk::start().await;
    let one = Node::start(&zk, 1, &[]).await;
    let two = Node::start(&zk, 2, &[]).await;
    let nodes = [&one, &two];
    all_known(&nodes).await;
    one.client().await.create("narrow", 2, &[("max.message.bytes", "500")]).await;
    assert_eq!(judged(nodes, "narrow").await, [ErrorCode::MessageTooLarge; 2]);
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some("narrow".into()), ..Default::default() }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let answer = one.client().await.call(6, &request).await;
    assert_eq!(code(answer.responses[0].error_code), ErrorCode::None);
    for node in nodes {
        until("the topic to be gone", async || {
            let topic = node.client().await.topic("narrow").await;
            (code(topic.error_code) == ErrorCode::UnknownTopicOrPartition).then_some(())
        })
        .await;
    }
    until("the topic anew", async || {
        let created = one.client().await.try_create("narrow", 2, &[]).await;
        (created.error_code == 0).then_some(())
    })
    .await;
    assert_eq!(judged(nodes, "narrow").await, [ErrorCode::None; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_cannot_be_at_one_address() {
    let zk = Zk::start().await;
    let mut one = Node::start(&zk, 1, &[]).await;
    let address = format!("PLAINTEXT://127.0.0.1:{}", one.port());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut two = Node::at(2, dir.path().join("logs"), &[("advertised.listeners", address.as_str())]);
    let refused = two.try_start(&zk).await.expect_err("the address is broker 1's");
    let why = format!("{address} is registered by broker 1 already");
    assert!(refused.contains(&why), "{refused}");
    one.stop().await;
    two.try_start(&zk).await.expect("nobody has the address any more");
}
