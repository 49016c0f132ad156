//! `/admin/reassign_partitions` and `/admin/preferred_replica_election`: wishes written by tools older than KIP-455
//! and KIP-460. Source: `ReassignPartitionsZNode`, `PreferredReplicaElectionZNode`.

use serde::Deserialize;

use super::ZnodeError;
use super::json::{self, Object};

/// Wished reassignments.
pub const REASSIGN_PARTITIONS: &str = "/admin/reassign_partitions";
/// Wished preferred elections.
pub const PREFERRED_ELECTION: &str = "/admin/preferred_replica_election";

/// One wished reassignment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reassignment {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Where its replicas shall be.
    pub replicas: Vec<i32>,
}

/// A partition of a topic, as the nodes of this file and of [`super::notify`] name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct PartitionName {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
}

#[derive(Deserialize)]
struct Stored<T> {
    partitions: Vec<T>,
}

/// The content of [`REASSIGN_PARTITIONS`].
pub fn encode_reassignments(partitions: &[Reassignment]) -> Vec<u8> {
    let partitions = partitions.iter().map(|wish| {
        Object::new()
            .text("topic", &wish.topic)
            .raw("partition", wish.partition)
            .raw("replicas", json::array(&wish.replicas))
            .finish()
    });
    Object::new().raw("version", 1).raw("partitions", json::array(partitions)).into_bytes()
}

/// Reads [`REASSIGN_PARTITIONS`].
pub fn decode_reassignments(data: &[u8]) -> Result<Vec<Reassignment>, ZnodeError> {
    Ok(json::read::<Stored<Reassignment>>(REASSIGN_PARTITIONS, data)?.partitions)
}

/// The content of [`PREFERRED_ELECTION`].
pub fn encode_elections(partitions: &[PartitionName]) -> Vec<u8> {
    encode_partitions(partitions)
}

/// Reads [`PREFERRED_ELECTION`].
pub fn decode_elections(data: &[u8]) -> Result<Vec<PartitionName>, ZnodeError> {
    decode_partitions(PREFERRED_ELECTION, data)
}

pub(super) fn encode_partitions(partitions: &[PartitionName]) -> Vec<u8> {
    let partitions = partitions
        .iter()
        .map(|name| Object::new().text("topic", &name.topic).raw("partition", name.partition).finish());
    Object::new().raw("version", 1).raw("partitions", json::array(partitions)).into_bytes()
}

pub(super) fn decode_partitions(path: &str, data: &[u8]) -> Result<Vec<PartitionName>, ZnodeError> {
    Ok(json::read::<Stored<PartitionName>>(path, data)?.partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_come_back() {
        let text = br#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}"#;
        assert_eq!(encode_reassignments(&decode_reassignments(text).unwrap()), text);
        let text = br#"{"version":1,"partitions":[{"topic":"t","partition":0}]}"#;
        assert_eq!(encode_elections(&decode_elections(text).unwrap()), text);
        assert!(decode_elections(b"{}").is_err());
    }
}
