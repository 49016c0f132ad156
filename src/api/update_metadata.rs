//! UpdateMetadata: the controller tells this broker what the cluster looks like. The list of alive brokers is
//! always whole; partitions are those that changed.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::metadata::configs::Overrides;
use crate::metadata::image::Image;
use crate::metadata::update;
use crate::protocol::ids::TopicPartition;
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
    forget_configurations(broker, &now, &deleted);
    if before.brokers().any(|known| !now.is_alive(known.id)) {
        broker.replicas.brokers_gone();
    }
    Answer::Now(UpdateMetadataResponse::default())
}

/// What a topic set goes with it: the next one of its name begins with its own.
fn forget_configurations(broker: &Broker, now: &Image, deleted: &[TopicPartition]) {
    for topic in deleted.iter().map(|tp| &tp.topic).filter(|topic| now.topic(topic).is_none()) {
        if !broker.configs.topic_overrides(topic).is_empty() {
            broker.configs.set_topic(topic, Overrides::new());
            broker.throttles_changed(Some(topic));
        }
    }
}
