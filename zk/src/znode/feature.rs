//! `/feature`: the finalized features of the cluster, in ZooKeeper mode always none. Source: `FeatureZNode`, KIP-584.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ZnodeError;
use super::json::{self, Object};

/// The node. Its version is the epoch of finalized features.
pub const FEATURE: &str = "/feature";

/// One finalized feature.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FinalizedFeature {
    /// Only in layout 1.
    pub min_version_level: Option<i16>,
    /// The level in force.
    pub max_version_level: i16,
}

/// The node's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureNode {
    /// Layout: 2 from inter-broker protocol 3.3-IV0, else 1.
    pub version: i32,
    /// False under an inter-broker protocol below 2.7-IV0.
    pub enabled: bool,
    /// Name and level.
    pub features: BTreeMap<String, FinalizedFeature>,
}

#[derive(Deserialize)]
struct Stored {
    version: i32,
    status: i32,
    features: Option<BTreeMap<String, FinalizedFeature>>,
}

impl FeatureNode {
    /// The node's content.
    pub fn encode(&self) -> Vec<u8> {
        let features = self.features.iter().fold(Object::new(), |object, (name, feature)| {
            let mut levels = Object::new();
            if let Some(min) = feature.min_version_level.filter(|_| self.version < 2) {
                levels = levels.raw("min_version_level", min);
            }
            object.raw(name, levels.raw("max_version_level", feature.max_version_level).finish())
        });
        Object::new()
            .raw("features", features.finish())
            .raw("version", self.version)
            .raw("status", i32::from(self.enabled))
            .into_bytes()
    }

    /// Reads both layouts.
    pub fn decode(data: &[u8]) -> Result<FeatureNode, ZnodeError> {
        let stored: Stored = json::read(FEATURE, data)?;
        if !(1..=2).contains(&stored.version) {
            return Err(ZnodeError::new(FEATURE, format!("version {} is neither 1 nor 2", stored.version)));
        }
        let enabled = match stored.status {
            0 => false,
            1 => true,
            other => return Err(ZnodeError::new(FEATURE, format!("status {other} is neither 0 nor 1"))),
        };
        Ok(FeatureNode { version: stored.version, enabled, features: stored.features.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts() {
        let v1 =
            br#"{"features":{"f":{"min_version_level":1,"max_version_level":3}},"version":1,"status":1}"#;
        let node = FeatureNode::decode(v1).unwrap();
        assert_eq!(node.encode(), v1);
        let v2 = br#"{"features":{"f":{"max_version_level":1}},"version":2,"status":1}"#;
        assert_eq!(FeatureNode::decode(v2).unwrap().encode(), v2);
        assert!(FeatureNode::decode(br#"{"version":3,"status":1,"features":{}}"#).is_err());
        assert!(FeatureNode::decode(br#"{"version":1,"status":7,"features":{}}"#).is_err());
    }
}
