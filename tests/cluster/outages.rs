//! ZooKeeper away, sessions expired, brokers killed: what goes on, what waits, what is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ottla::protocol::error_code::ErrorCode;
use ottla_zk::store::Store;

use super::client::{Client, batch, code};
use super::nodes::{Node, Zk, json, one, until};
use super::processes::{Process, properties};

#[tokio::test(flavor = "multi_thread")]
async fn without_zookeeper_producing_and_fetching_go_on() {
    let (mut zk, node) = one(&[("zookeeper.session.timeout.ms", "4000")]).await;
    let mut client = node.client().await;
    client.create("goes-on", 1, &[]).await;
    let (ended, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let producing = {
        let (ended, written, mut client) = (ended.clone(), written.clone(), node.client().await);
        tokio::spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                let answer = client.produce_as(9, ("goes-on", 0), -1, batch(&["x"])).await;
                assert_eq!(answer.error_code, 0, "an acks=all write failed while ZooKeeper was away");
                written.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let before = written.load(Ordering::SeqCst);
    zk.stop().await;
    until("writes without ZooKeeper", async || (written.load(Ordering::SeqCst) > before + 50).then_some(()))
        .await;
    assert_eq!(client.values(("goes-on", 0), 0).await[0].1, "x");
    zk.start_again().await;
    until("a topic to be created again", async || {
        let created = node.client().await.try_create("again", 1, &[]).await;
        (created.error_code == 0 || created.error_code == 36).then_some(())
    })
    .await;
    ended.store(true, Ordering::SeqCst);
    producing.await.expect("no write failed");
    let values = client.values(("goes-on", 0), 0).await;
    assert_eq!(values.len(), written.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_zookeeper_ends_cleanly() {
    let (mut zk, mut node) = one(&[]).await;
    zk.stop().await;
    tokio::time::timeout(Duration::from_secs(20), node.stop()).await.expect("it does not wait for ZooKeeper");
    assert!(node.logs().join(".kafka_cleanshutdown").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_registers_again() {
    let zk = Zk::start().await;
    let node = Node::behind_line(&zk, 1).await;
    let mut client = node.client().await;
    client.create("lives", 1, &[]).await;
    let session = zk.session(Duration::from_secs(4)).await;
    let first = session.get("/brokers/ids/1").await.expect("ZooKeeper answers").expect("registered").stat;
    let epoch = json(&*session, "/controller_epoch").await.expect("elected");
    let line = node.line.as_ref().expect("set above");
    line.set(false);
    until("the session to expire", async || {
        session.get("/brokers/ids/1").await.expect("ZooKeeper answers").is_none().then_some(())
    })
    .await;
    client.produce(("lives", 0), &["without a session"]).await;
    line.set(true);
    let second = until("a new registration", async || {
        let node = session.get("/brokers/ids/1").await.expect("ZooKeeper answers")?;
        (node.stat.czxid != first.czxid).then_some(node.stat)
    })
    .await;
    assert_ne!(second.ephemeral_owner, first.ephemeral_owner);
    until("a new controller", async || {
        let newer = json(&*session, "/controller_epoch").await?;
        (newer.as_i64() > epoch.as_i64() && json(&*session, "/controller").await.is_some()).then_some(())
    })
    .await;
    until("topics to be created again", async || {
        let created = node.client().await.try_create("after", 1, &[]).await;
        (created.error_code == 0).then_some(())
    })
    .await;
    client.produce(("lives", 0), &["still"]).await;
    client.produce(("after", 0), &["new"]).await;
    assert_eq!(
        node.running.as_ref().expect("it runs").broker.epoch(),
        second.czxid,
        "the new broker epoch is known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_comes_back_by_itself() {
    let zk = Zk::start().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Longer than a start takes: the old ephemeral still lives.
    let more = [("zookeeper.session.timeout.ms", "4000")];
    let file = properties(dir.path(), 1, &zk.connect_string(), &more);
    let mut process = Process::start(&file, &[]);
    let mut client = process.client().await;
    client.create("kept", 1, &[]).await;
    for number in 0..50 {
        assert_eq!(client.produce(("kept", 0), &[&number.to_string()]).await, number);
    }
    process.kill();
    let mut process = Process::start(&file, &[]);
    process.says("still registered by another ZooKeeper session").await;
    process.says("this broker has taken over").await;
    let mut client = process.client().await;
    until("the partition to be led again", async || {
        let mut client = process_client(&process).await;
        let topic = client.topic("kept").await;
        topic.partitions.iter().any(|part| part.error_code == 0 && part.leader_id == 1).then_some(())
    })
    .await;
    let values = client.values(("kept", 0), 0).await;
    assert!(values.iter().map(|(_, value)| value.clone()).eq((0..50).map(|number| number.to_string())));
    assert!(process.stop().await);
}

async fn process_client(process: &Process) -> super::client::Client {
    let line = process.said().into_iter().find(|line| line.contains("point clients at")).expect("it is up");
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("a port");
    super::client::Client::open(port).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_zookeeper_at_start_is_one_clear_sentence() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let connect = free.local_addr().expect("an address").to_string();
    drop(free);
    let more = [("zookeeper.connection.timeout.ms", "1500")];
    let file = properties(dir.path(), 1, &connect, &more);
    let begun = Instant::now();
    let mut process = Process::start(&file, &[]);
    assert!(!process.ended().await, "it must not pretend to have worked");
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(1400) && waited < Duration::from_secs(10), "{waited:?}");
    // The line on standard error may arrive a moment after the end.
    let errors = until("the sentence", async || {
        let said: Vec<String> =
            process.said().into_iter().filter(|line| line.starts_with("ottla: ")).collect();
        (!said.is_empty()).then_some(said)
    })
    .await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains(&connect), "it names where it looked: {}", errors[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_in_order_does_not_warn_of_its_own_leaving() {
    let mut process = Process::dev(&[]).await;
    process.client().await;
    assert!(process.stop().await);
    // Its last lines may arrive a moment after the end.
    let said = until("the last word", async || {
        let said = process.said();
        said.iter().any(|line| line.contains("INFO stopped")).then_some(said)
    })
    .await;
    let mut stop = said.iter().skip_while(|line| !line.contains("INFO stopping")).peekable();
    assert!(stop.peek().is_some(), "{said:#?}");
    assert!(stop.all(|line| !line.contains("WARN") && !line.contains("ERROR")), "{said:#?}");
}

/// Found by the chaos rig: a consumer that had read on from the new leader asked the old one, which had not heard of it, and
/// began anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_may_have_been_replaced_takes_nobodys_place_away() {
    let zk = Zk::start().await;
    let node = Node::behind_line(&zk, 1).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(("t", 0), &["a", "b"]).await;
    let beyond = async |client: &mut Client| code(client.fetch_as(12, ("t", 0), 3).await.error_code);
    assert_eq!(beyond(&mut client).await, ErrorCode::OffsetOutOfRange, "nobody has more");
    node.line.as_ref().expect("a line").set(false);
    until("the loss of ZooKeeper to be noticed", async || {
        let mut client = node.client().await;
        (beyond(&mut client).await == ErrorCode::NotLeaderOrFollower).then_some(())
    })
    .await;
    assert_eq!(client.values(("t", 0), 0).await.len(), 2, "what it has it serves");
    node.line.as_ref().expect("a line").set(true);
    until("the roles to be sure again", async || {
        let mut client = node.client().await;
        (beyond(&mut client).await == ErrorCode::OffsetOutOfRange).then_some(())
    })
    .await;
}
