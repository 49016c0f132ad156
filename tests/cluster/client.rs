//! A client that says exactly what a test wants, in the version it wants, and nothing on its own.

use std::time::Duration;

use bytes::Bytes;
use ottla::client::connection::{CallError, Connection};
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::frame::Records;
use ottla::protocol::ids::Uuid;
use ottla::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult};
use ottla::protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use ottla::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use ottla::protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use ottla::protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use ottla::protocol::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, ListOffsetsRequest, MetadataRequest, MetadataResponse,
    ProduceRequest, Request,
};
use ottla::protocol::records::record;
use ottla::protocol::records::view::batches;
use ottla::protocol::records::{BatchBuilder, BatchOptions, NewRecord};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to one broker.
pub struct Client(pub Connection);

impl Client {
    /// Connects.
    pub async fn open(port: u16) -> Client {
        let connection =
            Connection::open("127.0.0.1", port, "test", ANSWER).await.expect("the broker accepts");
        Client(connection)
    }

    /// Asks; the answer must come.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        match self.try_call(version, request).await {
            Ok(answer) => answer,
            Err(error) => panic!("{} v{version} got no answer: {error}", R::NAME),
        }
    }

    /// Asks.
    pub async fn try_call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, CallError> {
        self.0.call(version, request, ANSWER).await
    }

    /// Asks for a topic and gives what the broker says of it.
    pub async fn try_create(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> CreatableTopicResult {
        let configs = configs.iter().map(|(key, value)| CreatableTopicConfig {
            name: (*key).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        });
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
        self.call(7, &request).await.topics.remove(0)
    }

    /// Creates a topic that must come to be.
    pub async fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let created = self.try_create(name, partitions, configs).await;
        assert_eq!(created.error_code, 0, "{name}: {:?}", created.error_message);
        created.topic_id
    }

    /// The cluster, and the topics named.
    pub async fn metadata(&mut self, topics: &[&str]) -> MetadataResponse {
        let topics = topics
            .iter()
            .map(|name| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() });
        let request = MetadataRequest {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        self.call(12, &request).await
    }

    /// One topic.
    pub async fn topic(&mut self, name: &str) -> MetadataResponseTopic {
        self.metadata(&[name]).await.topics.remove(0)
    }

    /// Sends one partition's records in a version.
    pub async fn produce_as(
        &mut self,
        version: i16,
        at: (&str, i32),
        acks: i16,
        records: impl Into<Bytes>,
    ) -> PartitionProduceResponse {
        let request = produce_request(at, acks, records);
        let mut answer = self.call(version, &request).await;
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// Sends one batch of values, acks=all; gives the first offset.
    pub async fn produce(&mut self, at: (&str, i32), values: &[&str]) -> i64 {
        let answer = self.produce_as(11, at, -1, batch(values)).await;
        assert_eq!(answer.error_code, 0, "{at:?}: {:?}", answer.error_message);
        answer.base_offset
    }

    /// Fetches one partition in a version, without a session and without waiting.
    pub async fn fetch_as(&mut self, version: i16, at: (&str, i32), offset: i64) -> PartitionData {
        let mut answer = self.call(version, &fetch_request(at, offset)).await;
        assert_eq!(answer.error_code, 0);
        answer.responses.remove(0).partitions.remove(0)
    }

    /// Every value of a partition, from `offset` to the high watermark.
    pub async fn values(&mut self, at: (&str, i32), mut offset: i64) -> Vec<(i64, String)> {
        let mut found = Vec::new();
        loop {
            let data = self.fetch_as(11, at, offset).await;
            assert_eq!(data.error_code, 0, "{at:?} at {offset}");
            let records = values_of(&data);
            let Some((last, _)) = records.last() else {
                assert_eq!(offset, data.high_watermark.max(offset), "records are missing before the mark");
                return found;
            };
            let next = last + 1;
            found.extend(records.into_iter().filter(|(at, _)| *at >= offset));
            offset = next;
        }
    }

    /// One offset by timestamp, special or not.
    pub async fn offset(
        &mut self,
        version: i16,
        at: (&str, i32),
        timestamp: i64,
    ) -> ListOffsetsPartitionResponse {
        let max_num_offsets = if version == 0 { 10 } else { 1 };
        let partition =
            ListOffsetsPartition { partition_index: at.1, timestamp, max_num_offsets, ..Default::default() };
        let topic =
            ListOffsetsTopic { name: at.0.to_owned(), partitions: vec![partition], ..Default::default() };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        self.call(version, &request).await.topics.remove(0).partitions.remove(0)
    }
}

/// A Produce of one partition.
pub fn produce_request(at: (&str, i32), acks: i16, records: impl Into<Bytes>) -> ProduceRequest {
    let data = PartitionProduceData {
        index: at.1,
        records: Some(Records::from(records.into())),
        ..Default::default()
    };
    let topic = TopicProduceData { name: at.0.to_owned(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

/// A Fetch of one partition by name: no session, no waiting, 1 MiB.
pub fn fetch_request(at: (&str, i32), offset: i64) -> FetchRequest {
    let partition = FetchPartition {
        partition: at.1,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic { topic: at.0.to_owned(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_bytes: 50 << 20, topics: vec![topic], ..Default::default() }
}

/// The only partition of an answer.
pub fn only(answer: &FetchResponse) -> &PartitionData {
    &answer.responses[0].partitions[0]
}

/// One batch of values at timestamps 1000, 1001, ...
pub fn batch(values: &[&str]) -> Vec<u8> {
    batch_with(BatchOptions::default(), values)
}

/// The same with a producer, a codec, ...
pub fn batch_with(options: BatchOptions, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, value) in (1000..).zip(values) {
        let record = NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] };
        builder.append(&record).expect("a record fits");
    }
    builder.finish().expect("a batch")
}

/// The bytes of a partition's records.
pub fn bytes_of(data: &PartitionData) -> Bytes {
    data.records.as_ref().and_then(|records| records.as_bytes().cloned()).unwrap_or_default()
}

/// Offsets and values of whole batches; a cut one at the end is left out, as clients do.
pub fn values_of(data: &PartitionData) -> Vec<(i64, String)> {
    let bytes = bytes_of(data);
    let mut found = Vec::new();
    for view in batches(&bytes) {
        let Ok(view) = view else { break };
        view.verify_crc().expect("a sound batch");
        if view.is_control() {
            continue;
        }
        let records = record::records(&view, 64 << 20).expect("records");
        for record in records.iter().expect("records") {
            let record = record.expect("a sound record");
            let value = record.value.unwrap_or_default();
            found.push((record.offset, String::from_utf8_lossy(value).into_owned()));
        }
    }
    found
}

/// The code of an answer, by name.
pub fn code(number: i16) -> ErrorCode {
    ErrorCode::from_i16(number).expect("a known code")
}
