//! Every configuration in force on this broker: its own layers, and what each topic sets.
//!
//! Filled from `/config` at start, with a topic's first log here, and by change notifications; read by appends (through
//! shared [`LogConfig`]s), DescribeConfigs and topic creation. Knows nothing of ZooKeeper.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::keys::topic_key;
use crate::config::layers::Layers;
use crate::config::load::Settings;
use crate::protocol::records::batch::{Compression, TimestampType};
use crate::storage::log_config::{LogConfig, TopicCompression};

/// What an entity sets: key to value.
pub type Overrides = BTreeMap<String, String>;

/// The configurations in force.
#[derive(Debug)]
pub struct ConfigCache {
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    layers: Layers,
    topics: HashMap<Arc<str>, Overrides>,
    /// Shared by all topics without overrides.
    plain: Arc<LogConfig>,
    /// Of topics with overrides.
    resolved: HashMap<Arc<str>, Arc<LogConfig>>,
    /// Counts the changes of topics.
    version: u64,
}

impl Inner {
    fn set_topic(&mut self, topic: &str, overrides: Overrides) {
        self.version += 1;
        if overrides.is_empty() {
            self.topics.remove(topic);
            self.resolved.remove(topic);
            return;
        }
        let name: Arc<str> = topic.into();
        let config = Arc::new(resolve(&self.layers, &overrides));
        self.resolved.insert(name.clone(), config);
        self.topics.insert(name, overrides);
    }
}

impl ConfigCache {
    /// What the file says; nothing dynamic yet.
    pub fn new(fixed: Settings) -> ConfigCache {
        let layers = Layers { fixed, ..Layers::default() };
        let plain = Arc::new(resolve(&layers, &Overrides::new()));
        ConfigCache {
            inner: RwLock::new(Inner {
                layers,
                topics: HashMap::new(),
                plain,
                resolved: HashMap::new(),
                version: 0,
            }),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The broker's layers.
    pub fn layers(&self) -> Layers {
        self.read(|inner| inner.layers.clone())
    }

    /// The value of a broker key in force, as a whole number; 0 without one.
    pub fn number(&self, name: &str) -> i64 {
        self.read(|inner| inner.layers.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(0))
    }

    /// The same of a key without a default; `None` while nobody has set it.
    pub fn set_number(&self, name: &str) -> Option<i64> {
        self.read(|inner| inner.layers.get(name).and_then(|value| value.trim().parse().ok()))
    }

    /// What a topic sets itself.
    pub fn topic_overrides(&self, topic: &str) -> Overrides {
        self.read(|inner| inner.topics.get(topic).cloned().unwrap_or_default())
    }

    /// The topics that set anything.
    pub fn topics_with_overrides(&self) -> Vec<Arc<str>> {
        self.read(|inner| inner.topics.keys().cloned().collect())
    }

    /// The log settings in force for a topic.
    pub fn log_config(&self, topic: &str) -> Arc<LogConfig> {
        self.read(|inner| inner.resolved.get(topic).unwrap_or(&inner.plain).clone())
    }

    /// The same for topics that set nothing.
    pub fn plain(&self) -> Arc<LogConfig> {
        self.read(|inner| inner.plain.clone())
    }

    /// Takes a topic's overrides into force; none when it has none any more.
    pub fn set_topic(&self, topic: &str, overrides: Overrides) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).set_topic(topic, overrides);
    }

    /// Counts the changes of topics, for [`ConfigCache::set_topics`].
    pub fn version(&self) -> u64 {
        self.read(|inner| inner.version)
    }

    /// Takes the overrides of several topics into force, unless any topic changed since `version`; says whether.
    pub fn set_topics(&self, version: u64, topics: Vec<(&str, Overrides)>) -> bool {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let as_read = inner.version == version;
        if as_read {
            topics.into_iter().for_each(|(topic, overrides)| inner.set_topic(topic, overrides));
        }
        as_read
    }

    /// Takes dynamic broker values into force: `/config/brokers/<default>` and `/config/brokers/<id>`.
    pub fn set_broker(&self, cluster: Option<Overrides>, broker: Option<Overrides>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = cluster {
            inner.layers.cluster = cluster;
        }
        if let Some(broker) = broker {
            inner.layers.broker = broker;
        }
        let Inner { layers, topics, plain, resolved, .. } = &mut *inner;
        *plain = Arc::new(resolve(layers, &Overrides::new()));
        for (topic, overrides) in topics {
            resolved.insert(topic.clone(), Arc::new(resolve(layers, overrides)));
        }
    }
}

