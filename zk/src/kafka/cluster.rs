//! The cluster id: written once, by whoever comes first. Source: `KafkaZkClient.createOrGetClusterId`; reliability R30.

use super::KafkaError;
use crate::store::{Store, StoreError, create_recursive, retry};
use crate::znode::cluster::{CLUSTER_ID, decode, encode};

/// The cluster's id, if it has one.
pub async fn id(store: &dyn Store) -> Result<Option<String>, KafkaError> {
    match retry::read(|| store.get(CLUSTER_ID)).await? {
        Some(found) => Ok(Some(decode(&found.data)?)),
        None => Ok(None),
    }
}

/// The cluster's id; `proposed` becomes it if there is none yet.
pub async fn id_or_create(store: &dyn Store, proposed: &str) -> Result<String, KafkaError> {
    loop {
        if let Some(id) = id(store).await? {
            return Ok(id);
        }
        match create_recursive(store, CLUSTER_ID, &encode(proposed)).await {
            // Read back: with a lost answer it may be ours or another's.
            Ok(_) | Err(StoreError::NodeExists(_)) => {}
            Err(error) if error.outcome_unknown() => tokio::time::sleep(retry::PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}
