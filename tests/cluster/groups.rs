//! Groups and committed offsets, over the wire and over restarts.

use bytes::Bytes;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::join_group::JoinGroupRequestProtocol;
use ottla::protocol::messages::leave_group::MemberIdentity;
use ottla::protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla::protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla::protocol::messages::sync_group::SyncGroupRequestAssignment;
use ottla::protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};

use super::client::{Client, code};
use super::nodes::{json, one, until};
use super::processes::Process;

/// Asks for the coordinator until there is one, which creates `__consumer_offsets`.
async fn coordinate(client: &mut Client, group: &str) {
    let begun = std::time::Instant::now();
    loop {
        let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
        let answer = client.call(3, &request).await;
        let ready = answer.error_code == 0 && {
            // Found is not yet loaded.
            let heartbeat = HeartbeatRequest { group_id: group.to_owned(), ..Default::default() };
            let error = code(client.call(3, &heartbeat).await.error_code);
            !matches!(
                error,
                ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::CoordinatorNotAvailable
            ) && {
                let fetched = try_fetch(client, group, ("coordinate", 0)).await;
                fetched.is_ok()
            }
        };
        if ready {
            return;
        }
        assert!(begun.elapsed().as_secs() < 20, "no coordinator for {group}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn join(group: &str, member_id: &str, instance: Option<&str>) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol {
        name: "range".to_owned(),
        metadata: Bytes::from_static(b"meta"),
        ..Default::default()
    };
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// Joins, with the id the broker gives where it insists on one.
async fn joined(client: &mut Client, version: i16, group: &str, instance: Option<&str>) -> JoinGroupResponse {
    let first = client.call(version, &join(group, "", instance)).await;
    if code(first.error_code) != ErrorCode::MemberIdRequired {
        assert!(version < 4 || instance.is_some(), "v{version} must insist on a member id");
        return first;
    }
    client.call(version, &join(group, &first.member_id, instance)).await
}

fn sync(group: &str, joined: &JoinGroupResponse, assignment: &'static [u8]) -> SyncGroupRequest {
    let own = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(assignment),
        ..Default::default()
    };
    SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: if joined.leader == joined.member_id { vec![own] } else { Vec::new() },
        ..Default::default()
    }
}

pub async fn commit(
    client: &mut Client,
    version: i16,
    group: &str,
    at: (&str, i32),
    offset: i64,
) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        partition_index: at.1,
        committed_offset: offset,
        committed_metadata: Some("note".to_owned()),
        ..Default::default()
    };
    let topic =
        OffsetCommitRequestTopic { name: at.0.to_owned(), partitions: vec![partition], ..Default::default() };
    let request =
        OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..Default::default() };
    code(client.call(version, &request).await.topics[0].partitions[0].error_code)
}

