//! Changing the configuration of topics and brokers: checks, then the node under `/config`, then the note that makes
//! every broker read it again (`ZkAdminManager`, `ConfigAdminManager`, `DynamicBrokerConfig`, KIP-226, KIP-339).
//!
//! What was written is in force on this broker before the note goes out, so that whatever the note makes it read is
//! at least as new. Nothing is written unless everything asked of a resource is valid. Two differences from Kafka:
//! a value whose change this broker could not carry out while it runs (listeners, key stores, passwords) is
//! refused instead of stored, and APPEND to a key nobody knows is INVALID_CONFIG instead of a server error.

use std::collections::BTreeMap;

use ottla_zk::kafka::configs;
use ottla_zk::znode::config::{ConfigEntity, ConfigNode};

use super::{Admin, Refusal};
use crate::config::keys::{Key, Kind, broker_key, topic_key};
use crate::config::layers::{Layers, check_dynamic};
use crate::config::topic as topic_config;
use crate::metadata::configs::Overrides;
use crate::protocol::error_code::ErrorCode;

/// What has a configuration, as requests number it (`ConfigResource.Type`).
pub mod resource_type {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, or all of them.
    pub const BROKER: i8 = 4;
    /// The loggers of a broker.
    pub const BROKER_LOGGER: i8 = 8;
    /// A client metrics subscription (KRaft only).
    pub const CLIENT_METRICS: i8 = 16;
}

/// Whose configuration changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A topic's.
    Topic(String),
    /// A broker's; `None` = the default of all.
    Broker(Option<i32>),
}

/// What a step does with its key (`AlterConfigOp.OpType`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Sets it.
    Set,
    /// Removes it, so that the next layer's value is in force.
    Delete,
    /// Adds members to a list.
    Append,
    /// Takes members out of a list.
    Subtract,
}

impl Operation {
    /// By its number on the wire.
    pub fn from_wire(number: i8) -> Option<Operation> {
        match number {
            0 => Some(Operation::Set),
            1 => Some(Operation::Delete),
            2 => Some(Operation::Append),
            3 => Some(Operation::Subtract),
            _ => None,
        }
    }
}

/// One step of an incremental change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Key.
    pub name: String,
    /// What to do with it.
    pub operation: Operation,
    /// With what; empty for [`Operation::Delete`].
    pub value: String,
}

/// A change of one resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// These values and no others (AlterConfigs).
    Replace(Overrides),
    /// What is there, with these steps applied (IncrementalAlterConfigs).
    Steps(Vec<Step>),
}

