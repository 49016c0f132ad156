//! `kafka-get-offsets`: offsets of partitions at their ends or at a time.
//!
//! Source: `GetOffsetShell`.

use super::errors::Failure;
use super::include::Include;
use super::options::{Options, Spec, flag, value};
use super::{client_config, settings::Settings};
use crate::cli::connect;
use crate::cli::offsets::{self, Place};
use crate::cli::output::exactly;

const PURPOSE: &str = "An interactive shell for getting topic-partition offsets.";
/// What stands for a time (ListOffsets): their names and numbers.
const NAMED: [(&str, i64); 5] =
    [("latest", -1), ("earliest", -2), ("max-timestamp", -3), ("earliest-local", -4), ("latest-tiered", -5)];

const SPECS: &[Spec] = &[
    value("bootstrap-server", "String: HOST1:PORT1,...,HOST3:PORT3", "REQUIRED: the brokers to ask first."),
    value(
        "broker-list",
        "String: HOST1:PORT1,...,HOST3:PORT3",
        "DEPRECATED: --bootstrap-server, which wins.",
    ),
    value(
        "topic-partitions",
        "String: topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3",
        "Patterns of topics with partitions: a number, or a range whose end does not belong to it. Not together with \
         --topic or --partitions.",
    ),
    value("topic", "String: topic", "A pattern of topics; all without."),
    value("partitions", "String: partition ids", "Numbers of partitions with commas between; all without."),
    value(
        "time",
        "String: <timestamp> / -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or \
         latest-tiered",
        "Milliseconds since 1970, or one of the names; latest without.",
    ),
    value("command-config", "String: config file", "A property file with settings of the client."),
    flag("exclude-internal-topics", "Leaves out internal topics."),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let occurred = |error: String| format!("Error occurred: {error}");
    // What is given must be understood before help is; other errors come above the usage.
    let options = match Options::parse(PURPOSE, SPECS, arguments) {
        Ok(Some(options)) => options,
        Ok(None) => return Ok(()),
        Err(error) if error.starts_with(PURPOSE) => return Err(error),
        Err(error) => return Err(occurred(error)),
    };
    let servers = match options.value("bootstrap-server")?.or(options.value("broker-list")?) {
        Some(servers) => servers.to_owned(),
        None => return Err(occurred("Missing required option(s) [bootstrap-server]".into())),
    };
    client_config::check_servers(&servers).map_err(|problem| options.usage(&problem))?;
    let query = Query::new(&options).map_err(occurred)?;
    let settings = Settings::load(options.value("command-config")?, "GetOffsetShell").map_err(occurred)?;
    connect::run(async { query.run(&servers, &settings).await.map_err(occurred) })
}

struct Query {
    rules: Vec<Rule>,
    timestamp: i64,
    leaves_out_internal: bool,
}

/// Some partitions of some topics.
struct Rule {
    topics: Include,
    partitions: Partitions,
}

enum Partitions {
    /// These; all if there are none.
    Listed(Vec<i32>),
    /// From the first, and below the second.
    Range(i32, i32),
}

impl Rule {
    fn has(&self, place: &Place) -> bool {
        let fits = match &self.partitions {
            Partitions::Listed(list) => list.is_empty() || list.contains(&place.1),
            Partitions::Range(from, to) => (*from..*to).contains(&place.1),
        };
        fits && self.topics.has(&place.0)
    }

    /// `TOPIC`, `TOPIC:N`, `TOPIC:N-M`, `TOPIC:N-`, `TOPIC:-M`; any topic where there is no name.
    fn parse(text: &str) -> Result<Rule, Failure> {
        let wrong = || {
            let text = format!("org.apache.kafka.tools.TerseException: Invalid rule specification: {text}");
            Failure::argument(text)
        };
        let (topics, partitions) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str, default| match text {
            "" => Ok(default),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| wrong()),
            _ => Err(wrong()),
        };
        let partitions = match partitions.split_once('-') {
            Some((from, to)) => Partitions::Range(number(from, 0)?, number(to, i32::MAX)?),
            None if partitions.is_empty() => Partitions::Listed(Vec::new()),
            None => Partitions::Listed(vec![number(partitions, 0)?]),
        };
        Ok(Rule { topics: Include::new(if topics.is_empty() { ".*" } else { topics })?, partitions })
    }
}

