//! Batches that cannot be stored as they came: another codec is configured, or the format is an old one.
//!
//! The unhappy path of `validate`: here records are copied. Source: `LogValidator`
//! (`convertAndAssignOffsetsNonCompressed`, `buildRecordsAndAssignOffsets`).

use bytes::Bytes;

use super::append_error::AppendError;
use super::log_config::LogConfig;
use super::validate::{CheckedBatch, MAX_DECOMPRESSED, is_late, record_errors, target};
use crate::clock::Timestamp;
use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::{BatchHeader, Compression, HEADER_SIZE, TimestampType};
use crate::protocol::records::builder::{BatchOptions, recompress};
use crate::protocol::records::convert::up_convert;
use crate::protocol::records::record::{RecordIter, body, validate_records};
use crate::protocol::records::view::BatchView;

/// The batch with codec `wanted`. Its records must have been checked.
pub(super) fn batch(
    whole: &[u8],
    wanted: Compression,
    config: &LogConfig,
) -> Result<CheckedBatch, RecordsError> {
    split(recompress(whole, wanted, level(config, wanted), MAX_DECOMPRESSED)?)
}

/// The one batch that a message set of format 0 or 1 becomes, with the codec the topic wants of it.
pub(super) fn legacy(
    first: &BatchView<'_>,
    records: &Bytes,
    config: &LogConfig,
    now: Timestamp,
) -> Result<CheckedBatch, AppendError> {
    let codec = target(config, first.compression()?);
    let append_time = (config.timestamp_type == TimestampType::LogAppendTime).then_some(now.0);
    let options = BatchOptions {
        compression: codec,
        level: level(config, codec),
        append_time,
        ..BatchOptions::default()
    };
    let converted = split(up_convert(records, options, MAX_DECOMPRESSED)?.bytes)?;
    let whole = [&header_bytes(&converted.header)[..], &converted.body].concat();
    let opened = body(&converted.header, &whole, MAX_DECOMPRESSED)?;
    let found = validate_records(&converted.header, &opened)?;
    let late = append_time.is_none() && is_late(&found, config, now);
    if late || (config.compact && found.first_without_key.is_some()) {
        return Err(record_errors(RecordIter::new(&converted.header, &opened)?, config, now)?);
    }
    Ok(converted)
}

fn header_bytes(header: &BatchHeader) -> [u8; HEADER_SIZE] {
    let mut bytes = [0; HEADER_SIZE];
    header.write(&mut bytes);
    bytes
}

fn split(whole: Vec<u8>) -> Result<CheckedBatch, RecordsError> {
    let header = BatchHeader::parse(&whole)?;
    Ok(CheckedBatch { header, body: Bytes::from(whole).slice(HEADER_SIZE..) })
}

fn level(config: &LogConfig, codec: Compression) -> Option<i32> {
    match codec {
        Compression::Gzip => Some(config.gzip_level),
        Compression::Lz4 => Some(config.lz4_level),
        Compression::Zstd => Some(config.zstd_level),
        Compression::None | Compression::Snappy => None,
    }
}
