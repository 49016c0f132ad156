//! What tools ask of a cluster: requests made, answers taken apart, codes kept for whoever explains them.
//!
//! Shared by Ottla's own commands and by the tools of Kafka's names; the first explain a [`Trouble`] by its next step,
//! the second in Kafka's words. Knows nothing of options and printing. Source: `KafkaAdminClient`.

use std::collections::{BTreeMap, HashMap};

use super::connect::{BROKER_LIMIT_MS, Client};
use super::explain::explain;
use super::offsets::Place;
pub use crate::admin::configs::resource_type as resource;
use crate::protocol::messages::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use crate::protocol::messages::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use crate::protocol::messages::create_partitions::CreatePartitionsTopic;
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicResult};
use crate::protocol::messages::delete_topics::DeleteTopicState;
use crate::protocol::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResourceResult};
use crate::protocol::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsResult};
use crate::protocol::messages::elect_leaders::TopicPartitions;
use crate::protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use crate::protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeConfigsRequest, DescribeLogDirsRequest, ElectLeadersRequest,
    ElectLeadersResponse, IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest,
};

/// Topics whose configurations one request asks for.
const TOPICS_AT_ONCE: usize = 500;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answered; the sentence says who and why.
    Unreachable(String),
    /// The broker refused.
    Refused {
        /// Its error code.
        code: i16,
        /// Its own words.
        told: Option<String>,
    },
}

impl Trouble {
    /// The sentence for Ottla's own commands; `what` was asked about.
    pub fn explain(&self, what: &str) -> String {
        match self {
            Trouble::Unreachable(why) => why.clone(),
            Trouble::Refused { code, told } => explain(*code, told.as_deref(), what),
        }
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Trouble {
        Trouble::Unreachable(why)
    }
}

/// How each thing asked for fared.
pub type Outcomes<T> = Vec<(T, Result<(), Trouble>)>;

/// Whether a broker did what was asked.
pub fn outcome(code: i16, told: Option<String>) -> Result<(), Trouble> {
    if code == 0 { Ok(()) } else { Err(Trouble::Refused { code, told }) }
}

/// Makes a topic.
pub async fn create_topic(
    client: &mut Client,
    topic: CreatableTopic,
) -> Result<CreatableTopicResult, Trouble> {
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: BROKER_LIMIT_MS, ..Default::default() };
    let code = |answer: &CreatableTopicResult| answer.error_code;
    let answer =
        client.controller(i16::MAX, &request, |answer| answer.topics.first().map_or(0, code)).await?;
    let result = answer.topics.into_iter().next().unwrap_or_default();
    outcome(result.error_code, result.error_message.clone())?;
    Ok(result)
}

/// Deletes topics.
pub async fn delete_topics(client: &mut Client, names: &[String]) -> Result<Outcomes<String>, Trouble> {
    let state = |name: &String| DeleteTopicState { name: Some(name.clone()), ..Default::default() };
    let request = DeleteTopicsRequest {
        topics: names.iter().map(state).collect(),
        topic_names: names.to_vec(),
        timeout_ms: BROKER_LIMIT_MS,
        ..Default::default()
    };
    let first =
        |answer: &DeleteTopicsResponse| answer.responses.first().map_or(0, |result| result.error_code);
    let answer = client.controller(i16::MAX, &request, first).await?;
    let told = answer
        .responses
        .into_iter()
        .map(|result| (result.name.unwrap_or_default(), outcome(result.error_code, result.error_message)));
    Ok(told.collect())
}

/// Adds partitions to topics.
pub async fn add_partitions(
    client: &mut Client,
    topics: Vec<CreatePartitionsTopic>,
) -> Result<Outcomes<String>, Trouble> {
    let request = CreatePartitionsRequest { topics, timeout_ms: BROKER_LIMIT_MS, ..Default::default() };
    let first =
        |answer: &CreatePartitionsResponse| answer.results.first().map_or(0, |result| result.error_code);
    let answer = client.controller(i16::MAX, &request, first).await?;
    let told = answer
        .results
        .into_iter()
        .map(|result| (result.name, outcome(result.error_code, result.error_message)));
    Ok(told.collect())
}

