//! The nodes of old tools on a real store: the controller sees them, does what they wish, and takes them away.

use ottla_zk::store::{CreateMode, Store};

use super::nodes::{Node, Zk, all_known, json, until};

async fn is_gone(store: &dyn Store, path: &str) {
    until("the node to be taken away", async || {
        store.exists(path).await.expect("an answer").is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_of_old_tools_are_heard_and_their_nodes_go() {
    let zk = Zk::start().await;
    let one = Node::start(&zk, 1, &[]).await;
    let two = Node::start(&zk, 2, &[]).await;
    all_known(&[&one, &two]).await;
    one.client().await.create("t", 2, &[]).await;
    let store = &**one.store();
    let election =
        br#"{"version":1,"partitions":[{"topic":"t","partition":0},{"topic":"ghost","partition":0}]}"#;
    store
        .create("/admin/preferred_replica_election", election, CreateMode::Persistent)
        .await
        .expect("created");
    is_gone(store, "/admin/preferred_replica_election").await;
    store.create("/admin/preferred_replica_election", b"{", CreateMode::Persistent).await.expect("created");
    is_gone(store, "/admin/preferred_replica_election").await;

    // One is so already, one is refused, and none is left.
    let topic = json(store, "/brokers/topics/t").await.expect("a topic");
    let here = topic["partitions"]["0"][0].as_i64().expect("a replica");
    let wishes = format!(
        r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[{here}]}},{{"topic":"ghost","partition":0,"replicas":[1]}}]}}"#
    );
    store
        .create("/admin/reassign_partitions", wishes.as_bytes(), CreateMode::Persistent)
        .await
        .expect("created");
    is_gone(store, "/admin/reassign_partitions").await;

    // A move begins: the topic's node says so.
    let there = 3 - here;
    let wish =
        format!(r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[{there}]}}]}}"#);
    store
        .create("/admin/reassign_partitions", wish.as_bytes(), CreateMode::Persistent)
        .await
        .expect("created");
    until("the new replica in the topic's node", async || {
        let topic = json(store, "/brokers/topics/t").await?;
        (topic["partitions"]["0"][0] == there).then_some(())
    })
    .await;
    drop(two);
}
