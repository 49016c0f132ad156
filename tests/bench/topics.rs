//! Topics for the load: created, awaited until led, served and in sync, deleted; the same requests for every broker. Of a
//! cluster any broker may be asked: what only the controller or a leader does is sent there.
//!
//! "Led" means that Metadata names a leader for each partition *and* that the leader answers ListOffsets
//! for it, so that a broker cannot look ready before it is. "In sync" means that all replicas are in the ISR. Knows nothing of what is measured.

use std::io;
use std::time::{Duration, Instant};

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use ottla::protocol::messages::metadata::{MetadataRequestTopic, MetadataResponsePartition};
use ottla::protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
};

use crate::client::{Connection, failed};
use crate::load::Target;

/// Versions every client of the last years speaks; the same for every broker.
const METADATA_VERSION: i16 = 9;
const CREATE_VERSION: i16 = 5;
const DELETE_VERSION: i16 = 4;
const LIST_OFFSETS_VERSION: i16 = 6;
const LATEST: i64 = -1;
/// A minute for the controller to make a topic is generous for all.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Settings of the topics that are written and thrown away: their files go at once, not after a minute in
/// which their write-back would disturb the next broker's sample.
pub const THROWN_AWAY: &[(&str, &str)] = &[("file.delete.delay.ms", "1000")];

/// What to create.
#[derive(Clone, Copy)]
pub struct NewTopic<'a> {
    /// Name.
    pub name: &'a str,
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each. If several, producers wait for all in sync (acks=all).
    pub replicas: i16,
    /// Topic settings, name and value.
    pub settings: &'a [(&'a str, &'a str)],
}

/// Asks for topics by name, without creating any.
pub fn metadata(connection: &mut Connection, names: &[String]) -> io::Result<MetadataResponse> {
    let topic =
        |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    connection.call(METADATA_VERSION, &request)
}

/// Creates a topic, waits for it, and tells how to load it.
pub fn ready(port: u16, topic: NewTopic<'_>) -> io::Result<Target> {
    create(port, &[topic], READY_LIMIT)?;
    target(port, topic)
}

/// How to load a topic that is led.
pub fn target(port: u16, topic: NewTopic<'_>) -> io::Result<Target> {
    let answer = metadata(&mut Connection::open(port)?, &[topic.name.to_owned()])?;
    let leader = |index: i32| {
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let partition = partitions.find(|partition| partition.partition_index == index);
        partition
            .and_then(|partition| port_of(&answer, partition.leader_id))
            .ok_or_else(|| failed(format!("{}-{index} has no leader", topic.name)))
    };
    Ok(Target {
        topic: topic.name.to_owned(),
        leaders: (0..topic.partitions).map(leader).collect::<io::Result<_>>()?,
        acks: if topic.replicas > 1 { -1 } else { 1 },
    })
}

fn port_of(answer: &MetadataResponse, id: i32) -> Option<u16> {
    let broker = answer.brokers.iter().find(|broker| broker.node_id == id)?;
    u16::try_from(broker.port).ok()
}

/// The port of the controller, as the broker at `port` knows it.
fn controller(port: u16) -> io::Result<u16> {
    let answer = metadata(&mut Connection::open(port)?, &[])?;
    port_of(&answer, answer.controller_id).ok_or_else(|| failed("there is no controller"))
}

/// Creates the topics and waits until they are led and in sync. A timeout of the broker is not an error: it goes on.
pub fn create(port: u16, topics: &[NewTopic<'_>], limit: Duration) -> io::Result<()> {
    let give_up = Instant::now() + limit;
    for topic in topics {
        create_one(port, topic, give_up)?;
    }
    let names: Vec<(String, i32)> =
        topics.iter().map(|topic| (topic.name.to_owned(), topic.partitions)).collect();
    await_led(port, &names, give_up)
}

fn create_one(port: u16, topic: &NewTopic<'_>, give_up: Instant) -> io::Result<()> {
    let setting = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
        ..CreatableTopicConfig::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.name.to_owned(),
            num_partitions: topic.partitions,
            replication_factor: topic.replicas,
            configs: topic.settings.iter().map(setting).collect(),
            ..CreatableTopic::default()
        }],
        timeout_ms: 60_000,
        ..CreateTopicsRequest::default()
    };
    loop {
        // Until one is elected, whoever is asked refuses, and is asked again.
        let mut connection = Connection::open(controller(port).unwrap_or(port))?;
        connection.set_limit(Duration::from_secs(120))?;
        let response = connection.call(CREATE_VERSION, &request)?;
        let result = response.topics.first().ok_or_else(|| failed("CreateTopics answered no topic"))?;
        match ErrorCode::from_i16(result.error_code) {
            Some(ErrorCode::None | ErrorCode::TopicAlreadyExists | ErrorCode::RequestTimedOut) => {
                return Ok(());
            }
            // Until the controller stands, creation is refused: NOT_CONTROLLER, no broker registered yet.
            _ if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(200)),
            code => {
                let why = result.error_message.clone().unwrap_or_default();
                return Err(failed(format!("cannot create {}: {code:?} {why}", topic.name)));
            }
        }
    }
}

