//! DeleteRecords: raises the log start offset of partitions led here (`ReplicaManager.deleteRecords`, KIP-107). The
//! version changes nothing.
//!
//! Offset -1 means the high watermark. The answer waits, at most the request's time, until the low watermark - the
//! smallest log start offset of all live replicas - has reached the offset.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::is_internal_topic;
use crate::protocol::messages::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use crate::protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use crate::replication::partition::Partition;
use crate::replication::purgatory::Waiting;
use crate::storage::log_error::LogError;

const HIGH_WATERMARK: i64 = -1;
const NO_LOW_WATERMARK: i64 = -1;

/// A partition whose followers have still to delete.
struct Pending {
    topic: usize,
    partition: usize,
    replica: Arc<Partition>,
    offset: i64,
}

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DeleteRecordsRequest,
    _call: Call<'_>,
) -> Answer<DeleteRecordsResponse> {
    let broker = broker.clone();
    let timeout = Duration::from_millis(request.timeout_ms.max(0) as u64);
    // The leader epoch checkpoint is written: not on the connection's thread.
    let deleted = crate::blocking::run(move || delete_all(&broker, &request)).await;
    match deleted {
        Ok((response, pending)) if pending.is_empty() => Answer::Now(response),
        Ok((mut response, pending)) => Answer::Later(Box::pin(async move {
            until_deleted(&mut response, pending, timeout).await;
            response
        })),
        Err(error) => Answer::Close(format!("DeleteRecords failed: {error}")),
    }
}

fn delete_all(broker: &Broker, request: &DeleteRecordsRequest) -> (DeleteRecordsResponse, Vec<Pending>) {
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
    let mut response = DeleteRecordsResponse::default();
    let mut pending = Vec::new();
    for name in order {
        let mut partitions: Vec<(i32, i64)> = offsets.remove(name).into_iter().flatten().collect();
        partitions.sort_unstable();
        let mut results = Vec::with_capacity(partitions.len());
        for (index, offset) in partitions {
            let deleted = delete(broker, name, index, offset).and_then(|(replica, offset)| {
                let low_watermark = replica.low_watermark()?;
                if low_watermark < offset {
                    let (topic, partition) = (response.topics.len(), results.len());
                    pending.push(Pending { topic, partition, replica, offset });
                }
                Ok(low_watermark)
            });
            results.push(result(index, deleted));
        }
        let topic =
            DeleteRecordsTopicResult { name: name.to_owned(), partitions: results, ..Default::default() };
        response.topics.push(topic);
    }
    (response, pending)
}

/// Waits until every live replica has deleted what was asked (`DelayedDeleteRecords`).
async fn until_deleted(response: &mut DeleteRecordsResponse, mut pending: Vec<Pending>, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let waiting = Waiting::on(pending.iter().map(|wait| wait.replica.clone()).collect());
    loop {
        let mut settle = |wait: &Pending, deleted| {
            let answer = &mut response.topics[wait.topic].partitions[wait.partition];
            *answer = result(answer.partition_index, deleted);
        };
        pending.retain(|wait| match wait.replica.low_watermark() {
            Ok(low_watermark) if low_watermark < wait.offset => true,
            done => {
                settle(wait, done);
                false
            }
        });
        if pending.is_empty() {
            return;
        }
        if tokio::time::timeout_at(deadline, waiting.touched()).await.is_err() {
            for wait in &pending {
                settle(wait, Err(ErrorCode::RequestTimedOut));
            }
            return;
        }
    }
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

/// Raises the log start; gives the offset that it was asked to become.
fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<(Arc<Partition>, i64), ErrorCode> {
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
            Ok((partition, offset))
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
