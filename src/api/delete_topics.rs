//! DeleteTopics: on the controller only. v6: by id too. The answer waits until the topics are gone from the metadata.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;
use crate::protocol::messages::delete_topics::DeletableTopicResult;
use crate::protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DeleteTopicsRequest,
    call: Call<'_>,
) -> Answer<DeleteTopicsResponse> {
    let asked: Vec<(Option<String>, Uuid)> = match call.version {
        0..=5 => request.topic_names.into_iter().map(|name| (Some(name), Uuid::ZERO)).collect(),
        _ => request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)).collect(),
    };
    if asked.iter().any(|(name, id)| name.is_some() && !id.is_zero()) {
        let refused = |(name, topic_id)| DeletableTopicResult {
            name,
            topic_id,
            error_code: ErrorCode::InvalidRequest.code(),
            ..Default::default()
        };
        let responses = asked.into_iter().map(refused).collect();
        return Answer::Now(DeleteTopicsResponse { responses, ..Default::default() });
    }
    let mut responses = Vec::new();
    let mut deleted = Vec::new();
    for (name, id) in asked {
        let outcome = delete(broker, name.as_deref(), id, call.version).await;
        let mut response = DeletableTopicResult { name, topic_id: id, ..Default::default() };
        match outcome {
            Ok((name, id)) => {
                response.topic_id = id;
                response.name = Some(name.clone());
                deleted.push((responses.len(), name));
            }
            Err(refusal) => {
                response.error_code = refusal.code.code();
                response.error_message = Some(refusal.message);
            }
        }
        responses.push(response);
    }
    let limit = Duration::from_millis(request.timeout_ms.max(0) as u64);
    broker.admin.wait_for(limit, |image| deleted.iter().all(|(_, name)| image.topic(name).is_none())).await;
    for (index, name) in deleted {
        if broker.metadata.image().topic(&name).is_some() {
            responses[index].error_code = ErrorCode::RequestTimedOut.code();
            responses[index].error_message = Some("marked for deletion, but not gone yet".into());
        }
    }
    Answer::Now(DeleteTopicsResponse { responses, ..Default::default() })
}

async fn delete(
    broker: &Broker,
    name: Option<&str>,
    id: Uuid,
    version: i16,
) -> Result<(String, Uuid), Refusal> {
    if !broker.controller.is_active() {
        return Err(Refusal::new(ErrorCode::NotController, "this broker is not the controller"));
    }
    if !broker.config.delete_topics {
        let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return Err(Refusal::new(code, "Topic deletion is disabled (delete.topic.enable)."));
    }
    let (name, id) = {
        let image = broker.metadata.image();
        let unknown = match name {
            Some(_) => ErrorCode::UnknownTopicOrPartition,
            None => ErrorCode::UnknownTopicId,
        };
        let found =
            name.or_else(|| image.topic_name(id).map(|name| &**name)).and_then(|name| image.topic(name));
        let topic = found.ok_or_else(|| Refusal::new(unknown, "This server does not host this topic."))?;
        (topic.name.to_string(), topic.id)
    };
    broker.admin.delete_topic(&name).await?;
    Ok((name, id))
}
