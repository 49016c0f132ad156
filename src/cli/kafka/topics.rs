//! `kafka-topics`: create, alter, list, describe and delete topics.
//!
//! Output, errors and exit codes are `TopicCommand`'s of Kafka 3.9; topics are described in the order of their names,
//! where Kafka's order is that of a hash map. What a cluster is asked, and how, is in `admin`.

use std::collections::BTreeMap;

use super::super::admin;
use super::super::connect::{self, Client};
use super::super::output::{self, exactly as say};
use super::errors::Failure;
use super::include::Include;
use super::options::{Options, Spec, flag, value};
use super::settings::{NO_CLIENT, Settings};
use super::topics_described;
use crate::config::keys::{Key, Kind, topic_key};
use crate::config::topic;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::is_internal_topic;
use crate::protocol::messages::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use crate::protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use crate::protocol::messages::metadata::MetadataResponseTopic;

const PURPOSE: &str = "This tool helps to create, delete, describe, or change a topic.";
const ACTIONS: [&str; 5] = ["list", "describe", "create", "alter", "delete"];

const OPTIONS: &[Spec] = &[
    value("bootstrap-server", "String: server to connect to", "REQUIRED: The Kafka server to connect to."),
    value(
        "command-config",
        "String: command config property file",
        "Property file containing configs to be passed to the client.",
    ),
    flag("list", "List all available topics."),
    flag("create", "Create a new topic."),
    flag("delete", "Delete a topic"),
    flag(
        "alter",
        "Alter the number of partitions and replica assignment. Configurations of topics are altered by kafka-configs.",
    ),
    flag("describe", "List details for the given topics."),
    value(
        "topic",
        "String: topic",
        "The topic to create, alter, describe or delete. It also accepts a regular expression, except for --create \
         option. Put topic name in double quotes and use the '\\' prefix to escape regular expression symbols; e.g. \
         \"test\\.topic\".",
    ),
    value("topic-id", "String: topic-id", "The topic-id to describe."),
    value(
        "config",
        "String: name=value",
        "A topic configuration override for the topic being created. See the Kafka documentation for full details on \
         the topic configs.",
    ),
    value("delete-config", "String: name", "Not supported with the --bootstrap-server option."),
    value(
        "partitions",
        "Integer: # of partitions",
        "The number of partitions for the topic being created or altered (WARNING: If partitions are increased for a \
         topic that has a key, the partition logic or ordering of the messages will be affected). If not supplied for \
         create, defaults to the cluster default.",
    ),
    value(
        "replication-factor",
        "Integer: replication factor",
        "The replication factor for each partition in the topic being created. If not supplied, defaults to the \
         cluster default.",
    ),
    value(
        "replica-assignment",
        "String: broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , ...",
        "A list of manual partition-to-broker assignments for the topic being created or altered.",
    ),
    flag(
        "under-replicated-partitions",
        "if set when describing topics, only show under replicated partitions",
    ),
    flag(
        "unavailable-partitions",
        "if set when describing topics, only show partitions whose leader is not available",
    ),
    flag(
        "under-min-isr-partitions",
        "if set when describing topics, only show partitions whose isr count is less than the configured minimum.",
    ),
    flag(
        "at-min-isr-partitions",
        "if set when describing topics, only show partitions whose isr count is equal to the configured minimum.",
    ),
    flag(
        "topics-with-overrides",
        "if set when describing topics, only show topics that have overridden configs",
    ),
    flag(
        "if-exists",
        "if set when altering or deleting or describing topics, the action will only execute if the topic exists.",
    ),
    flag(
        "if-not-exists",
        "if set when creating topics, the action will only execute if the topic does not already exist.",
    ),
    flag(
        "exclude-internal",
        "exclude internal topics when running list or describe command. The internal topics will be listed by default",
    ),
    value(
        "partition-size-limit-per-response",
        "Integer: maximum number of partitions in one response.",
        "the maximum partition size to be included in one DescribeTopicPartitions response (brokers of 3.9 with \
         ZooKeeper answer all at once).",
    ),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, OPTIONS, arguments)? else { return Ok(()) };
    let action = check(&options)?;
    let settings = Settings::load(options.value("command-config")?, "kafka-topics")?;
    connect::run(async {
        let done = match action {
            "create" => create(&options, &settings).await,
            "alter" => alter(&options, &settings).await,
            "list" => list(&options, &settings).await,
            "describe" => describe(&options, &settings).await,
            _ => delete(&options, &settings).await,
        };
        let Err(failure) = done else { return Ok(()) };
        if failure.class == NO_CLIENT {
            return Err(failure.message);
        }
        say(&format!("Error while executing topic command : {failure}"))?;
        Err(format!("ERROR {} (org.apache.kafka.tools.TopicCommand)", failure.thrown()))
    })
}

