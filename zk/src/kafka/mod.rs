//! Kafka's operations on znodes, typed: what `KafkaZkClient` and `AdminZkClient` do.
//!
//! Free functions over [`Store`], one file per subject. Invariants: every write that decides something is conditional
//! on a version; a write of the controller goes out in a multi with a check of `/controller_epoch` ([`Guard`]), so a
//! deposed controller changes nothing (KAFKA-6082); a write whose outcome is unknown is read back before it is
//! repeated. Knows nothing of requests, of the controller's logic, or of the client crate.

pub mod acls;
pub mod brokers;
pub mod changes;
pub mod cluster;
pub mod configs;
pub mod controller;
pub mod features;
pub mod guarded;
pub mod notifications;
pub mod producer_ids;
pub mod tokens;
pub mod topics;
pub mod wishes;

pub use guarded::Guard;

use crate::store::{Store, StoreError, create_recursive, join_all};
use crate::znode::{ZnodeError, top_level};

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A znode nobody can read.
    #[error(transparent)]
    Znode(#[from] ZnodeError),
    /// Another broker is controller now (`ControllerMovedException`): stop, write nothing more.
    #[error("another broker has become controller (epoch {epoch} is over)")]
    Deposed { epoch: i32 },
    /// A config write (and so topic creation) needs a controller, and there is none.
    #[error("there is no active controller; try again when one is elected")]
    NoController,
    /// A KRaft controller has taken over for a migration.
    #[error(
        "the cluster is being migrated to KRaft (epoch {epoch}); configs are written by its controller only"
    )]
    KraftMigration { epoch: i32 },
    /// The id is registered by another session: a second broker with this id, or our own before a restart.
    #[error(
        "broker id {id} is registered by another ZooKeeper session ({owner:#x}): either another broker uses the id, \
         or this one was killed and its old session has not expired yet (wait zookeeper.session.timeout.ms)"
    )]
    BrokerIdTaken { id: i32, owner: i64 },
    /// Producer ids have run out.
    #[error("all producer ids are used up")]
    ProducerIdsExhausted,
    /// Others kept changing the node.
    #[error("{path} was changed by others {attempts} times in a row; try again")]
    Contended { path: String, attempts: u32 },
}

/// Creates the persistent nodes every cluster has, where missing.
pub async fn create_top_level(store: &dyn Store) -> Result<(), KafkaError> {
    // All at once: on a new ensemble each create waits for its disks, and they can share one wait.
    let nodes = top_level::PERSISTENT.map(|path| ensure(store, path));
    join_all(nodes.into()).await.into_iter().collect()
}

/// Creates a node with empty data, and its parents, unless it exists.
pub async fn ensure(store: &dyn Store, path: &str) -> Result<(), KafkaError> {
    if store.exists(path).await?.is_some() {
        return Ok(());
    }
    match create_recursive(store, path, b"").await {
        Ok(_) | Err(StoreError::NodeExists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
