//! The records inside a batch of any format, read in place: one borrowed [`Record`] at a time.
//!
//! Every length is checked against what is left before it is used. Nothing is allocated per record; only a
//! compressed batch needs one buffer, bounded by the caller. Source: `DefaultRecord`, `DefaultRecordBatch`.

use std::borrow::Cow;

use crate::protocol::records::batch::{
    BatchHeader, Compression, HEADER_SIZE, TimestampType, add_to_sequence,
};
use crate::protocol::records::compression::decompress;
use crate::protocol::records::legacy::{self, LegacyIter};
use crate::protocol::records::view::{AnyHeader, BatchView};
use crate::protocol::records::{NONE, RecordsError};
use crate::protocol::varint;

/// Smallest record of format 2: length, attributes, two deltas, two lengths, header count.
const MIN_RECORD_SIZE: usize = 7;

/// One record, borrowed from its batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the epoch; the append time in such batches; -1 in format 0.
    pub timestamp: i64,
    /// Its sequence, -1 without idempotence.
    pub sequence: i32,
    /// Unused by Kafka so far, 0.
    pub attributes: i8,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers; none in old formats.
    pub headers: Headers<'a>,
}

/// A header of a record.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// UTF-8 by convention; not checked, as in Kafka's broker. May occur twice.
    pub key: &'a [u8],
    /// Its value, if any.
    pub value: Option<&'a [u8]>,
}

/// The headers of one record, read when walked. They were checked with the record.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl Headers<'_> {
    /// How many are left.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.bytes).ok()
    }
}

/// What all records of a batch share.
#[derive(Copy, Clone, Debug)]
struct Base {
    offset: i64,
    timestamp: i64,
    /// The append time, if it replaces the records' own.
    append_time: Option<i64>,
    sequence: i32,
}

impl Base {
    fn of(header: &BatchHeader) -> Base {
        let append_time =
            (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp);
        Base {
            offset: header.base_offset,
            timestamp: header.base_timestamp,
            append_time,
            sequence: header.base_sequence,
        }
    }
}

/// The records of a format 2 batch, from its decompressed body.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    base: Base,
    index: usize,
    count: usize,
    failed: bool,
}

impl<'a> RecordIter<'a> {
    /// Walks `body`, the decompressed bytes after the header. Fails if they cannot hold the record count.
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Result<RecordIter<'a>, RecordsError> {
        let offset = header.base_offset;
        let count = usize::try_from(header.record_count)
            .map_err(|_| RecordsError::BadBatch { offset, what: "the record count is negative" })?;
        if count > body.len() / MIN_RECORD_SIZE {
            let what = "the records cannot be as many as the header says";
            return Err(RecordsError::BadBatch { offset, what });
        }
        Ok(RecordIter { rest: body, base: Base::of(header), index: 0, count, failed: false })
    }

    fn step(&mut self) -> Result<Record<'a>, &'static str> {
        let mut cursor = Cursor { rest: self.rest };
        let size = cursor.length("its length is broken")?.ok_or("its length is negative")?;
        let body = cursor.take(size, "it ends after its batch")?;
        self.rest = cursor.rest;
        read_record(body, &self.base)
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.index == self.count {
            if self.rest.is_empty() {
                return None;
            }
            self.failed = true;
            let what = "bytes are left after the last record";
            return Some(Err(RecordsError::BadBatch { offset: self.base.offset, what }));
        }
        let index = self.index;
        self.index += 1;
        Some(self.step().map_err(|what| {
            self.failed = true;
            RecordsError::BadRecord { index, what }
        }))
    }
}

/// Reads the body of one record; `base` belongs to its batch.
fn read_record<'a>(body: &'a [u8], base: &Base) -> Result<Record<'a>, &'static str> {
    let mut cursor = Cursor { rest: body };
    let attributes = cursor.take(1, "its attributes are cut")?[0] as i8;
    let (delta, used) = varint::read_i64(cursor.rest).ok_or("its timestamp is broken")?;
    cursor.rest = &cursor.rest[used..];
    let timestamp = base.append_time.unwrap_or_else(|| base.timestamp.wrapping_add(delta));
    let offset_delta = cursor.varint("its offset is broken")?;
    let key = cursor.nullable("its key is cut")?;
    let value = cursor.nullable("its value is cut")?;
    let count = cursor.length("its header count is broken")?.ok_or("its header count is negative")?;
    let headers = Headers { bytes: cursor.rest, count };
    // Every header takes two bytes at least, so a large count ends the walk early.
    for _ in 0..count {
        read_header(&mut cursor.rest)?;
    }
    if !cursor.rest.is_empty() {
        return Err("its length and its content differ");
    }
    Ok(Record {
        offset: base.offset.wrapping_add(i64::from(offset_delta)),
        timestamp,
        sequence: if base.sequence < 0 { NONE as i32 } else { add_to_sequence(base.sequence, offset_delta) },
        attributes,
        key,
        value,
        headers,
    })
}

