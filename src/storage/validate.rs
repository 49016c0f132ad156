//! Whether a leader may append what a client (or a coordinator) sent, and what of it must be rewritten.
//!
//! Batches stay opaque: the header is checked, the checksum verified, the records of an uncompressed batch
//! walked in place, and a compressed batch is opened only when a rule needs its records (compacted topic,
//! timestamp bounds, another `compression.type`, old formats). Nothing is copied: a checked batch is its
//! parsed header and a slice of the client's bytes; offsets, leader epoch and append time are stamped into a
//! 61-byte copy of the header when it is written. Knows nothing of files, offsets of the log or producers'
//! history. Source: `LogValidator`, `UnifiedLog.analyzeAndValidateRecords`, KIP-32, KIP-467.

use bytes::Bytes;

use super::append_error::{AppendError, RecordError};
use super::log_config::{LogConfig, TopicCompression};
use super::producer_state::Origin;
use super::reencode;
use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::records::batch::{
    BatchHeader, Compression, HEADER_SIZE, MAGIC_V2, TimestampType, attributes,
};
use crate::protocol::records::record::{self, Checked, RecordIter};
use crate::protocol::records::view::{BatchView, batches};
use crate::protocol::records::{NONE, RecordsError};

/// Most bytes one batch may have decompressed: what a hostile client can make us hold for a moment.
pub const MAX_DECOMPRESSED: usize = 256 << 20;
/// Most record errors reported for one batch.
const MAX_RECORD_ERRORS: usize = 1000;

/// One batch that may be appended: its header, offset and leader epoch still the client's, and the rest.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    /// The header, timestamps and checksum final.
    pub header: BatchHeader,
    /// Bytes after the header.
    pub body: Bytes,
}

impl CheckedBatch {
    /// Bytes it takes in the log.
    pub fn size_in_bytes(&self) -> usize {
        HEADER_SIZE + self.body.len()
    }
}

/// Batches that may be appended, first to last.
#[derive(Clone, Debug)]
pub struct CheckedRecords {
    /// The batches.
    pub batches: Vec<CheckedBatch>,
    /// When they were checked: the append time in `LogAppendTime` topics.
    pub now: Timestamp,
    /// Whose timestamps they carry.
    pub timestamp_type: TimestampType,
    /// Records in all.
    pub record_count: i64,
    /// Bytes in all.
    pub size_in_bytes: usize,
    /// Batches that had to be written anew (`ProduceMessageConversionsPerSec`).
    pub reencoded: usize,
}

/// Checks whole batches, back to back, for an append by the leader.
pub fn check(
    records: &Bytes,
    config: &LogConfig,
    origin: Origin,
    now: Timestamp,
) -> Result<CheckedRecords, AppendError> {
    let mut checked = CheckedRecords {
        batches: Vec::with_capacity(1),
        now,
        timestamp_type: config.timestamp_type,
        record_count: 0,
        size_in_bytes: 0,
        reencoded: 0,
    };
    let mut first_magic = None;
    for view in batches(records) {
        let view = view?;
        check_shape(&view, config, origin, *first_magic.get_or_insert(view.magic()))?;
        view.verify_crc()?;
        let Some(header) = view.v2() else {
            // Old formats come as one batch a record: together they become one batch.
            checked.push(reencode::legacy(&view, records, config, now)?);
            checked.reencoded += 1;
            break;
        };
        check_header(header, origin)?;
        let start = view.bytes().as_ptr() as usize - records.as_ptr() as usize;
        let whole = records.slice(start..start + view.size_in_bytes());
        let (batch, is_new) = check_batch(header, whole, config, now)?;
        checked.reencoded += usize::from(is_new);
        checked.push(batch.stamped(config, now));
    }
    if checked.reencoded > 0 {
        for batch in &checked.batches {
            check_size(batch.size_in_bytes(), config)?;
        }
    }
    Ok(checked)
}

impl CheckedRecords {
    fn push(&mut self, batch: CheckedBatch) {
        self.record_count += i64::from(batch.header.record_count);
        self.size_in_bytes += batch.size_in_bytes();
        self.batches.push(batch);
    }
}

