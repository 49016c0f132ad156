//! The feature node. Source: `KafkaController.setupFeatureVersioning`; plain writes, not guarded, as in Kafka.

use super::KafkaError;
use crate::store::{CreateMode, Store, StoreError, retry};
use crate::znode::feature::{FEATURE, FeatureNode};

/// The node and its version, which is the epoch of finalized features; `None` if it does not exist.
pub async fn read(store: &dyn Store) -> Result<Option<(FeatureNode, i32)>, KafkaError> {
    match store.get(FEATURE).await? {
        Some(found) => Ok(Some((FeatureNode::decode(&found.data)?, found.stat.version))),
        None => Ok(None),
    }
}

/// Writes the node, creating it if missing, unless it holds this content already. Returns its version.
pub async fn write(store: &dyn Store, node: &FeatureNode) -> Result<i32, KafkaError> {
    let data = node.encode();
    loop {
        if let Some((found, version)) = read(store).await? {
            if found == *node {
                return Ok(version);
            }
            return Ok(retry::read(|| store.set(FEATURE, &data, None)).await?.version);
        }
        match retry::create(store, FEATURE, &data, CreateMode::Persistent).await {
            Ok(created) => return Ok(created.stat.version),
            Err(StoreError::NodeExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
