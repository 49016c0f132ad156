//! Change notes: sequential nodes that tell every broker to read something again (configs, ACLs, tokens).
//! Source: `ZkNodeChangeNotificationListener`.

use bytes::Bytes;

use super::KafkaError;
use crate::store::{Store, StoreError, retry};
use crate::znode::sequence_of;

/// Notes older than this are removed by whoever reads them.
pub const KEPT_MS: i64 = 15 * 60 * 1000;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its counter: what was read up to.
    pub sequence: i64,
    /// Its node.
    pub path: String,
    /// Its content.
    pub data: Bytes,
    /// Creation by ZooKeeper's clock, milliseconds since 1970.
    pub created_ms: i64,
}

/// The notes below `parent` named `prefix` plus a counter above `after`, ascending. Call it on every change, on
/// every new session and at start (with -1), then [`purge`].
pub async fn read(
    store: &dyn Store,
    parent: &str,
    prefix: &str,
    after: i64,
) -> Result<Vec<Note>, KafkaError> {
    let names = match store.children(parent).await {
        Ok(children) => children.names,
        Err(StoreError::NoNode(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut fresh: Vec<(i64, String)> = names
        .iter()
        .filter_map(|name| Some((sequence_of(name, prefix)?, format!("{parent}/{name}"))))
        .filter(|(sequence, _)| *sequence > after)
        .collect();
    fresh.sort_unstable();
    let paths: Vec<String> = fresh.iter().map(|(_, path)| path.clone()).collect();
    let nodes = store.get_many(&paths).await?;
    let note = |((sequence, path), node): ((i64, String), Option<crate::store::Node>)| {
        let node = node?;
        Some(Note { sequence, path, data: node.data, created_ms: node.stat.ctime_ms })
    };
    Ok(fresh.into_iter().zip(nodes).filter_map(note).collect())
}

/// Removes the notes older than [`KEPT_MS`] below `parent`; any broker may, at any time.
pub async fn purge(store: &dyn Store, parent: &str, prefix: &str, now_ms: i64) -> Result<usize, KafkaError> {
    let mut purged = 0;
    for note in read(store, parent, prefix, -1).await? {
        if now_ms.saturating_sub(note.created_ms) <= KEPT_MS {
            continue;
        }
        match retry::delete(store, &note.path, None).await {
            Ok(()) => purged += 1,
            Err(StoreError::NoNode(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(purged)
}