fn read_header<'a>(rest: &mut &'a [u8]) -> Result<Header<'a>, &'static str> {
    let mut cursor = Cursor { rest };
    let size = cursor.length("a header key's length is broken")?.ok_or("a header has no key")?;
    let key = cursor.take(size, "a header's key is cut")?;
    let value = cursor.nullable("a header's value is cut")?;
    *rest = cursor.rest;
    Ok(Header { key, value })
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn varint(&mut self, what: &'static str) -> Result<i32, &'static str> {
        let (value, used) = varint::read_i32(self.rest).ok_or(what)?;
        self.rest = &self.rest[used..];
        Ok(value)
    }

    /// A length; every negative one means "none", as in Kafka.
    fn length(&mut self, what: &'static str) -> Result<Option<usize>, &'static str> {
        Ok(usize::try_from(self.varint(what)?).ok())
    }

    fn take(&mut self, size: usize, what: &'static str) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.rest.split_at_checked(size).ok_or(what)?;
        self.rest = rest;
        Ok(head)
    }

    fn nullable(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, &'static str> {
        match self.length(what)? {
            Some(size) => self.take(size, what).map(Some),
            None => Ok(None),
        }
    }
}

/// The records of one batch of any format, decompressed if need be; [`Records::iter`] walks them.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: AnyHeader,
    body: Cow<'a, [u8]>,
}

/// Makes the records of `batch` readable. `limit` bounds the bytes of a compressed body after
/// decompressing; an uncompressed one is borrowed and never refused.
pub fn records<'a>(batch: &BatchView<'a>, limit: usize) -> Result<Records<'a>, RecordsError> {
    let body = match batch.header() {
        AnyHeader::V2(header) => body(header, batch.bytes(), limit)?,
        AnyHeader::Legacy(header) => legacy::body(header, batch.bytes(), limit)?,
    };
    Ok(Records { header: *batch.header(), body })
}

/// The decompressed bytes after the header of one whole format 2 batch.
pub fn body<'a>(header: &BatchHeader, batch: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, RecordsError> {
    let Some(body) = batch.get(HEADER_SIZE..header.size_in_bytes()) else {
        return Err(RecordsError::Truncated {
            what: "a batch",
            need: header.size_in_bytes(),
            have: batch.len(),
        });
    };
    match header.compression()? {
        // A batch emptied by compaction may keep its codec bits, but has nothing to decompress.
        _ if body.is_empty() => Ok(Cow::Borrowed(body)),
        Compression::None => Ok(Cow::Borrowed(body)),
        codec => decompress(codec, body, limit).map(Cow::Owned),
    }
}

impl Records<'_> {
    /// The records in order. After an error nothing follows.
    pub fn iter(&self) -> Result<AnyRecordIter<'_>, RecordsError> {
        match &self.header {
            AnyHeader::V2(header) => RecordIter::new(header, &self.body).map(AnyRecordIter::V2),
            AnyHeader::Legacy(header) => LegacyIter::new(header, &self.body).map(AnyRecordIter::Legacy),
        }
    }
}

/// Iterator over the records of a batch of any format.
#[derive(Clone, Debug)]
pub enum AnyRecordIter<'a> {
    /// Format 2.
    V2(RecordIter<'a>),
    /// Formats 0 and 1.
    Legacy(LegacyIter<'a>),
}

impl<'a> Iterator for AnyRecordIter<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            AnyRecordIter::V2(records) => records.next(),
            AnyRecordIter::Legacy(records) => records.next(),
        }
    }
}

/// What a strict walk found out.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Records.
    pub count: i32,
    /// Largest timestamp of the records, -1 if all have none.
    pub max_timestamp: i64,
    /// Offset of the first record that has it, -1 without records.
    pub offset_of_max_timestamp: i64,
    /// Smallest timestamp among the records that have one, -1 if none has.
    pub min_timestamp: i64,
    /// Index of the first record without a key: forbidden in compacted topics.
    pub first_without_key: Option<usize>,
}

/// The strict check of a batch as a producer sends it: every length holds, the records are as many as the
/// header says, their offsets are consecutive from the base to the last, and no byte is left over.
/// `body` is decompressed. Source: `LogValidator`.
pub fn validate_records(header: &BatchHeader, body: &[u8]) -> Result<Checked, RecordsError> {
    let offset = header.base_offset;
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        let what = "the offsets are not as many as the records";
        return Err(RecordsError::BadBatch { offset, what });
    }
    let mut checked = Checked {
        count: header.record_count,
        max_timestamp: NONE,
        offset_of_max_timestamp: NONE,
        min_timestamp: NONE,
        first_without_key: None,
    };
    for (index, record) in RecordIter::new(header, body)?.enumerate() {
        let record = record?;
        if record.offset != offset.wrapping_add(index as i64) {
            let what = "its offset does not follow the one before";
            return Err(RecordsError::BadRecord { index, what });
        }
        if record.timestamp > checked.max_timestamp || index == 0 {
            checked.max_timestamp = record.timestamp;
            checked.offset_of_max_timestamp = record.offset;
        }
        if record.timestamp != NONE
            && (checked.min_timestamp == NONE || record.timestamp < checked.min_timestamp)
        {
            checked.min_timestamp = record.timestamp;
        }
        if record.key.is_none() && checked.first_without_key.is_none() {
            checked.first_without_key = Some(index);
        }
    }
    Ok(checked)
}
