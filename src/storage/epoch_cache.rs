//! Leader epoch cache: which leader epoch wrote which offsets (`LeaderEpochFileCache`, KIP-101, KIP-279).
//!
//! Entries (epoch, start offset), both strictly increasing. Followers compare their log with the leader's by
//! it after a change of leader, so a lost entry can mean lost or diverging records: every change is written before the
//! call returns, and only changes are written. What is taken away is synced, too. A new epoch is not: an election would
//! cost thousands of syncs, and until its batches are flushed recovery learns it from them; the log's flush syncs the
//! file before it counts them as flushed. Truncation may leave the file ahead of the log after a crash; loading
//! truncates again.
//! Knows nothing of logs or of who leads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint;
use super::fs::{Fs, damaged, deferring};

/// Name of the file in a partition directory.
pub const EPOCH_FILE: &str = "leader-epoch-checkpoint";
/// "No epoch" and "no offset" in answers.
const UNDEFINED: (i32, i64) = (-1, -1);

/// The first offset an epoch wrote.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct EpochEntry {
    /// Leader epoch.
    pub epoch: i32,
    /// First offset written under it.
    pub start_offset: i64,
}

/// See the module.
pub struct EpochCache {
    fs: Arc<dyn Fs>,
    path: Box<Path>,
    /// Ascending in both fields.
    entries: Vec<EpochEntry>,
    /// Changes so far, and the last one that is durable with all before it.
    changes: u64,
    synced: u64,
}

impl EpochCache {
    /// Reads the file at `path`; a missing or empty one, as Kafka makes it for a new log, gives an empty cache, a
    /// damaged one `InvalidData` (recovery then starts from [`EpochCache::empty`] and rebuilds from the batches). It is
    /// renamed into its place before it is synced, so a crash may leave less of it, and an entry cut short may read
    /// like another one: it must end its line.
    pub fn load(fs: Arc<dyn Fs>, path: PathBuf) -> io::Result<EpochCache> {
        let text = checkpoint::read_text(&fs, &path)?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(damaged(&path, "it does not end with a line"));
        }
        let entries = checkpoint::entries_of(&path, &text, parse)?;
        let ascending = |pair: &[EpochEntry]| {
            pair[0].epoch < pair[1].epoch && pair[0].start_offset < pair[1].start_offset
        };
        if let Some(pair) = entries.windows(2).find(|pair| !ascending(pair)) {
            return Err(damaged(&path, format_args!("{:?} does not follow {:?}", pair[1], pair[0])));
        }
        Ok(EpochCache { entries, ..EpochCache::empty(fs, path) })
    }

    /// A cache without entries over `path`; the file is written at the first change.
    pub fn empty(fs: Arc<dyn Fs>, path: PathBuf) -> EpochCache {
        EpochCache { fs, path: path.into_boxed_path(), entries: Vec::new(), changes: 0, synced: 0 }
    }

    /// The file (or a directory above it) was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.path = path.into_boxed_path();
    }

    /// All entries, ascending.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest entry.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The oldest entry.
    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// The greatest known epoch below `epoch`.
    pub fn previous(&self, epoch: i32) -> Option<i32> {
        let below = self.entries.partition_point(|entry| entry.epoch < epoch);
        below.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// The epoch that wrote `offset`, if it is at or above the first entry.
    pub fn epoch_for(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Where `epoch` ends in a log that ends at `log_end_offset`, as (epoch, end offset): of the greatest known
    /// epoch at or below it; (-1, -1) when it is unknown (`endOffsetFor`).
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> (i32, i64) {
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let floor = above.checked_sub(1).map(|index| self.entries[index].epoch);
        match (floor, self.entries.get(above)) {
            _ if epoch < 0 => UNDEFINED,
            (Some(latest), None) if latest == epoch => (epoch, log_end_offset),
            (_, None) => UNDEFINED,
            (None, Some(first)) => (epoch, first.start_offset),
            (Some(floor), Some(next)) => (floor, next.start_offset),
        }
    }

    /// Notes, without a sync, that `epoch` writes from `start_offset` on. Nothing happens when the newest entry
    /// already says so; otherwise entries that contradict (same or later epoch, same or later offset) give way.
    /// `InvalidInput` for negative numbers.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> io::Result<()> {
        if epoch < 0 || start_offset < 0 {
            let path = self.path.display();
            let text = format!("{path}: epoch {epoch} from offset {start_offset} is no valid entry");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if self.latest().is_some_and(|last| last.epoch == epoch && start_offset >= last.start_offset) {
            return Ok(());
        }
        let conflicts = |entry: &EpochEntry| entry.epoch >= epoch || entry.start_offset >= start_offset;
        let kept = self.entries.iter().rposition(|entry| !conflicts(entry)).map_or(0, |index| index + 1);
        if self.entries.len() > kept + 1
            || self.entries.get(kept).is_some_and(|e| e.start_offset != start_offset)
        {
            let removed = &self.entries[kept..];
            tracing::warn!(path = %self.path.display(), epoch, start_offset, ?removed, "epochs truncated by a new one");
        }
        let mut entries = self.entries[..kept].to_vec();
        entries.push(EpochEntry { epoch, start_offset });
        deferring(|| self.put(entries))
    }

    /// The newest change, unless it is durable.
    pub fn unsynced(&self) -> Option<u64> {
        (self.synced < self.changes).then_some(self.changes)
    }

    /// The file as of `change`, and its name, were synced.
    pub fn note_synced(&mut self, change: u64) {
        self.synced = self.synced.max(change);
    }

    /// Drops the entries that start at or above `end_offset` (`truncateFromEnd`).
    pub fn truncate_from_end(&mut self, end_offset: i64) -> io::Result<()> {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        if end_offset < 0 || kept == self.entries.len() {
            return Ok(());
        }
        self.write(self.entries[..kept].to_vec())
    }

    /// Lets the entries that start at or below `start_offset` collapse into the last of them, which then starts
    /// there (`truncateFromStart`).
    pub fn truncate_from_start(&mut self, start_offset: i64) -> io::Result<()> {
        let covered = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(last) = covered.checked_sub(1) else { return Ok(()) };
        if last == 0 && self.entries[0].start_offset == start_offset {
            return Ok(());
        }
        let mut entries = self.entries[last..].to_vec();
        entries[0].start_offset = start_offset;
        self.write(entries)
    }

    /// Puts entries before all others; the first known one begins earlier if they end in its epoch.
    pub fn prepend(&mut self, mut entries: Vec<EpochEntry>) -> io::Result<()> {
        let Some(last) = entries.last().copied() else { return Ok(()) };
        entries.extend(self.entries.iter().filter(|known| known.epoch > last.epoch));
        self.write(entries)
    }

    /// Drops all entries.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.write(Vec::new())
    }

    fn write(&mut self, entries: Vec<EpochEntry>) -> io::Result<()> {
        self.put(entries)?;
        self.synced = self.changes;
        Ok(())
    }

    /// The file first: what could not be written (a full disk) is not known either, or it would never be written.
    fn put(&mut self, entries: Vec<EpochEntry>) -> io::Result<()> {
        let lines = entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset));
        checkpoint::write_entries(&self.fs, &self.path, lines)?;
        self.entries = entries;
        self.changes += 1;
        Ok(())
    }
}