impl Query {
    fn new(options: &Options) -> Result<Query, String> {
        let (topic, partitions) = (options.value("topic")?, options.value("partitions")?);
        let patterns = options.value("topic-partitions")?;
        if patterns.is_some() && (topic.is_some() || partitions.is_some()) {
            return Err("--topic-partitions cannot be used with --topic or --partitions".into());
        }
        let timestamp = timestamp(options.value("time")?.unwrap_or("latest"))?;
        let rules: Result<Vec<Rule>, Failure> = match patterns {
            Some(patterns) => patterns.split(',').map(Rule::parse).collect(),
            None => {
                let wrong = || {
                    format!(
                        "--partitions expects a comma separated list of numeric partition ids, but received: {}",
                        partitions.unwrap_or_default()
                    )
                };
                let numbers = partitions.unwrap_or_default().split(',').filter(|text| !text.is_empty());
                let numbers: Result<Vec<i32>, _> = numbers.map(str::parse).collect();
                let partitions = Partitions::Listed(numbers.map_err(|_| wrong())?);
                Include::new(topic.unwrap_or(".*")).map(|topics| vec![Rule { topics, partitions }])
            }
        };
        let rules = rules.map_err(|failure| failure.to_string())?;
        Ok(Query { rules, timestamp, leaves_out_internal: options.has("exclude-internal-topics") })
    }

    async fn run(&self, servers: &str, settings: &Settings) -> Result<(), String> {
        let mut client = settings.connect(servers, "listTopics").await.map_err(|failure| failure.thrown())?;
        let mut places = Vec::new();
        for topic in client.metadata(None).await?.topics {
            let name = topic.name.unwrap_or_default();
            if self.leaves_out_internal && topic.is_internal {
                continue;
            }
            let all = topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index));
            places.extend(all.filter(|place| self.rules.iter().any(|rule| rule.has(place))));
        }
        if places.is_empty() {
            return Err("Could not match any topic-partitions with the specified filters".into());
        }
        // As Kafka's tool sorts them: by the text of both.
        places.sort_by_cached_key(|(topic, partition)| format!("{topic}-{partition}"));
        let mut found = offsets::at(&mut client, &places, self.timestamp, false).await?;
        for place in places {
            match found.remove(&place) {
                Some(Ok(offset)) if offset >= 0 => exactly(&format!("{}:{}:{offset}", place.0, place.1))?,
                Some(Err(why)) => eprintln!(
                    "Skip getting offsets for topic-partition {}-{} due to error: {why}",
                    place.0, place.1
                ),
                _ => {}
            }
        }
        Ok(())
    }
}

fn timestamp(text: &str) -> Result<i64, String> {
    if let Some((_, number)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(*number);
    }
    text.parse().map_err(|_| {
        format!(
            "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or \
             earliest-local / -5 or latest-tiered, or a specified long format timestamp"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_topics_and_partitions() {
        let has = |rule: &str, topic: &str, partition: i32| {
            Rule::parse(rule).unwrap().has(&(topic.into(), partition))
        };
        assert!(has("t.*", "tt", 5) && !has("t", "tt", 5));
        assert!(has("t:1", "t", 1) && !has("t:1", "t", 0));
        assert_eq!([0, 1, 2, 3].map(|partition| has("t:1-3", "t", partition)), [false, true, true, false]);
        assert!(
            has(":3-", "any", 3) && !has(":3-", "any", 2) && has(":-1", "any", 0) && !has(":-1", "any", 1)
        );
        for wrong in ["a:b", "a:1-b", "a:b:c"] {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!((timestamp("max-timestamp"), timestamp("-2"), timestamp("7")), (Ok(-3), Ok(-2), Ok(7)));
        assert!(timestamp("x").unwrap_err().starts_with("Malformed time argument x."));
    }
}
