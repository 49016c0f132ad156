//! The ISR changes that leaders here want, until the controller has answered (`DefaultAlterPartitionManager`).
//!
//! Invariants: one request is under way at a time and carries all that waits; a partition has at most one change
//! waiting, the newest; an answer goes to the partition with the change it was asked for, which decides whether it
//! still means anything. Knows the message, not the line it goes over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::isr::{Agreed, Proposal};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::protocol::messages::alter_partition::{BrokerState, PartitionData, TopicData};
use crate::protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};

/// Highest version that names topics by name.
pub const BY_NAME: i16 = 1;
/// Highest version.
pub const NEWEST: i16 = 3;

/// One wanted change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which partition.
    pub tp: TopicPartition,
    /// Its topic's id, zero = none.
    pub topic_id: Uuid,
    /// The change.
    pub proposal: Proposal,
}

/// What the controller said to one [`Ask`].
pub type Answer = Result<Agreed, ErrorCode>;

/// Changes that wait to be sent.
#[derive(Debug, Default)]
pub struct AlterQueue {
    waiting: Mutex<BTreeMap<TopicPartition, Ask>>,
    news: Notify,
}

impl AlterQueue {
    /// Queues a change; an unsent one of the same partition is of an older term and gives way.
    pub fn submit(&self, ask: Ask) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ask.tp.clone(), ask);
        self.news.notify_one();
    }

    /// Takes all that waits.
    pub fn take(&self) -> Vec<Ask> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_values().collect()
    }

    /// Resolves when something was queued since the last call.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

/// The highest version that can say these asks: by id only when every topic has one.
pub fn highest_version(asks: &[Ask]) -> i16 {
    if asks.iter().all(|ask| !ask.topic_id.is_zero()) { NEWEST } else { BY_NAME }
}

/// The request for `asks`, in `version`.
pub fn request(broker_id: i32, broker_epoch: i64, asks: &[Ask], version: i16) -> AlterPartitionRequest {
    let mut topics: Vec<TopicData> = Vec::new();
    for ask in asks {
        if topics.last().is_none_or(|last| *last.topic_name != *ask.tp.topic) {
            topics.push(TopicData {
                topic_name: ask.tp.topic.to_string(),
                topic_id: ask.topic_id,
                ..Default::default()
            });
        }
        let Some(topic) = topics.last_mut() else { continue };
        topic.partitions.push(partition(ask, version));
    }
    AlterPartitionRequest { broker_id, broker_epoch, topics, ..Default::default() }
}

fn partition(ask: &Ask, version: i16) -> PartitionData {
    let Proposal { isr, partition_epoch, leader_epoch } = &ask.proposal;
    let mut data = PartitionData {
        partition_index: ask.tp.partition,
        leader_epoch: *leader_epoch,
        partition_epoch: *partition_epoch,
        ..Default::default()
    };
    match version < NEWEST {
        true => data.new_isr.clone_from(isr),
        // Epochs of the members are for controllers on KRaft (KIP-903); -1 is "not known".
        false => {
            let state = |id: &i32| BrokerState { broker_id: *id, ..Default::default() };
            data.new_isr_with_epochs = isr.iter().map(state).collect();
        }
    }
    data
}

