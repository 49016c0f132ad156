//! `ottla topics`: list, describe, create, delete, grow.
//!
//! Changes go to the controller. Source: `TopicCommand` of Kafka's tools.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{self, resource};
use super::connect::{self, Bootstrap, Client, Patience};
use super::explain::explain;
use super::offsets;
use super::output::{Output, count, list, print, table};
use crate::config::layers::Source;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_partitions::CreatePartitionsTopic;
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use crate::protocol::messages::metadata::MetadataResponseTopic;

/// `ottla topics`.
#[derive(Debug, Args)]
pub struct Topics {
    #[command(flatten)]
    at: Bootstrap,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All topics.
    List,
    /// Partitions, leaders, replicas and configuration.
    Describe {
        /// The topics; all without any.
        names: Vec<String>,
    },
    /// Makes a topic.
    Create {
        /// Its name.
        name: String,
        /// Partitions; the broker's num.partitions without.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// Replicas of each partition; the broker's default.replication.factor without.
        #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A configuration of the topic, for example cleanup.policy=compact.
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
    },
    /// Deletes topics and their records.
    Delete {
        /// The topics.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Adds partitions; keys may then fall into others than before.
    Grow {
        /// The topic.
        name: String,
        /// How many it shall have.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: i32,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Topics {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        connect::run(async {
            let mut client = Client::connect(&self.at).await?;
            let (client, output) = (&mut client, &self.output);
            match self.action {
                Action::List => list_all(client, output).await,
                Action::Describe { names } => describe(client, output, names).await,
                Action::Create { name, partitions, replication_factor, configs } => {
                    let config = |(name, value)| CreatableTopicConfig {
                        name,
                        value: Some(value),
                        ..Default::default()
                    };
                    let topic = CreatableTopic {
                        name,
                        num_partitions: partitions.unwrap_or(-1),
                        replication_factor: replication_factor.unwrap_or(-1),
                        configs: configs.into_iter().map(config).collect(),
                        ..Default::default()
                    };
                    create(client, output, topic).await
                }
                Action::Delete { names } => delete(client, output, &names).await,
                Action::Grow { name, partitions } => grow(client, output, name, partitions).await,
            }
        })
    }
}

fn replication_factor(topic: &MetadataResponseTopic) -> usize {
    topic.partitions.iter().map(|partition| partition.replica_nodes.len()).min().unwrap_or(0)
}

async fn list_all(client: &mut Client, output: &Output) -> Result<(), String> {
    let mut topics = client.metadata(None).await?.topics;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for topic in &topics {
        let name = topic.name.clone().unwrap_or_default();
        let (partitions, replicas) = (topic.partitions.len(), replication_factor(topic));
        let internal = topic.is_internal;
        json.push(json!({"name": name, "partitions": partitions, "replication_factor": replicas, "internal": internal}));
        let kind = if internal { "internal" } else { "" };
        rows.push(vec![name, partitions.to_string(), replicas.to_string(), kind.to_owned()]);
    }
    let columns = [("TOPIC", false), ("PARTITIONS", true), ("REPLICAS", true), ("KIND", false)];
    output.rows(&columns, rows, Value::Array(json))
}

async fn describe(client: &mut Client, output: &Output, names: Vec<String>) -> Result<(), String> {
    let asked = (!names.is_empty()).then_some(names.as_slice());
    let mut topics = client.metadata(asked).await?.topics;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut all = Vec::new();
    for (index, topic) in topics.iter().enumerate() {
        let name = topic.name.clone().unwrap_or_default();
        if topic.error_code != 0 {
            return Err(explain(topic.error_code, None, &format!("topic {name}")));
        }
        let configs = configs(client, &name).await?;
        if output.is_json() {
            all.push(to_json(topic, &configs));
            continue;
        }
        let set = configs.iter().map(|(key, value)| format!("  {key}={value}")).collect::<String>();
        let gap = if index == 0 { "" } else { "\n" };
        print(&format!("{gap}topic {name}  id {}{set}\n{}", topic.topic_id, partitions(topic)))?;
    }
    if output.is_json() { output.line("", Value::Array(all)) } else { Ok(()) }
}