/// The rules that hold for batches of every format, before the checksum is worth computing.
fn check_shape(
    view: &BatchView<'_>,
    config: &LogConfig,
    origin: Origin,
    first_magic: i8,
) -> Result<(), AppendError> {
    if origin == Origin::Client && view.magic() == MAGIC_V2 && view.base_offset() != 0 {
        return Err(invalid(format!(
            "the base offset of a batch in an append should be 0, but it is {}",
            view.base_offset()
        )));
    }
    check_size(view.size_in_bytes(), config)?;
    if view.magic() != first_magic {
        return Err(invalid(format!(
            "batch format (magic) {} is not that of the first batch, {first_magic}",
            view.magic()
        )));
    }
    Ok(())
}

fn check_size(size: usize, config: &LogConfig) -> Result<(), AppendError> {
    match size > config.max_message_bytes as usize {
        true => Err(AppendError::BatchTooLarge { size, limit: config.max_message_bytes }),
        false => Ok(()),
    }
}

/// The rules on a header alone (`LogValidator.validateBatch`).
fn check_header(header: &BatchHeader, origin: Origin) -> Result<(), AppendError> {
    header.compression()?;
    if origin != Origin::Client {
        return Ok(());
    }
    let (base, last) = (header.base_offset, header.last_offset());
    if header.last_offset_delta < 0 {
        return Err(invalid(format!("batch has an invalid offset range: [{base}, {last}]")));
    }
    if header.record_count <= 0 {
        return Err(invalid(format!("invalid reported count for record batch: {}", header.record_count)));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        let count = header.record_count;
        return Err(invalid(format!("inconsistent batch offset range [{base}, {last}] and count {count}")));
    }
    if header.is_control() {
        return Err(invalid("clients are not allowed to write control records".into()));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(invalid(format!(
            "invalid sequence number {} in record batch with producer id {}",
            header.base_sequence, header.producer_id
        )));
    }
    Ok(())
}

fn invalid(what: String) -> AppendError {
    AppendError::Invalid { code: ErrorCode::InvalidRecord, what, records: Vec::new() }
}

/// Checks the records of a format 2 batch as far as the rules need; also says whether it is written anew.
fn check_batch(
    header: &BatchHeader,
    whole: Bytes,
    config: &LogConfig,
    now: Timestamp,
) -> Result<(CheckedBatch, bool), AppendError> {
    refuse_append_time_of_client(header)?;
    let codec = header.compression()?;
    let wanted = match header.is_control() {
        true => codec,
        false => target(config, codec),
    };
    let mut max_timestamp = header.max_timestamp;
    if codec == Compression::None {
        // Kafka corrects a max timestamp that the client computed wrongly.
        max_timestamp = inspect(header, &whole[HEADER_SIZE..], config, now)?.max_timestamp;
    } else if wanted != codec || needs_records(config) {
        let body = record::body(header, &whole, MAX_DECOMPRESSED)?;
        inspect(header, &body, config, now)?;
    }
    let mut batch = match wanted == codec {
        true => CheckedBatch { header: *header, body: whole.slice(HEADER_SIZE..) },
        false => reencode::batch(&whole, wanted, config)?,
    };
    if batch.header.max_timestamp != max_timestamp {
        batch.header.max_timestamp = max_timestamp;
        batch.header.crc = crc(&batch.header, &batch.body);
    }
    Ok((batch, wanted != codec))
}

/// The codec a batch that came with `codec` is stored with.
pub(super) fn target(config: &LogConfig, codec: Compression) -> Compression {
    match config.compression {
        TopicCompression::Producer => codec,
        TopicCompression::Only(codec) => codec,
    }
}

/// Whether a rule of this topic concerns single records, so that compressed batches must be opened.
fn needs_records(config: &LogConfig) -> bool {
    let bounded = config.timestamp_before_max_ms != i64::MAX || config.timestamp_after_max_ms != i64::MAX;
    config.compact || (config.timestamp_type == TimestampType::CreateTime && bounded)
}

