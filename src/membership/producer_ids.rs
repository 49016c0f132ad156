//! Ids for producers, in blocks of 1000 that the controller gives out (`RPCProducerIdManager`, KIP-730).
//!
//! The block is asked for by AllocateProducerIds, also when this broker is the controller itself. An answer lost on
//! the way loses a block, never gives one twice.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::client::connection::Connection;
use crate::metadata::cache::MetadataCache;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::AllocateProducerIdsRequest;

/// Gives out ids.
pub struct ProducerIds {
    broker_id: i32,
    broker_epoch: Arc<AtomicI64>,
    listener: String,
    timeout: Duration,
    metadata: Arc<MetadataCache>,
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// No block yet; the first id asks for one.
    pub fn new(
        broker_id: i32,
        broker_epoch: Arc<AtomicI64>,
        listener: String,
        timeout: Duration,
        metadata: Arc<MetadataCache>,
    ) -> ProducerIds {
        ProducerIds { broker_id, broker_epoch, listener, timeout, metadata, block: Mutex::new(0..0) }
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
        let (host, port) = {
            let image = self.metadata.image();
            let controller = image.broker(image.controller_id()).ok_or("no controller is known yet")?;
            let endpoint =
                controller.endpoint(&self.listener).ok_or("the controller has no inter-broker listener")?;
            (endpoint.host.to_string(), u16::try_from(endpoint.port).unwrap_or(0))
        };
        let client_id = self.broker_id.to_string();
        let mut line =
            Connection::open(&host, port, &client_id, self.timeout).await.map_err(|e| e.to_string())?;
        let request = AllocateProducerIdsRequest {
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch.load(Ordering::SeqCst),
            ..Default::default()
        };
        let answer = line.call(0, &request, self.timeout).await.map_err(|error| error.to_string())?;
        match ErrorCode::from_i16(answer.error_code) {
            Some(ErrorCode::None) if answer.producer_id_len > 0 && answer.producer_id_start >= 0 => {
                Ok(answer.producer_id_start
                    ..answer.producer_id_start.saturating_add(answer.producer_id_len.into()))
            }
            Some(code) => Err(format!("{} answered {code}", line.peer())),
            None => Err(format!("{} answered with an unknown code", line.peer())),
        }
    }
}
