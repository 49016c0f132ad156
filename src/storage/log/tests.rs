//! The log over the simulated disk: appends, bounds, transactions, truncation, retention, failures.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::records::batch::{BatchHeader, Compression, TimestampType};
use crate::protocol::records::builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::protocol::records::control::{Marker, MarkerBatch};
use crate::protocol::records::view::batches;
use crate::storage::append_error::AppendError;
use crate::storage::log_config::TopicCompression;
use crate::storage::producer_state::Origin;
use crate::storage::sim_fs::{Call, SimFs};

const NOW: Timestamp = Timestamp(10_000);

fn small() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() }
}

fn new_log(config: LogConfig) -> (SimFs, Log) {
    let fs = SimFs::new(7);
    let context = Arc::new(LogContext::new(Arc::new(fs.clone())));
    let dir = PathBuf::from("/data/t-0");
    let partition = TopicPartition::new("t", 0);
    let log = Log::create(context, partition, dir, None, Arc::new(config), NOW).unwrap();
    (fs, log)
}

fn batch(options: BatchOptions, timestamps: &[i64], key: Option<&[u8]>) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for timestamp in timestamps {
        let value = [b'v'; 40];
        builder.append(&NewRecord { timestamp: *timestamp, key, value: Some(&value), headers: &[] }).unwrap();
    }
    Bytes::from(builder.finish().unwrap())
}

fn plain(timestamps: &[i64]) -> Bytes {
    batch(BatchOptions::default(), timestamps, Some(b"k"))
}

fn of_producer(id: i64, epoch: i16, sequence: i32, transactional: bool) -> Bytes {
    let options = BatchOptions {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        transactional,
        ..BatchOptions::default()
    };
    batch(options, &[NOW.0, NOW.0], Some(b"k"))
}

fn end_of(id: i64, commit: bool) -> Bytes {
    let marker = MarkerBatch {
        base_offset: 0,
        partition_leader_epoch: 0,
        timestamp: NOW.0,
        producer_id: id,
        producer_epoch: 0,
        marker: Marker { commit, coordinator_epoch: 0 },
    };
    Bytes::from(marker.encode().unwrap())
}

fn lead(log: &Log, records: &Bytes) -> Result<AppendInfo, AppendError> {
    log.append_as_leader(records, 3, Origin::Client, NOW)
}

fn code(result: Result<AppendInfo, AppendError>) -> ErrorCode {
    result.map_or_else(|error| error.code(), |_| ErrorCode::None)
}

fn read(log: &Log, from: i64, max: usize, bound: Bound, min_one: bool) -> (Slice, Vec<u8>) {
    let slice = log.read(from, max, bound, min_one).unwrap();
    let mut bytes = vec![0; slice.region.as_ref().map_or(0, |region| region.len)];
    if let Some(region) = &slice.region {
        region.file.read_exact_at(&mut bytes, region.position).unwrap();
    }
    (slice, bytes)
}

#[test]
fn a_leader_gives_offsets_and_stamps_its_epoch() {
    let (_, log) = new_log(LogConfig::default());
    for n in 0..3 {
        let info = lead(&log, &plain(&[1, 5, 3])).unwrap();
        assert_eq!((info.first_offset, info.last_offset, info.max_timestamp), (n * 3, n * 3 + 2, 5));
        assert_eq!((info.record_count, info.log_append_time), (3, -1));
    }
    let (_, bytes) = read(&log, 0, 1 << 20, Bound::LogEnd, true);
    let headers: Vec<BatchHeader> = batches(&bytes).map(|view| *view.unwrap().v2().unwrap()).collect();
    assert_eq!(headers.iter().map(|h| h.base_offset).collect::<Vec<_>>(), [0, 3, 6]);
    assert!(headers.iter().all(|header| header.partition_leader_epoch == 3));
    assert!(batches(&bytes).all(|view| view.unwrap().verify_crc().is_ok()));
    assert_eq!(log.end_offset_for_epoch(3), (3, 9));
    assert_eq!(log.epoch_for(4), Some(3));
}

