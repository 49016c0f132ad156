//! `kafka-log-dirs`: what is in the log directories of brokers, as JSON.
//!
//! The order of the JSON's keys is that of Kafka's tool, for scripts that cut it with a regular expression. Source:
//! `LogDirsCommand` of Kafka 3.9.

use std::collections::BTreeSet;

use super::super::admin;
use super::super::connect;
use super::super::output::{exactly as say, list};
use super::errors::Failure;
use super::options::{Options, Spec, flag, value};
use super::settings::Settings;
use crate::protocol::messages::describe_log_dirs::DescribeLogDirsResult;

const PURPOSE: &str = "This tool helps to query log directory usage on the specified brokers.";

const OPTIONS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: The server(s) to use for bootstrapping",
        "REQUIRED: the server(s) to use for bootstrapping",
    ),
    value(
        "command-config",
        "String: Admin client property file",
        "Property file containing configs to be passed to the client.",
    ),
    flag("describe", "Describe the specified log directories on the specified brokers."),
    value(
        "topic-list",
        "String: Topic list",
        "The list of topics to be queried in the form \"topic1,topic2,topic3\". All topics will be queried if no topic \
         list is specified",
    ),
    value(
        "broker-list",
        "String: Broker list",
        "The list of brokers to be queried in the form \"0,1,2\". All brokers in the cluster will be queried if no \
         broker list is specified",
    ),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, OPTIONS, arguments)? else { return Ok(()) };
    options.require(&["bootstrap-server", "describe"])?;
    let settings = Settings::load(options.value("command-config")?, "log-dirs-tool")?;
    let words = |name: &str| -> Result<BTreeSet<&str>, String> {
        Ok(options.value(name)?.unwrap_or_default().split(',').filter(|word| !word.is_empty()).collect())
    };
    let topics = words("topic-list")?;
    let asked: BTreeSet<i32> = words("broker-list")?
        .into_iter()
        .map(|id| id.parse().map_err(|_| format!("For input string: \"{id}\"")))
        .collect::<Result<_, String>>()?;
    connect::run(async {
        let bootstrap = options.value("bootstrap-server")?.unwrap_or_default();
        let connected = settings.connect(bootstrap, "listNodes").await;
        let mut client = connected.map_err(|failure| failure.traced())?;
        let live: BTreeSet<i32> = client.brokers().into_iter().collect();
        let strangers: Vec<i32> = asked.difference(&live).copied().collect();
        if !strangers.is_empty() {
            return Err(format!(
                "ERROR: The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
                list(&strangers),
                list(&Vec::from_iter(live))
            ));
        }
        let brokers = Vec::from_iter(if asked.is_empty() { live } else { asked });
        say("Querying brokers for log directories information")?;
        let mut described = Vec::new();
        for broker in &brokers {
            let dirs = admin::log_dirs(&mut client, *broker, None).await.map_err(Failure::from);
            let dirs = dirs.map_err(|failure| failure.traced())?;
            let dirs: Vec<String> = dirs.iter().map(|dir| json_of(dir, &topics)).collect();
            described.push(format!(r#"{{"broker":{broker},"logDirs":[{}]}}"#, dirs.join(",")));
        }
        say(&format!("Received log directory information from brokers {}", list(&brokers)))?;
        say(&format!(r#"{{"brokers":[{}],"version":1}}"#, described.join(",")))
    })
}

fn json_of(dir: &DescribeLogDirsResult, topics: &BTreeSet<&str>) -> String {
    let mut partitions = Vec::new();
    for topic in dir.topics.iter().filter(|topic| topics.is_empty() || topics.contains(topic.name.as_str())) {
        for it in &topic.partitions {
            let name = text(&format!("{}-{}", topic.name, it.partition_index));
            partitions.push(format!(
                r#"{{"partition":{name},"size":{},"offsetLag":{},"isFuture":{}}}"#,
                it.partition_size, it.offset_lag, it.is_future_key
            ));
        }
    }
    let error = match dir.error_code {
        0 => "null".to_owned(),
        code => text(&Failure::of(code, None).class),
    };
    format!(r#"{{"partitions":[{}],"error":{error},"logDir":{}}}"#, partitions.join(","), text(&dir.log_dir))
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::error_code::ErrorCode;
    use crate::protocol::messages::describe_log_dirs::{DescribeLogDirsPartition, DescribeLogDirsTopic};

    #[test]
    fn keys_stand_in_kafkas_order() {
        let partition =
            DescribeLogDirsPartition { partition_index: 3, partition_size: 5, ..Default::default() };
        let topic = |name: &str| DescribeLogDirsTopic {
            name: name.into(),
            partitions: vec![partition.clone()],
            ..Default::default()
        };
        let dir = DescribeLogDirsResult {
            log_dir: "/d\"1".into(),
            topics: vec![topic("a"), topic("b")],
            ..Default::default()
        };
        assert_eq!(
            json_of(&dir, &BTreeSet::from(["b"])),
            r#"{"partitions":[{"partition":"b-3","size":5,"offsetLag":0,"isFuture":false}],"error":null,"logDir":"/d\"1"}"#
        );
        let failed = DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.code(),
            log_dir: "/d".into(),
            ..Default::default()
        };
        assert_eq!(
            json_of(&failed, &BTreeSet::new()),
            r#"{"partitions":[],"error":"org.apache.kafka.common.errors.KafkaStorageException","logDir":"/d"}"#
        );
    }
}
