//! Repeating what the connection swallowed, without doing it twice.
//!
//! A write that ended in connection loss or in a time-out may have been applied. So: wait until the store answers
//! again, read the node back, and repeat only if the write is not there. Requests of one session are applied in
//! order, so the read-back comes after a write that still waited in the queue.
//! Kafka: `KafkaZkClient.retryRequestsUntilConnected`, `conditionalUpdatePath`'s checker (reliability R26).

use std::time::Duration;

use super::{CreateMode, Created, Node, Stat, Store, StoreError};

/// Pause between two attempts while ZooKeeper does not answer.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Repeats a read until it is answered. Other errors (expiry among them) are returned.
pub async fn read<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match attempt().await {
            Err(error) if error.outcome_unknown() => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}

/// Conditional write that survives connection loss: if the outcome is unknown, reads back, and takes a node with
/// the version after `version` and exactly our bytes for our own success.
pub async fn set(store: &dyn Store, path: &str, data: &[u8], version: i32) -> Result<Stat, StoreError> {
    let mut doubtful = false;
    loop {
        match store.set(path, data, Some(version)).await {
            Err(error) if error.outcome_unknown() => doubtful = true,
            Err(StoreError::BadVersion(_)) if doubtful => {
                return match read(|| store.get(path)).await? {
                    Some(Node { data: found, stat }) if stat.version == version + 1 && found == data => {
                        Ok(stat)
                    }
                    _ => Err(StoreError::BadVersion(path.to_owned())),
                };
            }
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Create that survives connection loss: if the outcome is unknown and the node then exists with our bytes (and, if
/// ephemeral, our session), it is ours. Not for sequential nodes, which would be created twice.
pub async fn create(
    store: &dyn Store,
    path: &str,
    data: &[u8],
    mode: CreateMode,
) -> Result<Created, StoreError> {
    let mut doubtful = false;
    loop {
        match store.create(path, data, mode).await {
            Err(error) if error.outcome_unknown() => doubtful = true,
            Err(StoreError::NodeExists(_)) if doubtful => {
                let owner = if mode == CreateMode::Ephemeral { store.session_id() } else { 0 };
                return match read(|| store.get(path)).await? {
                    Some(node) if node.data == data && node.stat.ephemeral_owner == owner => {
                        Ok(Created { path: path.to_owned(), stat: node.stat })
                    }
                    _ => Err(StoreError::NodeExists(path.to_owned())),
                };
            }
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Delete that survives connection loss: missing after a doubtful attempt means that the attempt succeeded.
pub async fn delete(store: &dyn Store, path: &str, version: Option<i32>) -> Result<(), StoreError> {
    let mut doubtful = false;
    loop {
        match store.delete(path, version).await {
            Err(error) if error.outcome_unknown() => doubtful = true,
            Err(StoreError::NoNode(_)) if doubtful => return Ok(()),
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
