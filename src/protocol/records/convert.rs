//! Between format 2 and the old ones: for clients of Fetch v0-3 and Produce v0-2.
//!
//! Down: headers, producers and transactions are lost, control batches left out, batches built anew with
//! the offsets kept. Up: a whole message set becomes one batch with new consecutive offsets.
//! Source: `RecordsUtil.downConvert`, `LogValidator.convertAndAssignOffsetsNonCompressed`.

use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::{Compression, TimestampType};
use crate::protocol::records::builder::{BatchBuilder, BatchOptions};
use crate::protocol::records::legacy::{self, LegacyBuilder, LegacyIter};
use crate::protocol::records::record::records;
use crate::protocol::records::view::{AnyHeader, BatchView, batches};

/// What a conversion gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Converted {
    /// Batches of the wanted format.
    pub bytes: Vec<u8>,
    /// Records that were converted, for the conversion metrics.
    pub record_count: usize,
}

/// Converts `bytes`, some batches of a log, to format `to_magic` (0 or 1) for a reader that asked for
/// `first_offset`: of uncompressed batches, records before it are left out. A cut batch at the end ends the
/// conversion, as it does in a segment. `limit` bounds what one batch may decompress to, and the
/// same again what its records may take in the old format before they are compressed.
pub fn down_convert(
    bytes: &[u8],
    to_magic: i8,
    first_offset: i64,
    limit: usize,
) -> Result<Converted, RecordsError> {
    let mut out = Converted::default();
    for view in batches(bytes) {
        match view {
            Ok(view) if view.is_control() => {}
            Ok(view) if view.magic() <= to_magic => out.bytes.extend_from_slice(view.bytes()),
            Ok(view) => down_convert_batch(&view, to_magic, first_offset, limit, &mut out)?,
            Err(RecordsError::Truncated { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

fn down_convert_batch(
    view: &BatchView<'_>,
    to_magic: i8,
    first_offset: i64,
    limit: usize,
    out: &mut Converted,
) -> Result<(), RecordsError> {
    let compression = view.compression()?;
    let append_time = (view.timestamp_type() == TimestampType::LogAppendTime).then_some(view.max_timestamp());
    let mut builder = LegacyBuilder::new(to_magic, compression, append_time)?;
    for record in records(view, limit)?.iter()? {
        let record = record?;
        if compression != Compression::None || record.offset >= first_offset {
            builder.append(&record)?;
            if builder.size_in_bytes() > limit {
                return Err(RecordsError::TooLarge { limit });
            }
            out.record_count += 1;
        }
    }
    out.bytes.extend_from_slice(&builder.finish()?);
    Ok(())
}

/// Converts a producer's message set of format 0 or 1 to one batch of format 2 as `options` says; offsets
/// count from `options.base_offset`. Checks every checksum on the way. A compressed set must be one
/// wrapper alone, and one format must hold throughout. `limit` bounds what the wrapper decompresses to.
pub fn up_convert(bytes: &[u8], options: BatchOptions, limit: usize) -> Result<Converted, RecordsError> {
    let mut builder = BatchBuilder::new(options);
    let (mut first_magic, mut wrapped) = (None, false);
    for (index, view) in batches(bytes).enumerate() {
        let view = view?;
        let bad = |what| RecordsError::BadBatch { offset: view.base_offset(), what };
        let AnyHeader::Legacy(header) = view.header() else {
            return Err(bad("only messages of formats 0 and 1 are converted"));
        };
        wrapped |= header.compression()? != Compression::None;
        if index > 0 && wrapped {
            return Err(bad("a compressed message must be alone in its request"));
        }
        if *first_magic.get_or_insert(header.magic) != header.magic {
            return Err(bad("messages of different formats in one request"));
        }
        view.verify_crc()?;
        let body = legacy::body(header, view.bytes(), limit)?;
        let iter = LegacyIter::new(header, &body)?;
        if wrapped {
            iter.verify()?;
        }
        for record in iter {
            let offset = options.base_offset.saturating_add(i64::from(builder.count()));
            builder.append_record(offset, &record?)?;
        }
    }
    let record_count = builder.count() as usize;
    Ok(Converted { bytes: builder.finish()?, record_count })
}
