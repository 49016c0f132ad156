//! LeaderAndIsr and StopReplica to the letter, on a broker of plain parts over the simulated disk.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::config::load::Settings;
use crate::metadata::cache::MetadataCache;
use crate::metadata::configs::ConfigCache;
use crate::protocol::records::{BatchBuilder, BatchOptions, NewRecord};
use crate::replication::alter_partition::AlterQueue;
use crate::storage::dirs::LogDir;
use crate::storage::fs::Fs;
use crate::storage::log::LogContext;
use crate::storage::manager::LogManager;
use crate::storage::producer_state::Origin;
use crate::storage::sim_fs::SimFs;

const NOW: Timestamp = Timestamp(10_000);
const ID: Uuid = Uuid([7; 16]);

/// Broker 2 with one log directory, and marks as they were checkpointed.
pub(in crate::replication) fn broker(fs: &SimFs, marks: &[(&str, i64)]) -> Arc<ReplicaManager> {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let dir = LogDir::open(shared.clone(), PathBuf::from("/data"), Some(2), "cluster").expect("a directory");
    let configs = Arc::new(ConfigCache::new(Settings::default()));
    let logs = LogManager::new(Arc::new(LogContext::new(shared)), vec![dir]);
    logs.load_all(&|topic| configs.log_config(topic), 1, NOW, &|_| {}).expect("it loads");
    let context = PartitionContext {
        broker_id: 2,
        clock: Arc::new(ManualClock::at(NOW)),
        metadata: Arc::new(MetadataCache::default()),
        lag_max_ms: 30_000,
        alters: AlterQueue::default(),
    };
    let marks = marks.iter().map(|(topic, mark)| (TopicPartition::new(*topic, 0), *mark));
    Arc::new(ReplicaManager::new(Arc::new(context), Arc::new(logs), configs, marks))
}

/// What the controller says of partition 0.
pub(in crate::replication) fn told(
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
) -> LeaderAndIsrPartitionState {
    LeaderAndIsrPartitionState {
        leader,
        leader_epoch,
        partition_epoch,
        isr: vec![1, 2],
        replicas: vec![1, 2],
        controller_epoch: 1,
        ..Default::default()
    }
}

/// Tells it of a topic's partition 0.
pub(in crate::replication) fn tell(
    broker: &ReplicaManager,
    topic: &str,
    topic_id: Uuid,
    state: &LeaderAndIsrPartitionState,
) -> Became {
    broker.become_replicas(&[(TopicPartition::new(topic, 0), topic_id, state)]).remove(0)
}

fn leadership(broker: &ReplicaManager) -> (Role, i32, i32, i32) {
    let partition = broker.partition("t", 0).expect("it is here");
    let state = partition.lock();
    let known = &state.leadership;
    (known.role, known.leader, known.leader_epoch, known.partition_epoch)
}

fn one_record() -> Bytes {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    let record = NewRecord { timestamp: 1, key: None, value: Some(b"v"), headers: &[] };
    batch.append(&record).expect("it fits");
    batch.finish().expect("a batch").into()
}

/// A new term of the same leader is no new leadership: it has cut nothing away.
#[test]
fn a_leader_that_goes_on_leads_since_it_began() {
    let broker = broker(&SimFs::new(1), &[]);
    let since = |epoch, version, leader| {
        let taken = tell(&broker, "t", ID, &told(leader, epoch, version)).taken.expect("a role");
        (taken.since, broker.partition("t", 0).expect("it is here").leads_since())
    };
    assert_eq!(since(3, 1, 2), (3, Some(3)));
    assert_eq!(since(4, 2, 2), (3, Some(3)), "its ISR changed");
    assert_eq!(since(5, 3, 1), (5, None), "another one leads");
    assert_eq!(since(6, 4, 2), (6, Some(6)), "what the first leadership left may be cut away");
    assert_eq!(since(8, 5, 2), (8, Some(8)), "another one may have led in a term it was not told of");
}

/// Seed 172 of the simulation: a follower that followed another leader in the term between may have cut its log back.
#[test]
fn a_leader_that_missed_a_term_forgets_what_its_followers_had() {
    for (next, mark, why) in [(4, 2, "the same followers"), (5, 0, "somebody else may have led in term 4")] {
        let broker = broker(&SimFs::new(1), &[]);
        let of = |isr: &[i32], epoch, version| LeaderAndIsrPartitionState {
            isr: isr.to_vec(),
            replicas: vec![1, 2, 3],
            ..told(2, epoch, version)
        };
        tell(&broker, "t", ID, &of(&[1, 2, 3], 3, 1));
        let partition = broker.partition("t", 0).expect("it is here");
        for _ in 0..2 {
            partition.append_as_leader(&one_record(), 1, Origin::Client, NOW).expect("it leads");
        }
        partition.on_follower_fetch(1, 3, (2, 0), 2).expect("a follower that has both records");
        let log = partition.lock().log.clone().expect("a log");
        assert_eq!(log.high_watermark(), 0, "broker 3 has none of them");
        tell(&broker, "t", ID, &of(&[1, 2], next, 2));
        assert_eq!(log.high_watermark(), mark, "{why}");
        partition.on_follower_fetch(1, next, (2, 0), 2).expect("it has them still");
        assert_eq!(log.high_watermark(), 2);
    }
}

