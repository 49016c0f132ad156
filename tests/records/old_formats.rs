//! Formats 0 and 1: down to them, up from them, and their rules.

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::records::compression::compress;
use ottla::protocol::records::control::{Marker, MarkerBatch};
use ottla::protocol::records::convert::{down_convert, up_convert};
use ottla::protocol::records::legacy::LegacyBuilder;
use ottla::protocol::records::{
    BatchBuilder, BatchOptions, BatchView, Compression, Header, NewRecord, Record, RecordsError, batches,
    records,
};

const LIMIT: usize = 1 << 20;
const OLD_CODECS: [Compression; 4] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4];

fn log(compression: Compression) -> Vec<u8> {
    let marker = Marker { commit: true, coordinator_epoch: 1 };
    let mut log = Vec::new();
    for base_offset in [100, 104] {
        let options = BatchOptions { base_offset, compression, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        for n in 0..3i64 {
            let key = format!("k{n}");
            let headers = [Header { key: b"h", value: None }];
            let (key, value) = (Some(key.as_bytes()), (n != 1).then_some(&b"some value"[..]));
            builder.append(&NewRecord { timestamp: 1000 + n, key, value, headers: &headers }).unwrap();
        }
        log.extend(builder.finish().unwrap());
        let timestamp = 2000;
        let (base_offset, partition_leader_epoch) = (base_offset + 3, 0);
        let (producer_id, producer_epoch) = (1, 0);
        let batch = MarkerBatch {
            base_offset,
            partition_leader_epoch,
            timestamp,
            producer_id,
            producer_epoch,
            marker,
        };
        log.extend(batch.encode().unwrap());
    }
    log
}

/// Offset, timestamp, key, whether it has a value.
fn read(bytes: &[u8]) -> Vec<(i64, i64, String, bool)> {
    let mut all = Vec::new();
    for view in batches(bytes) {
        let view = view.unwrap();
        view.verify_crc().unwrap();
        let records = records(&view, LIMIT).unwrap();
        for record in records.iter().unwrap() {
            let Record { offset, timestamp, key, value, headers, .. } = record.unwrap();
            assert!(headers.is_empty());
            let key = String::from_utf8(key.unwrap().to_vec()).unwrap();
            all.push((offset, timestamp, key, value.is_some()));
        }
    }
    all
}

#[test]
fn down_conversion_keeps_offsets_and_drops_headers_and_markers() {
    for codec in OLD_CODECS {
        let log = log(codec);
        for magic in [0, 1] {
            let converted = down_convert(&log, magic, 0, LIMIT).unwrap();
            assert!(batches(&converted.bytes).all(|view| view.unwrap().magic() == magic));
            let found = read(&converted.bytes);
            let expected: Vec<_> = [100, 101, 102, 104, 105, 106]
                .into_iter()
                .map(|offset: i64| {
                    let n = (offset - 100) % 4;
                    let timestamp = if magic == 0 { -1 } else { 1000 + n };
                    (offset, timestamp, format!("k{n}"), n != 1)
                })
                .collect();
            assert_eq!(found, expected, "{codec} to format {magic}");
            assert_eq!(converted.record_count, 6);
            let again = down_convert(&converted.bytes, magic, 0, LIMIT).unwrap();
            assert_eq!(again.bytes, converted.bytes, "what is old enough stays as it is");
            assert_eq!(again.record_count, 0);
        }
    }
}

#[test]
fn down_conversion_starts_at_the_wanted_offset_only_when_uncompressed() {
    for (codec, first) in [(Compression::None, 101), (Compression::Gzip, 100)] {
        let converted = down_convert(&log(codec), 1, 101, LIMIT).unwrap();
        assert_eq!(read(&converted.bytes)[0].0, first, "{codec}");
    }
}

#[test]
fn down_conversion_stops_at_a_cut_batch_and_refuses_zstd() {
    let log_bytes = log(Compression::None);
    let converted = down_convert(&log_bytes[..log_bytes.len() - 90], 1, 0, LIMIT).unwrap();
    assert_eq!(converted.record_count, 3);
    let refused = down_convert(&log(Compression::Zstd), 1, 0, LIMIT).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UnsupportedCompressionType);
}

