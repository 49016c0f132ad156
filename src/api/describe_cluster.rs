//! DescribeCluster: brokers, controller, cluster id (KIP-700). v1: which kind of endpoints; only brokers' exist here.

use std::sync::Arc;

use super::metadata::CLUSTER_OPERATIONS;
use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_cluster::DescribeClusterBroker;
use crate::protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeClusterRequest,
    call: Call<'_>,
) -> Answer<DescribeClusterResponse> {
    if request.endpoint_type != BROKERS {
        let code = match (call.version, request.endpoint_type) {
            (0, _) => ErrorCode::InvalidRequest,
            (_, CONTROLLERS) => ErrorCode::MismatchedEndpointType,
            _ => ErrorCode::UnsupportedEndpointType,
        };
        return Answer::Now(DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some("only broker endpoints can be described".into()),
            ..Default::default()
        });
    }
    let image = broker.metadata.image();
    let brokers = image.brokers().filter_map(|alive| {
        let endpoint = alive.endpoint(&call.caller.listener)?;
        Some(DescribeClusterBroker {
            broker_id: alive.id,
            host: endpoint.host.to_string(),
            port: endpoint.port,
            rack: alive.rack.as_deref().map(str::to_owned),
            ..Default::default()
        })
    });
    Answer::Now(DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: broker.cluster_id.clone(),
        controller_id: image.controller_id(),
        brokers: brokers.collect(),
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => i32::MIN,
        },
        ..Default::default()
    })
}
