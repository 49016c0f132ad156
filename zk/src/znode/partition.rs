//! `/brokers/topics/<t>/partitions/<p>/state`: leader, epochs and ISR of one partition.
//!
//! The node's version is the partition epoch (KIP-497); that is the store's to tell. Source:
//! `TopicPartitionStateZNode`.

use serde::Deserialize;

use super::ZnodeError;
use super::json::{self, Object};
use super::topic;

/// Leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

/// Parent of a topic's partitions; its data is empty.
pub fn partitions_path(topic: &str) -> String {
    format!("{}/{topic}/partitions", topic::TOPICS)
}

/// Parent of a partition's state; its data is empty.
pub fn partition_path(topic: &str, partition: i32) -> String {
    format!("{}/{topic}/partitions/{partition}", topic::TOPICS)
}

/// The state of one partition.
pub fn path(topic: &str, partition: i32) -> String {
    format!("{}/{topic}/partitions/{partition}/state", topic::TOPICS)
}

/// Who leads a partition, and who is in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Broker id, or [`NO_LEADER`].
    pub leader: i32,
    /// Term of the leader.
    pub leader_epoch: i32,
    /// Epoch of the controller that wrote this.
    pub controller_epoch: i32,
    /// In-sync replicas.
    pub isr: Vec<i32>,
    /// The leader came from an unclean election and has not finished recovering (KIP-704).
    pub recovering: bool,
}

#[derive(Deserialize)]
struct Stored {
    leader: i32,
    leader_epoch: i32,
    controller_epoch: i32,
    isr: Vec<i32>,
    leader_recovery_state: Option<i32>,
}

impl PartitionState {
    /// The node's content.
    pub fn encode(&self) -> Vec<u8> {
        let mut object = Object::new()
            .raw("controller_epoch", self.controller_epoch)
            .raw("leader", self.leader)
            .raw("version", 1);
        if self.recovering {
            object = object.raw("leader_recovery_state", 1);
        }
        object.raw("leader_epoch", self.leader_epoch).raw("isr", json::array(&self.isr)).into_bytes()
    }

    /// Reads the state of `partition` of `topic`.
    pub fn decode(topic: &str, partition: i32, data: &[u8]) -> Result<PartitionState, ZnodeError> {
        let path = path(topic, partition);
        let stored: Stored = json::read(&path, data)?;
        let recovering = match stored.leader_recovery_state {
            None | Some(0) => false,
            Some(1) => true,
            Some(other) => {
                return Err(ZnodeError::new(
                    &path,
                    format!("leader_recovery_state {other} is neither 0 nor 1"),
                ));
            }
        };
        Ok(PartitionState {
            leader: stored.leader,
            leader_epoch: stored.leader_epoch,
            controller_epoch: stored.controller_epoch,
            isr: stored.isr,
            recovering,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovering_is_written_only_while_it_lasts() {
        let mut state = PartitionState {
            leader: 1,
            leader_epoch: 5,
            controller_epoch: 12,
            isr: vec![1, 2],
            recovering: true,
        };
        assert_eq!(
            String::from_utf8(state.encode()).unwrap(),
            r#"{"controller_epoch":12,"leader":1,"version":1,"leader_recovery_state":1,"leader_epoch":5,"isr":[1,2]}"#
        );
        assert_eq!(PartitionState::decode("t", 0, &state.encode()).unwrap(), state);
        state.recovering = false;
        assert_eq!(PartitionState::decode("t", 0, &state.encode()).unwrap(), state);
        let bad = br#"{"leader":1,"leader_epoch":1,"controller_epoch":1,"isr":[],"leader_recovery_state":2}"#;
        assert!(PartitionState::decode("t", 0, bad).is_err());
        assert!(PartitionState::decode("t", 0, br#"{"leader":4294967296}"#).is_err());
    }
}