/// Waits until each partition of the topics (name, partitions) has a leader that serves it, and all
/// its replicas in sync.
pub fn await_led(port: u16, topics: &[(String, i32)], give_up: Instant) -> io::Result<()> {
    let mut pause = Duration::from_millis(2);
    loop {
        let state = led(port, topics);
        match state {
            Ok(None) => return Ok(()),
            Ok(Some(_)) | Err(_) if Instant::now() < give_up => std::thread::sleep(pause),
            Ok(Some(missing)) => return Err(failed(format!("not led in time: {missing}"))),
            Err(error) => return Err(error),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// What is not led yet, if anything.
fn led(port: u16, topics: &[(String, i32)]) -> io::Result<Option<String>> {
    let mut connection = Connection::open(port)?;
    let names: Vec<String> = topics.iter().map(|(name, _)| name.clone()).collect();
    let response = metadata(&mut connection, &names)?;
    if let Some(missing) = not_whole(&response, topics) {
        return Ok(Some(missing));
    }
    for broker in &response.brokers {
        let there = u16::try_from(broker.port).map_err(failed)?;
        let mut connection = Connection::open(there)?;
        // A Kafka broker that leads a partition refuses producers until its own metadata tell of it.
        if there != port
            && let Some(missing) = not_whole(&metadata(&mut connection, &names)?, topics)
        {
            return Ok(Some(missing));
        }
        for topic in &response.topics {
            let led = topic.partitions.iter().filter(|partition| partition.leader_id == broker.node_id);
            let led: Vec<i32> = led.map(|partition| partition.partition_index).collect();
            let name = topic.name.as_deref().unwrap_or_default();
            let served = served(&mut connection, name, &led)?;
            if served < led.len() {
                let (led, id) = (led.len(), broker.node_id);
                return Ok(Some(format!("broker {id} serves {served} of its {led} partitions of {name}")));
            }
        }
    }
    Ok(None)
}

/// What is not led or not in sync by an answer of Metadata, if anything.
fn not_whole(response: &MetadataResponse, topics: &[(String, i32)]) -> Option<String> {
    for (name, partitions) in topics {
        let topic = response.topics.iter().find(|topic| topic.name.as_deref() == Some(name));
        let ready =
            topic.map_or(0, |topic| topic.partitions.iter().filter(|partition| is_whole(partition)).count());
        if ready < *partitions as usize {
            return Some(format!("{ready} of {partitions} partitions of {name} have a leader and their ISR"));
        }
    }
    None
}

fn is_whole(partition: &MetadataResponsePartition) -> bool {
    let in_sync = partition.isr_nodes.len() == partition.replica_nodes.len();
    partition.error_code == 0 && partition.leader_id >= 0 && in_sync
}

fn served(connection: &mut Connection, name: &str, partitions: &[i32]) -> io::Result<usize> {
    if partitions.is_empty() {
        return Ok(0);
    }
    let partition = |index: &i32| ListOffsetsPartition {
        partition_index: *index,
        timestamp: LATEST,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: name.to_owned(),
        partitions: partitions.iter().map(partition).collect(),
        ..ListOffsetsTopic::default()
    };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let response = connection.call(LIST_OFFSETS_VERSION, &request)?;
    let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    Ok(answers.filter(|answer| answer.error_code == 0).count())
}

/// Deletes a topic; a broker that cannot is told so in the error, and loses nothing but disk.
pub fn delete(port: u16, name: &str) -> io::Result<()> {
    let mut connection = Connection::open(controller(port)?)?;
    let request = DeleteTopicsRequest {
        topic_names: vec![name.to_owned()],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    let response = connection.call(DELETE_VERSION, &request)?;
    match response.responses.first().map(|answer| answer.error_code) {
        Some(0) => Ok(()),
        code => Err(failed(format!("cannot delete {name}: {code:?}"))),
    }
}
