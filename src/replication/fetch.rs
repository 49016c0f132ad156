//! Reading for fetchers (`ReplicaManager.fetchMessages`, `readFromLog`): what each partition gives now, and waiting
//! until together they give enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fetch_session::Wanted;
use super::partition::Partition;
use super::purgatory::Waiting;
use super::throttle::Throttles;
use crate::bugs::{self, Bug};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{FileRegion, Records, RegionSource};
use crate::storage::fs::File;
use crate::storage::log::LogOffsets;
use crate::storage::log::{Bound, Slice};

/// What a fetcher may see, and how much of it.
#[derive(Clone, Debug)]
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
    /// The follower that asks: what it fetches tells how far it is.
    pub follower: Option<Follower>,
    /// Where the consumer is, if this broker may send it to a nearer replica (KIP-392).
    pub near: Option<Near>,
}

/// A follower, and what may be sent to it.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Its broker id.
    pub id: i32,
    /// This broker's quota for what it sends to replicas that are not in sync (KIP-73).
    pub throttle: Arc<Throttles>,
}

/// Where a consumer is.
#[derive(Clone, Debug)]
pub struct Near {
    /// Its `client.rack`.
    pub rack: Arc<str>,
    /// The listener it came in on: a replica without it cannot serve it.
    pub listener: Arc<str>,
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
    /// A replica nearer to the consumer has it: nothing is read here.
    Elsewhere {
        /// Its broker.
        replica: i32,
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

/// Reads every target for the first time: what a follower asks for tells how far it is.
pub fn read(params: &Params, targets: &[Target]) -> Vec<Outcome> {
    read_all(params, targets, true)
}

/// Reads every target once, in order: the first that gives anything may exceed the limits by one batch.
fn read_all(params: &Params, targets: &[Target], is_first: bool) -> Vec<Outcome> {
    let mut left = params.max_bytes.max(0) as usize;
    let mut may_exceed = !params.hard_limit;
    let mut outcomes = Vec::with_capacity(targets.len());
    for target in targets {
        let limit = left.min(target.wanted.max_bytes.max(0) as usize);
        let mut outcome = read_one(params, target, limit, may_exceed);
        if let (true, Some(follower), Outcome::Read(slice), Ok(partition)) =
            (is_first, &params.follower, &mut outcome, &target.partition)
        {
            match note_fetch(partition, follower.id, &target.wanted, slice) {
                Ok(mark) => slice.high_watermark = mark,
                Err(code) => outcome = Outcome::Failed(code),
            }
        }
        let bytes = bytes_of(&outcome);
        may_exceed &= bytes == 0;
        left = left.saturating_sub(bytes);
        outcomes.push(outcome);
    }
    outcomes
}

/// Tells the leader how far its follower is; gives the high watermark, which may have moved by it.
fn note_fetch(partition: &Partition, id: i32, wanted: &Wanted, slice: &Slice) -> Result<i64, ErrorCode> {
    let own = (wanted.fetch_offset, wanted.log_start_offset);
    partition.on_follower_fetch(id, wanted.current_leader_epoch, own, slice.log_end_offset)?;
    let log = partition.leader_log(wanted.current_leader_epoch)?;
    Ok(log.high_watermark())
}

fn read_one(params: &Params, target: &Target, limit: usize, may_exceed: bool) -> Outcome {
    let partition = match &target.partition {
        Ok(partition) => partition,
        Err(code) => return Outcome::Failed(*code),
    };
    let wanted = &target.wanted;
    let log = match (&params.follower, params.leader_only) {
        (Some(follower), _) => partition.log_for_follower(follower.id, wanted.current_leader_epoch),
        (None, true) => partition.leader_log(wanted.current_leader_epoch),
        (None, false) => partition.any_log(wanted.current_leader_epoch),
    };
    let log = match log {
        Ok(log) => log,
        Err(code) => return Outcome::Failed(code),
    };
    if let Some(near) = &params.near
        && let Some(replica) = partition.nearer_replica(near, wanted.fetch_offset)
    {
        return Outcome::Elsewhere { replica, offsets: log.offsets() };
    }
    if wanted.last_fetched_epoch >= 0 && !bugs::is_back(Bug::R2) {
        let (epoch, end_offset) = log.end_offset_for_epoch(wanted.last_fetched_epoch);
        if end_offset < 0 {
            return Outcome::Failed(ErrorCode::OffsetOutOfRange);
        }
        let knows_less = epoch < wanted.last_fetched_epoch && !bugs::is_back(Bug::R3);
        if knows_less || end_offset < wanted.fetch_offset {
            return Outcome::Diverging { epoch, end_offset, offsets: log.offsets() };
        }
    }
    let (limit, may_exceed) = match &params.follower {
        Some(follower) if holds_back(partition, follower) => (0, false),
        _ => (limit, may_exceed),
    };
    match log.read(wanted.fetch_offset, limit, params.bound, may_exceed) {
        // The front of a batch is of use to nobody: from version 3 on a partition gives whole batches or none.
        Ok(slice) if slice.first_batch_is_cut && !params.hard_limit => {
            Outcome::Read(Slice { region: None, aborted: slice.aborted.map(|_| Vec::new()), ..slice })
        }
        Ok(slice) => Outcome::Read(slice),
        Err(error) => Outcome::Failed(error.code()),
    }
}

fn holds_back(partition: &Partition, follower: &Follower) -> bool {
    let leader = &follower.throttle.leader;
    // Most partitions are not listed, and need no second look.
    leader.is_throttled(&partition.tp)
        && leader.holds_back(partition.steady_now(), &partition.tp, partition.is_in_sync(follower.id))
}

/// Counts what is sent to a follower against the quota.
pub fn count_sent(params: &Params, targets: &[Target], outcomes: &[Outcome]) {
    let Some(follower) = &params.follower else { return };
    let leader = &follower.throttle.leader;
    for (target, outcome) in targets.iter().zip(outcomes) {
        if let Ok(partition) = &target.partition {
            leader.record(partition.steady_now(), &partition.tp, bytes_of(outcome));
        }
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
pub async fn until_readable(params: &Params, targets: Vec<Target>) -> (Vec<Target>, Vec<Outcome>) {
    let deadline = Instant::now() + params.max_wait;
    let partitions = targets.iter().filter_map(|target| target.partition.clone().ok()).collect();
    let waiting = Waiting::on(partitions);
    loop {
        let outcomes = read_all(params, &targets, false);
        if is_enough(params, &outcomes) {
            return (targets, outcomes);
        }
        drop(outcomes);
        if tokio::time::timeout_at(deadline, waiting.touched()).await.is_err() {
            let outcomes = read_all(params, &targets, false);
            return (targets, outcomes);
        }
    }
}
