//! Entries of formats 0 and 1, the "message sets" before record batches (`LegacyRecord`, KIP-31, KIP-32).
//!
//! An entry is one record, or a wrapper whose value is a compressed set of inner entries. A wrapper carries
//! the offset of its LAST inner record; inner offsets are absolute in format 0 and 0..n-1 in format 1.
//! No zstd, no producers, no leader epoch, no nesting of wrappers.

use std::borrow::Cow;

use crate::protocol::records::batch::{Compression, LOG_OVERHEAD, MAGIC_AT, TimestampType};
use crate::protocol::records::compression::{compress, decompress};
use crate::protocol::records::lz4::{self, HeaderChecksum};
use crate::protocol::records::record::{Headers, Record};
use crate::protocol::records::{NONE, RecordsError};

/// Smallest size field of format 0: checksum, magic, attributes, two lengths.
pub const MIN_SIZE_V0: i32 = 14;
/// Smallest size field of format 1: as 0, and a timestamp.
pub const MIN_SIZE_V1: i32 = 22;

const CRC_AT: usize = 12;
const ATTRIBUTES_AT: usize = 17;
const TIMESTAMP_AT: usize = 18;
const CODEC_MASK: u8 = 0x07;
const TIMESTAMP_TYPE_BIT: u8 = 0x08;

/// What stands before an entry's key.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LegacyHeader {
    /// Offset of the record, or of the last inner one.
    pub offset: i64,
    /// Bytes after this field.
    pub size: i32,
    /// CRC-32 (IEEE) from the magic byte on.
    pub crc: u32,
    /// 0 or 1.
    pub magic: i8,
    /// Codec and, in format 1, timestamp type.
    pub attributes: u8,
    /// Milliseconds since the epoch, -1 in format 0.
    pub timestamp: i64,
}

impl LegacyHeader {
    /// Reads the header at the start of `bytes`, which may end after it.
    pub fn parse(bytes: &[u8]) -> Result<LegacyHeader, RecordsError> {
        let short = |need| RecordsError::Truncated { what: "a message header", need, have: bytes.len() };
        let fixed = bytes.first_chunk::<{ TIMESTAMP_AT }>().ok_or_else(|| short(TIMESTAMP_AT))?;
        let word = |at: usize| i32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let offset = (i64::from(word(0)) << 32) | i64::from(word(4) as u32);
        let (magic, size) = (fixed[MAGIC_AT] as i8, word(8));
        let minimum = min_size(magic)?;
        if size < minimum {
            return Err(RecordsError::BadSize { offset, size, minimum });
        }
        let timestamp = match magic {
            0 => NONE,
            _ => {
                let bytes =
                    bytes[TIMESTAMP_AT..].first_chunk::<8>().ok_or_else(|| short(TIMESTAMP_AT + 8))?;
                i64::from_be_bytes(*bytes)
            }
        };
        let crc = word(CRC_AT) as u32;
        Ok(LegacyHeader { offset, size, crc, magic, attributes: fixed[ATTRIBUTES_AT], timestamp })
    }

    /// Bytes of the whole entry.
    pub fn size_in_bytes(&self) -> usize {
        LOG_OVERHEAD + self.size as usize
    }

    /// The codec: none for a plain record, else this is a wrapper.
    pub fn compression(&self) -> Result<Compression, RecordsError> {
        let id = self.attributes & CODEC_MASK;
        match Compression::from_id(id) {
            Some(codec) if codec != Compression::Zstd => Ok(codec),
            _ => Err(RecordsError::UnknownCompression { id, magic: self.magic }),
        }
    }

    /// Who set the timestamp.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.magic == 1 && self.attributes & TIMESTAMP_TYPE_BIT != 0 {
            false => TimestampType::CreateTime,
            true => TimestampType::LogAppendTime,
        }
    }
}

/// Smallest size field of an old format.
pub fn min_size(magic: i8) -> Result<i32, RecordsError> {
    match magic {
        0 => Ok(MIN_SIZE_V0),
        1 => Ok(MIN_SIZE_V1),
        other => Err(RecordsError::UnknownMagic(other)),
    }
}

/// Checks the checksum of exactly one entry.
pub fn verify_crc(entry: &[u8]) -> Result<(), RecordsError> {
    let header = LegacyHeader::parse(entry)?;
    let size = header.size_in_bytes();
    let Some(covered) = entry.get(MAGIC_AT..size) else {
        return Err(RecordsError::Truncated { what: "a message", need: size, have: entry.len() });
    };
    let computed = crc32fast::hash(covered);
    if computed != header.crc {
        return Err(RecordsError::Checksum { offset: header.offset, stored: header.crc, computed });
    }
    Ok(())
}

