//! `kafka-dump-log`: what segment files and index files hold.
//!
//! A segment is read batch by batch, so memory is bounded by the largest batch. Source: `DumpLogSegments`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Stdout, Write};
use std::path::Path;

use super::dump_index;
use super::message_json::{self, About, Nested};
use super::options::{Options, Spec, flag, perhaps, value};
use crate::cli::output::finish;
use crate::protocol::records::control::{ControlType, control_type, marker};
use crate::protocol::records::legacy::LegacyHeader;
use crate::protocol::records::view::AnyHeader;
use crate::protocol::records::{BatchView, Compression, Entry, Record, TimestampType, records};

const PURPOSE: &str = "This tool helps to parse a log file and dump its contents to the console, useful for debugging \
                       a seemingly corrupt log segment.";
/// The largest batch taken, as it lies in the file, and after decompressing.
const BATCH_MAX: usize = 256 << 20;
/// Bytes that tell how long a batch is.
const PEEK: usize = 17;
/// Classes that decode as this tool does by itself.
const STRING_DECODERS: [&str; 2] =
    ["org.apache.kafka.tools.api.StringDecoder", "kafka.serializer.StringDecoder"];

const SPECS: &[Spec] = &[
    value(
        "files",
        "String: file1, file2, ...",
        "REQUIRED: the segment and index files, with commas between.",
    ),
    flag("print-data-log", "Prints the records of segments."),
    flag("deep-iteration", "Looks into batches; printing does so anyway."),
    flag("skip-record-metadata", "Leaves out what is known of each record."),
    flag("verify-index-only", "Compares index files with their segments without printing them."),
    flag("index-sanity-check", "Only checks index files as a broker does when it starts."),
    value("max-message-size", "Integer: size", "The largest batch that an index may point to."),
    value("max-bytes", "Integer: size", "Reads no more of a segment."),
    flag("offsets-decoder", "The records are those of __consumer_offsets."),
    perhaps("value-decoder-class", "String", "Only Kafka's StringDecoder, which is used anyway."),
    perhaps("key-decoder-class", "String", "Only Kafka's StringDecoder, which is used anyway."),
    flag("transaction-log-decoder", "Not supported."),
    flag("cluster-metadata-decoder", "Not supported: there is none with ZooKeeper."),
    flag("remote-log-metadata-decoder", "Not supported."),
];

/// How files are shown.
#[derive(Debug, Copy, Clone)]
pub struct How {
    prints: bool,
    is_deep: bool,
    decodes_offsets: bool,
    skips_metadata: bool,
    max_bytes: u64,
    /// Index files: only their shape.
    pub sanity_only: bool,
    /// Index files: only what is wrong.
    pub verifies_only: bool,
}

/// Where text goes.
pub type Out = BufWriter<Stdout>;

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, SPECS, arguments)? else { return Ok(()) };
    options.require(&["files"])?;
    let how = how(&options)?;
    let files = options.value("files")?.unwrap_or_default();
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout());
    let (mut result, mut notes) = (Ok(()), Vec::new());
    for file in files.split(',').map(str::trim).filter(|file| !file.is_empty()) {
        result = finish(writeln!(out, "Dumping {file}"))
            .and_then(|()| dump(file, how, &mut out, &mut notes).map_err(|why| format!("{file}: {why}")));
        if result.is_err() {
            break;
        }
    }
    finish(out.flush())?;
    notes.iter().for_each(|note| eprintln!("{note}"));
    result
}

fn how(options: &Options) -> Result<How, String> {
    for name in ["transaction-log-decoder", "cluster-metadata-decoder", "remote-log-metadata-decoder"] {
        if options.has(name) {
            return Err(format!(
                "--{name} is not supported: take --print-data-log, which prints the bytes as text"
            ));
        }
    }
    for name in ["value-decoder-class", "key-decoder-class"] {
        if let Some(class) = options.value(name)?.filter(|class| !STRING_DECODERS.contains(class)) {
            return Err(format!("--{name} {class} is not supported: only Kafka's StringDecoder is"));
        }
    }
    let decodes_offsets = options.has("offsets-decoder");
    let has_decoder = options.has("value-decoder-class") || options.has("key-decoder-class");
    let prints = options.has("print-data-log") || decodes_offsets || has_decoder;
    options.number::<i32>("max-message-size")?;
    let max_bytes = options.number::<i32>("max-bytes")?.map(|most| u64::try_from(most).unwrap_or(0));
    Ok(How {
        prints,
        is_deep: prints || options.has("deep-iteration"),
        decodes_offsets,
        skips_metadata: options.has("skip-record-metadata"),
        max_bytes: max_bytes.unwrap_or(u64::MAX),
        sanity_only: options.has("index-sanity-check"),
        verifies_only: options.has("verify-index-only"),
    })
}

