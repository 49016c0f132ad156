//! InitProducerId: an id for an idempotent producer (KIP-98; `TransactionCoordinator.handleInitProducerId`).
//!
//! v3: the producer may name the id and epoch it has; v4: it understands PRODUCER_FENCED.
//!
//! With a transactional id the transaction coordinator is needed, which is not built yet. The refusal must end the
//! producer at once, with an error that points at the transactional id: COORDINATOR_NOT_AVAILABLE and its kin are
//! retried for ever, and librdkafka also retries whatever it does not know. TRANSACTIONAL_ID_AUTHORIZATION_FAILED is
//! fatal in the Java client (`InitProducerIdHandler`) and in librdkafka (`rd_kafka_idemp_check_error`), it says
//! truthfully that this id may not be used here, and all other requests of a transaction know it too.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

/// What whoever uses a transactional id is told: see the module.
pub(super) const NO_TRANSACTIONS: ErrorCode = ErrorCode::TransactionalIdAuthorizationFailed;

const NONE: i64 = -1;
const NO_EPOCH: i16 = -1;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: InitProducerIdRequest,
    _call: Call<'_>,
) -> Answer<InitProducerIdResponse> {
    let id = match refusal(&request) {
        Some(code) => Err(code),
        None => broker.producer_ids.next().await,
    };
    Answer::Now(response(id))
}

fn refusal(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    if (request.producer_id == NONE) != (request.producer_epoch == NO_EPOCH) {
        return Some(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        None => None,
        Some("") => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(NO_TRANSACTIONS),
    }
}

fn response(id: Result<i64, ErrorCode>) -> InitProducerIdResponse {
    match id {
        Ok(producer_id) => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
        Err(code) => InitProducerIdResponse {
            error_code: code.code(),
            producer_id: NONE,
            producer_epoch: NO_EPOCH,
            ..Default::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    fn request(
        transactional_id: Option<&str>,
        producer_id: i64,
        producer_epoch: i16,
    ) -> InitProducerIdRequest {
        InitProducerIdRequest {
            transactional_id: transactional_id.map(str::to_owned),
            producer_id,
            producer_epoch,
            ..Default::default()
        }
    }

    #[test]
    fn only_plain_idempotence_is_served() {
        assert_eq!(refusal(&request(None, -1, -1)), None);
        assert_eq!(refusal(&request(None, 5, 1)), None);
        assert_eq!(refusal(&request(None, 5, -1)), Some(ErrorCode::InvalidRequest));
        assert_eq!(refusal(&request(Some(""), -1, -1)), Some(ErrorCode::InvalidRequest));
        assert_eq!(refusal(&request(Some("t"), -1, -1)), Some(NO_TRANSACTIONS));
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        for answer in [response(Ok(5)), response(Err(NO_TRANSACTIONS))] {
            for version in InitProducerIdResponse::VERSIONS {
                answer.encode(&mut Writer::default(), version).expect("every version can say it");
            }
        }
        assert_eq!(response(Ok(5)).producer_epoch, 0);
        assert_eq!(response(Err(NO_TRANSACTIONS)).producer_id, -1);
    }
}