#[test]
fn reads_stop_at_their_bound_and_at_their_limit() {
    let (_, log) = new_log(small());
    for n in 0..40 {
        lead(&log, &plain(&[n, n])).unwrap();
    }
    assert!(log.segment_count() > 5, "the log rolled");
    let size = plain(&[0, 0]).len();
    for from in 0..80 {
        let (slice, bytes) = read(&log, from, 1, Bound::LogEnd, true);
        assert_eq!(bytes.len(), size, "the first batch comes whole");
        assert_eq!((slice.first_base_offset, slice.first_batch_is_cut), (from / 2 * 2, false));
        let (slice, bytes) = read(&log, from, 10, Bound::LogEnd, false);
        assert_eq!((bytes.len(), slice.first_batch_is_cut), (10, true));
    }
    for watermark in [0, 1, 2, 31, 32, 60, 79, 80] {
        log.update_high_watermark(watermark);
        for from in 0..80 {
            let (slice, bytes) = read(&log, from, 1 << 20, Bound::HighWatermark, true);
            let next = batches(&bytes).map(|view| view.unwrap().next_offset()).max();
            assert_eq!(slice.region.is_some(), from < watermark / 2 * 2, "{from} below {watermark}");
            assert!(next.unwrap_or(0) <= watermark);
        }
    }
    assert!(matches!(log.read(81, 1, Bound::LogEnd, true), Err(LogError::OffsetOutOfRange { .. })));
    assert!(read(&log, 80, 1, Bound::LogEnd, true).0.region.is_none());
}

#[test]
fn what_clients_may_not_send_is_refused_and_changes_nothing() {
    let (_, log) = new_log(LogConfig { max_message_bytes: 4000, compact: true, ..LogConfig::default() });
    let good = plain(&[1]);
    let changed = |at: usize, to: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = to;
        Bytes::from(bytes)
    };
    assert_eq!(code(lead(&log, &changed(7, 9))), ErrorCode::InvalidRecord, "base offset");
    assert_eq!(code(lead(&log, &changed(70, 1))), ErrorCode::CorruptMessage, "checksum");
    assert_eq!(code(lead(&log, &changed(16, 7))), ErrorCode::CorruptMessage, "magic");
    assert_eq!(code(lead(&log, &good.slice(..good.len() - 1))), ErrorCode::CorruptMessage, "cut");
    assert_eq!(
        code(lead(&log, &batch(BatchOptions::default(), &[1; 90], Some(b"k")))),
        ErrorCode::MessageTooLarge
    );
    assert_eq!(code(lead(&log, &end_of(1, true))), ErrorCode::InvalidRecord, "control");
    let mut sealed = good.to_vec();
    sealed[60] = 2;
    crate::protocol::records::batch::seal(&mut sealed).unwrap();
    assert_eq!(code(lead(&log, &Bytes::from(sealed))), ErrorCode::InvalidRecord, "record count");
    for compression in [Compression::None, Compression::Lz4] {
        let keyless = batch(BatchOptions { compression, ..BatchOptions::default() }, &[1, 2], None);
        let Err(AppendError::Invalid { code, records, .. }) = lead(&log, &keyless) else { panic!("refused") };
        assert_eq!((code, records.len(), records[1].index), (ErrorCode::InvalidRecord, 2, 1));
    }
    let negative = BatchOptions { producer_id: 5, producer_epoch: 0, ..BatchOptions::default() };
    assert_eq!(code(lead(&log, &batch(negative, &[1], Some(b"k")))), ErrorCode::InvalidRecord, "sequence");
    let appended = BatchOptions { append_time: Some(4), ..BatchOptions::default() };
    assert_eq!(code(lead(&log, &batch(appended, &[1], Some(b"k")))), ErrorCode::InvalidTimestamp);
    assert_eq!(log.log_end_offset(), 0);
    assert_eq!(lead(&log, &Bytes::new()).unwrap().first_offset, -1);
    log.update_config(Arc::new(LogConfig { segment_bytes: 50, ..LogConfig::default() }));
    assert_eq!(code(lead(&log, &good)), ErrorCode::RecordListTooLarge);
}

