//! Requests that only brokers send, forged or from the past: refused with Kafka's codes, and nothing changes.

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::ids::Uuid;
use ottla::protocol::messages::alter_partition::{BrokerState, PartitionData, TopicData};
use ottla::protocol::messages::leader_and_isr::{LeaderAndIsrPartitionState, LeaderAndIsrTopicState};
use ottla::protocol::messages::stop_replica::{StopReplicaPartitionState, StopReplicaTopicState};
use ottla::protocol::messages::{
    AllocateProducerIdsRequest, AlterPartitionRequest, ControlledShutdownRequest, LeaderAndIsrRequest,
    StopReplicaRequest, UpdateMetadataRequest,
};

use super::client::{Client, code, fetch_request, only};
use super::nodes::{Node, one};

const AT: (&str, i32) = ("kept", 0);

/// The epochs in force: the broker's, the controller's.
async fn epochs(node: &Node) -> (i64, i32) {
    let broker = node.running.as_ref().expect("it runs").broker.epoch();
    let controller = super::nodes::json(&**node.store(), "/controller_epoch").await.expect("a controller");
    (broker, controller.as_i64().expect("a number") as i32)
}

fn follow_another(id: Uuid) -> Vec<LeaderAndIsrTopicState> {
    let state = LeaderAndIsrPartitionState {
        partition_index: AT.1,
        leader: 2,
        leader_epoch: 99,
        isr: vec![2],
        partition_epoch: 99,
        replicas: vec![1, 2],
        ..Default::default()
    };
    let topic = LeaderAndIsrTopicState {
        topic_name: AT.0.into(),
        topic_id: id,
        partition_states: vec![state],
        ..Default::default()
    };
    vec![topic]
}

fn delete() -> Vec<StopReplicaTopicState> {
    let state = StopReplicaPartitionState {
        partition_index: AT.1,
        leader_epoch: -2,
        delete_partition: true,
        ..Default::default()
    };
    vec![StopReplicaTopicState {
        topic_name: AT.0.into(),
        partition_states: vec![state],
        ..Default::default()
    }]
}

/// What the three control requests are answered, sent with these epochs.
async fn control(
    client: &mut Client,
    id: Uuid,
    (broker_epoch, controller_epoch): (i64, i32),
) -> [ErrorCode; 3] {
    let lead = LeaderAndIsrRequest {
        controller_id: 7,
        controller_epoch,
        broker_epoch,
        topic_states: follow_another(id),
        ..Default::default()
    };
    let stop = StopReplicaRequest {
        controller_id: 7,
        controller_epoch,
        broker_epoch,
        topic_states: delete(),
        ..Default::default()
    };
    let metadata =
        UpdateMetadataRequest { controller_id: 7, controller_epoch, broker_epoch, ..Default::default() };
    [
        code(client.call(7, &lead).await.error_code),
        code(client.call(4, &stop).await.error_code),
        code(client.call(8, &metadata).await.error_code),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_an_old_controller_or_to_an_old_broker_change_nothing() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    let id = client.create(AT.0, 1, &[]).await;
    client.produce(AT, &["a", "b"]).await;
    let (broker, controller) = epochs(&node).await;
    assert!(broker > 0 && controller > 0, "{broker}, {controller}");
    let to_the_past = control(&mut client, id, (broker - 1, controller)).await;
    assert_eq!(to_the_past, [ErrorCode::StaleBrokerEpoch; 3]);
    let from_the_past = control(&mut client, id, (broker, controller - 1)).await;
    assert_eq!(from_the_past, [ErrorCode::StaleControllerEpoch; 3]);
    assert_eq!(client.produce(AT, &["c"]).await, 2, "still led here, at the same offset");
    assert_eq!(client.values(AT, 0).await.len(), 3);
    assert_eq!(client.metadata(&[]).await.controller_id, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_serves_brokers_of_this_life_only() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    let id = client.create(AT.0, 1, &[]).await;
    let (broker, _) = epochs(&node).await;
    let alter = |broker_id, broker_epoch| {
        let state = BrokerState { broker_id: 1, ..Default::default() };
        let partition = PartitionData { new_isr_with_epochs: vec![state], ..Default::default() };
        let topic = TopicData { topic_id: id, partitions: vec![partition], ..Default::default() };
        AlterPartitionRequest { broker_id, broker_epoch, topics: vec![topic], ..Default::default() }
    };
    for (broker_id, broker_epoch) in [(1, broker - 1), (1, broker + 1), (9, broker)] {
        let answer = client.call(3, &alter(broker_id, broker_epoch)).await;
        assert_eq!(code(answer.error_code), ErrorCode::StaleBrokerEpoch, "{broker_id}, {broker_epoch}");
    }
    let answer = client.call(3, &alter(1, broker)).await;
    let partition = &answer.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.isr.as_slice()), (0, &[1][..]), "what is so already");
    let ids = |broker_id, broker_epoch| AllocateProducerIdsRequest {
        broker_id,
        broker_epoch,
        ..Default::default()
    };
    let stale = client.call(0, &ids(1, broker - 1)).await;
    assert_eq!(code(stale.error_code), ErrorCode::StaleBrokerEpoch);
    let unknown = client.call(0, &ids(9, broker)).await;
    assert_eq!(code(unknown.error_code), ErrorCode::BrokerIdNotRegistered);
    let leave = ControlledShutdownRequest { broker_id: 1, broker_epoch: broker - 1, ..Default::default() };
    assert_eq!(code(client.call(3, &leave).await.error_code), ErrorCode::StaleBrokerEpoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_replica_moves_no_mark() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    client.create(AT.0, 1, &[]).await;
    client.produce(AT, &["a"]).await;
    for (epoch, expected) in [(-1, ErrorCode::NotLeaderOrFollower), (0, ErrorCode::UnknownLeaderEpoch)] {
        let mut request = fetch_request(AT, 1_000);
        request.replica_id = 5;
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(code(only(&client.call(12, &request).await).error_code), expected, "epoch {epoch}");
    }
    assert_eq!(client.values(AT, 0).await.len(), 1);
}
