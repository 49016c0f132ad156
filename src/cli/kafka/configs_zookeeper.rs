//! `kafka-configs --zookeeper`: configurations of brokers that are down, and what is stored for users, in ZooKeeper.
//!
//! Written as Kafka's tool writes them: the node, then the note of the change. Passwords and SCRAM credentials are
//! refused, for neither can be encrypted or made here. Source: `ConfigCommand.{alter,describe}ConfigWithZk` of 3.9.

use std::time::Duration;

use ottla_zk::kafka::{self, brokers, configs};
use ottla_zk::store::{Options as StoreOptions, Remote, Store};
use ottla_zk::znode::config::{ConfigEntity, ConfigNode};

use super::super::output::exactly as say;
use super::configs::{to_add, to_delete};
use super::configs_entities::Entities;
use super::errors::Failure;
use super::options::Options;
use crate::admin::configs::listener_key;
use crate::config::keys::{Kind, broker_key};
use crate::config::layers::check_dynamic;

/// How long the ensemble is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the tool on the ensemble at `servers`, `HOST:PORT,../CHROOT`.
pub async fn run(options: &Options, entities: &Entities, servers: &str) -> Result<(), Failure> {
    say("Warning: --zookeeper is deprecated and will be removed in a future version of Kafka.")?;
    say("Use --bootstrap-server instead to specify a broker to connect to.")?;
    let entity = entity(entities)?;
    let mut at = StoreOptions::new(servers);
    at.connection_timeout = PATIENCE;
    let store = Remote::connect(at).await.map_err(|error| error.to_string())?;
    let done = match options.has("alter") {
        true => alter(&store, options, &entity).await,
        false => describe(&store, entities, entity).await,
    };
    store.close(Duration::from_secs(1)).await;
    done
}

/// The entity that is named; `None` for all of its kind.
fn entity(entities: &Entities) -> Result<Option<ConfigEntity>, String> {
    let name = |index: usize| {
        entities.names.get(index).map(|name| Some(name.clone()).filter(|name| !name.is_empty()))
    };
    let kinds: Vec<&str> = entities.kinds.iter().map(String::as_str).collect();
    Ok(match (kinds[..].split_first(), name(0)) {
        (Some((&"brokers", [])), Some(id)) => ConfigEntity::Broker(
            id.map(|id| id.parse().map_err(|_| format!("no broker id: {id}"))).transpose()?,
        )
        .into(),
        (Some((&"users", [])), Some(user)) => ConfigEntity::User(user).into(),
        (Some((&"users", _)), Some(user)) => name(1).map(|client| ConfigEntity::UserClient(user, client)),
        (Some((_, [_])), Some(client)) => name(1).map(|user| ConfigEntity::UserClient(user, client)),
        _ => None,
    })
}

/// As Kafka's tool names it.
fn shown(entity: &ConfigEntity) -> String {
    let part = |word: &str, name: &Option<String>| match name {
        Some(name) => format!("{word} '{name}'"),
        None => format!("default {word}"),
    };
    match entity {
        ConfigEntity::Broker(id) => part("brokers", &id.map(|id| id.to_string())),
        ConfigEntity::User(user) => part("user-principal", user),
        ConfigEntity::UserClient(user, client) => {
            format!("{}, {}", part("user-principal", user), part("client-id", client))
        }
        ConfigEntity::Topic(name) => part("topic", &Some(name.clone())),
        ConfigEntity::Client(client) => part("client-id", client),
        ConfigEntity::Ip(ip) => part("ips", ip),
    }
}

fn trouble(error: kafka::KafkaError) -> Failure {
    Failure::new("org.apache.zookeeper.KeeperException", error.to_string())
}

/// The brokers concerned must be down: while they run, they decide what may be changed.
async fn must_be_down(store: &Remote, entity: Option<&ConfigEntity>, what: &str) -> Result<(), Failure> {
    const INFO: &str = "Broker configuration operations using ZooKeeper are only supported if the affected broker(s) are not running.";
    match entity {
        Some(ConfigEntity::Broker(Some(id))) => match brokers::get(store, *id).await.map_err(trouble)? {
            Some(_) => {
                Err(Failure::argument(format!("requirement failed: {what} - broker {id} is running. {INFO}")))
            }
            None => Ok(()),
        },
        _ => match brokers::list(store).await.map_err(trouble)?.len() {
            0 => Ok(()),
            count => Err(Failure::argument(format!(
                "requirement failed: {what} - {count} brokers are running. {INFO}"
            ))),
        },
    }
}