/// Rates that are no broker keys but may be set per broker (`QuotaConfigs.brokerQuotaConfigs`): bytes a second.
pub const BROKER_QUOTAS: &[&str] = &[
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// Keys of a listener that may be set for all brokers (`DynamicBrokerConfig.ClusterLevelListenerConfigs`).
const CLUSTER_LEVEL_LISTENER_KEYS: &[&str] =
    &["max.connection.creation.rate", "max.connections", "num.network.threads"];

/// Only ever set for one listener (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const PER_LISTENER_KEYS: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Numbers of threads, which may at most double or halve at a time.
const THREADS: &[&str] = &[
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// Dynamic in Kafka; this broker takes them up when it starts.
const TAKEN_UP_AT_START: &[&str] = &["advertised.listeners", "listener.security.protocol.map", "listeners"];

/// The key of `listener.name.<listener>.<key>`.
pub fn listener_key(name: &str) -> Option<&str> {
    name.strip_prefix("listener.name.")?.split_once('.').map(|(_, key)| key)
}

/// Applies `steps` to `values`. `find` knows the keys' types and defaults.
pub fn apply_steps(
    values: &mut Overrides,
    steps: &[Step],
    find: impl Fn(&str) -> Option<&'static Key>,
) -> Result<(), Refusal> {
    for step in steps {
        match step.operation {
            Operation::Set => {
                values.insert(step.name.clone(), step.value.clone());
            }
            Operation::Delete => {
                values.remove(&step.name);
            }
            Operation::Append | Operation::Subtract => {
                let key = find(&step.name).ok_or_else(|| {
                    Refusal::new(ErrorCode::InvalidConfig, format!("Unknown config name: {}", step.name))
                })?;
                let appends = step.operation == Operation::Append;
                if key.kind != Kind::List {
                    let verb = if appends { "append" } else { "subtract" };
                    let text = format!("Config value {verb} is not allowed for config key: {}", step.name);
                    return Err(Refusal::new(ErrorCode::InvalidConfig, text));
                }
                let current = values.get(&step.name).map(String::as_str).or(key.default).unwrap_or("");
                let changed =
                    if appends { append(current, &step.value) } else { subtract(current, &step.value) };
                values.insert(step.name.clone(), changed);
            }
        }
    }
    Ok(())
}

fn members(list: &str) -> Vec<&str> {
    let mut members: Vec<&str> = list.split(',').collect();
    while members.last().is_some_and(|last| last.is_empty()) {
        members.pop();
    }
    members
}

fn append(list: &str, added: &str) -> String {
    let mut all = members(list);
    let new: Vec<&str> = members(added).into_iter().filter(|member| !all.contains(member)).collect();
    all.extend(new);
    all.join(",")
}

fn subtract(list: &str, removed: &str) -> String {
    let mut all = members(list);
    for member in members(removed) {
        if let Some(index) = all.iter().position(|other| *other == member) {
            all.remove(index);
        }
    }
    all.join(",")
}

/// Whether a broker's dynamic values may become `values`; `per_broker` says on which level. The error says which
/// may not, and why.
pub fn check_broker(layers: &Layers, per_broker: bool, values: &Overrides) -> Result<(), String> {
    let stored = if per_broker { &layers.broker } else { &layers.cluster };
    for (name, value) in values {
        check_dynamic(name, Some(value), per_broker)?;
        check_level(name, per_broker)?;
        if BROKER_QUOTAS.contains(&name.as_str()) && !value.trim().parse::<i64>().is_ok_and(|rate| rate >= 0)
        {
            return Err(format!("{name} = {value:?} is not valid: it takes a number of bytes, 0 or more"));
        }
        let base = listener_key(name).unwrap_or(name);
        let is_password = broker_key(base).is_some_and(|key| key.kind == Kind::Password);
        if (is_password || base.ends_with("sasl.jaas.config")) && stored.get(name) != Some(value) {
            return Err(format!(
                "{name} is a password: this broker takes it from its configuration file only"
            ));
        }
    }
    let mut next = layers.clone();
    *(if per_broker { &mut next.broker } else { &mut next.cluster }) = values.clone();
    check_running(layers, &next)
}

/// Rules of [`check_broker`] about where a key may be set.
fn check_level(name: &str, per_broker: bool) -> Result<(), String> {
    if PER_LISTENER_KEYS.contains(&name) {
        return Err(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: Set({name})"
        ));
    }
    let of_listener = listener_key(name).is_some_and(|key| !CLUSTER_LEVEL_LISTENER_KEYS.contains(&key));
    if of_listener && !per_broker {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: Set({name})"
        ));
    }
    Ok(())
}

/// Whether a running broker can go from `layers` to `next`.
fn check_running(layers: &Layers, next: &Layers) -> Result<(), String> {
    let number =
        |layers: &Layers, name: &str| layers.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    for name in THREADS {
        let (Some(old), Some(new)) = (number(layers, name), number(next, name)) else { continue };
        let what = format!(
            "Invalid dynamic configuration: Dynamic thread count update validation failed for {name}={new}"
        );
        if new != old && new < 1 {
            return Err(format!("{what}, value should be at least 1"));
        }
        if new < old / 2 {
            return Err(format!("{what}, value should be at least half the current value {old}"));
        }
        if new > old.saturating_mul(2) {
            return Err(format!("{what}, value should not be greater than double the current value {old}"));
        }
    }
    let names = layers.broker.keys().chain(next.broker.keys()).map(String::as_str);
    let of_listeners = names
        .filter(|name| listener_key(name).is_some_and(|key| !CLUSTER_LEVEL_LISTENER_KEYS.contains(&key)));
    for name in TAKEN_UP_AT_START.iter().copied().chain(of_listeners) {
        if layers.get(name) != next.get(name) {
            return Err(format!(
                "Invalid dynamic configuration: this broker takes up {name} when it starts; set it in its configuration file"
            ));
        }
    }
    Ok(())
}

impl Admin {
    /// The broker id that a resource of type broker or broker logger names; only this broker's will do.
    pub fn own_id(&self, name: &str) -> Result<i32, Refusal> {
        let id: i32 = name.parse().map_err(|_| {
            Refusal::new(
                ErrorCode::InvalidRequest,
                format!("Broker id must be an integer, but it is: {name}"),
            )
        })?;
        if id != self.broker_id {
            let text = format!("Unexpected broker id, expected {}, but received {name}", self.broker_id);
            return Err(Refusal::new(ErrorCode::InvalidRequest, text));
        }
        Ok(id)
    }

