//! Which value wins: `/config/brokers/<id>` over `/config/brokers/<default>` over the file over the default; a
//! topic's own value over its broker's (`DynamicBrokerConfig`, `ConfigHelper`).

use std::collections::BTreeMap;

use super::keys::{Key, Kind, Update, broker_key};
use super::load::Settings;
use super::topic;

/// Where a value comes from, with its number in DescribeConfigs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// `/config/topics/<t>`.
    Topic = 1,
    /// `/config/brokers/<id>`.
    Broker = 2,
    /// `/config/brokers/<default>`.
    Cluster = 3,
    /// The file or the command line.
    Static = 4,
    /// Kafka's default.
    Default = 5,
}

/// One value and its origin; `name` is the key it was found under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Key.
    pub name: String,
    /// Value; `None` = not set, or never shown.
    pub value: Option<String>,
    /// Layer.
    pub source: Source,
}

/// A broker's layers.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file and the command line.
    pub fixed: Settings,
    /// `/config/brokers/<default>`.
    pub cluster: BTreeMap<String, String>,
    /// `/config/brokers/<id>`.
    pub broker: BTreeMap<String, String>,
}

impl Layers {
    /// All values of a broker key, the one in force first.
    pub fn origins(&self, name: &str) -> Vec<Origin> {
        let origin = |value: Option<&str>, source| {
            value.map(|value| Origin { name: name.to_owned(), value: Some(value.to_owned()), source })
        };
        let mut origins = Vec::new();
        origins.extend(origin(self.broker.get(name).map(String::as_str), Source::Broker));
        origins.extend(origin(self.cluster.get(name).map(String::as_str), Source::Cluster));
        origins.extend(origin(self.fixed.set(name), Source::Static));
        origins.extend(origin(broker_key(name).and_then(|key| key.default), Source::Default));
        origins
    }

    /// The broker value in force.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.broker
            .get(name)
            .or_else(|| self.cluster.get(name))
            .map(String::as_str)
            .or_else(|| self.fixed.get(name))
    }

    /// The same keys as plain settings, for code that reads them as at start.
    pub fn in_force(&self) -> Settings {
        let pairs = self.fixed.all_set().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let dynamic =
            self.cluster.iter().chain(&self.broker).map(|(name, value)| (name.clone(), value.clone()));
        match Settings::from_pairs(pairs.chain(dynamic)) {
            Ok((settings, _)) => settings,
            // A bad dynamic value is refused when it is set; one that slipped in must not undo the file.
            Err(_) => self.fixed.clone(),
        }
    }

    /// All values of a topic key, the one in force first.
    pub fn topic_origins(&self, own: &BTreeMap<String, String>, key: &Key) -> Vec<Origin> {
        let mut origins = Vec::new();
        if let Some(value) = own.get(key.name) {
            origins.push(Origin {
                name: key.name.to_owned(),
                value: Some(value.clone()),
                source: Source::Topic,
            });
        }
        let synonyms = topic::synonyms(key.name);
        let mut defaults = Vec::new();
        for (name, _) in synonyms {
            for origin in self.origins(name) {
                match origin.source {
                    Source::Default => defaults.push(origin),
                    _ => origins.push(origin),
                }
            }
        }
        origins.extend(defaults);
        if synonyms.is_empty()
            && let Some(default) = key.default
        {
            origins.push(Origin {
                name: key.name.to_owned(),
                value: Some(default.to_owned()),
                source: Source::Default,
            });
        }
        origins
    }

    /// The topic value in force.
    pub fn topic_value(&self, own: &BTreeMap<String, String>, key: &Key) -> Option<String> {
        if let Some(value) = own.get(key.name) {
            return Some(value.clone());
        }
        let synonyms = topic::synonyms(key.name);
        let dynamic_or_fixed = |name: &str| {
            let layered = self.broker.get(name).or_else(|| self.cluster.get(name)).map(String::as_str);
            layered.or_else(|| self.fixed.set(name)).filter(|value| !value.is_empty()).map(str::to_owned)
        };
        for (name, factor) in synonyms {
            if let Some(value) = dynamic_or_fixed(name) {
                return Some(topic::convert(&value, *factor));
            }
        }
        key.default.map(str::to_owned)
    }
}

/// Checks a dynamic broker value; `per_broker` says whether it is for one broker or for all.
pub fn check_dynamic(name: &str, value: Option<&str>, per_broker: bool) -> Result<(), String> {
    let base = match name.strip_prefix("listener.name.") {
        Some(rest) => rest.split_once('.').map(|(_, key)| key).unwrap_or(rest),
        None => name,
    };
    let Some(key) = broker_key(base) else {
        // Keys that Kafka does not know are kept for plugins; quota rates are such keys too.
        return Ok(());
    };
    match key.update {
        Update::ReadOnly => return Err(format!("Cannot update these configs dynamically: Set({name})")),
        Update::PerBroker if !per_broker => {
            return Err(format!(
                "Cannot update these configs at default cluster level, per-broker configs must be defined at broker level: Set({name})"
            ));
        }
        Update::PerBroker | Update::ClusterWide => {}
    }
    if key.kind == Kind::Password && !per_broker {
        return Err(format!("{name} is a password and can be set per broker only"));
    }
    value.map_or(Ok(()), |value| key.check(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::topic_key;

    fn layers() -> Layers {
        let fixed = [("log.retention.hours", "1"), ("num.io.threads", "4")];
        let pairs = fixed.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Layers {
            fixed: Settings::from_pairs(pairs).expect("valid").0,
            cluster: BTreeMap::from([("num.io.threads".into(), "5".into())]),
            broker: BTreeMap::new(),
        }
    }

    #[test]
    fn the_nearest_layer_wins() {
        let layers = layers();
        assert_eq!(layers.get("num.io.threads"), Some("5"));
        let sources: Vec<Source> =
            layers.origins("num.io.threads").iter().map(|origin| origin.source).collect();
        assert_eq!(sources, [Source::Cluster, Source::Static, Source::Default]);
        assert_eq!(layers.in_force().number("num.io.threads"), 5);
    }

    #[test]
    fn a_topic_takes_its_brokers_value_in_its_own_unit() {
        let layers = layers();
        let key = topic_key("retention.ms").expect("known");
        let none = BTreeMap::new();
        assert_eq!(layers.topic_value(&none, key).as_deref(), Some("3600000"));
        let own = BTreeMap::from([("retention.ms".to_owned(), "7".to_owned())]);
        assert_eq!(layers.topic_value(&own, key).as_deref(), Some("7"));
        let origins = layers.topic_origins(&own, key);
        assert_eq!(origins[0].source, Source::Topic);
        assert_eq!(origins[1].name, "log.retention.hours");
        assert_eq!(origins[1].source, Source::Static);
    }

    #[test]
    fn what_may_change_when() {
        assert!(check_dynamic("num.io.threads", Some("9"), false).is_ok());
        assert!(check_dynamic("num.io.threads", Some("0"), false).is_err());
        assert!(check_dynamic("broker.id", Some("1"), true).is_err());
        assert!(check_dynamic("listeners", Some("PLAINTEXT://:1"), false).is_err());
        assert!(check_dynamic("my.plugin.key", Some("x"), false).is_ok());
    }
}
