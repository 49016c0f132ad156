//! `/config/<type>/<entity>` and `/config/changes`: overrides of topics, brokers, clients, users and addresses, and
//! the notes that make every broker read them again.
//!
//! Source: `ConfigEntityZNode`, `ConfigEntityChangeNotificationZNode`, `ConfigEntityName`. Values are texts; what they
//! mean is the broker's business.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::{self, Object};
use super::sanitize::{desanitize, sanitize};
use super::{ZnodeError, sequence_of};

/// Root of all configs.
pub const CONFIG: &str = "/config";
/// Parent of the change notes.
pub const CHANGES: &str = "/config/changes";
/// Name of a change note, before its counter.
pub const CHANGE_PREFIX: &str = "config_change_";
/// Name of the node that holds for all entities without one of their own.
pub const DEFAULT: &str = "<default>";

/// Path to create a change note with, sequentially.
pub fn change_prefix_path() -> String {
    format!("{CHANGES}/{CHANGE_PREFIX}")
}

/// The counter of a change note.
pub fn change_sequence(name: &str) -> Option<i64> {
    sequence_of(name, CHANGE_PREFIX)
}

/// What a config is for. Names are plain (not sanitized); `None` is `<default>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigEntity {
    /// A topic.
    Topic(String),
    /// A broker id.
    Broker(Option<i32>),
    /// A client id.
    Client(Option<String>),
    /// A user.
    User(Option<String>),
    /// A client id of a user: user, client.
    UserClient(Option<String>, Option<String>),
    /// An address.
    Ip(Option<String>),
}

impl ConfigEntity {
    /// Path below `/config`, as a change note holds it: `users/<u>/clients/<c>`.
    pub fn entity_path(&self) -> String {
        let named = |name: &Option<String>| name.as_deref().map_or_else(|| DEFAULT.to_owned(), sanitize);
        match self {
            ConfigEntity::Topic(name) => format!("topics/{name}"),
            ConfigEntity::Broker(Some(id)) => format!("brokers/{id}"),
            ConfigEntity::Broker(None) => format!("brokers/{DEFAULT}"),
            ConfigEntity::Client(name) => format!("clients/{}", named(name)),
            ConfigEntity::User(name) => format!("users/{}", named(name)),
            ConfigEntity::UserClient(user, client) => {
                format!("users/{}/clients/{}", named(user), named(client))
            }
            ConfigEntity::Ip(address) => format!("ips/{}", address.as_deref().unwrap_or(DEFAULT)),
        }
    }

    /// The node.
    pub fn path(&self) -> String {
        format!("{CONFIG}/{}", self.entity_path())
    }

    /// The entity of a path below `/config`; `None` if it is none.
    pub fn from_entity_path(entity_path: &str) -> Option<ConfigEntity> {
        let named = |node: &str| {
            if node == DEFAULT { Some(None) } else { desanitize(node).map(Some) }
        };
        let mut parts = entity_path.split('/');
        let (kind, name) = (parts.next()?, parts.next().filter(|name| !name.is_empty())?);
        let entity = match (kind, parts.next(), parts.next()) {
            ("topics", None, _) => ConfigEntity::Topic(name.to_owned()),
            ("brokers", None, _) if name == DEFAULT => ConfigEntity::Broker(None),
            ("brokers", None, _) => ConfigEntity::Broker(Some(name.parse().ok()?)),
            ("clients", None, _) => ConfigEntity::Client(named(name)?),
            ("users", None, _) => ConfigEntity::User(named(name)?),
            ("users", Some("clients"), Some(client)) if !client.is_empty() => {
                ConfigEntity::UserClient(named(name)?, named(client)?)
            }
            ("ips", None, _) => ConfigEntity::Ip(Some(name.to_owned()).filter(|name| name != DEFAULT)),
            _ => return None,
        };
        parts.next().is_none().then_some(entity)
    }
}

/// The overrides of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConfigNode {
    /// Key and value.
    pub config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    config: BTreeMap<String, String>,
}

