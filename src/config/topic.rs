//! Topic keys: what a topic sets, what it takes from its broker, and under which broker key
//! (`ServerTopicConfigSynonyms`).

use std::collections::BTreeMap;

use super::keys::{Key, topic_key};
use super::topic_keys::TOPIC_KEYS;

/// What one unit of a broker key is in the topic key's unit.
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// Topic key, and the broker keys that give its default: the first that has a value wins; a number is multiplied.
const SYNONYMS: &[(&str, &[(&str, i64)])] = &[
    ("cleanup.policy", &[("log.cleanup.policy", 1)]),
    ("compression.gzip.level", &[("compression.gzip.level", 1)]),
    ("compression.lz4.level", &[("compression.lz4.level", 1)]),
    ("compression.type", &[("compression.type", 1)]),
    ("compression.zstd.level", &[("compression.zstd.level", 1)]),
    ("delete.retention.ms", &[("log.cleaner.delete.retention.ms", 1)]),
    ("file.delete.delay.ms", &[("log.segment.delete.delay.ms", 1)]),
    ("flush.messages", &[("log.flush.interval.messages", 1)]),
    ("flush.ms", &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
    ("index.interval.bytes", &[("log.index.interval.bytes", 1)]),
    ("local.retention.bytes", &[("log.local.retention.bytes", 1)]),
    ("local.retention.ms", &[("log.local.retention.ms", 1)]),
    ("max.compaction.lag.ms", &[("log.cleaner.max.compaction.lag.ms", 1)]),
    ("max.message.bytes", &[("message.max.bytes", 1)]),
    ("message.downconversion.enable", &[("log.message.downconversion.enable", 1)]),
    ("message.format.version", &[("log.message.format.version", 1)]),
    ("message.timestamp.after.max.ms", &[("log.message.timestamp.after.max.ms", 1)]),
    ("message.timestamp.before.max.ms", &[("log.message.timestamp.before.max.ms", 1)]),
    ("message.timestamp.difference.max.ms", &[("log.message.timestamp.difference.max.ms", 1)]),
    ("message.timestamp.type", &[("log.message.timestamp.type", 1)]),
    ("min.cleanable.dirty.ratio", &[("log.cleaner.min.cleanable.ratio", 1)]),
    ("min.compaction.lag.ms", &[("log.cleaner.min.compaction.lag.ms", 1)]),
    ("min.insync.replicas", &[("min.insync.replicas", 1)]),
    ("preallocate", &[("log.preallocate", 1)]),
    ("retention.bytes", &[("log.retention.bytes", 1)]),
    (
        "retention.ms",
        &[("log.retention.ms", 1), ("log.retention.minutes", MINUTE_MS), ("log.retention.hours", HOUR_MS)],
    ),
    ("segment.bytes", &[("log.segment.bytes", 1)]),
    ("segment.index.bytes", &[("log.index.size.max.bytes", 1)]),
    ("segment.jitter.ms", &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)]),
    ("segment.ms", &[("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)]),
    ("unclean.leader.election.enable", &[("unclean.leader.election.enable", 1)]),
];

/// Broker keys that stand behind a topic key, nearest first, with the factor of their unit.
pub fn synonyms(topic_key: &str) -> &'static [(&'static str, i64)] {
    SYNONYMS
        .binary_search_by(|(name, _)| (*name).cmp(topic_key))
        .map(|index| SYNONYMS[index].1)
        .unwrap_or(&[])
}

/// A broker value in the unit of its topic key.
pub fn convert(value: &str, factor: i64) -> String {
    match value.trim().parse::<i64>() {
        Ok(number) if factor != 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

/// Checks what a topic wants to set; the first fault is named.
pub fn check_all(values: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in values {
        let key = topic_key(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        key.check(value)?;
    }
    let number = |name: &str| values.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    if let (Some(min), Some(max)) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"))
        && min > max
    {
        return Err("min.compaction.lag.ms must not be more than max.compaction.lag.ms".into());
    }
    if values.get("remote.storage.enable").is_some_and(|value| value.trim() == "true") {
        return Err(
            "remote.storage.enable = true needs tiered storage, which this broker does not have".into()
        );
    }
    Ok(())
}

/// Every topic key.
pub fn all() -> &'static [Key] {
    TOPIC_KEYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::broker_key;

    #[test]
    fn synonyms_name_real_keys() {
        assert!(SYNONYMS.is_sorted_by(|left, right| left.0 < right.0));
        for (name, brokers) in SYNONYMS {
            assert!(topic_key(name).is_some(), "{name}");
            assert!(brokers.iter().all(|(broker, _)| broker_key(broker).is_some()), "{name}");
        }
        assert_eq!(synonyms("retention.ms").len(), 3);
        assert!(synonyms("remote.storage.enable").is_empty());
        assert_eq!(convert("168", HOUR_MS), "604800000");
        assert_eq!(convert("-1", HOUR_MS), "-1");
    }

    #[test]
    fn bad_topic_values_are_named() {
        let check =
            |name: &str, value: &str| check_all(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert_eq!(check("retention.ms", "1000"), Ok(()));
        assert!(check("retention.msx", "1").expect_err("unknown").contains("retention.msx"));
        assert!(check("segment.bytes", "1").is_err());
        assert!(check("remote.storage.enable", "true").is_err());
    }
}
