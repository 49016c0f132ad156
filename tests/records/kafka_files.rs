//! Every segment of the sample, printed as Kafka's dump tool prints it, must give the dump's own lines; and
//! every batch, taken apart and built again, must give Kafka's own bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ottla::protocol::records::batch::HEADER_SIZE;
use ottla::protocol::records::control::{self, ControlType, Marker, MarkerBatch};
use ottla::protocol::records::legacy::LegacyBuilder;
use ottla::protocol::records::record::body;
use ottla::protocol::records::view::AnyHeader;
use ottla::protocol::records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchView, Compression, Record, TimestampType, batches, records,
    validate_records,
};

use crate::sample;

const LIMIT: usize = 1 << 20;

fn segments() -> BTreeMap<String, Vec<u8>> {
    sample::files(|name| name.ends_with(".log"))
}

fn time(view: &BatchView<'_>, timestamp: i64) -> String {
    match (view.magic(), view.timestamp_type()) {
        (0, _) => format!("NoTimestampType: {timestamp}"),
        (_, TimestampType::CreateTime) => format!("CreateTime: {timestamp}"),
        (_, TimestampType::LogAppendTime) => format!("LogAppendTime: {timestamp}"),
    }
}

fn batch_line(view: &BatchView<'_>, position: usize) -> String {
    let (size, magic) = (view.size_in_bytes(), view.magic());
    let (codec, valid) = (view.compression().unwrap(), view.verify_crc().is_ok());
    let time = time(view, view.max_timestamp());
    let tail = |crc| {
        format!("{time} size: {size} magic: {magic} compresscodec: {codec} crc: {crc} isvalid: {valid}")
    };
    match view.header() {
        AnyHeader::Legacy(header) => {
            format!("offset: {} position: {position} {}", header.offset, tail(header.crc))
        }
        AnyHeader::V2(header) => {
            let horizon = match header.delete_horizon() {
                Some(at) => format!("OptionalLong[{at}]"),
                None => "OptionalLong.empty".to_owned(),
            };
            format!(
                "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
                 producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} \
                 deleteHorizonMs: {horizon} position: {position} {}",
                view.base_offset(),
                view.last_offset(),
                header.record_count,
                header.base_sequence,
                header.last_sequence(),
                header.producer_id,
                header.producer_epoch,
                view.partition_leader_epoch(),
                view.is_transactional(),
                view.is_control(),
                tail(header.crc),
            )
        }
    }
}

/// The line of a record. The dump decodes internal topics' records; of those only the start is compared.
fn record_line(view: &BatchView<'_>, record: &Record<'_>, internal: bool) -> String {
    let size = |field: Option<&[u8]>| field.map_or(-1, |bytes| bytes.len() as i64);
    let (offset, time) = (record.offset, time(view, record.timestamp));
    let mut line = format!("| offset: {offset} {time} keySize: {} ", size(record.key));
    write!(line, "valueSize: {}", size(record.value)).unwrap();
    if view.magic() < 2 {
        line.push_str(" isValid: true crc}");
    } else {
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let keys: Vec<String> = record.headers.map(|header| text(header.key)).collect();
        write!(line, " sequence: {} headerKeys: [{}]", record.sequence, keys.join(",")).unwrap();
    }
    let marker = view.is_control().then(|| control::marker(record).unwrap().expect("only markers here"));
    if let Some(marker) = marker {
        let kind = if marker.commit { "COMMIT" } else { "ABORT" };
        write!(line, " endTxnMarker: {kind} coordinatorEpoch: {}", marker.coordinator_epoch).unwrap();
    } else if !internal {
        for (name, field) in [("key", record.key), ("payload", record.value)] {
            if let Some(bytes) = field {
                write!(line, " {name}: {}", String::from_utf8_lossy(bytes)).unwrap();
            }
        }
    }
    line
}