fn dump(file: &str, how: How, out: &mut Out, notes: &mut Vec<String>) -> Result<(), String> {
    let path = Path::new(file);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("log") => segment(path, how, out, notes),
        Some("index") => dump_index::offsets(path, how, out, notes),
        Some("timeindex") => dump_index::times(path, how, out, notes),
        Some("txnindex") => dump_index::transactions(path, out),
        Some("snapshot") => dump_index::producers(path, out),
        _ => {
            notes.push(format!("Ignoring unknown file {file}"));
            Ok(())
        }
    }
}

/// The offset that a file is named for.
pub fn base_offset(path: &Path) -> Result<i64, String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    stem.parse().map_err(|_| format!("For input string: \"{stem}\"; a segment is named for its first offset"))
}

/// The batches of a segment, one after the other.
pub struct Batches {
    file: BufReader<File>,
    /// Where the next one begins.
    pub position: u64,
    /// Bytes of the file.
    pub length: u64,
    bytes: Vec<u8>,
}

impl Batches {
    /// Opens a segment.
    pub fn open(path: &Path) -> Result<Batches, String> {
        let failed =
            |error: std::io::Error| format!("{} cannot be read: {error}; check the path", path.display());
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Batches {
            file: BufReader::with_capacity(256 << 10, file),
            position: 0,
            length,
            bytes: Vec::new(),
        })
    }

    /// Goes on at `position`; what is read ahead is kept.
    pub fn seek(&mut self, position: u64) -> Result<(), String> {
        self.position = position;
        let at = self.file.stream_position();
        let moved = at.and_then(|at| self.file.seek_relative(position as i64 - at as i64));
        moved.map_err(|error| format!("cannot be read: {error}; check the disk"))
    }

    /// The next whole batch and where it begins; `None` at the end, and where no batch can be read.
    pub fn next(&mut self, limit: u64) -> Option<(u64, BatchView<'_>)> {
        let left = limit.min(self.length).checked_sub(self.position)?;
        if left < PEEK as u64 {
            return None;
        }
        self.bytes.resize(PEEK, 0);
        self.file.read_exact(&mut self.bytes).ok()?;
        let size = Entry::peek(&self.bytes).ok()?.size_in_bytes;
        if size as u64 > left || !(PEEK..=BATCH_MAX).contains(&size) {
            return None;
        }
        self.bytes.resize(size, 0);
        self.file.read_exact(&mut self.bytes[PEEK..]).ok()?;
        let at = self.position;
        let view = BatchView::parse(&self.bytes).ok()?;
        self.position += size as u64;
        Some((at, view))
    }
}

fn segment(path: &Path, how: How, out: &mut Out, notes: &mut Vec<String>) -> Result<(), String> {
    let start = base_offset(path)?;
    finish(writeln!(out, "Log starting offset: {start}"))?;
    let mut batches = Batches::open(path)?;
    let (mut last, mut gaps) = (None, Vec::new());
    while let Some((position, batch)) = batches.next(how.max_bytes) {
        finish(write_batch(out, &batch, position))?;
        if !how.is_deep {
            continue;
        }
        let inside = records(&batch, BATCH_MAX).map_err(|error| error.to_string())?;
        for record in inside.iter().map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            if let Some(last) = last.filter(|last| record.offset != last + 1) {
                gaps.push((last, record.offset));
            }
            last = Some(record.offset);
            finish(write_record(out, &batch, &record, how))?;
        }
    }
    let trailing = batches.length.saturating_sub(batches.position);
    if trailing > 0 && how.max_bytes == u64::MAX {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        finish(writeln!(out, "Found {trailing} invalid bytes at the end of {name}"))?;
    }
    if !gaps.is_empty() {
        notes.push(format!("Non-consecutive offsets in {}", path.display()));
        notes.extend(gaps.iter().map(|(first, second)| format!("  {first} is followed by {second}")));
    }
    Ok(())
}