async fn alter(store: &Remote, options: &Options, entity: &Option<ConfigEntity>) -> Result<(), Failure> {
    let (add, delete) = (to_add(options)?, to_delete(options));
    let pairs: Vec<String> = add.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let changes = format!("{{add: {{{}}}, delete: List({})}}", pairs.join(", "), delete.join(", "));
    let Some(entity) = entity else {
        return Err(Failure::argument(
            "--entity-name or --entity-default must be specified with each --entity-type for --alter",
        ));
    };
    let ConfigEntity::Broker(id) = entity else {
        return Err(Failure::argument(format!(
            "requirement failed: --bootstrap-server option must be specified to update users configs: {changes}. User \
             configuration updates using ZooKeeper are only supported for SCRAM credential updates, and this tool makes \
             no SCRAM credentials yet."
        )));
    };
    let what = format!("--bootstrap-server option must be specified to update brokers configs: {changes}");
    must_be_down(store, Some(entity), &what).await?;
    for (key, value) in &add {
        check(key, value, id.is_some()).map_err(Failure::argument)?;
    }
    let mut node = configs::read(store, entity).await.map_err(trouble)?;
    let invalid: Vec<&str> =
        delete.iter().map(String::as_str).filter(|key| !node.config.contains_key(*key)).collect();
    if !invalid.is_empty() {
        return Err(Failure::argument(format!("Invalid config(s): {}", invalid.join(","))));
    }
    node.config.extend(add);
    node.config.retain(|key, _| !delete.contains(key));
    write(store, entity, &node).await.map_err(trouble)?;
    Ok(say(&format!("Completed updating config for entity: {}.", shown(entity)))?)
}

fn check(key: &str, value: &str, per_broker: bool) -> Result<(), String> {
    let base = listener_key(key).unwrap_or(key);
    let is_password = broker_key(base).is_some_and(|key| key.kind == Kind::Password);
    if key.starts_with("password.encoder.") || is_password || base.ends_with("sasl.jaas.config") {
        return Err(format!(
            "{key} cannot be set: passwords are encrypted in ZooKeeper, which this tool does not do; set it in \
             server.properties"
        ));
    }
    check_dynamic(key, Some(value), per_broker)
}

/// Writes without a controller, for there may be none while brokers are down.
async fn write(store: &Remote, entity: &ConfigEntity, node: &ConfigNode) -> Result<(), kafka::KafkaError> {
    let path = entity.path();
    kafka::create_top_level(store).await?;
    kafka::ensure(store, &path).await?;
    store.set(&path, &node.encode(), None).await?;
    configs::notify(store, entity).await
}

async fn describe(store: &Remote, entities: &Entities, entity: Option<ConfigEntity>) -> Result<(), Failure> {
    let kind = entities.kinds[0].as_str();
    if kind == "brokers" {
        let what = "--bootstrap-server option must be specified to describe brokers";
        must_be_down(store, entity.as_ref(), what).await?;
    }
    let all_users = entity.is_none() && entities.kinds == ["users"];
    let found = match entity {
        Some(entity) => vec![entity],
        None => {
            let mut all = configs::entities(store, kind).await.map_err(trouble)?;
            let pairs = entities.kinds.len() == 2;
            all.retain(|entity| matches!(entity, ConfigEntity::UserClient(..)) == pairs);
            all
        }
    };
    for entity in found {
        let node = configs::read(store, &entity).await.map_err(trouble)?;
        if node.config.is_empty() && all_users {
            continue;
        }
        let pairs = node.config.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
        say(&format!("Configs for {} are {}", shown(&entity), pairs.join(",")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kinds: &[&str], names: &[&str]) -> Option<ConfigEntity> {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        entity(&Entities { kinds: own(kinds), names: own(names) }).unwrap()
    }

    #[test]
    fn entities_are_named_as_kafka_names_them() {
        assert_eq!(shown(&of(&["brokers"], &["1"]).unwrap()), "brokers '1'");
        assert_eq!(shown(&of(&["brokers"], &[""]).unwrap()), "default brokers");
        assert_eq!(
            shown(&of(&["users", "clients"], &["u", ""]).unwrap()),
            "user-principal 'u', default client-id"
        );
        assert_eq!(of(&["clients", "users"], &["c", "u"]), of(&["users", "clients"], &["u", "c"]));
        assert_eq!(of(&["brokers"], &[]), None);
    }

    #[test]
    fn what_a_broker_could_not_use_is_refused() {
        assert_eq!(check("log.cleaner.threads", "2", true), Ok(()));
        for (key, value) in [("broker.id", "2"), ("ssl.key.password", "x"), ("log.cleaner.threads", "x")] {
            assert!(check(key, value, true).is_err(), "{key}");
        }
    }
}
