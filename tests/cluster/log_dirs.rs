//! Replicas on their way from one log directory of a broker to another (AlterReplicaLogDirs, DescribeLogDirs).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use ottla::protocol::messages::describe_log_dirs::DescribeLogDirsPartition;
use ottla::protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla::protocol::messages::{
    AlterReplicaLogDirsRequest, DescribeLogDirsRequest, IncrementalAlterConfigsRequest,
};

use super::client::{Client, code};
use super::nodes::{Node, Zk, until};

const AT: (&str, i32) = ("moved", 0);

async fn alter(client: &mut Client, partition: i32, to: &str) -> ErrorCode {
    let topics = vec![AlterReplicaLogDirTopic {
        name: AT.0.into(),
        partitions: vec![partition],
        ..Default::default()
    }];
    let dirs = vec![AlterReplicaLogDir { path: to.into(), topics, ..Default::default() }];
    let answer = client.call(2, &AlterReplicaLogDirsRequest { dirs, ..Default::default() }).await;
    code(answer.results[0].partitions[0].error_code)
}

/// Where the partition lies: directory, and what is said of it there.
async fn places(client: &mut Client) -> Vec<(String, DescribeLogDirsPartition)> {
    let answer = client.call(4, &DescribeLogDirsRequest { topics: None, ..Default::default() }).await;
    let mut places = Vec::new();
    for dir in answer.results {
        for topic in dir.topics.into_iter().filter(|topic| topic.name == AT.0) {
            places.extend(topic.partitions.into_iter().map(|part| (dir.log_dir.clone(), part)));
        }
    }
    places
}

const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Sets the rate of copies, and waits until it is in force.
async fn set_rate(node: &Node, bytes_per_second: i64) {
    let config = AlterableConfig {
        name: RATE.into(),
        value: Some(bytes_per_second.to_string()),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 4,
        resource_name: node.id.to_string(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = node.client().await.call(1, &request).await;
    assert_eq!(
        code(answer.responses[0].error_code),
        ErrorCode::None,
        "{:?}",
        answer.responses[0].error_message
    );
    let configs = node.running.as_ref().expect("it runs").broker.configs.clone();
    until("the rate to be in force", async || {
        (configs.set_number(RATE) == Some(bytes_per_second)).then_some(())
    })
    .await;
}

async fn arrives(client: &mut Client, at: &str) {
    loop {
        let now = places(client).await;
        if let [(dir, part)] = now.as_slice()
            && dir == at
            && !part.is_future_key
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_moves_while_it_is_written() {
    let zk = Zk::start().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = format!("{},{}", one.path().display(), two.path().display());
    let mut node = Node::start(&zk, 1, &[("log.dirs", &dirs), ("log.segment.bytes", "100000")]).await;
    let mut client = node.client().await;
    client.create(AT.0, 1, &[]).await;
    let text = "x".repeat(2_000);
    for _ in 0..500 {
        client.produce(AT, &[&text]).await;
    }
    let from = places(&mut client).await[0].0.clone();
    let to = [&one, &two].map(|dir| dir.path().display().to_string()).into_iter().find(|dir| *dir != from);
    let to = to.expect("the other one");
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (mut client, done) = (node.client().await, done.clone());
        tokio::spawn(async move {
            let mut written = 500;
            while !done.load(Ordering::SeqCst) {
                assert_eq!(client.produce(AT, &[&written.to_string()]).await, written);
                written += 1;
            }
            written
        })
    };
    assert_eq!(alter(&mut client, 0, &to).await, ErrorCode::None);
    let moved = arrives(&mut client, &to);
    tokio::time::timeout(super::nodes::PATIENCE, moved).await.expect("the replica arrives");
    done.store(true, Ordering::SeqCst);
    let written = writer.await.expect("every record was taken");
    assert!(written > 500, "records were written during the move");
    let values = client.values(AT, 0).await;
    let numbers = values.iter().skip(500).map(|(_, value)| value.parse::<i64>().expect("a number"));
    assert!(numbers.eq(500..written), "every record is there once");
    assert!(values.iter().enumerate().all(|(at, (offset, _))| at as i64 == *offset));
    // It stays there after a restart, and what is written goes there.
    node.stop().await;
    node.start_again(&zk).await;
    until("the partition to be led again", async || {
        let topic = node.client().await.topic(AT.0).await;
        topic.partitions.iter().all(|part| part.error_code == 0).then_some(())
    })
    .await;
    let mut client = node.client().await;
    assert_eq!(client.produce(AT, &["last"]).await, written);
    assert_eq!(places(&mut client).await[0].0, to);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_goes_on_after_a_restart_or_is_called_off() {
    let zk = Zk::start().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = format!("{},{}", one.path().display(), two.path().display());
    let mut node = Node::start(&zk, 1, &[("log.dirs", &dirs)]).await;
    let mut client = node.client().await;
    client.create(AT.0, 1, &[]).await;
    let text = "x".repeat(100_000);
    for _ in 0..40 {
        client.produce(AT, &[&text]).await;
    }
    let from = places(&mut client).await[0].0.clone();
    let to = [&one, &two].map(|dir| dir.path().display().to_string()).into_iter().find(|dir| *dir != from);
    let to = to.expect("the other one");
    // Slow enough to be seen: 1 MB is copied at once, then the rate's pause follows.
    set_rate(&node, 300000).await;
    assert_eq!(alter(&mut client, 0, "/nowhere").await, ErrorCode::LogDirNotFound);
    assert_eq!(alter(&mut client, 0, &to).await, ErrorCode::None);
    let lag = until("the copy to begin", async || {
        let places = places(&mut node.client().await).await;
        let future = places.iter().find(|(_, part)| part.is_future_key)?;
        assert_eq!(future.0, to);
        (future.1.partition_size > 0).then_some(future.1.offset_lag)
    })
    .await;
    assert!((1..40).contains(&lag), "{lag}");
    // Asking for where it is calls the move off.
    assert_eq!(alter(&mut client, 0, &from).await, ErrorCode::None);
    assert_eq!(places(&mut client).await.len(), 1);
    assert_eq!(alter(&mut client, 0, &to).await, ErrorCode::None);
    until("the copy to begin again", async || {
        let places = places(&mut node.client().await).await;
        places.iter().any(|(_, part)| part.is_future_key && part.partition_size > 0).then_some(())
    })
    .await;
    set_rate(&node, 100000000).await;
    node.stop().await;
    node.start_again(&zk).await;
    let mut client = node.client().await;
    tokio::time::timeout(super::nodes::PATIENCE, arrives(&mut client, &to)).await.expect("the move goes on");
    assert_eq!(client.values(AT, 0).await.len(), 40);
}
