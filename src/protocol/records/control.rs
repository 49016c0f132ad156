//! Control records: the markers that end a transaction in a partition (KIP-98).
//!
//! A marker is a batch of one record, 78 bytes as appended. Key: version i16, type i16; value: version i16,
//! coordinator epoch i32. Newer versions may add bytes at the end; unknown types are to be skipped.
//! Source: `ControlRecordType`, `EndTransactionMarker`.

use crate::protocol::records::RecordsError;
use crate::protocol::records::builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::protocol::records::record::Record;

/// Bytes of a marker's batch as a broker appends it; a cleaner may rewrite it a little longer.
pub const MARKER_BATCH_SIZE: usize = 78;

/// What a control record means.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ControlType {
    /// The transaction's records in this partition do not count.
    Abort,
    /// They count.
    Commit,
    /// Something of KRaft or of the future, with its number: skip it.
    Other(i16),
}

/// How a transaction ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Marker {
    /// Commit, else abort.
    pub commit: bool,
    /// Epoch of the transaction coordinator that decided it: a lower one than seen before is stale.
    pub coordinator_epoch: i32,
}

/// Where a marker's batch goes and whom it concerns.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MarkerBatch {
    /// Offset of the marker.
    pub base_offset: i64,
    /// Epoch of the appending leader.
    pub partition_leader_epoch: i32,
    /// Wall clock of the appending broker, milliseconds.
    pub timestamp: i64,
    /// Producer of the transaction.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The marker.
    pub marker: Marker,
}

impl MarkerBatch {
    /// The batch as it is appended.
    pub fn encode(&self) -> Result<Vec<u8>, RecordsError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: self.base_offset,
            partition_leader_epoch: self.partition_leader_epoch,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        });
        let key = [0, 0, 0, u8::from(self.marker.commit)];
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.marker.coordinator_epoch.to_be_bytes());
        let record =
            NewRecord { timestamp: self.timestamp, key: Some(&key), value: Some(&value), headers: &[] };
        builder.append(&record)?;
        builder.finish()
    }
}

/// The type of a control record by its key.
pub fn control_type(key: Option<&[u8]>) -> Result<ControlType, RecordsError> {
    let bad = |what| RecordsError::BadRecord { index: 0, what };
    let key = key.ok_or_else(|| bad("a control record needs a key"))?;
    let Some([a, b, c, d]) = key.first_chunk::<4>() else {
        return Err(bad("a control record's key has at least 4 bytes"));
    };
    if i16::from_be_bytes([*a, *b]) < 0 {
        return Err(bad("a control record's key version is negative"));
    }
    Ok(match i16::from_be_bytes([*c, *d]) {
        0 => ControlType::Abort,
        1 => ControlType::Commit,
        other => ControlType::Other(other),
    })
}

/// The marker in a control record; `None` for types that end no transaction.
pub fn marker(record: &Record<'_>) -> Result<Option<Marker>, RecordsError> {
    let commit = match control_type(record.key)? {
        ControlType::Abort => false,
        ControlType::Commit => true,
        ControlType::Other(_) => return Ok(None),
    };
    let bad = |what| RecordsError::BadRecord { index: 0, what };
    let Some(value) = record.value.and_then(|value| value.first_chunk::<6>()) else {
        return Err(bad("a marker's value has at least 6 bytes"));
    };
    let [version_high, version_low, epoch @ ..] = *value;
    if i16::from_be_bytes([version_high, version_low]) < 0 {
        return Err(bad("a marker's version is negative"));
    }
    Ok(Some(Marker { commit, coordinator_epoch: i32::from_be_bytes(epoch) }))
}