/// Pairs each ask with its answer; `None` where the response does not name it.
pub fn pair(asks: Vec<Ask>, response: &AlterPartitionResponse, version: i16) -> Vec<(Ask, Option<Answer>)> {
    let mut answers: HashMap<(Uuid, &str, i32), Answer> = HashMap::new();
    for topic in &response.topics {
        for part in &topic.partitions {
            let answer = match ErrorCode::from_i16(part.error_code) {
                Some(ErrorCode::None) => Ok(Agreed {
                    isr: part.isr.clone(),
                    leader_epoch: part.leader_epoch,
                    partition_epoch: part.partition_epoch,
                }),
                code => Err(code.unwrap_or(ErrorCode::UnknownServerError)),
            };
            answers.insert((topic.topic_id, topic.topic_name.as_str(), part.partition_index), answer);
        }
    }
    let mut found = Vec::with_capacity(asks.len());
    for ask in &asks {
        let (id, name) = if version > BY_NAME { (ask.topic_id, "") } else { (Uuid::ZERO, &*ask.tp.topic) };
        found.push(answers.remove(&(id, name, ask.tp.partition)));
    }
    asks.into_iter().zip(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::Frame;
    use crate::protocol::message::Message;
    use crate::protocol::wire::{Reader, Writer};

    fn ask(topic: &str, partition: i32, id: u8) -> Ask {
        let proposal = Proposal { isr: vec![1, 3], partition_epoch: 4, leader_epoch: 2 };
        Ask { tp: TopicPartition::new(topic, partition), topic_id: Uuid([id; 16]), proposal }
    }

    #[test]
    fn the_newest_change_of_a_partition_is_sent_once() {
        let queue = AlterQueue::default();
        queue.submit(ask("t", 1, 7));
        let newer = Ask {
            proposal: Proposal { isr: vec![1], partition_epoch: 6, leader_epoch: 3 },
            ..ask("t", 1, 7)
        };
        queue.submit(newer.clone());
        queue.submit(ask("t", 0, 7));
        assert_eq!(queue.take(), [ask("t", 0, 7), newer]);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn every_version_says_the_same() {
        let asks = [ask("a", 0, 7), ask("a", 1, 7), ask("b", 0, 8)];
        assert_eq!((highest_version(&asks), highest_version(&[ask("c", 0, 0)])), (3, 1));
        for version in AlterPartitionRequest::VERSIONS {
            let mut writer = Writer::default();
            let sent = request(1, 99, &asks, version);
            sent.encode(&mut writer, version).expect("can be said");
            let frame = Frame { size: writer.len(), chunks: writer.finish().unwrap() };
            let bytes = frame.to_bytes().unwrap();
            let read = AlterPartitionRequest::decode(&mut Reader::new(bytes), version).unwrap();
            assert_eq!(read.topics.len(), 2);
            assert_eq!(read.topics[0].partitions.len(), 2);
            let part = &read.topics[1].partitions[0];
            let with_epochs: Vec<i32> =
                part.new_isr_with_epochs.iter().map(|state| state.broker_id).collect();
            assert_eq!(if version < 3 { &part.new_isr } else { &with_epochs }, &[1, 3]);
            assert_eq!((part.leader_epoch, part.partition_epoch), (2, 4));
        }
    }

    #[test]
    fn answers_find_their_asks_by_id_or_name() {
        use crate::protocol::messages::alter_partition::{PartitionResult, TopicResult};
        let results = |code: i16| PartitionResult {
            partition_index: 1,
            error_code: code,
            isr: vec![1],
            leader_epoch: 2,
            partition_epoch: 5,
            ..Default::default()
        };
        let by_id =
            TopicResult { topic_id: Uuid([7; 16]), partitions: vec![results(0)], ..Default::default() };
        let by_name =
            TopicResult { topic_name: "a".into(), partitions: vec![results(74)], ..Default::default() };
        let asks = vec![ask("a", 1, 7), ask("a", 2, 7)];
        let response = AlterPartitionResponse { topics: vec![by_id], ..Default::default() };
        let paired = pair(asks.clone(), &response, 3);
        let agreed = Agreed { isr: vec![1], leader_epoch: 2, partition_epoch: 5 };
        assert_eq!((&paired[0].1, &paired[1].1), (&Some(Ok(agreed)), &None));
        let response = AlterPartitionResponse { topics: vec![by_name], ..Default::default() };
        let paired = pair(asks, &response, 1);
        assert_eq!((&paired[0].1, &paired[1].1), (&Some(Err(ErrorCode::FencedLeaderEpoch)), &None));
    }
}