/// `epoch startOffset`.
fn parse(line: &str) -> Option<EpochEntry> {
    let mut words = line.split_whitespace();
    let (epoch, start_offset) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let valid = words.next().is_none() && epoch >= 0 && start_offset >= 0;
    valid.then_some(EpochEntry { epoch, start_offset })
}

#[cfg(test)]
mod tests {
    use super::super::fs::Open;
    use super::super::sim_fs::SimFs;
    use super::*;

    const PATH: &str = "/leader-epoch-checkpoint";

    fn cache(entries: &[(i32, i64)]) -> (Arc<dyn Fs>, EpochCache) {
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
        let mut cache = EpochCache::load(fs.clone(), PATH.into()).unwrap();
        for (epoch, start_offset) in entries {
            cache.assign(*epoch, *start_offset).unwrap();
        }
        (fs, cache)
    }

    fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
        cache.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
    }

    #[test]
    fn a_new_epoch_removes_what_contradicts_it() {
        let (fs, mut cache) = cache(&[(2, 6), (3, 8), (3, 9), (7, 20)]);
        assert_eq!(pairs(&cache), [(2, 6), (3, 8), (7, 20)], "a later start of a known epoch is no news");
        cache.assign(8, 8).unwrap();
        assert_eq!(pairs(&cache), [(2, 6), (8, 8)]);
        cache.assign(1, 30).unwrap();
        assert_eq!(pairs(&cache), [(1, 30)]);
        assert_eq!(pairs(&EpochCache::load(fs, PATH.into()).unwrap()), [(1, 30)]);
        assert!(cache.assign(-1, 0).is_err() && cache.assign(1, -1).is_err());
    }

    #[test]
    fn kafkas_empty_file_is_no_damage_and_a_cut_entry_is() {
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
        let load = |text: &str| {
            fs.replace(Path::new(PATH), text.as_bytes()).unwrap();
            EpochCache::load(fs.clone(), PATH.into())
        };
        assert_eq!(pairs(&load("").unwrap()), []);
        assert_eq!(pairs(&load("0\n1\n3 71\n").unwrap()), [(3, 71)]);
        for cut in ["0\n1\n3 71", "0\n1\n3 7", "0\n1\n", "0\n1", "0"] {
            let error = load(cut).err().unwrap_or_else(|| panic!("{cut:?}"));
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{cut:?}");
        }
    }

    #[test]
    fn what_a_full_disk_refused_is_written_at_the_next_try() {
        let disk = SimFs::new(1);
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        let mut cache = EpochCache::load(fs.clone(), PATH.into()).unwrap();
        cache.assign(1, 0).unwrap();
        disk.limit_space(Some(0));
        assert!(cache.assign(2, 5).is_err());
        assert_eq!(pairs(&cache), [(1, 0)]);
        disk.limit_space(None);
        cache.assign(2, 5).unwrap();
        assert_eq!(pairs(&EpochCache::load(fs, PATH.into()).unwrap()), [(1, 0), (2, 5)]);
    }

    #[test]
    fn entries_can_be_put_before_all_others() {
        let entry = |epoch, start_offset| EpochEntry { epoch, start_offset };
        let (_, mut cache) = cache(&[(5, 20), (7, 30)]);
        cache.prepend(Vec::new()).unwrap();
        cache.prepend(vec![entry(2, 3), entry(5, 12)]).unwrap();
        assert_eq!(pairs(&cache), [(2, 3), (5, 12), (7, 30)]);
        cache.prepend(vec![entry(1, 0)]).unwrap();
        assert_eq!(pairs(&cache), [(1, 0), (2, 3), (5, 12), (7, 30)]);
    }

    #[test]
    fn ends_of_epochs() {
        let (_, cache) = cache(&[(2, 5), (4, 10), (7, 20)]);
        let expected = [
            (-1, (-1, -1)),
            (0, (0, 5)),
            (2, (2, 10)),
            (3, (2, 10)),
            (4, (4, 20)),
            (6, (4, 20)),
            (7, (7, 33)),
            (8, (-1, -1)),
        ];
        for (epoch, answer) in expected {
            assert_eq!(cache.end_offset_for(epoch, 33), answer, "epoch {epoch}");
        }
        assert_eq!(EpochCache::empty(Arc::new(SimFs::new(1)), PATH.into()).end_offset_for(3, 9), (-1, -1));
        assert_eq!(
            (cache.epoch_for(4), cache.epoch_for(5), cache.epoch_for(19), cache.epoch_for(99)),
            (None, Some(2), Some(4), Some(7))
        );
        assert_eq!((cache.previous(2), cache.previous(7), cache.previous(99)), (None, Some(4), Some(7)));
    }

    #[test]
    fn truncation_from_both_ends() {
        let (fs, mut cache) = cache(&[(2, 5), (4, 10), (7, 20)]);
        cache.truncate_from_end(20).unwrap();
        assert_eq!(pairs(&cache), [(2, 5), (4, 10)]);
        cache.truncate_from_start(4).unwrap();
        assert_eq!(pairs(&cache), [(2, 5), (4, 10)]);
        cache.truncate_from_start(7).unwrap();
        assert_eq!(pairs(&cache), [(2, 7), (4, 10)]);
        cache.truncate_from_start(15).unwrap();
        assert_eq!(pairs(&cache), [(4, 15)]);
        assert_eq!(pairs(&EpochCache::load(fs.clone(), PATH.into()).unwrap()), [(4, 15)]);
        cache.truncate_from_end(15).unwrap();
        assert_eq!((cache.latest(), cache.earliest()), (None, None));
        assert_eq!(fs.read(Path::new(PATH), 99).unwrap(), b"0\n0\n");
    }

    #[test]
    fn only_changes_are_written() {
        let sim = SimFs::new(1);
        let mut cache = EpochCache::load(Arc::new(sim.clone()), PATH.into()).unwrap();
        cache.assign(1, 3).unwrap();
        let before = sim.calls();
        cache.assign(1, 9).unwrap();
        cache.truncate_from_end(4).unwrap();
        cache.truncate_from_start(3).unwrap();
        assert_eq!(sim.calls(), before);
    }

    #[test]
    fn a_crash_leaves_what_was_synced_or_taken_away() {
        for seed in 0..100 {
            let sim = SimFs::new(seed);
            let fs: Arc<dyn Fs> = Arc::new(sim.clone());
            let mut cache = EpochCache::load(fs.clone(), PATH.into()).unwrap();
            let last = fastrand::Rng::with_seed(seed).i32(1..20);
            let mut done: Vec<(i32, i64)> = (0..=last).map(|epoch| (epoch, i64::from(epoch) * 10)).collect();
            for (epoch, start_offset) in &done {
                cache.assign(*epoch, *start_offset).unwrap();
            }
            match seed % 2 {
                0 => {
                    cache.truncate_from_end(i64::from(last) * 10).unwrap();
                    done.pop();
                }
                _ => {
                    let change = cache.unsynced().expect("a new epoch is not synced");
                    fs.open(Path::new(PATH), Open::Write).unwrap().sync().unwrap();
                    fs.sync_dir(Path::new("/")).unwrap();
                    cache.note_synced(change);
                }
            }
            assert_eq!(cache.unsynced(), None);
            sim.crash();
            assert_eq!(pairs(&EpochCache::load(fs, PATH.into()).unwrap()), done, "seed {seed}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        for text in
            ["0\n2\n1 5\n1 6\n", "0\n2\n1 5\n2 5\n", "0\n1\n-1 5\n", "0\n1\n1\n", "0\n1\n1 2 3\n", "x"]
        {
            let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
            fs.replace(Path::new(PATH), text.as_bytes()).unwrap();
            assert_eq!(
                EpochCache::load(fs, PATH.into()).err().unwrap().kind(),
                io::ErrorKind::InvalidData,
                "{text:?}"
            );
        }
    }
}
