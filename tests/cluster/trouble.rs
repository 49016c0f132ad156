//! A ZooKeeper that answers and whose nodes are of no use: garbage in them, an access list before them, or a broker
//! that cannot be reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::InitProducerIdRequest;
use ottla_zk::store::{CreateMode, Remote, Store, StoreError};

use super::nodes::{Node, Zk, json, one, until};
use super::processes::{Process, properties};

async fn epoch(session: &Arc<Remote>) -> i64 {
    json(&**session, "/controller_epoch")
        .await
        .and_then(|epoch| epoch.as_i64())
        .expect("there was a controller")
}

async fn write(session: &Arc<Remote>, path: &str, data: &str) {
    match session.set(path, data.as_bytes(), None).await {
        Err(StoreError::NoNode(_)) => {
            session.create(path, data.as_bytes(), CreateMode::Persistent).await.map(drop).expect("created");
        }
        set => drop(set.expect("written")),
    }
}

async fn producer_id(node: &Node) -> Result<i64, i16> {
    let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let answer = node.client().await.call(4, &request).await;
    if answer.error_code == 0 { Ok(answer.producer_id) } else { Err(answer.error_code) }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_two_znodes_leaves_the_controller_in_office() {
    let (zk, node) = one(&[]).await;
    let session = zk.session(Duration::from_secs(4)).await;
    write(&session, "/feature", "{").await;
    write(&session, "/latest_producer_id_block", "[]").await;
    let before = epoch(&session).await;
    session.delete("/controller", None).await.expect("there is a controller");
    until("a topic of the next controller", async || {
        let created = node.client().await.try_create("created", 1, &[]).await;
        (created.error_code == 0 || created.error_code == 36).then_some(())
    })
    .await;
    assert_eq!(producer_id(&node).await, Err(ErrorCode::CoordinatorLoadInProgress.code()));
    let feature = session.get("/feature").await.expect("ZooKeeper answers").expect("it is there");
    assert_eq!(&feature.data[..], b"{", "what nobody understands is nobody's to overwrite");
    assert_eq!(node.running.as_ref().expect("it runs").broker.feature_epoch(), -1);
    let mended = r#"{"version":1,"broker":1,"block_start":"4000","block_end":"4999"}"#;
    write(&session, "/latest_producer_id_block", mended).await;
    until("a producer id", async || (producer_id(&node).await == Ok(5000)).then_some(())).await;
    assert_eq!(epoch(&session).await, before + 1, "one election, and the winner stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_read_the_cluster_stands_again_later_and_later() {
    let (zk, node) = one(&[]).await;
    let session = zk.session(Duration::from_secs(4)).await;
    zk.lock("/admin/delete_topics", true).await;
    let before = epoch(&session).await;
    session.delete("/controller", None).await.expect("there is a controller");
    // Elections at 0, 0.5 and 1.5 s; without a recess there would be hundreds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let elections = epoch(&session).await - before;
    assert!((1..=3).contains(&elections), "{elections} elections in two seconds");
    zk.lock("/admin/delete_topics", false).await;
    until("a controller that can read", async || {
        let created = node.client().await.try_create("created", 1, &[]).await;
        (created.error_code == 0 || created.error_code == 36).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_cannot_be_reached_is_told_of_now_and_then() {
    let zk = Zk::start().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut process = Process::start(&properties(dir.path(), 1, &zk.connect_string(), &[]), &[]);
    process.client().await;
    let session = zk.session(Duration::from_secs(4)).await;
    let registration = r#"{"version":5,"host":null,"port":-1,"jmx_port":-1,"timestamp":"1","endpoints":["OTHER://127.0.0.1:1"],
        "listener_security_protocol_map":{"OTHER":"PLAINTEXT"},"features":{}}"#;
    let stranger = "/brokers/ids/9";
    session.create(stranger, registration.as_bytes(), CreateMode::Ephemeral).await.expect("registered");
    let told = "broker=9 error=";
    let begun = Instant::now();
    process.says(told).await;
    // Tried ten times a second meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lines: Vec<String> = process.said().into_iter().filter(|line| line.contains(told)).collect();
    assert!(lines.len() as u64 <= 1 + begun.elapsed().as_secs() / 5, "{lines:#?}");
    assert!(process.stop().await);
}
