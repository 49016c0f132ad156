//! The `/feature` node: a new controller brings it to the form its inter-broker protocol asks for (KIP-584).
//!
//! Invariants: finalized levels are kept while versioning stays enabled and dropped where it is off or was off; a node
//! that is as it should be is not written, nor one that cannot be read (Kafka's controllers resign over it, one after
//! the other). Source: Kafka's `KafkaController.maybeSetupFeatureVersioning`.

use std::collections::BTreeMap;

use super::flow::Waiting;
use super::machine::{Config, Machine};
use super::store::{FeatureRecord, StoreOp};

/// What to write, if anything.
fn wanted(config: &Config, current: Option<&FeatureRecord>) -> Option<FeatureRecord> {
    let keep = config.features && current.is_some_and(|current| current.enabled);
    let features = current.filter(|_| keep).map_or_else(BTreeMap::new, |current| current.features.clone());
    let version = if config.features { config.feature_version } else { 1 };
    let wanted = FeatureRecord { version, enabled: config.features, features };
    (current != Some(&wanted)).then_some(wanted)
}

impl Machine {
    pub(super) fn on_feature(&mut self, current: Option<(FeatureRecord, i32)>) {
        let (record, version) = current.unzip();
        if let Some(feature) = wanted(&self.config, record.as_ref()) {
            let ops = vec![StoreOp::SetFeature { feature, expected_version: version }];
            self.wait_store(ops, Waiting::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(features: bool, feature_version: i32) -> Config {
        Config {
            broker_id: 1,
            inter_broker_listener: "PLAINTEXT".to_owned(),
            delete_topics: true,
            topic_ids: true,
            leader_recovery: true,
            features,
            feature_version,
            rebalance: false,
            rebalance_interval_ms: 300_000,
            imbalance_percentage: 10,
        }
    }

    #[test]
    fn the_node_follows_the_inter_broker_protocol() {
        let levels = BTreeMap::from([("f".to_owned(), 3i16)]);
        let node = |version, enabled, features: &BTreeMap<String, i16>| FeatureRecord {
            version,
            enabled,
            features: features.clone(),
        };
        let empty = BTreeMap::new();
        assert_eq!(wanted(&config(true, 2), None), Some(node(2, true, &empty)));
        assert_eq!(wanted(&config(true, 2), Some(&node(2, true, &levels))), None);
        assert_eq!(wanted(&config(true, 2), Some(&node(1, true, &levels))), Some(node(2, true, &levels)));
        assert_eq!(wanted(&config(true, 2), Some(&node(1, false, &levels))), Some(node(2, true, &empty)));
        assert_eq!(wanted(&config(false, 2), Some(&node(2, true, &levels))), Some(node(1, false, &empty)));
        assert_eq!(wanted(&config(false, 1), None), Some(node(1, false, &empty)));
    }
}
