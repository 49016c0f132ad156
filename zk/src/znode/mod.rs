//! One type per znode of Kafka 3.9: path, encode, decode.
//!
//! Pure. Bytes are Kafka's: the same JSON keys in the order 3.9.2 writes them, no white space; where Kafka's order
//! is that of a hash map (configs, partitions beyond four) ours is sorted. Readers ignore unknown keys and accept
//! every older version Kafka accepts. Sizes and nesting are bounded, so a hostile node is an error, never a crash.
//! Source: `kafka.zk.ZkData`. Knows nothing of sessions, versions of nodes or ACLs.

pub mod acl;
pub mod broker;
pub mod cluster;
pub mod config;
pub mod consumer_offset;
pub mod controller;
pub mod feature;
mod json;
pub mod notify;
pub mod partition;
pub mod producer_ids;
pub mod reassign;
pub mod sanitize;
pub mod scram;
pub mod token;
pub mod top_level;
pub mod topic;

/// Largest content that is read: Kafka's client takes 4 MiB (`jute.maxbuffer`).
pub const MAX_ZNODE_BYTES: usize = 4 << 20;

/// A znode's content is not what Kafka would have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("znode {path}: {what}; {fix}")]
pub struct ZnodeError {
    /// The node, or its pattern where the path is not known.
    pub path: String,
    /// What is wrong, and where in the content.
    pub what: String,
    /// What an operator can do.
    pub fix: &'static str,
}

impl ZnodeError {
    pub(crate) fn new(path: &str, what: impl Into<String>) -> ZnodeError {
        ZnodeError {
            path: path.to_owned(),
            what: what.into(),
            fix: "compare it with what Kafka 3.9 writes there (zookeeper-shell get) and write it anew, or restore it",
        }
    }
}

/// The decimal counter at the end of a sequential node's name, after `prefix`.
pub fn sequence_of(name: &str, prefix: &str) -> Option<i64> {
    let digits = name.strip_prefix(prefix)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A decimal number as text, the whole content of a node.
pub(crate) fn decimal<T: std::str::FromStr>(path: &str, data: &[u8]) -> Result<T, ZnodeError> {
    let text = std::str::from_utf8(data).ok().filter(|text| text.len() <= 20);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| ZnodeError::new(path, format!("{} bytes that are no decimal number", data.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        assert_eq!(sequence_of("config_change_0000000012", "config_change_"), Some(12));
        assert_eq!(sequence_of("config_change_", "config_change_"), None);
        assert_eq!(sequence_of("config_change_-1", "config_change_"), None);
        assert_eq!(sequence_of("other", "config_change_"), None);
    }

    #[test]
    fn errors_say_path_what_and_fix() {
        let text = decimal::<i32>("/controller_epoch", b"abc").unwrap_err().to_string();
        assert!(
            text.contains("/controller_epoch")
                && text.contains("decimal")
                && text.contains("zookeeper-shell")
        );
    }
}