#[test]
fn timestamps_follow_the_topic() {
    let bounded =
        LogConfig { timestamp_before_max_ms: 100, timestamp_after_max_ms: 10, ..LogConfig::default() };
    for compression in [Compression::None, Compression::Zstd] {
        let (_, log) = new_log(bounded.clone());
        let of = |timestamps: &[i64]| {
            batch(BatchOptions { compression, ..BatchOptions::default() }, timestamps, Some(b"k"))
        };
        assert_eq!(code(lead(&log, &of(&[NOW.0 - 100, NOW.0 + 10, -1]))), ErrorCode::None);
        let Err(AppendError::Invalid { code, records, .. }) = lead(&log, &of(&[NOW.0, NOW.0 - 101])) else {
            panic!("too old")
        };
        assert_eq!((code, records.len(), records[0].index), (ErrorCode::InvalidTimestamp, 1, 1));
        assert_eq!(self::code(lead(&log, &of(&[NOW.0 + 11]))), ErrorCode::InvalidTimestamp);

        let (_, log) = new_log(LogConfig { timestamp_type: TimestampType::LogAppendTime, ..bounded.clone() });
        let info = lead(&log, &of(&[1, 2])).unwrap();
        assert_eq!((info.log_append_time, info.max_timestamp), (NOW.0, NOW.0));
        let (_, bytes) = read(&log, 0, 1 << 20, Bound::LogEnd, true);
        let view = batches(&bytes).next().unwrap().unwrap();
        view.verify_crc().unwrap();
        assert_eq!((view.timestamp_type(), view.max_timestamp()), (TimestampType::LogAppendTime, NOW.0));
    }
}

#[test]
fn another_codec_or_an_old_format_is_written_anew() {
    let (_, log) =
        new_log(LogConfig { compression: TopicCompression::Only(Compression::Gzip), ..LogConfig::default() });
    for compression in Compression::ALL {
        let options = BatchOptions {
            compression,
            producer_id: 4,
            producer_epoch: 1,
            base_sequence: 0,
            ..BatchOptions::default()
        };
        let options = BatchOptions { producer_id: 4 + compression as i64, ..options };
        let info = lead(&log, &batch(options, &[1, 2, 3], Some(b"k"))).unwrap();
        assert_eq!(info.reencoded, usize::from(compression != Compression::Gzip));
    }
    let mut old = crate::protocol::records::legacy::LegacyBuilder::new(1, Compression::None, None).unwrap();
    for n in 0..3 {
        let record = crate::protocol::records::Record {
            offset: n,
            timestamp: 5 + n,
            sequence: -1,
            attributes: 0,
            key: None,
            value: Some(b"old"),
            headers: Default::default(),
        };
        old.append(&record).unwrap();
    }
    let info = lead(&log, &Bytes::from(old.finish().unwrap())).unwrap();
    assert_eq!((info.first_offset, info.last_offset, info.max_timestamp), (15, 17, 7));
    let (_, bytes) = read(&log, 0, 1 << 20, Bound::LogEnd, true);
    for view in batches(&bytes).map(Result::unwrap) {
        view.verify_crc().unwrap();
        assert_eq!((view.magic(), view.compression().unwrap()), (2, Compression::Gzip));
        let opened = crate::protocol::records::records(&view, 1 << 20).unwrap();
        assert_eq!(opened.iter().unwrap().map(Result::unwrap).count(), 3);
    }
}

#[test]
fn producers_are_deduplicated_and_fenced() {
    let (_, log) = new_log(LogConfig::default());
    for sequence in [0, 2, 4] {
        lead(&log, &of_producer(9, 1, sequence, false)).unwrap();
    }
    let again = lead(&log, &of_producer(9, 1, 2, false)).unwrap();
    assert!(again.is_duplicate);
    assert_eq!((again.first_offset, again.last_offset, log.log_end_offset()), (2, 3, 6));
    assert_eq!(code(lead(&log, &of_producer(9, 1, 8, false))), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(lead(&log, &of_producer(9, 0, 6, false))), ErrorCode::InvalidProducerEpoch);
    assert_eq!(log.active_producers()[0].last_sequence, 5);
}

