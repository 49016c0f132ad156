//! The three indexes against a plain list of entries, on good, preallocated and damaged files.

use super::super::offset_index::OffsetIndex;
use super::super::sim_fs::{Call, SimFs};
use super::super::time_index::TimeIndex;
use super::super::txn_index::{AbortedTxn, TxnIndex};
use super::*;

const BASE: i64 = 1 << 40;

fn disk(seed: u64) -> (SimFs, Arc<dyn Fs>) {
    let sim = SimFs::new(seed);
    (sim.clone(), Arc::new(sim))
}

fn offset_index(fs: &Arc<dyn Fs>) -> OffsetIndex {
    OffsetIndex::open(fs.clone(), PathBuf::from("/i.index"), BASE).unwrap()
}

fn time_index(fs: &Arc<dyn Fs>) -> TimeIndex {
    TimeIndex::open(fs.clone(), PathBuf::from("/i.timeindex"), BASE).unwrap()
}

/// The last entry of a sorted list at or below `target`.
fn floor(entries: &[(i64, u32)], target: i64) -> (i64, u32) {
    let below = entries.partition_point(|(offset, _)| *offset <= target);
    below.checked_sub(1).map_or((BASE, 0), |index| entries[index])
}

#[test]
fn an_offset_index_is_a_sorted_list() {
    for seed in 0..20 {
        let (_, fs) = disk(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut index = offset_index(&fs);
        let mut model: Vec<(i64, u32)> = Vec::new();
        for step in 0..4000 {
            let last = model.last().copied().unwrap_or((BASE, 0));
            match random.u32(0..400) {
                0 => {
                    index = {
                        index.trim().unwrap();
                        offset_index(&fs)
                    }
                }
                1 => index.flush().unwrap(),
                2 if step % 5 == 0 => {
                    let to = random.i64(BASE - 5..=last.0 + 5);
                    index.truncate_to(to).unwrap();
                    model.retain(|(offset, _)| *offset < to);
                }
                3 if step % 50 == 0 => {
                    index.reset().unwrap();
                    model.clear();
                }
                4..40 => {
                    let target = random.i64(BASE - 3..=last.0 + 3);
                    assert_eq!(
                        index.lookup(target).unwrap(),
                        floor(&model, target),
                        "seed {seed} step {step}"
                    );
                }
                _ => {
                    let entry = (last.0 + random.i64(1..9), last.1 + random.u32(4096..9000));
                    index.append(entry.0, entry.1).unwrap();
                    model.push(entry);
                }
            }
            assert_eq!(index.entries().unwrap() as usize, model.len(), "seed {seed} step {step}");
            assert_eq!(index.last_offset().unwrap(), model.last().map_or(BASE, |last| last.0));
        }
        index.sanity_check().unwrap();
        for (number, entry) in model.iter().enumerate() {
            assert_eq!(index.entry(number as u32).unwrap().as_ref(), Some(entry));
        }
        assert_eq!(index.entry(model.len() as u32).unwrap(), None);
    }
}

#[test]
fn every_lookup_of_a_large_file_is_right() {
    let (_, fs) = disk(1);
    let mut index = offset_index(&fs);
    let entries: Vec<(i64, u32)> = (1..5000).map(|n| (BASE + n * 3, n as u32 * 4097)).collect();
    for (offset, position) in &entries {
        index.append(*offset, *position).unwrap();
    }
    index.flush().unwrap();
    let index = offset_index(&fs);
    for target in BASE - 1..BASE + 15_005 {
        assert_eq!(index.lookup(target).unwrap(), floor(&entries, target));
    }
    assert_eq!(index.lookup(i64::MIN).unwrap(), (BASE, 0));
    assert_eq!(index.lookup(i64::MAX).unwrap(), *entries.last().unwrap());
}

#[test]
fn an_offset_index_refuses_what_breaks_it() {
    let (_, fs) = disk(1);
    let mut index = offset_index(&fs);
    index.set_max_bytes(20);
    index.append(BASE + 5, 100).unwrap();
    for (offset, position) in [(BASE + 5, 200), (BASE + 4, 200), (BASE + (1 << 31), 200), (BASE + 6, 1 << 31)]
    {
        assert_eq!(index.append(offset, position).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    index.append(BASE + i64::from(i32::MAX), i32::MAX as u32).unwrap();
    assert!(index.is_full().unwrap());
    assert_eq!(
        index.append(BASE + i64::from(i32::MAX), 300).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(index.entries().unwrap(), 2);
}

#[test]
fn a_time_index_takes_growing_timestamps_only() {
    let (_, fs) = disk(1);
    let mut index = time_index(&fs);
    assert_eq!(index.last_entry().unwrap(), (-1, BASE));
    index.maybe_append(-1, BASE + 3, false).unwrap();
    assert_eq!(index.entries().unwrap(), 0, "no timestamp, no entry");
    index.maybe_append(1000, BASE + 3, false).unwrap();
    index.maybe_append(1000, BASE + 9, false).unwrap();
    assert_eq!(index.last_entry().unwrap(), (1000, BASE + 3));
    index.maybe_append(1005, BASE + 9, false).unwrap();
    for (timestamp, offset) in [(1004, BASE + 10), (1006, BASE + 8)] {
        assert_eq!(
            index.maybe_append(timestamp, offset, false).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
    assert_eq!(index.lookup(999).unwrap(), (-1, BASE));
    assert_eq!(index.lookup(1004).unwrap(), (1000, BASE + 3));
    assert_eq!(index.lookup(i64::MAX).unwrap(), (1005, BASE + 9));
    index.set_max_bytes(36);
    assert!(index.is_full().unwrap(), "one slot is reserved");
    assert!(index.maybe_append(1010, BASE + 11, false).is_err());
    index.maybe_append(1010, BASE + 11, true).unwrap();
    index.truncate_to(BASE + 9).unwrap();
    assert_eq!(index.last_entry().unwrap(), (1000, BASE + 3));
    index.flush().unwrap();
    assert_eq!(time_index(&fs).entry(0).unwrap(), Some((1000, BASE + 3)));
}

fn aborted(first_offset: i64, last_offset: i64, last_stable_offset: i64) -> AbortedTxn {
    AbortedTxn { producer_id: 7, first_offset, last_offset, last_stable_offset }
}

#[test]
fn a_transaction_index_gives_what_a_reader_must_skip() {
    let (_, fs) = disk(1);
    let path = PathBuf::from("/i.txnindex");
    let mut index = TxnIndex::open(fs.clone(), path.clone()).unwrap();
    assert_eq!(index.collect(0, 100).unwrap(), (Vec::new(), false));
    index.truncate_to(0).unwrap();
    index.flush().unwrap();
    assert!(!fs.exists(&path).unwrap(), "no file before the first entry");
    let txns = [aborted(0, 10, 11), aborted(5, 19, 15), aborted(15, 30, 31), aborted(40, 50, 51)];
    for txn in txns {
        index.append(txn).unwrap();
    }
    assert_eq!(index.append(aborted(41, 50, 51)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let index_again = TxnIndex::open(fs.clone(), path.clone()).unwrap();
    assert_eq!(index_again.all().unwrap(), txns);
    index_again.sanity_check(0).unwrap();
    assert!(index_again.sanity_check(11).is_err());
    assert_eq!(index_again.collect(0, 100).unwrap(), (txns.to_vec(), false));
    assert_eq!(index_again.collect(11, 20).unwrap(), (txns[1..3].to_vec(), true));
    assert_eq!(index_again.collect(0, 11).unwrap(), (txns[..1].to_vec(), true), "stops once all is known");
    assert_eq!(index_again.collect(31, 40).unwrap(), (Vec::new(), true));
    index.truncate_to(30).unwrap();
    assert_eq!(index.all().unwrap(), txns[..2]);
    index.append(txns[2]).unwrap();
    assert_eq!(fs.size(&path).unwrap(), 3 * 34);
    index.reset().unwrap();
    assert!(index.is_empty().unwrap());
}

#[test]
fn a_preallocated_file_ends_at_its_zeros() {
    let (_, fs) = disk(1);
    for count in [0, 1, 2, 511, 512, 513, 1000] {
        let mut index = offset_index(&fs);
        index.reset().unwrap();
        for n in 1..=count {
            index.append(BASE + n, n as u32 * 5000).unwrap();
        }
        index.flush().unwrap();
        fs.open(index.path(), Open::Write).unwrap().set_len(10 << 20).unwrap();
        let mut index = offset_index(&fs);
        assert_eq!(i64::from(index.entries().unwrap()), count);
        assert_eq!(index.last_offset().unwrap(), BASE + count);
        index.append(BASE + count + 1, 9_000_000).unwrap();
        assert_eq!(index.lookup(BASE + count).unwrap().0, BASE + count);
        index.trim().unwrap();
        assert_eq!(fs.size(index.path()).unwrap(), (count as u64 + 1) * 8);
    }
}

#[test]
fn damaged_files_give_errors_or_entries_but_no_panic() {
    let mut random = fastrand::Rng::with_seed(99);
    for round in 0..400 {
        let (_, fs) = disk(round);
        let mut bytes: Vec<u8> = (0..random.usize(0..3000)).map(|n| (n / 7) as u8).collect();
        for _ in 0..random.usize(0..20) {
            if let Some(byte) = bytes.last_mut().filter(|_| random.bool()) {
                *byte = random.u8(..);
            }
            let zeros = random.usize(0..40);
            bytes.extend(std::iter::repeat_n(0, zeros));
            bytes.extend((0..random.usize(0..40)).map(|_| random.u8(..)));
        }
        for name in ["/i.index", "/i.timeindex", "/i.txnindex"] {
            let file = fs.open(Path::new(name), Open::Truncate).unwrap();
            file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap();
        }
        let (mut offsets, mut times) = (offset_index(&fs), time_index(&fs));
        let mut txns = TxnIndex::open(fs.clone(), PathBuf::from("/i.txnindex")).unwrap();
        for _ in 0..20 {
            let target = random.i64(..);
            let _ = (offsets.lookup(target), times.lookup(target), txns.collect(target, random.i64(..)));
        }
        let _ = (offsets.sanity_check(), times.sanity_check(), txns.sanity_check(BASE), txns.all());
        let _ = (
            offsets.append(BASE + 7, 7),
            times.maybe_append(7, BASE + 7, false),
            txns.append(aborted(1, 2, 3)),
        );
        let to = random.i64(BASE..BASE + 100_000);
        let _ = (offsets.truncate_to(to), times.truncate_to(to), txns.truncate_to(to));
        for outcome in [offsets.reset(), times.reset(), txns.reset(), offsets.append(BASE + 7, 7)] {
            outcome.unwrap();
        }
        assert_eq!((offsets.entries().unwrap(), times.entries().unwrap()), (1, 0), "usable after a reset");
    }
}

#[test]
fn sanity_checks_find_odd_lengths_and_disorder() {
    let (_, fs) = disk(1);
    let put = |name: &str, bytes: &[u8]| {
        let file = fs.open(Path::new(name), Open::Truncate).unwrap();
        file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    };
    put("/i.index", &[0, 0, 0, 1, 0, 0, 0, 9, 1]);
    assert_eq!(offset_index(&fs).sanity_check().unwrap_err().kind(), io::ErrorKind::InvalidData);
    put("/i.index", &[0xff, 0, 0, 1, 0, 0, 0, 9]);
    assert!(offset_index(&fs).sanity_check().unwrap_err().to_string().contains("/i.index"));
    put("/i.index", &[0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 10]);
    assert!(offset_index(&fs).sanity_check().is_err());
    put("/i.timeindex", &[[9; 12], [1; 12]].concat());
    assert!(time_index(&fs).sanity_check().is_err());
    put("/i.txnindex", &[1; 34]);
    assert!(TxnIndex::open(fs.clone(), "/i.txnindex".into()).unwrap().sanity_check(0).is_err(), "version");
}

#[test]
fn a_failed_write_keeps_the_entries_and_a_crash_loses_only_unflushed_ones() {
    let (sim, fs) = disk(8);
    let mut index = offset_index(&fs);
    for n in 1..=10 {
        index.append(BASE + n, n as u32).unwrap();
    }
    sim.fail_nth(Call::Write, ".index", 1);
    assert!(index.flush().is_err());
    assert_eq!(index.entries().unwrap(), 10);
    index.flush().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    for n in 11..=20 {
        index.append(BASE + n, n as u32).unwrap();
    }
    sim.crash();
    let index = offset_index(&fs);
    assert_eq!(index.lookup(BASE + 30).unwrap(), (BASE + 10, 10));
}
