//! Appending: as the leader, which gives offsets, and as a follower, which takes them.

use std::io::IoSlice;

use bytes::Bytes;

use super::recent::RecentBatch;
use super::{Log, State};
use crate::clock::Timestamp;
use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::{HEADER_SIZE, TimestampType};
use crate::protocol::records::view::{BatchView, batches};
use crate::storage::append_error::AppendError;
use crate::storage::log_config::LogConfig;
use crate::storage::log_error::LogError;
use crate::storage::producer_batch::producer_batch;
use crate::storage::producer_state::{Admit, BatchInfo, Origin, ProducerError};
use crate::storage::segment::{Chunk, WriteFault};
use crate::storage::txn_index::AbortedTxn;
use crate::storage::validate::{self, CheckedRecords};

/// What an append did (`LogAppendInfo`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AppendInfo {
    /// Offset of the first record, -1 if there was none.
    pub first_offset: i64,
    /// Offset of the last record, one below the log end if there was none.
    pub last_offset: i64,
    /// The append time, in `LogAppendTime` topics; else -1.
    pub log_append_time: i64,
    /// Largest timestamp, -1 none.
    pub max_timestamp: i64,
    /// Log start offset at the append.
    pub log_start_offset: i64,
    /// Log end offset after the append.
    pub log_end_offset: i64,
    /// The records were in the log already: nothing was appended, the offsets are the earlier ones.
    pub is_duplicate: bool,
    /// Records appended.
    pub record_count: i64,
    /// Bytes appended.
    pub size_in_bytes: usize,
    /// Batches that had to be written anew in another codec or format.
    pub reencoded: usize,
    /// A new segment was begun.
    pub rolled: bool,
}

/// One batch about to be written.
struct Incoming {
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
    /// -1 in old formats.
    leader_epoch: i32,
    size: usize,
    record_count: i64,
    producer: Option<BatchInfo>,
}

impl Log {
    /// Appends client batches, back to back in `records`, giving them offsets. Checks everything first; an error
    /// means nothing was appended.
    pub fn append_as_leader(
        &self,
        records: &Bytes,
        leader_epoch: i32,
        origin: Origin,
        now: Timestamp,
    ) -> Result<AppendInfo, AppendError> {
        let checked = validate::check(records, &self.config.load(), origin, now)?;
        self.append_checked(checked, leader_epoch, origin)
    }

    /// Appends batches that [`validate::check`] has passed: the part that needs the log's lock.
    pub fn append_checked(
        &self,
        mut checked: CheckedRecords,
        leader_epoch: i32,
        origin: Origin,
    ) -> Result<AppendInfo, AppendError> {
        let config = self.config.load_full();
        if checked.size_in_bytes > config.segment_bytes as usize {
            let (size, limit) = (checked.size_in_bytes, config.segment_bytes);
            return Err(AppendError::LargerThanSegment { size, limit });
        }
        let mut state = self.lock_open()?;
        let mut next = state.log_end_offset;
        let mut headers = vec![[0; HEADER_SIZE]; checked.batches.len()];
        let mut incoming = Vec::with_capacity(checked.batches.len());
        for (batch, bytes) in checked.batches.iter_mut().zip(&mut headers) {
            let size = batch.size_in_bytes();
            let header = &mut batch.header;
            header.base_offset = next;
            header.partition_leader_epoch = leader_epoch;
            header.write(bytes);
            next = header.next_offset();
            incoming.push(Incoming {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                max_timestamp: header.max_timestamp,
                leader_epoch,
                size,
                record_count: i64::from(header.record_count),
                producer: producer_batch(header, &batch.body)?,
            });
        }
        let bodies = checked.batches.iter().map(|batch| &batch.body);
        let slices: Vec<IoSlice<'_>> = headers
            .iter()
            .zip(bodies)
            .flat_map(|(head, body)| [IoSlice::new(head), IoSlice::new(body)])
            .collect();
        let mut info = state.empty_info();
        if checked.timestamp_type == TimestampType::LogAppendTime {
            info.log_append_time = checked.now.0;
        }
        info.reencoded = checked.reencoded;
        self.append_chunk(&mut state, &config, &incoming, &slices, origin, checked.now, &mut info)?;
        drop(state);
        self.flush_if_due(&config, checked.now)?;
        Ok(info)
    }

