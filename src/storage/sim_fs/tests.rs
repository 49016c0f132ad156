//! What a crash of the faulty file system may and may not leave.

use std::collections::BTreeSet;

use super::*;

const DIR: &str = "/d";

fn disk(seed: u64) -> SimFs {
    let disk = SimFs::new(seed);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

fn put(disk: &SimFs, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(&path(name), Open::Create).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

fn get(disk: &SimFs, name: &str) -> Option<Vec<u8>> {
    disk.read(&path(name), 1 << 30).ok()
}

/// Runs `scenario` under many seeds and collects what each gives.
fn outcomes<T: Ord>(scenario: impl Fn(SimFs) -> T) -> BTreeSet<T> {
    (0..200).map(|seed| scenario(disk(seed))).collect()
}

#[test]
fn behaves_like_the_real_one_without_faults() {
    let dir = tempfile::tempdir().unwrap();
    let real = super::super::fs::OsFs;
    let sim = SimFs::new(1);
    sim.create_dir_all(dir.path()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for step in 0..3000 {
        let name = |random: &mut fastrand::Rng| {
            let sub = ["", "p", "q"][random.usize(0..3)];
            dir.path().join(sub).join(["a", "b", "c"][random.usize(0..3)])
        };
        let (one, two) = (name(&mut random), name(&mut random));
        let position = random.u64(0..20_000);
        let bytes: Vec<u8> = (0..random.usize(0..9000)).map(|_| random.u8(..)).collect();
        let choice = random.u8(0..9);
        let run = |fs: &dyn Fs| -> Result<String, io::ErrorKind> {
            let result = match choice {
                0 => fs.open(&one, Open::Create).map(|file| file.size().unwrap().to_string()),
                1 => fs.open(&one, Open::Truncate).map(|_| String::new()),
                2 => fs.open(&one, Open::Write).and_then(|file| {
                    let (front, back) = bytes.split_at(bytes.len() / 2);
                    file.write_all_at(&[IoSlice::new(front), IoSlice::new(back)], position)?;
                    Ok(String::new())
                }),
                3 => fs.open(&one, Open::Write).and_then(|f| f.set_len(position)).map(|_| String::new()),
                4 => fs.rename(&one, &two).map(|_| String::new()),
                5 => fs.remove_file(&one).map(|_| String::new()),
                6 => fs.create_dir_all(one.parent().unwrap()).map(|_| String::new()),
                7 => fs.list(one.parent().unwrap()).map(|mut list| {
                    list.sort_by(|a, b| a.name.cmp(&b.name));
                    format!("{list:?}")
                }),
                _ => fs.read(&one, 1 << 20).map(|bytes| format!("{bytes:?}")),
            };
            result.map_err(|error| error.kind())
        };
        assert_eq!(run(&sim), run(&real), "step {step}, call {choice} on {one:?} and {two:?}");
    }
}

#[test]
fn synced_content_with_a_synced_name_survives() {
    let seen = outcomes(|disk| {
        let file = put(&disk, "a", &[7; 10_000]);
        file.sync().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.crash();
        assert!(file.read_at(&mut [0], 0).is_err(), "a handle of the earlier life");
        get(&disk, "a")
    });
    assert_eq!(seen, BTreeSet::from([Some(vec![7; 10_000])]));
}

#[test]
fn unsynced_pages_are_kept_lost_or_torn() {
    let seen = outcomes(|disk| {
        let file = put(&disk, "a", &[1; 8192]);
        file.sync().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        file.write_all_at(&[IoSlice::new(&[2; 8192])], 4096).unwrap();
        disk.crash();
        let bytes = get(&disk, "a").unwrap();
        assert_eq!(bytes[..4096], [1; 4096], "an untouched page stays");
        assert!(bytes.len() >= 8192);
        let sectors: Vec<&[u8]> = bytes.chunks(512).collect();
        assert!(
            sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])),
            "sectors are whole"
        );
        let hole = bytes.len() == 12_288 && bytes[8192..].iter().all(|byte| *byte == 0);
        let torn = sectors[8..16].iter().any(|s| s[0] == 1) && sectors[8..16].iter().any(|s| s[0] == 2);
        (bytes[4096], bytes.len() > 8192, hole, torn)
    });
    assert!(seen.iter().any(|outcome| outcome.0 == 1) && seen.iter().any(|outcome| outcome.0 == 2));
    assert!(seen.iter().any(|outcome| outcome.1) && seen.iter().any(|outcome| !outcome.1));
    assert!(seen.iter().any(|outcome| outcome.2), "a hole before the end is met");
    assert!(seen.iter().any(|outcome| outcome.3), "a torn page is met");
}

#[test]
fn an_unsynced_cut_is_lost_or_kept_whole() {
    let seen = outcomes(|disk| {
        let file = put(&disk, "a", &[1; 12_288]);
        file.sync().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        file.set_len(4096).unwrap();
        file.write_all_at(&[IoSlice::new(&[2; 4096])], 4096).unwrap();
        disk.crash();
        let bytes = get(&disk, "a").unwrap();
        let kinds: BTreeSet<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        (bytes.len(), kinds.into_iter().collect::<Vec<u8>>())
    });
    assert!(seen.contains(&(12_288, vec![1])), "the cut may be lost");
    assert!(seen.contains(&(8192, vec![1, 2])), "and kept");
    assert!(!seen.iter().any(|(len, kinds)| *len > 8192 && kinds.contains(&2)), "old tail after new bytes");
}

