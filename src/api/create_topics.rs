//! CreateTopics: on the controller only (`KafkaApis.handleCreateTopicsRequest`).
//!
//! v1: validate only; v4: -1 means the broker's defaults; v5: the topic's configuration in the answer; v7: its id.
//! The answer waits until every partition has a leader here, or the time is up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::admin::topics::{Created, NewTopic, is_led};
use crate::broker::Broker;
use crate::config::topic as topic_config;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfigs, CreatableTopicResult};
use crate::protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: CreateTopicsRequest,
    call: Call<'_>,
) -> Answer<CreateTopicsResponse> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for topic in &request.topics {
        *counts.entry(topic.name.clone()).or_default() += 1;
    }
    let mut topics = Vec::new();
    let mut waiting = Vec::new();
    for topic in &request.topics {
        let twice = counts.get(&topic.name).is_some_and(|count| *count > 1);
        if twice && topics.iter().any(|done: &CreatableTopicResult| done.name == topic.name) {
            continue;
        }
        let created = match (broker.controller.is_active(), twice) {
            (false, _) => Err(Refusal::new(ErrorCode::NotController, "this broker is not the controller")),
            (true, true) => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Found multiple entries for this topic."))
            }
            (true, false) => create(broker, topic, request.validate_only).await,
        };
        if let (Ok(created), false) = (&created, request.validate_only) {
            waiting.push((topics.len(), topic.name.clone(), created.partitions));
        }
        topics.push(result(broker, topic, created, call.version));
    }
    let limit = Duration::from_millis(request.timeout_ms.max(0) as u64);
    let all_led = request.timeout_ms > 0
        && broker
            .admin
            .wait_for(limit, |image| waiting.iter().all(|(_, name, count)| is_led(image, name, *count)))
            .await;
    if !all_led {
        for (index, name, count) in waiting {
            if request.timeout_ms <= 0 || !is_led(&broker.metadata.image(), &name, count) {
                topics[index].error_code = ErrorCode::RequestTimedOut.code();
                topics[index].error_message =
                    Some("created, but not every partition has a leader yet".into());
            }
        }
    }
    Answer::Now(CreateTopicsResponse { topics, ..Default::default() })
}

async fn create(broker: &Broker, topic: &CreatableTopic, validate_only: bool) -> Result<Created, Refusal> {
    let mut assignment = BTreeMap::new();
    for given in &topic.assignments {
        if assignment.insert(given.partition_index, given.broker_ids.clone()).is_some() {
            let text = format!("Partition {} is assigned twice.", given.partition_index);
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text));
        }
    }
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let text = format!("Null value not supported for topic configs: {}", config.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, text));
        };
        configs.insert(config.name.clone(), value.clone());
    }
    let new = NewTopic {
        name: topic.name.clone(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignment,
        configs,
    };
    broker.admin.create_topic(&new, validate_only).await
}

fn result(
    broker: &Broker,
    topic: &CreatableTopic,
    created: Result<Created, Refusal>,
    version: i16,
) -> CreatableTopicResult {
    let name = topic.name.clone();
    match created {
        Err(refusal) => CreatableTopicResult {
            name,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            configs: if version >= 5 { Some(Vec::new()) } else { None },
            ..Default::default()
        },
        Ok(created) => CreatableTopicResult {
            name,
            topic_id: created.id,
            error_message: None,
            num_partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: Some(configs(broker, topic)),
            ..Default::default()
        },
    }
}

fn configs(broker: &Broker, topic: &CreatableTopic) -> Vec<CreatableTopicConfigs> {
    let given = topic.configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?)));
    let own: BTreeMap<String, String> = given.collect();
    let layers = broker.configs.layers();
    let row = |key: &crate::config::keys::Key| CreatableTopicConfigs {
        name: key.name.to_owned(),
        value: layers.topic_value(&own, key),
        read_only: false,
        config_source: layers.topic_origins(&own, key).first().map_or(5, |origin| origin.source as i8),
        is_sensitive: false,
        ..Default::default()
    };
    topic_config::all().iter().map(row).collect()
}
