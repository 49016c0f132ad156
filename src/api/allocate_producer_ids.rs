//! AllocateProducerIds: a broker takes a block of producer ids from the controller (KIP-730;
//! `KafkaController.allocateProducerIds`). One version; between brokers only.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::controller::event::{self, ProducerIdBlock, Request};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: AllocateProducerIdsRequest,
    _call: Call<'_>,
) -> Answer<AllocateProducerIdsResponse> {
    let asked =
        Request::AllocateProducerIds { broker: request.broker_id, broker_epoch: request.broker_epoch };
    let block = match broker.controller.ask(asked).await {
        event::Answer::ProducerIds(block) => block,
        _ => Err(ErrorCode::UnknownServerError),
    };
    Answer::Now(response(block))
}

fn response(block: Result<ProducerIdBlock, ErrorCode>) -> AllocateProducerIdsResponse {
    match block {
        Ok(block) => AllocateProducerIdsResponse {
            producer_id_start: block.start,
            // A block has 1000 ids; its end is inclusive.
            producer_id_len: i32::try_from(block.end - block.start + 1).unwrap_or(0),
            ..Default::default()
        },
        Err(code) => AllocateProducerIdsResponse { error_code: code.code(), ..Default::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn a_block_is_told_by_start_and_length() {
        let answer = response(Ok(ProducerIdBlock { broker: 1, start: 2000, end: 2999 }));
        assert_eq!((answer.producer_id_start, answer.producer_id_len), (2000, 1000));
        let refused = response(Err(ErrorCode::NotController));
        assert_eq!(refused.error_code, 41);
        for answer in [answer, refused] {
            for version in AllocateProducerIdsResponse::VERSIONS {
                answer.encode(&mut Writer::default(), version).expect("every version can say it");
            }
        }
    }
}
