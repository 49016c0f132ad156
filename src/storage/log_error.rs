//! Why a log could not do what it was asked.

use std::io;

use crate::protocol::error_code::ErrorCode;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The offset lies outside what the log holds.
    #[error("offset {offset} is out of range, the log has {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// What was asked.
        offset: i64,
        /// First offset kept.
        log_start_offset: i64,
        /// End of the log, or the high watermark where that is the bound.
        log_end_offset: i64,
    },
    /// The disk is full. The log is as it was before the call; reads, deletion and later appends work.
    #[error("no space left on the log directory's disk: {0}")]
    NoSpace(io::Error),
    /// Reading, writing or syncing failed. A failed write or sync fences the log; the directory must go offline.
    #[error("log directory failure: {0}")]
    Storage(io::Error),
    /// A segment or index holds what cannot be. Only this partition is affected.
    #[error("corrupt log: {0}")]
    Corrupt(io::Error),
    /// An earlier write or sync failed: nothing is done any more until the directory is loaded again.
    #[error("the log is fenced since an earlier failure: {0}")]
    Fenced(String),
    /// The log was closed or deleted.
    #[error("the log is closed")]
    Closed,
    /// The directory says another topic id than the one given.
    #[error("the log belongs to topic id {found}, not {expected}")]
    InconsistentTopicId {
        /// Id asked for.
        expected: String,
        /// Id in `partition.metadata`.
        found: String,
    },
}

impl LogError {
    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            LogError::InconsistentTopicId { .. } => ErrorCode::InconsistentTopicId,
            LogError::Corrupt(_) => ErrorCode::CorruptMessage,
            LogError::Closed => ErrorCode::NotLeaderOrFollower,
            LogError::NoSpace(_) | LogError::Storage(_) | LogError::Fenced(_) => ErrorCode::KafkaStorageError,
        }
    }

    /// Whether the log directory must go offline.
    pub fn is_fatal_for_dir(&self) -> bool {
        matches!(self, LogError::Storage(_) | LogError::Fenced(_))
    }
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> LogError {
        match error.kind() {
            io::ErrorKind::StorageFull => LogError::NoSpace(error),
            io::ErrorKind::InvalidData => LogError::Corrupt(error),
            _ => LogError::Storage(error),
        }
    }
}
