//! The fixture `sample.tar.gz`: unpacked, and what Kafka's own dump tool says is in it.
//!
//! The archive holds sparse files (preallocated indexes after a SIGKILL) in GNU tar's old format, so the
//! reader here knows plain files, directories and that format, and nothing else of tar.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const BLOCK: usize = 512;

/// One record as the dump tool prints it; sizes are -1 for null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub key_size: i32,
    pub value_size: i32,
    /// `COMMIT` or `ABORT`, of a control record.
    pub marker: Option<String>,
}

/// One batch as the dump tool prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedBatch {
    pub last_offset: i64,
    pub position: u64,
    pub size: usize,
    pub magic: i8,
    pub codec: String,
    pub crc: u32,
    pub producer: Option<(i64, i16, i32)>,
    pub transactional: bool,
    pub control: bool,
    pub records: Vec<DumpedRecord>,
}

/// Unpacks the fixture under `into`.
pub fn unpack(into: &Path) {
    let packed = fs::File::open(fixture("sample.tar.gz")).unwrap();
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut tar).unwrap();
    let mut rest = &tar[..];
    while rest.len() >= BLOCK && rest[0] != 0 {
        let (header, after) = rest.split_at(BLOCK);
        let name = text(&header[..100]);
        let stored = octal(&header[124..136]) as usize;
        let path = into.join(name.trim_start_matches("./"));
        rest = match header[156] {
            b'5' => {
                fs::create_dir_all(&path).unwrap();
                after
            }
            b'S' => unpack_sparse(header, after, stored, &path),
            b'0' => {
                fs::write(&path, &after[..stored]).unwrap();
                &after[stored.next_multiple_of(BLOCK)..]
            }
            other => panic!("{name}: this reader does not know tar entry type {other}"),
        };
    }
}

fn unpack_sparse<'a>(header: &[u8], mut after: &'a [u8], stored: usize, path: &Path) -> &'a [u8] {
    let mut pieces = pieces(&header[386..482]);
    let mut more = header[482] != 0;
    while more {
        pieces.extend(self::pieces(&after[..504]));
        more = after[504] != 0;
        after = &after[BLOCK..];
    }
    let mut file = fs::File::create(path).unwrap();
    file.set_len(octal(&header[483..495])).unwrap();
    let mut from = 0;
    for (at, len) in pieces {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&after[from..from + len]).unwrap();
        from += len;
    }
    &after[stored.next_multiple_of(BLOCK)..]
}

fn pieces(table: &[u8]) -> Vec<(u64, usize)> {
    let used = table.chunks_exact(24).take_while(|piece| piece[0] != 0);
    used.map(|piece| (octal(&piece[..12]), octal(&piece[12..]) as usize)).collect()
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8(field[..end].to_vec()).unwrap()
}

fn octal(field: &[u8]) -> u64 {
    u64::from_str_radix(text(field).trim(), 8).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Everything in `dumps.txt`, by `state/partition` (for example `clean/txn-0`), in the order of offsets.
pub fn dumps(unpacked: &Path) -> BTreeMap<String, Vec<DumpedBatch>> {
    let bytes = fs::read(unpacked.join("dumps.txt")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let mut logs: BTreeMap<String, Vec<DumpedBatch>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.split('\n') {
        if let Some(path) = line.strip_prefix("## ") {
            current = path.rsplit_once('/').unwrap().0.to_owned();
        } else if line.starts_with("| offset: ") {
            let batch = logs.get_mut(&current).and_then(|batches| batches.last_mut()).unwrap();
            batch.records.push(record(line));
        } else if line.starts_with("baseOffset: ") || line.starts_with("offset: ") {
            logs.entry(current.clone()).or_default().push(batch(line));
        }
    }
    logs
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    words.find(|word| word.strip_suffix(':') == Some(name))?;
    words.next()
}

fn number<T: std::str::FromStr>(line: &str, name: &str) -> Option<T> {
    field(line, name).map(|word| word.parse().unwrap_or_else(|_| panic!("{name} of {line}")))
}

fn batch(line: &str) -> DumpedBatch {
    let producer_id = number(line, "producerId").unwrap_or(-1);
    let producer = (producer_id >= 0).then(|| {
        (producer_id, number(line, "producerEpoch").unwrap(), number(line, "baseSequence").unwrap())
    });
    DumpedBatch {
        last_offset: number(line, "lastOffset").or_else(|| number(line, "offset")).unwrap(),
        position: number(line, "position").unwrap(),
        size: number(line, "size").unwrap(),
        magic: number(line, "magic").unwrap(),
        codec: field(line, "compresscodec").unwrap().to_owned(),
        crc: number(line, "crc").unwrap(),
        producer,
        transactional: field(line, "isTransactional") == Some("true"),
        control: field(line, "isControl") == Some("true"),
        records: Vec::new(),
    }
}

fn record(line: &str) -> DumpedRecord {
    let timestamp = ["CreateTime", "LogAppendTime", "NoTimestampType"];
    DumpedRecord {
        offset: number(line, "offset").unwrap(),
        timestamp: timestamp.iter().find_map(|name| number(line, name)).unwrap(),
        key_size: number(line, "keySize").unwrap(),
        value_size: number(line, "valueSize").unwrap(),
        marker: field(line, "endTxnMarker").map(str::to_owned),
    }
}
