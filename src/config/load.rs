//! From texts to [`Settings`]: what the operator set, checked key by key.

use std::collections::BTreeMap;
use std::fmt;

use super::keys::{Kind, broker_key};
use super::plugins;

/// What is wrong with a configuration: all of it at once, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The broker keys an operator set, valid each by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

/// Keys of Kafka that its `ConfigDef` does not list because plugins read them.
const OUTSIDE_CONFIG_DEF: &[&str] = &["super.users", "allow.everyone.if.no.acl.found"];

/// Whether Kafka 3.9 knows a key of this name, or one of its plugins does.
pub fn is_known(name: &str) -> bool {
    broker_key(name).is_some()
        || OUTSIDE_CONFIG_DEF.contains(&name)
        || name.starts_with("listener.name.")
        || name.starts_with("authorizer.zookeeper.")
}

impl Settings {
    /// Takes `pairs`, later ones winning. Returns the settings and warnings; errors come all together.
    pub fn from_pairs(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Settings, Vec<String>), ConfigErrors> {
        let mut values = BTreeMap::new();
        for (key, value) in pairs {
            values.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        // Kafka's two names of one key (`KafkaConfig.populateSynonyms`).
        if let (None, Some(id)) = (values.get("broker.id"), values.get("node.id")) {
            values.insert("broker.id".to_owned(), id.clone());
        }
        let mut warnings = Vec::new();
        let mut errors = Vec::new();
        for (name, value) in &values {
            match broker_key(name) {
                Some(key) => errors.extend(key.check(value).err()),
                None if is_known(name) => {}
                None => warnings
                    .push(format!("{name} is not a key of Kafka 3.9 and is ignored; check its spelling")),
            }
        }
        errors.extend(plugins::refusals(&values));
        if errors.is_empty() { Ok((Settings { values }, warnings)) } else { Err(ConfigErrors(errors)) }
    }

    /// What the operator set, if anything.
    pub fn set(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All that the operator set.
    pub fn all_set(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether access rules, if there were some, were to be enforced.
    pub fn names_authorizer(&self) -> bool {
        plugins::names_authorizer(&self.values)
    }

    /// The value in force: as set, or the default.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set(name).or_else(|| broker_key(name).and_then(|key| key.default))
    }

    /// A text; empty when not set and without default.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// A whole number. Keys without a value give 0: ask [`Settings::get`] first where that matters.
    pub fn number(&self, name: &str) -> i64 {
        debug_assert!(broker_key(name).is_some(), "{name} is no key");
        self.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    /// The same for one listener: `listener.name.<name>.<key>` if that is set.
    pub fn number_of_listener(&self, listener: &str, name: &str) -> i64 {
        let own = self.set(&format!("listener.name.{}.{name}", listener.to_lowercase()));
        own.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| self.number(name))
    }

    /// A floating-point number.
    pub fn double(&self, name: &str) -> f64 {
        self.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    }

    /// A switch.
    pub fn flag(&self, name: &str) -> bool {
        debug_assert!(broker_key(name).is_some_and(|key| key.kind == Kind::Bool), "{name} is no switch");
        self.text(name).eq_ignore_ascii_case("true")
    }

    /// A list's members, trimmed, empty ones left out.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

/// Reads Java properties (`server.properties`).
pub fn from_properties(text: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    // Java reads these files as Latin-1; the crate's default encoding is its superset.
    java_properties::PropertiesIter::new(text)
        .read_into(|key, value| pairs.push((key, value)))
        .map_err(|error| format!("not a valid properties file: {error}"))?;
    Ok(pairs)
}

/// Reads TOML: the same keys, dotted or as tables; arrays are lists.
pub fn from_toml(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = text.parse().map_err(|error| format!("not valid TOML: {error}"))?;
    let mut pairs = Vec::new();
    flatten("", &toml::Value::Table(table), &mut pairs)?;
    Ok(pairs)
}

fn flatten(prefix: &str, value: &toml::Value, out: &mut Vec<(String, String)>) -> Result<(), String> {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&path, value, out)?;
            }
            return Ok(());
        }
        toml::Value::Array(values) => {
            let words: Result<Vec<String>, String> =
                values.iter().map(|value| scalar(prefix, value)).collect();
            out.push((prefix.to_owned(), words?.join(",")));
        }
        value => out.push((prefix.to_owned(), scalar(prefix, value)?)),
    }
    Ok(())
}

fn scalar(name: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        _ => Err(format!("{name}: a {} cannot be the value of a key", value.type_str())),
    }
}

/// Reads one `--override key=value`.
pub fn from_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("--override {text:?} is not of the form key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<(Settings, Vec<String>), ConfigErrors> {
        Settings::from_pairs(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_three_sources_say_the_same() {
        let java = "# comment\nlog.retention.ms=5\nlisteners = PLAINTEXT://:9092\nlog.cleanup.policy=compact,\\\n  delete\n";
        let toml = "listeners = \"PLAINTEXT://:9092\"\n[log]\nretention.ms = 5\ncleanup.policy = [\"compact\", \"delete\"]\n";
        let from = |pairs: Vec<(String, String)>| Settings::from_pairs(pairs).expect("valid").0;
        let java = from(from_properties(java.as_bytes()).expect("valid"));
        let toml = from(from_toml(toml).expect("valid"));
        assert_eq!(java, toml);
        assert_eq!(java.number("log.retention.ms"), 5);
        assert_eq!(java.list("log.cleanup.policy"), ["compact", "delete"]);
        assert_eq!(java.number("num.io.threads"), 8, "a default");
        let own = from(vec![("listener.name.inside.max.connections".into(), "5".into())]);
        let of = |listener| own.number_of_listener(listener, "max.connections");
        assert_eq!((of("INSIDE"), of("OUTSIDE")), (5, i64::from(i32::MAX)));
        assert_eq!(from_override("a.b = c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(from_override("nothing").is_err());
    }

    #[test]
    fn unknown_keys_warn_and_bad_values_fail_together() {
        let (_, warnings) = settings(&[("num.io.thread", "8"), ("listener.name.x.ssl.client.auth", "none")])
            .expect("unknown keys are only warned of");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("num.io.thread is not a key"));
        let errors = settings(&[("num.io.threads", "x"), ("broker.id", "y")]).expect_err("two faults");
        assert_eq!(errors.0.len(), 2);
    }

    #[test]
    fn broken_files_are_explained() {
        assert!(from_toml("a = ").expect_err("broken").contains("TOML"));
        assert!(from_properties(b"a=\\uZZZZ").expect_err("broken").contains("properties"));
        assert!(from_toml("a = 1979-05-27").expect_err("a date").contains("datetime"));
    }
}
