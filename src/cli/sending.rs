//! Sends records to the partitions of one topic: `ottla produce` and `kafka-console-producer`.
//!
//! Memory is bounded: what is collected is sent at a fixed size, or when the caller has no more input waiting. Not
//! idempotent: a batch whose answer is lost may be written twice. Knows nothing of where records come from. Source:
//! `RecordAccumulator`, `Sender` in Kafka's clients.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::connect::{BROKER_LIMIT_MS, Client, Patience};
use super::explain::{explain, passes};
use super::offsets::{self, Place, missing};
use super::partitioner::partition_of;
use crate::protocol::frame::{Chunk, Records};
use crate::protocol::messages::ProduceRequest;
use crate::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use crate::protocol::records::{BatchBuilder, BatchOptions, Compression, Header, NewRecord};

/// A batch is full at this size before compression: below the broker's default message.max.bytes.
const BATCH_MAX: usize = 900 << 10;
/// Everything is sent when this much is collected.
const COLLECTED_MAX: usize = 8 << 20;

/// How records are sent.
#[derive(Debug, Clone)]
pub struct How {
    /// The topic.
    pub topic: String,
    /// -1 waits for all replicas in sync, 1 for the leader, 0 for nobody.
    pub acks: i16,
    /// The codec.
    pub compression: Compression,
    /// Bytes after which a batch is sent, if not as many as a broker takes.
    pub batch_size: Option<usize>,
    /// How long what passes by itself is tried again.
    pub patience: Duration,
}

/// A record to be sent, stamped with the time at which it is added.
#[derive(Debug, Copy, Clone, Default)]
pub struct Outgoing<'a> {
    /// The partition; by key, or spread, without.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [Header<'a>],
}

/// Collects records and sends them.
pub struct Sender {
    how: How,
    client: Client,
    leaders: BTreeMap<Place, i32>,
    /// Where records without key go until the batch is sent.
    sticky: usize,
    open: BTreeMap<i32, BatchBuilder>,
    collected: usize,
    records: u64,
    bytes: u64,
}

impl Sender {
    /// A sender to a topic that exists.
    pub async fn new(mut client: Client, how: How) -> Result<Sender, String> {
        let leaders = offsets::leaders(&mut client, std::slice::from_ref(&how.topic)).await?;
        let sticky = fastrand::usize(..leaders.len().max(1));
        let (open, collected, records, bytes) = (BTreeMap::new(), 0, 0, 0);
        Ok(Sender { how, client, leaders, sticky, open, collected, records, bytes })
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// How many records were sent, and how many bytes they took.
    pub fn sent(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    /// Adds one record; what is full is sent. An error of sending is one of the records before it: this one waits.
    pub async fn add(&mut self, record: &Outgoing<'_>) -> Result<(), String> {
        let partition = match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, self.partitions()) as i32,
            (None, None) => self.sticky as i32,
        };
        let headers: usize =
            record.headers.iter().map(|h| h.key.len() + h.value.map_or(0, <[u8]>::len) + 8).sum();
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers + 32;
        let most = self.how.batch_size.map_or(BATCH_MAX, |size| size.min(BATCH_MAX));
        let full = self.open.get(&partition).is_some_and(|batch| batch.size_in_bytes() + size > most);
        let sent = if full || self.collected + size > COLLECTED_MAX { self.flush().await } else { Ok(()) };
        let codec = self.how.compression;
        let batch = self
            .open
            .entry(partition)
            .or_insert_with(|| BatchBuilder::new(BatchOptions { compression: codec, ..Default::default() }));
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let (key, value, headers) = (record.key, record.value, record.headers);
        let new = NewRecord { timestamp, key, value, headers };
        batch.append(&new).map_err(|error| format!("{error}; split it"))?;
        self.collected += size;
        sent
    }

    /// Sends what is collected, and again what failed in a way that passes.
    pub async fn flush(&mut self) -> Result<(), String> {
        let mut waiting: BTreeMap<i32, (Bytes, u64)> = BTreeMap::new();
        for (partition, batch) in std::mem::take(&mut self.open) {
            let records = batch.count() as u64;
            let bytes =
                batch.finish().map_err(|error| format!("cannot write a batch: {error}; send less"))?;
            waiting.insert(partition, (bytes.into(), records));
        }
        self.collected = 0;
        self.sticky = (self.sticky + 1) % self.partitions().max(1);
        let patience = Patience::new(self.how.patience);
        while !waiting.is_empty() {
            match self.send(&mut waiting).await? {
                Some(failure) if !patience.wait().await => return Err(failure),
                Some(_) => {
                    let topic = std::slice::from_ref(&self.how.topic);
                    self.leaders = offsets::leaders(&mut self.client, topic).await?;
                }
                None if waiting.is_empty() => {}
                None => return Err("a broker left out a partition; try again".into()),
            }
        }
        Ok(())
    }

    /// One try: what arrived leaves `waiting`; the last failure that passes is told.
    async fn send(&mut self, waiting: &mut BTreeMap<i32, (Bytes, u64)>) -> Result<Option<String>, String> {
        let topic = self.how.topic.clone();
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in waiting.keys() {
            let place = (topic.clone(), *partition);
            by_leader
                .entry(*self.leaders.get(&place).ok_or_else(|| missing(&place))?)
                .or_default()
                .push(*partition);
        }
        let mut failure = None;
        for (leader, partitions) in by_leader {
            let request = self.request(&partitions, waiting);
            if self.how.acks == 0 {
                self.client.tell(leader, &request).await?;
                partitions.iter().for_each(|partition| self.done(waiting.remove(partition)));
                continue;
            }
            let answer = match self.client.broker(leader, i16::MAX, &request).await {
                Ok(answer) => answer,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            for result in answer.responses.into_iter().flat_map(|topic| topic.partition_responses) {
                let text = || {
                    let what = format!("partition {topic}-{}", result.index);
                    explain(result.error_code, result.error_message.as_deref(), &what)
                };
                match result.error_code {
                    0 => self.done(waiting.remove(&result.index)),
                    code if passes(code) => failure = Some(text()),
                    _ => return Err(text()),
                }
            }
        }
        Ok(failure)
    }

    fn done(&mut self, sent: Option<(Bytes, u64)>) {
        if let Some((bytes, records)) = sent {
            self.records += records;
            self.bytes += bytes.len() as u64;
        }
    }

    fn request(&self, partitions: &[i32], waiting: &BTreeMap<i32, (Bytes, u64)>) -> ProduceRequest {
        let data = |index: &i32| PartitionProduceData {
            index: *index,
            records: waiting
                .get(index)
                .map(|(bytes, _)| Records::from_chunks(vec![Chunk::Bytes(bytes.clone())])),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: self.how.topic.clone(),
            partition_data: partitions.iter().map(data).collect(),
            ..Default::default()
        };
        ProduceRequest {
            acks: self.how.acks,
            timeout_ms: BROKER_LIMIT_MS,
            topic_data: vec![topic],
            ..Default::default()
        }
    }
}
