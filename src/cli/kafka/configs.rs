//! `kafka-configs`: the configuration of topics, brokers and their loggers; quotas are in `configs_quotas`, what is read
//! and written in ZooKeeper while brokers are down in `configs_zookeeper`.
//!
//! Output, errors and exit codes are `ConfigCommand`'s of Kafka 3.9. Brokers are changed key by key, where Kafka's tool
//! sends their whole configuration: sensitive keys need not be given anew.

use super::super::admin::{self, Change, resource};
use super::super::connect::{self, Client};
use super::super::output::exactly as say;
use super::configs_entities::{Entities, check};
use super::configs_options::OPTIONS;
use super::configs_quotas as quotas;
use super::configs_zookeeper as zookeeper;
use super::errors::Failure;
use super::options::Options;
use super::settings::{Settings, properties};
use crate::admin::validation::validate_topic_name;
use crate::config::layers::Source;
use crate::protocol::messages::describe_configs::DescribeConfigsResourceResult;

const PURPOSE: &str = "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip \
                       or client-metrics";

/// Source of what is set on a subscription to client metrics (`ConfigSource.DYNAMIC_CLIENT_METRICS_CONFIG`).
const CLIENT_METRICS_SOURCE: i8 = 7;

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, OPTIONS, arguments)? else { return Ok(()) };
    check(&options)?;
    let entities = Entities::of(&options)?;
    connect::run(async {
        let done = match options.value("zookeeper")? {
            Some(servers) => zookeeper::run(&options, &entities, servers).await,
            None => with_brokers(&options, &entities).await,
        };
        done.map_err(|failure| match failure.class.as_str() {
            "java.lang.IllegalArgumentException" => failure.message,
            _ => format!(
                "Error while executing config command with args '{}'\njava.util.concurrent.ExecutionException: {}",
                arguments.join(" "),
                failure.thrown()
            ),
        })
    })
}

async fn with_brokers(options: &Options, entities: &Entities) -> Result<(), Failure> {
    let settings = Settings::load(options.value("command-config")?, "kafka-configs")?;
    let alter = options.has("alter");
    if alter && entities.kinds.len() != entities.names.len() {
        return Err(Failure::argument("An entity name must be specified for every entity type"));
    }
    let changes = if alter { Some((to_add(options)?, to_delete(options))) } else { None };
    let call = if alter { "incrementalAlterConfigs" } else { "describeConfigs" };
    let bootstrap = options.value("bootstrap-server")?.unwrap_or_default();
    let mut client = settings.connect(bootstrap, call).await?;
    let client = &mut client;
    match (entities.kinds[0].as_str(), changes) {
        ("users" | "clients" | "ips", Some((add, delete))) => {
            quotas::alter(client, entities, &add, &delete).await?;
            say_completed(entities)
        }
        ("users" | "clients" | "ips", None) => quotas::describe(client, entities).await,
        (kind, Some((add, delete))) => {
            alter_resource(client, kind, &entities.names[0], add, delete).await?;
            say_completed(entities)
        }
        (kind, None) => describe_resources(client, kind, entities.names.first(), options.has("all")).await,
    }
}

fn say_completed(entities: &Entities) -> Result<(), Failure> {
    let kind = &entities.kinds[0];
    let text = match entities.names[0].as_str() {
        "" => format!("Completed updating default config for {kind} in the cluster."),
        name => format!("Completed updating config for {} {name}.", singular(kind)),
    };
    Ok(say(&text)?)
}

/// An entity type without its last letter.
pub fn singular(kind: &str) -> &str {
    kind.get(..kind.len().saturating_sub(1)).unwrap_or(kind)
}

