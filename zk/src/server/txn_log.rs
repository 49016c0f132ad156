//! The transaction log: one file after another, each a sequence of batches.
//!
//! A batch is written with one write and made durable with one `fdatasync` before anything in it is answered.
//! Invariant: a batch is begun only when the one before is durable. So damage in the last batch of the last file is
//! a torn write nobody was answered for, and is cut off; damage with a whole batch behind it is damage of
//! acknowledged data, and is an error. A failed write or sync ends the log for good: it is never retried, because
//! the kernel may have dropped the pages. Knows bytes and numbers, not what transactions mean.
//!
//! File `log.<first zxid, 16 hex digits>`: magic, format version, first zxid; then batches: marker, payload length,
//! CRC-32C of the payload, payload (record count, records). Integers are big endian. The format is ours.

use crate::jute::{Field, Reader, Writer};
use crate::tree::Record;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"OTTLAZKL";
const VERSION: i32 = 1;
const HEADER_BYTES: usize = 20;
const MARKER: &[u8; 4] = b"ZKb\xa7";
const FRAME_BYTES: usize = 12;

/// CRC-32C, as everywhere in this house.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Name of a file that begins at a transaction.
pub(super) fn file_name(kind: &str, zxid: i64) -> String {
    format!("{kind}.{zxid:016x}")
}

/// The transaction in a file's name.
pub(super) fn parse_name(kind: &str, name: &str) -> Option<i64> {
    let digits = name.strip_prefix(kind)?.strip_prefix('.')?;
    if digits.len() != 16 { None } else { i64::from_str_radix(digits, 16).ok() }
}

/// Records on their way into the log.
#[derive(Default)]
pub(super) struct Batch {
    records: Writer,
    count: i32,
    first_zxid: i64,
    last_zxid: i64,
}

impl Batch {
    /// Adds a record; records come in the order of their numbers.
    pub fn push(&mut self, record: &Record) {
        if self.count == 0 {
            self.first_zxid = record.header.zxid;
        }
        self.last_zxid = record.header.zxid;
        self.count += 1;
        record.write(&mut self.records);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Size so far.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    fn into_frame(self, with_header: bool) -> Vec<u8> {
        let mut payload = Writer::new();
        self.count.write(&mut payload);
        payload.raw(&self.records.into_bytes());
        let payload = payload.into_bytes();
        let mut frame = Writer::new();
        if with_header {
            frame.raw(MAGIC);
            VERSION.write(&mut frame);
            self.first_zxid.write(&mut frame);
        }
        frame.raw(MARKER);
        (payload.len() as u32).write(&mut frame);
        checksum(&payload).write(&mut frame);
        frame.raw(&payload);
        frame.into_bytes()
    }
}

/// The file being written.
struct Active {
    file: File,
    length: u64,
}

/// The log of one data directory.
pub(super) struct TxnLog {
    dir: PathBuf,
    active: Option<Active>,
    broken: bool,
    /// Bytes and records since the last [`TxnLog::roll`].
    pub bytes: u64,
    pub records: u64,
}

impl TxnLog {
    /// A log that goes on after `last` (path and length, as recovery left them), or in a new file.
    pub fn open(dir: &Path, last: Option<(&Path, u64)>, records: u64) -> io::Result<TxnLog> {
        let active = match last {
            None => None,
            Some((path, length)) => Some(Active { file: OpenOptions::new().write(true).open(path)?, length }),
        };
        let bytes = active.as_ref().map_or(0, |active| active.length);
        Ok(TxnLog { dir: dir.to_owned(), active, broken: false, bytes, records })
    }

