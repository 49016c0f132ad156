//! Names of partition directories (`LocalLog.parseTopicPartitionName` and `logDeleteDirName`).
//!
//! `<topic>-<partition>`, and for a partition on its way out or in `<topic>-<partition>.<32 hex>-delete`,
//! `-future` or `-stray`. Topics may hold `-` and `.`, so names are cut at the last one. A file name has at most
//! 255 bytes: a deleted or stray directory's topic is cut to fit, a future one's never.
//! Pure; knows nothing of directories' content.

use crate::protocol::ids::{TopicPartition, Uuid};

/// Longest name of a file or directory.
const MAX_NAME: usize = 255;

/// What a partition directory holds.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DirKind {
    /// The partition.
    Current,
    /// A partition that was deleted; its topic's name may be cut.
    Deleted,
    /// A copy being made in this log directory (AlterReplicaLogDirs).
    Future,
    /// A partition set aside because nobody assigns it to this broker; its topic's name may be cut.
    Stray,
}

impl DirKind {
    fn suffix(self) -> &'static str {
        match self {
            DirKind::Current => "",
            DirKind::Deleted => "-delete",
            DirKind::Future => "-future",
            DirKind::Stray => "-stray",
        }
    }
}

/// The name of a partition's directory. `unique` tells directories of other kinds apart; it is not used for a
/// current one.
pub fn dir_name(tp: &TopicPartition, kind: DirKind, unique: Uuid) -> String {
    if kind == DirKind::Current {
        return tp.to_string();
    }
    let hex = u128::from_be_bytes(unique.0);
    let rest = format!("-{}.{hex:032x}{}", tp.partition, kind.suffix());
    let mut kept = tp.topic.len();
    if kind != DirKind::Future {
        kept = kept.min(MAX_NAME - rest.len());
    }
    // Topic names are ASCII; never cut a character all the same.
    format!("{}{rest}", &tp.topic[..tp.topic.floor_char_boundary(kept)])
}

/// What a directory's name says; `None` for a name no partition has, which is fatal at start-up.
pub fn parse_dir_name(name: &str) -> Option<(TopicPartition, DirKind)> {
    let kinds = [DirKind::Deleted, DirKind::Future, DirKind::Stray];
    let (plain, kind) = match kinds.into_iter().find(|kind| name.ends_with(kind.suffix())) {
        None => (name, DirKind::Current),
        Some(kind) => {
            let (plain, unique) = name.strip_suffix(kind.suffix())?.rsplit_once('.')?;
            if unique.is_empty() || name.contains(char::is_whitespace) {
                return None;
            }
            (plain, kind)
        }
    };
    let (topic, partition) = plain.rsplit_once('-')?;
    let is_number = partition.bytes().all(|byte| byte.is_ascii_digit());
    let partition: i32 = if is_number { partition.parse().ok()? } else { return None };
    (!topic.is_empty()).then(|| (TopicPartition::new(topic, partition), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid([0xab; 16]);

    #[test]
    fn names_round_trip() {
        let tp = TopicPartition::new("a-b.c-delete", 12);
        for kind in [DirKind::Current, DirKind::Deleted, DirKind::Future, DirKind::Stray] {
            let name = dir_name(&tp, kind, ID);
            assert_eq!(parse_dir_name(&name), Some((tp.clone(), kind)), "{name}");
        }
        let hex = "ab".repeat(16);
        assert_eq!(dir_name(&tp, DirKind::Deleted, ID), format!("a-b.c-delete-12.{hex}-delete"));
        assert_eq!(
            dir_name(&TopicPartition::new("t", 0), DirKind::Stray, Uuid([0; 16])).len(),
            3 + 1 + 32 + 6
        );
    }

    #[test]
    fn long_topics_are_cut_unless_future() {
        let tp = TopicPartition::new("t".repeat(249), 1000);
        for kind in [DirKind::Deleted, DirKind::Stray] {
            let name = dir_name(&tp, kind, ID);
            assert_eq!(name.len(), 255);
            let (parsed, _) = parse_dir_name(&name).unwrap();
            assert_eq!((parsed.partition, tp.topic.starts_with(&*parsed.topic)), (1000, true));
        }
        assert_eq!(dir_name(&tp, DirKind::Future, ID).len(), 249 + 5 + 33 + 7);
    }

    #[test]
    fn other_names_are_no_partitions() {
        for name in [
            "",
            "-",
            "t",
            "t-",
            "-0",
            "t-x",
            "t-+1",
            "t-99999999999",
            "t-0-delete",
            "t-0.-delete",
            "t.x-delete",
            "lost+found",
            "t-0.a b-future",
        ] {
            assert_eq!(parse_dir_name(name), None, "{name:?}");
        }
    }
}
