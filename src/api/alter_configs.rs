//! AlterConfigs: replaces all that is set for topics and brokers (`ConfigAdminManager.preprocess`, KIP-133). Deprecated in
//! favour of IncrementalAlterConfigs, and without its broker loggers.
//!
//! Per broker only at the broker itself; the default of all brokers (empty name) at any. The version changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::admin::configs::{Change, Target, distinct};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use crate::protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: AlterConfigsRequest,
    _call: Call<'_>,
) -> Answer<AlterConfigsResponse> {
    let twice = named_twice(request.resources.iter().map(|it| (it.resource_type, it.resource_name.as_str())));
    let mut responses = Vec::with_capacity(request.resources.len());
    for (resource, twice) in request.resources.iter().zip(twice) {
        let altered = match twice {
            true => Err(once_only()),
            false => alter(broker, resource, request.validate_only).await,
        };
        responses.push(response(resource, altered));
    }
    Answer::Now(AlterConfigsResponse { responses, ..Default::default() })
}

async fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let configs = resource.configs.iter();
    let values = distinct(configs.map(|config| (config.name.as_str(), config.value.as_deref())))?;
    let target = broker.admin.target(resource.resource_type, &resource.resource_name)?;
    broker.admin.alter_config(&target, Change::Replace(values), validate_only).await?;
    if !validate_only {
        take_into_force(broker, &target);
    }
    Ok(())
}

fn response(resource: &AlterConfigsResource, altered: Result<(), Refusal>) -> AlterConfigsResourceResponse {
    let (code, message) = told(altered);
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message: message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    }
}

/// For each resource, whether it is named more than once.
pub(super) fn named_twice<'a>(resources: impl Iterator<Item = (i8, &'a str)> + Clone) -> Vec<bool> {
    let mut counts: HashMap<(i8, &str), usize> = HashMap::new();
    for resource in resources.clone() {
        *counts.entry(resource).or_default() += 1;
    }
    resources.map(|resource| counts.get(&resource).is_some_and(|count| *count > 1)).collect()
}

/// What every resource that is named more than once is told.
pub(super) fn once_only() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
}

/// Code and sentence of an outcome.
pub(super) fn told(outcome: Result<(), Refusal>) -> (ErrorCode, Option<String>) {
    match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, Some(refusal.message)),
    }
}

/// The logs here follow a change at once; the change note brings it to those of other brokers.
pub(super) fn take_into_force(broker: &Broker, target: &Target) {
    match target {
        Target::Topic(topic) => broker.replicas.configs_changed(Some(topic)),
        Target::Broker(_) => broker.replicas.configs_changed(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn both_of_two_equal_resources_are_marked() {
        let resources = [(2, "a"), (4, "a"), (2, "a"), (2, "b")];
        assert_eq!(named_twice(resources.into_iter()), [true, false, true, false]);
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        let resource =
            AlterConfigsResource { resource_type: 2, resource_name: "t".into(), ..Default::default() };
        let responses = vec![response(&resource, Ok(())), response(&resource, Err(once_only()))];
        assert_eq!((responses[0].error_code, responses[0].error_message.as_deref()), (0, None));
        assert_eq!(responses[1].error_code, 42);
        let answer = AlterConfigsResponse { responses, ..Default::default() };
        for version in AlterConfigsResponse::VERSIONS {
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }
}
