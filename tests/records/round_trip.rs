//! Random records through builder and iterator, all codecs; stamping; recompression.

use ottla::protocol::records::batch::{self, Stamp, add_to_sequence};
use ottla::protocol::records::builder::recompress;
use ottla::protocol::records::compression::{compress, decompress};
use ottla::protocol::records::record::body;
use ottla::protocol::records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchView, Compression, Header, NewRecord, RecordsError,
    TimestampType, batches, records, validate_records,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 22;

/// Timestamp, key, value, headers.
type Model = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..max),
        (any::<u8>(), 0..max).prop_map(|(byte, size)| vec![byte; size]),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let header = (bytes(20), proptest::option::of(bytes(80)));
    (
        prop_oneof![Just(-1i64), 0..2_000_000_000_000i64, Just(i64::MAX)],
        proptest::option::of(bytes(70)),
        proptest::option::of(bytes(9000)),
        proptest::collection::vec(header, 0..4),
    )
}

pub fn build(options: BatchOptions, models: &[Model]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key, value, headers) in models {
        let headers: Vec<Header<'_>> =
            headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        let record = NewRecord {
            timestamp: *timestamp,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        };
        builder.append(&record).unwrap();
    }
    builder.finish().unwrap()
}

fn read(bytes: &[u8]) -> Vec<Model> {
    let view = BatchView::parse(bytes).unwrap();
    view.verify_crc().unwrap();
    assert_eq!(view.size_in_bytes(), bytes.len());
    let records = records(&view, LIMIT).unwrap();
    let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
    let mut models = Vec::new();
    for (index, record) in records.iter().unwrap().enumerate() {
        let record = record.unwrap();
        assert_eq!(record.offset, view.base_offset() + index as i64);
        let headers = record.headers.map(|header| (header.key.to_vec(), owned(header.value))).collect();
        models.push((record.timestamp, owned(record.key), owned(record.value), headers));
    }
    models
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_read(models in proptest::collection::vec(model(), 1..30), base_offset in 0..1i64 << 60) {
        for compression in Compression::ALL {
            let options = BatchOptions {
                base_offset,
                compression,
                producer_id: 7,
                producer_epoch: 3,
                base_sequence: i32::MAX - 4,
                ..BatchOptions::default()
            };
            let built = build(options, &models);
            prop_assert_eq!(&read(&built), &models);
            let header = BatchHeader::parse(&built).unwrap();
            let max = models.iter().map(|model| model.0).max().unwrap();
            prop_assert_eq!(header.max_timestamp, max);
            prop_assert_eq!(header.last_offset(), base_offset + models.len() as i64 - 1);
            prop_assert_eq!(header.last_sequence(), add_to_sequence(i32::MAX - 4, models.len() as i32 - 1));
            let checked = validate_records(&header, &body(&header, &built, LIMIT).unwrap()).unwrap();
            prop_assert_eq!(checked.max_timestamp, max);
            let first = models.iter().position(|model| model.0 == max).unwrap() as i64;
            prop_assert_eq!(checked.offset_of_max_timestamp, base_offset + first);
            let min = models.iter().map(|model| model.0).filter(|&at| at != -1).min().unwrap_or(-1);
            prop_assert_eq!(checked.min_timestamp, min);
            prop_assert_eq!(checked.first_without_key, models.iter().position(|model| model.1.is_none()));
            for codec in Compression::ALL {
                let other = recompress(&built, codec, None, LIMIT).unwrap();
                prop_assert_eq!(&read(&other), &models);
                let changed = BatchHeader::parse(&other).unwrap();
                prop_assert_eq!(changed.compression(), Ok(codec));
                prop_assert_eq!(changed.producer_id, 7);
            }
        }
    }

    #[test]
    fn codecs_round_trip_and_keep_the_limit(input in bytes(200_000)) {
        for codec in Compression::ALL {
            let packed = compress(codec, None, &input).unwrap();
            prop_assert!(decompress(codec, &packed, input.len()).unwrap() == input, "{codec}");
            if !input.is_empty() {
                let limit = input.len() - 1;
                prop_assert_eq!(decompress(codec, &packed, limit), Err(RecordsError::TooLarge { limit }));
            }
        }
    }
}

