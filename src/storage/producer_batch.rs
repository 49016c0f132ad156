//! What producer state needs to know of a batch, read from its header and, for a marker, from its one record.

use super::producer_state::{BatchInfo, EndMarker};
use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::BatchHeader;
use crate::protocol::records::control;
use crate::protocol::records::record::RecordIter;

/// The producer's part of a batch; `None` without a producer id, and for control batches that end no
/// transaction (an unknown type, or one the cleaner emptied). `body` is what follows the header.
pub fn producer_batch(header: &BatchHeader, body: &[u8]) -> Result<Option<BatchInfo>, RecordsError> {
    if !header.has_producer_id() {
        return Ok(None);
    }
    let mut info = BatchInfo {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        max_timestamp: header.max_timestamp,
        is_transactional: header.is_transactional(),
        control: None,
    };
    if !header.is_control() {
        return Ok(Some(info));
    }
    let Some(record) = RecordIter::new(header, body)?.next().transpose()? else { return Ok(None) };
    let Some(marker) = control::marker(&record)? else { return Ok(None) };
    info.control = Some(EndMarker { commit: marker.commit, coordinator_epoch: marker.coordinator_epoch });
    Ok(Some(info))
}
