//! The records of a Fetch answer: as they lie in the file, or converted for clients of versions 0 to 3, which know
//! only the old formats (`KafkaApis.maybeConvertFetchedData`, `LazyDownConversionRecords`, KIP-283).
//!
//! A few kilobytes may hold hundreds of megabytes, so converting is kept from everybody else: it runs on a blocking
//! thread, for one partition at a time in the whole broker, and reads and converts no more than is sent. That is
//! as many bytes as lie in the file, but at least the first batch; the last one may be cut, which clients expect.
//! Kafka promises that size before it converts and pads what comes out shorter; here the answer is shorter.
//! A batch that cannot be converted (zstd has no old format) ends the answer; it is an error only as the first.

use std::io;

use bytes::Bytes;

use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::Records;
use crate::protocol::records::RecordsError;
use crate::protocol::records::batch::{Compression, HEADER_SIZE};
use crate::protocol::records::convert::down_convert;
use crate::protocol::records::view::{ENTRY_HEADER_SIZE, Entry, batches};
use crate::replication::fetch::{Target, records_of};
use crate::storage::log::{FileRegion, Slice};
use crate::storage::log_config::TopicCompression;

/// Partitions converted at once, in the whole broker: each may take twice [`DECOMPRESSED_MAX`].
pub const AT_ONCE: usize = 1;
/// What one batch may decompress to while it is converted, and what it may be in the old format uncompressed.
const DECOMPRESSED_MAX: usize = 256 << 20;
/// Bytes of a file read at once; a larger batch is read whole.
const PIECE: usize = 128 << 10;

/// The old format that clients of a version need; `None` from version 4 on.
pub fn old_format(version: i16) -> Option<i8> {
    match version {
        0 | 1 => Some(0),
        2 | 3 => Some(1),
        _ => None,
    }
}

/// The records to send for one partition. Waits only where [`old_format`] gives one.
pub async fn records(
    broker: &Broker,
    target: &Target,
    slice: Slice,
    version: i16,
) -> Result<Records, ErrorCode> {
    if version >= 10 {
        return Ok(records_of(slice));
    }
    let topic = &target.partition.as_ref().map_err(|code| *code)?.tp.topic;
    let config = broker.configs.log_config(topic);
    if config.compression == TopicCompression::Only(Compression::Zstd) {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    let Some(magic) = old_format(version) else { return Ok(records_of(slice)) };
    if !config.downconversion {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let Some(region) = slice.region else { return Ok(Records::default()) };
    // Boxed, so that the future of a newer client's fetch stays small.
    Box::pin(converted(broker, region, magic, target)).await
}

/// Converts on a thread that may block, when it is this partition's turn.
async fn converted(
    broker: &Broker,
    region: FileRegion,
    magic: i8,
    target: &Target,
) -> Result<Records, ErrorCode> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a conversion for an old client ended abnormally");
        ErrorCode::UnknownServerError
    };
    let turn = broker.conversions.clone().acquire_owned().await.map_err(|error| failed(&error))?;
    let first_offset = target.wanted.fetch_offset;
    let work = move || {
        let converted = Conversion::new(&region, magic, first_offset).run();
        // Here, not outside: a client that goes away ends the waiting, not the work.
        drop(turn);
        converted
    };
    let converted = crate::blocking::run(work).await.map_err(|error| failed(&error))?;
    converted.map(|bytes| Records::from(Bytes::from(bytes))).map_err(|error| {
        let (topic, code) = (&target.wanted.key.topic, error.code());
        let text = "records cannot be converted for an old client";
        match code {
            // Nothing is wrong with the records, and such a client asks for them again and again.
            ErrorCode::UnsupportedCompressionType => tracing::debug!(%topic, %error, text),
            _ => tracing::warn!(%topic, %error, text),
        }
        code
    })
}

