//! Group coordinators on a replicated `__consumer_offsets`: they go where their partition's leader goes, and know what was
//! committed.

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::FindCoordinatorRequest;

use super::client::Client;
use super::groups::{commit, try_fetch};
use super::nodes::{Node, Zk, all_known, until};

const GROUP: &str = "movers";
const AT: (&str, i32) = ("moved", 0);
const SETTINGS: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "2"),
    ("offsets.topic.num.partitions", "3"),
    ("replica.fetch.wait.max.ms", "100"),
    ("controlled.shutdown.retry.backoff.ms", "100"),
    ("auto.leader.rebalance.enable", "false"),
];

/// The coordinator of the group as `node` says, once there is one: its broker id.
async fn coordinator(node: &Node) -> i32 {
    until("a coordinator", async || {
        let request = FindCoordinatorRequest { key: GROUP.to_owned(), ..Default::default() };
        let answer = node.client().await.call(3, &request).await;
        (answer.error_code == 0).then_some(answer.node_id)
    })
    .await
}

/// What is committed, once the coordinator has loaded it.
async fn committed(client: &mut Client) -> i64 {
    loop {
        match try_fetch(client, GROUP, AT).await {
            Ok(offset) => return offset,
            Err(ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(code) => panic!("{code}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_moves_with_its_leader_and_knows_every_commit() {
    let zk = Zk::start().await;
    let mut nodes = [Node::start(&zk, 1, SETTINGS).await, Node::start(&zk, 2, SETTINGS).await];
    all_known(&nodes.each_ref()).await;
    nodes[0].client().await.create(AT.0, 1, &[]).await;
    let mut next = 1;
    for round in 0..3 {
        let id = coordinator(&nodes[0]).await;
        let (here, other) = if id == 1 { (0, 1) } else { (1, 0) };
        let mut client = nodes[here].client().await;
        assert_eq!(committed(&mut client).await, if next == 1 { -1 } else { next - 1 }, "round {round}");
        for _ in 0..5 {
            assert_eq!(commit(&mut client, 8, GROUP, AT, next).await, ErrorCode::None, "round {round}");
            next += 1;
        }
        // It leaves in order: the other one takes over at once, with all that was committed.
        nodes[here].stop().await;
        assert_eq!(coordinator(&nodes[other]).await, nodes[other].id);
        assert_eq!(committed(&mut nodes[other].client().await).await, next - 1, "round {round}");
        nodes[here].start_again(&zk).await;
        until("both replicas to be in sync again", async || {
            let topic = nodes[other].client().await.topic("__consumer_offsets").await;
            topic.partitions.iter().all(|part| part.isr_nodes.len() == 2).then_some(())
        })
        .await;
    }
}
