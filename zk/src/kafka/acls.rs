//! The ACL store: everything read at once, one pattern changed at a time. Source: `AclAuthorizer`, `ZkAclStore`.

use super::{KafkaError, ensure};
use crate::store::{CreateMode, Store, StoreError, retry};
use crate::znode::acl::{self, AclEntry, PatternType, ResourcePattern, ResourceType};
use crate::znode::top_level;

/// Attempts against concurrent changes, as in Kafka.
const ATTEMPTS: u32 = 10;
/// Pause between them.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// One pattern's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAcls {
    /// What they protect.
    pub pattern: ResourcePattern,
    /// The rules.
    pub entries: Vec<AclEntry>,
    /// Version of the node.
    pub version: i32,
}

/// Creates the store's nodes where missing.
pub async fn create_store(store: &dyn Store) -> Result<(), KafkaError> {
    for path in top_level::acl_paths() {
        ensure(store, &path).await?;
    }
    Ok(())
}

/// Every pattern with its rules. A node that cannot be read is an error: a rule must not be overlooked.
pub async fn read_all(store: &dyn Store) -> Result<Vec<StoredAcls>, KafkaError> {
    let mut patterns = Vec::new();
    for pattern_type in PatternType::ALL {
        for resource_type in ResourceType::ALL {
            let parent = format!("{}/{}", pattern_type.store_path(), resource_type.name());
            let names = match store.children(&parent).await {
                Ok(children) => children.names,
                Err(StoreError::NoNode(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let pattern =
                |name| ResourcePattern { resource_type: *resource_type, name, pattern_type: *pattern_type };
            patterns.extend(names.into_iter().map(pattern));
        }
    }
    let paths = patterns.iter().map(ResourcePattern::path).collect::<Result<Vec<_>, _>>()?;
    let nodes = store.get_many(&paths).await?;
    let mut all = Vec::with_capacity(nodes.len());
    for ((pattern, path), node) in patterns.into_iter().zip(&paths).zip(nodes) {
        if let Some(node) = node {
            let entries = acl::decode(path, &node.data)?;
            all.push(StoredAcls { pattern, entries, version: node.stat.version });
        }
    }
    Ok(all)
}

/// The rules of one pattern, and the version of its node; none and `None` if it has no node.
pub async fn read(
    store: &dyn Store,
    pattern: &ResourcePattern,
) -> Result<(Vec<AclEntry>, Option<i32>), KafkaError> {
    let path = pattern.path()?;
    match retry::read(|| store.get(&path)).await? {
        Some(node) => Ok((acl::decode(&path, &node.data)?, Some(node.stat.version))),
        None => Ok((Vec::new(), None)),
    }
}

/// Changes the rules of one pattern against concurrent changes, then tells every authorizer. `change` gets the rules
/// and returns the new ones; it may be called more than once. Returns the rules now in force.
pub async fn update(
    store: &dyn Store,
    pattern: &ResourcePattern,
    change: &(dyn Fn(&[AclEntry]) -> Vec<AclEntry> + Sync),
) -> Result<Vec<AclEntry>, KafkaError> {
    let path = pattern.path()?;
    for _ in 0..ATTEMPTS {
        let (before, version) = read(store, pattern).await?;
        let after = change(&before);
        if after == before {
            return Ok(after);
        }
        let data = acl::encode(&after);
        let written = match version {
            Some(version) if after.is_empty() => retry::delete(store, &path, Some(version)).await,
            Some(version) => retry::set(store, &path, &data, version).await.map(drop),
            None => retry::create(store, &path, &data, CreateMode::Persistent).await.map(drop),
        };
        match written {
            Ok(()) => {
                notify(store, pattern).await?;
                return Ok(after);
            }
            Err(StoreError::BadVersion(_) | StoreError::NodeExists(_)) => {}
            Err(StoreError::NoNode(_)) if version.is_none() => create_store(store).await?,
            Err(StoreError::NoNode(_)) => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(KafkaError::Contended { path, attempts: ATTEMPTS })
}

async fn notify(store: &dyn Store, pattern: &ResourcePattern) -> Result<(), KafkaError> {
    let (path, note) = (pattern.change_prefix_path(), pattern.encode_change());
    retry::read(|| store.create(&path, &note, CreateMode::PersistentSequential)).await?;
    Ok(())
}
