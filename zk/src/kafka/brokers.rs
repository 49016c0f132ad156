//! Which brokers live: registration with its epoch, and the list. Source: `KafkaZkClient.registerBroker`,
//! `CheckedEphemeral`, KIP-380; reliability R23.

use bytes::Bytes;

use super::KafkaError;
use crate::store::{CreateMode, Node, Op, OpResult, Store, StoreError, retry};
use crate::znode::broker::{self, BROKER_IDS, BROKER_SEQUENCE, BrokerRegistration};

/// A live broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveBroker {
    /// Its id.
    pub id: i32,
    /// Its broker epoch: the czxid of its node.
    pub epoch: i64,
    /// Version of its node.
    pub version: i32,
    /// What it says of itself.
    pub registration: BrokerRegistration,
}

/// Registers broker `id` with `data` and returns its broker epoch (czxid).
///
/// `previous_session` is this process's session before the current one, 0 if there was none: a node of that session is
/// our own leftover and is replaced. A node of any other session is [`KafkaError::BrokerIdTaken`]: wait until it goes
/// and tell the operator, or give up.
pub async fn register(
    store: &dyn Store,
    id: i32,
    data: &[u8],
    previous_session: i64,
) -> Result<i64, KafkaError> {
    let path = broker::path(id);
    let session = store.session_id();
    loop {
        // The set is there for its Stat: a create inside a multi does not tell the czxid.
        let ops = vec![
            Op::Create { path: path.clone(), data: Bytes::new(), mode: CreateMode::Ephemeral },
            Op::Set { path: path.clone(), data: Bytes::copy_from_slice(data), version: Some(0) },
        ];
        match store.multi(ops).await {
            Ok(results) => match results.last() {
                Some(OpResult::Set { stat }) => return Ok(stat.czxid),
                _ => return Err(StoreError::Other { path, what: "no answer to the write".into() }.into()),
            },
            Err(failed) => match failed.error {
                StoreError::NodeExists(_) => {}
                error if error.outcome_unknown() => {
                    tokio::time::sleep(retry::PAUSE).await;
                    continue;
                }
                error => return Err(error.into()),
            },
        }
        let Some(found) = retry::read(|| store.get(&path)).await? else { continue };
        match found.stat.ephemeral_owner {
            owner if owner == session && found.data == data => return Ok(found.stat.czxid),
            owner if owner == session => return Ok(overwrite(store, &path, data).await?.stat.czxid),
            owner if owner != 0 && owner == previous_session => {
                match retry::delete(store, &path, Some(found.stat.version)).await {
                    Ok(()) | Err(StoreError::NoNode(_) | StoreError::BadVersion(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            owner => return Err(KafkaError::BrokerIdTaken { id, owner }),
        }
    }
}

/// Overwrites the registration (dynamic listener changes); the broker epoch stays.
pub async fn update(store: &dyn Store, id: i32, data: &[u8]) -> Result<(), KafkaError> {
    overwrite(store, &broker::path(id), data).await?;
    Ok(())
}

async fn overwrite(store: &dyn Store, path: &str, data: &[u8]) -> Result<Node, KafkaError> {
    // Unconditional, hence safe to repeat.
    let stat = retry::read(|| store.set(path, data, None)).await?;
    Ok(Node { data: Bytes::copy_from_slice(data), stat })
}

/// Removes the registration if it is of the current session, before the process ends.
pub async fn unregister(store: &dyn Store, id: i32) -> Result<(), KafkaError> {
    let path = broker::path(id);
    let Some(found) = retry::read(|| store.get(&path)).await? else { return Ok(()) };
    if found.stat.ephemeral_owner != store.session_id() {
        return Ok(());
    }
    match retry::delete(store, &path, Some(found.stat.version)).await {
        Ok(()) | Err(StoreError::NoNode(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One broker, if it lives.
pub async fn get(store: &dyn Store, id: i32) -> Result<Option<LiveBroker>, KafkaError> {
    match store.get(&broker::path(id)).await? {
        Some(node) => Ok(Some(live(id, &node)?)),
        None => Ok(None),
    }
}

/// All live brokers, ascending by id. A registration that cannot be read is told and left out: nobody can reach such
/// a broker, and the others must go on.
pub async fn list(store: &dyn Store) -> Result<Vec<LiveBroker>, KafkaError> {
    let names = match store.children(BROKER_IDS).await {
        Ok(children) => children.names,
        Err(StoreError::NoNode(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut ids: Vec<i32> = names.iter().filter_map(|name| readable(broker::id_of(name))).collect();
    ids.sort_unstable();
    let paths: Vec<String> = ids.iter().map(|id| broker::path(*id)).collect();
    let mut brokers = Vec::with_capacity(ids.len());
    for (id, node) in ids.iter().zip(store.get_many(&paths).await?) {
        // Gone or still being registered since the list was read.
        if let Some(node) = node.filter(|node| !node.data.is_empty()) {
            brokers.extend(readable(live(*id, &node)));
        }
    }
    Ok(brokers)
}

fn readable<T, E: std::fmt::Display>(read: Result<T, E>) -> Option<T> {
    read.inspect_err(
        |error| tracing::error!(%error, "a broker's registration cannot be read; it is left out"),
    )
    .ok()
}

fn live(id: i32, node: &Node) -> Result<LiveBroker, KafkaError> {
    Ok(LiveBroker {
        id,
        epoch: node.stat.czxid,
        version: node.stat.version,
        registration: BrokerRegistration::decode(id, &node.data)?,
    })
}

/// A new broker id above `reserved_max` (`reserved.broker.max.id`) for a broker without `broker.id`.
pub async fn generate_id(store: &dyn Store, reserved_max: i32) -> Result<i32, KafkaError> {
    loop {
        // Repeating after a lost answer only skips an id.
        match retry::read(|| store.set(BROKER_SEQUENCE, b"", None)).await {
            Ok(stat) => return Ok(stat.version.saturating_add(reserved_max)),
            Err(StoreError::NoNode(_)) => super::ensure(store, BROKER_SEQUENCE).await?,
            Err(error) => return Err(error.into()),
        }
    }
}
