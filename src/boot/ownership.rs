//! Whose a directory is that refuses this process, and what to do about it: the commonest fault of a mounted volume.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{getegid, geteuid};

/// A log directory holds partitions, and those files.
const DEPTH: usize = 2;

/// What refuses access under `path`, its owner, ours, and the remedy; nothing if nothing does.
pub fn explain(path: &Path) -> Option<String> {
    let (at, metadata) = refusing(path)?;
    Some(sentence(path, &at, &metadata, (geteuid().as_raw(), getegid().as_raw())))
}

/// The directory itself or, before it is made, the one it is to be made in; else the first file in it that refuses.
fn refusing(path: &Path) -> Option<(PathBuf, Metadata)> {
    let (at, metadata) = path.ancestors().find_map(|at| {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        Some((at, std::fs::metadata(at).ok()?))
    })?;
    if !is_ours(at, metadata.is_dir()) {
        return Some((at.to_owned(), metadata));
    }
    refused_in(path, DEPTH)
}

fn refused_in(dir: &Path, depth: usize) -> Option<(PathBuf, Metadata)> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let mut entries: Vec<(PathBuf, Metadata)> =
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    entries.into_iter().find_map(|(at, metadata)| {
        let is_dir = metadata.is_dir();
        match is_ours(&at, is_dir) {
            false => Some((at, metadata)),
            true if is_dir && depth > 1 => refused_in(&at, depth - 1),
            true => None,
        }
    })
}

fn is_ours(at: &Path, is_dir: bool) -> bool {
    let wanted = Access::READ_OK | Access::WRITE_OK;
    access(at, if is_dir { wanted | Access::EXEC_OK } else { wanted }).is_ok()
}

/// The remedy is for all of `path`: where one file is another's, others will be. Not for what is above it.
fn sentence(path: &Path, at: &Path, metadata: &Metadata, (uid, gid): (u32, u32)) -> String {
    let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
    let (all, is_above) = (path.display(), at != path && path.starts_with(at));
    let remedy = if is_above {
        format!(
            "make {all} for it, as its owner: `mkdir -p {all} && chown {uid}:{gid} {all}`, or name another place"
        )
    } else if owner == uid {
        format!("give its owner the rights back: `chmod -R u+rwX {all}`")
    } else {
        format!(
            "either give it to {uid}:{gid} (`chown -R {uid}:{gid} {all}`; if it is mounted into a container, what is \
             mounted, on the host), or run as {owner}:{group} (`user: \"{owner}:{group}\"` in the compose file, \
             `docker run --user {owner}:{group}`)"
        )
    };
    let at = at.display();
    format!(
        "{at} belongs to {owner}:{group} with mode {mode:o}, and this process runs as {uid}:{gid}; {remedy}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_fits_the_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let metadata = std::fs::metadata(dir.path()).expect("it is there");
        let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        let theirs = sentence(Path::new("/data"), Path::new("/data/a-0"), &metadata, (owner + 1000, 7));
        let uid = owner + 1000;
        for part in [
            format!(
                "/data/a-0 belongs to {owner}:{group} with mode {mode:o}, and this process runs as {uid}:7;"
            ),
            format!("`chown -R {uid}:7 /data`"),
            format!("`user: \"{owner}:{group}\"`"),
            format!("`docker run --user {owner}:{group}`"),
        ] {
            assert!(theirs.contains(&part), "{part}: {theirs}");
        }
        let own = sentence(Path::new("/data"), Path::new("/data"), &metadata, (owner, group));
        assert!(own.contains("`chmod -R u+rwX /data`") && !own.contains("chown"), "{own}");
        let unmade = sentence(Path::new("/data"), Path::new("/"), &metadata, (uid, 7));
        let making = format!(
            "/ belongs to {owner}:{group} with mode {mode:o}, and this process runs as {uid}:7; make /data for it"
        );
        assert!(unmade.starts_with(&making) && !unmade.contains("chown -R"), "{unmade}");
    }

    #[test]
    fn what_is_ours_needs_no_word() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("meta.properties"), "version=0\n").expect("written");
        assert_eq!(explain(&dir.path().join("to/be/made")), None);
        assert_eq!(explain(dir.path()), None);
    }
}
