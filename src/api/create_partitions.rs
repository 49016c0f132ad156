//! CreatePartitions: on the controller only. The answer waits until the new partitions have leaders.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::admin::topics::is_led;
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use crate::protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: CreatePartitionsRequest,
    _call: Call<'_>,
) -> Answer<CreatePartitionsResponse> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *counts.entry(&topic.name).or_default() += 1;
    }
    let mut results = Vec::new();
    let mut waiting = Vec::new();
    for topic in &request.topics {
        let twice = counts.get(topic.name.as_str()).is_some_and(|count| *count > 1);
        let mut result = CreatePartitionsTopicResult { name: topic.name.clone(), ..Default::default() };
        match grow(broker, topic, twice, request.validate_only).await {
            Ok(()) if !request.validate_only => {
                waiting.push((results.len(), topic.name.clone(), topic.count))
            }
            Ok(()) => {}
            Err(refusal) => {
                result.error_code = refusal.code.code();
                result.error_message = Some(refusal.message);
            }
        }
        results.push(result);
    }
    let limit = Duration::from_millis(request.timeout_ms.max(0) as u64);
    broker
        .admin
        .wait_for(limit, |image| waiting.iter().all(|(_, name, count)| is_led(image, name, *count)))
        .await;
    for (index, name, count) in waiting {
        if !is_led(&broker.metadata.image(), &name, count) {
            results[index].error_code = ErrorCode::RequestTimedOut.code();
            results[index].error_message = Some("added, but not every partition has a leader yet".into());
        }
    }
    Answer::Now(CreatePartitionsResponse { results, ..Default::default() })
}

async fn grow(
    broker: &Broker,
    topic: &CreatePartitionsTopic,
    twice: bool,
    validate_only: bool,
) -> Result<(), Refusal> {
    if !broker.controller.is_active() {
        return Err(Refusal::new(ErrorCode::NotController, "this broker is not the controller"));
    }
    if twice {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic in request."));
    }
    let given: Option<Vec<Vec<i32>>> = topic
        .assignments
        .as_ref()
        .map(|assignments| assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect());
    broker.admin.add_partitions(&topic.name, topic.count, given.as_deref(), validate_only).await
}
