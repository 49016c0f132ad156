//! What DescribeConfigs shows of each key: its value, where it comes from, and what stands behind it
//! (`ConfigHelper`).
//!
//! Pure. A key whose type nobody knows may hold a secret, so its value is not shown. The quirk that a topic's
//! synonyms begin at the first broker key (`log.retention.ms`) and are empty if that one is not set is Kafka's.

use std::collections::BTreeSet;

use super::configs::{BROKER_QUOTAS, listener_key};
use crate::config::broker_keys::BROKER_KEYS;
use crate::config::keys::{Kind, Update, broker_key, topic_key};
use crate::config::layers::{Layers, Origin, Source};
use crate::config::topic;
use crate::metadata::configs::Overrides;

/// One key as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Key.
    pub name: String,
    /// Value in force; `None` = not set, or never shown.
    pub value: Option<String>,
    /// Type; `None` = unknown.
    pub kind: Option<Kind>,
    /// Layer of the value.
    pub source: Source,
    /// Whether it can only be set at start.
    pub read_only: bool,
    /// Whether its value is never shown.
    pub sensitive: bool,
    /// All values by layer, the one in force first.
    pub synonyms: Vec<Origin>,
}

/// Keys that Kafka hides unless they are set (`ConfigDef.defineInternal`).
const INTERNAL: &[&str] = &[
    "group.consumer.migration.policy",
    "group.coordinator.new.enable",
    "group.share.enable",
    "log.initial.task.delay.ms",
    "metadata.log.segment.min.bytes",
    "producer.id.expiration.check.interval.ms",
    "remote.log.manager.task.retry.backoff.max.ms",
    "remote.log.manager.task.retry.backoff.ms",
    "remote.log.manager.task.retry.jitter",
    "server.max.startup.time.ms",
    "unclean.leader.election.interval.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
    "zookeeper.metadata.migration.min.batch.size",
];

/// Keys that say the same in different units, nearest first (`DynamicBrokerConfig.brokerConfigSynonyms`).
const SAME: &[&[&str]] = &[
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
];

/// Keys of a listener that are set for one mechanism: `listener.name.<l>.<mechanism>.<key>`.
const MECHANISM_KEYS: &[&str] = &[
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
];

/// Every key of a topic that sets `own`.
pub fn of_topic(layers: &Layers, own: &Overrides) -> Vec<Entry> {
    let mut names: BTreeSet<&str> = topic::all().iter().map(|key| key.name).collect();
    names.extend(own.keys().map(String::as_str));
    names.into_iter().map(|name| topic_entry(layers, own, name)).collect()
}

fn topic_entry(layers: &Layers, own: &Overrides, name: &str) -> Entry {
    let key = topic_key(name);
    let sensitive = key.is_none_or(|key| key.kind == Kind::Password);
    let value = match (sensitive, key) {
        (false, Some(key)) => layers.topic_value(own, key).map(|value| shown(key.kind, &value)),
        _ => None,
    };
    let mut synonyms = Vec::new();
    if own.contains_key(name) {
        synonyms.push(Origin { name: name.to_owned(), value: value.clone(), source: Source::Topic });
    }
    let brokers: Vec<&str> = topic::synonyms(name).iter().map(|(broker, _)| *broker).collect();
    if let Some(first) = brokers.first() {
        synonyms.extend(by_layer(layers, first, &brokers, sensitive));
    }
    Entry {
        name: name.to_owned(),
        value,
        kind: key.map(|key| key.kind),
        source: synonyms.first().map_or(Source::Default, |origin| origin.source),
        read_only: false,
        sensitive,
        synonyms,
    }
}

/// Every key of a broker with these layers.
pub fn of_broker(layers: &Layers) -> Vec<Entry> {
    let mut names: BTreeSet<&str> =
        BROKER_KEYS.iter().map(|key| key.name).filter(|name| !INTERNAL.contains(name)).collect();
    names.extend(layers.fixed.all_set().map(|(name, _)| name));
    names.extend(layers.cluster.keys().chain(layers.broker.keys()).map(String::as_str));
    let entries = names.into_iter().map(|name| {
        let value = in_force(layers, name);
        broker_entry(layers, name, value, |_| true)
    });
    entries.collect()
}

