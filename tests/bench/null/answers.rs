//! What the null broker answers. Produce is read in place, without a copy; the rest goes through the codec.

use std::io;

use bytes::Bytes;
use ottla::protocol::api_key::ApiKey;
use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::frame::{Chunk, Records, encode_response};
use ottla::protocol::header::RequestHeader;
use ottla::protocol::message::Message;
use ottla::protocol::messages::api_versions::ApiVersion;
use ottla::protocol::messages::create_topics::CreatableTopicResult;
use ottla::protocol::messages::delete_topics::DeletableTopicResult;
use ottla::protocol::messages::fetch::{FetchableTopicResponse, PartitionData};
use ottla::protocol::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use ottla::protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla::protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use ottla::protocol::messages::{
    ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, ProduceResponse,
};
use ottla::protocol::varint;
use ottla::protocol::wire::Reader;

use super::State;
use super::partition::Partition;
use crate::client::failed;

const NODE: i32 = 1;

/// The answer to one frame.
pub fn answer(state: &mut State, frame: &[u8]) -> io::Result<Vec<Chunk>> {
    if frame.starts_with(&ApiKey::Produce.number().to_be_bytes()) {
        return produce(state, frame);
    }
    let mut reader = Reader::new(Bytes::copy_from_slice(frame));
    let (header, key) = RequestHeader::decode(&mut reader).map_err(failed)?;
    let (version, id) = (header.api_version, header.correlation_id);
    let input = &mut reader;
    match key {
        ApiKey::ApiVersions => respond(key, version, id, &api_versions()),
        ApiKey::Metadata => respond(key, version, id, &metadata(state, &decode(input, version)?)),
        ApiKey::CreateTopics => respond(key, version, id, &create_topics(state, &decode(input, version)?)?),
        ApiKey::DeleteTopics => respond(key, version, id, &delete_topics(state, &decode(input, version)?)?),
        ApiKey::ListOffsets => respond(key, version, id, &list_offsets(state, &decode(input, version)?)),
        ApiKey::Fetch => respond(key, version, id, &fetch(state, &decode(input, version)?)),
        other => Err(failed(format!("the null broker does not know {}", other.name()))),
    }
}

fn decode<M: Message>(reader: &mut Reader, version: i16) -> io::Result<M> {
    M::decode(reader, version).map_err(failed)
}

fn respond<M: Message>(key: ApiKey, version: i16, id: i32, body: &M) -> io::Result<Vec<Chunk>> {
    Ok(encode_response(key, version, id, body).map_err(failed)?.chunks)
}

fn find<'a>(state: &'a State, topic: &str, partition: i32) -> Option<&'a Partition> {
    state.topics.get(topic)?.get(usize::try_from(partition).ok()?)
}

/// Reads a flexible Produce request of one partition where it lies.
fn produce(state: &mut State, frame: &[u8]) -> io::Result<Vec<Chunk>> {
    let short = || failed("Produce ends early");
    let number = |at: usize| frame.get(at..at + 4)?.first_chunk().map(|four| i32::from_be_bytes(*four));
    let version = frame.get(2..4).and_then(|two| two.first_chunk()).map(|two| i16::from_be_bytes(*two));
    let version =
        version.filter(|version| *version >= 9).ok_or_else(|| failed("Produce before version 9"))?;
    let id = number(4).ok_or_else(short)?;
    let client = frame.get(8..10).and_then(|two| two.first_chunk()).map(|two| u16::from_be_bytes(*two));
    // Client id, tag buffer, null transactional id, acks, timeout.
    let mut at = 10 + usize::from(client.ok_or_else(short)?) + 1 + 1 + 2 + 4;
    let length = |at: &mut usize| {
        let (value, used) = frame.get(*at..).and_then(varint::read_u32).ok_or_else(short)?;
        *at += used;
        Ok::<usize, io::Error>((value as usize).saturating_sub(1))
    };
    let topics = length(&mut at)?;
    let name = length(&mut at)?;
    let topic = frame.get(at..at + name).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(short)?;
    at += name;
    let partitions = length(&mut at)?;
    let index = number(at).ok_or_else(short)?;
    at += 4;
    let size = length(&mut at)?;
    let records = frame.get(at..at + size).ok_or_else(short)?;
    if (topics, partitions) != (1, 1) {
        return Err(failed("the null broker takes one partition a request"));
    }
    let partition = state.topics.get_mut(topic).and_then(|topic| topic.get_mut(index as usize));
    let (error, base_offset) = match partition {
        Some(partition) => (ErrorCode::None, partition.append(records)?),
        None => (ErrorCode::UnknownTopicOrPartition, -1),
    };
    let partition = PartitionProduceResponse {
        index,
        error_code: error.code(),
        base_offset,
        ..PartitionProduceResponse::default()
    };
    let topic = TopicProduceResponse {
        name: topic.to_owned(),
        partition_responses: vec![partition],
        ..TopicProduceResponse::default()
    };
    let response = ProduceResponse { responses: vec![topic], ..ProduceResponse::default() };
    respond(ApiKey::Produce, version, id, &response)
}