#[test]
fn an_open_transaction_holds_the_last_stable_offset() {
    let (_, log) = new_log(small());
    let end = |id, commit| log.append_as_leader(&end_of(id, commit), 3, Origin::Coordinator, NOW).unwrap();
    lead(&log, &of_producer(1, 0, 0, true)).unwrap();
    lead(&log, &of_producer(2, 0, 0, true)).unwrap();
    for _ in 0..9 {
        lead(&log, &plain(&[NOW.0, NOW.0])).unwrap();
    }
    log.update_high_watermark(i64::MAX);
    assert_eq!(log.last_stable_offset(), 0);
    assert!(log.has_open_transaction(1));
    end(1, false);
    assert_eq!(log.last_stable_offset(), 0, "the marker is not committed yet");
    log.update_high_watermark(i64::MAX);
    assert_eq!(log.last_stable_offset(), 2);
    end(2, true);
    log.update_high_watermark(i64::MAX);
    assert_eq!(log.last_stable_offset(), 24);
    let (slice, _) = read(&log, 0, 1, Bound::LastStable, true);
    let aborted = slice.aborted.unwrap();
    assert_eq!((aborted[0].producer_id, aborted[0].first_offset, aborted[0].last_offset), (1, 0, 22));
    assert_eq!(aborted.len(), 1, "found in a later segment than the records");
    assert!(read(&log, 23, 1, Bound::LastStable, true).0.aborted.unwrap().is_empty());
}

#[test]
fn a_follower_takes_offsets_as_they_are_but_only_rising() {
    let (_, leader) = new_log(LogConfig::default());
    for n in 0..30 {
        lead(&leader, &plain(&[n, n])).unwrap();
    }
    let (_, bytes) = read(&leader, 0, 1 << 20, Bound::LogEnd, true);
    let bytes = Bytes::from(bytes);
    let (_, log) = new_log(small());
    let cut = log.append_as_follower(&bytes.slice(..bytes.len() - 7), 9, NOW).unwrap();
    assert_eq!((cut.last_offset, log.log_end_offset()), (57, 58), "a cut batch is left out");
    assert!(log.segment_count() > 3, "more than a segment is split");
    assert!(matches!(
        log.append_as_follower(&bytes, 9, NOW),
        Err(AppendError::UnexpectedOffset { first: 0, log_end_offset: 58, .. })
    ));
    let last = read(&leader, 58, 1 << 20, Bound::LogEnd, true).1;
    let twice = Bytes::from([&last[..], &last].concat());
    assert!(matches!(log.append_as_follower(&twice, 9, NOW), Err(AppendError::OffsetsNotRising { .. })));
    log.append_as_follower(&Bytes::from(last), 9, NOW).unwrap();
    assert_eq!(log.log_end_offset(), 60);
    for from in 0..60 {
        let (ours, theirs) =
            (read(&log, from, 1, Bound::LogEnd, true), read(&leader, from, 1, Bound::LogEnd, true));
        assert_eq!(ours.1, theirs.1);
    }
}

#[test]
fn truncation_takes_batches_epochs_and_producers() {
    let (_, log) = new_log(small());
    for epoch in 0..10 {
        log.assign_epoch_at_end(epoch).unwrap();
        let records = of_producer(5, 0, epoch * 2, false);
        log.append_as_leader(&records, epoch, Origin::Client, NOW).unwrap();
    }
    log.update_high_watermark(20);
    assert!(!log.truncate_to(20, NOW).unwrap());
    for to in [17, 9, 5, 1] {
        assert!(log.truncate_to(to, NOW).unwrap());
        let end = to / 2 * 2;
        assert_eq!((log.log_end_offset(), log.high_watermark()), (end, end), "a batch goes as a whole");
        assert!(log.epochs().iter().all(|entry| entry.start_offset < to));
        let last = log.active_producers().first().map(|entry| i64::from(entry.last_sequence));
        assert_eq!(last, (end > 0).then_some(end - 1));
    }
    lead(&log, &plain(&[1])).unwrap();
    log.truncate_fully_and_start_at(500, NOW).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.high_watermark()), (500, 500, 500));
    assert!(log.epochs().is_empty());
    assert_eq!(lead(&log, &plain(&[1])).unwrap().first_offset, 500);
}

