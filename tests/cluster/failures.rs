//! What a cluster makes of brokers and disks that fail: writes under way, directories that are dead at a start, elections
//! that are allowed while brokers run.

use std::collections::BTreeSet;
use std::path::Path;

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::DescribeLogDirsRequest;

use super::client::code;
use super::nodes::{Node, Zk, all_known, until};
use super::processes::{Process, properties};
use super::replication::{alter, create, until_isr, until_leader};

/// The leader goes on in a new term when a dead follower leaves the ISR: what it had appended is kept, and acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_a_dead_follower_is_acknowledged_without_it() {
    let zk = Zk::start().await;
    let one = Node::start(&zk, 1, &[]).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let session = [("zookeeper.session.timeout.ms", "1500")];
    let mut two = Process::start(&properties(dir.path(), 2, &zk.connect_string(), &session), &[]);
    two.client().await;
    create(&one, "kept").await;
    until_isr(&one, "kept", &[1, 2]).await;
    let mut client = one.client().await;
    assert_eq!(client.produce(("kept", 0), &["before"]).await, 0);
    two.kill();
    assert_eq!(
        client.produce(("kept", 0), &["meanwhile"]).await,
        1,
        "it waited, and is acknowledged as it was appended"
    );
    until_isr(&one, "kept", &[1]).await;
    assert_eq!(client.produce(("kept", 0), &["after"]).await, 2);
    assert_eq!(client.values(("kept", 0), 0).await.len(), 3);
}

/// Topic partitions that lie in a directory.
fn lying_in(dir: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(dir)
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("spread-")).collect()
}

/// A directory that is dead at the start keeps its replicas: none is made anew elsewhere, and all are back once it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_dead_at_the_start_keeps_its_replicas() {
    let zk = Zk::start().await;
    let root = tempfile::tempdir().expect("a temporary directory");
    let (good, dead, away) = (root.path().join("good"), root.path().join("dead"), root.path().join("away"));
    let dirs = format!("{},{}", good.display(), dead.display());
    let mut node = Node::at(1, good.clone(), &[("log.dirs", &dirs)]);
    node.start_again(&zk).await;
    let mut client = node.client().await;
    client.create("spread", 6, &[]).await;
    for partition in 0..6 {
        client.produce(("spread", partition), &["kept"]).await;
    }
    let (in_good, in_dead) = (lying_in(&good), lying_in(&dead));
    assert_eq!((in_good.len(), in_dead.len()), (3, 3));
    node.stop().await;
    std::fs::rename(&dead, &away).expect("it can be moved");
    std::fs::write(&dead, b"no directory").expect("a file");
    node.start_again(&zk).await;
    until("half of the partitions to be led", async || {
        let topic = node.client().await.topic("spread").await;
        (topic.partitions.iter().filter(|part| part.leader_id == 1).count() == 3).then_some(())
    })
    .await;
    let answer =
        node.client().await.call(4, &DescribeLogDirsRequest { topics: None, ..Default::default() }).await;
    let failed =
        answer.results.iter().find(|result| Path::new(&result.log_dir) == dead).expect("it is named");
    assert_eq!(code(failed.error_code), ErrorCode::KafkaStorageError);
    node.stop().await;
    assert_eq!(lying_in(&good), in_good, "nothing was made anew");
    std::fs::remove_file(&dead).expect("our file");
    std::fs::rename(&away, &dead).expect("it can be moved");
    node.start_again(&zk).await;
    until("every partition to be led", async || {
        let topic = node.client().await.topic("spread").await;
        topic.partitions.iter().all(|part| part.leader_id == 1).then_some(())
    })
    .await;
    let mut client = node.client().await;
    for partition in 0..6 {
        assert_eq!(client.values(("spread", partition), 0).await, [(0, "kept".to_owned())]);
    }
    node.stop().await;
}

/// `unclean.leader.election.enable` for all topics, given while brokers run, is in force at once.
#[tokio::test(flavor = "multi_thread")]
async fn unclean_elections_can_be_allowed_for_all_while_brokers_run() {
    let zk = Zk::start().await;
    let three = Node::start(&zk, 3, &[]).await;
    let mut one = Node::start(&zk, 1, &[]).await;
    let mut two = Node::start(&zk, 2, &[]).await;
    all_known(&[&one, &two, &three]).await;
    create(&three, "stale").await;
    until_isr(&three, "stale", &[1, 2]).await;
    two.stop().await;
    until_isr(&three, "stale", &[1]).await;
    one.client().await.produce(("stale", 0), &["only at one"]).await;
    one.stop().await;
    two.start_again(&zk).await;
    until_leader(&three, "stale", -1).await;
    alter(&three, 4, "", "unclean.leader.election.enable", Some("true")).await;
    until_leader(&three, "stale", 2).await;
}
