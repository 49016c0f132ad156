//! Handing out producer ids in blocks. Source: `ZkProducerIdManager.getNewProducerIdBlock`.

use super::KafkaError;
use crate::store::{CreateMode, Store, StoreError, retry};
use crate::znode::producer_ids::{PRODUCER_ID_BLOCK, ProducerIdBlock};

/// Takes the next block for `broker`. A block lost with an answer is skipped, never given twice.
///
/// Kafka creates the node empty at start; we create it with the first block, because we can write only empty data
/// where Kafka insists on null (see `znode::producer_ids`).
pub async fn allocate(store: &dyn Store, broker: i32) -> Result<ProducerIdBlock, KafkaError> {
    loop {
        let found = retry::read(|| store.get(PRODUCER_ID_BLOCK)).await?;
        let previous = match &found {
            Some(node) => ProducerIdBlock::decode(&node.data)?,
            None => None,
        };
        let block = ProducerIdBlock::after(previous, broker).ok_or(KafkaError::ProducerIdsExhausted)?;
        // Not the helpers that recognise their own write: the same broker may ask twice with equal bytes.
        let written = match found {
            Some(node) => {
                store.set(PRODUCER_ID_BLOCK, &block.encode(), Some(node.stat.version)).await.map(drop)
            }
            None => store.create(PRODUCER_ID_BLOCK, &block.encode(), CreateMode::Persistent).await.map(drop),
        };
        match written {
            Ok(()) => return Ok(block),
            Err(StoreError::BadVersion(_) | StoreError::NodeExists(_)) => {}
            Err(error) if error.outcome_unknown() => tokio::time::sleep(retry::PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}