#[test]
fn retention_keeps_what_is_not_committed_and_what_it_must() {
    let (_, log) =
        new_log(LogConfig { retention_ms: -1, retention_bytes: 900, file_delete_delay_ms: 5, ..small() });
    for n in 0..40 {
        lead(&log, &plain(&[n, n])).unwrap();
    }
    let held = read(&log, 0, 1 << 20, Bound::LogEnd, true).0.region.unwrap();
    assert_eq!(log.delete_old_segments(NOW).unwrap(), 0, "nothing is committed");
    log.update_high_watermark(80);
    let deleted = log.delete_old_segments(NOW).unwrap();
    assert!(deleted > 0 && log.size() >= 900, "{} bytes left", log.size());
    assert_eq!(log.log_start_offset(), log.segments()[0].base_offset());
    assert!(log.context().trash.empty(&**log.fs(), NOW).is_empty());
    assert!(!log.context().trash.is_empty(), "not yet due");
    assert!(log.context().trash.empty(&**log.fs(), NOW.plus_ms(5)).is_empty());
    assert!(log.context().trash.is_empty());
    let mut bytes = vec![0; held.len];
    held.file.read_exact_at(&mut bytes, held.position).unwrap();
    assert!(batches(&bytes).next().unwrap().unwrap().verify_crc().is_ok(), "a reader keeps its file");

    assert!(matches!(log.increment_log_start(81, "test"), Err(LogError::OffsetOutOfRange { .. })));
    assert!(log.increment_log_start(79, "test").unwrap());
    assert!(!log.increment_log_start(60, "test").unwrap());
    log.update_config(Arc::new(LogConfig { delete: false, ..small() }));
    log.delete_old_segments(NOW).unwrap();
    assert_eq!(log.segment_count(), 1);
    assert_eq!(read(&log, 79, 1, Bound::LogEnd, true).0.first_base_offset, 78, "inside a batch");
    log.update_config(Arc::new(LogConfig { retention_ms: 100, ..small() }));
    assert_eq!(log.delete_old_segments(Timestamp(39 + 100)).unwrap(), 0);
    assert_eq!(log.delete_old_segments(Timestamp(39 + 101)).unwrap(), 1, "even the active one");
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size()), (80, 80, 0));
    assert_eq!(log.delete_old_segments(Timestamp(i64::MAX)).unwrap(), 0, "an empty one stays");
}

