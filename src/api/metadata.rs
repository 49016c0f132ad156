//! Metadata: brokers, topics, leaders (`KafkaApis.handleTopicMetadataRequest`).
//!
//! v0: an empty list means all; v1+: null means all, empty none. v4: auto-creation may be declined. v8: authorised operations.
//! v10: topic ids in the answer; v12: topics may be asked for by id.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Call};
use crate::admin::auto_create;
use crate::broker::Broker;
use crate::metadata::image::{Image, NO_BROKER, PartitionImage, TopicImage};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::is_internal_topic;
use crate::protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::{MetadataRequest, MetadataResponse};

/// How long the first answers wait for the controller's first word.
const FIRST_METADATA: Duration = Duration::from_secs(5);

/// Every operation on a topic, one bit each by its number (`AclOperation`): Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
pub const TOPIC_OPERATIONS: i32 =
    (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11);
/// Every operation on the cluster.
pub const CLUSTER_OPERATIONS: i32 =
    (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12);

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: MetadataRequest,
    call: Call<'_>,
) -> Answer<MetadataResponse> {
    let version = call.version;
    if (10..12).contains(&version) {
        let by_id = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_zero();
        if request.topics.iter().flatten().any(by_id) {
            return Answer::Now(refuse(request));
        }
    }
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    // Just after the start nothing is known yet: an empty cluster would be a wrong answer, and some clients give up on it.
    broker.admin.wait_for(FIRST_METADATA, |image| image.brokers().len() > 0).await;
    let create = version < 4 || request.allow_auto_topic_creation;
    let mut topics = Vec::new();
    if all {
        let image = broker.metadata.image();
        topics.extend(image.topics().map(|topic| describe(broker, &image, topic, &call)));
    } else {
        for asked in request.topics.into_iter().flatten() {
            topics.push(one(broker, asked, create, &call).await);
        }
    }
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let image = broker.metadata.image();
    Answer::Now(MetadataResponse {
        brokers: brokers(&image, &call.caller.listener),
        cluster_id: Some(broker.cluster_id.clone()),
        controller_id: image.controller_id(),
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => i32::MIN,
        },
        ..Default::default()
    })
}

/// Versions 10 and 11 carry ids but cannot ask by them (`MetadataRequest.getErrorResponse`).
fn refuse(request: MetadataRequest) -> MetadataResponse {
    let refused = |topic: MetadataRequestTopic| MetadataResponseTopic {
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        error_code: ErrorCode::InvalidRequest.code(),
        ..Default::default()
    };
    let topics = request.topics.into_iter().flatten().map(refused).collect();
    MetadataResponse { topics, ..Default::default() }
}

fn brokers(image: &Image, listener: &str) -> Vec<MetadataResponseBroker> {
    let alive = image.brokers().filter_map(|broker| {
        let endpoint = broker.endpoint(listener)?;
        Some(MetadataResponseBroker {
            node_id: broker.id,
            host: endpoint.host.to_string(),
            port: endpoint.port,
            rack: broker.rack.as_deref().map(str::to_owned),
            ..Default::default()
        })
    });
    alive.collect()
}

async fn one(
    broker: &Arc<Broker>,
    asked: MetadataRequestTopic,
    create: bool,
    call: &Call<'_>,
) -> MetadataResponseTopic {
    let failed = |name, code: ErrorCode| MetadataResponseTopic {
        error_code: code.code(),
        topic_id: asked.topic_id,
        name,
        ..Default::default()
    };
    let name = match asked.name.filter(|name| !name.is_empty() || asked.topic_id.is_zero()) {
        Some(name) => name,
        None => match broker.metadata.image().topic_name(asked.topic_id) {
            Some(name) => name.to_string(),
            None => return failed(None, ErrorCode::UnknownTopicId),
        },
    };
    {
        let image = broker.metadata.image();
        if let Some(topic) = image.topic(&name) {
            return describe(broker, &image, topic, call);
        }
    }
    let code = match broker.admin.creates_missing(&name, create) {
        true => broker.admin.create_missing(&name).await,
        false => auto_create::unknown(&name),
    };
    let mut answer = failed(Some(name.clone()), code);
    answer.is_internal = is_internal_topic(&name);
    answer
}

fn describe(broker: &Broker, image: &Image, topic: &TopicImage, call: &Call<'_>) -> MetadataResponseTopic {
    let described = |partition: &PartitionImage| {
        // A broker that has just started hears who leads before it is told to lead.
        let told = partition.leader != broker.id
            || broker.replicas.partition(&topic.name, partition.index).is_some();
        describe_partition(image, partition, told, call)
    };
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: is_internal_topic(&topic.name),
        partitions: topic.partitions().map(described).collect(),
        ..Default::default()
    }
}

fn describe_partition(
    image: &Image,
    partition: &PartitionImage,
    told: bool,
    call: &Call<'_>,
) -> MetadataResponsePartition {
    let leader = image.broker(partition.leader).filter(|_| told);
    let reachable = leader.is_some_and(|leader| leader.endpoint(&call.caller.listener).is_some());
    let mut code = match (leader, reachable) {
        (None, _) => ErrorCode::LeaderNotAvailable,
        (Some(_), false) if call.version >= 6 => ErrorCode::ListenerNotFound,
        (Some(_), false) => ErrorCode::LeaderNotAvailable,
        _ => ErrorCode::None,
    };
    let alive = |ids: &[i32]| -> Vec<i32> {
        // Version 0 knows only replicas that are alive.
        ids.iter().copied().filter(|id| call.version > 0 || image.is_alive(*id)).collect()
    };
    let (replica_nodes, isr_nodes) = (alive(&partition.replicas), alive(&partition.isr));
    let missing = replica_nodes.len() < partition.replicas.len() || isr_nodes.len() < partition.isr.len();
    if code == ErrorCode::None && missing {
        code = ErrorCode::ReplicaNotAvailable;
    }
    MetadataResponsePartition {
        error_code: code.code(),
        partition_index: partition.index,
        leader_id: if reachable { partition.leader } else { NO_BROKER },
        leader_epoch: partition.leader_epoch,
        replica_nodes,
        isr_nodes,
        offline_replicas: partition.offline.to_vec(),
        ..Default::default()
    }
}
