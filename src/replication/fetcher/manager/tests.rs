//! Which fetcher has which partition, as the controller and the metadata speak. No leader answers here.

use std::future::Future;

use super::*;
use crate::config::listeners::SecurityProtocol;
use crate::metadata::image::{BrokerImage, Update};
use crate::replication::become_replica::tests::{broker, tell, told};
use crate::replication::fetcher::requests::Versions;
use crate::replication::throttle::Windows;
use crate::shutdown::{Stopper, stop_pair};
use crate::storage::sim_fs::SimFs;

const ID: Uuid = Uuid([7; 16]);

struct Bench {
    replicas: Arc<ReplicaManager>,
    metadata: Arc<MetadataCache>,
    manager: Arc<FetcherManager>,
    stopper: Stopper,
}

fn bench(fetchers: i32) -> Bench {
    let replicas = broker(&SimFs::new(1), &[]);
    let metadata = Arc::new(MetadataCache::default());
    let requests = Settings {
        broker_id: 2,
        versions: Versions::for_protocol("3.9").expect("known"),
        max_wait_ms: 500,
        min_bytes: 1,
        response_max_bytes: 1 << 20,
        partition_max_bytes: 1 << 20,
        backoff_ms: 1_000,
    };
    let shared = Shared {
        replicas: replicas.clone(),
        metadata: metadata.clone(),
        throttles: Arc::new(Throttles::new(2, Windows { count: 11, size_ms: 1_000 })),
        broker_epoch: Arc::default(),
        requests,
        listener: "PLAINTEXT".into(),
        socket_timeout: Duration::from_secs(1),
        fetchers,
    };
    let manager = FetcherManager::new(shared, Handle::current());
    let (stopper, stop) = stop_pair();
    tokio::spawn(FetcherManager::run(Arc::downgrade(&manager), metadata.clone(), stop));
    Bench { replicas, metadata, manager, stopper }
}

impl Bench {
    /// The metadata name these brokers, each with its port.
    fn alive(&self, brokers: &[(i32, i32)]) {
        let brokers = brokers.iter().map(|(id, port)| {
            let endpoint = Endpoint {
                listener: "PLAINTEXT".into(),
                host: "127.0.0.1".into(),
                port: *port,
                security_protocol: SecurityProtocol::Plaintext as i16,
            };
            BrokerImage { id: *id, endpoints: vec![endpoint], rack: None }
        });
        self.metadata.apply(&Update { brokers: brokers.collect(), ..Update::default() });
    }

    fn told(&self, topic: &str, leader: i32, leader_epoch: i32) {
        tell(&self.replicas, topic, ID, &told(leader, leader_epoch, leader_epoch));
        self.manager.sync([(&TopicPartition::new(topic, 0), ID)]);
    }

    /// `leader/fetcher: partitions`, and who waits.
    fn picture(&self) -> String {
        let table = self.manager.lock();
        let names = |machine: &Machine| {
            let names = machine.partitions().map(|(tp, epoch)| format!(" {tp} e{epoch}"));
            names.collect::<String>()
        };
        let fetchers = table.fetchers.iter().map(|((leader, id), fetcher)| {
            format!("{leader}/{id} at {}:{}", fetcher.endpoint.port, names(&fetcher.lock()))
        });
        let waiting = table.waiting.iter().map(|tp| format!("{tp} waits"));
        fetchers.chain(waiting).collect::<Vec<_>>().join(", ")
    }

    async fn until(&self, wanted: &str) {
        for _ in 0..500 {
            if self.picture() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.picture(), wanted);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn a_fetcher_begins_when_its_leader_is_known_and_ends_with_its_last_partition() {
    run(async {
        let bench = bench(1);
        bench.told("a", 1, 3);
        assert_eq!(bench.picture(), "a-0 waits", "nobody has said where broker 1 is");
        bench.alive(&[(3, 9)]);
        bench.alive(&[(1, 9), (3, 9)]);
        bench.until("1/0 at 9: a-0 e3").await;
        bench.told("b", 3, 1);
        bench.told("c", 1, 1);
        assert_eq!(bench.picture(), "1/0 at 9: a-0 e3 c-0 e1, 3/0 at 9: b-0 e1");
        bench.told("b", 1, 2);
        assert_eq!(bench.picture(), "1/0 at 9: a-0 e3 b-0 e2 c-0 e1");
        // It leads one itself, and nobody leads another.
        bench.told("a", 2, 4);
        bench.told("c", -1, 2);
        assert_eq!(bench.picture(), "1/0 at 9: b-0 e2, c-0 waits");
        bench.manager.remove([&TopicPartition::new("b", 0), &TopicPartition::new("c", 0)]);
        assert_eq!((bench.picture().as_str(), bench.manager.count()), ("", 0));
    });
}

#[test]
fn a_leader_that_moved_is_followed_there_and_a_stop_ends_all() {
    run(async {
        let bench = bench(1);
        bench.alive(&[(1, 9)]);
        bench.told("a", 1, 3);
        bench.alive(&[]);
        bench.alive(&[(1, 11)]);
        bench.until("1/0 at 11: a-0 e3").await;
        bench.stopper.stop();
        bench.until("").await;
        bench.told("b", 1, 3);
        assert_eq!(bench.manager.count(), 0, "none begins after the stop");
    });
}

#[test]
fn topic_and_partition_choose_the_fetcher() {
    run(async {
        let bench = bench(4);
        // abs(31 * hashCode + partition) % 4, by Java: "a" is 97, "hello" is 99162322.
        for (topic, partition, expected) in [("a", 0, 3), ("a", 1, 0), ("hello", 0, 2), ("hello", 3, 3)] {
            let tp = TopicPartition::new(topic, partition);
            assert_eq!(bench.manager.fetcher_id(&tp), expected, "{tp}");
        }
    });
}
