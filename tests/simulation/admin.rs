//! What operators do, as znodes: topics are made, deleted, and made again under the same name; partitions are moved to
//! other brokers.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla::protocol::ids::TopicPartition;
use ottla_zk::jute::Request;
use ottla_zk::store::CreateMode;
use ottla_zk::znode::reassign::{
    PREFERRED_ELECTION, PartitionName, REASSIGN_PARTITIONS, Reassignment, encode_elections,
    encode_reassignments,
};
use ottla_zk::znode::topic::{self, TopicId, TopicNode};

use crate::ensemble::GOD;
use crate::store::create_request;
use crate::world::{BROKERS, Event, REPLICAS, World};

/// Topics with producers: name and number of partitions.
pub const TOPICS: &[(&str, i32)] = &[("alpha", 2), ("beta", 1)];
/// The topic that comes and goes.
const CHURN: &str = "churn";
const EVERY_MS: i64 = 500;

/// What was done.
#[derive(Default)]
pub struct Topics {
    /// Those with producers exist.
    pub made: bool,
}

impl World {
    /// Looks whether there is something to do.
    pub fn administrate(&mut self) {
        self.at(self.now + EVERY_MS, Event::Admin);
        if !self.topics.made {
            let is_ready = self.zk.peek("/controller").is_some()
                && self.zk.peek(topic::DELETE_TOPICS).is_some()
                && self.zk.children("/brokers/ids").len() == BROKERS;
            if is_ready {
                self.topics.made = true;
                TOPICS.iter().for_each(|(name, partitions)| self.make(name, *partitions));
            }
            return;
        }
        if self.swarm.moves && !self.healed && self.random.u8(0..12) == 0 {
            self.reassign();
        }
        if self.swarm.restless && !self.healed && self.random.u8(0..2) == 0 {
            self.elect();
        }
        if !self.swarm.churn || self.healed || self.random.u8(0..8) != 0 {
            return;
        }
        let exists = self.zk.peek(&topic::path(CHURN)).is_some();
        let is_going = self.zk.peek(&topic::deletion_path(CHURN)).is_some();
        match (exists, is_going) {
            (true, false) => {
                self.note(|_| format!("{CHURN} is to be deleted"));
                self.write(&create_request(
                    &topic::deletion_path(CHURN),
                    Bytes::new(),
                    CreateMode::Persistent,
                ));
            }
            (false, false) => self.make(CHURN, 2),
            (_, true) => {}
        }
    }

    /// Lets every partition go back to its preferred leader; and prefers another one of its replicas.
    fn elect(&mut self) {
        let all = TOPICS.iter().flat_map(|(topic, count)| {
            (0..*count).map(|partition| PartitionName { topic: (*topic).to_owned(), partition })
        });
        let names: Vec<PartitionName> = all.collect();
        if self.random.bool() && self.zk.peek(PREFERRED_ELECTION).is_none() {
            self.note(|_| "leaders shall be the preferred ones".to_owned());
            let data = Bytes::from(encode_elections(&names));
            return self.write(&create_request(PREFERRED_ELECTION, data, CreateMode::Persistent));
        }
        let name = names[self.random.usize(0..names.len())].clone();
        let found = self.zk.peek(&topic::path(&name.topic));
        let Some(Ok(node)) = found.map(|(data, _)| TopicNode::decode(&name.topic, &data)) else { return };
        let Some(mut replicas) = node.partitions.get(&name.partition).cloned() else { return };
        if replicas.len() == REPLICAS {
            replicas.rotate_left(1);
            self.move_to(&name.topic, name.partition, replicas);
        }
    }

    /// Wishes one partition to other brokers.
    fn reassign(&mut self) {
        let (name, partitions) = TOPICS[self.random.usize(0..TOPICS.len())];
        let partition = self.random.i32(0..partitions);
        let mut replicas: Vec<i32> = (1..=BROKERS as i32).collect();
        self.random.shuffle(&mut replicas);
        replicas.truncate(REPLICAS);
        self.move_to(name, partition, replicas);
    }

    /// As old tools do.
    fn move_to(&mut self, name: &str, partition: i32, replicas: Vec<i32>) {
        if self.zk.peek(REASSIGN_PARTITIONS).is_some() {
            return;
        }
        self.note(|_| format!("{name}-{partition} shall move to {replicas:?}"));
        let wish = Reassignment { topic: name.to_owned(), partition, replicas };
        let data = Bytes::from(encode_reassignments(&[wish]));
        self.write(&create_request(REASSIGN_PARTITIONS, data, CreateMode::Persistent));
    }

    fn make(&mut self, name: &str, partitions: i32) {
        self.note(|_| format!("{name} is made"));
        let replicas =
            |index: i32| (0..REPLICAS as i32).map(|n| (index + n) % BROKERS as i32 + 1).collect::<Vec<i32>>();
        let id = self.random.u128(..) | 1 << 64;
        let node = TopicNode {
            topic_id: Some(TopicId(id.to_be_bytes())),
            partitions: (0..partitions).map(|index| (index, replicas(index))).collect(),
            adding_replicas: BTreeMap::new(),
            removing_replicas: BTreeMap::new(),
        };
        self.write(&create_request(&topic::path(name), Bytes::from(node.encode()), CreateMode::Persistent));
    }

    /// Where a partition's replicas shall be.
    pub fn replicas_of(&mut self, tp: &TopicPartition) -> Vec<i32> {
        let found = self.zk.peek(&topic::path(&tp.topic));
        let node = found.and_then(|(data, _)| TopicNode::decode(&tp.topic, &data).ok());
        node.and_then(|node| node.partitions.get(&tp.partition).cloned()).unwrap_or_default()
    }

    fn write(&mut self, request: &Request) {
        let (result, fired) = self.zk.serve(self.now, GOD, 0, request);
        assert!(result.is_ok(), "an operator's write: {result:?}");
        self.tell(fired);
    }
}
