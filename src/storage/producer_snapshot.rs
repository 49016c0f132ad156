//! Producer snapshot: a partition's producers on disk, `<offset>.snapshot` (`ProducerStateManager`).
//!
//! Version 1: version i16, CRC-32C of all that follows it, count i32, 46 bytes per producer. Only the last
//! batch of each producer is stored, so after a reload repeats are recognised one batch deep, not five. A
//! damaged snapshot is no loss: recovery takes the one before and replays the log from there.
//! Knows nothing of when snapshots are taken or which are still needed.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use byteorder::{BigEndian, ByteOrder};
use crc_fast::{CrcAlgorithm, checksum};

use super::fs::{Fs, Open, damaged};
use super::producer_state::ProducerEntry;

/// Ending of a snapshot's name.
pub const SNAPSHOT_SUFFIX: &str = ".snapshot";

const VERSION: i16 = 1;
/// Version and CRC; the CRC covers what follows.
const COVERED_FROM: usize = 6;
const HEADER: usize = COVERED_FROM + 4;
const ENTRY: usize = 46;
/// Largest snapshot read: six million producers.
const MAX_BYTES: u64 = 256 << 20;

/// Where the snapshot at `offset` lies in a partition directory.
pub fn snapshot_path(dir: &Path, offset: i64) -> PathBuf {
    dir.join(format!("{offset:020}{SNAPSHOT_SUFFIX}"))
}

/// The offset in a snapshot's file name, if it is one.
pub fn snapshot_offset(name: &str) -> Option<i64> {
    let stem = name.strip_suffix(SNAPSHOT_SUFFIX)?;
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    if digits { stem.parse().ok() } else { None }
}

/// Offsets of the snapshots in a partition directory, ascending.
pub fn list(fs: &Arc<dyn Fs>, dir: &Path) -> io::Result<Vec<i64>> {
    let entries = fs.list(dir)?.into_iter().filter(|entry| !entry.is_dir);
    let mut offsets: Vec<i64> = entries.filter_map(|entry| snapshot_offset(&entry.name)).collect();
    offsets.sort_unstable();
    Ok(offsets)
}

/// Reads a snapshot; `InvalidData` when it is damaged or of an unknown version.
pub fn read(fs: &Arc<dyn Fs>, path: &Path) -> io::Result<Vec<ProducerEntry>> {
    decode(&fs.read(path, MAX_BYTES)?).map_err(|why| damaged(path, why))
}

/// Writes a snapshot. With `sync` it is durable on return, and a crash leaves the whole of it or nothing; without,
/// a crash may leave half of one, which its CRC gives away.
pub fn write(
    fs: &Arc<dyn Fs>,
    path: &Path,
    entries: impl ExactSizeIterator<Item = ProducerEntry>,
    sync: bool,
) -> io::Result<()> {
    let bytes = encode(entries);
    if sync {
        return fs.replace(path, &bytes);
    }
    fs.open(path, Open::Truncate)?.write_all_at(&[IoSlice::new(&bytes)], 0)
}

/// The bytes of a snapshot.
pub fn encode(entries: impl ExactSizeIterator<Item = ProducerEntry>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    let count = entries.len();
    bytes.reserve_exact(count * ENTRY);
    for entry in entries {
        bytes.extend_from_slice(&entry.producer_id.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&entry.last_offset.to_be_bytes());
        bytes.extend_from_slice(&entry.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.current_txn_first_offset.to_be_bytes());
    }
    BigEndian::write_i16(&mut bytes, VERSION);
    BigEndian::write_i32(&mut bytes[COVERED_FROM..], count as i32);
    let crc = crc32c(&bytes[COVERED_FROM..]);
    BigEndian::write_u32(&mut bytes[2..], crc);
    bytes
}

/// Why bytes are no snapshot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// Fewer bytes than a header, or than its count asks for, or more.
    #[error("{len} bytes do not hold a snapshot of {count} producers")]
    Length {
        /// Bytes there are.
        len: usize,
        /// Producers announced.
        count: i32,
    },
    /// A version other than 1.
    #[error("version {0} of a producer snapshot is not known, only 1 is")]
    Version(i16),
    /// The bytes were changed or only half written.
    #[error("CRC-32C is {computed:#010x}, the snapshot says {stored:#010x}")]
    Crc {
        /// What it says.
        stored: u32,
        /// What it is.
        computed: u32,
    },
}

/// The producers in the bytes of a snapshot, in file order.
pub fn decode(bytes: &[u8]) -> Result<Vec<ProducerEntry>, BadSnapshot> {
    let len = bytes.len();
    if len < HEADER {
        return Err(BadSnapshot::Length { len, count: 0 });
    }
    let version = BigEndian::read_i16(bytes);
    if version != VERSION {
        return Err(BadSnapshot::Version(version));
    }
    let (stored, computed) = (BigEndian::read_u32(&bytes[2..]), crc32c(&bytes[COVERED_FROM..]));
    if stored != computed {
        return Err(BadSnapshot::Crc { stored, computed });
    }
    let count = BigEndian::read_i32(&bytes[COVERED_FROM..]);
    let entries = &bytes[HEADER..];
    if i64::from(count) * ENTRY as i64 != entries.len() as i64 {
        return Err(BadSnapshot::Length { len, count });
    }
    let decode_entry = |entry: &[u8]| ProducerEntry {
        producer_id: BigEndian::read_i64(entry),
        producer_epoch: BigEndian::read_i16(&entry[8..]),
        last_sequence: BigEndian::read_i32(&entry[10..]),
        last_offset: BigEndian::read_i64(&entry[14..]),
        offset_delta: BigEndian::read_i32(&entry[22..]),
        timestamp: BigEndian::read_i64(&entry[26..]),
        coordinator_epoch: BigEndian::read_i32(&entry[34..]),
        current_txn_first_offset: BigEndian::read_i64(&entry[38..]),
    };
    Ok(entries.chunks_exact(ENTRY).map(decode_entry).collect())
}

fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(producer_id: i64) -> ProducerEntry {
        ProducerEntry {
            producer_id,
            producer_epoch: 3,
            last_sequence: 17,
            last_offset: 900,
            offset_delta: 4,
            timestamp: 1_700_000_000_000,
            coordinator_epoch: -1,
            current_txn_first_offset: 880,
        }
    }

    #[test]
    fn no_producers_take_ten_bytes() {
        let bytes = encode(std::iter::empty::<ProducerEntry>().collect::<Vec<_>>().into_iter());
        assert_eq!(bytes.len(), 10);
        assert_eq!(decode(&bytes), Ok(Vec::new()));
    }

    #[test]
    fn round_trips_and_any_change_is_noticed() {
        let entries = vec![entry(7), entry(1)];
        let bytes = encode(entries.iter().copied());
        assert_eq!(bytes.len(), 10 + 2 * 46);
        assert_eq!(decode(&bytes), Ok(entries));
        for index in 0..bytes.len() {
            assert!(decode(&bytes[..index]).is_err(), "cut at {index}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                assert!(decode(&changed).is_err(), "bit {bit} of byte {index}");
            }
        }
    }

    #[test]
    fn names_are_twenty_digits() {
        let path = snapshot_path(Path::new("t-0"), 1234);
        assert_eq!(path, Path::new("t-0/00000000000000001234.snapshot"));
        assert_eq!(snapshot_offset("00000000000000001234.snapshot"), Some(1234));
        for name in [
            "1234.snapshot",
            "00000000000000001234.snapshot.deleted",
            "+0000000000000001234.snapshot",
            "99999999999999999999.snapshot",
        ] {
            assert_eq!(snapshot_offset(name), None, "{name}");
        }
    }
}