    /// Appends what a leader sent, offsets as they are. A cut batch at the end is left out, as fetch answers may
    /// end in one; and so is what follows a batch of a later epoch than the follower asked in: the leader's log may
    /// have been cut and written anew under the answer (KAFKA-18723).
    pub fn append_as_follower(
        &self,
        records: &Bytes,
        leader_epoch: i32,
        now: Timestamp,
    ) -> Result<AppendInfo, AppendError> {
        let config = self.config.load_full();
        let mut incoming = Vec::new();
        let mut previous = i64::MIN;
        for view in batches(records) {
            let view = match view {
                Ok(view) => view,
                Err(RecordsError::Truncated { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            if view.partition_leader_epoch() > leader_epoch {
                break;
            }
            view.verify_crc()?;
            let (offset, last) = (view.base_offset(), view.last_offset());
            if offset <= previous || last < offset {
                return Err(AppendError::OffsetsNotRising { offset, previous });
            }
            previous = last;
            incoming.push(Incoming::followed(&view)?);
        }
        let mut state = self.lock_open()?;
        let mut info = state.empty_info();
        if let Some(first) = incoming.first().filter(|first| first.base_offset < state.log_end_offset) {
            return Err(AppendError::UnexpectedOffset {
                first: first.base_offset,
                last: previous,
                log_end_offset: state.log_end_offset,
            });
        }
        // The leader's segments may be larger than ours: what does not fit one append becomes several.
        let mut rest = &incoming[..];
        let mut from = 0;
        while !rest.is_empty() {
            let count = fitting(rest, config.segment_bytes as usize);
            let (chunk, later) = rest.split_at(count);
            let size: usize = chunk.iter().map(|batch| batch.size).sum();
            let slices = [IoSlice::new(&records[from..from + size])];
            let origin = Origin::Replication;
            self.append_chunk(&mut state, &config, chunk, &slices, origin, now, &mut info)?;
            (rest, from) = (later, from + size);
        }
        drop(state);
        self.flush_if_due(&config, now)?;
        Ok(info)
    }

    /// Writes a chunk, and remembers whether there was room for it.
    #[allow(clippy::too_many_arguments)]
    fn append_chunk(
        &self,
        state: &mut State,
        config: &LogConfig,
        incoming: &[Incoming],
        slices: &[IoSlice<'_>],
        origin: Origin,
        now: Timestamp,
        info: &mut AppendInfo,
    ) -> Result<(), AppendError> {
        let written = self.write_chunk(state, config, incoming, slices, origin, now, info);
        match &written {
            Ok(()) if info.is_duplicate => {}
            Ok(()) => state.is_full = false,
            Err(AppendError::Log(LogError::NoSpace(_))) => state.is_full = true,
            Err(_) => {}
        }
        written
    }

    /// Admits, writes with one write, and applies.
    #[allow(clippy::too_many_arguments)]
    fn write_chunk(
        &self,
        state: &mut State,
        config: &LogConfig,
        incoming: &[Incoming],
        slices: &[IoSlice<'_>],
        origin: Origin,
        now: Timestamp,
        info: &mut AppendInfo,
    ) -> Result<(), AppendError> {
        let (Some(first), Some(last)) = (incoming.first(), incoming.last()) else { return Ok(()) };
        for batch in incoming.iter().filter_map(|batch| batch.producer.as_ref()) {
            let admitted = match state.producers.admit(origin, batch) {
                // The batch before it found no room and will be sent again; this one only comes too early. Told that it
                // is out of order, librdkafka would begin a new epoch and send again what other logs have already.
                Err(ProducerError::OutOfOrderSequence { .. }) if state.is_full => {
                    return Err(LogError::NoSpace(std::io::ErrorKind::StorageFull.into()).into());
                }
                admitted => admitted?,
            };
            if let Admit::Duplicate { base_offset, last_offset, timestamp } = admitted {
                info.set_duplicate(base_offset, last_offset, timestamp);
                return Ok(());
            }
        }
        for batch in incoming.iter().filter(|batch| batch.leader_epoch >= 0) {
            state.epochs.assign(batch.leader_epoch, batch.base_offset).map_err(|e| state.write_failed(e))?;
        }
        let (mut max_timestamp, mut offset_of_max_timestamp) = (-1, last.last_offset);
        for batch in incoming.iter().filter(|batch| batch.max_timestamp >= 0) {
            if batch.max_timestamp > max_timestamp {
                (max_timestamp, offset_of_max_timestamp) = (batch.max_timestamp, batch.last_offset);
            }
        }
        let chunk = Chunk {
            size: incoming.iter().map(|batch| batch.size as u64).sum(),
            first_offset: first.base_offset,
            last_offset: last.last_offset,
            max_timestamp,
            offset_of_max_timestamp,
        };
        let must_roll = state.active().should_roll(&chunk, config, state.jitter_ms, now);
        if must_roll.map_err(|e| state.write_failed(e))? {
            let base = chunk.first_offset.max(state.log_end_offset);
            self.roll_to(state, base, config, now).map_err(|e| state.write_failed(e))?;
            info.rolled = true;
        }
        let position = match state.active().append(slices, &chunk, config.index_interval_bytes) {
            Ok(position) => position,
            Err(WriteFault::NoSpace(error)) => return Err(LogError::NoSpace(error).into()),
            Err(WriteFault::Broken(error)) => return Err(state.fence(error).into()),
        };
        state.log_end_offset = chunk.last_offset.saturating_add(1);
        state.note_appended(incoming, position)?;
        info.add(incoming, &chunk);
        info.log_end_offset = state.log_end_offset;
        Ok(())
    }
}

impl Incoming {
    fn followed(view: &BatchView<'_>) -> Result<Incoming, RecordsError> {
        let producer = match view.v2() {
            Some(header) => producer_batch(header, &view.bytes()[HEADER_SIZE..])?,
            None => None,
        };
        Ok(Incoming {
            base_offset: view.base_offset(),
            last_offset: view.last_offset(),
            max_timestamp: view.max_timestamp(),
            leader_epoch: view.partition_leader_epoch(),
            size: view.size_in_bytes(),
            record_count: view.record_count().map_or(0, i64::from),
            producer,
        })
    }
}

/// How many batches from the front make one append of at most `limit` bytes; one at least.
fn fitting(batches: &[Incoming], limit: usize) -> usize {
    let mut size = 0;
    let fits = batches.iter().take_while(|batch| {
        size += batch.size;
        size <= limit
    });
    fits.count().max(1)
}

impl State {
    fn empty_info(&self) -> AppendInfo {
        AppendInfo {
            first_offset: -1,
            last_offset: self.log_end_offset - 1,
            log_append_time: -1,
            max_timestamp: -1,
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            is_duplicate: false,
            record_count: 0,
            size_in_bytes: 0,
            reencoded: 0,
            rolled: false,
        }
    }

    /// What an error before the write means: a full disk has changed nothing, all else fences.
    pub fn write_failed(&mut self, error: std::io::Error) -> LogError {
        match error.kind() {
            std::io::ErrorKind::StorageFull => LogError::NoSpace(error),
            _ => self.fence(error),
        }
    }

    /// Brings what lies beside the segment up to date with batches that are in it. The log end has moved
    /// already: if this fails the log is fenced, and no offset is given twice.
    fn note_appended(&mut self, incoming: &[Incoming], position: u64) -> Result<(), LogError> {
        let mut at = position;
        for batch in incoming {
            self.recent.push(RecentBatch {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                position: at as u32,
                size: batch.size as u32,
            });
            at += batch.size as u64;
            let completed = batch.producer.as_ref().and_then(|producer| self.producers.apply(producer));
            if let Some(txn) = completed.filter(|txn| txn.is_aborted) {
                let aborted = AbortedTxn {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                    last_offset: txn.last_offset,
                    last_stable_offset: txn.last_stable_offset,
                };
                let noted = self.active().append_aborted(aborted);
                noted.map_err(|error| self.fence(error))?;
            }
        }
        self.producers.set_end_offset(self.log_end_offset);
        Ok(())
    }
}

impl AppendInfo {
    fn set_duplicate(&mut self, base_offset: i64, last_offset: i64, timestamp: i64) {
        self.is_duplicate = true;
        self.first_offset = base_offset;
        self.last_offset = last_offset;
        self.max_timestamp = timestamp;
        // Whatever the topic's timestamp type, as in Kafka.
        self.log_append_time = timestamp;
    }

    fn add(&mut self, incoming: &[Incoming], chunk: &Chunk) {
        if self.first_offset < 0 {
            self.first_offset = chunk.first_offset;
        }
        self.last_offset = chunk.last_offset;
        self.max_timestamp = self.max_timestamp.max(chunk.max_timestamp);
        self.record_count += incoming.iter().map(|batch| batch.record_count).sum::<i64>();
        self.size_in_bytes += chunk.size as usize;
    }
}