/// The broker that must be asked about a resource, if not any will do.
fn owner(kind: i8, name: &str) -> Option<i32> {
    let is_of_broker = kind == resource::BROKER || kind == resource::BROKER_LOGGER;
    if is_of_broker { name.parse().ok() } else { None }
}

/// The configuration of a resource.
pub async fn describe_configs(
    client: &mut Client,
    kind: i8,
    name: &str,
    include_synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Trouble> {
    let asked = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: None,
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![asked], include_synonyms, ..Default::default() };
    let answer = match owner(kind, name) {
        Some(broker) => client.broker(broker, i16::MAX, &request).await?,
        None => client.any(i16::MAX, &request).await?,
    };
    let result = answer.results.into_iter().next().unwrap_or_default();
    outcome(result.error_code, result.error_message)?;
    Ok(result.configs)
}

/// The configurations of topics, in their order: all keys, or `key` alone.
pub async fn describe_topics_configs(
    client: &mut Client,
    names: &[String],
    key: Option<&str>,
) -> Result<Vec<Vec<DescribeConfigsResourceResult>>, Trouble> {
    let mut all = Vec::with_capacity(names.len());
    for names in names.chunks(TOPICS_AT_ONCE) {
        let resource = |name: &String| DescribeConfigsResource {
            resource_type: resource::TOPIC,
            resource_name: name.clone(),
            configuration_keys: key.map(|key| vec![key.to_owned()]),
            ..Default::default()
        };
        let request =
            DescribeConfigsRequest { resources: names.iter().map(resource).collect(), ..Default::default() };
        let results = client.any(i16::MAX, &request).await?.results;
        let mut found: HashMap<String, _> =
            results.into_iter().map(|result| (result.resource_name.clone(), result)).collect();
        for name in names {
            let result = found.remove(name).unwrap_or_default();
            outcome(result.error_code, result.error_message)?;
            all.push(result.configs);
        }
    }
    Ok(all)
}

/// The configuration of a topic that says how many replicas must be in sync.
pub const MIN_ISR: &str = "min.insync.replicas";

/// Its value in the configuration of a topic; 1 where it is not told.
pub fn min_isr(configs: &[DescribeConfigsResourceResult]) -> usize {
    let told = configs.iter().find(|config| config.name == MIN_ISR);
    told.and_then(|config| config.value.as_deref()?.parse().ok()).unwrap_or(1)
}

/// One change of a configuration: a value, or `None` to take the key away.
pub type Change = (String, Option<String>);

/// Changes single keys of a resource.
pub async fn alter_configs(
    client: &mut Client,
    kind: i8,
    name: &str,
    changes: &[Change],
) -> Result<(), Trouble> {
    let config = |(key, value): &Change| AlterableConfig {
        name: key.clone(),
        config_operation: i8::from(value.is_none()),
        value: value.clone(),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configs: changes.iter().map(config).collect(),
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = match owner(kind, name) {
        Some(broker) => client.broker(broker, i16::MAX, &request).await?,
        None => client.any(i16::MAX, &request).await?,
    };
    let result = answer.responses.into_iter().next().unwrap_or_default();
    outcome(result.error_code, result.error_message)
}

/// One move under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// All replicas.
    pub replicas: Vec<i32>,
    /// Those being added.
    pub adding: Vec<i32>,
    /// Those being removed.
    pub removing: Vec<i32>,
}

/// The moves under way.
pub async fn moves(client: &mut Client) -> Result<BTreeMap<Place, Move>, Trouble> {
    let request =
        ListPartitionReassignmentsRequest { timeout_ms: BROKER_LIMIT_MS, topics: None, ..Default::default() };
    let answer = client.controller(i16::MAX, &request, |answer| answer.error_code).await?;
    outcome(answer.error_code, answer.error_message)?;
    let mut moves = BTreeMap::new();
    for topic in answer.topics {
        for it in topic.partitions {
            let (replicas, adding, removing) = (it.replicas, it.adding_replicas, it.removing_replicas);
            moves.insert((topic.name.clone(), it.partition_index), Move { replicas, adding, removing });
        }
    }
    Ok(moves)
}

