//! ControlledShutdown: a broker asks the controller to take its leaderships away before it stops
//! (`KafkaController.controlledShutdown`). Between brokers only.
//!
//! v2: the broker's epoch. A broker that is not the controller answers STALE_CONTROLLER_EPOCH, Kafka's code for
//! `ControllerMovedException`.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::controller::event::{self, Request};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::controlled_shutdown::RemainingPartition;
use crate::protocol::messages::{ControlledShutdownRequest, ControlledShutdownResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ControlledShutdownRequest,
    _call: Call<'_>,
) -> Answer<ControlledShutdownResponse> {
    let asked = Request::ControlledShutdown { broker: request.broker_id, broker_epoch: request.broker_epoch };
    let remaining = match broker.controller.ask(asked).await {
        event::Answer::ControlledShutdown(remaining) => remaining,
        _ => Err(ErrorCode::UnknownServerError),
    };
    Answer::Now(response(remaining))
}

fn response(remaining: Result<Vec<TopicPartition>, ErrorCode>) -> ControlledShutdownResponse {
    match remaining {
        Ok(remaining) => {
            let partition = |at: TopicPartition| RemainingPartition {
                topic_name: at.topic.to_string(),
                partition_index: at.partition,
                ..Default::default()
            };
            ControlledShutdownResponse {
                remaining_partitions: remaining.into_iter().map(partition).collect(),
                ..Default::default()
            }
        }
        Err(code) => {
            let code = if code == ErrorCode::NotController { ErrorCode::StaleControllerEpoch } else { code };
            ControlledShutdownResponse { error_code: code.code(), ..Default::default() }
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
        let left = response(Ok(vec![TopicPartition { topic: "t".into(), partition: 3 }]));
        assert_eq!(left.remaining_partitions[0].partition_index, 3);
        let moved = response(Err(ErrorCode::NotController));
        assert_eq!(moved.error_code, 11);
        for answer in [left, moved] {
            for version in ControlledShutdownResponse::VERSIONS {
                answer.encode(&mut Writer::default(), version).expect("every version can say it");
            }
        }
    }
}
