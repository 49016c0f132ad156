//! Produce: appends batches to partitions this broker leads (`KafkaApis.handleProduceRequest`).
//!
//! acks 0: no answer, an error closes the connection. acks 1: answered after the local append. acks -1: answered
//! once the high watermark has passed the last record, or after the request's time.
//! v3: only v2 batches, one each; v7: zstd; v8: record errors; v10: the current leader with NOT_LEADER_OR_FOLLOWER.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::metadata::image::Image;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::is_internal_topic;
use crate::protocol::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData,
    PartitionProduceResponse, TopicProduceResponse,
};
use crate::protocol::messages::{ProduceRequest, ProduceResponse};
use crate::protocol::records::batch::Compression;
use crate::protocol::records::view::batches;
use crate::replication::partition::{AppendRefusal, Partition};
use crate::replication::purgatory::Waiting;
use crate::storage::append_error::AppendError;
use crate::storage::producer_state::Origin;

/// An append that waits for its ISR: where its answer stands, and what must be committed.
struct Pending {
    topic: usize,
    partition: usize,
    replica: Arc<Partition>,
    end: i64,
    since: i32,
}

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ProduceRequest,
    call: Call<'_>,
) -> Answer<ProduceResponse> {
    let acks = request.acks;
    let timeout = Duration::from_millis(request.timeout_ms.max(0) as u64);
    let (mut response, pending) = append_all(broker, request, &call);
    if acks == 0 {
        return match first_error(&response) {
            None => Answer::Nothing,
            Some(code) => {
                Answer::Close(format!("a Produce with acks=0 failed with {code}; closing tells the client"))
            }
        };
    }
    let (version, listener) = (call.version, call.caller.listener.clone());
    if pending.is_empty() {
        point_to_leaders(broker, version, &listener, &mut response);
        return Answer::Now(response);
    }
    let broker = broker.clone();
    Answer::Later(Box::pin(async move {
        until_committed(&mut response, pending, timeout).await;
        // Only now: a partition may have got another leader while its records waited for their replicas.
        point_to_leaders(&broker, version, &listener, &mut response);
        response
    }))
}

fn append_all(broker: &Broker, request: ProduceRequest, call: &Call<'_>) -> (ProduceResponse, Vec<Pending>) {
    let image = broker.metadata.image();
    let acks = request.acks;
    let transactional = request.transactional_id.is_some();
    let mut pending = Vec::new();
    let mut response = ProduceResponse::default();
    for (topic_index, topic) in request.topic_data.into_iter().enumerate() {
        let mut answers = Vec::with_capacity(topic.partition_data.len());
        for (partition_index, data) in topic.partition_data.into_iter().enumerate() {
            let index = data.index;
            let refused = check(&topic.name, &data, acks, transactional, call);
            let replica = refused.map_or(Ok(()), Err).and_then(|()| {
                let known = image.partition(&topic.name, index).is_some();
                if !known {
                    return Err(ErrorCode::UnknownTopicOrPartition);
                }
                broker.replicas.partition_or(&topic.name, index, known)
            });
            let answer = match replica {
                Err(code) => failed(index, code),
                Ok(replica) => {
                    let records =
                        data.records.and_then(|records| records.as_bytes().cloned()).unwrap_or_default();
                    match replica.append_as_leader(&records, acks, Origin::Client, broker.clock.now()) {
                        Err(refusal) => refused_answer(index, &refusal, &replica),
                        Ok(appended) => {
                            let end = appended.info.last_offset + 1;
                            let since = appended.since;
                            if acks == -1 && replica.committed(end, since) != Some(ErrorCode::None) {
                                pending.push(Pending {
                                    topic: topic_index,
                                    partition: partition_index,
                                    replica,
                                    end,
                                    since,
                                });
                            }
                            PartitionProduceResponse {
                                index,
                                base_offset: appended.info.first_offset,
                                log_append_time_ms: appended.info.log_append_time,
                                log_start_offset: appended.info.log_start_offset,
                                ..Default::default()
                            }
                        }
                    }
                }
            };
            answers.push(answer);
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            partition_responses: answers,
            ..Default::default()
        });
    }
    (response, pending)
}

