//! Writing record batches of format 2: for coordinators, markers, recompression, conversion and tests.
//!
//! A batch is written front to back: records as they come, then the header, then the checksum. Timestamp
//! deltas count from the first record (or the delete horizon), offset deltas from the base offset.
//! Source: `MemoryRecordsBuilder`, `DefaultRecordBatch.writeHeader`, `DefaultRecord.writeTo`.

use crate::protocol::records::batch::{
    self, BatchHeader, Compression, HEADER_SIZE, LOG_OVERHEAD, TimestampType,
};
use crate::protocol::records::compression::compress;
use crate::protocol::records::record::{Header, Record, body};
use crate::protocol::records::{NONE, RecordsError};
use crate::protocol::varint;

/// What a batch is besides its records. The default: offset 0, uncompressed, no producer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BatchOptions {
    /// Offset of the first record, or of the first one before compaction.
    pub base_offset: i64,
    /// Last offset if the batch spans more than its records: compaction keeps the span.
    pub last_offset: Option<i64>,
    /// Epoch of the appending leader, -1 unknown.
    pub partition_leader_epoch: i32,
    /// The codec.
    pub compression: Compression,
    /// Level of the codec, see [`compress`].
    pub level: Option<i32>,
    /// If set, the batch has append time and this is it.
    pub append_time: Option<i64>,
    /// If set, when the cleaner may drop the batch's tombstones or marker (KIP-534).
    pub delete_horizon: Option<i64>,
    /// Producer id, -1 none.
    pub producer_id: i64,
    /// Producer epoch, -1 none.
    pub producer_epoch: i16,
    /// Sequence of the first record, -1 none.
    pub base_sequence: i32,
    /// Part of a transaction.
    pub transactional: bool,
    /// Holds a control record.
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions {
            base_offset: 0,
            last_offset: None,
            partition_leader_epoch: NONE as i32,
            compression: Compression::None,
            level: None,
            append_time: None,
            delete_horizon: None,
            producer_id: NONE,
            producer_epoch: NONE as i16,
            base_sequence: NONE as i32,
            transactional: false,
            control: false,
        }
    }
}

/// A record to write.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds since the epoch, -1 none.
    pub timestamp: i64,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [Header<'a>],
}

/// Collects the records of one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records.
    out: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    last_offset: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(options: BatchOptions) -> BatchBuilder {
        BatchBuilder {
            options,
            out: vec![0; HEADER_SIZE],
            count: 0,
            base_timestamp: NONE,
            max_timestamp: NONE,
            last_offset: options.base_offset.saturating_sub(1),
        }
    }

    /// Appends a record at the next offset.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<(), RecordsError> {
        self.append_at(self.last_offset.saturating_add(1), record)
    }

    /// Appends a record at `offset`, which must lie after the last and within 2^31 of the base.
    pub fn append_at(&mut self, offset: i64, record: &NewRecord<'_>) -> Result<(), RecordsError> {
        let headers = record.headers.iter().copied();
        self.write(offset, record.timestamp, record.key, record.value, headers, record.headers.len())
    }

    /// Appends a record of another batch, headers included, at `offset`.
    pub fn append_record(&mut self, offset: i64, record: &Record<'_>) -> Result<(), RecordsError> {
        let count = record.headers.len();
        self.write(offset, record.timestamp, record.key, record.value, record.headers, count)
    }

    fn write<'a>(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'a>> + Clone,
        header_count: usize,
    ) -> Result<(), RecordsError> {
        let bad = |what| RecordsError::BadRecord { index: self.count as usize, what };
        let delta = offset.checked_sub(self.options.base_offset).and_then(|delta| i32::try_from(delta).ok());
        let offset_delta = delta.ok_or_else(|| bad("its offset is too far from the base"))?;
        if offset <= self.last_offset {
            return Err(bad("its offset does not follow the one before"));
        }
        let base = match self.options.delete_horizon {
            Some(horizon) => horizon,
            None if self.count == 0 => timestamp,
            None => self.base_timestamp,
        };
        let timestamp_delta = timestamp.wrapping_sub(base);
        let fields = [key, value].into_iter().chain(headers.clone().map(|header| header.value));
        let size = 1
            + varint::len_i64(timestamp_delta)
            + varint::len_i32(offset_delta)
            + fields.map(nullable_size).sum::<usize>()
            + headers.clone().map(|header| nullable_size(Some(header.key))).sum::<usize>()
            + varint::len_i32(header_count as i32);
        if self.out.len() + size > i32::MAX as usize - LOG_OVERHEAD {
            return Err(bad("the batch would exceed 2 GiB"));
        }
        let out = &mut self.out;
        varint::put_i32(out, size as i32);
        out.push(0);
        varint::put_i64(out, timestamp_delta);
        varint::put_i32(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        varint::put_i32(out, header_count as i32);
        for header in headers {
            put_nullable(out, Some(header.key));
            put_nullable(out, header.value);
        }
        self.base_timestamp = base;
        self.max_timestamp = if self.count == 0 { timestamp } else { self.max_timestamp.max(timestamp) };
        self.last_offset = offset;
        self.count += 1;
        Ok(())
    }

    /// Records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn size_in_bytes(&self) -> usize {
        self.out.len()
    }

    /// The batch. A batch without records is an error; what compaction leaves is [`empty_batch`].
    pub fn finish(self) -> Result<Vec<u8>, RecordsError> {
        let options = &self.options;
        let bad = |what| RecordsError::BadBatch { offset: options.base_offset, what };
        if self.count == 0 {
            return Err(bad("it has no records"));
        }
        let span = options.last_offset.unwrap_or(self.last_offset).max(self.last_offset);
        let last_offset_delta =
            span.checked_sub(options.base_offset).and_then(|delta| i32::try_from(delta).ok());
        let last_offset_delta = last_offset_delta.ok_or_else(|| bad("it spans too many offsets"))?;
        let timestamp_type = match options.append_time {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        };
        let header = BatchHeader {
            base_offset: options.base_offset,
            batch_length: 0,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: batch::attributes(
                options.compression,
                timestamp_type,
                options.transactional,
                options.control,
                options.delete_horizon.is_some(),
            ),
            last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: options.append_time.unwrap_or(self.max_timestamp),
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.count,
        };
        let (compression, level) = (options.compression, options.level);
        match compression {
            Compression::None => complete(header, self.out),
            codec => with_body(header, &compress(codec, level, &self.out[HEADER_SIZE..])?),
        }
    }
}

