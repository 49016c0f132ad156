//! Who is controller: election and resignation. Source: `KafkaZkClient.registerControllerAndIncrementControllerEpoch`,
//! `KafkaController.elect`.

use bytes::Bytes;

use super::KafkaError;
use super::guarded::{self, Guard};
use crate::store::{CreateMode, Op, OpResult, Store, StoreError, retry};
use crate::znode::controller::{
    CONTROLLER, CONTROLLER_EPOCH, ControllerNode, INITIAL_EPOCH, decode_epoch, encode_epoch,
};

/// How an election ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Election {
    /// We are controller, with this right to write.
    Won(Guard),
    /// Another is (or our own node of an older session, which will go with it).
    Lost(ActiveController),
}

/// The node `/controller` as found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ActiveController {
    /// Its content.
    pub node: ControllerNode,
    /// Its version; config writes are conditional on it.
    pub version: i32,
    /// The session that holds it; 0 for a KRaft controller's persistent node.
    pub owner: i64,
}

/// The active controller, if there is one.
pub async fn active(store: &dyn Store) -> Result<Option<ActiveController>, KafkaError> {
    let Some(found) = retry::read(|| store.get(CONTROLLER)).await? else { return Ok(None) };
    let node = ControllerNode::decode(&found.data)?;
    Ok(Some(ActiveController { node, version: found.stat.version, owner: found.stat.ephemeral_owner }))
}

/// The controller epoch and the version of its node, if there ever was a controller.
pub async fn epoch(store: &dyn Store) -> Result<Option<Guard>, KafkaError> {
    match retry::read(|| store.get(CONTROLLER_EPOCH)).await? {
        Some(found) => Ok(Some(Guard { epoch: decode_epoch(&found.data)?, version: found.stat.version })),
        None => Ok(None),
    }
}

/// Tries to become controller. Watch `/controller` before, so that the loser learns of the next chance.
///
/// A lost reply is no lost election: if the transaction's outcome is unknown, or it says that the node exists, both
/// nodes are read back, and ours with the next epoch is our victory.
pub async fn elect(store: &dyn Store, broker_id: i32, now_ms: i64) -> Result<Election, KafkaError> {
    // Held against the node's owner: a node of an older session of ours is not a victory.
    let session = store.session_id();
    loop {
        if let Some(found) = retry::read(|| store.get(CONTROLLER)).await? {
            let node = ControllerNode::decode(&found.data)?;
            let (version, owner) = (found.stat.version, found.stat.ephemeral_owner);
            return Ok(Election::Lost(ActiveController { node, version, owner }));
        }
        let before = match epoch(store).await? {
            Some(before) => before,
            None => {
                match retry::create(
                    store,
                    CONTROLLER_EPOCH,
                    &encode_epoch(INITIAL_EPOCH),
                    CreateMode::Persistent,
                )
                .await
                {
                    Ok(_) | Err(StoreError::NodeExists(_)) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        if let Some(guard) = take(store, broker_id, session, now_ms, before).await? {
            return Ok(Election::Won(guard));
        }
    }
}

/// One attempt; `None` if somebody else was faster, or nothing happened.
async fn take(
    store: &dyn Store,
    broker_id: i32,
    session: i64,
    now_ms: i64,
    before: Guard,
) -> Result<Option<Guard>, KafkaError> {
    let next = before.epoch.checked_add(1).ok_or_else(|| StoreError::Other {
        path: CONTROLLER_EPOCH.into(),
        what: "the controller epoch has reached its end".into(),
    })?;
    let node = ControllerNode { broker_id, timestamp_ms: now_ms, kraft_controller_epoch: -1 };
    let ops = vec![
        Op::Create { path: CONTROLLER.into(), data: Bytes::from(node.encode()), mode: CreateMode::Ephemeral },
        Op::Set {
            path: CONTROLLER_EPOCH.into(),
            data: Bytes::from(encode_epoch(next)),
            version: Some(before.version),
        },
    ];
    match store.multi(ops).await {
        Ok(results) => match results.last() {
            Some(OpResult::Set { stat }) => return Ok(Some(Guard { epoch: next, version: stat.version })),
            _ => {
                return Err(StoreError::Other {
                    path: CONTROLLER.into(),
                    what: "no answer to the write".into(),
                }
                .into());
            }
        },
        Err(failed) => match failed.error {
            StoreError::NodeExists(_) | StoreError::BadVersion(_) => {}
            error if error.outcome_unknown() => tokio::time::sleep(retry::PAUSE).await,
            error => return Err(error.into()),
        },
    }
    let found = retry::read(|| store.get(CONTROLLER)).await?;
    let after = retry::read(|| store.get(CONTROLLER_EPOCH)).await?;
    let (Some(found), Some(after)) = (found, after) else { return Ok(None) };
    let ours =
        found.stat.ephemeral_owner == session && ControllerNode::decode(&found.data)?.broker_id == broker_id;
    if ours && decode_epoch(&after.data)? == next {
        return Ok(Some(Guard { epoch: next, version: after.stat.version }));
    }
    Ok(None)
}

/// Gives the office up, which starts the next election. Fine if somebody else holds it already.
pub async fn resign(store: &dyn Store, guard: Guard) -> Result<(), KafkaError> {
    match guarded::delete(store, guard, CONTROLLER).await {
        Err(KafkaError::Deposed { .. }) => Ok(()),
        result => result,
    }
}
