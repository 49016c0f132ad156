//! FindCoordinator: which broker owns a group or a transactional id (`KafkaApis.getCoordinator`).
//!
//! A missing internal topic is created by whoever is asked. v1: key types; v4: several keys; v6: share groups, which do not
//! exist here.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, partition_for};
use crate::protocol::messages::find_coordinator::Coordinator;
use crate::protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: FindCoordinatorRequest,
    call: Call<'_>,
) -> Answer<FindCoordinatorResponse> {
    if call.version >= 4 {
        let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
        for key in request.coordinator_keys {
            coordinators.push(find(broker, key, request.key_type, &call).await);
        }
        return Answer::Now(FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let found = find(broker, request.key, request.key_type, &call).await;
    Answer::Now(FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    })
}

async fn find(broker: &Arc<Broker>, key: String, key_type: i8, call: &Call<'_>) -> Coordinator {
    let failed = |key: String, code: ErrorCode| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(code.name().to_owned()),
        ..Default::default()
    };
    let topic = match key_type {
        GROUP => OFFSETS_TOPIC,
        TRANSACTION => TRANSACTIONS_TOPIC,
        SHARE if call.version >= 6 => return failed(key, ErrorCode::CoordinatorNotAvailable),
        _ => return failed(key, ErrorCode::InvalidRequest),
    };
    let count = {
        let image = broker.metadata.image();
        image.topic(topic).map(|topic| topic.partitions().len() as i32)
    };
    let Some(count) = count else {
        broker.admin.create_missing(topic).await;
        return failed(key, ErrorCode::CoordinatorNotAvailable);
    };
    let partition = match key_type {
        GROUP => broker.groups.partition_of(&key),
        _ => partition_for(&key, count),
    };
    let image = broker.metadata.image();
    let leader = image.partition(topic, partition).and_then(|partition| image.broker(partition.leader));
    let Some((leader, endpoint)) =
        leader.and_then(|leader| Some((leader, leader.endpoint(&call.caller.listener)?)))
    else {
        return failed(key, ErrorCode::CoordinatorNotAvailable);
    };
    Coordinator {
        key,
        node_id: leader.id,
        host: endpoint.host.to_string(),
        port: endpoint.port,
        error_message: Some(ErrorCode::None.name().to_owned()),
        ..Default::default()
    }
}