#[test]
fn a_replica_takes_only_what_is_newer() {
    let broker = broker(&SimFs::new(1), &[]);
    let elsewhere = LeaderAndIsrPartitionState { replicas: vec![1, 3], ..told(1, 5, 9) };
    assert_eq!(tell(&broker, "t", ID, &elsewhere).code, ErrorCode::UnknownTopicOrPartition);
    assert!(broker.partition("t", 0).is_none());
    let became = tell(&broker, "t", ID, &told(1, 5, 9));
    let taken = Taken { role: Role::Follower, since: 5 };
    assert_eq!((became.code, became.taken), (ErrorCode::None, Some(taken)));
    let stands = (Role::Follower, 1, 5, 9);
    // The same, another ISR, another leader, an older term: nothing in the same or an older epoch counts.
    let other_isr = LeaderAndIsrPartitionState { isr: vec![1], is_new: true, ..told(1, 5, 12) };
    let adding = LeaderAndIsrPartitionState { adding_replicas: vec![2], ..told(1, 5, 12) };
    for state in [told(1, 5, 9), other_isr, adding, told(2, 5, 10), told(2, 4, 20)] {
        let became = tell(&broker, "t", ID, &state);
        assert_eq!((became.code, became.taken), (ErrorCode::StaleControllerEpoch, None), "{state:?}");
        assert_eq!(leadership(&broker), stands);
    }
    // A newer leader epoch in an older state of the znode is passed over, and is no error.
    let became = tell(&broker, "t", ID, &told(2, 6, 8));
    assert_eq!((became.code, became.taken), (ErrorCode::None, None));
    assert_eq!(leadership(&broker), stands);
    let became = tell(&broker, "t", ID, &LeaderAndIsrPartitionState { replicas: vec![1], ..told(1, 6, 10) });
    assert_eq!(became.code, ErrorCode::UnknownTopicOrPartition);
    let became = tell(&broker, "t", ID, &told(2, 6, 9));
    assert_eq!((became.code, became.taken.map(|taken| taken.role)), (ErrorCode::None, Some(Role::Leader)));
    assert_eq!(leadership(&broker), (Role::Leader, 2, 6, 9));
    // Nobody leads: it stops serving.
    assert_eq!(tell(&broker, "t", ID, &told(-1, 7, 10)).code, ErrorCode::None);
    assert_eq!(leadership(&broker), (Role::Follower, -1, 7, 10));
}

#[test]
fn topic_ids_must_agree_and_may_come_and_go() {
    let broker = broker(&SimFs::new(1), &[]);
    tell(&broker, "t", Uuid::ZERO, &told(1, 5, 9));
    let became = tell(&broker, "t", ID, &told(1, 5, 9));
    assert_eq!((became.code, became.taken), (ErrorCode::None, None), "the topic gets its id");
    let log = broker.partition("t", 0).and_then(|partition| partition.lock().log.clone()).expect("a log");
    assert_eq!(log.topic_id(), Some(ID));
    assert_eq!(tell(&broker, "t", ID, &told(1, 5, 9)).code, ErrorCode::StaleControllerEpoch);
    assert_eq!(tell(&broker, "t", Uuid([8; 16]), &told(1, 6, 10)).code, ErrorCode::InconsistentTopicId);
    let became = tell(&broker, "t", Uuid::ZERO, &told(1, 5, 9));
    assert_eq!((became.code, became.taken), (ErrorCode::None, None), "a follower fetches by name then");
    broker.take_offline(&[TopicPartition::new("t", 0)]);
    assert_eq!(tell(&broker, "t", ID, &told(1, 7, 11)).code, ErrorCode::KafkaStorageError);
}

#[test]
fn a_stop_is_fenced_by_the_leader_epoch() {
    let broker = broker(&SimFs::new(1), &[]);
    tell(&broker, "t", ID, &told(2, 5, 9));
    let stop = |leader_epoch, delete| {
        broker.stop_replicas(&[StopAsk { tp: TopicPartition::new("t", 0), leader_epoch, delete }]).remove(0)
    };
    assert_eq!(stop(4, true), ErrorCode::FencedLeaderEpoch);
    assert_eq!(leadership(&broker).0, Role::Leader);
    assert_eq!(stop(5, false), ErrorCode::None);
    assert_eq!(leadership(&broker).0, Role::Follower, "it serves no longer");
    assert_eq!(stop(EPOCH_DURING_DELETE, true), ErrorCode::None);
    assert!(broker.partition("t", 0).is_none() && broker.logs.get(&TopicPartition::new("t", 0)).is_none());
    assert_eq!(stop(NO_EPOCH, true), ErrorCode::None, "gone already");
}

#[test]
fn a_checkpoint_before_the_controllers_first_word_keeps_the_marks() {
    // KAFKA-1647.
    let fs = SimFs::new(1);
    let log_of = |broker: &ReplicaManager| broker.logs.get(&TopicPartition::new("t", 0)).expect("a log");
    {
        let broker = broker(&fs, &[]);
        tell(&broker, "t", ID, &told(2, 5, 9));
        let log = log_of(&broker);
        for _ in 0..3 {
            let records = one_record();
            log.append_as_leader(&records, 5, Origin::Client, NOW).expect("it is appended");
        }
        broker.logs.shutdown(1, NOW);
    }
    let broker = broker(&fs, &[("t", 2)]);
    assert_eq!(log_of(&broker).high_watermark(), 2, "no controller has spoken yet");
    assert!(broker.logs.checkpoint_high_watermarks(|_| None).is_empty());
    let file = Path::new("/data/replication-offset-checkpoint");
    let text = String::from_utf8(fs.read(file, 1_000).expect("it is there")).expect("text");
    assert!(text.ends_with("t 0 2\n"), "{text}");
    tell(&broker, "t", ID, &told(1, 6, 10));
    assert_eq!(log_of(&broker).high_watermark(), 2);
}