    /// Writes a batch and waits until it is durable. After an error the log takes nothing more.
    pub fn append(&mut self, batch: Batch) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the transaction log failed before and takes nothing more"));
        }
        self.broken = true;
        self.append_durably(batch)?;
        self.broken = false;
        Ok(())
    }

    fn append_durably(&mut self, batch: Batch) -> io::Result<()> {
        let (first_zxid, count) = (batch.first_zxid, batch.count);
        let is_new = self.active.is_none();
        let active = match &mut self.active {
            Some(active) => active,
            None => {
                let path = self.dir.join(file_name("log", first_zxid));
                let file =
                    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
                self.active.insert(Active { file, length: 0 })
            }
        };
        let frame = batch.into_frame(active.length == 0);
        active.file.write_all_at(&frame, active.length)?;
        active.file.sync_data()?;
        active.length += frame.len() as u64;
        if is_new {
            sync_dir(&self.dir)?;
        }
        self.bytes += frame.len() as u64;
        self.records += count as u64;
        Ok(())
    }

    /// Ends the file; the next batch begins a new one.
    pub fn roll(&mut self) {
        self.active = None;
        self.bytes = 0;
        self.records = 0;
    }
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads a regular file: as many bytes as it says it has.
pub(super) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a log file holds.
pub(super) struct Scan {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// Bytes up to the end of the last whole batch.
    pub whole: u64,
    /// Why the bytes after that are not a batch; `None` when there are none.
    pub torn: Option<String>,
}

/// Reads a log file. Damage that a torn write cannot have done is an error.
pub(super) fn scan(path: &Path) -> io::Result<Scan> {
    let bytes = read_whole(path)?;
    let mut scan = Scan { records: Vec::new(), whole: 0, torn: None };
    if bytes.is_empty() {
        return Ok(scan);
    }
    let mut at = match check_header(&bytes) {
        Ok(()) => HEADER_BYTES,
        Err(why) => return torn_or_damaged(path, &bytes, 0, why, scan),
    };
    if at == bytes.len() {
        scan.torn = Some("no batch follows its header".into());
    }
    while at < bytes.len() {
        match read_batch(&bytes[at..], &mut scan.records) {
            Ok(length) => at += length,
            Err(why) => return torn_or_damaged(path, &bytes, at, why, scan),
        }
        scan.whole = at as u64;
    }
    Ok(scan)
}

fn check_header(bytes: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(bytes);
    let magic = reader.take(MAGIC.len()).map_err(|error| error.to_string())?;
    let version = i32::read(&mut reader).map_err(|error| error.to_string())?;
    i64::read(&mut reader).map_err(|error| error.to_string())?;
    if magic != MAGIC || version != VERSION {
        return Err(format!("it does not begin as a log of version {VERSION}"));
    }
    Ok(())
}

/// Reads one batch into `records` and gives its length.
fn read_batch(bytes: &[u8], records: &mut Vec<Record>) -> Result<usize, String> {
    let payload = batch_payload(bytes)?;
    let mut reader = Reader::new(payload);
    let before = records.len();
    let read = Vec::<Record>::read(&mut reader).map_err(|error| error.to_string())?;
    records.extend(read);
    if reader.left() != 0 || records.len() == before {
        records.truncate(before);
        return Err("a batch is not as long as its records".into());
    }
    Ok(FRAME_BYTES + payload.len())
}

/// The checked payload of the batch at the start of `bytes`.
fn batch_payload(bytes: &[u8]) -> Result<&[u8], String> {
    let mut reader = Reader::new(bytes);
    let text = |error: crate::jute::WireError| error.to_string();
    if reader.take(MARKER.len()).map_err(text)? != MARKER {
        return Err("no batch begins here".into());
    }
    let length = u32::read(&mut reader).map_err(text)?;
    let expected = u32::read(&mut reader).map_err(text)?;
    let payload = reader.take(length as usize).map_err(text)?;
    if checksum(payload) != expected {
        return Err("the checksum of a batch is wrong".into());
    }
    Ok(payload)
}

/// Bytes from `at` on are no batch. If a whole batch follows anywhere, what is damaged was durable once.
fn torn_or_damaged(path: &Path, bytes: &[u8], at: usize, why: String, mut scan: Scan) -> io::Result<Scan> {
    let rest = &bytes[at..];
    let starts = rest.windows(MARKER.len()).enumerate().skip(1).filter(|(_, window)| window == MARKER);
    for (offset, _) in starts {
        if batch_payload(&rest[offset..]).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is damaged at byte {at} ({why}), and whole transactions follow at byte {}: restore the \
                     directory from a copy, or cut the file at byte {at} to give up what follows",
                    path.display(),
                    at + offset
                ),
            ));
        }
    }
    scan.torn = Some(why);
    Ok(scan)
}
