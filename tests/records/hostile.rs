//! Broken input: an error, never a panic, never more memory than allowed.

use ottla::protocol::error_code::ErrorCode;
use ottla::protocol::records::batch::{self, HEADER_SIZE};
use ottla::protocol::records::builder::recompress;
use ottla::protocol::records::compression::{compress, decompress};
use ottla::protocol::records::control::{control_type, marker};
use ottla::protocol::records::convert::{down_convert, up_convert};
use ottla::protocol::records::record::body;
use ottla::protocol::records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchView, Compression, Header, NewRecord, RecordsError,
    batches, records, validate_records,
};

const LIMIT: usize = 64 * 1024;

fn originals() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
        for n in 0..8u8 {
            let headers = [Header { key: b"one", value: None }, Header { key: b"two", value: Some(&[n; 9]) }];
            let record = NewRecord {
                timestamp: i64::from(n),
                key: Some(&[n]),
                value: Some(&[n; 300]),
                headers: &headers,
            };
            builder.append(&record).unwrap();
        }
        let built = builder.finish().unwrap();
        if compression != Compression::Zstd {
            for magic in [0, 1] {
                all.push(down_convert(&built, magic, 0, LIMIT).unwrap().bytes);
            }
        }
        all.push(built);
    }
    all
}

/// Everything a broker does with foreign bytes.
fn use_all(bytes: &[u8]) {
    for view in batches(bytes) {
        let Ok(view) = view else { break };
        let _ = (view.verify_crc(), view.next_offset(), view.record_count(), view.producer());
        if let Ok(records) = records(&view, LIMIT) {
            let Ok(iter) = records.iter() else { continue };
            for record in iter {
                let Ok(record) = record else { break };
                assert!(record.value.map_or(0, <[u8]>::len) <= LIMIT.max(bytes.len()));
                let _ = (control_type(record.key), marker(&record), record.headers.count());
            }
        }
        if let Some(header) = view.v2()
            && let Ok(plain) = body(header, view.bytes(), LIMIT)
        {
            assert!(plain.len() <= LIMIT.max(bytes.len()));
            let _ = validate_records(header, &plain);
        }
        let _ = recompress(view.bytes(), Compression::Lz4, None, LIMIT);
        let mut owned = view.bytes().to_vec();
        let _ = batch::set_max_timestamp(&mut owned, batch::TimestampType::LogAppendTime, 1);
    }
    let _ = down_convert(bytes, 0, 0, LIMIT);
    let _ = up_convert(bytes, BatchOptions::default(), LIMIT);
}

#[test]
fn mutated_batches_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let originals = originals();
    for _ in 0..20_000 {
        let mut bytes = originals[random.usize(..originals.len())].clone();
        for _ in 0..random.usize(1..4) {
            let at = match random.bool() {
                true => random.usize(..bytes.len().min(90)),
                false => random.usize(..bytes.len()),
            };
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.u8(..8),
                2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
                _ => bytes.truncate(at.max(1)),
            }
        }
        use_all(&bytes);
    }
}

#[test]
fn every_cut_is_an_error() {
    for bytes in originals() {
        for size in 1..bytes.len() {
            let first = BatchView::parse(&bytes).unwrap().size_in_bytes();
            if size < first {
                let error = BatchView::parse(&bytes[..size]).unwrap_err();
                assert!(matches!(error, RecordsError::Truncated { .. }), "{size}: {error}");
                assert_eq!(error.code(), ErrorCode::CorruptMessage);
            }
            use_all(&bytes[..size]);
        }
    }
}

#[test]
fn every_flipped_bit_behind_the_checksum_is_seen() {
    for bytes in originals() {
        let first = BatchView::parse(&bytes).unwrap();
        let from = if first.magic() == 2 { 21 } else { 18 };
        for at in from..first.size_in_bytes() {
            let mut damaged = first.bytes().to_vec();
            damaged[at] ^= 0x10;
            let seen = BatchView::parse(&damaged).and_then(|view| view.verify_crc());
            assert!(matches!(seen, Err(RecordsError::Checksum { .. })), "byte {at}");
        }
    }
}

