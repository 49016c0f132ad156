//! Reading for fetchers (`ReplicaManager.fetchMessages`, `readFromLog`): what each partition gives now, and waiting
//! until together they give enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fetch_session::Wanted;
use super::partition::Partition;
use super::purgatory::Waiting;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{FileRegion, Records, RegionSource};
use crate::storage::fs::File;
use crate::storage::log::LogOffsets;
use crate::storage::log::{Bound, Slice};

/// What a fetcher may see, and how much of it.
#[derive(Copy, Clone, Debug)]
pub struct Params {
    /// Up to where it may read.
    pub bound: Bound,
    /// Answer when so many bytes are there ...
    pub min_bytes: i32,
    /// ... or so much time has passed.
    pub max_wait: Duration,
    /// At most so many bytes in all.
    pub max_bytes: i32,
    /// Versions 0 to 2: the limits cut batches instead of letting the first one pass whole.
    pub hard_limit: bool,
    /// Consumers below version 11 must ask the leader.
    pub leader_only: bool,
}

/// One partition to read.
#[derive(Clone)]
pub struct Target {
    /// As asked.
    pub wanted: Wanted,
    /// The partition, or why there is none.
    pub partition: Result<Arc<Partition>, ErrorCode>,
}

/// What one partition gives.
pub enum Outcome {
    /// Records, perhaps none.
    Read(Slice),
    /// The fetcher's log has left the leader's: it must cut its own at this epoch's end (KIP-595).
    Diverging {
        /// Largest epoch not above the fetcher's.
        epoch: i32,
        /// Where it ends.
        end_offset: i64,
        /// Offsets for the answer.
        offsets: LogOffsets,
    },
    /// Refused.
    Failed(ErrorCode),
}

/// An open segment as the wire layer sees it.
struct OpenSegment(Arc<dyn File>);

impl RegionSource for OpenSegment {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }

    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.fd()
    }
}

/// The records of a slice, still in their file.
pub fn records_of(slice: Slice) -> Records {
    match slice.region {
        None => Records::default(),
        Some(region) => Records::from(FileRegion {
            source: Arc::new(OpenSegment(region.file)),
            position: region.position,
            len: region.len,
        }),
    }
}

/// Bytes that are sent for a partition.
fn bytes_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Read(slice) => slice.region.as_ref().map_or(0, |region| region.len),
        _ => 0,
    }
}

fn settles(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Read(_))
}

/// Reads every target once, in order: the first that gives anything may exceed the limits by one batch.
pub fn read(params: &Params, targets: &[Target]) -> Vec<Outcome> {
    let mut left = params.max_bytes.max(0) as usize;
    let mut may_exceed = !params.hard_limit;
    let mut outcomes = Vec::with_capacity(targets.len());
    for target in targets {
        let limit = left.min(target.wanted.max_bytes.max(0) as usize);
        let outcome = read_one(params, target, limit, may_exceed);
        let bytes = bytes_of(&outcome);
        may_exceed &= bytes == 0;
        left = left.saturating_sub(bytes);
        outcomes.push(outcome);
    }
    outcomes
}

fn read_one(params: &Params, target: &Target, limit: usize, may_exceed: bool) -> Outcome {
    let partition = match &target.partition {
        Ok(partition) => partition,
        Err(code) => return Outcome::Failed(*code),
    };
    let wanted = &target.wanted;
    let log = match params.leader_only {
        true => partition.leader_log(wanted.current_leader_epoch),
        false => partition.any_log(wanted.current_leader_epoch),
    };
    let log = match log {
        Ok(log) => log,
        Err(code) => return Outcome::Failed(code),
    };
    if wanted.last_fetched_epoch >= 0 {
        let (epoch, end_offset) = log.end_offset_for_epoch(wanted.last_fetched_epoch);
        if end_offset < 0 {
            return Outcome::Failed(ErrorCode::OffsetOutOfRange);
        }
        if epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset {
            return Outcome::Diverging { epoch, end_offset, offsets: log.offsets() };
        }
    }
    match log.read(wanted.fetch_offset, limit, params.bound, may_exceed) {
        Ok(slice) => Outcome::Read(slice),
        Err(error) => Outcome::Failed(error.code()),
    }
}

/// Whether the answer can go now: enough bytes, nothing to wait for, or something the fetcher must know.
pub fn is_enough(params: &Params, outcomes: &[Outcome]) -> bool {
    let bytes: usize = outcomes.iter().map(bytes_of).sum();
    params.max_wait.is_zero()
        || outcomes.is_empty()
        || bytes >= params.min_bytes.max(0) as usize
        || outcomes.iter().any(settles)
}

/// Waits until the targets give `min_bytes` together, something changes that the fetcher must know, or the time is
/// up; then what they give.
pub async fn until_readable(params: Params, targets: Vec<Target>) -> (Vec<Target>, Vec<Outcome>) {
    let deadline = Instant::now() + params.max_wait;
    let partitions = targets.iter().filter_map(|target| target.partition.clone().ok()).collect();
    let waiting = Waiting::on(partitions);
    loop {
        let outcomes = read(&params, &targets);
        if is_enough(&params, &outcomes) {
            return (targets, outcomes);
        }
        drop(outcomes);
        if tokio::time::timeout_at(deadline, waiting.touched()).await.is_err() {
            let outcomes = read(&params, &targets);
            return (targets, outcomes);
        }
    }
}
