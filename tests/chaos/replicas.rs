//! Whether replicas are the same: the bytes of their `.log` files, once nobody writes and everybody is in the ISR.
//!
//! Then the high watermark is the end of every replica, so the files, joined in order of their offsets, must be
//! equal to the byte; where segments begin may differ. Knows nothing of what is in a batch.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::failed;

/// What was compared, and what was not the same.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Partitions that were compared.
    pub partitions: usize,
    /// Bytes of one replica of each.
    pub bytes: u64,
    /// In words.
    pub differences: Vec<String>,
}

/// Compares every partition of `topics` in these log directories; `replicas` tells how many it has.
pub fn compare(
    dirs: &[PathBuf],
    topics: &[String],
    replicas: impl Fn(&str) -> usize,
) -> io::Result<Compared> {
    let mut compared = Compared::default();
    let mut partitions: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for dir in dirs {
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if topics.iter().any(|topic| is_partition_of(&name, topic)) {
                partitions.entry(name).or_default().push(dir);
            }
        }
    }
    if partitions.is_empty() {
        return Err(failed("no partition to compare"));
    }
    for (name, places) in partitions {
        if places.len() != replicas(&name) {
            compared.differences.push(format!("{name}: {} of {} replicas", places.len(), replicas(&name)));
            continue;
        }
        let first = bytes_of(&places[0].join(&name))?;
        for place in &places[1..] {
            let other = bytes_of(&place.join(&name))?;
            if first != other {
                let at = first.iter().zip(&other).position(|(one, two)| one != two);
                let at = at.unwrap_or(first.len().min(other.len()));
                compared.differences.push(format!(
                    "{name}: {} bytes in {}, {} in {}, different from byte {at}",
                    first.len(),
                    places[0].display(),
                    other.len(),
                    place.display()
                ));
            }
        }
        compared.partitions += 1;
        compared.bytes += first.len() as u64;
    }
    Ok(compared)
}

fn is_partition_of(name: &str, topic: &str) -> bool {
    let number = name.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn bytes_of(dir: &Path) -> io::Result<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    // Base offsets are written with leading zeros.
    files.sort();
    let mut all = vec![];
    for file in files {
        all.extend(fs::read(file)?);
    }
    Ok(all)
}
