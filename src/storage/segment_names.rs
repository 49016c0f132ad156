//! Names of files in a partition directory: a stem of 20 digits and a suffix (`LogFileUtils`, `UnifiedLog`).

use std::path::{Path, PathBuf};

/// Appended to a file that waits for removal.
pub const DELETED_SUFFIX: &str = ".deleted";
/// Appended to what compaction or a split is writing.
pub const CLEANED_SUFFIX: &str = ".cleaned";
/// Appended to what compaction or a split has written, until the old files are gone.
pub const SWAP_SUFFIX: &str = ".swap";

/// The files whose stem is an offset.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SegmentFile {
    /// Batches.
    Log,
    /// Offset index.
    OffsetIndex,
    /// Time index.
    TimeIndex,
    /// Transaction index.
    TxnIndex,
    /// Producer state.
    Snapshot,
}

impl SegmentFile {
    /// All of them.
    pub const ALL: [SegmentFile; 5] = [
        SegmentFile::Log,
        SegmentFile::OffsetIndex,
        SegmentFile::TimeIndex,
        SegmentFile::TxnIndex,
        SegmentFile::Snapshot,
    ];

    /// What the name ends with.
    pub fn suffix(self) -> &'static str {
        match self {
            SegmentFile::Log => ".log",
            SegmentFile::OffsetIndex => ".index",
            SegmentFile::TimeIndex => ".timeindex",
            SegmentFile::TxnIndex => ".txnindex",
            SegmentFile::Snapshot => ".snapshot",
        }
    }

    /// The kind and offset a file name means; `None` for other names.
    pub fn parse(name: &str) -> Option<(SegmentFile, i64)> {
        let (stem, _) = name.split_once('.')?;
        let suffix = &name[stem.len()..];
        let kind = SegmentFile::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        let digits = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
        let offset = digits.then(|| stem.parse().ok())??;
        Some((kind, offset))
    }
}

/// Where a file of the segment that starts at `base_offset` is.
pub fn segment_path(dir: &Path, base_offset: i64, file: SegmentFile) -> PathBuf {
    dir.join(format!("{base_offset:020}{}", file.suffix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_strangers_are_none() {
        for kind in SegmentFile::ALL {
            let path = segment_path(Path::new("t-0"), 42, kind);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert_eq!(SegmentFile::parse(name), Some((kind, 42)));
        }
        for name in ["x.log", ".log", "00.log.deleted", "00.log2", "+1.log", "99999999999999999999.log"] {
            assert_eq!(SegmentFile::parse(name), None, "{name}");
        }
    }
}
