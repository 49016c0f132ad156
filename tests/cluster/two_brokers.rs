//! Two brokers on one ZooKeeper: topics of one replica spread over both, and each client finds its leader.

use std::collections::BTreeSet;

use ottla::protocol::error_code::ErrorCode;

use super::client::{batch, code};
use super::nodes::{Node, Zk, json, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_joins_and_shares_the_work() {
    let zk = Zk::start().await;
    let mut one = Node::start(&zk, 1, &[]).await;
    let two = Node::start(&zk, 2, &[]).await;
    for node in [&one, &two] {
        until("both brokers in the metadata", async || {
            let answer = node.client().await.metadata(&[]).await;
            (answer.brokers.len() == 2).then_some(())
        })
        .await;
    }
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