#[test]
fn promises_do_not_allocate() {
    // A raw snappy block that says 4 GiB - 1, alone and in a stream.
    let raw = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let mut stream = compress(Compression::Snappy, None, b"").unwrap();
    stream.extend_from_slice(&(raw.len() as u32).to_be_bytes());
    stream.extend_from_slice(&raw);
    for input in [&raw[..], &stream[..]] {
        assert!(decompress(Compression::Snappy, input, usize::MAX).is_err());
    }
    // An LZ4 frame of 4 MiB blocks whose first says 4 MiB and is not there.
    let lz4 = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 0, 0, 0x40, 0];
    assert!(decompress(Compression::Lz4, &lz4, usize::MAX).is_err());
    // A zstd frame with an unknown size and the largest window.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0, 0];
    assert!(decompress(Compression::Zstd, &zstd, LIMIT).is_err());
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 16 << 20];
    for codec in Compression::ALL {
        let bomb = compress(codec, None, &zeros).unwrap();
        let stopped = decompress(codec, &bomb, LIMIT).unwrap_err();
        assert_eq!(stopped, RecordsError::TooLarge { limit: LIMIT }, "{codec}");
        assert_eq!(stopped.code(), ErrorCode::MessageTooLarge);
    }
}

#[test]
fn a_broken_zstd_frame_does_not_spoil_the_next() {
    let input = b"after the broken one".repeat(100);
    let good = compress(Compression::Zstd, None, &input).unwrap();
    for cut in 1..good.len() {
        assert!(decompress(Compression::Zstd, &good[..cut], LIMIT).is_err(), "cut at {cut}");
        assert!(decompress(Compression::Zstd, &good, LIMIT).unwrap() == input);
    }
}

fn sealed(change: impl Fn(&mut BatchHeader)) -> Vec<u8> {
    let mut bytes = originals()[2].clone();
    let mut header = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(header.compression(), Ok(Compression::None));
    change(&mut header);
    header.write(bytes.first_chunk_mut::<HEADER_SIZE>().unwrap());
    batch::seal(&mut bytes).unwrap();
    bytes
}

fn strict(bytes: &[u8]) -> Result<(), RecordsError> {
    let view = BatchView::parse(bytes)?;
    view.verify_crc()?;
    let header = view.v2().unwrap();
    validate_records(header, &body(header, bytes, LIMIT)?).map(|_| ())
}

#[test]
fn headers_that_lie_are_refused_with_the_right_code() {
    assert_eq!(strict(&sealed(|_| {})), Ok(()));
    let code = |change: fn(&mut BatchHeader)| strict(&sealed(change)).unwrap_err().code();
    for (count, last) in [(7, 7), (8, 8), (9, 8), (7, 6), (i32::MAX, i32::MAX - 1), (-1, -2), (0, -1)] {
        let bytes = sealed(|header| {
            header.record_count = count;
            header.last_offset_delta = last;
        });
        assert_eq!(strict(&bytes).unwrap_err().code(), ErrorCode::InvalidRecord, "{count} {last}");
    }
    assert_eq!(code(|header| header.attributes = 5), ErrorCode::UnsupportedCompressionType);
    assert_eq!(code(|header| header.attributes = 1), ErrorCode::CorruptMessage);
    assert_eq!(code(|header| header.batch_length = 48), ErrorCode::CorruptMessage);
    assert_eq!(code(|header| header.batch_length = -1), ErrorCode::CorruptMessage);
    assert_eq!(code(|header| header.batch_length = i32::MAX), ErrorCode::CorruptMessage);
    let mut unknown = sealed(|_| {});
    unknown[16] = 3;
    assert_eq!(strict(&unknown).unwrap_err(), RecordsError::UnknownMagic(3));
}