/// What can be refused before the partition is looked for.
fn check(
    topic: &str,
    data: &PartitionProduceData,
    acks: i16,
    transactional: bool,
    call: &Call<'_>,
) -> Option<ErrorCode> {
    if !(-1..=1).contains(&acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    if is_internal_topic(topic) && call.client_id != "__admin_client" {
        return Some(ErrorCode::InvalidTopicException);
    }
    let records = data.records.as_ref().and_then(|records| records.as_bytes());
    let Some(records) = records.filter(|records| !records.is_empty()) else {
        // Versions 0 to 2 may append nothing; from 3 on there is exactly one batch.
        return (call.version >= 3).then_some(ErrorCode::InvalidRecord);
    };
    if call.version < 3 {
        return None;
    }
    let mut views = batches(records);
    let Some(Ok(first)) = views.next() else { return Some(ErrorCode::CorruptMessage) };
    if first.magic() != 2 || views.next().is_some() {
        return Some(ErrorCode::InvalidRecord);
    }
    if first.compression() == Ok(Compression::Zstd) && call.version < 7 {
        return Some(ErrorCode::UnsupportedCompressionType);
    }
    match (first.is_transactional(), transactional) {
        (false, _) => None,
        (true, false) => Some(ErrorCode::TransactionalIdAuthorizationFailed),
        // Transactions are open: nobody could end this one, and it would hold back all who read what is committed.
        (true, true) => Some(ErrorCode::InvalidTxnState),
    }
}

fn failed(index: i32, code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { index, error_code: code.code(), base_offset: -1, ..Default::default() }
}

fn refused_answer(index: i32, refusal: &AppendRefusal, replica: &Partition) -> PartitionProduceResponse {
    let mut answer = failed(index, refusal.code());
    if let AppendRefusal::Log(error) = refusal {
        tracing::debug!(partition = %replica.tp, %error, "refused an append");
        if let AppendError::Invalid { what, records, .. } = error {
            answer.error_message = Some(what.clone());
            answer.record_errors = records
                .iter()
                .map(|record| BatchIndexAndErrorMessage {
                    batch_index: record.index,
                    batch_index_error_message: Some(record.message.clone()),
                    ..Default::default()
                })
                .collect();
        }
        if let Ok(log) = replica.any_log(-1) {
            answer.log_start_offset = log.log_start_offset();
        }
    }
    answer
}

fn first_error(response: &ProduceResponse) -> Option<ErrorCode> {
    let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    answers.filter(|answer| answer.error_code != 0).find_map(|answer| ErrorCode::from_i16(answer.error_code))
}

/// v10+: a client that asked the wrong broker learns the right one from the answer (KIP-951).
fn point_to_leaders(broker: &Broker, version: i16, listener: &str, response: &mut ProduceResponse) {
    if version < 10 || first_error(response).is_none() {
        return;
    }
    let image: &Image = &broker.metadata.image();
    let mut leaders = Vec::new();
    for topic in &mut response.responses {
        for answer in &mut topic.partition_responses {
            if answer.error_code != ErrorCode::NotLeaderOrFollower.code() {
                continue;
            }
            // This broker's own replica hears of a new leader before the metadata do (`KafkaApis.getCurrentLeader`).
            let own = broker.replicas.partition(&topic.name, answer.index).map(|replica| replica.leader());
            let told = || image.partition(&topic.name, answer.index).map(|it| (it.leader, it.leader_epoch));
            let Some((leader_id, leader_epoch)) =
                own.filter(|(leader, _)| *leader != broker.id).or_else(told)
            else {
                continue;
            };
            answer.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch, ..Default::default() };
            if !leaders.contains(&leader_id) {
                leaders.push(leader_id);
            }
        }
    }
    response.node_endpoints = leaders
        .into_iter()
        .filter_map(|id| {
            let leader = image.broker(id)?;
            let endpoint = leader.endpoint(listener)?;
            Some(NodeEndpoint {
                node_id: id,
                host: endpoint.host.to_string(),
                port: endpoint.port,
                rack: leader.rack.as_deref().map(str::to_owned),
                ..Default::default()
            })
        })
        .collect();
}

/// Waits for all of `pending`, and writes into the answer what became of each.
async fn until_committed(response: &mut ProduceResponse, mut pending: Vec<Pending>, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let waiting = Waiting::on(pending.iter().map(|wait| wait.replica.clone()).collect());
    loop {
        pending.retain(|wait| match wait.replica.committed(wait.end, wait.since) {
            None => true,
            Some(code) => {
                settle(response, wait, code);
                false
            }
        });
        if pending.is_empty() {
            return;
        }
        if tokio::time::timeout_at(deadline, waiting.touched()).await.is_err() {
            for wait in &pending {
                settle(response, wait, ErrorCode::RequestTimedOut);
            }
            return;
        }
    }
}

fn settle(response: &mut ProduceResponse, wait: &Pending, code: ErrorCode) {
    let answer = &mut response.responses[wait.topic].partition_responses[wait.partition];
    if code != ErrorCode::None {
        *answer = failed(answer.index, code);
    }
}