/// The bytes of one whole entry's records: the entry itself, or the decompressed inner set of a wrapper,
/// at most `limit` bytes of it. For [`LegacyIter`].
pub fn body<'a>(header: &LegacyHeader, entry: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, RecordsError> {
    let codec = header.compression()?;
    if codec == Compression::None {
        return Ok(Cow::Borrowed(entry));
    }
    let bad = |what| RecordsError::BadBatch { offset: header.offset, what };
    let (_, value) = key_and_value(header, entry).map_err(bad)?;
    let value = value.ok_or_else(|| bad("a compressed message has no value"))?;
    match (codec, header.magic) {
        (Compression::Lz4, 0) => lz4::decompress(value, limit, HeaderChecksum::Format0),
        _ => decompress(codec, value, limit),
    }
    .map(Cow::Owned)
}

type KeyAndValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn key_and_value<'a>(header: &LegacyHeader, entry: &'a [u8]) -> Result<KeyAndValue<'a>, &'static str> {
    let key_at = if header.magic == 0 { TIMESTAMP_AT } else { TIMESTAMP_AT + 8 };
    let mut rest = entry.get(key_at..header.size_in_bytes()).ok_or("the message is cut")?;
    let key = sized(&mut rest)?;
    let value = sized(&mut rest)?;
    if !rest.is_empty() {
        return Err("a message's length and content differ");
    }
    Ok((key, value))
}

fn sized<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let (size, after) = rest.split_first_chunk::<4>().ok_or("a message's field length is cut")?;
    *rest = after;
    let Ok(size) = usize::try_from(i32::from_be_bytes(*size)) else {
        return Ok(None);
    };
    let (field, after) = rest.split_at_checked(size).ok_or("a message's field is cut")?;
    *rest = after;
    Ok(Some(field))
}

/// The records of one entry: one, or those of its inner set.
#[derive(Clone, Debug)]
pub struct LegacyIter<'a> {
    rest: &'a [u8],
    wrapper_magic: i8,
    /// What makes inner offsets absolute.
    shift: i64,
    /// The wrapper's timestamp, if it replaces the records' own.
    append_time: Option<i64>,
    index: usize,
    failed: bool,
}

impl<'a> LegacyIter<'a> {
    /// Walks what [`body`] gave. Fails if a wrapper is empty or its inner entries are broken.
    pub fn new(header: &LegacyHeader, body: &'a [u8]) -> Result<LegacyIter<'a>, RecordsError> {
        let wrapper = header.compression()? != Compression::None;
        let shift = match (wrapper, header.magic) {
            // Some versions of librdkafka send wrappers with offset 0 whatever is inside.
            (true, 1) if header.offset != 0 => header.offset - last_inner_offset(header.offset, body)?,
            _ => 0,
        };
        if body.is_empty() {
            let what = "a compressed message holds no messages";
            return Err(RecordsError::BadBatch { offset: header.offset, what });
        }
        let append_time =
            (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.timestamp);
        Ok(LegacyIter {
            rest: body,
            wrapper_magic: header.magic,
            shift,
            append_time,
            index: 0,
            failed: false,
        })
    }

    /// What is due for a client's data beyond reading it: the checksum of every inner entry holds and it
    /// has its wrapper's format. Logs of old brokers may hold mixed ones, so reading lets them pass.
    pub fn verify(&self) -> Result<(), RecordsError> {
        let (mut rest, mut index) = (self.rest, 0);
        while !rest.is_empty() {
            verify_crc(rest)?;
            let header = LegacyHeader::parse(rest)?;
            if header.magic != self.wrapper_magic {
                let what = "an inner message has another format than its wrapper";
                return Err(RecordsError::BadRecord { index, what });
            }
            rest = &rest[header.size_in_bytes()..];
            index += 1;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Record<'a>, RecordsError> {
        let index = self.index;
        let bad = |what| RecordsError::BadRecord { index, what };
        let header = LegacyHeader::parse(self.rest)?;
        let entry = self.rest.get(..header.size_in_bytes()).ok_or_else(|| bad("the message is cut"))?;
        if header.compression()? != Compression::None {
            return Err(bad("an inner message is compressed again"));
        }
        let (key, value) = key_and_value(&header, entry).map_err(bad)?;
        self.rest = &self.rest[entry.len()..];
        self.index += 1;
        Ok(Record {
            offset: header.offset.wrapping_add(self.shift),
            timestamp: self.append_time.filter(|_| header.magic == 1).unwrap_or(header.timestamp),
            sequence: NONE as i32,
            attributes: header.attributes as i8,
            key,
            value,
            headers: Headers::default(),
        })
    }
}

/// The last offset in a wrapper's inner set: relative, so between 0 and the wrapper's own.
fn last_inner_offset(offset: i64, mut inner: &[u8]) -> Result<i64, RecordsError> {
    let bad = |what| RecordsError::BadBatch { offset, what };
    let mut last = 0;
    while !inner.is_empty() {
        let header = LegacyHeader::parse(inner)?;
        last = header.offset;
        inner = inner.get(header.size_in_bytes()..).ok_or_else(|| bad("an inner message is cut"))?;
    }
    match (0..=offset).contains(&last) {
        true => Ok(last),
        false => Err(bad("its offset is less than that of its last inner message")),
    }
}

impl<'a> Iterator for LegacyIter<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let record = self.step();
        self.failed = record.is_err();
        Some(record)
    }
}

