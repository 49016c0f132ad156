//! Kafka's operations against every server: elections, registrations, guarded writes, configs, ids.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_zk::kafka::controller::{self, Election};
use ottla_zk::kafka::topics::Placement;
use ottla_zk::kafka::{
    self, Guard, KafkaError, acls, brokers, changes, cluster, configs, features, guarded, notifications,
    producer_ids, tokens, topics, wishes,
};
use ottla_zk::store::{CreateMode, Remote, Store, StoreError};
use ottla_zk::znode::acl::{AclEntry, Operation, PatternType, Permission, ResourcePattern, ResourceType};
use ottla_zk::znode::broker::{BrokerFormat, BrokerRegistration, Endpoint};
use ottla_zk::znode::config::{self, ConfigEntity, ConfigNode};
use ottla_zk::znode::feature::FeatureNode;
use ottla_zk::znode::partition::{self, PartitionState};
use ottla_zk::znode::token::TokenNode;
use ottla_zk::znode::topic::TopicNode;

use crate::proxy::{Mode, Proxy};
use crate::servers::{AnyServer, session};

const NOW_MS: i64 = 1_700_000_000_000;

async fn open(server: &AnyServer, chroot: &str) -> Remote {
    session(server.port(), chroot, Duration::from_secs(6)).await
}

async fn won(store: &dyn Store, id: i32) -> Guard {
    match controller::elect(store, id, NOW_MS).await.unwrap() {
        Election::Won(guard) => guard,
        Election::Lost(active) => panic!("lost to {active:?}"),
    }
}