/// The dump's lines by file; what cannot be compared is cut out of them.
fn expected(dumps: &str) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in dumps.lines() {
        if let Some(next) = line.strip_prefix("## ") {
            name = next.to_owned();
            files.insert(name.clone(), Vec::new());
        } else if !line.starts_with("Log starting offset") {
            let mut line = line.to_owned();
            if let (Some(start), Some(end)) = (line.find(" crc: "), line.find('}'))
                && line.starts_with('|')
                && line.contains("isValid: true")
            {
                line.replace_range(start + 4..end, "");
            }
            if name.contains("/__") && line.starts_with('|') {
                line.truncate(line.find(" key: ").unwrap());
            }
            files.get_mut(&name).unwrap().push(line);
        }
    }
    files
}

#[test]
fn segments_read_as_kafkas_dump_tool_reads_them() {
    let files = sample::files(|name| name.ends_with(".log") || name == "dumps.txt");
    let expected = expected(std::str::from_utf8(&files["dumps.txt"]).unwrap());
    assert!(expected.len() >= 50);
    let (mut batch_count, mut record_count) = (0, 0);
    for (name, lines) in &expected {
        let bytes = &files[name];
        let mut found = Vec::new();
        let mut position = 0;
        for view in batches(bytes) {
            let view = view.unwrap_or_else(|error| panic!("{name} at {position}: {error}"));
            view.verify_crc().unwrap();
            found.push(batch_line(&view, position));
            position += view.size_in_bytes();
            batch_count += 1;
            for record in records(&view, LIMIT).unwrap().iter().unwrap() {
                found.push(record_line(&view, &record.unwrap(), name.contains("/__")));
                record_count += 1;
            }
        }
        for (index, (ours, theirs)) in found.iter().zip(lines).enumerate() {
            assert_eq!(ours, theirs, "{name}, line {index} of its part of the dump");
        }
        assert_eq!(found.len(), lines.len(), "{name}");
    }
    assert!(batch_count > 400 && record_count > 3000, "{batch_count} batches, {record_count} records");
}