/// Collects records into a set of an old format: plain entries, or one wrapper.
#[derive(Clone, Debug)]
pub struct LegacyBuilder {
    magic: i8,
    compression: Compression,
    append_time: Option<i64>,
    out: Vec<u8>,
    base_offset: Option<i64>,
    last_offset: i64,
    max_timestamp: i64,
}

impl LegacyBuilder {
    /// An empty set of format 0 or 1; with `append_time` all records get that timestamp (format 1).
    pub fn new(
        magic: i8,
        compression: Compression,
        append_time: Option<i64>,
    ) -> Result<LegacyBuilder, RecordsError> {
        min_size(magic)?;
        if compression == Compression::Zstd {
            return Err(RecordsError::UnknownCompression { id: compression as u8, magic });
        }
        let append_time = append_time.filter(|_| magic == 1);
        let (out, base_offset) = (Vec::new(), None);
        Ok(LegacyBuilder {
            magic,
            compression,
            append_time,
            out,
            base_offset,
            last_offset: NONE,
            max_timestamp: NONE,
        })
    }

    /// Appends a record at its offset; headers are lost.
    pub fn append(&mut self, record: &Record<'_>) -> Result<(), RecordsError> {
        let base = *self.base_offset.get_or_insert(record.offset);
        let relative = self.magic == 1 && self.compression != Compression::None;
        let offset = if relative { record.offset.wrapping_sub(base) } else { record.offset };
        let timestamp = self.append_time.unwrap_or(record.timestamp);
        let attributes = self.attributes(Compression::None);
        put_entry(&mut self.out, (self.magic, attributes), offset, timestamp, (record.key, record.value))?;
        self.last_offset = record.offset;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// Bytes so far, before compression.
    pub fn size_in_bytes(&self) -> usize {
        self.out.len()
    }

    fn attributes(&self, compression: Compression) -> u8 {
        compression as u8 | if self.append_time.is_some() { TIMESTAMP_TYPE_BIT } else { 0 }
    }

    /// The set; no bytes without records.
    pub fn finish(self) -> Result<Vec<u8>, RecordsError> {
        if self.compression == Compression::None || self.base_offset.is_none() {
            return Ok(self.out);
        }
        let value = match (self.compression, self.magic) {
            (Compression::Lz4, 0) => lz4::compress(&self.out, HeaderChecksum::Format0)?,
            (codec, _) => compress(codec, None, &self.out)?,
        };
        let mut out = Vec::with_capacity(LOG_OVERHEAD + MIN_SIZE_V1 as usize + value.len());
        let kind = (self.magic, self.attributes(self.compression));
        put_entry(&mut out, kind, self.last_offset, self.max_timestamp, (None, Some(&value)))?;
        Ok(out)
    }
}

/// Appends one entry of a format and attributes, with its checksum.
fn put_entry(
    out: &mut Vec<u8>,
    (magic, attributes): (i8, u8),
    offset: i64,
    timestamp: i64,
    (key, value): KeyAndValue<'_>,
) -> Result<(), RecordsError> {
    let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
    let size = min_size(magic)? as usize + length(key) + length(value);
    let size = i32::try_from(size)
        .map_err(|_| RecordsError::BadBatch { offset, what: "a message would exceed 2 GiB" })?;
    let start = out.len();
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[magic as u8, attributes]);
    if magic == 1 {
        out.extend_from_slice(&timestamp.to_be_bytes());
    }
    for field in [key, value] {
        let size = field.map_or(NONE as i32, |bytes| bytes.len() as i32);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(field.unwrap_or_default());
    }
    let crc = crc32fast::hash(&out[start + MAGIC_AT..]);
    out[start + CRC_AT..start + MAGIC_AT].copy_from_slice(&crc.to_be_bytes());
    Ok(())
}
