//! Ids for producers, in blocks of 1000 that the controller gives out (`RPCProducerIdManager`, KIP-730).
//!
//! The block is asked for by AllocateProducerIds, also when this broker is the controller itself. An answer lost on
//! the way loses a block, never gives one twice.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Mutex;

use super::controller_line::{ControllerLine, LineSettings};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::AllocateProducerIdsRequest;

/// Gives out ids.
pub struct ProducerIds {
    broker_id: i32,
    broker_epoch: Arc<AtomicI64>,
    line: LineSettings,
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// No block yet; the first id asks for one.
    pub fn new(broker_id: i32, broker_epoch: Arc<AtomicI64>, line: LineSettings) -> ProducerIds {
        ProducerIds { broker_id, broker_epoch, line, block: Mutex::new(0..0) }
    }

    /// A fresh id; `COORDINATOR_LOAD_IN_PROGRESS`, which clients retry, while none can be had.
    pub async fn next(&self) -> Result<i64, ErrorCode> {
        // A tokio mutex, held while the next block is fetched: one request for all who wait.
        let mut block = self.block.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        match self.fetch().await {
            Ok(fresh) => {
                *block = fresh;
                block.next().ok_or(ErrorCode::CoordinatorLoadInProgress)
            }
            Err(why) => {
                tracing::warn!(why, "no producer ids from the controller; clients are told to try again");
                Err(ErrorCode::CoordinatorLoadInProgress)
            }
        }
    }

    async fn fetch(&self) -> Result<Range<i64>, String> {
        let request = |_| AllocateProducerIdsRequest {
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch.load(Ordering::SeqCst),
            ..Default::default()
        };
        let mut line = ControllerLine::new(self.line.clone());
        let (_, answer) = line.call(0, request).await.map_err(|error| error.to_string())?;
        match ErrorCode::from_i16(answer.error_code) {
            Some(ErrorCode::None) if answer.producer_id_len > 0 && answer.producer_id_start >= 0 => {
                Ok(answer.producer_id_start
                    ..answer.producer_id_start.saturating_add(answer.producer_id_len.into()))
            }
            Some(code) => Err(format!("the controller answered {code}")),
            None => Err("the controller answered with an unknown code".to_owned()),
        }
    }
}
