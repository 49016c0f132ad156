//! Names of things that travel everywhere: partitions and unique ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A 128-bit id as Kafka prints it: URL-safe base64 without padding, 22 characters (`Uuid`, KIP-516).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// "No id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// A fresh random (version 4) id, never a reserved one and never printed with a leading `-`,
    /// which command lines would take for an option (`Uuid.randomUuid`).
    pub fn random() -> Uuid {
        loop {
            let mut bytes = fastrand::u128(..).to_be_bytes();
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let id = Uuid(bytes);
            if !id.is_reserved() && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// Whether this is the zero id.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }

    /// Ids that no topic may have: zero and one (`Uuid.RESERVED`).
    pub fn is_reserved(self) -> bool {
        u128::from_be_bytes(self.0) <= 1
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no [`Uuid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a 22-character URL-safe base64 id")]
pub struct BadUuid(pub String);

impl FromStr for Uuid {
    type Err = BadUuid;

    fn from_str(text: &str) -> Result<Uuid, BadUuid> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadUuid(text.to_owned()))?;
        <[u8; 16]>::try_from(bytes).map(Uuid).map_err(|_| BadUuid(text.to_owned()))
    }
}

/// One partition of one topic. Cloning is cheap: the name is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Name of the topic that holds committed offsets and group metadata.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Name of the topic that holds transaction state.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Whether clients may not write to this topic (`Topic.isInternal`).
pub fn is_internal_topic(topic: &str) -> bool {
    topic == OFFSETS_TOPIC || topic == TRANSACTIONS_TOPIC
}

/// `String.hashCode` of Java: how a group or transactional id chooses its coordinator partition.
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The coordinator partition of `key` among `count` (> 0) partitions (`Utils.abs(hash) % count`).
pub fn partition_for(key: &str, count: i32) -> i32 {
    let hash = java_string_hash(key);
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    positive % count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_round_trips() {
        let id = Uuid::random();
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("short".parse::<Uuid>().is_err());
        assert!(Uuid::ZERO.is_reserved());
    }

    #[test]
    fn hashes_as_java_does() {
        assert_eq!(java_string_hash("hello"), 99_162_322);
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(java_string_hash("\u{1F600}"), 1_772_899);
    }
}
