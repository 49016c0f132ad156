//! Creating a node with its parents, and deleting a node with everything below it.
//!
//! Neither is one transaction (ZooKeeper has no such operation): both may be interrupted half way and are safe to
//! repeat. Kafka: `KafkaZkClient.createRecursive`, `deleteRecursive`.

use super::{CreateMode, Created, Store, StoreError, parent};

/// Paths deeper than this are refused: no path of Kafka has more than eight levels.
const MAX_DEPTH: usize = 64;

/// Creates a persistent node, and its missing parents with empty data. [`StoreError::NodeExists`] if it exists.
pub async fn create_recursive(store: &dyn Store, path: &str, data: &[u8]) -> Result<Created, StoreError> {
    match store.create(path, data, CreateMode::Persistent).await {
        Err(StoreError::NoNode(_)) => {}
        result => return result,
    }
    let mut parents = Vec::new();
    let mut at = parent(path);
    while let Some(up) = at.filter(|up| *up != "/") {
        if parents.len() == MAX_DEPTH {
            return Err(StoreError::Other {
                path: path.into(),
                what: format!("deeper than {MAX_DEPTH} levels"),
            });
        }
        parents.push(up);
        at = parent(up);
    }
    for up in parents.iter().rev() {
        match store.create(up, b"", CreateMode::Persistent).await {
            Ok(_) | Err(StoreError::NodeExists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    store.create(path, data, CreateMode::Persistent).await
}

/// Deletes a node and everything below it, children first. Missing nodes are fine. False if it did not exist.
pub async fn delete_recursive(store: &dyn Store, path: &str) -> Result<bool, StoreError> {
    // Depth-first without recursion: a node is pushed back to be deleted after its children.
    let mut open = vec![(path.to_owned(), false)];
    let mut existed = true;
    while let Some((node, emptied)) = open.pop() {
        if emptied {
            match store.delete(&node, None).await {
                Ok(()) => {}
                Err(StoreError::NoNode(_)) => existed &= node != path,
                // Somebody added a child meanwhile: look again.
                Err(StoreError::NotEmpty(_)) => open.push((node, false)),
                Err(error) => return Err(error),
            }
            continue;
        }
        match store.children(&node).await {
            Ok(children) => {
                open.push((node.clone(), true));
                open.extend(children.names.iter().map(|name| (format!("{node}/{name}"), false)));
            }
            Err(StoreError::NoNode(_)) => existed &= node != path,
            Err(error) => return Err(error),
        }
    }
    Ok(existed)
}
