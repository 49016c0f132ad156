//! What deletion and compaction left unfinished in a partition directory, and the names that remain.
//!
//! A file is renamed `.deleted` before it is removed: it goes. Compaction writes `.cleaned` files, renames them
//! `.swap` once complete, takes the old ones away and renames to the normal names. So `.cleaned` means not
//! complete: it goes, and with it the swap files of the same group, which start at or above it. `.swap` alone
//! means complete: the files it replaces go, and it takes their place. Source: `LogLoader.load`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::storage::batch_scan::BatchScan;
use crate::storage::fs::{Fs, Open};
use crate::storage::segment_names::{CLEANED_SUFFIX, DELETED_SUFFIX, SWAP_SUFFIX, SegmentFile, segment_path};

/// The file names in a partition directory, sorted.
pub(super) struct Names {
    names: Vec<String>,
}

impl Names {
    fn list(fs: &Arc<dyn Fs>, dir: &Path) -> io::Result<Names> {
        let files = fs.list(dir)?.into_iter().filter(|entry| !entry.is_dir);
        let mut names: Vec<String> = files.map(|entry| entry.name).collect();
        names.sort_unstable();
        Ok(Names { names })
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|other| other.as_str().cmp(name)).is_ok()
    }

    /// Whether there is such a file of a segment.
    pub fn has_file(&self, base: i64, kind: SegmentFile) -> bool {
        self.has(&format!("{base:020}{}", kind.suffix()))
    }

    fn of(&self, kind: SegmentFile) -> impl Iterator<Item = i64> {
        let parsed = self.names.iter().filter_map(|name| SegmentFile::parse(name));
        parsed.filter(move |(found, _)| *found == kind).map(|(_, offset)| offset)
    }

    /// Base offsets of the segments, ascending.
    pub fn logs(&self) -> Vec<i64> {
        self.of(SegmentFile::Log).collect()
    }

    /// Offsets of the producer snapshots, ascending.
    pub fn snapshots(&self) -> Vec<i64> {
        self.of(SegmentFile::Snapshot).collect()
    }

    /// Base offsets of index files without a segment.
    pub fn orphans(&self) -> Vec<i64> {
        let logs = self.logs();
        let kinds = [SegmentFile::OffsetIndex, SegmentFile::TimeIndex, SegmentFile::TxnIndex];
        let mut found: Vec<i64> = kinds.into_iter().flat_map(|kind| self.of(kind)).collect();
        found.retain(|base| logs.binary_search(base).is_err());
        found.dedup();
        found
    }

    fn with_suffix<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.names.iter().filter_map(move |name| Some((name.as_str(), name.strip_suffix(suffix)?)))
    }
}

/// Brings the directory to a state without leftovers; gives the names in it.
pub(super) fn settle(fs: &Arc<dyn Fs>, dir: &Path) -> io::Result<Names> {
    let names = Names::list(fs, dir)?;
    let is_leftover =
        |name: &String| [DELETED_SUFFIX, CLEANED_SUFFIX, SWAP_SUFFIX].iter().any(|s| name.ends_with(s));
    if !names.names.iter().any(is_leftover) {
        return Ok(names);
    }
    tracing::info!(dir = %dir.display(), "settling what deletion or compaction left");
    for (name, _) in names.with_suffix(DELETED_SUFFIX) {
        remove_if_there(fs, &dir.join(name))?;
    }
    let base = |plain: &str| SegmentFile::parse(plain).map(|(_, base)| base);
    let least_cleaned = names.with_suffix(CLEANED_SUFFIX).filter_map(|(_, plain)| base(plain)).min();
    let is_incomplete =
        |plain: &str| least_cleaned.is_some_and(|least| base(plain).is_none_or(|b| b >= least));
    for (name, plain) in names.with_suffix(SWAP_SUFFIX) {
        if is_incomplete(plain) {
            remove_if_there(fs, &dir.join(name))?;
        }
    }
    for (name, _) in names.with_suffix(CLEANED_SUFFIX) {
        remove_if_there(fs, &dir.join(name))?;
    }
    let swaps: Vec<(&str, &str)> =
        names.with_suffix(SWAP_SUFFIX).filter(|(_, plain)| !is_incomplete(plain)).collect();
    complete_swap(fs, dir, &names, &swaps)?;
    fs.sync_dir(dir)?;
    Names::list(fs, dir)
}

/// Puts complete swap files in the place of what they replace.
fn complete_swap(fs: &Arc<dyn Fs>, dir: &Path, names: &Names, swaps: &[(&str, &str)]) -> io::Result<()> {
    let mut covered: Option<(i64, i64)> = None;
    for (name, plain) in swaps {
        if let Some((SegmentFile::Log, base)) = SegmentFile::parse(plain) {
            let end = next_offset(fs, &dir.join(name), base)?;
            let (from, to) = covered.unwrap_or((base, end));
            covered = Some((from.min(base), to.max(end)));
        }
    }
    if let Some((from, to)) = covered {
        for name in &names.names {
            if SegmentFile::parse(name).is_some_and(|(_, base)| (from..to).contains(&base)) {
                remove_if_there(fs, &dir.join(name))?;
            }
        }
    }
    for (name, plain) in swaps {
        fs.rename(&dir.join(name), &dir.join(plain))?;
    }
    Ok(())
}

fn next_offset(fs: &Arc<dyn Fs>, path: &Path, base: i64) -> io::Result<i64> {
    let file = fs.open(path, Open::Read)?;
    let size = file.size()?;
    let mut scan = BatchScan::new(file, 0, size);
    let mut next = base;
    while let Some(batch) = scan.next_batch()? {
        next = batch.next_offset();
    }
    Ok(next)
}

/// Removes the files of a segment and the snapshot at its base.
pub(super) fn remove_segment(fs: &Arc<dyn Fs>, dir: &Path, base: i64) -> io::Result<()> {
    remove_if_there(fs, &segment_path(dir, base, SegmentFile::Log))?;
    remove_if_there(fs, &segment_path(dir, base, SegmentFile::Snapshot))?;
    remove_indexes(fs, dir, base)
}

/// Removes the indexes of a segment.
pub(super) fn remove_indexes(fs: &Arc<dyn Fs>, dir: &Path, base: i64) -> io::Result<()> {
    for kind in [SegmentFile::OffsetIndex, SegmentFile::TimeIndex, SegmentFile::TxnIndex] {
        remove_if_there(fs, &segment_path(dir, base, kind))?;
    }
    Ok(())
}

/// Removes a file that may be missing.
pub(super) fn remove_if_there(fs: &Arc<dyn Fs>, path: &Path) -> io::Result<()> {
    match fs.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
