//! Idempotent producers: each sends one batch after the other to one partition with acks=all, and each batch again and
//! again until it is told what became of it.
//!
//! They speak the wire protocol over the simulated network from a machine of their own that never fails.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use ottla::client::connection::{CallError, Connection};
use ottla::clock::{Clock, ManualClock};
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::frame::Records;
use ottla::protocol::messages::metadata::MetadataRequestTopic;
use ottla::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use ottla::protocol::messages::{MetadataRequest, ProduceRequest};
use ottla::protocol::records::builder::{BatchBuilder, BatchOptions, NewRecord};

use crate::network::PORTS;

const METADATA: i16 = 9;
const PRODUCE: i16 = 9;
/// How long a broker may take to commit, and a producer waits for the answer.
const COMMIT_MS: i32 = 3_000;
const PATIENCE: Duration = Duration::from_millis(5_000);

/// What a producer was told.
#[derive(Clone, Debug)]
pub struct Ack {
    pub partition: String,
    pub producer_id: i64,
    pub base_sequence: i32,
    /// Unknown when it was told that the batch is there already.
    pub offset: Option<i64>,
}

/// What the world sees of its producers.
#[derive(Default)]
pub struct Told {
    acks: Mutex<Vec<Ack>>,
    troubles: Mutex<Vec<String>>,
    /// Asks them to stop.
    pub stop: AtomicBool,
}

impl Told {
    pub fn acks(&self) -> Vec<Ack> {
        std::mem::take(&mut *self.acks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn troubles(&self) -> Vec<String> {
        std::mem::take(&mut *self.troubles.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One producer.
pub struct Producer {
    pub told: Arc<Told>,
    pub id: i64,
    pub topic: &'static str,
    pub partition: i32,
    pub brokers: i32,
    /// Mean pause between batches.
    pub pause_ms: u64,
    pub clock: Arc<ManualClock>,
    /// When it was last acknowledged.
    pub last_ack: Arc<AtomicI64>,
    pub random: Rng,
    pub connection: Option<(i32, Connection)>,
}

enum Sent {
    Committed(Option<i64>),
    Again,
    Wrong(ErrorCode),
}

impl Producer {
    /// Produces until told to stop.
    pub async fn run(mut self) {
        let mut sequence = 0;
        while !self.told.stop.load(Ordering::Relaxed) {
            let pause = self.random.u64(1..=2 * self.pause_ms);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let count = self.random.i32(1..=3);
            let records = self.batch(sequence, count);
            loop {
                match self.send(&records).await {
                    Ok(Sent::Committed(offset)) => {
                        self.acked(sequence, offset);
                        break;
                    }
                    Ok(Sent::Wrong(code)) => {
                        let Producer { topic, partition, id, .. } = &self;
                        let trouble =
                            format!("{topic}-{partition}: producer {id} was told {code} at {sequence}");
                        self.told.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(trouble);
                        return;
                    }
                    Ok(Sent::Again) | Err(_) => self.connection = None,
                }
                let pause = self.random.u64(20..400);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            sequence += count;
        }
    }

    fn acked(&self, base_sequence: i32, offset: Option<i64>) {
        let partition = format!("{}-{}", self.topic, self.partition);
        let ack = Ack { partition, producer_id: self.id, base_sequence, offset };
        self.told.acks.lock().unwrap_or_else(PoisonError::into_inner).push(ack);
        self.last_ack.store(self.clock.now().0, Ordering::Relaxed);
    }

    fn batch(&mut self, sequence: i32, count: i32) -> Bytes {
        let options = BatchOptions {
            producer_id: self.id,
            producer_epoch: 0,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        let timestamp = self.clock.now().0;
        for n in 0..count {
            let value = format!("{}/{}", self.id, sequence + n).repeat(self.random.usize(1..20));
            let record = NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] };
            builder.append(&record).expect("a small record fits");
        }
        Bytes::from(builder.finish().expect("a small batch is written"))
    }

    async fn send(&mut self, records: &Bytes) -> Result<Sent, CallError> {
        if self.connection.is_none() {
            let leader = self.leader().await?;
            if leader < 0 {
                return Ok(Sent::Again);
            }
            self.connection = Some((leader, self.open(leader).await?));
        }
        let Some((_, connection)) = &mut self.connection else { return Ok(Sent::Again) };
        let data = PartitionProduceData {
            index: self.partition,
            records: Some(Records::from(records.clone())),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: self.topic.to_owned(),
            partition_data: vec![data],
            ..Default::default()
        };
        let request =
            ProduceRequest { acks: -1, timeout_ms: COMMIT_MS, topic_data: vec![topic], ..Default::default() };
        let answer = connection.call(PRODUCE, &request, PATIENCE).await?;
        let Some(answer) = answer.responses.first().and_then(|topic| topic.partition_responses.first())
        else {
            return Ok(Sent::Again);
        };
        Ok(match ErrorCode::from_i16(answer.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => Sent::Committed(Some(answer.base_offset)),
            ErrorCode::DuplicateSequenceNumber => Sent::Committed(None),
            // Out of order may be the word of a deposed leader that has not heard of it; if it is the true one's, the
            // producer never gets on, and is missed at the end.
            code @ (ErrorCode::InvalidProducerEpoch
            | ErrorCode::UnknownProducerId
            | ErrorCode::CorruptMessage
            | ErrorCode::InvalidRecord) => Sent::Wrong(code),
            _ => Sent::Again,
        })
    }

    async fn open(&self, broker: i32) -> Result<Connection, CallError> {
        let name = format!("producer-{}", self.id);
        Connection::open("simulated", PORTS + broker as u16, &name, Duration::from_millis(1_000)).await
    }

    async fn leader(&mut self) -> Result<i32, CallError> {
        let broker = self.random.i32(1..=self.brokers);
        let mut connection = self.open(broker).await?;
        let topic = MetadataRequestTopic { name: Some(self.topic.to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let answer = connection.call(METADATA, &request, PATIENCE).await?;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let own = partitions.filter(|partition| partition.partition_index == self.partition);
        Ok(own.map(|partition| partition.leader_id).next().unwrap_or(-1))
    }
}