    /// The target that a request names by type and name.
    pub fn target(&self, kind: i8, name: &str) -> Result<Target, Refusal> {
        match kind {
            resource_type::TOPIC if name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Default topic resources are not allowed."))
            }
            resource_type::TOPIC => Ok(Target::Topic(name.to_owned())),
            resource_type::BROKER if name.is_empty() => Ok(Target::Broker(None)),
            resource_type::BROKER => Ok(Target::Broker(Some(self.own_id(name)?))),
            resource_type::CLIENT_METRICS => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "AlterConfigs is only supported for topics and brokers, but resource type is CLIENT_METRICS",
            )),
            other => Err(Refusal::new(ErrorCode::InvalidRequest, format!("Unknown resource type {other}"))),
        }
    }

    /// Checks a change and, unless `validate_only`, writes it, takes it into force here and tells all brokers.
    pub async fn alter_config(
        &self,
        target: &Target,
        change: Change,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        match target {
            Target::Topic(topic) => self.alter_topic(topic, change, validate_only).await,
            Target::Broker(id) => self.alter_broker(*id, change, validate_only).await,
        }
    }

    async fn alter_topic(&self, topic: &str, change: Change, validate_only: bool) -> Result<(), Refusal> {
        // Before the name becomes part of a path.
        if self.metadata.image().topic(topic).is_none() {
            let text = format!("The topic '{topic}' does not exist.");
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, text));
        }
        let entity = ConfigEntity::Topic(topic.to_owned());
        let values = self.changed(&entity, change, topic_key).await?;
        topic_config::check_all(&values).map_err(|what| {
            let text = format!(
                "Invalid config value for resource ConfigResource(type=TOPIC, name='{topic}'): {what}"
            );
            Refusal::new(ErrorCode::InvalidConfig, text)
        })?;
        if validate_only {
            return Ok(());
        }
        self.store_config(&entity, &values).await?;
        self.configs.set_topic(topic, values);
        configs::notify(&*self.store, &entity).await?;
        tracing::info!(topic, "changed a topic's configuration");
        Ok(())
    }

    async fn alter_broker(
        &self,
        id: Option<i32>,
        change: Change,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let entity = ConfigEntity::Broker(id);
        let values = self.changed(&entity, change, broker_key).await?;
        check_broker(&self.configs.layers(), id.is_some(), &values)
            .map_err(|what| Refusal::new(ErrorCode::InvalidRequest, what))?;
        if validate_only {
            return Ok(());
        }
        self.store_config(&entity, &values).await?;
        match id {
            Some(_) => self.configs.set_broker(None, Some(values)),
            None => self.configs.set_broker(Some(values), None),
        }
        configs::notify(&*self.store, &entity).await?;
        tracing::info!(broker = ?id, "changed the dynamic configuration of a broker, or of all if none is named");
        Ok(())
    }

    async fn changed(
        &self,
        entity: &ConfigEntity,
        change: Change,
        find: impl Fn(&str) -> Option<&'static Key>,
    ) -> Result<Overrides, Refusal> {
        match change {
            Change::Replace(values) => Ok(values),
            Change::Steps(steps) => {
                let mut values = configs::read(&*self.store, entity).await?.config;
                apply_steps(&mut values, &steps, find)?;
                Ok(values)
            }
        }
    }

    async fn store_config(&self, entity: &ConfigEntity, values: &Overrides) -> Result<(), Refusal> {
        let node = ConfigNode { config: values.clone() };
        Ok(configs::write(&*self.store, entity, &node).await?)
    }
}

