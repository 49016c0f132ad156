//! DeleteRecords: raises the log start offset of partitions led here (`ReplicaManager.deleteRecords`, KIP-107). The
//! version changes nothing.
//!
//! Offset -1 means the high watermark. The answer waits, at most the request's time, until the low watermark - the
//! smallest log start offset of all live replicas - has reached the offset; this broker knows no other replica's
//! log start offset yet, so the low watermark is its own log's and nothing is waited for.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::is_internal_topic;
use crate::protocol::messages::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use crate::protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use crate::storage::log_error::LogError;

const HIGH_WATERMARK: i64 = -1;
const NO_LOW_WATERMARK: i64 = -1;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DeleteRecordsRequest,
    _call: Call<'_>,
) -> Answer<DeleteRecordsResponse> {
    let broker = broker.clone();
    // The leader epoch checkpoint is written: not on the connection's thread.
    match tokio::task::spawn_blocking(move || delete_all(&broker, &request)).await {
        Ok(response) => Answer::Now(response),
        Err(error) => Answer::Close(format!("DeleteRecords failed: {error}")),
    }
}

fn delete_all(broker: &Broker, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
    // A topic or a partition named twice counts once, with the last offset.
    let mut order = Vec::new();
    let mut offsets: HashMap<&str, HashMap<i32, i64>> = HashMap::new();
    for topic in &request.topics {
        let partitions = offsets.entry(&topic.name).or_insert_with(|| {
            order.push(topic.name.as_str());
            HashMap::new()
        });
        partitions
            .extend(topic.partitions.iter().map(|partition| (partition.partition_index, partition.offset)));
    }
    let topics = order.into_iter().map(|name| {
        let mut partitions: Vec<(i32, i64)> = offsets.remove(name).into_iter().flatten().collect();
        partitions.sort_unstable();
        let results =
            partitions.into_iter().map(|(index, offset)| result(index, delete(broker, name, index, offset)));
        DeleteRecordsTopicResult {
            name: name.to_owned(),
            partitions: results.collect(),
            ..Default::default()
        }
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}

fn result(index: i32, deleted: Result<i64, ErrorCode>) -> DeleteRecordsPartitionResult {
    let (low_watermark, code) = match deleted {
        Ok(low_watermark) => (low_watermark, ErrorCode::None),
        Err(code) => (NO_LOW_WATERMARK, code),
    };
    DeleteRecordsPartitionResult {
        partition_index: index,
        low_watermark,
        error_code: code.code(),
        ..Default::default()
    }
}

/// Gives the low watermark.
fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<i64, ErrorCode> {
    if broker.metadata.image().partition(topic, index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    if is_internal_topic(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = broker.replicas.partition_or(topic, index, true)?;
    let log = partition.leader_log(-1)?;
    if !log.config().delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let offset = if offset == HIGH_WATERMARK { log.high_watermark() } else { offset };
    if offset < 0 {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    match log.increment_log_start(offset, "client delete records request") {
        Ok(moved) => {
            if moved {
                partition.touch();
            }
            Ok(log.log_start_offset())
        }
        Err(error) => {
            if !matches!(error, LogError::OffsetOutOfRange { .. }) {
                tracing::error!(topic, partition = index, %error, "records could not be deleted");
            }
            Err(error.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        let partitions = vec![result(0, Ok(7)), result(1, Err(ErrorCode::PolicyViolation))];
        assert_eq!((partitions[0].low_watermark, partitions[1].low_watermark), (7, -1));
        let topic = DeleteRecordsTopicResult { name: "t".into(), partitions, ..Default::default() };
        let answer = DeleteRecordsResponse { topics: vec![topic], ..Default::default() };
        for version in DeleteRecordsResponse::VERSIONS {
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }
}
