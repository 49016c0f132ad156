//! `/latest_producer_id_block`: the last block of producer ids handed out. Source: `ProducerIdBlockZNode`.
//!
//! Kafka creates the node with null data, which it reads as "no block yet", while it fails on *empty* data. So empty
//! content is read here, but must never be written.

use serde::Deserialize;

use super::ZnodeError;
use super::json::{self, Object};

/// The node.
pub const PRODUCER_ID_BLOCK: &str = "/latest_producer_id_block";
/// Ids in a block.
pub const BLOCK_SIZE: i64 = 1000;

/// One block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// Who asked for it.
    pub broker: i32,
    /// First id.
    pub first: i64,
    /// Last id.
    pub last: i64,
}

#[derive(Deserialize)]
struct Stored {
    broker: i32,
    block_start: String,
    block_end: String,
}

impl ProducerIdBlock {
    /// The block after `previous`, or the very first; `None` when ids have run out.
    pub fn after(previous: Option<ProducerIdBlock>, broker: i32) -> Option<ProducerIdBlock> {
        let first = match previous {
            Some(block) => block.last.checked_add(1)?,
            None => 0,
        };
        Some(ProducerIdBlock { broker, first, last: first.checked_add(BLOCK_SIZE - 1)? })
    }

    /// The node's content.
    pub fn encode(&self) -> Vec<u8> {
        Object::new()
            .raw("version", 1)
            .raw("broker", self.broker)
            .text("block_start", &self.first.to_string())
            .text("block_end", &self.last.to_string())
            .into_bytes()
    }

    /// Reads the node; `None` if no block was handed out yet (null or empty data).
    pub fn decode(data: &[u8]) -> Result<Option<ProducerIdBlock>, ZnodeError> {
        if data.is_empty() {
            return Ok(None);
        }
        let stored: Stored = json::read(PRODUCER_ID_BLOCK, data)?;
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        match (number(&stored.block_start), number(&stored.block_end)) {
            (Some(first), Some(last)) if first <= last => {
                Ok(Some(ProducerIdBlock { broker: stored.broker, first, last }))
            }
            _ => {
                Err(ZnodeError::new(PRODUCER_ID_BLOCK, "block_start and block_end are no ascending numbers"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other() {
        assert_eq!(ProducerIdBlock::decode(b"").unwrap(), None);
        let first = ProducerIdBlock::after(None, 1).unwrap();
        assert_eq!((first.first, first.last), (0, 999));
        let second = ProducerIdBlock::after(Some(first), 2).unwrap();
        assert_eq!((second.first, second.last, second.broker), (1000, 1999, 2));
        let last = ProducerIdBlock { broker: 1, first: i64::MAX - 999, last: i64::MAX };
        assert_eq!(ProducerIdBlock::after(Some(last), 1), None);
        assert!(ProducerIdBlock::decode(br#"{"broker":1,"block_start":"9","block_end":"1"}"#).is_err());
        assert!(ProducerIdBlock::decode(br#"{"broker":1,"block_start":9,"block_end":10}"#).is_err());
    }
}
