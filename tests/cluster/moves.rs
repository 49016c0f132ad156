//! Partitions move between live brokers while clients write (KIP-455): a whole move, one whose target never comes, and
//! its cancelling.

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use ottla::protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla::protocol::messages::{
    AlterPartitionReassignmentsRequest, IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest,
};

use super::client::{batch, code};
use super::nodes::{Node, Zk, all_known, json, until};

/// Asks the controller, `None` cancels; gives the partition's code.
async fn reassign(controller: &Node, replicas: Option<Vec<i32>>) -> ErrorCode {
    let partitions =
        vec![ReassignablePartition { partition_index: 0, replicas, ..ReassignablePartition::default() }];
    let topics = vec![ReassignableTopic { name: "t".into(), partitions, ..Default::default() }];
    let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
    let answer = controller.client().await.call(0, &request).await;
    assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    code(answer.responses[0].partitions[0].error_code)
}

/// Replicas, those being added and those being removed, of the one move under way.
async fn under_way(controller: &Node) -> Option<[Vec<i32>; 3]> {
    let answer = controller.client().await.call(0, &ListPartitionReassignmentsRequest::default()).await;
    assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    let partition = answer.topics.into_iter().next()?.partitions.remove(0);
    Some([partition.replicas, partition.adding_replicas, partition.removing_replicas])
}

/// Lets broker 1 give a byte a second away to whoever copies the topic.
async fn throttle(controller: &Node) {
    let resource = |resource_type, resource_name: &str, name: &str, value: &str| AlterConfigsResource {
        resource_type,
        resource_name: resource_name.into(),
        configs: vec![AlterableConfig {
            name: name.into(),
            value: Some(value.into()),
            ..AlterableConfig::default()
        }],
        ..AlterConfigsResource::default()
    };
    let resources = vec![
        resource(2, "t", "leader.replication.throttled.replicas", "*"),
        resource(4, "1", "leader.replication.throttled.rate", "1"),
    ];
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    for answer in controller.client().await.call(1, &request).await.responses {
        assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    }
}

/// Where the topic's node has the partition.
async fn assigned(node: &Node) -> serde_json::Value {
    json(&**node.store(), "/brokers/topics/t").await.expect("a topic")["partitions"]["0"].clone()
}

/// Sends a value to whoever leads, until it is acknowledged.
async fn write(nodes: &[&Node], value: &str) {
    until("a leader that takes the record", async || {
        for node in nodes {
            let answer = node.client().await.produce_as(11, ("t", 0), -1, batch(&[value])).await;
            if answer.error_code == 0 {
                return Some(());
            }
        }
        None
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_moves_between_live_brokers_and_a_move_that_cannot_end_is_cancelled() {
    let zk = Zk::start().await;
    let one = Node::start(&zk, 1, &[]).await;
    let two = Node::start(&zk, 2, &[]).await;
    let little = [("replica.fetch.max.bytes", "200"), ("replica.fetch.response.max.bytes", "200")];
    let three = Node::start(&zk, 3, &little).await;
    all_known(&[&one, &two, &three]).await;
    one.client().await.create("t", 1, &[]).await;
    let nodes = [&one, &two, &three];
    for value in 0..20 {
        write(&nodes, &format!("before {value}")).await;
    }
    let here = assigned(&one).await[0].as_i64().expect("a broker") as i32;
    let mut there: Vec<i32> = (1..=3).filter(|id| *id != here).collect();
    if there[0] == 3 {
        there.swap(0, 1);
    }
    assert_eq!(reassign(&one, Some(there.clone())).await, ErrorCode::None);
    for value in 0..20 {
        write(&nodes, &format!("meanwhile {value}")).await;
    }
    until("the end of the move", async || under_way(&one).await.is_none().then_some(())).await;
    assert_eq!(assigned(&one).await, serde_json::json!(there));
    let old = nodes[(here - 1) as usize];
    until("the old replica to be deleted", async || (!old.logs().join("t-0").exists()).then_some(())).await;
    let leader = until("a leader among the new replicas", async || {
        let topic = two.client().await.topic("t").await;
        there.contains(&topic.partitions[0].leader_id).then_some(topic.partitions[0].leader_id)
    })
    .await;
    let mut read: Vec<String> = nodes[(leader - 1) as usize]
        .client()
        .await
        .values(("t", 0), 0)
        .await
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let wanted: Vec<String> =
        ["before", "meanwhile"].iter().flat_map(|when| (0..20).map(move |n| format!("{when} {n}"))).collect();
    // One that was refused at the election may have been kept all the same; it was sent again.
    read.dedup();
    assert_eq!(read, wanted, "every record, in order");

    // Home again, and then on, but so slowly that it never gets there.
    assert_eq!(reassign(&one, Some(vec![1])).await, ErrorCode::None);
    until("the end of the move", async || under_way(&one).await.is_none().then_some(())).await;
    assert_eq!(reassign(&one, None).await, ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassign(&one, Some(vec![9])).await, ErrorCode::InvalidReplicaAssignment, "nobody knows 9");
    throttle(&one).await;
    until("the quota at the leader", async || {
        let node = json(&**one.store(), "/config/brokers/1").await?;
        (node["config"]["leader.replication.throttled.rate"] == "1").then_some(())
    })
    .await;
    assert_eq!(reassign(&one, Some(vec![3])).await, ErrorCode::None);
    let listed = until("the move in the list", async || under_way(&one).await).await;
    assert_eq!(listed, [vec![3, 1], vec![3], vec![1]]);
    write(&nodes, "on the way").await;
    assert_eq!(under_way(&one).await, Some([vec![3, 1], vec![3], vec![1]]), "it stays on the way");
    assert_eq!(reassign(&one, None).await, ErrorCode::None);
    until("nothing under way", async || under_way(&one).await.is_none().then_some(())).await;
    assert_eq!(assigned(&one).await, serde_json::json!([1]));
    until("what was copied to be deleted", async || (!three.logs().join("t-0").exists()).then_some(())).await;
    write(&nodes, "after").await;
}