/// Wishes partitions elsewhere; `None` cancels. `wanted` is sorted by place.
pub async fn reassign(
    client: &mut Client,
    wanted: impl Iterator<Item = (&Place, Option<&Vec<i32>>)>,
) -> Result<Outcomes<Place>, Trouble> {
    let mut topics: Vec<ReassignableTopic> = Vec::new();
    for ((topic, index), replicas) in wanted {
        let partition = ReassignablePartition {
            partition_index: *index,
            replicas: replicas.cloned(),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(last) if last.name == *topic => last.partitions.push(partition),
            _ => topics.push(ReassignableTopic {
                name: topic.clone(),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    let request =
        AlterPartitionReassignmentsRequest { timeout_ms: BROKER_LIMIT_MS, topics, ..Default::default() };
    let code = |answer: &AlterPartitionReassignmentsResponse| answer.error_code;
    let answer = client.controller(i16::MAX, &request, code).await?;
    outcome(answer.error_code, answer.error_message)?;
    let partitions = answer.responses.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic
            .partitions
            .into_iter()
            .map(move |it| ((name.clone(), it.partition_index), outcome(it.error_code, it.error_message)))
    });
    Ok(partitions.collect())
}

/// Elects leaders of `places`, or of all partitions that need it; tells how each fared.
pub async fn elect_leaders(
    client: &mut Client,
    unclean: bool,
    places: Option<&[Place]>,
) -> Result<BTreeMap<Place, Result<(), Trouble>>, Trouble> {
    let topic = |(name, index): &Place| TopicPartitions {
        topic: name.clone(),
        partitions: vec![*index],
        ..Default::default()
    };
    let request = ElectLeadersRequest {
        election_type: i8::from(unclean),
        topic_partitions: places.map(|places| places.iter().map(topic).collect()),
        timeout_ms: BROKER_LIMIT_MS,
        ..Default::default()
    };
    let code = |answer: &ElectLeadersResponse| {
        let first = answer.replica_election_results.first().and_then(|topic| topic.partition_result.first());
        if answer.error_code != 0 { answer.error_code } else { first.map_or(0, |it| it.error_code) }
    };
    let answer = client.controller(i16::MAX, &request, code).await?;
    outcome(answer.error_code, None)?;
    let mut elected = BTreeMap::new();
    for topic in answer.replica_election_results {
        for it in topic.partition_result {
            elected.insert((topic.topic.clone(), it.partition_id), outcome(it.error_code, it.error_message));
        }
    }
    Ok(elected)
}

/// Moves replicas of a broker to other log directories; tells how each fared.
pub async fn alter_log_dirs(
    client: &mut Client,
    broker: i32,
    wishes: &BTreeMap<Place, String>,
) -> Result<Outcomes<Place>, Trouble> {
    let dir = |((name, index), path): (&Place, &String)| AlterReplicaLogDir {
        path: path.clone(),
        topics: vec![AlterReplicaLogDirTopic {
            name: name.clone(),
            partitions: vec![*index],
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = AlterReplicaLogDirsRequest { dirs: wishes.iter().map(dir).collect(), ..Default::default() };
    let answer = client.broker(broker, i16::MAX, &request).await?;
    let moved = answer.results.into_iter().flat_map(|topic| {
        let name = topic.topic_name;
        topic
            .partitions
            .into_iter()
            .map(move |it| ((name.clone(), it.partition_index), outcome(it.error_code, None)))
    });
    Ok(moved.collect())
}

/// The log directories of a broker with what is in them: all replicas, or those of `places`.
pub async fn log_dirs(
    client: &mut Client,
    broker: i32,
    places: Option<&[Place]>,
) -> Result<Vec<DescribeLogDirsResult>, Trouble> {
    let topic = |(name, index): &Place| DescribableLogDirTopic {
        topic: name.clone(),
        partitions: vec![*index],
        ..Default::default()
    };
    let request = DescribeLogDirsRequest {
        topics: places.map(|places| places.iter().map(topic).collect()),
        ..Default::default()
    };
    let answer = client.broker(broker, i16::MAX, &request).await?;
    outcome(answer.error_code, None)?;
    Ok(answer.results)
}