fn options(header: &BatchHeader) -> BatchOptions {
    BatchOptions {
        base_offset: header.base_offset,
        last_offset: Some(header.last_offset()),
        partition_leader_epoch: header.partition_leader_epoch,
        compression: header.compression().unwrap(),
        level: None,
        append_time: (header.timestamp_type() == TimestampType::LogAppendTime)
            .then_some(header.max_timestamp),
        delete_horizon: header.delete_horizon(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: header.is_control(),
    }
}

#[test]
fn batches_built_again_are_kafkas_own_bytes() {
    let (mut same, mut same_body) = (0, 0);
    for (name, bytes) in segments() {
        for view in batches(&bytes) {
            let view = view.unwrap();
            let Some(header) = view.v2() else { continue };
            if header.timestamp_type() == TimestampType::LogAppendTime {
                // The records' own timestamps are hidden behind the append time: not to be rebuilt from.
                continue;
            }
            let mut builder = BatchBuilder::new(options(header));
            for record in records(&view, LIMIT).unwrap().iter().unwrap() {
                let record = record.unwrap();
                builder.append_record(record.offset, &record).unwrap();
            }
            let built = builder.finish().unwrap();
            let ours = BatchHeader::parse(&built).unwrap();
            if header.compression() == Ok(Compression::None) {
                assert!(built == view.bytes(), "{name}: {header:?} became {ours:?}");
                same += 1;
            } else {
                let (crc, batch_length) = (header.crc, header.batch_length);
                assert_eq!(BatchHeader { crc, batch_length, ..ours }, *header, "{name}");
                let plain = body(header, view.bytes(), LIMIT).unwrap();
                assert!(body(&ours, &built, LIMIT).unwrap() == plain, "{name}");
                same_body += 1;
            }
        }
    }
    assert!(same > 250 && same_body >= 8, "{same} uncompressed, {same_body} compressed batches");
}

#[test]
fn batches_as_appended_pass_the_strict_walk() {
    let (mut passed, mut compacted) = (0, 0);
    for (name, bytes) in segments() {
        for view in batches(&bytes) {
            let view = view.unwrap();
            let Some(header) = view.v2() else { continue };
            let plain = body(header, view.bytes(), LIMIT).unwrap();
            match validate_records(header, &plain) {
                Ok(checked) => {
                    assert_eq!(checked.max_timestamp, header.max_timestamp, "{name}");
                    assert!(checked.offset_of_max_timestamp <= header.last_offset());
                    assert_eq!(checked.first_without_key, None, "{name}");
                    passed += 1;
                }
                Err(_) if name.contains("compacted") => compacted += 1,
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
    assert!(passed > 250 && compacted > 0, "{passed} passed, {compacted} had gaps");
}

#[test]
fn markers_are_kafkas_own_bytes() {
    let mut kinds = [0, 0];
    for bytes in segments().values() {
        for view in batches(bytes).map(Result::unwrap).filter(BatchView::is_control) {
            let header = view.v2().unwrap();
            let records = records(&view, LIMIT).unwrap();
            let record = records.iter().unwrap().next().unwrap().unwrap();
            let marker: Marker = control::marker(&record).unwrap().unwrap();
            let kind = control::control_type(record.key).unwrap();
            assert_eq!(kind == ControlType::Commit, marker.commit);
            let built = MarkerBatch {
                base_offset: header.base_offset,
                partition_leader_epoch: header.partition_leader_epoch,
                timestamp: record.timestamp,
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                marker,
            };
            assert_eq!(built.encode().unwrap(), view.bytes());
            assert_eq!(view.size_in_bytes(), control::MARKER_BATCH_SIZE);
            kinds[usize::from(marker.commit)] += 1;
        }
    }
    assert!(kinds[0] > 4 && kinds[1] > 4, "aborts and commits: {kinds:?}");
}

#[test]
fn old_entries_built_again_are_kafkas_own_bytes_or_content() {
    let mut found = BTreeMap::new();
    for bytes in segments().values() {
        for view in batches(bytes).map(Result::unwrap) {
            let AnyHeader::Legacy(header) = view.header() else { continue };
            let codec = header.compression().unwrap();
            let mut builder = LegacyBuilder::new(header.magic, codec, None).unwrap();
            let records = records(&view, LIMIT).unwrap();
            for record in records.iter().unwrap() {
                builder.append(&record.unwrap()).unwrap();
            }
            let built = builder.finish().unwrap();
            if codec == Compression::None {
                assert_eq!(built, view.bytes());
            } else {
                let again = BatchView::parse(&built).unwrap();
                again.verify_crc().unwrap();
                assert_eq!(
                    (again.last_offset(), again.max_timestamp()),
                    (view.last_offset(), view.max_timestamp())
                );
                let again = ottla::protocol::records::records(&again, LIMIT).unwrap();
                let theirs: Vec<_> = records.iter().unwrap().map(Result::unwrap).collect();
                let ours: Vec<_> = again.iter().unwrap().map(Result::unwrap).collect();
                assert_eq!(ours, theirs);
            }
            *found.entry((header.magic, codec.name())).or_insert(0) += 1;
        }
    }
    assert!(found.keys().any(|key| key.0 == 0) && found.keys().any(|key| key.0 == 1), "{found:?}");
    assert!(found.len() >= 6, "{found:?}");
}

#[test]
fn leftovers_of_compaction_keep_their_span() {
    let mut shrunk = 0;
    for (name, bytes) in segments() {
        for view in batches(&bytes).map(Result::unwrap) {
            let Some(header) = view.v2() else { continue };
            if i64::from(header.record_count) <= i64::from(header.last_offset_delta) {
                assert!(name.contains("compacted"), "{name}");
                let empty = ottla::protocol::records::builder::empty_batch(header).unwrap();
                let left = BatchView::parse(&empty).unwrap();
                left.verify_crc().unwrap();
                assert_eq!(empty.len(), HEADER_SIZE);
                assert_eq!(left.last_offset(), view.last_offset());
                assert_eq!(left.max_timestamp(), view.max_timestamp());
                assert_eq!(records(&left, 0).unwrap().iter().unwrap().count(), 0);
                shrunk += 1;
            }
        }
    }
    assert!(shrunk > 0);
}