fn stamp_name(batch: &BatchView<'_>) -> &'static str {
    match batch.timestamp_type() {
        _ if batch.magic() == 0 => "NoTimestampType",
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// The checksum of a record of formats 0 and 1: that of its entry, or inside a compressed one what it must be.
fn legacy_crc(header: &LegacyHeader, record: &Record<'_>) -> u32 {
    if header.compression() == Ok(Compression::None) {
        return header.crc;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[header.magic as u8, record.attributes as u8]);
    if header.magic == 1 {
        hasher.update(&record.timestamp.to_be_bytes());
    }
    for bytes in [record.key, record.value] {
        let length = bytes.map_or(-1, |bytes| bytes.len() as i32);
        hasher.update(&length.to_be_bytes());
        hasher.update(bytes.unwrap_or_default());
    }
    hasher.finalize()
}

fn write_batch(out: &mut Out, batch: &BatchView<'_>, position: u64) -> std::io::Result<()> {
    let crc = match batch.header() {
        AnyHeader::V2(header) => {
            let horizon = match header.delete_horizon() {
                Some(horizon) => format!("OptionalLong[{horizon}]"),
                None => "OptionalLong.empty".to_owned(),
            };
            write!(
                out,
                "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
                 producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon}",
                header.base_offset,
                header.last_offset(),
                header.record_count,
                header.base_sequence,
                header.last_sequence(),
                header.producer_id,
                header.producer_epoch,
                header.partition_leader_epoch,
                header.is_transactional(),
                header.is_control(),
            )?;
            header.crc
        }
        AnyHeader::Legacy(header) => {
            write!(out, "offset: {}", header.offset)?;
            header.crc
        }
    };
    let codec = batch.compression().map_or("unknown", |codec| codec.name());
    writeln!(
        out,
        " position: {position} {}: {} size: {} magic: {} compresscodec: {codec} crc: {crc} isvalid: {}",
        stamp_name(batch),
        batch.max_timestamp(),
        batch.size_in_bytes(),
        batch.magic(),
        batch.verify_crc().is_ok(),
    )
}

fn write_record(out: &mut Out, batch: &BatchView<'_>, record: &Record<'_>, how: How) -> std::io::Result<()> {
    let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    let mut prefix = "| ";
    if !how.skips_metadata {
        let stamp = stamp_name(batch);
        let (keys, values) = (size(record.key), size(record.value));
        write!(
            out,
            "{prefix}offset: {} {stamp}: {} keySize: {keys} valueSize: {values}",
            record.offset, record.timestamp
        )?;
        prefix = " ";
        if batch.v2().is_some() {
            let keys: Vec<_> = record.headers.map(|header| String::from_utf8_lossy(header.key)).collect();
            write!(out, " sequence: {} headerKeys: [{}]", record.sequence, keys.join(","))?;
        }
        if let AnyHeader::Legacy(header) = batch.header() {
            // The brace is Kafka's.
            let (is_valid, crc) = (batch.verify_crc().is_ok(), legacy_crc(header, record));
            write!(out, " isValid: {is_valid} crc: {crc}}}")?;
        }
        if batch.is_control() {
            write_control(out, record)?;
        }
    }
    if how.prints && !batch.is_control() {
        let (key, payload) = if how.decodes_offsets { offsets(record) } else { texts(record) };
        if let Some(key) = key {
            write!(out, "{prefix}key: {key}")?;
        }
        if let Some(payload) = payload {
            write!(out, " payload: {payload}")?;
        }
    }
    writeln!(out)
}

fn write_control(out: &mut Out, record: &Record<'_>) -> std::io::Result<()> {
    match (control_type(record.key), marker(record)) {
        (_, Ok(Some(marker))) => {
            let kind = if marker.commit { "COMMIT" } else { "ABORT" };
            write!(out, " endTxnMarker: {kind} coordinatorEpoch: {}", marker.coordinator_epoch)
        }
        (Ok(ControlType::Abort | ControlType::Commit), _) => write!(out, " endTxnMarker: unreadable"),
        (Ok(_), _) => write!(out, " controlType: UNKNOWN"),
        (Err(error), _) => write!(out, " controlType: {error}"),
    }
}

type Shown = (Option<String>, Option<String>);

fn texts(record: &Record<'_>) -> Shown {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (text(record.key), text(record.value))
}

/// A record of `__consumer_offsets` as JSON.
fn offsets(record: &Record<'_>) -> Shown {
    let failed = |why: String| (Some(format!("Error at offset {}, skipping. {why}", record.offset)), None);
    let Some(key) = record.key else { return failed("message had a missing key".into()) };
    let shown = match message_json::key(key) {
        Ok(Some((version, data))) => format!("{{\"type\":\"{version}\",\"data\":{data}}}"),
        Ok(None) => {
            let version = key.first_chunk::<2>().map_or(-1, |version| i16::from_be_bytes(*version));
            return (
                Some(format!("Unknown record type {version} at offset {}, skipping.", record.offset)),
                None,
            );
        }
        Err(error) => return failed(error.to_string()),
    };
    let Some(value) = record.value else { return (Some(shown), Some("<DELETE>".into())) };
    let value = match message_json::about(key) {
        Ok(About::Group) => message_json::group_value(value, Nested::Decoded),
        _ => message_json::offset_value(value),
    };
    match value {
        Ok((version, data)) => (Some(shown), Some(format!("{{\"version\":\"{version}\",\"data\":{data}}}"))),
        Err(error) => failed(error.to_string()),
    }
}
