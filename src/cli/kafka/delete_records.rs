//! `kafka-delete-records`: moves the start of partitions' logs.
//!
//! Partitions are told of in order, where Kafka's tool has none. Source: `DeleteRecordsCommand`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::errors::Failure;
use super::options::{Options, Spec, value};
use super::settings::{self, Settings};
use crate::cli::connect::{self, BROKER_LIMIT_MS, Client, Patience};
use crate::cli::explain::passes;
use crate::cli::offsets::{Place, known_leaders};
use crate::cli::output::exactly;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::DeleteRecordsRequest;
use crate::protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};

const PURPOSE: &str =
    "This tool helps to delete records of the given partitions down to the specified offset.";
/// The largest file taken.
const FILE_MAX: u64 = 64 << 20;

const SPECS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: server(s) to use for bootstrapping",
        "REQUIRED: the brokers to ask first.",
    ),
    value(
        "offset-json-file",
        "String: Offset json file path",
        "REQUIRED: a JSON file with an offset for each partition: {\"partitions\": [{\"topic\": \"foo\", \
         \"partition\": 1, \"offset\": 1}], \"version\":1}",
    ),
    value("command-config", "String: command config property file path", "A property file with settings."),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, SPECS, arguments)? else { return Ok(()) };
    options.require(&["bootstrap-server", "offset-json-file"])?;
    let settings = Settings::load(options.value("command-config")?, "adminclient-1")?;
    let path = options.value("offset-json-file")?.unwrap_or_default();
    let file = settings::read(path, FILE_MAX).map_err(|why| format!("Unable to read file {path}\n{why}"))?;
    let offsets = parse(&file)?;
    let servers = options.value("bootstrap-server")?.unwrap_or_default();
    connect::run(async {
        exactly("Executing records delete operation")?;
        let connected = settings.connect(servers, "deleteRecords").await;
        let mut client = connected.map_err(|failure| failure.thrown())?;
        exactly("Records delete operation completed:")?;
        for ((topic, partition), result) in delete(&mut client, &offsets).await? {
            let line = match result {
                Ok(low) => format!("partition: {topic}-{partition}\tlow_watermark: {low}"),
                Err(why) => format!("partition: {topic}-{partition}\terror: {}", why.thrown()),
            };
            exactly(&line)?;
        }
        Ok(())
    })
}

/// The offset of each partition that the file names.
fn parse(file: &[u8]) -> Result<BTreeMap<Place, i64>, String> {
    let json: Value = serde_json::from_slice(file).map_err(|_| "The input string is not a valid JSON")?;
    match json.get("version").map(|version| (version.as_i64(), version)) {
        None | Some((Some(1), _)) => {}
        Some((_, version)) => return Err(format!("Not supported version field value {version}")),
    }
    let partitions = json.get("partitions").ok_or("Missing partitions field")?;
    let partitions = partitions.as_array().ok_or("The partitions field is no array")?;
    let (mut offsets, mut twice) = (BTreeMap::new(), Vec::new());
    for entry in partitions {
        let number = |name| entry.get(name).and_then(Value::as_i64);
        let topic = entry.get("topic").and_then(Value::as_str);
        let partition = number("partition").and_then(|partition| i32::try_from(partition).ok());
        let (Some(topic), Some(partition), Some(offset)) = (topic, partition, number("offset")) else {
            return Err(format!("{entry} does not name a topic, a partition and an offset"));
        };
        if offsets.insert((topic.to_owned(), partition), offset).is_some() {
            twice.push(format!("{topic}-{partition}"));
        }
    }
    if twice.is_empty() {
        return Ok(offsets);
    }
    twice.dedup();
    Err(format!("Offset json file contains duplicate topic partitions: {}", twice.join(",")))
}

type Results = BTreeMap<Place, Result<i64, Failure>>;

/// Asks the leaders; what passes by itself is tried again.
async fn delete(client: &mut Client, offsets: &BTreeMap<Place, i64>) -> Result<Results, String> {
    let patience = Patience::usual();
    let mut results = Results::new();
    let mut topics: Vec<String> = offsets.keys().map(|place| place.0.clone()).collect();
    topics.dedup();
    loop {
        let (mut by_leader, mut open) = (BTreeMap::<i32, Vec<(&Place, i64)>>::new(), Results::new());
        let leaders = known_leaders(client, &topics).await?;
        for (place, offset) in offsets {
            if results.contains_key(place) {
                continue;
            }
            match leaders.get(place) {
                Some(leader) if *leader >= 0 => by_leader.entry(*leader).or_default().push((place, *offset)),
                Some(_) => drop(open.insert(place.clone(), failure(ErrorCode::LeaderNotAvailable.code()))),
                None => {
                    drop(results.insert(place.clone(), failure(ErrorCode::UnknownTopicOrPartition.code())))
                }
            }
        }
        for (leader, wanted) in by_leader {
            let answer = match client.broker(leader, i16::MAX, &request(&wanted)).await {
                Ok(answer) => answer,
                Err(why) => {
                    let failed =
                        |(place, _): (&Place, i64)| (place.clone(), Err(Failure::timed_out(why.clone())));
                    open.extend(wanted.into_iter().map(failed));
                    continue;
                }
            };
            for topic in answer.topics {
                for partition in topic.partitions {
                    let place = (topic.name.clone(), partition.partition_index);
                    match partition.error_code {
                        0 => drop(results.insert(place, Ok(partition.low_watermark))),
                        code if passes(code) => drop(open.insert(place, failure(code))),
                        code => drop(results.insert(place, failure(code))),
                    }
                }
            }
        }
        if open.is_empty() || !patience.wait().await {
            results.extend(open);
            return Ok(results);
        }
    }
}

fn failure(code: i16) -> Result<i64, Failure> {
    Err(Failure::of(code, None))
}

fn request(wanted: &[(&Place, i64)]) -> DeleteRecordsRequest {
    let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
    for ((name, index), offset) in wanted {
        if topics.last().is_none_or(|last| last.name != *name) {
            topics.push(DeleteRecordsTopic { name: name.clone(), ..Default::default() });
        }
        let partition =
            DeleteRecordsPartition { partition_index: *index, offset: *offset, ..Default::default() };
        topics.last_mut().expect("one was pushed above").partitions.push(partition);
    }
    DeleteRecordsRequest { topics, timeout_ms: BROKER_LIMIT_MS, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_checked_in_kafkas_words() {
        let entry = r#"{"topic":"t","partition":0,"offset":2}"#;
        let good = format!(r#"{{"partitions":[{entry}],"version":1}}"#);
        assert_eq!(parse(good.as_bytes()), Ok(BTreeMap::from([(("t".into(), 0), 2)])));
        let error = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(error("junk"), "The input string is not a valid JSON");
        assert_eq!(error(r#"{"version":2}"#), "Not supported version field value 2");
        assert_eq!(error("{}"), "Missing partitions field");
        let twice = error(&format!(r#"{{"partitions":[{entry},{entry}]}}"#));
        assert_eq!(twice, "Offset json file contains duplicate topic partitions: t-0");
        assert!(error(r#"{"partitions":[{"topic":"t"}]}"#).contains("does not name"));
    }
}
