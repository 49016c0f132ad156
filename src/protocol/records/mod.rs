//! Record batches: header, views, records, builders, control records, old formats, compression.
//!
//! Bytes in, bytes out. Nothing here reads a file, knows a partition or decides whether a producer may
//! append: that is `storage::validate`. Facts: `DefaultRecordBatch`, `LegacyRecord`, KIP-98, KIP-32.

pub mod batch;
pub mod builder;
pub mod compression;
pub mod control;
pub mod convert;
pub mod legacy;
pub mod lz4;
pub mod record;
pub mod view;

pub use batch::{BatchHeader, Compression, TimestampType};
pub use builder::{BatchBuilder, BatchOptions, NewRecord};
pub use record::{Header, Record, Records, records, validate_records};
pub use view::{BatchView, Entry, batches};

use crate::protocol::error_code::ErrorCode;

/// Offset, sequence, producer id or timestamp that is not there.
pub const NONE: i64 = -1;

/// Why bytes are no record batch, or hold no such record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The input ends inside something.
    #[error("{what} needs {need} bytes, {have} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes it needs.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A batch announces a size no batch can have.
    #[error(
        "batch at offset {offset} announces {size} bytes, less than the smallest of its format, {minimum}"
    )]
    BadSize {
        /// Base offset it claims.
        offset: i64,
        /// Size it announces, after the first 12 bytes.
        size: i32,
        /// Smallest size of that format.
        minimum: i32,
    },
    /// Neither 0, 1 nor 2.
    #[error("unknown record format (magic) {0}")]
    UnknownMagic(i8),
    /// The checksum does not match: the bytes changed after they were written.
    #[error("checksum is {computed:#010x}, the batch at offset {offset} says {stored:#010x}")]
    Checksum {
        /// Base offset of the batch.
        offset: i64,
        /// What the batch carries.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The compressed block is broken.
    #[error("{codec} data is broken: {reason}")]
    BrokenCompression {
        /// Name of the codec.
        codec: Compression,
        /// What the decoder said.
        reason: String,
    },
    /// Decompressing would take more than the caller allows.
    #[error("decompressed records exceed the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Compression bits of the attributes that name no codec, or none that this format may use.
    #[error("compression type {id} is not one of format (magic) {magic}")]
    UnknownCompression {
        /// Codec number.
        id: u8,
        /// Format of the batch.
        magic: i8,
    },
    /// A record inside a batch breaks the format.
    #[error("record {index}: {what}")]
    BadRecord {
        /// Index in the batch, from 0.
        index: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The records do not agree with the header of their batch.
    #[error("batch at offset {offset}: {what}")]
    BadBatch {
        /// Base offset of the batch.
        offset: i64,
        /// What is wrong.
        what: &'static str,
    },
}

impl RecordsError {
    /// What a client is told.
    ///
    /// A batch that is too large decompressed is `MESSAGE_TOO_LARGE`, on which producers split it.
    pub fn code(&self) -> ErrorCode {
        match self {
            RecordsError::Truncated { .. }
            | RecordsError::BadSize { .. }
            | RecordsError::UnknownMagic(_)
            | RecordsError::Checksum { .. }
            | RecordsError::BrokenCompression { .. } => ErrorCode::CorruptMessage,
            RecordsError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            RecordsError::UnknownCompression { .. } => ErrorCode::UnsupportedCompressionType,
            RecordsError::BadRecord { .. } | RecordsError::BadBatch { .. } => ErrorCode::InvalidRecord,
        }
    }
}
