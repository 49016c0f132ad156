//! The 61-byte header of a record batch of format 2, and the patches a broker makes in it.
//!
//! Base offset and partition leader epoch lie outside the checksum, so a leader stamps them without
//! touching the rest. Parsing checks the format and the announced size only; whether counts, offsets and
//! sequences make sense for an append is the log's question. Source: `DefaultRecordBatch`, KIP-98, KIP-534.

use std::fmt;

use crate::protocol::records::RecordsError;

/// Bytes before the size counts: base offset and the size itself. Same in all formats.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes of a batch header, and thus the smallest batch.
pub const HEADER_SIZE: usize = 61;
/// Where the format number stands, in all formats.
pub const MAGIC_AT: usize = 16;
/// Format 2, the only one written since inter-broker protocol 3.0.
pub const MAGIC_V2: i8 = 2;

const LEADER_EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const COUNT_AT: usize = 57;

const CODEC_MASK: i16 = 0x07;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// How the records of a batch are compressed (`CompressionType`).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// A gzip stream.
    Gzip = 1,
    /// Snappy in Xerial framing.
    Snappy = 2,
    /// An LZ4 frame.
    Lz4 = 3,
    /// A zstd frame; format 2 only.
    Zstd = 4,
}

impl Compression {
    /// All of them, by number.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec with this number.
    pub fn from_id(id: u8) -> Option<Compression> {
        Compression::ALL.get(usize::from(id)).copied()
    }

    /// Name in configurations and tools.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who set the timestamps of a batch (KIP-32).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// The producer; format 0 has none at all and counts as this.
    #[default]
    CreateTime,
    /// The leader, at append: every record has the batch's max timestamp.
    LogAppendTime,
}

/// A batch's header as it stands in the bytes. Timestamps are milliseconds since the epoch, -1 none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// Offset of the first record the batch was written with (compaction may have removed it).
    pub base_offset: i64,
    /// Bytes after this field: the whole batch without its first 12.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; outside the checksum.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags; see the methods.
    pub attributes: i16,
    /// Offset of the last record as written, minus the base offset.
    pub last_offset_delta: i32,
    /// What records' timestamp deltas add to; the delete horizon if [`BatchHeader::has_delete_horizon`].
    pub base_timestamp: i64,
    /// Largest timestamp of the records; the append time if [`TimestampType::LogAppendTime`].
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 without idempotence and in control batches.
    pub base_sequence: i32,
    /// Records inside; compaction can leave fewer than the offsets span, even 0.
    pub record_count: i32,
}

fn i16_at(header: &[u8; HEADER_SIZE], at: usize) -> i16 {
    i16::from_be_bytes([header[at], header[at + 1]])
}

