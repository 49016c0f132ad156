//! Entries of formats 0 and 1, the "message sets" before record batches (`LegacyRecord`, KIP-31, KIP-32).
//!
//! An entry is one record, or a wrapper whose value is a compressed set of inner entries. A wrapper carries
//! the offset of its LAST inner record; inner offsets are absolute in format 0 and 0..n-1 in format 1.
//! No zstd, no producers, no leader epoch, no nesting of wrappers.

use crate::protocol::records::batch::{Compression, LOG_OVERHEAD, MAGIC_AT, TimestampType};
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