/// The same records under another codec: the body changes, offsets, timestamps and producer stay.
/// `limit` bounds the decompressed body.
pub fn recompress(
    batch: &[u8],
    codec: Compression,
    level: Option<i32>,
    limit: usize,
) -> Result<Vec<u8>, RecordsError> {
    let mut header = BatchHeader::parse(batch)?;
    let plain = body(&header, batch, limit)?;
    header.attributes = (header.attributes & !7) | codec as i16;
    match codec {
        Compression::None => with_body(header, &plain),
        _ => with_body(header, &compress(codec, level, &plain)?),
    }
}

/// What compaction leaves of a batch whose records are all gone but whose producer is still needed
/// (`DefaultRecordBatch.writeEmptyHeader`): 61 bytes with the same offsets, sequences and max timestamp.
pub fn empty_batch(of: &BatchHeader) -> Result<Vec<u8>, RecordsError> {
    let attributes = batch::attributes(
        Compression::None,
        of.timestamp_type(),
        of.is_transactional(),
        of.is_control(),
        false,
    );
    with_body(BatchHeader { attributes, base_timestamp: NONE, record_count: 0, ..*of }, &[])
}

/// A batch of this header and body; length and checksum are set here.
fn with_body(header: BatchHeader, body: &[u8]) -> Result<Vec<u8>, RecordsError> {
    let mut out = Vec::with_capacity(HEADER_SIZE + body.len());
    out.resize(HEADER_SIZE, 0);
    out.extend_from_slice(body);
    complete(header, out)
}

fn complete(mut header: BatchHeader, mut out: Vec<u8>) -> Result<Vec<u8>, RecordsError> {
    header.batch_length = i32::try_from(out.len() - LOG_OVERHEAD)
        .map_err(|_| RecordsError::BadBatch { offset: header.base_offset, what: "it exceeds 2 GiB" })?;
    let room = out.first_chunk_mut::<HEADER_SIZE>().expect("the header's room is made first");
    header.write(room);
    batch::seal(&mut out)?;
    Ok(out)
}

fn nullable_size(field: Option<&[u8]>) -> usize {
    match field {
        Some(bytes) => {
            // A field beyond 2 GiB is refused by its record's size.
            varint::len_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX)) + bytes.len()
        }
        None => 1,
    }
}

fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            varint::put_i32(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
        None => varint::put_i32(out, NONE as i32),
    }
}