/// What `--add-config` and `--add-config-file` say.
pub fn to_add(options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs = match options.value("add-config-file")? {
        Some(path) => properties(path)?,
        None => Vec::new(),
    };
    if let Some(text) = options.value("add-config")? {
        pairs.extend(parse_pairs(text)?);
    }
    for (key, value) in &pairs {
        if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(Failure::argument(format!("Invalid character found for config key: {key}")));
        }
        if key == "message.format.version" {
            say(&format!(
                "WARNING: The configuration {key}={value} is specified. This configuration will be ignored if the \
                 version is newer than the inter.broker.protocol.version specified in the broker or if the \
                 inter.broker.protocol.version is 3.0 or newer. This configuration is deprecated and it will be \
                 removed in Apache Kafka 4.0."
            ))?;
        }
    }
    Ok(pairs)
}

/// `k1=v1,k2=[a,b],k3=`: commas and equals signs within brackets part nothing, brackets themselves do not count.
fn parse_pairs(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut parts = split_outside(text, ',');
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    let mut pairs = Vec::new();
    for part in parts {
        let [key, value] = split_outside(part, '=')[..] else {
            return Err(Failure::argument(
                "requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\".",
            ));
        };
        pairs.push((key.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned()));
    }
    Ok(pairs)
}