/// The action, if the options go together.
fn check(options: &Options) -> Result<&'static str, String> {
    let action = options.one_of(
        &ACTIONS,
        "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
    )?;
    if !options.has("bootstrap-server") {
        return Err("--bootstrap-server must be specified".into());
    }
    if action == "describe" && options.has("if-exists") {
        match (options.has("topic"), options.has("topic-id")) {
            (false, false) => {
                return Err(options.usage("--topic or --topic-id is required to describe a topic"));
            }
            (true, true) => say(
                "Only topic id will be used when both --topic and --topic-id are specified and topicId is not Uuid.ZERO_UUID",
            )?,
            _ => {}
        }
    }
    if !matches!(action, "list" | "describe") {
        options.require(&["topic"])?;
    }
    if action == "alter" {
        if options.has("config") {
            return Err(options.usage(
                "Option combination \"[[bootstrap-server], [config]]\" can't be used with option \"[alter]\" (the \
                 kafka-configs CLI supports altering topic configs with a --bootstrap-server option)",
            ));
        }
        options.require(&["partitions"])?;
    }
    check_company(options)?;
    Ok(action)
}

/// Which options do not go with which actions.
fn check_company(options: &Options) -> Result<(), String> {
    const REPORTS: [&str; 4] = [
        "under-replicated-partitions",
        "under-min-isr-partitions",
        "at-min-isr-partitions",
        "unavailable-partitions",
    ];
    let only_with = |option: &str, allowed: &[&str]| {
        let others: Vec<&str> = ACTIONS.into_iter().filter(|action| !allowed.contains(action)).collect();
        options.refuse_with(option, &others)
    };
    only_with("config", &["alter", "create"])?;
    only_with("delete-config", &["alter"])?;
    options.refuse_with("delete-config", &["bootstrap-server"])?;
    only_with("partitions", &["alter", "create"])?;
    only_with("replication-factor", &["create"])?;
    only_with("replica-assignment", &["alter", "create"])?;
    if options.has("create") {
        options.refuse_with("replica-assignment", &["partitions", "replication-factor"])?;
    }
    for report in REPORTS {
        only_with(report, &["describe"])?;
        options.refuse_with(report, &["topics-with-overrides"])?;
    }
    only_with("topics-with-overrides", &["describe"])?;
    only_with("if-exists", &["alter", "delete", "describe"])?;
    only_with("if-not-exists", &["create"])?;
    only_with("exclude-internal", &["list", "describe"])
}

async fn open(options: &Options, settings: &Settings, call: &str) -> Result<Client, Failure> {
    settings.connect(options.value("bootstrap-server")?.unwrap_or_default(), call).await
}