fn partitions(topic: &MetadataResponseTopic) -> String {
    let mut sorted: Vec<_> = topic.partitions.iter().collect();
    sorted.sort_by_key(|partition| partition.partition_index);
    let row = |p: &&crate::protocol::messages::metadata::MetadataResponsePartition| {
        let leader = if p.leader_id < 0 { "none".to_owned() } else { p.leader_id.to_string() };
        let epoch = p.leader_epoch.to_string();
        let state = if p.isr_nodes.len() < p.replica_nodes.len() { "under-replicated" } else { "" };
        let index = p.partition_index.to_string();
        vec![index, leader, epoch, list(&p.replica_nodes), list(&p.isr_nodes), state.to_owned()]
    };
    let columns = [
        ("PARTITION", true),
        ("LEADER", true),
        ("EPOCH", true),
        ("REPLICAS", false),
        ("ISR", false),
        ("STATE", false),
    ];
    table(&columns, sorted.iter().map(row).collect())
}

fn to_json(topic: &MetadataResponseTopic, configs: &[(String, String)]) -> Value {
    let partitions: Vec<Value> = topic
        .partitions
        .iter()
        .map(|p| {
            json!({
                "partition": p.partition_index, "leader": p.leader_id, "leader_epoch": p.leader_epoch,
                "replicas": p.replica_nodes, "isr": p.isr_nodes, "offline": p.offline_replicas,
            })
        })
        .collect();
    let configs: serde_json::Map<String, Value> =
        configs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    json!({
        "name": topic.name, "topic_id": topic.topic_id.to_string(), "internal": topic.is_internal,
        "configs": configs, "partitions": partitions,
    })
}

/// What is set on the topic itself.
async fn configs(client: &mut Client, name: &str) -> Result<Vec<(String, String)>, String> {
    let configs = admin::describe_configs(client, resource::TOPIC, name, false).await;
    let configs = configs.map_err(|trouble| trouble.explain(&format!("configuration of topic {name}")))?;
    let own = configs.into_iter().filter(|config| config.config_source == Source::Topic as i8);
    let mut set: Vec<(String, String)> =
        own.map(|config| (config.name, config.value.unwrap_or_default())).collect();
    set.sort();
    Ok(set)
}

async fn create(client: &mut Client, output: &Output, topic: CreatableTopic) -> Result<(), String> {
    let name = topic.name.clone();
    let result = admin::create_topic(client, topic).await;
    let result = result.map_err(|trouble| trouble.explain(&format!("topic {name}")))?;
    // It can be used when its leaders are known.
    offsets::leaders(client, std::slice::from_ref(&name)).await?;
    let (partitions, replicas) = (result.num_partitions, result.replication_factor);
    let text = format!(
        "created topic {name}: {}, {}",
        count(u64::try_from(partitions).unwrap_or(0), "partition"),
        count(u64::try_from(replicas).unwrap_or(0), "replica")
    );
    let id = result.topic_id.to_string();
    output.line(
        &text,
        json!({"name": name, "topic_id": id, "partitions": partitions, "replication_factor": replicas}),
    )
}

async fn delete(client: &mut Client, output: &Output, names: &[String]) -> Result<(), String> {
    let mut failed = Vec::new();
    let deleted = admin::delete_topics(client, names).await;
    for (name, outcome) in deleted.map_err(|trouble| trouble.explain("the topics"))? {
        match outcome {
            Ok(()) => output.line(&format!("deleted topic {name}"), json!({"deleted": name}))?,
            Err(trouble) => failed.push(trouble.explain(&format!("topic {name}"))),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\nottla: ")) }
}

async fn grow(client: &mut Client, output: &Output, name: String, to: i32) -> Result<(), String> {
    let topic =
        CreatePartitionsTopic { name: name.clone(), count: to, assignments: None, ..Default::default() };
    let explain_it = |trouble: admin::Trouble| trouble.explain(&format!("topic {name}"));
    for (_, outcome) in admin::add_partitions(client, vec![topic]).await.map_err(explain_it)? {
        outcome.map_err(explain_it)?;
    }
    let patience = Patience::usual();
    while client.topic(&name).await?.partitions.len() < to as usize {
        if !patience.wait().await {
            return Err(explain(ErrorCode::RequestTimedOut.code(), None, &format!("topic {name}")));
        }
    }
    let text = format!("topic {name} has {} now", count(to as u64, "partition"));
    output.line(&text, json!({"name": name, "partitions": to}))
}
