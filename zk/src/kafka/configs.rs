//! Overrides: reading them, writing them while a controller stands, and telling every broker.
//! Source: `KafkaZkClient.setOrCreateEntityConfigs`, `AdminZkClient`.

use bytes::Bytes;

use super::{KafkaError, controller};
use crate::store::{CreateMode, Op, Store, StoreError, create_recursive, retry};
use crate::znode::config::{self, ConfigEntity, ConfigNode};
use crate::znode::controller::CONTROLLER;

/// The overrides of one entity; empty if it has none.
pub async fn read(store: &dyn Store, entity: &ConfigEntity) -> Result<ConfigNode, KafkaError> {
    let path = entity.path();
    match store.get(&path).await? {
        Some(found) => Ok(ConfigNode::decode(&path, &found.data)?),
        None => Ok(ConfigNode::default()),
    }
}

/// The overrides of many entities, in order. A node that cannot be read is told beside the others.
pub async fn read_many(
    store: &dyn Store,
    entities: &[ConfigEntity],
) -> Result<Vec<Result<ConfigNode, crate::znode::ZnodeError>>, KafkaError> {
    let paths: Vec<String> = entities.iter().map(ConfigEntity::path).collect();
    let nodes = store.get_many(&paths).await?;
    let decode = |(path, node): (&String, Option<crate::store::Node>)| match node {
        Some(found) => ConfigNode::decode(path, &found.data),
        None => Ok(ConfigNode::default()),
    };
    Ok(paths.iter().zip(nodes).map(decode).collect())
}

/// Every entity of a kind (`topics`, `brokers`, `clients`, `users`, `ips`) that has a node; for `users` also the
/// clients below each user. Names that are no entity are left out.
pub async fn entities(store: &dyn Store, kind: &str) -> Result<Vec<ConfigEntity>, KafkaError> {
    let mut found = Vec::new();
    for name in children(store, &format!("{}/{kind}", config::CONFIG)).await? {
        found.extend(ConfigEntity::from_entity_path(&format!("{kind}/{name}")));
        if kind != "users" {
            continue;
        }
        for client in children(store, &format!("{}/users/{name}/clients", config::CONFIG)).await? {
            found.extend(ConfigEntity::from_entity_path(&format!("users/{name}/clients/{client}")));
        }
    }
    Ok(found)
}

async fn children(store: &dyn Store, path: &str) -> Result<Vec<String>, KafkaError> {
    match store.children(path).await {
        Ok(children) => Ok(children.names),
        Err(StoreError::NoNode(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Writes an entity's overrides, creating the node if missing, on condition that the controller does not change
/// meanwhile.
///
/// # Errors
/// [`KafkaError::NoController`] without an active controller (or when it changed under way),
/// [`KafkaError::KraftMigration`].
pub async fn write(store: &dyn Store, entity: &ConfigEntity, node: &ConfigNode) -> Result<(), KafkaError> {
    let path = entity.path();
    let data = Bytes::from(node.encode());
    loop {
        let active = controller::active(store).await?.ok_or(KafkaError::NoController)?;
        if active.node.kraft_controller_epoch > 0 {
            return Err(KafkaError::KraftMigration { epoch: active.node.kraft_controller_epoch });
        }
        let ops = vec![
            Op::Check { path: CONTROLLER.to_owned(), version: active.version },
            Op::Set { path: path.clone(), data: data.clone(), version: None },
        ];
        match store.multi(ops).await {
            Ok(_) => return Ok(()),
            Err(failed) => match (failed.index, failed.error) {
                (Some(0), _) => return Err(KafkaError::NoController),
                (_, StoreError::NoNode(_)) => {}
                (_, error) if error.outcome_unknown() => {
                    // Unconditional content: writing it again does no harm.
                    tokio::time::sleep(retry::PAUSE).await;
                    continue;
                }
                (_, error) => return Err(error.into()),
            },
        }
        match create_recursive(store, &path, &data).await {
            Ok(_) => return Ok(()),
            Err(StoreError::NodeExists(_)) => {}
            Err(error) if error.outcome_unknown() => tokio::time::sleep(retry::PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes an emptied entity. Fine if it is missing or has children (a user with clients keeps its node, emptied).
/// A pair of user and client takes its empty parents with it.
pub async fn delete(store: &dyn Store, entity: &ConfigEntity) -> Result<(), KafkaError> {
    let path = entity.path();
    let mut doomed = vec![path.clone()];
    if matches!(entity, ConfigEntity::UserClient(..)) {
        let clients = crate::store::parent(&path).unwrap_or("/").to_owned();
        let user = crate::store::parent(&clients).unwrap_or("/").to_owned();
        doomed.push(clients);
        doomed.push(user);
    }
    for (level, path) in doomed.iter().enumerate() {
        // A user's own overrides keep its node.
        if level == 2 && store.get(path).await?.is_some_and(|node| !node.data.is_empty()) {
            return Ok(());
        }
        match retry::delete(store, path, None).await {
            Ok(()) | Err(StoreError::NoNode(_)) => {}
            Err(StoreError::NotEmpty(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Tells every broker to read the entity again. A note written twice after a lost answer does no harm.
pub async fn notify(store: &dyn Store, entity: &ConfigEntity) -> Result<(), KafkaError> {
    let note = config::encode_change(entity);
    let path = config::change_prefix_path();
    retry::read(|| store.create(&path, &note, CreateMode::PersistentSequential)).await?;
    Ok(())
}