/// The topics that `--topic` means, all without it, by name.
async fn topics(client: &mut Client, options: &Options) -> Result<Vec<MetadataResponseTopic>, Failure> {
    let include = options.value("topic")?.map(Include::new).transpose()?;
    let exclude_internal = options.has("exclude-internal");
    let mut topics = client.metadata(None).await.map_err(Failure::timed_out)?.topics;
    topics.retain(|topic| {
        let name = topic.name.as_deref().unwrap_or_default();
        let is_internal = topic.is_internal || is_internal_topic(name);
        include.as_ref().is_none_or(|include| include.has(name)) && !(is_internal && exclude_internal)
    });
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// A topic that was named must be there, unless `--if-exists` is given.
fn must_exist(options: &Options, found: &[MetadataResponseTopic]) -> Result<(), Failure> {
    match options.value("topic")? {
        Some(topic) if !topic.is_empty() && found.is_empty() && !options.has("if-exists") => {
            Err(Failure::argument(format!("Topic 'Optional[{topic}]' does not exist as expected")))
        }
        _ => Ok(()),
    }
}

async fn create(options: &Options, settings: &Settings) -> Result<(), Failure> {
    let name = options.value("topic")?.unwrap_or_default();
    let partitions = options.number::<i32>("partitions")?;
    let replicas = options.number::<i32>("replication-factor")?;
    let assignment = assignment(options)?;
    let configs = configs(&options.values("config"))?;
    if name.contains(['.', '_']) {
        say(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
             collide. To avoid issues it is best to use either, but not both.",
        )?;
    }
    let factor = match replicas.map(i16::try_from) {
        None => -1,
        Some(Ok(factor)) if factor >= 1 => factor,
        Some(_) => {
            return Err(Failure::argument("The replication factor must be between 1 and 32767 inclusive"));
        }
    };
    if partitions.is_some_and(|partitions| partitions < 1) {
        return Err(Failure::argument("The partitions must be greater than 0"));
    }
    let manual = |(index, brokers): (usize, Vec<i32>)| CreatableReplicaAssignment {
        partition_index: i32::try_from(index).unwrap_or(i32::MAX),
        broker_ids: brokers,
        ..Default::default()
    };
    let config = |(name, value)| CreatableTopicConfig { name, value: Some(value), ..Default::default() };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions.unwrap_or(-1),
        replication_factor: factor,
        assignments: assignment.into_iter().enumerate().map(manual).collect(),
        configs: configs.into_iter().map(config).collect(),
        ..Default::default()
    };
    let mut client = open(options, settings, "createTopics").await?;
    match admin::create_topic(&mut client, topic).await.map_err(Failure::from) {
        Ok(_) => Ok(say(&format!("Created topic {name}."))?),
        Err(failure) if options.has("if-not-exists") && failure.is(ErrorCode::TopicAlreadyExists.code()) => {
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// The replicas of each partition, as `--replica-assignment` has them; none without it.
fn assignment(options: &Options) -> Result<Vec<Vec<i32>>, Failure> {
    let text = options.value("replica-assignment")?.unwrap_or_default();
    let mut partitions: Vec<Vec<i32>> = Vec::new();
    for part in java_split(text, ',') {
        let mut brokers = Vec::new();
        for id in java_split(part, ':').into_iter().map(str::trim) {
            let wrong =
                || Failure::new("java.lang.NumberFormatException", format!("For input string: \"{id}\""));
            brokers.push(id.parse::<i32>().map_err(|_| wrong())?);
        }
        let twice = duplicates(&brokers);
        if !twice.is_empty() {
            return Err(Failure::new(
                "org.apache.kafka.server.common.AdminCommandFailedException",
                format!(
                    "Partition replica lists may not contain duplicate entries: {}",
                    output::list(&twice)
                ),
            ));
        }
        if partitions.first().is_some_and(|first| first.len() != brokers.len()) {
            let text =
                format!("Partition {} has different replication factor: {brokers:?}", partitions.len());
            return Err(Failure::new("org.apache.kafka.server.common.AdminOperationException", text));
        }
        partitions.push(brokers);
    }
    Ok(partitions)
}

/// Splits as Java does: nothing of nothing, and no empty parts at the end.
fn java_split(text: &str, at: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(at).collect();
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    parts
}

/// What occurs more than once, each once.
pub fn duplicates<T: PartialEq + Clone>(all: &[T]) -> Vec<T> {
    let mut twice: Vec<T> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        if all[..index].contains(one) && !twice.contains(one) {
            twice.push(one.clone());
        }
    }
    twice
}

fn configs(given: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
    let mut configs = BTreeMap::new();
    for text in given {
        let parts: Vec<&str> = java_split(text, '=').into_iter().map(str::trim).collect();
        let [name, value] = parts[..] else {
            return Err(Failure::argument(
                "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".",
            ));
        };
        configs.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in &configs {
        if let Some(key) = topic_key(name) {
            check_value(key, value)?;
        }
    }
    topic::check_all(&configs).map_err(|why| Failure::of(ErrorCode::InvalidConfig.code(), Some(why)))?;
    Ok(configs)
}

/// What Kafka's `ConfigDef` says of a value, before any broker sees it.
fn check_value(key: &Key, value: &str) -> Result<(), Failure> {
    let why = match (key.kind, key.check(value)) {
        (_, Ok(())) => return Ok(()),
        (Kind::Int, _) if value.parse::<i32>().is_err() => "Not a number of type INT".to_owned(),
        (Kind::Long, _) if value.parse::<i64>().is_err() => "Not a number of type LONG".to_owned(),
        (Kind::Double, _) if value.parse::<f64>().is_err() => "Not a number of type DOUBLE".to_owned(),
        (Kind::Bool, _) => "Expected value to be either true or false".to_owned(),
        (_, Err(why)) => why,
    };
    Err(Failure::new(
        "org.apache.kafka.common.config.ConfigException",
        format!("Invalid value {value} for configuration {}: {why}", key.name),
    ))
}

async fn alter(options: &Options, settings: &Settings) -> Result<(), Failure> {
    let assignment = assignment(options)?;
    let count = options.number::<i32>("partitions")?.unwrap_or_default();
    let mut client = open(options, settings, "listTopics").await?;
    let found = topics(&mut client, options).await?;
    must_exist(options, &found)?;
    if found.is_empty() {
        return Ok(());
    }
    let wish = |topic: MetadataResponseTopic| {
        let added = assignment.iter().skip(topic.partitions.len());
        let added =
            added.map(|ids| CreatePartitionsAssignment { broker_ids: ids.clone(), ..Default::default() });
        CreatePartitionsTopic {
            name: topic.name.unwrap_or_default(),
            count,
            assignments: (!assignment.is_empty()).then(|| added.collect()),
            ..Default::default()
        }
    };
    let wishes = found.into_iter().map(wish).collect();
    for (_, outcome) in admin::add_partitions(&mut client, wishes).await? {
        outcome?;
    }
    Ok(())
}

async fn list(options: &Options, settings: &Settings) -> Result<(), Failure> {
    let mut client = open(options, settings, "listTopics").await?;
    let names: Vec<String> =
        topics(&mut client, options).await?.into_iter().filter_map(|topic| topic.name).collect();
    Ok(say(&names.join("\n"))?)
}

async fn describe(options: &Options, settings: &Settings) -> Result<(), Failure> {
    let id = topics_described::wanted_id(options)?;
    let mut client = open(options, settings, "listTopics").await?;
    let found = match id {
        Some(id) => {
            let mut all = client.metadata(None).await.map_err(Failure::timed_out)?.topics;
            all.retain(|topic| {
                topic.topic_id == id && !(topic.is_internal && options.has("exclude-internal"))
            });
            if all.is_empty() && !options.has("if-exists") {
                return Err(Failure::argument(format!("TopicId '{id}' does not exist as expected")));
            }
            all
        }
        None => {
            let found = topics(&mut client, options).await?;
            must_exist(options, &found)?;
            found
        }
    };
    topics_described::describe(&mut client, options, found).await
}

async fn delete(options: &Options, settings: &Settings) -> Result<(), Failure> {
    let mut client = open(options, settings, "listTopics").await?;
    let found = topics(&mut client, options).await?;
    must_exist(options, &found)?;
    let names: Vec<String> = found.into_iter().filter_map(|topic| topic.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    for (_, outcome) in admin::delete_topics(&mut client, &names).await? {
        outcome?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_as_in_java() {
        assert_eq!(java_split("a,b,,", ','), ["a", "b"]);
        assert_eq!(java_split("", ','), Vec::<&str>::new());
        assert_eq!(java_split(",a", ','), ["", "a"]);
        assert_eq!(duplicates(&[1, 2, 1, 1, 2]), [1, 2]);
    }

    #[test]
    fn configs_are_key_and_value() {
        assert_eq!(
            configs(&["retention.ms = 5", "cleanup.policy=compact"]),
            Ok(BTreeMap::from([
                ("cleanup.policy".to_owned(), "compact".to_owned()),
                ("retention.ms".to_owned(), "5".to_owned())
            ]))
        );
        assert!(configs(&["retention.ms="]).is_err());
        assert_eq!(configs(&["no.such=1"]).unwrap_err().message, "Unknown topic config name: no.such");
        let why = |text: &str| configs(&[text]).unwrap_err().message;
        let number = "Invalid value abc for configuration retention.ms: Not a number of type LONG";
        assert_eq!(why("retention.ms=abc"), number);
        assert!(
            why("cleanup.policy=melt").starts_with("Invalid value melt for configuration cleanup.policy: ")
        );
    }
}