/// The keys set as the default of all brokers.
pub fn of_cluster(layers: &Layers) -> Vec<Entry> {
    let of_default = |origin: &Origin| origin.source == Source::Cluster;
    let entries = layers
        .cluster
        .iter()
        .map(|(name, value)| broker_entry(layers, name, Some(value.as_str()), of_default));
    entries.collect()
}

fn broker_entry(layers: &Layers, name: &str, value: Option<&str>, wanted: impl Fn(&Origin) -> bool) -> Entry {
    let kind = kind_of(name);
    let sensitive = kind.is_none_or(|kind| kind == Kind::Password);
    let value = match (sensitive, kind) {
        (false, Some(kind)) => value.map(|value| shown(kind, value)),
        _ => None,
    };
    let mut synonyms = by_layer(layers, name, &same_as(name), sensitive);
    synonyms.retain(wanted);
    Entry {
        name: name.to_owned(),
        value,
        kind,
        source: synonyms.first().map_or(Source::Default, |origin| origin.source),
        read_only: broker_key(name).is_none_or(|key| key.update == Update::ReadOnly),
        sensitive,
        synonyms,
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    if BROKER_QUOTAS.contains(&name) {
        return Some(Kind::Long);
    }
    same_as(name).into_iter().find_map(broker_key).map(|key| key.kind)
}

/// The keys that give a value to `name`, itself among them.
fn same_as(name: &str) -> Vec<&str> {
    if let Some(same) = SAME.iter().find(|same| same.contains(&name)) {
        return same.to_vec();
    }
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    match listener_key(name) {
        Some(key) => {
            let base = MECHANISM_KEYS.iter().copied().find(|known| key.ends_with(known)).unwrap_or(key);
            vec![name, base]
        }
        None => vec![name],
    }
}

/// The value in force: one set under another name of the same thing on a nearer layer undoes those behind it.
fn in_force<'a>(layers: &'a Layers, name: &str) -> Option<&'a str> {
    let default = broker_key(name).and_then(|key| key.default);
    let same = SAME.iter().find(|same| same.contains(&name)).copied().unwrap_or(&[]);
    for layer in [&layers.broker, &layers.cluster] {
        if let Some(value) = layer.get(name) {
            return Some(value);
        }
        if same.iter().any(|other| layer.contains_key(*other)) {
            return default;
        }
    }
    layers.fixed.set(name).or(default)
}

/// The values of `names`, layer by layer, from the first one of `wanted` on.
fn by_layer(layers: &Layers, wanted: &str, names: &[&str], sensitive: bool) -> Vec<Origin> {
    let on = |source: Source, name: &str| match source {
        Source::Topic => None,
        Source::Broker => layers.broker.get(name).map(String::as_str),
        Source::Cluster => layers.cluster.get(name).map(String::as_str),
        Source::Static => layers.fixed.set(name),
        Source::Default => broker_key(name).and_then(|key| key.default),
    };
    let mut origins = Vec::new();
    for source in [Source::Broker, Source::Cluster, Source::Static, Source::Default] {
        for name in names {
            if let Some(value) = on(source, name) {
                let value = (!sensitive).then(|| value.to_owned());
                origins.push(Origin { name: (*name).to_owned(), value, source });
            }
        }
    }
    let first = origins.iter().position(|origin| origin.name == wanted).unwrap_or(origins.len());
    origins.split_off(first)
}