fn fetch(state: &State, request: &FetchRequest) -> FetchResponse {
    let mut responses = Vec::new();
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = find(state, &topic.topic, asked.partition);
            let error = if found.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            let max = asked.partition_max_bytes.max(0) as u64;
            let region = found.and_then(|partition| partition.read(asked.fetch_offset, max));
            PartitionData {
                partition_index: asked.partition,
                error_code: error.code(),
                high_watermark: found.map_or(-1, |partition| partition.next_offset),
                records: Some(region.map_or_else(Records::default, Records::from)),
                ..PartitionData::default()
            }
        });
        responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        });
    }
    FetchResponse { responses, ..FetchResponse::default() }
}

fn api_versions() -> ApiVersionsResponse {
    let known = [
        ApiKey::Produce,
        ApiKey::Fetch,
        ApiKey::ListOffsets,
        ApiKey::Metadata,
        ApiKey::ApiVersions,
        ApiKey::CreateTopics,
        ApiKey::DeleteTopics,
    ];
    let row = |key: &ApiKey| {
        let (min_version, max_version) = key.versions().into_inner();
        ApiVersion { api_key: key.number(), min_version, max_version, ..ApiVersion::default() }
    };
    ApiVersionsResponse { api_keys: known.iter().map(row).collect(), ..ApiVersionsResponse::default() }
}

fn metadata(state: &State, request: &MetadataRequest) -> MetadataResponse {
    let broker = MetadataResponseBroker {
        node_id: NODE,
        host: "127.0.0.1".to_owned(),
        port: i32::from(state.port),
        ..MetadataResponseBroker::default()
    };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: NODE,
        replica_nodes: vec![NODE],
        isr_nodes: vec![NODE],
        ..MetadataResponsePartition::default()
    };
    let names = request.topics.iter().flatten().filter_map(|topic| topic.name.clone());
    let topics = names.map(|name| {
        let found = state.topics.get(&name);
        let error = if found.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
        MetadataResponseTopic {
            error_code: error.code(),
            partitions: (0..found.map_or(0, Vec::len) as i32).map(partition).collect(),
            name: Some(name),
            ..MetadataResponseTopic::default()
        }
    });
    MetadataResponse {
        brokers: vec![broker],
        controller_id: NODE,
        topics: topics.collect(),
        ..MetadataResponse::default()
    }
}

fn create_topics(state: &mut State, request: &CreateTopicsRequest) -> io::Result<CreateTopicsResponse> {
    let mut topics = Vec::new();
    for topic in &request.topics {
        if state.topics.contains_key(&topic.name) {
            topics.push(CreatableTopicResult {
                name: topic.name.clone(),
                error_code: ErrorCode::TopicAlreadyExists.code(),
                ..CreatableTopicResult::default()
            });
            continue;
        }
        let path = |index| state.dir.join(format!("{}-{index}.log", topic.name));
        let made: io::Result<Vec<Partition>> =
            (0..topic.num_partitions).map(|index| Partition::create(&path(index))).collect();
        state.topics.insert(topic.name.clone(), made?);
        topics.push(CreatableTopicResult { name: topic.name.clone(), ..CreatableTopicResult::default() });
    }
    Ok(CreateTopicsResponse { topics, ..CreateTopicsResponse::default() })
}

fn delete_topics(state: &mut State, request: &DeleteTopicsRequest) -> io::Result<DeleteTopicsResponse> {
    let mut responses = Vec::new();
    for name in &request.topic_names {
        let partitions = state.topics.remove(name).unwrap_or_default();
        for index in 0..partitions.len() {
            std::fs::remove_file(state.dir.join(format!("{name}-{index}.log")))?;
        }
        responses.push(DeletableTopicResult { name: Some(name.clone()), ..DeletableTopicResult::default() });
    }
    Ok(DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() })
}

fn list_offsets(state: &State, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partition = |asked: &ottla::protocol::messages::list_offsets::ListOffsetsPartition| {
            let found = find(state, &topic.name, asked.partition_index);
            let error = if found.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                error_code: error.code(),
                offset: found.map_or(-1, |partition| partition.next_offset),
                ..ListOffsetsPartitionResponse::default()
            }
        };
        ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(partition).collect(),
            ..ListOffsetsTopicResponse::default()
        }
    });
    ListOffsetsResponse { topics: topics.collect(), ..ListOffsetsResponse::default() }
}
