//! UpdateMetadata as the image understands it, from every version of the request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::image::{BrokerImage, Endpoint, PartitionImage, TopicUpdate, Update};
use crate::config::listeners::SecurityProtocol;
use crate::protocol::ids::Uuid;
use crate::protocol::messages::UpdateMetadataRequest;
use crate::protocol::messages::update_metadata::{UpdateMetadataBroker, UpdateMetadataPartitionState};

/// Reads a request of `version`. Before version 3 endpoints name no listener: it is the protocol's name then.
pub fn from_request(request: &UpdateMetadataRequest, version: i16) -> Update {
    let brokers = request.live_brokers.iter().map(|broker| broker_image(broker, version)).collect();
    let mut topics: Vec<TopicUpdate> = request
        .topic_states
        .iter()
        .map(|topic| TopicUpdate {
            name: topic.topic_name.as_str().into(),
            id: topic.topic_id,
            partitions: topic.partition_states.iter().map(partition_image).collect(),
        })
        .collect();
    let mut ungrouped: BTreeMap<&str, Vec<PartitionImage>> = BTreeMap::new();
    for state in &request.ungrouped_partition_states {
        ungrouped.entry(&state.topic_name).or_default().push(partition_image(state));
    }
    for (name, partitions) in ungrouped {
        topics.push(TopicUpdate { name: name.into(), id: Uuid::ZERO, partitions });
    }
    Update { controller_id: request.controller_id, brokers, topics }
}

fn broker_image(broker: &UpdateMetadataBroker, version: i16) -> BrokerImage {
    let mut endpoints: Vec<Endpoint> = broker
        .endpoints
        .iter()
        .map(|endpoint| Endpoint {
            listener: match version {
                0..=2 => protocol_name(endpoint.security_protocol).into(),
                _ => endpoint.listener.as_str().into(),
            },
            host: endpoint.host.as_str().into(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        })
        .collect();
    if version == 0 {
        endpoints.push(Endpoint {
            listener: SecurityProtocol::Plaintext.name().into(),
            host: broker.v0_host.as_str().into(),
            port: broker.v0_port,
            security_protocol: 0,
        });
    }
    let rack = broker.rack.as_deref().filter(|rack| !rack.is_empty()).map(Arc::from);
    BrokerImage { id: broker.id, endpoints, rack }
}

fn protocol_name(number: i16) -> &'static str {
    match number {
        1 => SecurityProtocol::Ssl.name(),
        2 => SecurityProtocol::SaslPlaintext.name(),
        3 => SecurityProtocol::SaslSsl.name(),
        _ => SecurityProtocol::Plaintext.name(),
    }
}

fn partition_image(state: &UpdateMetadataPartitionState) -> PartitionImage {
    PartitionImage {
        index: state.partition_index,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        isr: state.isr.as_slice().into(),
        replicas: state.replicas.as_slice().into(),
        offline: state.offline_replicas.as_slice().into(),
        zk_version: state.zk_version,
        controller_epoch: state.controller_epoch,
    }
}