/// A value as Kafka prints it after parsing (`ConfigDef.convertToString`).
fn shown(kind: Kind, value: &str) -> String {
    let value = value.trim();
    match kind {
        Kind::Bool => value.to_ascii_lowercase(),
        Kind::List => value.split(',').map(str::trim).collect::<Vec<&str>>().join(","),
        Kind::Double => match value.parse::<f64>() {
            // Outside of this range Java writes an exponent; such values stay as they were written.
            Ok(number) if number == 0.0 || (1e-3..1e7).contains(&number.abs()) => format!("{number:?}"),
            _ => value.to_owned(),
        },
        Kind::Int | Kind::Short | Kind::Long => value.strip_prefix('+').unwrap_or(value).to_owned(),
        Kind::Str | Kind::Class | Kind::Password => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::Settings;

    fn pairs(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn layers(fixed: &[(&str, &str)], cluster: &[(&str, &str)], broker: &[(&str, &str)]) -> Layers {
        let fixed = Settings::from_pairs(pairs(fixed)).expect("valid").0;
        Layers { fixed, cluster: pairs(cluster), broker: pairs(broker) }
    }

    fn find(entries: Vec<Entry>, name: &str) -> Entry {
        entries.into_iter().find(|entry| entry.name == name).expect("shown")
    }

    fn sources(entry: &Entry) -> Vec<(&str, Option<&str>, Source)> {
        let origin = |origin: &'_ Origin| origin.source;
        entry.synonyms.iter().map(|it| (it.name.as_str(), it.value.as_deref(), origin(it))).collect()
    }

    #[test]
    fn a_topic_shows_its_own_value_before_its_brokers() {
        let layers = layers(&[("log.segment.bytes", "2048")], &[("log.segment.bytes", "4096")], &[]);
        let own = pairs(&[("segment.bytes", "1024")]);
        let entry = find(of_topic(&layers, &own), "segment.bytes");
        assert_eq!((entry.value.as_deref(), entry.source), (Some("1024"), Source::Topic));
        let expected = [
            ("segment.bytes", Some("1024"), Source::Topic),
            ("log.segment.bytes", Some("4096"), Source::Cluster),
            ("log.segment.bytes", Some("2048"), Source::Static),
            ("log.segment.bytes", Some("1073741824"), Source::Default),
        ];
        assert_eq!(sources(&entry), expected);
        let inherited = find(of_topic(&layers, &Overrides::new()), "segment.bytes");
        assert_eq!((inherited.value.as_deref(), inherited.source), (Some("4096"), Source::Cluster));
        assert_eq!(of_topic(&layers, &own).len(), 36);
    }

    #[test]
    fn a_topics_retention_has_no_synonyms_without_log_retention_ms() {
        let by_hours = layers(&[("log.retention.hours", "1")], &[], &[]);
        let entry = find(of_topic(&by_hours, &Overrides::new()), "retention.ms");
        assert_eq!((entry.value.as_deref(), entry.source), (Some("3600000"), Source::Default));
        assert!(entry.synonyms.is_empty());
        let by_ms = layers(&[("log.retention.hours", "1")], &[("log.retention.ms", "7")], &[]);
        let entry = find(of_topic(&by_ms, &Overrides::new()), "retention.ms");
        assert_eq!((entry.value.as_deref(), entry.source), (Some("7"), Source::Cluster));
        assert_eq!(sources(&entry)[1], ("log.retention.hours", Some("1"), Source::Static));
    }

    #[test]
    fn a_broker_shows_every_key_and_hides_secrets() {
        let fixed = [
            ("num.io.threads", "4"),
            ("my.plugin.secret", "s"),
            ("ssl.keystore.password", "s"),
            ("log.retention.hours", "5"),
            ("log.cleaner.min.cleanable.ratio", "0.50"),
        ];
        let layers = layers(&fixed, &[("num.io.threads", "6")], &[("log.retention.ms", "9")]);
        let entries = of_broker(&layers);
        assert_eq!(entries.len(), BROKER_KEYS.len() - INTERNAL.len() + 1);
        let threads = find(entries.clone(), "num.io.threads");
        assert_eq!(
            (threads.value.as_deref(), threads.source, threads.read_only),
            (Some("6"), Source::Cluster, false)
        );
        for name in ["my.plugin.secret", "ssl.keystore.password"] {
            let secret = find(entries.clone(), name);
            assert_eq!((secret.value.clone(), secret.sensitive), (None, true));
            assert!(secret.synonyms.iter().all(|origin| origin.value.is_none()), "{name}");
        }
        // `log.retention.ms` on a nearer layer takes the place of the hours.
        assert_eq!(find(entries.clone(), "log.retention.hours").value.as_deref(), Some("168"));
        assert_eq!(find(entries.clone(), "log.cleaner.min.cleanable.ratio").value.as_deref(), Some("0.5"));
        assert!(find(entries, "broker.id").read_only);
    }

    #[test]
    fn the_cluster_shows_only_what_is_set_for_all() {
        let layers =
            layers(&[("num.io.threads", "4")], &[("num.io.threads", "6")], &[("num.io.threads", "7")]);
        let entries = of_cluster(&layers);
        assert_eq!(entries.len(), 1);
        assert_eq!(sources(&entries[0]), [("num.io.threads", Some("6"), Source::Cluster)]);
    }

    #[test]
    fn internal_keys_exist() {
        assert!(INTERNAL.iter().all(|name| broker_key(name).is_some()));
    }
}
