//! Moving replicas of this broker between its log directories (KIP-113; `ReplicaAlterLogDirsThread`,
//! `Partition.maybeReplaceCurrentWithFutureReplica`).
//!
//! A second, *future* log is filled from the current one and takes its place once both are equal. Equal means the same
//! end and the same leader epochs up to it: an (epoch, offset) names one record for ever, so a current log that was cut
//! and written anew meanwhile shows itself, and the future log is cut in the same place before it is filled further.
//! The last, short piece is copied under the partition's lock, so a busy partition cannot outrun its move.
//! One copy runs at a time. A restart finds the future log on disk and goes on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::partition::Partition;
use super::replica_manager::ReplicaManager;
use crate::protocol::ids::TopicPartition;
use crate::shutdown::Stop;
use crate::storage::append_error::AppendError;
use crate::storage::log::{Bound, Log};
use crate::storage::log_error::LogError;
use crate::storage::manager::ManagerError;

/// Copied at once.
const PIECE: usize = 1 << 20;
/// What may be copied while the partition stands still.
const LAST_PIECE: i64 = 64 * 1024;
/// How often unfinished moves are looked at when nothing can be copied.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// `replica.alter.log.dirs.io.max.bytes.per.second`.
const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Why a move cannot go on for now. The log that failed has told its directory's watcher.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Reading or cutting.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Appending to the future log.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Taking the place of the current log.
    #[error(transparent)]
    Replace(#[from] ManagerError),
}

/// What one step did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// So many bytes were copied; there is more.
    Copied(usize),
    /// The future log is the current one now.
    Replaced,
    /// There is no such move any more.
    Gone,
}

impl ReplicaManager {
    /// Copies one piece of the partition's move, or ends it.
    pub fn move_step(&self, partition: &Partition) -> Result<Step, MoveError> {
        let Some(future) = self.logs.get_future(&partition.tp) else { return Ok(Step::Gone) };
        let Some(current) = partition.lock().log.clone() else { return Ok(Step::Gone) };
        align(&current, &future, self)?;
        let left = current.log_end_offset() - future.log_end_offset();
        let short = left == 0 || left_bytes(&current, &future)? <= LAST_PIECE;
        if !short {
            return Ok(Step::Copied(copy(&current, &future, self)?));
        }
        let mut state = partition.lock();
        let Some(current) = state.log.clone() else { return Ok(Step::Gone) };
        align(&current, &future, self)?;
        while future.log_end_offset() < current.log_end_offset() {
            copy(&current, &future, self)?;
        }
        future.update_high_watermark(current.high_watermark());
        if !self.logs.replace_with_future(&partition.tp, self.now())? {
            return Ok(Step::Gone);
        }
        state.log = Some(future);
        drop(state);
        partition.touch();
        Ok(Step::Replaced)
    }

    /// Partitions with a role here that are being moved.
    fn moves(&self) -> Vec<Arc<Partition>> {
        let futures = self.logs.futures().into_iter();
        futures.filter_map(|tp: TopicPartition| self.partition(&tp.topic, tp.partition)).collect()
    }
}

/// Cuts the future log to where it and the current log are one, and lets it start where the current log starts.
fn align(current: &Log, future: &Log, replicas: &ReplicaManager) -> Result<(), LogError> {
    let now = replicas.now();
    while let Some(latest) = future.latest_epoch() {
        let (epoch, end) = current.end_offset_for_epoch(latest);
        let common = match epoch == latest {
            true => end,
            false => end.min(future.end_offset_for_epoch(epoch).1),
        };
        if common >= future.log_end_offset() {
            break;
        }
        if common <= future.log_start_offset() {
            future.truncate_fully_and_start_at(current.log_start_offset(), now)?;
            break;
        }
        future.truncate_to(common, now)?;
    }
    let start = current.log_start_offset();
    if future.log_end_offset() < start || future.log_end_offset() > current.log_end_offset() {
        future.truncate_fully_and_start_at(start, now)?;
    }
    future.update_high_watermark(current.high_watermark());
    if start > future.log_start_offset() {
        future.increment_log_start(start.min(future.high_watermark()), "the current log starts there")?;
    }
    Ok(())
}

/// About how many bytes the future log lacks.
fn left_bytes(current: &Log, future: &Log) -> Result<i64, LogError> {
    let slice = current.read(future.log_end_offset(), PIECE, Bound::LogEnd, true)?;
    Ok(slice.region.map_or(0, |region| region.len as i64))
}

fn copy(current: &Log, future: &Log, replicas: &ReplicaManager) -> Result<usize, MoveError> {
    let slice = current.read(future.log_end_offset(), PIECE, Bound::LogEnd, true)?;
    let Some(region) = slice.region else { return Ok(0) };
    let mut bytes = vec![0; region.len];
    match region.file.read_exact_at(&mut bytes, region.position) {
        Ok(()) => {}
        // The current log was cut beside the copy: the next step sees where.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
        Err(error) => return Err(LogError::Storage(error).into()),
    }
    let appended = future.append_as_follower(&Bytes::from(bytes), i32::MAX, replicas.now())?;
    Ok(appended.size_in_bytes)
}

/// Carries moves on until `stop`.
pub async fn run(replicas: Arc<ReplicaManager>, mut stop: Stop) {
    loop {
        let mut copied = 0;
        for partition in replicas.moves() {
            copied += carry_on(&replicas, partition).await;
        }
        let wait = match copied {
            0 => LOOK_EVERY,
            copied => pause_after(copied, replicas.configs.set_number(RATE)),
        };
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Longest pause: a rate of nothing would stop the move without a word.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

fn pause_after(bytes: usize, per_second: Option<i64>) -> Duration {
    let Some(per_second) = per_second else { return Duration::ZERO };
    Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64).min(LONGEST_PAUSE)
}

async fn carry_on(replicas: &Arc<ReplicaManager>, partition: Arc<Partition>) -> usize {
    let (working, tp) = (replicas.clone(), partition.tp.clone());
    let step = crate::blocking::run(move || working.move_step(&partition)).await;
    match step {
        Ok(Ok(Step::Copied(bytes))) => bytes.max(1),
        Ok(Ok(Step::Replaced)) => {
            tracing::info!(partition = %tp, "the replica has moved to its new log directory");
            0
        }
        Ok(Ok(Step::Gone)) => 0,
        Ok(Err(error)) => {
            tracing::warn!(partition = %tp, %error, "a move to another log directory does not get on; it is tried again");
            0
        }
        Err(error) => {
            tracing::error!(partition = %tp, %error, "a move to another log directory failed");
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_wait_for_their_rate() {
        assert_eq!(pause_after(1 << 20, Some(1 << 20)), Duration::from_secs(1));
        assert_eq!(pause_after(1 << 20, None), Duration::ZERO);
        assert_eq!(pause_after(1 << 20, Some(0)), LONGEST_PAUSE);
    }
}
