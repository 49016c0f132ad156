//! Producer state of one partition: who wrote what last, and which transactions are open
//! (`ProducerStateManager`, `ProducerAppendInfo`; KIP-98, KIP-360).
//!
//! Pure: no files, no clock. Per producer id: epochs, the last five batches (to answer repeated ones), the
//! start of its open transaction. The order for each batch is [`ProducerState::admit`], the append to the
//! log, then [`ProducerState::apply`]: a batch that could not be written has changed nothing. `apply` is also
//! how a log replays itself. Transactions drive the first unstable offset: open ones, and completed ones
//! whose marker is not yet below the high watermark.
//! Knows nothing of verification (KIP-890) or of the transaction coordinator.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;

/// Batches remembered per producer.
const RETAINED: usize = 5;
/// "None" for epochs, sequences and offsets.
const NONE: i64 = -1;
/// A transaction this much older than the longest allowed one hangs (`LATE_TRANSACTION_BUFFER_MS`).
const LATE_TRANSACTION_BUFFER_MS: i64 = 5 * 60 * 1000;

/// Who appends; decides how much is checked (`AppendOrigin`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client's Produce: everything is checked.
    Client,
    /// A coordinator of this broker: its records carry no sequence, epochs are checked.
    Coordinator,
    /// A follower's fetch, or the log itself when loading: the leader has checked, nothing is refused.
    Replication,
}

/// The end of a transaction, from the record of a control batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct EndMarker {
    /// Commit or abort.
    pub commit: bool,
    /// Epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
}

/// What producer state needs to know of a batch. Only batches with a producer id (>= 0) belong here, and of
/// control batches only those that hold a transaction marker (the cleaner may empty one).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BatchInfo {
    /// Producer id.
    pub producer_id: i64,
    /// Producer epoch.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1 in markers and in batches of coordinators.
    pub base_sequence: i32,
    /// Sequence of the last record, wrapped at 2^31.
    pub last_sequence: i32,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Largest timestamp, milliseconds since the epoch; of a marker its record's.
    pub max_timestamp: i64,
    /// The transactional bit.
    pub is_transactional: bool,
    /// The marker, in a control batch.
    pub control: Option<EndMarker>,
}

/// A batch may be appended, or need not be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Admit {
    /// Append it.
    New,
    /// It is in the log already: answer with these, append nothing.
    Duplicate {
        /// Offset its first record got.
        base_offset: i64,
        /// Offset its last record got.
        last_offset: i64,
        /// Its largest timestamp.
        timestamp: i64,
    },
}

/// Why a batch is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProducerError {
    /// An older incarnation of the producer writes.
    #[error("epoch {epoch} of producer {producer_id} is below its current epoch {current}")]
    InvalidProducerEpoch {
        /// Whose batch.
        producer_id: i64,
        /// The batch's epoch.
        epoch: i16,
        /// The known epoch.
        current: i16,
    },
    /// A batch is missing before this one, or a new epoch does not start at 0.
    #[error("sequence {sequence} of producer {producer_id} (epoch {epoch}) does not follow {last}")]
    OutOfOrderSequence {
        /// Whose batch.
        producer_id: i64,
        /// The batch's epoch.
        epoch: i16,
        /// The batch's first sequence.
        sequence: i32,
        /// Last known sequence; -1 when the epoch has none.
        last: i32,
    },
    /// A plain batch within the producer's open transaction.
    #[error(
        "producer {producer_id} has a transaction open since offset {first_offset}: batch not transactional"
    )]
    InvalidTxnState {
        /// Whose batch.
        producer_id: i64,
        /// Where its transaction starts.
        first_offset: i64,
    },
    /// A marker of a coordinator that has been replaced.
    #[error("coordinator epoch {epoch} of a marker for producer {producer_id} is below the known {current}")]
    TransactionCoordinatorFenced {
        /// Whose transaction.
        producer_id: i64,
        /// The marker's coordinator epoch.
        epoch: i32,
        /// The known coordinator epoch.
        current: i32,
    },
}

impl ProducerError {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            ProducerError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            ProducerError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            ProducerError::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            ProducerError::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

/// A transaction that [`ProducerState::apply`] saw end.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CompletedTxn {
    /// Whose it was.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: i64,
    /// Offset of its marker.
    pub last_offset: i64,
    /// Whether it was aborted; then it belongs in the transaction index.
    pub is_aborted: bool,
    /// The last stable offset once the marker is committed.
    pub last_stable_offset: i64,
}