/// Splits where the next bracket, if any, opens.
fn split_outside(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (index, _) in text.match_indices(at) {
        let next = text[index..].find(['[', ']']).map(|bracket| text.as_bytes()[index + bracket]);
        if next != Some(b']') {
            parts.push(&text[start..index]);
            start = index + at.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The keys of `--delete-config`.
pub fn to_delete(options: &Options) -> Vec<String> {
    let given = options.values("delete-config").into_iter().flat_map(|keys| keys.split(','));
    given.map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// The resource type of an entity type, and the source of what is set on it while brokers run.
fn resource_of(kind: &str, name: &str) -> (i8, Option<i8>) {
    match kind {
        "topics" => (resource::TOPIC, Some(Source::Topic as i8)),
        "brokers" if name.is_empty() => (resource::BROKER, Some(Source::Cluster as i8)),
        "brokers" => (resource::BROKER, Some(Source::Broker as i8)),
        "client-metrics" => (resource::CLIENT_METRICS, Some(CLIENT_METRICS_SOURCE)),
        _ => (resource::BROKER_LOGGER, None),
    }
}

/// What is set on a resource by name of key; all that is in force with `all`.
async fn configs(
    client: &mut Client,
    kind: &str,
    name: &str,
    all: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Failure> {
    if kind == "topics" && !name.is_empty() {
        validate_topic_name(name)
            .map_err(|refusal| Failure::of(refusal.code().code(), Some(refusal.to_string())))?;
    }
    let (resource, set_on_it) = resource_of(kind, name);
    let mut configs = admin::describe_configs(client, resource, name, true).await?;
    configs.retain(|config| all || set_on_it.is_none_or(|source| config.config_source == source));
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(configs)
}

async fn describe_resources(
    client: &mut Client,
    kind: &str,
    name: Option<&String>,
    all: bool,
) -> Result<(), Failure> {
    let names = match (name, kind) {
        (Some(name), _) => vec![name.clone()],
        (None, "topics") => {
            let topics = client.metadata(None).await.map_err(Failure::timed_out)?.topics;
            let mut names: Vec<String> = topics.into_iter().filter_map(|topic| topic.name).collect();
            names.sort();
            names
        }
        (None, "client-metrics") => {
            let code = crate::protocol::error_code::ErrorCode::UnsupportedVersion.code();
            let text =
                "The node does not support LIST_CLIENT_METRICS_RESOURCES: brokers with ZooKeeper keep none";
            return Err(Failure::of(code, Some(text.into())));
        }
        (None, _) => {
            let brokers = client.brokers().into_iter().map(|id| id.to_string());
            brokers.chain([String::new()]).collect()
        }
    };
    for name in names {
        let head = match name.as_str() {
            "" => format!("Default configs for {kind} in the cluster are:"),
            name => {
                format!("{} configs for {} {name} are:", if all { "All" } else { "Dynamic" }, singular(kind))
            }
        };
        say(&head)?;
        for config in configs(client, kind, &name, all).await? {
            say(&line(&config))?;
        }
    }
    Ok(())
}

fn line(config: &DescribeConfigsResourceResult) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms = config
        .synonyms
        .iter()
        .map(|synonym| format!("{}:{}={}", source_name(synonym.source), synonym.name, value(&synonym.value)));
    format!(
        "  {}={} sensitive={} synonyms={{{}}}",
        config.name,
        value(&config.value),
        config.is_sensitive,
        synonyms.collect::<Vec<_>>().join(", ")
    )
}

/// Kafka's word for where a value comes from.
fn source_name(source: i8) -> &'static str {
    const NAMES: [&str; 9] = [
        "UNKNOWN",
        "DYNAMIC_TOPIC_CONFIG",
        "DYNAMIC_BROKER_CONFIG",
        "DYNAMIC_DEFAULT_BROKER_CONFIG",
        "STATIC_BROKER_CONFIG",
        "DEFAULT_CONFIG",
        "DYNAMIC_BROKER_LOGGER_CONFIG",
        "DYNAMIC_CLIENT_METRICS_CONFIG",
        "DYNAMIC_GROUP_CONFIG",
    ];
    usize::try_from(source).ok().and_then(|index| NAMES.get(index)).unwrap_or(&NAMES[0])
}

async fn alter_resource(
    client: &mut Client,
    kind: &str,
    name: &str,
    add: Vec<(String, String)>,
    delete: Vec<String>,
) -> Result<(), Failure> {
    let old = configs(client, kind, name, false).await?;
    let is_set = |key: &str| old.iter().any(|config| config.name == key);
    let is_logger = kind == "broker-loggers";
    let mut invalid: Vec<&str> = delete.iter().map(String::as_str).filter(|key| !is_set(key)).collect();
    if is_logger {
        invalid.extend(add.iter().map(|(key, _)| key.as_str()).filter(|key| !is_set(key)));
    }
    if !invalid.is_empty() {
        let what = if is_logger { "Invalid broker logger(s)" } else { "Invalid config(s)" };
        return Err(Failure::argument(format!("{what}: {}", invalid.join(","))));
    }
    let mut changes: Vec<Change> = Vec::new();
    for (key, value) in add {
        // Of two values for one key the later counts, as in Java's Properties.
        changes.retain(|(other, _)| *other != key);
        changes.push((key, Some(value)));
    }
    changes.extend(delete.into_iter().map(|key| (key, None)));
    Ok(admin::alter_configs(client, resource_of(kind, name).0, name, &changes).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::describe_configs::DescribeConfigsSynonym;

    #[test]
    fn pairs_keep_lists_in_brackets_together() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            parse_pairs("a=1,b=[x,y=z], c = 3,d=,"),
            Ok(vec![pair("a", "1"), pair("b", "x,y=z"), pair("c", "3"), pair("d", "")])
        );
        assert_eq!(
            parse_pairs("SCRAM-SHA-256=[iterations=8192,password=p]"),
            Ok(vec![pair("SCRAM-SHA-256", "iterations=8192,password=p")])
        );
        for wrong in ["a", "a=1=2", "a=1,b"] {
            assert!(parse_pairs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_is_shown_with_where_it_comes_from() {
        let synonym = |source, name: &str, value: Option<&str>| DescribeConfigsSynonym {
            source,
            name: name.into(),
            value: value.map(str::to_owned),
            ..Default::default()
        };
        let config = DescribeConfigsResourceResult {
            name: "cleanup.policy".into(),
            value: None,
            is_sensitive: true,
            synonyms: vec![
                synonym(1, "cleanup.policy", Some("compact")),
                synonym(5, "log.cleanup.policy", None),
            ],
            ..Default::default()
        };
        assert_eq!(
            line(&config),
            "  cleanup.policy=null sensitive=true synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact, DEFAULT_CONFIG:log.cleanup.policy=null}"
        );
    }
}