#[test]
fn names_survive_as_a_prefix_of_each_directory() {
    let seen = outcomes(|disk| {
        for name in ["a", "b", "c"] {
            put(&disk, name, name.as_bytes()).sync().unwrap();
        }
        disk.rename(&path("a"), &path("z")).unwrap();
        disk.remove_file(&path("b")).unwrap();
        disk.crash();
        let mut names: Vec<String> =
            disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names.concat()
    });
    let allowed = ["", "a", "ab", "abc", "bcz", "cz"].map(String::from);
    assert!(seen.is_subset(&BTreeSet::from(allowed.clone())), "{seen:?}");
    assert!(seen.contains("") && seen.contains("cz") && seen.contains("ab"), "{seen:?}");
}

#[test]
fn replace_leaves_the_old_or_the_new() {
    let seen = outcomes(|disk| {
        disk.replace(&path("c"), &[1; 5000]).unwrap();
        let tmp = disk.open(&path("c.tmp"), Open::Truncate).unwrap();
        tmp.write_all_at(&[IoSlice::new(&[2; 6000])], 0).unwrap();
        tmp.sync().unwrap();
        disk.rename(&path("c.tmp"), &path("c")).unwrap();
        disk.crash();
        get(&disk, "c")
    });
    assert_eq!(seen, BTreeSet::from([Some(vec![1; 5000]), Some(vec![2; 6000])]));
}

#[test]
fn a_rename_between_directories_is_atomic() {
    let seen = outcomes(|disk| {
        disk.create_dir_all(Path::new("/e")).unwrap();
        disk.create_dir_all(&path("p")).unwrap();
        put(&disk, "p/a", b"x").sync().unwrap();
        for dir in ["/", DIR, "/d/p"] {
            disk.sync_dir(Path::new(dir)).unwrap();
        }
        disk.rename(&path("p"), Path::new("/e/p")).unwrap();
        disk.crash();
        let (old, new) = (get(&disk, "p/a"), disk.read(Path::new("/e/p/a"), 9).ok());
        (old.is_some(), new.is_some())
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (false, true)]));
}

#[test]
fn a_failed_sync_loses_its_pages_for_good() {
    for seed in 0..50 {
        let disk = disk(seed);
        let file = put(&disk, "a", &[1; 4096]);
        file.sync().unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        file.write_all_at(&[IoSlice::new(&[2; 4096])], 0).unwrap();
        disk.fail_nth(Call::Sync, "/d/a", 1);
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(EIO));
        file.sync().unwrap();
        assert_eq!(get(&disk, "a").unwrap(), [2; 4096], "it still reads well");
        disk.crash();
        assert_eq!(get(&disk, "a").unwrap(), [1; 4096], "seed {seed}");
    }
}

#[test]
fn planned_faults_strike_once_where_told() {
    let disk = disk(3);
    let file = put(&disk, "a", b"12345");
    let other = put(&disk, "b", b"12345");
    disk.fail_nth(Call::Read, "/d/a", 2);
    disk.fail_nth(Call::Write, "", 1);
    let mut byte = [0];
    assert!(other.read_at(&mut byte, 0).is_ok() && file.read_at(&mut byte, 0).is_ok());
    assert_eq!(file.read_at(&mut byte, 0).unwrap_err().raw_os_error(), Some(EIO));
    assert!(file.read_at(&mut byte, 0).is_ok());
    assert!(other.set_len(1).is_err() && other.set_len(1).is_ok());
    let reader = disk.open(&path("a"), Open::Read).unwrap();
    assert!(reader.set_len(0).is_err(), "opened for reading");
}

#[test]
fn a_full_disk_takes_the_front_of_a_write_until_something_is_freed() {
    let disk = disk(4);
    put(&disk, "old", &[9; 8192]);
    disk.limit_space(Some(8192));
    let file = disk.open(&path("a"), Open::Create).unwrap();
    let bytes = [3; 12_288];
    assert_eq!(file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap_err().raw_os_error(), Some(ENOSPC));
    assert_eq!(file.size().unwrap(), 8192);
    assert_eq!(disk.space(Path::new(DIR)).unwrap().usable, 0);
    disk.remove_file(&path("old")).unwrap();
    file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap();
    assert_eq!(get(&disk, "a").unwrap(), bytes);
}

#[test]
fn the_seed_decides_everything() {
    let run = |seed| {
        let disk = disk(seed);
        for name in 0..20 {
            put(&disk, &name.to_string(), &[name; 20_000]);
        }
        disk.crash();
        (0..20).map(|name| get(&disk, &name.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert!((6..30).any(|seed| run(seed) != run(5)));
}

#[test]
fn a_lock_goes_with_its_handle_or_its_life() {
    let disk = disk(6);
    let lock = put(&disk, "lock", b"");
    assert!(lock.try_lock().unwrap());
    let other = put(&disk, "lock", b"");
    assert!(!other.try_lock().unwrap());
    drop(lock);
    assert!(other.try_lock().unwrap());
    disk.crash();
    assert!(put(&disk, "lock", b"").try_lock().unwrap());
}
