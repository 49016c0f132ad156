//! The two nodes in which tools older than KIP-455 and KIP-460 leave their wishes for the controller: reassignments and
//! preferred elections.
//!
//! Only the controller changes them, guarded; what is not there is not created. Knows nothing of what becomes of a wish.
//! Source: `KafkaZkClient.{getPartitionReassignment, setOrCreatePartitionReassignment, getPreferredReplicaElection}`.

use bytes::Bytes;

use super::KafkaError;
use super::guarded::{self, Guard};
use crate::store::{Store, StoreError, retry};
use crate::znode::reassign::{self, PREFERRED_ELECTION, PartitionName, REASSIGN_PARTITIONS, Reassignment};

/// The wished reassignments, `None` without the node. [`KafkaError::Znode`] if nobody can read it.
pub async fn reassignments(store: &dyn Store) -> Result<Option<Vec<Reassignment>>, KafkaError> {
    match retry::read(|| store.get(REASSIGN_PARTITIONS)).await? {
        Some(found) => Ok(Some(reassign::decode_reassignments(&found.data)?)),
        None => Ok(None),
    }
}

/// Leaves these wishes in the node; with none left it is deleted, so that the next tool can begin.
pub async fn keep_reassignments(
    store: &dyn Store,
    guard: Guard,
    left: &[Reassignment],
) -> Result<(), KafkaError> {
    if left.is_empty() {
        return guarded::delete(store, guard, REASSIGN_PARTITIONS).await;
    }
    let data = Bytes::from(reassign::encode_reassignments(left));
    let write = guarded::Write { path: REASSIGN_PARTITIONS.to_owned(), data, version: None };
    match guarded::set_many(store, guard, &[write]).await?.into_iter().next() {
        Some(Err(StoreError::NoNode(_))) | None => Ok(()),
        Some(result) => result.map(drop).map_err(KafkaError::from),
    }
}

/// The partitions for which a preferred election is wished, `None` without the node. [`KafkaError::Znode`] if nobody
/// can read it.
pub async fn elections(store: &dyn Store) -> Result<Option<Vec<PartitionName>>, KafkaError> {
    match retry::read(|| store.get(PREFERRED_ELECTION)).await? {
        Some(found) => Ok(Some(reassign::decode_elections(&found.data)?)),
        None => Ok(None),
    }
}

/// The wished elections were tried.
pub async fn forget_elections(store: &dyn Store, guard: Guard) -> Result<(), KafkaError> {
    guarded::delete(store, guard, PREFERRED_ELECTION).await
}
