//! `/brokers/topics/<topic>`: topic id, where each partition's replicas are, and where they are going.
//!
//! Written as version 3; versions 1 and 2 lack keys and are read the same way. Source: `TopicZNode`, `TopicIdReplica
//! Assignment`, KIP-455, KIP-516.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::ZnodeError;
use super::json::{self, Object};

/// Parent of the topics.
pub const TOPICS: &str = "/brokers/topics";
/// Parent of the deletion marks.
pub const DELETE_TOPICS: &str = "/admin/delete_topics";

/// The node of `topic`.
pub fn path(topic: &str) -> String {
    format!("{TOPICS}/{topic}")
}

/// The mark that `topic` is to be deleted; its data is empty.
pub fn deletion_path(topic: &str) -> String {
    format!("{DELETE_TOPICS}/{topic}")
}

/// A topic's 128-bit id, printed as 22 characters of URL-safe base64 (`Uuid`).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no [`TopicId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a 22-character URL-safe base64 id")]
pub struct BadTopicId(pub String);

impl FromStr for TopicId {
    type Err = BadTopicId;

    fn from_str(text: &str) -> Result<TopicId, BadTopicId> {
        // Ids are 22 characters; a hostile text is cut in the error.
        let bad = || BadTopicId(text.chars().take(32).collect());
        if text.len() != 22 {
            return Err(bad());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        <[u8; 16]>::try_from(bytes).map(TopicId).map_err(|_| bad())
    }
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TopicNode {
    /// Missing if written under an inter-broker protocol below 2.8.
    pub topic_id: Option<TopicId>,
    /// Replicas of each partition, preferred leader first; during a reassignment targets first, leaving ones last.
    pub partitions: BTreeMap<i32, Vec<i32>>,
    /// Replicas being added, of the partitions under reassignment only.
    pub adding_replicas: BTreeMap<i32, Vec<i32>>,
    /// Replicas being removed, of the partitions under reassignment only.
    pub removing_replicas: BTreeMap<i32, Vec<i32>>,
}

#[derive(Deserialize)]
struct Stored {
    topic_id: Option<String>,
    partitions: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    adding_replicas: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    removing_replicas: BTreeMap<i32, Vec<i32>>,
}

impl TopicNode {
    /// The node's content. Partitions whose adding or removing list is empty are left out, as Kafka does.
    pub fn encode(&self) -> Vec<u8> {
        let moving = |lists: &BTreeMap<i32, Vec<i32>>| {
            let filled = lists.iter().filter(|(_, ids)| !ids.is_empty());
            json::replicas(&filled.map(|(partition, ids)| (*partition, ids.clone())).collect())
        };
        let mut object = Object::new().raw("partitions", json::replicas(&self.partitions));
        if let Some(id) = self.topic_id {
            object = object.text("topic_id", &id.to_string());
        }
        object
            .raw("adding_replicas", moving(&self.adding_replicas))
            .raw("removing_replicas", moving(&self.removing_replicas))
            .raw("version", 3)
            .into_bytes()
    }

    /// Reads the node of `topic`.
    pub fn decode(topic: &str, data: &[u8]) -> Result<TopicNode, ZnodeError> {
        let path = path(topic);
        let stored: Stored = json::read(&path, data)?;
        let topic_id = match stored.topic_id {
            Some(text) => {
                Some(text.parse().map_err(|bad: BadTopicId| ZnodeError::new(&path, bad.to_string()))?)
            }
            None => None,
        };
        let all = [&stored.partitions, &stored.adding_replicas, &stored.removing_replicas];
        let negative = |(partition, ids): (&i32, &Vec<i32>)| *partition < 0 || ids.iter().any(|id| *id < 0);
        if all.iter().any(|lists| lists.iter().any(negative)) {
            return Err(ZnodeError::new(&path, "a negative partition or broker id"));
        }
        Ok(TopicNode {
            topic_id,
            partitions: stored.partitions,
            adding_replicas: stored.adding_replicas,
            removing_replicas: stored.removing_replicas,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_and_moves() {
        let v1 = TopicNode::decode("t", br#"{"version":1,"partitions":{"1":[2,3],"0":[1,2]}}"#).unwrap();
        assert_eq!(v1.partitions, BTreeMap::from([(0, vec![1, 2]), (1, vec![2, 3])]));
        assert_eq!(v1.topic_id, None);
        let mut moving = v1.clone();
        moving.adding_replicas = BTreeMap::from([(0, vec![4]), (1, vec![])]);
        assert_eq!(
            String::from_utf8(moving.encode()).unwrap(),
            r#"{"partitions":{"0":[1,2],"1":[2,3]},"adding_replicas":{"0":[4]},"removing_replicas":{},"version":3}"#
        );
    }

    #[test]
    fn ids() {
        let id: TopicId = "tlXgyyTwTbmsR4CLBvHB3g".parse().unwrap();
        assert_eq!(id.to_string(), "tlXgyyTwTbmsR4CLBvHB3g");
        assert!("tlXgyyTwTbmsR4CLBvHB3".parse::<TopicId>().is_err());
        assert!(TopicNode::decode("t", br#"{"partitions":{"0":[-1]}}"#).is_err());
        assert!(TopicNode::decode("t", br#"{"partitions":{"0":[1]},"topic_id":"x"}"#).is_err());
        assert!(TopicNode::decode("t", b"").is_err());
    }
}
