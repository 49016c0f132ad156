//! `/controller` (who is it) and `/controller_epoch` (its fencing number). Source: `ControllerZNode`,
//! `ControllerEpochZNode`.

use serde::Deserialize;

use super::json::{self, Object};
use super::{ZnodeError, decimal};

/// Ephemeral node of the elected broker.
pub const CONTROLLER: &str = "/controller";
/// Persistent counter; its version guards every write of a controller.
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
/// What [`CONTROLLER_EPOCH`] starts with, so the first controller has epoch 1.
pub const INITIAL_EPOCH: i32 = 0;

/// The elected broker.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ControllerNode {
    /// Its id.
    pub broker_id: i32,
    /// Milliseconds since 1970 of the election.
    pub timestamp_ms: i64,
    /// Above 0: a KRaft controller has taken over for a migration. -1 otherwise.
    pub kraft_controller_epoch: i32,
}

#[derive(Deserialize)]
struct Stored {
    brokerid: i32,
    timestamp: Option<String>,
    #[serde(rename = "kraftControllerEpoch")]
    kraft_controller_epoch: Option<i32>,
}

impl ControllerNode {
    /// The node's content, version 2.
    pub fn encode(&self) -> Vec<u8> {
        Object::new()
            .raw("version", 2)
            .raw("brokerid", self.broker_id)
            .text("timestamp", &self.timestamp_ms.to_string())
            .raw("kraftControllerEpoch", self.kraft_controller_epoch)
            .into_bytes()
    }

    /// Reads versions 1 and 2.
    pub fn decode(data: &[u8]) -> Result<ControllerNode, ZnodeError> {
        let stored: Stored = json::read(CONTROLLER, data)?;
        Ok(ControllerNode {
            broker_id: stored.brokerid,
            timestamp_ms: stored.timestamp.and_then(|text| text.parse().ok()).unwrap_or(-1),
            kraft_controller_epoch: stored.kraft_controller_epoch.unwrap_or(-1),
        })
    }
}

/// The content of [`CONTROLLER_EPOCH`].
pub fn encode_epoch(epoch: i32) -> Vec<u8> {
    epoch.to_string().into_bytes()
}

/// Reads [`CONTROLLER_EPOCH`].
pub fn decode_epoch(data: &[u8]) -> Result<i32, ZnodeError> {
    decimal(CONTROLLER_EPOCH, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        let v1 = ControllerNode::decode(br#"{"version":1,"brokerid":3,"timestamp":"17"}"#).unwrap();
        assert_eq!(v1, ControllerNode { broker_id: 3, timestamp_ms: 17, kraft_controller_epoch: -1 });
        assert_eq!(
            String::from_utf8(v1.encode()).unwrap(),
            r#"{"version":2,"brokerid":3,"timestamp":"17","kraftControllerEpoch":-1}"#
        );
        assert_eq!(decode_epoch(&encode_epoch(12)), Ok(12));
        assert!(decode_epoch(b"").is_err() && decode_epoch(b"99999999999").is_err());
    }
}
