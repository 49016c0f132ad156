//! Records that the broker keeps for itself in internal topics: offsets, groups, transactions.
//!
//! A key or a value is its version as a big-endian 16-bit integer, then the body in that version. A reader meets
//! versions of newer brokers too and must be able to pass over them, so the version is read apart from the body.
//! Knows nothing of the batches around them. Source: `CoordinatorRecordSerde`, `MessageUtil` in Kafka.

use bytes::{Bytes, BytesMut};

use super::frame::Chunk;
use super::message::Message;
use super::wire::{Reader, WireError, Writer};

pub mod groups;
pub mod leader_change;
pub mod offsets;
pub mod transactions;

pub use groups::{GroupMetadataKey, GroupMetadataValue};
pub use offsets::{OffsetCommitKey, OffsetCommitValue};
pub use transactions::{TransactionLogKey, TransactionLogValue};

/// The version a key or value starts with.
pub fn version_of(record: &[u8]) -> Result<i16, WireError> {
    match record.first_chunk() {
        Some(prefix) => Ok(i16::from_be_bytes(*prefix)),
        None => Err(WireError::Short { field: "version", at: 0, needed: 2, left: record.len() }),
    }
}

/// Reads a key or value in the version it says it has. Bytes after it are allowed: a newer version that an older
/// broker can read may have added fields at the end.
pub fn decode<M: Message>(record: Bytes) -> Result<M, WireError> {
    let version = version_of(&record)?;
    let mut reader = Reader::new(record);
    reader.read_i16()?;
    M::decode(&mut reader, version)
}

/// A key or value in `version`, with its version in front.
pub fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, WireError> {
    let mut writer = Writer::default();
    writer.put(&version.to_be_bytes());
    message.encode(&mut writer, version)?;
    let mut chunks = writer.finish()?.into_iter();
    let first = chunks.next();
    let mut out = BytesMut::new();
    for chunk in first.iter().chain(chunks.as_slice()) {
        match chunk {
            Chunk::Bytes(bytes) => out.extend_from_slice(bytes),
            Chunk::File(_) => return Err(WireError::Unsupported { field: "records", version }),
        }
    }
    Ok(out.freeze())
}