fn state(epoch: i32) -> PartitionState {
    PartitionState { leader: 1, leader_epoch: epoch, controller_epoch: 1, isr: vec![1, 2], recovering: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_controller_at_a_time_and_a_deposed_one_writes_nothing() {
    for server in AnyServer::all().await {
        let (one, two) = (open(&server, "/elect").await, open(&server, "/elect").await);
        let first = won(&one, 1).await;
        assert_eq!((first.epoch, first.version), (1, 1));
        let Election::Lost(active) = controller::elect(&two, 2, NOW_MS).await.unwrap() else {
            panic!("two won")
        };
        assert_eq!((active.node.broker_id, active.owner), (1, one.session_id()));
        // Somebody deletes the node by hand: the next election, while the first has not noticed.
        two.delete("/controller", None).await.unwrap();
        let second = won(&two, 2).await;
        assert_eq!((second.epoch, second.version), (2, 2));
        let deposed = KafkaError::Deposed { epoch: 1 };
        let write = guarded::Write { path: "/controller_epoch".into(), data: "9".into(), version: None };
        assert_eq!(guarded::set_many(&one, first, &[write]).await, Err(deposed.clone()));
        assert_eq!(guarded::create(&one, first, "/x", b"").await, Err(deposed));
        assert_eq!(one.get("/x").await.unwrap(), None);
        assert_eq!(controller::resign(&one, first).await, Ok(()));
        assert_eq!(controller::active(&one).await.unwrap().unwrap().node.broker_id, 2);
        assert_eq!(controller::resign(&two, second).await, Ok(()));
        assert_eq!(controller::active(&one).await.unwrap(), None);
        assert_eq!(controller::epoch(&one).await.unwrap().unwrap().epoch, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_election_whose_answer_is_lost_is_won_once() {
    for server in AnyServer::all().await {
        let proxy = Proxy::to(server.port()).await;
        let store = session(proxy.port, "/lost", Duration::from_secs(6)).await;
        let witness = open(&server, "/lost").await;
        won(&witness, 7).await;
        witness.delete("/controller", None).await.unwrap();
        // The election's transaction is applied, and its answer lost.
        let elect = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            won(&store, 1).await
        };
        let lost = Duration::from_millis(400);
        let (guard, ()) = tokio::join!(elect, proxy.lose(Mode::MuteMulti, lost));
        assert_eq!(guard.epoch, 2, "one attempt, one epoch");
        let active = controller::active(&witness).await.unwrap().unwrap();
        assert_eq!((active.node.broker_id, active.owner), (1, store.session_id()));
        assert_eq!(controller::epoch(&witness).await.unwrap(), Some(guard));
        assert_eq!(guarded::create(&store, guard, "/mine", b"").await, Ok(true), "the guard fits");
        // The same for a registration.
        kafka::create_top_level(&witness).await.unwrap();
        let register = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            brokers::register(&store, 1, b"{}", 0).await.unwrap()
        };
        let (epoch, ()) = tokio::join!(register, proxy.lose(Mode::Mute, lost));
        assert_eq!(witness.exists("/brokers/ids/1").await.unwrap().unwrap().czxid, epoch);
    }
}

fn registration(rack: &str) -> BrokerRegistration {
    let endpoint =
        Endpoint { listener: "PLAINTEXT".into(), protocol: "PLAINTEXT".into(), host: "h".into(), port: 9092 };
    BrokerRegistration {
        endpoints: vec![endpoint],
        rack: Some(rack.into()),
        jmx_port: -1,
        timestamp_ms: NOW_MS,
        features: BTreeMap::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_id_belongs_to_one_session() {
    for server in AnyServer::all().await {
        let (one, two) = (open(&server, "/ids").await, open(&server, "/ids").await);
        kafka::create_top_level(&one).await.unwrap();
        kafka::create_top_level(&one).await.unwrap();
        let data = registration("a").encode(BrokerFormat::V5);
        let epoch = brokers::register(&one, 1, &data, 0).await.unwrap();
        assert_eq!(brokers::register(&one, 1, &data, 0).await, Ok(epoch), "again is the same");
        let taken = KafkaError::BrokerIdTaken { id: 1, owner: one.session_id() };
        assert_eq!(brokers::register(&two, 1, &data, 0).await, Err(taken));
        // The same process after an expiry that the server has not noticed: its own leftover is replaced.
        let again = brokers::register(&two, 1, &data, one.session_id()).await.unwrap();
        assert!(again > epoch, "a new registration is a new epoch");
        brokers::register(&two, 2, &data, 0).await.unwrap();
        brokers::update(&two, 2, &registration("b").encode(BrokerFormat::V5)).await.unwrap();
        let live = brokers::list(&one).await.unwrap();
        assert_eq!(live.iter().map(|broker| broker.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((live[0].epoch, live[1].registration.clone()), (again, registration("b")));
        brokers::unregister(&one, 1).await.unwrap();
        assert!(brokers::get(&one, 1).await.unwrap().is_some(), "not another session's");
        two.close(Duration::from_secs(5)).await;
        assert_eq!(brokers::list(&one).await.unwrap(), []);
        let ids = (
            brokers::generate_id(&one, 1000).await.unwrap(),
            brokers::generate_id(&one, 1000).await.unwrap(),
        );
        assert_eq!(ids, (1001, 1002));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_live_and_go() {
    for server in AnyServer::all().await {
        let store = open(&server, "/topics").await;
        kafka::create_top_level(&store).await.unwrap();
        let entity = ConfigEntity::Topic("t".into());
        assert_eq!(
            configs::write(&store, &entity, &ConfigNode::default()).await,
            Err(KafkaError::NoController)
        );
        let guard = won(&store, 1).await;
        configs::write(&store, &entity, &ConfigNode::default()).await.unwrap();
        let partitions: BTreeMap<i32, Vec<i32>> = (0..230).map(|index| (index, vec![1, 2])).collect();
        let node =
            TopicNode { topic_id: "tlXgyyTwTbmsR4CLBvHB3g".parse().ok(), partitions, ..TopicNode::default() };
        topics::create(&store, "t", &node).await.unwrap();
        let again = topics::create(&store, "t", &node).await;
        assert_eq!(again, Err(StoreError::NodeExists("/brokers/topics/t".into()).into()));
        store.create("/brokers/topics/broken", b"{", CreateMode::Persistent).await.unwrap();
        let all = topics::read_all(&store).await.unwrap();
        assert_eq!(all.iter().filter(|topic| topic.is_err()).count(), 1, "one broken topic stops nobody");
        assert_eq!(all.iter().flatten().map(|topic| &topic.node).collect::<Vec<_>>(), [&node]);

        // One state exists already: its whole bundle is done one by one.
        let path = partition::path("t", 77);
        ottla_zk::store::create_recursive(&store, &path, b"{}").await.unwrap();
        let wished: Vec<_> = (0..230).map(|index| ("t".to_owned(), index, state(0))).collect();
        let created = topics::create_states(&store, guard, &wished).await.unwrap();
        for (index, result) in created.iter().enumerate() {
            let expected = if index == 77 { Err(StoreError::NodeExists(path.clone())) } else { Ok(()) };
            assert_eq!(*result, expected, "{index}");
        }
        store.set(&path, &state(0).encode(), None).await.unwrap();
        let writes: Vec<_> = (0..230)
            .map(|index| guarded::Write {
                path: partition::path("t", index),
                data: state(1).encode().into(),
                version: Some(0),
            })
            .collect();
        let written = guarded::set_many(&store, guard, &writes).await.unwrap();
        assert_eq!(written.iter().filter(|result| result.is_err()).count(), 1);
        assert_eq!(written[77], Err(StoreError::BadVersion(path)));
        let names: Vec<_> = (0..231).map(|index| ("t".to_owned(), index)).collect();
        let states = topics::states(&store, &names).await.unwrap();
        assert_eq!(states[230], Ok(None));
        let epochs = states[..230].iter().map(|found| found.as_ref().unwrap().as_ref().unwrap());
        assert!(epochs.clone().all(|found| found.partition_epoch == 1));
        assert_eq!(epochs.filter(|found| found.state == state(1)).count(), 229);

        topics::mark_deletion(&store, "t").await.unwrap();
        assert_eq!(topics::deletions(&store).await.unwrap(), ["t"]);
        topics::delete(&store, guard, "t").await.unwrap();
        assert_eq!(topics::names(&store).await.unwrap(), ["broken"]);
        assert_eq!(topics::deletions(&store).await.unwrap(), [""; 0]);
        assert_eq!(store.exists("/config/topics/t").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reassignments_keep_what_others_wrote_and_wishes_go_when_fulfilled() {
    for server in AnyServer::all().await {
        let store = open(&server, "/reassign").await;
        kafka::create_top_level(&store).await.unwrap();
        let guard = won(&store, 1).await;
        let id = "tlXgyyTwTbmsR4CLBvHB3g".parse().ok();
        let partitions = BTreeMap::from([(0, vec![1]), (1, vec![2])]);
        let mut node = TopicNode { topic_id: id, partitions, ..TopicNode::default() };
        topics::create(&store, "t", &node).await.unwrap();
        let moving = Placement { replicas: vec![3, 1], adding: vec![3], removing: vec![1] };
        assert_eq!(topics::place(&store, guard, "t", &[(0, moving)]).await, Ok(1));
        // Whoever read the node before must not undo it.
        node.partitions.insert(2, vec![2]);
        let refused = topics::overwrite(&store, "t", &node, 0).await;
        assert_eq!(refused, Err(StoreError::BadVersion("/brokers/topics/t".into()).into()));
        let stored = topics::read(&store, &["t".to_owned()]).await.unwrap().remove(0).unwrap();
        assert_eq!((&stored.node.partitions[&0], &stored.node.adding_replicas[&0]), (&vec![3, 1], &vec![3]));
        node.partitions.insert(0, vec![3, 1]);
        topics::overwrite(&store, "t", &node, stored.version).await.unwrap();
        // And a partition the controller has not heard of stays.
        let rest = Placement { replicas: vec![3], ..Placement::default() };
        assert_eq!(topics::place(&store, guard, "t", &[(0, rest.clone())]).await, Ok(3));
        node.partitions.insert(0, vec![3]);
        let stored = topics::read(&store, &["t".to_owned()]).await.unwrap().remove(0).unwrap();
        assert_eq!(stored.node, node);
        let missing = topics::place(&store, guard, "ghost", &[(0, rest.clone())]).await;
        assert_eq!(missing, Err(StoreError::NoNode("/brokers/topics/ghost".into()).into()));

        assert_eq!(wishes::reassignments(&store).await, Ok(None));
        wishes::keep_reassignments(&store, guard, &[]).await.unwrap();
        let text = br#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1]},{"topic":"t","partition":1,"replicas":[3]}]}"#;
        store.create("/admin/reassign_partitions", text, CreateMode::Persistent).await.unwrap();
        let mut wished = wishes::reassignments(&store).await.unwrap().unwrap();
        wished.remove(0);
        wishes::keep_reassignments(&store, guard, &wished).await.unwrap();
        assert_eq!(wishes::reassignments(&store).await, Ok(Some(wished)));
        store.set("/admin/reassign_partitions", b"{", None).await.unwrap();
        assert!(matches!(wishes::reassignments(&store).await, Err(KafkaError::Znode(_))));
        wishes::keep_reassignments(&store, guard, &[]).await.unwrap();
        assert_eq!(wishes::reassignments(&store).await, Ok(None));
        store.create("/admin/preferred_replica_election", b"{", CreateMode::Persistent).await.unwrap();
        assert!(matches!(wishes::elections(&store).await, Err(KafkaError::Znode(_))));
        wishes::forget_elections(&store, guard).await.unwrap();
        assert_eq!(wishes::elections(&store).await, Ok(None));

        store.delete("/controller", None).await.unwrap();
        won(&store, 1).await;
        let deposed = KafkaError::Deposed { epoch: 1 };
        assert_eq!(topics::place(&store, guard, "t", &[(0, rest)]).await, Err(deposed.clone()));
        assert_eq!(wishes::forget_elections(&store, guard).await, Err(deposed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configs_ids_and_notes() {
    for server in AnyServer::all().await {
        let store = open(&server, "/misc").await;
        kafka::create_top_level(&store).await.unwrap();
        let guard = won(&store, 1).await;
        let pair = ConfigEntity::UserClient(Some("a b".into()), None);
        let node = ConfigNode { config: BTreeMap::from([("producer_byte_rate".into(), "1".into())]) };
        configs::write(&store, &pair, &node).await.unwrap();
        configs::write(&store, &pair, &node).await.unwrap();
        assert_eq!(configs::read(&store, &pair).await.unwrap(), node);
        assert!(configs::entities(&store, "users").await.unwrap().contains(&pair));
        configs::notify(&store, &pair).await.unwrap();
        configs::notify(&store, &pair).await.unwrap();
        let notes = changes::read(&store, config::CHANGES, config::CHANGE_PREFIX, 0).await.unwrap();
        assert_eq!(notes.iter().map(|note| note.sequence).collect::<Vec<_>>(), [1]);
        assert_eq!(config::decode_change(&notes[0].path, &notes[0].data).unwrap(), Some(pair.clone()));
        let later_ms = notes[0].created_ms + changes::KEPT_MS;
        let purge = |now_ms| changes::purge(&store, config::CHANGES, config::CHANGE_PREFIX, now_ms);
        assert_eq!(purge(later_ms - 60_000).await, Ok(0));
        assert_eq!(purge(later_ms + 60_000).await, Ok(2));
        configs::delete(&store, &pair).await.unwrap();
        assert_eq!(store.children("/config/users").await.unwrap().names, [""; 0], "empty parents go too");

        assert_eq!(cluster::id_or_create(&store, "first").await.unwrap(), "first");
        assert_eq!(cluster::id_or_create(&store, "second").await.unwrap(), "first");
        // Kafka fails on an empty node, so it must not exist before the first block.
        assert_eq!(store.exists("/latest_producer_id_block").await.unwrap(), None);
        let mut firsts = Vec::new();
        for broker in [1, 2, 1] {
            firsts.push(producer_ids::allocate(&store, broker).await.unwrap().first);
        }
        assert_eq!(firsts, [0, 1000, 2000]);
        let feature = FeatureNode { version: 2, enabled: true, features: BTreeMap::new() };
        assert_eq!(features::write(&store, &feature).await, Ok(0));
        assert_eq!(features::write(&store, &feature).await, Ok(0), "nothing to change");
        assert_eq!(features::write(&store, &FeatureNode { version: 1, ..feature }).await, Ok(1));

        notifications::report_log_dir_failure(&store, 3).await.unwrap();
        let events = notifications::log_dir_events(&store).await.unwrap();
        assert_eq!(events[0].1, Some(3));
        let read: Vec<_> = events.into_iter().map(|(note, _)| note).collect();
        notifications::delete(&store, guard, &read).await.unwrap();
        assert_eq!(notifications::log_dir_events(&store).await.unwrap(), []);
        acls_and_tokens(&store).await;
    }
}

async fn acls_and_tokens(store: &Remote) {
    acls::create_store(store).await.unwrap();
    let pattern = ResourcePattern {
        resource_type: ResourceType::Topic,
        name: "p-".into(),
        pattern_type: PatternType::Prefixed,
    };
    let entry = |host: &str| AclEntry {
        principal: "User:a".into(),
        permission: Permission::Allow,
        host: host.into(),
        operation: Operation::Read,
    };
    // Ten at once: every one is in force in the end.
    let add = |host: String| {
        let (pattern, entry) = (&pattern, entry(&host));
        async move {
            acls::update(store, pattern, &|before| [before, std::slice::from_ref(&entry)].concat()).await
        }
    };
    for added in ottla_zk::store::join_all((0..4).map(|n| add(n.to_string())).collect()).await {
        added.unwrap();
    }
    let all = acls::read_all(store).await.unwrap();
    let mut hosts: Vec<_> = all[0].entries.iter().map(|entry| entry.host.clone()).collect();
    hosts.sort();
    assert_eq!((hosts, all.len()), (["0", "1", "2", "3"].map(str::to_owned).to_vec(), 1));
    let notes = changes::read(store, PatternType::Prefixed.changes_path(), "acl_changes_", -1).await.unwrap();
    assert_eq!(notes.len(), 4);
    acls::update(store, &pattern, &|_| Vec::new()).await.unwrap();
    assert_eq!(acls::read_all(store).await.unwrap(), []);

    tokens::create_store(store).await.unwrap();
    let token = TokenNode {
        token_id: "id".into(),
        owner: "User:a".into(),
        requester: "User:a".into(),
        renewers: vec![],
        issue_ms: 1,
        expiry_ms: 2,
        max_ms: 3,
    };
    tokens::write(store, &token).await.unwrap();
    tokens::write(store, &TokenNode { expiry_ms: 3, ..token.clone() }).await.unwrap();
    assert_eq!(tokens::read_all(store).await.unwrap()[0].expiry_ms, 3);
    tokens::delete(store, "id").await.unwrap();
    assert_eq!(tokens::read(store, "id").await.unwrap(), None);
}