/// The log settings of a topic that sets `own` on a broker with these layers. Values were checked when they
/// were set; one that is not valid all the same falls back to Kafka's default.
pub fn resolve(layers: &Layers, own: &Overrides) -> LogConfig {
    let text = |name: &str| topic_key(name).and_then(|key| layers.topic_value(own, key)).unwrap_or_default();
    let number = |name: &str, default: i64| text(name).trim().parse::<i64>().unwrap_or(default);
    let default = LogConfig::default();
    let policy = text("cleanup.policy");
    let has = |word: &str| policy.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
    let difference = number("message.timestamp.difference.max.ms", i64::MAX);
    let size = |name: &str, default: u32| u32::try_from(number(name, i64::from(default))).unwrap_or(default);
    let level = |name: &str, default: i32| i32::try_from(number(name, i64::from(default))).unwrap_or(default);
    LogConfig {
        segment_bytes: size("segment.bytes", default.segment_bytes),
        segment_ms: number("segment.ms", default.segment_ms),
        segment_jitter_ms: number("segment.jitter.ms", default.segment_jitter_ms),
        retention_bytes: number("retention.bytes", default.retention_bytes),
        retention_ms: number("retention.ms", default.retention_ms),
        max_message_bytes: size("max.message.bytes", default.max_message_bytes),
        index_interval_bytes: size("index.interval.bytes", default.index_interval_bytes),
        segment_index_bytes: size("segment.index.bytes", default.segment_index_bytes),
        delete: has("delete"),
        compact: has("compact"),
        delete_retention_ms: number("delete.retention.ms", default.delete_retention_ms),
        min_compaction_lag_ms: number("min.compaction.lag.ms", 0),
        max_compaction_lag_ms: number("max.compaction.lag.ms", i64::MAX),
        min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").trim().parse().unwrap_or(0.5),
        timestamp_type: match text("message.timestamp.type").trim() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: number("message.timestamp.before.max.ms", i64::MAX).min(difference),
        timestamp_after_max_ms: number("message.timestamp.after.max.ms", i64::MAX).min(difference),
        compression: compression(text("compression.type").trim()),
        gzip_level: level("compression.gzip.level", default.gzip_level),
        lz4_level: level("compression.lz4.level", default.lz4_level),
        zstd_level: level("compression.zstd.level", default.zstd_level),
        downconversion: !text("message.downconversion.enable").trim().eq_ignore_ascii_case("false"),
        flush_messages: number("flush.messages", i64::MAX),
        flush_ms: number("flush.ms", i64::MAX),
        file_delete_delay_ms: number("file.delete.delay.ms", default.file_delete_delay_ms),
        preallocate: text("preallocate").trim().eq_ignore_ascii_case("true"),
        min_insync_replicas: level("min.insync.replicas", 1),
        unclean_leader_election: text("unclean.leader.election.enable").trim().eq_ignore_ascii_case("true"),
    }
}

fn compression(name: &str) -> TopicCompression {
    match name {
        "uncompressed" => TopicCompression::Only(Compression::None),
        "gzip" => TopicCompression::Only(Compression::Gzip),
        "snappy" => TopicCompression::Only(Compression::Snappy),
        "lz4" => TopicCompression::Only(Compression::Lz4),
        "zstd" => TopicCompression::Only(Compression::Zstd),
        _ => TopicCompression::Producer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas_and_layers_reach_the_log() {
        let cache = ConfigCache::new(Settings::default());
        assert_eq!(*cache.log_config("t"), LogConfig::default());
        cache.set_topic("t", Overrides::from([("retention.ms".into(), "5".into())]));
        cache.set_broker(Some(Overrides::from([("log.segment.bytes".into(), "1024".into())])), None);
        let config = cache.log_config("t");
        assert_eq!((config.retention_ms, config.segment_bytes), (5, 1024));
        assert_eq!(cache.log_config("other").segment_bytes, 1024);
        cache.set_topic("t", Overrides::new());
        assert_eq!(cache.log_config("t").retention_ms, 604_800_000);
    }

    #[test]
    fn an_older_reading_does_not_undo_a_change() {
        let cache = ConfigCache::new(Settings::default());
        let retention = |value: &str| Overrides::from([("retention.ms".into(), value.into())]);
        let version = cache.version();
        cache.set_topic("t", retention("2"));
        assert!(!cache.set_topics(version, vec![("t", retention("1"))]));
        assert_eq!(cache.log_config("t").retention_ms, 2);
        assert!(cache.set_topics(cache.version(), vec![("t", retention("3"))]));
        assert_eq!(cache.log_config("t").retention_ms, 3);
    }
}