/// One producer, as snapshots hold it and DescribeProducers shows it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProducerEntry {
    /// Producer id.
    pub producer_id: i64,
    /// Producer epoch; -1 before the first batch.
    pub producer_epoch: i16,
    /// Last sequence of its last data batch; -1 when none is retained.
    pub last_sequence: i32,
    /// Last offset of that batch; -1 when none is retained.
    pub last_offset: i64,
    /// That batch's number of offsets, less one.
    pub offset_delta: i32,
    /// Timestamp of its last batch or marker, milliseconds since the epoch.
    pub timestamp: i64,
    /// Epoch of the coordinator of its last marker; -1 before the first.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction; -1 when none is open.
    pub current_txn_first_offset: i64,
}

/// What is remembered of an appended batch.
#[derive(Copy, Clone, Default)]
struct Retained {
    last_sequence: i32,
    offset_delta: i32,
    last_offset: i64,
    timestamp: i64,
}

impl Retained {
    /// The first sequence, which wraps below 0 to 2^31 - 1.
    fn first_sequence(&self) -> i32 {
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }
}

struct Producer {
    epoch: i16,
    coordinator_epoch: i32,
    last_timestamp: i64,
    /// First offset of the open transaction, or -1.
    txn_first_offset: i64,
    /// The first `retained` are set, oldest first.
    batches: [Retained; RETAINED],
    retained: u8,
}

impl Producer {
    fn new() -> Producer {
        let batches = [Retained::default(); RETAINED];
        Producer {
            epoch: NONE as i16,
            coordinator_epoch: NONE as i32,
            last_timestamp: NONE,
            txn_first_offset: NONE,
            batches,
            retained: 0,
        }
    }

    fn batches(&self) -> &[Retained] {
        &self.batches[..usize::from(self.retained)]
    }

    /// A changed epoch forgets the batches.
    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.retained = 0;
        }
    }

    fn retain(&mut self, batch: Retained) {
        if usize::from(self.retained) == RETAINED {
            self.batches.rotate_left(1);
            self.batches[RETAINED - 1] = batch;
        } else {
            self.batches[usize::from(self.retained)] = batch;
            self.retained += 1;
        }
    }

    fn entry(&self, producer_id: i64) -> ProducerEntry {
        let last = self.batches().last();
        ProducerEntry {
            producer_id,
            producer_epoch: self.epoch,
            last_sequence: last.map_or(NONE as i32, |batch| batch.last_sequence),
            last_offset: last.map_or(NONE, |batch| batch.last_offset),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_first_offset: self.txn_first_offset,
        }
    }

    fn from_entry(entry: &ProducerEntry) -> Producer {
        let mut producer = Producer::new();
        producer.epoch = entry.producer_epoch;
        producer.coordinator_epoch = entry.coordinator_epoch;
        producer.last_timestamp = entry.timestamp;
        producer.txn_first_offset = entry.current_txn_first_offset.max(NONE);
        if entry.last_offset >= 0 {
            producer.retain(Retained {
                last_sequence: entry.last_sequence,
                offset_delta: entry.offset_delta,
                last_offset: entry.last_offset,
                timestamp: entry.timestamp,
            });
        }
        producer
    }

    fn is_expired(&self, now: Timestamp, expiration_ms: i64) -> bool {
        self.txn_first_offset == NONE && now.since_ms(Timestamp(self.last_timestamp)) >= expiration_ms
    }
}

/// See the module. An idle one (no producers) allocates nothing.
#[derive(Default)]
pub struct ProducerState {
    producers: BTreeMap<i64, Box<Producer>>,
    /// Open transactions: first offset -> producer id.
    ongoing: BTreeMap<i64, i64>,
    /// Completed transactions whose marker may be above the high watermark: first offset -> marker's offset.
    unreplicated: BTreeMap<i64, i64>,
    end_offset: i64,
    snapshot_offset: i64,
}

impl ProducerState {
    /// No producers, at offset 0.
    pub fn new() -> ProducerState {
        ProducerState::default()
    }