fn refuse_append_time_of_client(header: &BatchHeader) -> Result<(), AppendError> {
    match header.timestamp_type() == TimestampType::LogAppendTime {
        true => Err(AppendError::Invalid {
            code: ErrorCode::InvalidTimestamp,
            what: "producers should not set the timestamp type to LogAppendTime".into(),
            records: Vec::new(),
        }),
        false => Ok(()),
    }
}

/// Walks the records of a batch and holds them against the topic's rules.
fn inspect(
    header: &BatchHeader,
    body: &[u8],
    config: &LogConfig,
    now: Timestamp,
) -> Result<Checked, AppendError> {
    let found = record::validate_records(header, body)?;
    if header.is_control() {
        return Ok(found);
    }
    let keyless = config.compact && found.first_without_key.is_some();
    let late = config.timestamp_type == TimestampType::CreateTime && is_late(&found, config, now);
    match keyless || late {
        true => Err(record_errors(RecordIter::new(header, body)?, config, now)?),
        false => Ok(found),
    }
}

/// Whether a timestamp of the batch lies outside the topic's bounds.
pub(super) fn is_late(found: &Checked, config: &LogConfig, now: Timestamp) -> bool {
    [found.min_timestamp, found.max_timestamp].iter().any(|at| is_out_of_range(*at, config, now))
}

fn is_out_of_range(timestamp: i64, config: &LogConfig, now: Timestamp) -> bool {
    timestamp != NONE
        && (now.0.saturating_sub(timestamp) > config.timestamp_before_max_ms
            || timestamp.saturating_sub(now.0) > config.timestamp_after_max_ms)
}

/// Names the records that break a rule: a second walk, on the unhappy path only.
pub(super) fn record_errors<'a>(
    records: impl Iterator<Item = Result<record::Record<'a>, RecordsError>>,
    config: &LogConfig,
    now: Timestamp,
) -> Result<AppendError, RecordsError> {
    let mut errors = Vec::new();
    let mut code = ErrorCode::InvalidRecord;
    for (index, record) in records.enumerate() {
        let record = record?;
        let message = if config.compact && record.key.is_none() {
            "compacted topic cannot accept message without key".to_owned()
        } else if config.timestamp_type == TimestampType::CreateTime
            && is_out_of_range(record.timestamp, config, now)
        {
            code = ErrorCode::InvalidTimestamp;
            let from = now.0.saturating_sub(config.timestamp_before_max_ms);
            let to = now.0.saturating_add(config.timestamp_after_max_ms);
            format!("timestamp {} is out of range, it should be within [{from}, {to}]", record.timestamp)
        } else {
            continue;
        };
        if errors.len() < MAX_RECORD_ERRORS {
            errors.push(RecordError { index: index as i32, message });
        }
    }
    let what = match code {
        ErrorCode::InvalidTimestamp => {
            "one or more records have been rejected due to invalid timestamp".to_owned()
        }
        _ => format!("one or more records have been rejected due to {} record errors", errors.len()),
    };
    Ok(AppendError::Invalid { code, what, records: errors })
}

impl CheckedBatch {
    /// Gives the batch the append time if the topic wants it (the header alone changes; markers keep their
    /// own type in Kafka too, where the whole append is treated alike).
    fn stamped(mut self, config: &LogConfig, now: Timestamp) -> CheckedBatch {
        if config.timestamp_type == TimestampType::LogAppendTime {
            let header = &mut self.header;
            let bits = attributes(Compression::None, TimestampType::LogAppendTime, false, false, false);
            header.attributes |= bits;
            header.max_timestamp = now.0;
            header.crc = crc(header, &self.body);
        }
        self
    }
}

/// CRC-32C of a batch in two pieces.
pub(super) fn crc(header: &BatchHeader, body: &[u8]) -> u32 {
    const COVERED_FROM: usize = 21;
    let mut bytes = [0; HEADER_SIZE];
    header.write(&mut bytes);
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&bytes[COVERED_FROM..]);
    digest.update(body);
    digest.finalize() as u32
}
