//! Producer ids are handed to brokers in blocks, each written to the store before it is given away (KIP-730).
//!
//! Invariants: blocks never overlap: each starts after the last one stored, and the write is conditional on what was
//! read. Source: Kafka's `ZkProducerIdManager.getNewProducerIdBlock`.

use super::event::{Answer, ProducerIdBlock, Ticket};
use super::flow::Waiting;
use super::machine::Machine;
use super::store::{ReadOp, StoreOp, StoreResult};
use crate::protocol::error_code::ErrorCode;

/// Ids in a block.
pub const BLOCK_SIZE: i64 = 1000;

/// The block after `last`, for `broker`; `None` when there are no ids left.
fn next_block(last: Option<ProducerIdBlock>, broker: i32) -> Option<ProducerIdBlock> {
    let start = last.map_or(Some(0), |last| last.end.checked_add(1))?;
    let end = start.checked_add(BLOCK_SIZE - 1)?;
    Some(ProducerIdBlock { broker, start, end })
}

impl Machine {
    pub(super) fn allocate_producer_ids(&mut self, ticket: Ticket, broker: i32, broker_epoch: i64) {
        match self.context.brokers.get(&broker) {
            None => self.answer_producer_ids(ticket, Err(ErrorCode::BrokerIdNotRegistered)),
            Some(known) if known.epoch != broker_epoch => {
                self.answer_producer_ids(ticket, Err(ErrorCode::StaleBrokerEpoch));
            }
            Some(_) => self.wait_read(vec![ReadOp::ProducerIds], Waiting::ProducerIds { ticket, broker }),
        }
    }

    pub(super) fn on_producer_ids(
        &mut self,
        ticket: Ticket,
        broker: i32,
        last: Option<ProducerIdBlock>,
        version: i32,
    ) {
        let Some(block) = next_block(last, broker) else {
            tracing::error!(?last, "producer ids are exhausted");
            return self.answer_producer_ids(ticket, Err(ErrorCode::UnknownServerError));
        };
        let ops = vec![StoreOp::SetProducerIds { block, expected_version: version }];
        self.wait_store(ops, Waiting::ProducerIdsSet { ticket, block });
    }

    pub(super) fn on_producer_ids_set(
        &mut self,
        ticket: Ticket,
        block: ProducerIdBlock,
        results: Vec<StoreResult>,
    ) {
        match results.first() {
            Some(StoreResult::Version(_)) => self.answer_producer_ids(ticket, Ok(block)),
            // Someone else wrote, or our write went through and its answer was lost: either way, the next block.
            Some(StoreResult::BadVersion) => {
                self.wait_read(
                    vec![ReadOp::ProducerIds],
                    Waiting::ProducerIds { ticket, broker: block.broker },
                );
            }
            other => {
                tracing::error!(result = ?other, "cannot store a block of producer ids");
                self.answer_producer_ids(ticket, Err(ErrorCode::UnknownServerError));
            }
        }
    }

    pub(super) fn answer_producer_ids(&mut self, ticket: Ticket, answer: Result<ProducerIdBlock, ErrorCode>) {
        self.out.replies.push((ticket, Answer::ProducerIds(answer)));
        self.serving = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_to_the_end() {
        let first = next_block(None, 3).unwrap();
        assert_eq!((first.start, first.end), (0, 999));
        let second = next_block(Some(first), 4).unwrap();
        assert_eq!((second.broker, second.start, second.end), (4, 1000, 1999));
        for end in [i64::MAX, i64::MAX - BLOCK_SIZE + 1] {
            assert_eq!(next_block(Some(ProducerIdBlock { broker: 1, start: 0, end }), 1), None);
        }
        let last = ProducerIdBlock { broker: 1, start: 0, end: i64::MAX - BLOCK_SIZE };
        assert_eq!(next_block(Some(last), 1).unwrap().end, i64::MAX);
    }
}
