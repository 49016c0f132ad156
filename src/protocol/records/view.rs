//! Batches of any format, one after another, as they stand in a request or a segment.
//!
//! All formats share offset (i64), size (i32) and the place of the magic byte, so a walk needs no format.
//! Views borrow; nothing is decompressed. Source: `FileLogInputStream`, `ByteBufferLogInputStream`.

use crate::protocol::records::batch::{
    self, BatchHeader, Compression, HEADER_SIZE, LOG_OVERHEAD, MAGIC_AT, MAGIC_V2, TimestampType,
};
use crate::protocol::records::legacy::{self, LegacyHeader};
use crate::protocol::records::{NONE, RecordsError};

/// Bytes that tell where a batch ends and which format it has.
pub const ENTRY_HEADER_SIZE: usize = MAGIC_AT + 1;

/// The part all formats share: enough to walk a segment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// First offset in format 2; in formats 0 and 1 the record's, or of a wrapper's last inner record.
    pub offset: i64,
    /// Bytes of the whole batch.
    pub size_in_bytes: usize,
    /// Format: 0, 1 or 2.
    pub magic: i8,
}

impl Entry {
    /// Reads the first 17 bytes of a batch; the rest need not be there.
    pub fn peek(bytes: &[u8]) -> Result<Entry, RecordsError> {
        let head = bytes.first_chunk::<ENTRY_HEADER_SIZE>().ok_or(RecordsError::Truncated {
            what: "a batch's first fields",
            need: ENTRY_HEADER_SIZE,
            have: bytes.len(),
        })?;
        let (offset, rest) = head.split_first_chunk::<8>().expect("17 bytes start with 8");
        let offset = i64::from_be_bytes(*offset);
        let size = i32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]);
        let magic = head[MAGIC_AT] as i8;
        let minimum = match magic {
            MAGIC_V2 => (HEADER_SIZE - LOG_OVERHEAD) as i32,
            old => legacy::min_size(old)?,
        };
        if size < minimum {
            return Err(RecordsError::BadSize { offset, size, minimum });
        }
        Ok(Entry { offset, size_in_bytes: LOG_OVERHEAD + size as usize, magic })
    }
}

/// The header of a batch of any format.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AnyHeader {
    /// Format 2.
    V2(BatchHeader),
    /// Formats 0 and 1: one record, or a wrapper of compressed ones.
    Legacy(LegacyHeader),
}

/// Who wrote a batch idempotently, and its place in the sequence.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProducerInfo {
    /// Producer id, >= 0.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence of the first record, -1 in a marker.
    pub base_sequence: i32,
    /// Sequence of the last record, -1 in a marker.
    pub last_sequence: i32,
}

/// One whole batch: its parsed header and its bytes.
#[derive(Copy, Clone, Debug)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
    header: AnyHeader,
}

impl<'a> BatchView<'a> {
    /// The batch at the start of `bytes`, all of whose bytes must be there; more may follow.
    pub fn parse(bytes: &'a [u8]) -> Result<BatchView<'a>, RecordsError> {
        let entry = Entry::peek(bytes)?;
        let Some(whole) = bytes.get(..entry.size_in_bytes) else {
            return Err(RecordsError::Truncated {
                what: "a batch",
                need: entry.size_in_bytes,
                have: bytes.len(),
            });
        };
        let header = match entry.magic {
            MAGIC_V2 => AnyHeader::V2(BatchHeader::parse(whole)?),
            _ => AnyHeader::Legacy(LegacyHeader::parse(whole)?),
        };
        Ok(BatchView { bytes: whole, header })
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its header.
    pub fn header(&self) -> &AnyHeader {
        &self.header
    }

    /// Its header if it has format 2.
    pub fn v2(&self) -> Option<&BatchHeader> {
        match &self.header {
            AnyHeader::V2(header) => Some(header),
            AnyHeader::Legacy(_) => None,
        }
    }

    /// Format: 0, 1 or 2.
    pub fn magic(&self) -> i8 {
        match &self.header {
            AnyHeader::V2(_) => MAGIC_V2,
            AnyHeader::Legacy(header) => header.magic,
        }
    }

    /// Bytes of the whole batch.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// First offset. Of a compressed wrapper of an old format the LAST one, since its first lies inside.
    pub fn base_offset(&self) -> i64 {
        match &self.header {
            AnyHeader::V2(header) => header.base_offset,
            AnyHeader::Legacy(header) => header.offset,
        }
    }

    /// Last offset.
    pub fn last_offset(&self) -> i64 {
        match &self.header {
            AnyHeader::V2(header) => header.last_offset(),
            AnyHeader::Legacy(header) => header.offset,
        }
    }

    /// Offset after the last.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Largest timestamp in milliseconds, -1 none.
    pub fn max_timestamp(&self) -> i64 {
        match &self.header {
            AnyHeader::V2(header) => header.max_timestamp,
            AnyHeader::Legacy(header) => header.timestamp,
        }
    }

    /// The offset that stands for the max timestamp in a time index: the last of the batch, so that nothing
    /// need be decompressed (`shallowOffsetOfMaxTimestamp`). A look-up starts at the batch, not there.
    pub fn offset_of_max_timestamp(&self) -> i64 {
        self.last_offset()
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        match &self.header {
            AnyHeader::V2(header) => header.timestamp_type(),
            AnyHeader::Legacy(header) => header.timestamp_type(),
        }
    }

    /// The codec.
    pub fn compression(&self) -> Result<Compression, RecordsError> {
        match &self.header {
            AnyHeader::V2(header) => header.compression(),
            AnyHeader::Legacy(header) => header.compression(),
        }
    }

    /// Records inside as the header says; `None` for a compressed wrapper, which does not say.
    pub fn record_count(&self) -> Option<i32> {
        match &self.header {
            AnyHeader::V2(header) => Some(header.record_count),
            AnyHeader::Legacy(header) => (header.compression() == Ok(Compression::None)).then_some(1),
        }
    }

    /// Epoch of the appending leader, -1 in old formats.
    pub fn partition_leader_epoch(&self) -> i32 {
        self.v2().map_or(NONE as i32, |header| header.partition_leader_epoch)
    }

    /// The idempotent producer, if one wrote it.
    pub fn producer(&self) -> Option<ProducerInfo> {
        self.v2().filter(|header| header.has_producer_id()).map(|header| ProducerInfo {
            id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
        })
    }

    /// Whether it is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.v2().is_some_and(BatchHeader::is_transactional)
    }

    /// Whether it is a control batch.
    pub fn is_control(&self) -> bool {
        self.v2().is_some_and(BatchHeader::is_control)
    }

    /// Checks its checksum: CRC-32C in format 2, CRC-32 before.
    pub fn verify_crc(&self) -> Result<(), RecordsError> {
        match &self.header {
            AnyHeader::V2(_) => batch::verify_crc(self.bytes),
            AnyHeader::Legacy(_) => legacy::verify_crc(self.bytes),
        }
    }
}

/// The batches in `bytes`, first to last. After an error (a cut tail gives [`RecordsError::Truncated`])
/// nothing follows.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes, failed: false }
}

/// Iterator of [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batches<'a> {
    /// Bytes not yet walked; after an error, those it was found in.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.failed {
            return None;
        }
        let view = BatchView::parse(self.rest);
        match &view {
            Ok(view) => self.rest = &self.rest[view.size_in_bytes()..],
            Err(_) => self.failed = true,
        }
        Some(view)
    }
}
