//! Writes of the controller: conditional on being the controller still.
//!
//! Invariant: nothing here reaches a node without a check of `/controller_epoch` in the same transaction. Source:
//! `KafkaZkClient.retryRequestsUntilConnected(requests, expectedControllerZkVersion)`; reliability R19, R26.

use bytes::Bytes;

use super::KafkaError;
use crate::bugs::{self, Bug};
use crate::store::{CreateMode, MAX_REQUEST_BYTES, Op, OpResult, Stat, Store, StoreError, join_all, retry};
use crate::znode::controller::CONTROLLER_EPOCH;

/// Writes bundled into one transaction. More gain little; a failing one sends its whole bundle one by one.
const WRITES_PER_MULTI: usize = 100;
/// Transactions in flight at once.
const MULTIS_IN_FLIGHT: usize = 64;

/// The right to write as controller: the epoch won and the version of `/controller_epoch` that stands for it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Controller epoch.
    pub epoch: i32,
    /// Version of `/controller_epoch` after our election.
    pub version: i32,
}

impl Guard {
    fn check(self) -> Op {
        Op::Check { path: CONTROLLER_EPOCH.to_owned(), version: self.version }
    }
}

/// One conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Node.
    pub path: String,
    /// New content.
    pub data: Bytes,
    /// Version it must have; `None` for any.
    pub version: Option<i32>,
}

/// What became of a guarded transaction that failed for another reason than the guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    /// Which of the caller's operations, if one.
    pub index: Option<usize>,
    /// Why.
    pub error: StoreError,
}

/// Applies `ops`, all or none, if `guard` holds. The outer error is [`KafkaError::Deposed`]; the inner one tells which
/// operation failed, or that the outcome is unknown.
pub async fn multi(
    store: &dyn Store,
    guard: Guard,
    ops: Vec<Op>,
) -> Result<Result<Vec<OpResult>, Failed>, KafkaError> {
    if bugs::is_back(Bug::R19) {
        return Ok(store
            .multi(ops)
            .await
            .map_err(|failed| Failed { index: failed.index, error: failed.error }));
    }
    let mut all = Vec::with_capacity(ops.len() + 1);
    all.push(guard.check());
    all.extend(ops);
    match store.multi(all).await {
        Ok(mut results) => {
            results.remove(0);
            Ok(Ok(results))
        }
        Err(failed) => match failed.index {
            Some(0) => Err(KafkaError::Deposed { epoch: guard.epoch }),
            index => Ok(Err(Failed { index: index.map(|at| at - 1), error: failed.error })),
        },
    }
}

/// Writes many nodes, each on its own condition, bundled and pipelined. One result each, in order: the node's
/// [`Stat`], or why this one failed while others may have succeeded.
///
/// # Errors
/// [`KafkaError::Deposed`] as soon as the guard fails (some writes may have succeeded before).
pub async fn set_many(
    store: &dyn Store,
    guard: Guard,
    writes: &[Write],
) -> Result<Vec<Result<Stat, StoreError>>, KafkaError> {
    let mut results = Vec::with_capacity(writes.len());
    for wave in bundles(writes).chunks(MULTIS_IN_FLIGHT) {
        for bundle in join_all(wave.iter().map(|bundle| set_bundle(store, guard, bundle)).collect()).await {
            results.extend(bundle?);
        }
    }
    Ok(results)
}

fn bundles(writes: &[Write]) -> Vec<&[Write]> {
    let mut bundles = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, write) in writes.iter().enumerate() {
        let bytes = 128 + write.path.len() + write.data.len();
        if at > start && (at - start >= WRITES_PER_MULTI || size + bytes > MAX_REQUEST_BYTES - 1024) {
            bundles.push(&writes[start..at]);
            (start, size) = (at, 0);
        }
        size += bytes;
    }
    if start < writes.len() {
        bundles.push(&writes[start..]);
    }
    bundles
}

