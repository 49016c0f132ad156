//! UpdateMetadata: the controller tells this broker what the cluster looks like. The list of alive brokers is
//! always whole; partitions are those that changed.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::metadata::update;
use crate::protocol::messages::{UpdateMetadataRequest, UpdateMetadataResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: UpdateMetadataRequest,
    call: Call<'_>,
) -> Answer<UpdateMetadataResponse> {
    if let Err(code) = broker.accept_control(request.broker_epoch, request.controller_epoch) {
        return Answer::Now(UpdateMetadataResponse { error_code: code.code(), ..Default::default() });
    }
    let before = broker.metadata.image().clone();
    let deleted = broker.metadata.apply(&update::from_request(&request, call.version));
    if !deleted.is_empty() {
        broker.groups.topics_deleted(&deleted);
    }
    let now = broker.metadata.image();
    if before.brokers().any(|known| !now.is_alive(known.id)) {
        broker.replicas.brokers_gone();
    }
    Answer::Now(UpdateMetadataResponse::default())
}