#[test]
fn down_conversion_is_bounded_before_and_after() {
    let gzip = BatchOptions { compression: Compression::Gzip, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(gzip);
    (0..1000).for_each(|_| builder.append(&NewRecord::default()).unwrap());
    let batch = builder.finish().unwrap();
    // 1000 empty records take less than 9 bytes each in format 2, and 34 in format 1.
    for (limit, fits) in [(1000, false), (9000, false), (33_999, false), (34_000, true)] {
        let converted = down_convert(&batch, 1, 0, limit);
        let too_large = RecordsError::TooLarge { limit };
        assert_eq!(converted.as_ref().err(), (!fits).then_some(&too_large));
    }
}

#[test]
fn append_time_travels_down_in_format_1() {
    let options = BatchOptions { append_time: Some(77), ..BatchOptions::default() };
    for codec in OLD_CODECS {
        let mut builder = BatchBuilder::new(BatchOptions { compression: codec, ..options });
        builder.append(&NewRecord { timestamp: 5, key: Some(b"k"), ..NewRecord::default() }).unwrap();
        let converted = down_convert(&builder.finish().unwrap(), 1, 0, LIMIT).unwrap();
        assert_eq!(read(&converted.bytes), [(0, 77, "k".to_owned(), false)]);
        let view = BatchView::parse(&converted.bytes).unwrap();
        assert_eq!(view.timestamp_type(), ottla::protocol::records::TimestampType::LogAppendTime);
    }
}

fn set(magic: i8, codec: Compression) -> Vec<u8> {
    let mut builder = LegacyBuilder::new(magic, codec, None).unwrap();
    for n in 0..5i64 {
        let key = format!("k{n}");
        let record = Record {
            offset: n,
            timestamp: 50 - n,
            sequence: -1,
            attributes: 0,
            key: Some(key.as_bytes()),
            value: Some(b"v"),
            headers: Default::default(),
        };
        builder.append(&record).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn up_conversion_gives_one_batch_with_new_offsets() {
    for codec in OLD_CODECS {
        for magic in [0, 1] {
            let options = BatchOptions { base_offset: 900, compression: codec, ..BatchOptions::default() };
            let converted = up_convert(&set(magic, codec), options, LIMIT).unwrap();
            assert_eq!(converted.record_count, 5);
            let expected: Vec<_> = (0..5i64)
                .map(|n| (900 + n, if magic == 0 { -1 } else { 50 - n }, format!("k{n}"), true))
                .collect();
            assert_eq!(read(&converted.bytes), expected, "{codec} from format {magic}");
            let view = BatchView::parse(&converted.bytes).unwrap();
            assert_eq!(view.size_in_bytes(), converted.bytes.len(), "one batch");
            assert_eq!(view.max_timestamp(), if magic == 0 { -1 } else { 50 });
        }
    }
}

#[test]
fn up_conversion_refuses_what_kafka_refuses() {
    let options = BatchOptions::default();
    let wrapper = set(1, Compression::Gzip);
    let two = [&wrapper[..], &wrapper[..]].concat();
    assert_eq!(up_convert(&two, options, LIMIT).unwrap_err().code(), ErrorCode::InvalidRecord);
    let mixed = [set(0, Compression::None), set(1, Compression::None)].concat();
    assert_eq!(up_convert(&mixed, options, LIMIT).unwrap_err().code(), ErrorCode::InvalidRecord);
    let mut damaged = set(1, Compression::None);
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(up_convert(&damaged, options, LIMIT).unwrap_err().code(), ErrorCode::CorruptMessage);
    assert_eq!(up_convert(&wrapper, options, 10).unwrap_err().code(), ErrorCode::MessageTooLarge);
    assert!(up_convert(&[], options, LIMIT).is_err(), "no records, no batch");
    assert!(LegacyBuilder::new(1, Compression::Zstd, None).is_err());
    assert!(LegacyBuilder::new(2, Compression::None, None).is_err());
}

#[test]
fn inner_offsets_are_relative_in_format_1_and_absolute_in_format_0() {
    for (magic, inner_last) in [(0, 102i64), (1, 2)] {
        let converted = down_convert(&log(Compression::Gzip), magic, 0, LIMIT).unwrap();
        let view = BatchView::parse(&converted.bytes).unwrap();
        assert_eq!((view.base_offset(), view.record_count()), (102, None), "a wrapper has its last offset");
        let header = match view.header() {
            ottla::protocol::records::view::AnyHeader::Legacy(header) => header,
            other => panic!("{other:?}"),
        };
        let inner = ottla::protocol::records::legacy::body(header, view.bytes(), LIMIT).unwrap();
        let last = batches(&inner).last().unwrap().unwrap();
        assert_eq!(last.base_offset(), inner_last);
    }
}

/// A wrapper like `set`'s, but with this offset.
fn wrapper_at(magic: i8, offset: i64) -> Vec<u8> {
    let mut bytes = set(magic, Compression::Snappy);
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes
}

fn offsets(bytes: &[u8]) -> Result<Vec<i64>, RecordsError> {
    let view = BatchView::parse(bytes)?;
    let records = records(&view, LIMIT)?;
    records.iter()?.map(|record| record.map(|record| record.offset)).collect()
}

#[test]
fn a_wrapper_counts_back_from_its_last_inner_offset() {
    assert_eq!(offsets(&wrapper_at(1, 74)), Ok(vec![70, 71, 72, 73, 74]));
    assert_eq!(offsets(&wrapper_at(1, 0)), Ok(vec![0, 1, 2, 3, 4]), "as some clients send it");
    assert_eq!(offsets(&wrapper_at(0, 74)), Ok(vec![0, 1, 2, 3, 4]), "absolute");
    assert_eq!(offsets(&wrapper_at(1, 3)).unwrap_err().code(), ErrorCode::InvalidRecord);
    assert_eq!(offsets(&wrapper_at(1, -9)).unwrap_err().code(), ErrorCode::InvalidRecord);
}

/// A gzip wrapper of format 1 around these bytes.
fn wrap(inner: &[u8]) -> Vec<u8> {
    let value = compress(Compression::Gzip, None, inner).unwrap();
    let mut builder = LegacyBuilder::new(1, Compression::None, None).unwrap();
    let (offset, timestamp, sequence) = (0, 9, -1);
    let headers = Default::default();
    let record =
        Record { offset, timestamp, sequence, attributes: 0, key: None, value: Some(&value), headers };
    builder.append(&record).unwrap();
    let mut bytes = builder.finish().unwrap();
    bytes[17] = Compression::Gzip as u8;
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn inner_messages_are_checked_harder_on_the_way_in() {
    let options = BatchOptions::default();
    let up = |bytes: &[u8]| up_convert(bytes, options, LIMIT).map_err(|error| error.code());
    assert_eq!(up(&wrap(&set(1, Compression::None))).unwrap().record_count, 5);
    let mixed = wrap(&set(0, Compression::None));
    assert_eq!(offsets(&mixed), Ok(vec![0, 1, 2, 3, 4]), "old logs may hold it");
    assert_eq!(up(&mixed), Err(ErrorCode::InvalidRecord));
    let nested = wrap(&set(1, Compression::Gzip));
    assert!(offsets(&nested).is_err());
    assert_eq!(up(&nested), Err(ErrorCode::InvalidRecord));
    assert_eq!(up(&wrap(&[])), Err(ErrorCode::InvalidRecord));
    let mut damaged = set(1, Compression::None);
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(up(&wrap(&damaged)), Err(ErrorCode::CorruptMessage));
}