/// The values of a request, refused when a key comes twice or a value that is needed is null.
pub fn distinct<'a>(
    pairs: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut values = BTreeMap::new();
    let mut nulls = Vec::new();
    for (name, value) in pairs {
        if value.is_none() {
            nulls.push(name);
        }
        if values.insert(name.to_owned(), value.unwrap_or_default().to_owned()).is_some() {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "Error due to duplicate config keys"));
        }
    }
    match nulls.is_empty() {
        true => Ok(values),
        false => {
            let text = format!("Null value not supported for : {}", nulls.join(", "));
            Err(Refusal::new(ErrorCode::InvalidRequest, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::Settings;

    fn step(name: &str, operation: Operation, value: &str) -> Step {
        Step { name: name.into(), operation, value: value.into() }
    }

    fn after(start: &[(&str, &str)], steps: &[Step]) -> Result<Overrides, Refusal> {
        let mut values = pairs(start);
        apply_steps(&mut values, steps, topic_key).map(|()| values)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn steps_set_delete_append_and_subtract() {
        use Operation::*;
        let set = after(&[("retention.ms", "1")], &[step("retention.ms", Set, "2")]).expect("valid");
        assert_eq!(set, pairs(&[("retention.ms", "2")]));
        let deleted = after(&[("retention.ms", "1")], &[step("retention.ms", Delete, "")]).expect("valid");
        assert!(deleted.is_empty());
        // The default, `delete`, is what a list without a value starts from.
        let appended = after(&[], &[step("cleanup.policy", Append, "compact,delete")]).expect("valid");
        assert_eq!(appended, pairs(&[("cleanup.policy", "delete,compact")]));
        let subtracted =
            after(&[("cleanup.policy", "delete,compact")], &[step("cleanup.policy", Subtract, "delete")]);
        assert_eq!(subtracted.expect("valid"), pairs(&[("cleanup.policy", "compact")]));
        let throttled = [("leader.replication.throttled.replicas", "0:1,1:2")];
        let none =
            after(&throttled, &[step("leader.replication.throttled.replicas", Subtract, "1:2,0:1,5:5")]);
        assert_eq!(none.expect("valid"), pairs(&[("leader.replication.throttled.replicas", "")]));
    }

    #[test]
    fn only_lists_can_be_appended_to() {
        for operation in [Operation::Append, Operation::Subtract] {
            let refusal = after(&[], &[step("retention.ms", operation, "1")]).expect_err("no list");
            assert_eq!(refusal.code, ErrorCode::InvalidConfig);
            assert!(refusal.message.contains("is not allowed for config key: retention.ms"));
            assert!(after(&[], &[step("nobody.knows", operation, "1")]).is_err());
        }
        assert_eq!(Operation::from_wire(3), Some(Operation::Subtract));
        assert_eq!(Operation::from_wire(4), None);
    }

    #[test]
    fn duplicates_and_nulls_are_refused() {
        let twice = distinct([("a", Some("1")), ("a", Some("2"))].into_iter()).expect_err("twice");
        assert_eq!(twice.message, "Error due to duplicate config keys");
        let nulls = distinct([("a", None), ("b", None)].into_iter()).expect_err("null");
        assert_eq!(nulls.message, "Null value not supported for : a, b");
        assert_eq!(distinct([("a", Some("1"))].into_iter()), Ok(pairs(&[("a", "1")])));
    }

    fn layers() -> Layers {
        let fixed = pairs(&[("num.io.threads", "8"), ("listeners", "PLAINTEXT://:9092")]);
        Layers { fixed: Settings::from_pairs(fixed).expect("valid").0, ..Layers::default() }
    }

    #[test]
    fn a_broker_takes_what_it_can_change_while_it_runs() {
        let check =
            |per_broker: bool, values: &[(&str, &str)]| check_broker(&layers(), per_broker, &pairs(values));
        assert_eq!(check(true, &[("num.io.threads", "16")]), Ok(()));
        assert!(
            check(true, &[("num.io.threads", "17")])
                .expect_err("doubled")
                .contains("double the current value 8")
        );
        assert!(check(false, &[("num.io.threads", "3")]).expect_err("halved").contains("at least half"));
        assert_eq!(check(false, &[("log.retention.ms", "1000"), ("my.own.key", "x")]), Ok(()));
        assert!(check(true, &[("broker.id", "1")]).expect_err("read-only").contains("dynamically"));
        assert!(
            check(true, &[("ssl.keystore.location", "/x")]).expect_err("prefix").contains("listener prefix")
        );
        assert!(check(true, &[("listener.name.a.ssl.keystore.location", "/x")]).is_err());
        assert_eq!(check(false, &[("listener.name.a.max.connections", "5")]), Ok(()));
        assert!(check(false, &[("listener.name.a.ssl.client.auth", "none")]).is_err());
        assert!(check(true, &[("listeners", "PLAINTEXT://:1")]).expect_err("running").contains("starts"));
        assert_eq!(check(true, &[("listeners", "PLAINTEXT://:9092")]), Ok(()));
        assert!(check(true, &[("leader.replication.throttled.rate", "fast")]).is_err());
        assert_eq!(check(true, &[("leader.replication.throttled.rate", "1000")]), Ok(()));
    }

    #[test]
    fn a_stored_password_stays_and_a_new_one_is_refused() {
        let name = "listener.name.a.ssl.keystore.password";
        let mut layers = layers();
        layers.broker = pairs(&[(name, "encrypted")]);
        assert_eq!(
            check_broker(&layers, true, &pairs(&[(name, "encrypted"), ("log.retention.ms", "1")])),
            Ok(())
        );
        assert!(
            check_broker(&layers, true, &pairs(&[(name, "plain")])).expect_err("new").contains("password")
        );
    }
}