#[derive(Debug, thiserror::Error)]
enum ConversionError {
    #[error("a segment cannot be read: {0}")]
    Storage(#[from] io::Error),
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl ConversionError {
    fn code(&self) -> ErrorCode {
        match self {
            ConversionError::Storage(_) => ErrorCode::KafkaStorageError,
            ConversionError::Records(error) => error.code(),
        }
    }
}

/// A walk over the batches of a region.
struct Conversion<'a> {
    region: &'a FileRegion,
    magic: i8,
    first_offset: i64,
    /// Bytes of the region that are converted.
    walked: usize,
    /// What they gave.
    out: Vec<u8>,
    /// Bytes to send at most.
    most: usize,
}

impl<'a> Conversion<'a> {
    fn new(region: &'a FileRegion, magic: i8, first_offset: i64) -> Conversion<'a> {
        Conversion { region, magic, first_offset, walked: 0, out: Vec::new(), most: region.len }
    }

    fn run(mut self) -> Result<Vec<u8>, ConversionError> {
        while self.out.len() < self.most {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break,
                // The client reads up to there; its next fetch starts at this batch and is told.
                Err(_) if !self.out.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        if self.out.is_empty() && self.walked > 0 {
            return Ok(overflow());
        }
        self.out.truncate(self.most);
        Ok(self.out)
    }

    /// Converts the next batches; `false` when no whole one is left.
    fn step(&mut self) -> Result<bool, ConversionError> {
        let Some(piece) = self.piece()? else { return Ok(false) };
        for view in batches(&piece) {
            let view = match view {
                // The next piece starts with it.
                Err(RecordsError::Truncated { .. }) => break,
                view => view?,
            };
            let converted = down_convert(view.bytes(), self.magic, self.first_offset, DECOMPRESSED_MAX)?;
            self.walked += view.size_in_bytes();
            if self.out.is_empty() {
                self.out = converted.bytes;
                self.most = self.most.max(self.out.len());
            } else {
                self.out.extend_from_slice(&converted.bytes);
            }
            if self.out.len() >= self.most {
                break;
            }
        }
        Ok(true)
    }

    /// The bytes of the next batch and some after it; `None` when the region holds no whole one any more.
    fn piece(&self) -> Result<Option<Vec<u8>>, ConversionError> {
        let left = self.region.len - self.walked;
        if left < ENTRY_HEADER_SIZE {
            return Ok(None);
        }
        let position = self.region.position + self.walked as u64;
        let mut piece = vec![0; left.min(PIECE)];
        self.region.file.read_exact_at(&mut piece, position)?;
        let first = Entry::peek(&piece)?.size_in_bytes;
        if first > left {
            return Ok(None);
        }
        let read = piece.len();
        if first > read {
            piece.resize(first, 0);
            self.region.file.read_exact_at(&mut piece[read..], position + read as u64)?;
        }
        Ok(Some(piece))
    }
}

/// The start of a batch that is longer than the answer: where nothing is left of the batches (markers only), it makes
/// the client ask for more bytes, so that it gets past them (`LazyDownConversionRecordsSend.buildOverflowBatch`).
fn overflow() -> Vec<u8> {
    [&(-1i64).to_be_bytes()[..], &(HEADER_SIZE as i32).to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::protocol::records::{BatchOptions, NewRecord, builder::BatchBuilder};
    use crate::storage::fs::{Fs, Open, OsFs};

    fn batch(base_offset: i64, compression: Compression, count: usize) -> Vec<u8> {
        let options = BatchOptions { base_offset, compression, ..Default::default() };
        let mut builder = BatchBuilder::new(options);
        for _ in 0..count {
            builder.append(&NewRecord { value: Some(b"v"), ..Default::default() }).unwrap();
        }
        builder.finish().unwrap()
    }

    /// A region of `len` bytes, of which the file has `bytes`; something else lies before it.
    fn region(bytes: &[u8], len: usize) -> FileRegion {
        let dir = tempfile::tempdir().unwrap();
        let file = OsFs.open(&dir.path().join("0.log"), Open::Create).unwrap();
        file.write_all_at(&[IoSlice::new(b"before"), IoSlice::new(bytes)], 0).unwrap();
        FileRegion { file, position: 6, len }
    }

    fn offsets(bytes: &[u8]) -> Vec<i64> {
        batches(bytes).map_while(Result::ok).map(|view| view.base_offset()).collect()
    }

    #[test]
    fn no_more_is_read_and_converted_than_is_sent() {
        let all: Vec<u8> = (0..200).flat_map(|n| batch(n * 1000, Compression::None, 1000)).collect();
        // Records alone are larger in the old formats, so a part of the file fills the answer.
        let region = region(&all[..all.len() / 2], all.len());
        let converted = Conversion::new(&region, 1, 0).run().unwrap();
        assert_eq!(converted.len(), all.len(), "as many bytes as lie in the file");
        let offsets = offsets(&converted);
        assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>());
        assert!(offsets.len() > 10_000 && offsets.len() < 100_000, "{}", offsets.len());
    }

    #[test]
    fn the_first_batch_is_sent_whole_and_a_cut_one_not_at_all() {
        let first = batch(0, Compression::None, 20_000);
        assert!(first.len() > PIECE);
        let converted = Conversion::new(&region(&first, first.len()), 1, 0).run().unwrap();
        assert_eq!(offsets(&converted).len(), 20_000);
        assert!(converted.len() > first.len());
        for len in [0, 16, 17, first.len() - 1] {
            assert!(Conversion::new(&region(&first, len), 1, 0).run().unwrap().is_empty(), "{len} bytes");
        }
    }

    #[test]
    fn batches_across_pieces_are_all_converted() {
        let all: Vec<u8> = (0..3).flat_map(|n| batch(n * 20_000, Compression::Gzip, 20_000)).collect();
        let single: Vec<u8> = (0..5000).flat_map(|n| batch(60_000 + n, Compression::None, 1)).collect();
        assert!(single.len() > 2 * PIECE);
        let all = [all, single].concat();
        let converted = Conversion::new(&region(&all, all.len()), 0, 0).run().unwrap();
        let wrappers = (1..=3).map(|n| n * 20_000 - 1);
        assert_eq!(offsets(&converted), wrappers.chain(60_000..65_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_converted_ends_the_answer_and_fails_alone() {
        let plain = batch(0, Compression::None, 3);
        let zstd = batch(3, Compression::Zstd, 3);
        let after = batch(6, Compression::None, 3);
        let all = [&plain[..], &zstd, &after].concat();
        let converted = Conversion::new(&region(&all, all.len()), 1, 0).run().unwrap();
        assert_eq!(offsets(&converted), [0, 1, 2], "nothing from after the gap");
        // Of the first batch nothing is asked for.
        for (bytes, first_offset) in [(&all[plain.len()..], 3), (&all[..], 3)] {
            let refused = Conversion::new(&region(bytes, bytes.len()), 1, first_offset).run().unwrap_err();
            assert_eq!(refused.code(), ErrorCode::UnsupportedCompressionType);
        }
    }

    #[test]
    fn batches_that_leave_nothing_make_the_client_ask_for_more() {
        let options = BatchOptions { producer_id: 1, producer_epoch: 0, control: true, ..Default::default() };
        let mut marker = BatchBuilder::new(options);
        marker.append(&NewRecord { key: Some(&[0, 0, 0, 1]), ..Default::default() }).unwrap();
        let marker = marker.finish().unwrap();
        let converted = Conversion::new(&region(&marker, marker.len()), 1, 0).run().unwrap();
        assert_eq!(converted.len(), 12);
        assert!(matches!(batches(&converted).next(), Some(Err(RecordsError::Truncated { .. }))));
        assert_eq!(converted[8..], 61i32.to_be_bytes());
    }
}
