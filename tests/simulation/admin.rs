//! What operators do, as znodes: topics are made, deleted, and made again under the same name; partitions are moved to
//! other brokers.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_zk::jute::Request;
use ottla_zk::store::CreateMode;
use ottla_zk::znode::reassign::{REASSIGN_PARTITIONS, Reassignment, encode_reassignments};
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

    /// Wishes one partition to other brokers, as old tools do.
    fn reassign(&mut self) {
        if self.zk.peek(REASSIGN_PARTITIONS).is_some() {
            return;
        }
        let (name, partitions) = TOPICS[self.random.usize(0..TOPICS.len())];
        let partition = self.random.i32(0..partitions);
        let mut replicas: Vec<i32> = (1..=BROKERS as i32).collect();
        self.random.shuffle(&mut replicas);
        replicas.truncate(REPLICAS);
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

    fn write(&mut self, request: &Request) {
        let (result, fired) = self.zk.serve(self.now, GOD, 0, request);
        assert!(result.is_ok(), "an operator's write: {result:?}");
        self.tell(fired);
    }
}