    /// The state a snapshot taken at `offset` stands for, without the producers expired since
    /// (`loadFromSnapshot`).
    pub fn from_snapshot(
        entries: &[ProducerEntry],
        offset: i64,
        now: Timestamp,
        expiration_ms: i64,
    ) -> ProducerState {
        let mut state = ProducerState::starting_at(offset);
        for entry in entries {
            let producer = Producer::from_entry(entry);
            if producer.is_expired(now, expiration_ms) {
                continue;
            }
            if producer.txn_first_offset != NONE {
                state.ongoing.insert(producer.txn_first_offset, entry.producer_id);
            }
            state.producers.insert(entry.producer_id, Box::new(producer));
        }
        state
    }

    /// No producers, at `offset`: a log that starts there, or was truncated fully.
    pub fn starting_at(offset: i64) -> ProducerState {
        ProducerState { end_offset: offset, snapshot_offset: offset, ..ProducerState::default() }
    }

    /// Whether a batch may be appended; changes nothing. Batches of one producer are to be admitted and applied
    /// one after another.
    pub fn admit(&self, origin: Origin, batch: &BatchInfo) -> Result<Admit, ProducerError> {
        let Some(producer) = self.producers.get(&batch.producer_id) else { return Ok(Admit::New) };
        if origin == Origin::Replication {
            return Ok(Admit::New);
        }
        let producer_id = batch.producer_id;
        if origin == Origin::Client
            && let Some(duplicate) = find_duplicate(producer, batch)
        {
            return Ok(duplicate);
        }
        if batch.producer_epoch < producer.epoch {
            let (epoch, current) = (batch.producer_epoch, producer.epoch);
            return Err(ProducerError::InvalidProducerEpoch { producer_id, epoch, current });
        }
        if let Some(marker) = batch.control {
            if marker.coordinator_epoch < producer.coordinator_epoch {
                let (epoch, current) = (marker.coordinator_epoch, producer.coordinator_epoch);
                return Err(ProducerError::TransactionCoordinatorFenced { producer_id, epoch, current });
            }
            return Ok(Admit::New);
        }
        if origin == Origin::Client {
            check_sequence(producer, batch)?;
        }
        if producer.txn_first_offset != NONE && !batch.is_transactional {
            let first_offset = producer.txn_first_offset;
            return Err(ProducerError::InvalidTxnState { producer_id, first_offset });
        }
        Ok(Admit::New)
    }