fn set_op(write: &Write) -> Op {
    Op::Set { path: write.path.clone(), data: write.data.clone(), version: write.version }
}

async fn set_bundle(
    store: &dyn Store,
    guard: Guard,
    bundle: &[Write],
) -> Result<Vec<Result<Stat, StoreError>>, KafkaError> {
    let doubtful = match multi(store, guard, bundle.iter().map(set_op).collect()).await? {
        Ok(results) => return Ok(results.into_iter().map(|result| Ok(stat_of(&result))).collect()),
        Err(failed) => failed.error.outcome_unknown(),
    };
    let one_by_one = bundle.iter().map(|write| set_one(store, guard, write, doubtful)).collect();
    join_all(one_by_one).await.into_iter().collect()
}

/// Writes one node. If an attempt's outcome is unknown, a node that then holds our bytes at the next version is our
/// own success. `doubtful`: an earlier attempt's outcome is unknown already.
async fn set_one(
    store: &dyn Store,
    guard: Guard,
    write: &Write,
    mut doubtful: bool,
) -> Result<Result<Stat, StoreError>, KafkaError> {
    loop {
        let error = match multi(store, guard, vec![set_op(write)]).await? {
            Ok(results) => return Ok(Ok(results.first().map(stat_of).unwrap_or_default())),
            Err(failed) => failed.error,
        };
        if error.outcome_unknown() {
            doubtful = true;
            tokio::time::sleep(retry::PAUSE).await;
            continue;
        }
        if let (true, StoreError::BadVersion(_), Some(version)) = (doubtful, &error, write.version) {
            let found = retry::read(|| store.get(&write.path)).await?;
            if let Some(node) =
                found.filter(|node| node.stat.version == version + 1 && node.data == write.data)
            {
                return Ok(Ok(node.stat));
            }
        }
        return Ok(Err(error));
    }
}

fn stat_of(result: &OpResult) -> Stat {
    match result {
        OpResult::Set { stat } => *stat,
        OpResult::Checked | OpResult::Created { .. } | OpResult::Deleted => Stat::default(),
    }
}

/// Creates a persistent node; existing is fine. False if it existed.
pub async fn create(store: &dyn Store, guard: Guard, path: &str, data: &[u8]) -> Result<bool, KafkaError> {
    let data = Bytes::copy_from_slice(data);
    loop {
        let op = Op::Create { path: path.to_owned(), data: data.clone(), mode: CreateMode::Persistent };
        match multi(store, guard, vec![op]).await? {
            Ok(_) => return Ok(true),
            Err(Failed { error: StoreError::NodeExists(_), .. }) => return Ok(false),
            Err(failed) if failed.error.outcome_unknown() => tokio::time::sleep(retry::PAUSE).await,
            Err(failed) => return Err(failed.error.into()),
        }
    }
}

/// Deletes nodes in the given order (children first); missing ones are fine.
pub async fn delete_all(store: &dyn Store, guard: Guard, paths: &[String]) -> Result<(), KafkaError> {
    for bundle in paths.chunks(WRITES_PER_MULTI) {
        let ops = bundle.iter().map(|path| Op::Delete { path: path.clone(), version: None }).collect();
        if multi(store, guard, ops).await?.is_ok() {
            continue;
        }
        for path in bundle {
            delete(store, guard, path).await?;
        }
    }
    Ok(())
}

/// Deletes one node; missing is fine.
pub async fn delete(store: &dyn Store, guard: Guard, path: &str) -> Result<(), KafkaError> {
    loop {
        match multi(store, guard, vec![Op::Delete { path: path.to_owned(), version: None }]).await? {
            Ok(_) | Err(Failed { error: StoreError::NoNode(_), .. }) => return Ok(()),
            Err(failed) if failed.error.outcome_unknown() => tokio::time::sleep(retry::PAUSE).await,
            Err(failed) => return Err(failed.error.into()),
        }
    }
}