#[test]
fn levels_are_accepted_at_their_ends_and_beyond() {
    let input: Vec<u8> = (0..50_000u32).flat_map(|n| (n % 1000).to_be_bytes()).collect();
    for (codec, levels) in [
        (Compression::Gzip, vec![-1, 1, 9, 99]),
        (Compression::Zstd, vec![-131_072, 1, 22, i32::MAX]),
        (Compression::Lz4, vec![1, 17]),
    ] {
        for level in levels {
            let packed = compress(codec, Some(level), &input).unwrap();
            // The lowest zstd level stores the bytes as they are.
            assert!(packed.len() < input.len() || level == -131_072, "{codec} {level}");
            assert!(decompress(codec, &packed, input.len()).unwrap() == input, "{codec} {level}");
        }
    }
}

#[test]
fn snappy_is_read_raw_and_in_streams_after_one_another() {
    let input = b"abcabcabcabcabcabcabcabc".repeat(4000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert!(decompress(Compression::Snappy, &raw, LIMIT).unwrap() == input);
    let stream = compress(Compression::Snappy, None, &input).unwrap();
    assert_eq!(stream[..16], [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    let twice = [&stream[..], &stream[..]].concat();
    assert!(decompress(Compression::Snappy, &twice, LIMIT).unwrap() == input.repeat(2));
}

#[test]
fn offset_and_leader_epoch_lie_outside_the_checksum() {
    let built = build(BatchOptions::default(), &[(5, None, Some(vec![1]), vec![])]);
    let mut stamped = built.clone();
    let stamp = Stamp { base_offset: 1 << 40, partition_leader_epoch: 9, timestamp: None };
    batch::stamp(&mut stamped, &stamp).unwrap();
    batch::verify_crc(&stamped).unwrap();
    let header = BatchHeader::parse(&stamped).unwrap();
    assert_eq!((header.base_offset, header.partition_leader_epoch), (1 << 40, 9));
    assert_eq!(stamped[16..], built[16..]);
    let same = Stamp { timestamp: Some((TimestampType::CreateTime, 5)), ..stamp };
    batch::stamp(&mut stamped, &same).unwrap();
    assert_eq!(stamped[16..], built[16..], "nothing to change, nothing to compute");
    let append = Stamp { timestamp: Some((TimestampType::LogAppendTime, 77)), ..stamp };
    batch::stamp(&mut stamped, &append).unwrap();
    batch::verify_crc(&stamped).unwrap();
    assert_eq!(read(&stamped)[0].0, 77);
    assert!(batch::stamp(&mut stamped[..60], &stamp).is_err());
    stamped.push(0);
    assert!(batch::stamp(&mut stamped, &same).is_err(), "the checksum would cover a foreign byte");
}

#[test]
fn sequences_wrap_at_31_bits() {
    assert_eq!(add_to_sequence(i32::MAX, 1), 0);
    assert_eq!(add_to_sequence(i32::MAX - 1, 3), 1);
    assert_eq!(add_to_sequence(0, i32::MAX), i32::MAX);
    assert_eq!(add_to_sequence(5, 0), 5);
}

#[test]
fn compaction_may_leave_gaps_and_span_but_the_strict_walk_refuses_them() {
    let options = BatchOptions { base_offset: 10, last_offset: Some(20), ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    let record = NewRecord { timestamp: 1, key: Some(b"k"), ..NewRecord::default() };
    builder.append_at(12, &record).unwrap();
    builder.append_at(15, &record).unwrap();
    assert!(builder.append_at(15, &record).is_err(), "offsets ascend");
    assert!(builder.append_at(10 + (1 << 31), &record).is_err(), "deltas have 31 bits");
    let built = builder.finish().unwrap();
    let view = batches(&built).next().unwrap().unwrap();
    assert_eq!((view.base_offset(), view.last_offset(), view.record_count()), (10, 20, Some(2)));
    let records = records(&view, 0).unwrap();
    let offsets: Vec<i64> = records.iter().unwrap().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [12, 15]);
    assert!(validate_records(view.v2().unwrap(), &built[61..]).is_err());
}