    /// Takes note of a batch that is in the log. Gives the transaction a marker ended; an aborted one belongs in
    /// the transaction index. A marker without open transaction only updates epochs.
    pub fn apply(&mut self, batch: &BatchInfo) -> Option<CompletedTxn> {
        let producer_id = batch.producer_id;
        let producer = self.producers.entry(producer_id).or_insert_with(|| Box::new(Producer::new()));
        producer.set_epoch(batch.producer_epoch);
        producer.last_timestamp = batch.max_timestamp;
        let Some(marker) = batch.control else {
            producer.retain(Retained {
                last_sequence: batch.last_sequence,
                offset_delta: batch.last_offset.wrapping_sub(batch.base_offset) as i32,
                last_offset: batch.last_offset,
                timestamp: batch.max_timestamp,
            });
            if batch.is_transactional && producer.txn_first_offset == NONE {
                producer.txn_first_offset = batch.base_offset;
                self.ongoing.insert(batch.base_offset, producer_id);
            }
            return None;
        };
        producer.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = std::mem::replace(&mut producer.txn_first_offset, NONE);
        if first_offset == NONE {
            return None;
        }
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, batch.base_offset);
        let next_open = self.ongoing.keys().next().copied();
        Some(CompletedTxn {
            producer_id,
            first_offset,
            last_offset: batch.base_offset,
            is_aborted: !marker.commit,
            last_stable_offset: next_open.unwrap_or(batch.base_offset.saturating_add(1)),
        })
    }

    /// First offset of a transaction that is open, or whose marker is not below the high watermark.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let open = self.first_undecided_offset();
        let unreplicated = self.unreplicated.keys().next().copied();
        open.into_iter().chain(unreplicated).min()
    }

    /// First offset of an open transaction.
    pub fn first_undecided_offset(&self) -> Option<i64> {
        self.ongoing.keys().next().copied()
    }

    /// Below this no open transaction has records: where read_committed readers stop.
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        self.first_unstable_offset().map_or(high_watermark, |offset| offset.min(high_watermark))
    }

    /// The high watermark rose: transactions with a marker below it are stable.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker| *marker >= high_watermark);
        }
    }

    /// The log start offset rose. `snapshot_offset` is that of the newest snapshot left, if any.
    pub fn on_log_start_offset(&mut self, log_start_offset: i64, snapshot_offset: Option<i64>) {
        self.on_high_watermark(log_start_offset);
        self.end_offset = self.end_offset.max(log_start_offset);
        self.snapshot_offset = snapshot_offset.unwrap_or(log_start_offset);
    }

    /// Forgets producers idle for `expiration_ms` by their own timestamps; open transactions never expire.
    /// Gives the number forgotten.
    pub fn remove_expired(&mut self, now: Timestamp, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, producer| !producer.is_expired(now, expiration_ms));
        before - self.producers.len()
    }

    /// Offset up to which batches were applied (exclusive).
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Batches up to `end_offset` (exclusive) were applied, or have no producer id.
    pub fn set_end_offset(&mut self, end_offset: i64) {
        self.end_offset = end_offset;
    }

    /// Whether the state is beyond the last snapshot, so that another one is worth its bytes.
    pub fn needs_snapshot(&self) -> bool {
        self.end_offset > self.snapshot_offset
    }

    /// A snapshot of the present state was written.
    pub fn snapshot_taken(&mut self) {
        self.snapshot_offset = self.end_offset;
    }

    /// Every producer, by id: for a snapshot, and for DescribeProducers.
    pub fn active_producers(&self) -> impl ExactSizeIterator<Item = ProducerEntry> {
        self.producers.iter().map(|(producer_id, producer)| producer.entry(*producer_id))
    }

    /// What is known of a producer.
    pub fn producer(&self, producer_id: i64) -> Option<ProducerEntry> {
        self.producers.get(&producer_id).map(|producer| producer.entry(producer_id))
    }

    /// Whether the producer has a transaction open here.
    pub fn has_open_transaction(&self, producer_id: i64) -> bool {
        self.producers.get(&producer_id).is_some_and(|producer| producer.txn_first_offset != NONE)
    }

    /// Whether the oldest open transaction should have timed out long ago (`hasLateTransaction`).
    pub fn has_late_transaction(&self, now: Timestamp, max_transaction_timeout_ms: i64) -> bool {
        let oldest = self.ongoing.values().next().and_then(|id| self.producers.get(id));
        let limit = max_transaction_timeout_ms.saturating_add(LATE_TRANSACTION_BUFFER_MS);
        oldest.is_some_and(|producer| {
            let last = producer.last_timestamp;
            last > 0 && now.since_ms(Timestamp(last)) > limit
        })
    }

    /// Whether nothing is known of any producer.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated.is_empty()
    }
}

/// The batch with the same epoch and the same sequences, if it is still remembered.
fn find_duplicate(producer: &Producer, batch: &BatchInfo) -> Option<Admit> {
    if batch.producer_epoch != producer.epoch || batch.control.is_some() {
        return None;
    }
    let same = |known: &&Retained| {
        known.last_sequence == batch.last_sequence && known.first_sequence() == batch.base_sequence
    };
    // The newest first: an older one may be of a tail that the leader never had and that its log start has passed since.
    producer.batches().iter().rfind(same).map(|known| Admit::Duplicate {
        base_offset: known.last_offset.saturating_sub(known.offset_delta.into()),
        last_offset: known.last_offset,
        timestamp: known.timestamp,
    })
}

/// A known epoch continues its sequence; a new one starts at 0, unless no epoch was known.
fn check_sequence(producer: &Producer, batch: &BatchInfo) -> Result<(), ProducerError> {
    if producer.epoch == NONE as i16 {
        return Ok(());
    }
    let is_new = batch.producer_epoch != producer.epoch;
    let known = if is_new { None } else { producer.batches().last() };
    let last = known.map_or(NONE as i32, |known| known.last_sequence);
    if batch.base_sequence == last.wrapping_add(1) & i32::MAX {
        return Ok(());
    }
    let (producer_id, epoch, sequence) = (batch.producer_id, batch.producer_epoch, batch.base_sequence);
    Err(ProducerError::OutOfOrderSequence { producer_id, epoch, sequence, last })
}

#[cfg(test)]
mod tests;
