//! `/consumers/<g>/offsets/<t>/<p>`: an offset committed with OffsetCommit v0. Source: `ConsumerOffset`.

use super::{ZnodeError, decimal};

/// The node.
pub fn path(group: &str, topic: &str, partition: i32) -> String {
    format!("/consumers/{group}/offsets/{topic}/{partition}")
}

/// Decimal text.
pub fn encode(offset: i64) -> Vec<u8> {
    offset.to_string().into_bytes()
}

/// Reads it; `None` for an empty node.
pub fn decode(path: &str, data: &[u8]) -> Result<Option<i64>, ZnodeError> {
    if data.is_empty() { Ok(None) } else { decimal(path, data).map(Some) }
}
