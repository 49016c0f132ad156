//! Snapshots: a whole tree in one file, written beside the running log.
//!
//! The image is taken between two transactions, so a snapshot is exactly the tree after its zxid. Written to a
//! temporary name, synced, renamed: a file with a snapshot's name is whole, and its checksum says so.
//! File `snapshot.<zxid, 16 hex digits>`: magic, format version, image, CRC-32C of all before. The format is ours.

use super::txn_log::{checksum, file_name, read_whole, sync_dir};
use crate::jute::{Field, Reader, Writer};
use crate::tree::{Limits, Tree};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAGIC: &[u8; 8] = b"OTTLAZKS";
const VERSION: i32 = 1;

/// The tree as the bytes of a snapshot file.
pub(super) fn encode(tree: &Tree) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    VERSION.write(&mut writer);
    tree.write_image(&mut writer);
    let mut bytes = writer.into_bytes();
    bytes.extend_from_slice(&checksum(&bytes).to_be_bytes());
    bytes
}

/// Writes the bytes of a snapshot, durably.
pub(super) fn write(dir: &Path, zxid: i64, bytes: &[u8]) -> io::Result<()> {
    let name = file_name("snapshot", zxid);
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&temporary, dir.join(name))?;
    sync_dir(dir)
}

/// Reads a snapshot file.
pub(super) fn read(path: &Path, limits: Limits) -> io::Result<Tree> {
    let bytes = read_whole(path)?;
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
        return Err(bad("a snapshot is longer".into()));
    };
    if checksum(content) != u32::from_be_bytes(*sum) {
        return Err(bad("the checksum is wrong".into()));
    }
    let mut reader = Reader::new(content);
    let magic = reader.take(MAGIC.len()).map_err(|error| bad(error.to_string()))?;
    let version = i32::read(&mut reader).map_err(|error| bad(error.to_string()))?;
    if magic != MAGIC || version != VERSION {
        return Err(bad(format!("it is not a snapshot of version {VERSION}")));
    }
    Tree::read_image(&mut reader, limits).map_err(|error| bad(error.to_string()))
}