impl ConfigNode {
    /// The node's content.
    pub fn encode(&self) -> Vec<u8> {
        let config = self.config.iter().fold(Object::new(), |object, (key, value)| object.text(key, value));
        Object::new().raw("version", 1).raw("config", config.finish()).into_bytes()
    }

    /// Reads the node at `path`; empty data (a mere parent) is an empty config.
    pub fn decode(path: &str, data: &[u8]) -> Result<ConfigNode, ZnodeError> {
        if data.is_empty() {
            return Ok(ConfigNode::default());
        }
        let stored: Stored = json::read(path, data)?;
        Ok(ConfigNode { config: stored.config })
    }
}

#[derive(Deserialize)]
struct StoredChange {
    version: i32,
    entity_path: Option<String>,
    entity_type: Option<String>,
    entity_name: Option<String>,
}

/// The content of a change note (version 2).
pub fn encode_change(entity: &ConfigEntity) -> Vec<u8> {
    Object::new().raw("version", 2).text("entity_path", &entity.entity_path()).into_bytes()
}

/// Reads a change note of version 1 or 2. A note that is no JSON is to be ignored (`None`), as Kafka does.
pub fn decode_change(path: &str, data: &[u8]) -> Result<Option<ConfigEntity>, ZnodeError> {
    let Ok(value) = json::read::<serde_json::Value>(path, data) else { return Ok(None) };
    let stored: StoredChange =
        serde_json::from_value(value).map_err(|error| ZnodeError::new(path, error.to_string()))?;
    let entity_path = match (stored.version, stored.entity_path, stored.entity_type, stored.entity_name) {
        (2, Some(entity_path), ..) => entity_path,
        (1, _, Some(kind), Some(name)) if kind == "topics" || kind == "clients" => format!("{kind}/{name}"),
        (version, ..) => {
            return Err(ZnodeError::new(path, format!("no valid change note of version {version}")));
        }
    };
    match ConfigEntity::from_entity_path(&entity_path) {
        Some(entity) => Ok(Some(entity)),
        None => Err(ZnodeError::new(path, format!("{entity_path:?} names no config entity"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_come_back_from_their_paths() {
        let name = || Some("a b/*".to_owned());
        let all = [
            ConfigEntity::Topic("t".into()),
            ConfigEntity::Broker(Some(1)),
            ConfigEntity::Broker(None),
            ConfigEntity::Client(name()),
            ConfigEntity::Client(None),
            ConfigEntity::User(name()),
            ConfigEntity::User(None),
            ConfigEntity::UserClient(name(), None),
            ConfigEntity::UserClient(None, name()),
            ConfigEntity::Ip(Some("10.0.0.1".into())),
            ConfigEntity::Ip(None),
        ];
        for entity in all {
            assert_eq!(ConfigEntity::from_entity_path(&entity.entity_path()), Some(entity.clone()));
            assert_eq!(decode_change("/c", &encode_change(&entity)).unwrap(), Some(entity));
        }
        for bad in ["", "topics", "topics/", "topics/a/b", "users/a/clients/", "users/a/clients/b/c", "x/y"] {
            assert_eq!(ConfigEntity::from_entity_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn change_notes_of_all_ages() {
        let v1 = br#"{"version":1,"entity_type":"topics","entity_name":"x"}"#;
        assert_eq!(decode_change("/c", v1).unwrap(), Some(ConfigEntity::Topic("x".into())));
        assert_eq!(decode_change("/c", b"not json").unwrap(), None);
        assert!(decode_change("/c", br#"{"version":3}"#).is_err());
        assert!(decode_change("/c", br#"{"version":1,"entity_type":"users","entity_name":"x"}"#).is_err());
        assert!(ConfigNode::decode("/c", br#"{"version":1,"config":{"a":1}}"#).is_err());
        assert_eq!(ConfigNode::decode("/c", b"").unwrap(), ConfigNode::default());
    }
}