fn i32_at(header: &[u8; HEADER_SIZE], at: usize) -> i32 {
    i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn i64_at(header: &[u8; HEADER_SIZE], at: usize) -> i64 {
    (i64::from(i32_at(header, at)) << 32) | i64::from(i32_at(header, at + 4) as u32)
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may end after it: the batch's own bytes need not be
    /// there. Fails unless the format is 2 and the announced size can hold the header.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, RecordsError> {
        let header = bytes.first_chunk::<HEADER_SIZE>().ok_or(RecordsError::Truncated {
            what: "a batch header",
            need: HEADER_SIZE,
            have: bytes.len(),
        })?;
        let magic = header[MAGIC_AT] as i8;
        if magic != MAGIC_V2 {
            return Err(RecordsError::UnknownMagic(magic));
        }
        let parsed = BatchHeader {
            base_offset: i64_at(header, 0),
            batch_length: i32_at(header, 8),
            partition_leader_epoch: i32_at(header, LEADER_EPOCH_AT),
            crc: i32_at(header, CRC_AT) as u32,
            attributes: i16_at(header, ATTRIBUTES_AT),
            last_offset_delta: i32_at(header, LAST_OFFSET_DELTA_AT),
            base_timestamp: i64_at(header, BASE_TIMESTAMP_AT),
            max_timestamp: i64_at(header, MAX_TIMESTAMP_AT),
            producer_id: i64_at(header, PRODUCER_ID_AT),
            producer_epoch: i16_at(header, PRODUCER_EPOCH_AT),
            base_sequence: i32_at(header, BASE_SEQUENCE_AT),
            record_count: i32_at(header, COUNT_AT),
        };
        let minimum = (HEADER_SIZE - LOG_OVERHEAD) as i32;
        if parsed.batch_length < minimum {
            return Err(RecordsError::BadSize {
                offset: parsed.base_offset,
                size: parsed.batch_length,
                minimum,
            });
        }
        Ok(parsed)
    }

    /// Writes the header, checksum field as it is, into 61 bytes.
    pub fn write(&self, out: &mut [u8; HEADER_SIZE]) {
        out[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        out[LEADER_EPOCH_AT..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[MAGIC_AT] = MAGIC_V2 as u8;
        out[CRC_AT..21].copy_from_slice(&self.crc.to_be_bytes());
        out[ATTRIBUTES_AT..23].copy_from_slice(&self.attributes.to_be_bytes());
        out[LAST_OFFSET_DELTA_AT..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[BASE_TIMESTAMP_AT..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[MAX_TIMESTAMP_AT..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[PRODUCER_ID_AT..51].copy_from_slice(&self.producer_id.to_be_bytes());
        out[PRODUCER_EPOCH_AT..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[BASE_SEQUENCE_AT..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[COUNT_AT..61].copy_from_slice(&self.record_count.to_be_bytes());
    }

    /// Bytes of the whole batch.
    pub fn size_in_bytes(&self) -> usize {
        LOG_OVERHEAD + self.batch_length as usize
    }

    /// Offset of the last record as written; saturates on nonsense.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after this batch; saturates on nonsense.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The codec; an error for the three numbers that are none.
    pub fn compression(&self) -> Result<Compression, RecordsError> {
        let id = (self.attributes & CODEC_MASK) as u8;
        Compression::from_id(id).ok_or(RecordsError::UnknownCompression { id, magic: MAGIC_V2 })
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes & TIMESTAMP_TYPE_BIT {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the batch belongs to a transaction (data or marker).
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a control record instead of data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is the time from which the cleaner may drop tombstones and markers.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// That time, if set (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Whether an idempotent producer wrote it.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > -1
    }

    /// Sequence of the last record, -1 without sequences. After 2^31-1 comes 0.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence {
            -1 => -1,
            base => add_to_sequence(base, self.last_offset_delta),
        }
    }
}

/// `sequence` plus `by` steps in the circle 0..=2^31-1 (`DefaultRecordBatch.incrementSequence`).
pub fn add_to_sequence(sequence: i32, by: i32) -> i32 {
    (i64::from(sequence) + i64::from(by)).rem_euclid(1 << 31) as i32
}

/// The attributes' bits for these properties.
pub fn attributes(
    compression: Compression,
    timestamp_type: TimestampType,
    transactional: bool,
    control: bool,
    delete_horizon: bool,
) -> i16 {
    let mut bits = compression as i16;
    bits |= if timestamp_type == TimestampType::LogAppendTime { TIMESTAMP_TYPE_BIT } else { 0 };
    bits |= if transactional { TRANSACTIONAL_BIT } else { 0 };
    bits |= if control { CONTROL_BIT } else { 0 };
    bits | if delete_horizon { DELETE_HORIZON_BIT } else { 0 }
}

/// CRC-32C of a whole batch: what its checksum field should hold.
pub fn compute_crc(batch: &[u8]) -> Result<u32, RecordsError> {
    match batch.get(ATTRIBUTES_AT..) {
        Some(covered) if batch.len() >= HEADER_SIZE => Ok(crc_fast::crc32_iscsi(covered)),
        _ => Err(RecordsError::Truncated { what: "a batch", need: HEADER_SIZE, have: batch.len() }),
    }
}

/// Checks the checksum of exactly one batch of format 2.
pub fn verify_crc(batch: &[u8]) -> Result<(), RecordsError> {
    let header = BatchHeader::parse(batch)?;
    let size = header.size_in_bytes();
    let Some(whole) = batch.get(..size) else {
        return Err(RecordsError::Truncated { what: "a batch", need: size, have: batch.len() });
    };
    let computed = compute_crc(whole)?;
    if computed != header.crc {
        return Err(RecordsError::Checksum { offset: header.base_offset, stored: header.crc, computed });
    }
    Ok(())
}

/// What a leader changes in a producer's batch. A batch whose timestamps need no change keeps its checksum.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Epoch of the appending leader.
    pub partition_leader_epoch: i32,
    /// New timestamp type and max timestamp, if they may differ from the batch's.
    pub timestamp: Option<(TimestampType, i64)>,
}

/// Patches exactly one whole batch in place; recomputes the checksum only if covered bytes changed.
pub fn stamp(batch: &mut [u8], with: &Stamp) -> Result<(), RecordsError> {
    set_base_offset(batch, with.base_offset)?;
    set_partition_leader_epoch(batch, with.partition_leader_epoch)?;
    match with.timestamp {
        Some((timestamp_type, max)) => set_max_timestamp(batch, timestamp_type, max),
        None => Ok(()),
    }
}

/// Sets the base offset; the checksum does not cover it.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), RecordsError> {
    put(batch, 0, &base_offset.to_be_bytes())
}

/// Sets the leader epoch; the checksum does not cover it.
pub fn set_partition_leader_epoch(batch: &mut [u8], leader_epoch: i32) -> Result<(), RecordsError> {
    put(batch, LEADER_EPOCH_AT, &leader_epoch.to_be_bytes())
}

/// Sets timestamp type and max timestamp of exactly one whole batch. If both stand already nothing is
/// written; else the checksum is computed anew (`DefaultRecordBatch.setMaxTimestamp`).
pub fn set_max_timestamp(batch: &mut [u8], kind: TimestampType, max: i64) -> Result<(), RecordsError> {
    let header = BatchHeader::parse(batch)?;
    if header.size_in_bytes() != batch.len() {
        return Err(RecordsError::Truncated {
            what: "a batch",
            need: header.size_in_bytes(),
            have: batch.len(),
        });
    }
    if header.timestamp_type() == kind && header.max_timestamp == max {
        return Ok(());
    }
    let attributes = match kind {
        TimestampType::CreateTime => header.attributes & !TIMESTAMP_TYPE_BIT,
        TimestampType::LogAppendTime => header.attributes | TIMESTAMP_TYPE_BIT,
    };
    put(batch, ATTRIBUTES_AT, &attributes.to_be_bytes())?;
    put(batch, MAX_TIMESTAMP_AT, &max.to_be_bytes())?;
    seal(batch)
}

/// Computes the checksum of exactly one whole batch and writes it into the header.
pub fn seal(batch: &mut [u8]) -> Result<(), RecordsError> {
    let crc = compute_crc(batch)?;
    put(batch, CRC_AT, &crc.to_be_bytes())
}

fn put(batch: &mut [u8], at: usize, value: &[u8]) -> Result<(), RecordsError> {
    let have = batch.len();
    match batch.get_mut(at..at + value.len()) {
        Some(field) if have >= HEADER_SIZE => {
            field.copy_from_slice(value);
            Ok(())
        }
        _ => Err(RecordsError::Truncated { what: "a batch header", need: HEADER_SIZE, have }),
    }
}