#[test]
fn time_rolls_a_segment_on_append_only() {
    let (_, log) = new_log(LogConfig { segment_ms: 100, ..LogConfig::default() });
    for timestamp in [1_000, 1_100, 1_101] {
        lead(&log, &plain(&[timestamp])).unwrap();
    }
    assert_eq!(log.segments().iter().map(|segment| segment.base_offset()).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(log.offsets_before(-1, 5).unwrap(), [0]);
    log.update_high_watermark(3);
    assert_eq!(log.offsets_before(-1, 5).unwrap(), [3, 2, 0]);
    assert_eq!(log.offsets_before(-1, 2).unwrap(), [3, 2]);
    assert_eq!(log.offsets_before(-2, 5).unwrap(), [0]);
    assert_eq!(log.offset_for_max_timestamp().unwrap().unwrap().offset, 2);
}

#[test]
fn a_full_disk_refuses_appends_and_keeps_the_rest() {
    let (fs, log) = new_log(LogConfig::default());
    lead(&log, &plain(&[1, 2])).unwrap();
    fs.limit_space(Some(0));
    let large = batch(BatchOptions::default(), &[1; 200], Some(b"k"));
    let error = lead(&log, &large).unwrap_err();
    assert!(matches!(&error, AppendError::Log(LogError::NoSpace(_))), "{error}");
    assert_eq!((error.code(), error.is_fatal_for_dir()), (ErrorCode::KafkaStorageError, false));
    assert_eq!(log.log_end_offset(), 2);
    assert_eq!(read(&log, 0, 1 << 20, Bound::LogEnd, true).1.len(), plain(&[1, 2]).len(), "reads go on");
    fs.limit_space(None);
    assert_eq!(lead(&log, &large).unwrap().first_offset, 2);
    let (_, bytes) = read(&log, 0, 1 << 20, Bound::LogEnd, true);
    assert!(batches(&bytes).all(|view| view.unwrap().verify_crc().is_ok()));
}

#[test]
fn what_follows_a_batch_that_found_no_room_is_not_out_of_order() {
    let (fs, log) = new_log(LogConfig::default());
    let of = |sequence: i32| {
        let options = BatchOptions {
            producer_id: 7,
            producer_epoch: 0,
            base_sequence: sequence,
            ..BatchOptions::default()
        };
        batch(options, &[1; 200], Some(b"k"))
    };
    lead(&log, &of(0)).unwrap();
    fs.limit_space(Some(0));
    // As a client sends them: the next ones do not wait for the answer to the first.
    for sequence in [200, 400, 600] {
        let error = lead(&log, &of(sequence)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::KafkaStorageError, "{sequence}: {error}");
    }
    assert!(lead(&log, &of(0)).unwrap().is_duplicate, "what is there is there");
    assert_eq!(lead(&log, &of(400)).unwrap_err().code(), ErrorCode::KafkaStorageError);
    fs.limit_space(None);
    for sequence in [200, 400, 600] {
        assert_eq!(lead(&log, &of(sequence)).unwrap().first_offset, i64::from(sequence));
    }
    assert_eq!(lead(&log, &of(1_000)).unwrap_err().code(), ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn a_close_or_roll_opens_the_batches_only_where_the_file_may_be_too_long() {
    let opens = |config: LogConfig, refused: bool, seal: fn(&Log) -> Result<(), LogError>| {
        let (fs, log) = new_log(config);
        lead(&log, &plain(&[1, 2])).unwrap();
        log.flush(NOW).unwrap();
        if refused {
            fs.limit_space(Some(0));
            lead(&log, &batch(BatchOptions::default(), &[1; 200], None)).unwrap_err();
            fs.limit_space(None);
        }
        fs.fail_nth(Call::Name, "/00000000000000000000.log", 1);
        let sealed = seal(&log);
        assert_eq!(sealed.as_ref().is_err_and(LogError::is_fatal_for_dir), sealed.is_err());
        sealed.is_err()
    };
    let preallocated = LogConfig { preallocate: true, ..LogConfig::default() };
    for seal in [|log: &Log| log.close(NOW), |log: &Log| log.roll(NOW).map(|_| ())] {
        assert!(!opens(LogConfig::default(), false, seal), "flushed already, and as long as its batches");
        assert!(opens(preallocated.clone(), false, seal), "to be cut");
        assert!(opens(LogConfig::default(), true, seal), "what was taken back may still be on the disk");
    }
}

#[test]
fn a_failed_write_or_sync_fences_for_good() {
    for (call, part) in [(Call::Write, ".log"), (Call::Sync, ".log"), (Call::Write, ".txnindex")] {
        let (fs, log) = new_log(LogConfig::default());
        lead(&log, &of_producer(1, 0, 0, true)).unwrap();
        fs.fail_nth(call, part, 1);
        let failed = match call {
            Call::Sync => log.flush(NOW).map(|_| ()).map_err(AppendError::from),
            _ => log.append_as_leader(&end_of(1, false), 3, Origin::Coordinator, NOW).map(|_| ()),
        };
        let error = failed.unwrap_err();
        assert!(error.is_fatal_for_dir() && error.code() == ErrorCode::KafkaStorageError, "{part}: {error}");
        assert!(lead(&log, &plain(&[1])).unwrap_err().is_fatal_for_dir());
        assert!(log.flush(NOW).is_err() && log.close(NOW).is_err());
        assert!(matches!(log.read(0, 1, Bound::LogEnd, true), Err(LogError::Fenced(_))));
        assert_eq!(log.flushed_offset(), 0);
    }
}