pub async fn try_fetch(client: &mut Client, group: &str, at: (&str, i32)) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopics {
        name: at.0.to_owned(),
        partition_indexes: vec![at.1],
        ..Default::default()
    };
    let one = OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![one], ..Default::default() };
    let group = client.call(8, &request).await.groups.remove(0);
    match code(group.error_code) {
        ErrorCode::None => Ok(group.topics[0].partitions[0].committed_offset),
        error => Err(error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_join_sync_beat_and_leave_in_every_version() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    for version in 0..=9_i16 {
        let group = format!("group-{version}");
        coordinate(&mut client, &group).await;
        let first = joined(&mut client, version, &group, None).await;
        assert_eq!((first.error_code, first.generation_id), (0, 1), "JoinGroup v{version}");
        assert_eq!((&first.leader, first.members.len()), (&first.member_id, 1));
        assert_eq!(first.protocol_name.as_deref(), Some("range"));
        let sync_version = version.min(5);
        let request = SyncGroupRequest {
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            ..sync(&group, &first, b"mine")
        };
        let synced = client.call(sync_version, &request).await;
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"mine"[..]),
            "SyncGroup v{sync_version}"
        );
        let beat = |generation_id| HeartbeatRequest {
            group_id: group.clone(),
            generation_id,
            member_id: first.member_id.clone(),
            ..Default::default()
        };
        let beat_version = version.min(4);
        assert_eq!(client.call(beat_version, &beat(1)).await.error_code, 0, "Heartbeat v{beat_version}");
        assert_eq!(code(client.call(beat_version, &beat(7)).await.error_code), ErrorCode::IllegalGeneration);
        let leave_version = version.min(5);
        let member = MemberIdentity { member_id: first.member_id.clone(), ..Default::default() };
        let leave = LeaveGroupRequest {
            group_id: group.clone(),
            member_id: if leave_version <= 2 { first.member_id.clone() } else { String::new() },
            members: if leave_version >= 3 { vec![member] } else { Vec::new() },
            ..Default::default()
        };
        assert_eq!(client.call(leave_version, &leave).await.error_code, 0, "LeaveGroup v{leave_version}");
        assert_eq!(code(client.call(beat_version, &beat(1)).await.error_code), ErrorCode::UnknownMemberId);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_a_rebalance() {
    let (_zk, node) = one(&[]).await;
    let (mut one_client, mut two_client) = (node.client().await, node.client().await);
    coordinate(&mut one_client, "pair").await;
    let first = joined(&mut one_client, 5, "pair", None).await;
    one_client.call(3, &sync("pair", &first, b"all")).await;
    let newcomer = tokio::spawn(async move {
        let answer = joined(&mut two_client, 5, "pair", None).await;
        (two_client, answer)
    });
    let beat = HeartbeatRequest {
        group_id: "pair".to_owned(),
        generation_id: 1,
        member_id: first.member_id.clone(),
        ..Default::default()
    };
    until("the first member to hear of the rebalance", async || {
        let mut client = node.client().await;
        let error = code(client.call(3, &beat).await.error_code);
        (error == ErrorCode::RebalanceInProgress).then_some(())
    })
    .await;
    let again = one_client.call(5, &join("pair", &first.member_id, None)).await;
    let (mut two_client, second) = newcomer.await.expect("it joins");
    assert_eq!((again.generation_id, second.generation_id), (2, 2));
    assert_eq!((again.members.len(), second.members.len()), (2, 0), "the leader is told all members");
    let share = |member_id: &str, assignment: &'static [u8]| SyncGroupRequestAssignment {
        member_id: member_id.to_owned(),
        assignment: Bytes::from_static(assignment),
        ..Default::default()
    };
    let mut shares = sync("pair", &again, b"");
    shares.assignments = vec![share(&again.member_id, b"left"), share(&second.member_id, b"right")];
    let waiting = tokio::spawn(async move { two_client.call(3, &sync("pair", &second, b"")).await });
    assert_eq!(&one_client.call(3, &shares).await.assignment[..], b"left");
    assert_eq!(&waiting.await.expect("it is given its share").assignment[..], b"right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_comes_back_without_a_rebalance() {
    let (_zk, node) = one(&[]).await;
    let mut client = node.client().await;
    coordinate(&mut client, "static").await;
    let first = joined(&mut client, 5, "static", Some("one")).await;
    client.call(3, &sync("static", &first, b"kept")).await;
    let again = client.call(5, &join("static", "", Some("one"))).await;
    assert_eq!((again.error_code, again.generation_id), (0, 1), "no rebalance");
    assert_ne!(again.member_id, first.member_id);
    let own = SyncGroupRequest { group_instance_id: Some("one".to_owned()), ..sync("static", &again, b"") };
    assert_eq!(&client.call(3, &own).await.assignment[..], b"kept");
    let old = HeartbeatRequest {
        group_id: "static".to_owned(),
        generation_id: 1,
        member_id: first.member_id,
        group_instance_id: Some("one".to_owned()),
        ..Default::default()
    };
    assert_eq!(code(client.call(3, &old).await.error_code), ErrorCode::FencedInstanceId);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_committed_in_every_version_and_survive_a_restart() {
    let (zk, mut node) = one(&[]).await;
    let mut client = node.client().await;
    client.create("read", 10, &[]).await;
    coordinate(&mut client, "reader").await;
    for version in 0..=9 {
        let code =
            commit(&mut client, version, "reader", ("read", i32::from(version)), 100 + i64::from(version))
                .await;
        if version > 0 {
            assert_eq!(code, ErrorCode::None, "OffsetCommit v{version}");
        } else {
            // Version 0 keeps them in ZooKeeper, as Kafka does to this day.
            assert_eq!(code, ErrorCode::None, "OffsetCommit v0");
        }
    }
    for version in 1..=7 {
        let topic = OffsetFetchRequestTopic {
            name: "read".to_owned(),
            partition_indexes: vec![3, 5],
            ..Default::default()
        };
        let request = OffsetFetchRequest {
            group_id: "reader".to_owned(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let answer = client.call(version, &request).await;
        let offsets: Vec<i64> =
            answer.topics[0].partitions.iter().map(|part| part.committed_offset).collect();
        assert_eq!(offsets, [103, 105], "OffsetFetch v{version}");
    }
    let partitions = json(&**node.store(), "/brokers/topics/__consumer_offsets").await.expect("the topic");
    assert_eq!(partitions["partitions"].as_object().map(serde_json::Map::len), Some(50));
    let config = json(&**node.store(), "/config/topics/__consumer_offsets").await.expect("its configuration");
    assert_eq!(config["config"]["cleanup.policy"], "compact");
    assert_eq!(config["config"]["compression.type"], "producer");
    assert_eq!(config["config"]["segment.bytes"], "104857600");
    node.stop().await;
    node.start_again(&zk).await;
    let mut client = node.client().await;
    coordinate(&mut client, "reader").await;
    for version in 1..=9 {
        assert_eq!(try_fetch(&mut client, "reader", ("read", version)).await, Ok(100 + i64::from(version)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut process = Process::dev_at(dir.path(), &["zookeeper.session.timeout.ms=4000"]);
    let mut client = process.client().await;
    client.create("read", 1, &[]).await;
    coordinate(&mut client, "reader").await;
    for offset in 0..20 {
        assert_eq!(commit(&mut client, 8, "reader", ("read", 0), offset).await, ErrorCode::None);
    }
    process.kill();
    let mut process = Process::dev_at(dir.path(), &["zookeeper.session.timeout.ms=4000"]);
    let mut client = process.client().await;
    coordinate(&mut client, "reader").await;
    assert_eq!(try_fetch(&mut client, "reader", ("read", 0)).await, Ok(19));
    assert!(process.stop().await);
}
