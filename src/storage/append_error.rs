//! Why an append was refused or failed, and what a client is told.

use std::io;

use super::log_error::LogError;
use super::producer_state::ProducerError;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::records::RecordsError;

/// One record that breaks a rule (`RecordError`, KIP-467).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// Index in its batch, from 0.
    pub index: i32,
    /// What is wrong, for the producer's log.
    pub message: String,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are no batches, or not what their headers say.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The batches break a rule of the topic.
    #[error("{what}")]
    Invalid {
        /// `INVALID_RECORD` or `INVALID_TIMESTAMP`.
        code: ErrorCode,
        /// What is wrong with the append as a whole.
        what: String,
        /// The offending records, if single records are to blame; not more than a thousand.
        records: Vec<RecordError>,
    },
    /// A batch exceeds `max.message.bytes`.
    #[error("a batch of {size} bytes exceeds max.message.bytes, {limit}")]
    BatchTooLarge {
        /// Its size, with the first 12 bytes.
        size: usize,
        /// The topic's limit.
        limit: u32,
    },
    /// The append as a whole exceeds `segment.bytes`.
    #[error("{size} bytes in one append exceed segment.bytes, {limit}")]
    LargerThanSegment {
        /// Size of all batches.
        size: usize,
        /// The topic's limit.
        limit: u32,
    },
    /// The producer is fenced, out of sequence, or in the wrong transaction state.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// A follower was given offsets that do not continue its log.
    #[error("offsets {first} to {last} do not continue a log that ends at {log_end_offset}")]
    UnexpectedOffset {
        /// First offset given.
        first: i64,
        /// Last offset given.
        last: i64,
        /// End of the log.
        log_end_offset: i64,
    },
    /// Offsets inside one append do not rise.
    #[error("offset {offset} follows {previous} in one append")]
    OffsetsNotRising {
        /// The offending offset.
        offset: i64,
        /// The offset before.
        previous: i64,
    },
    /// The log itself failed or is closed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AppendError {
    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            AppendError::Records(error) => error.code(),
            AppendError::Invalid { code, .. } => *code,
            AppendError::BatchTooLarge { .. } => ErrorCode::MessageTooLarge,
            AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            AppendError::Producer(error) => error.code(),
            AppendError::UnexpectedOffset { .. } | AppendError::OffsetsNotRising { .. } => {
                ErrorCode::UnknownServerError
            }
            AppendError::Log(error) => error.code(),
        }
    }

    /// Whether the log directory must go offline.
    pub fn is_fatal_for_dir(&self) -> bool {
        matches!(self, AppendError::Log(error) if error.is_fatal_for_dir())
    }
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> AppendError {
        AppendError::Log(LogError::from(error))
    }
}
