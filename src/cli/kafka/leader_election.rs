//! `kafka-leader-election`: preferred or unclean elections for partitions, those of a file, or all.
//!
//! Output, errors and exit codes are `LeaderElectionCommand`'s of Kafka 3.9. The controller is asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::admin;
use super::super::connect;
use super::super::offsets::Place;
use super::super::output::exactly as say;
use super::errors::Failure;
use super::options::{Options, Spec, flag, value};
use super::reassign::named;
use super::settings::{Settings, read};
use super::topics::duplicates;
use crate::protocol::error_code::ErrorCode;

const PURPOSE: &str = "This tool attempts to elect a new leader for a set of topic partitions. The type of elections \
                       supported are preferred replicas and unclean replicas.";
/// Largest file of partitions that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

const OPTIONS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: host:port",
        "A hostname and port for the broker to connect to, in the form host:port. Multiple comma separated URLs can \
         be given. REQUIRED.",
    ),
    value(
        "admin.config",
        "String: config file",
        "Configuration properties files to pass to the admin client",
    ),
    value(
        "path-to-json-file",
        "String: Path to JSON file",
        "The JSON file with the list of partition for which leader elections should be performed. This is an example \
         format. {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1}, {\"topic\": \"foobar\", \"partition\": 2}]} \
         Not allowed if --all-topic-partitions or --topic flags are specified.",
    ),
    value(
        "topic",
        "String: topic name",
        "Name of topic for which to perform an election. Not allowed if --path-to-json-file or --all-topic-partitions \
         is specified.",
    ),
    value(
        "partition",
        "Integer: partition id",
        "Partition id for which to perform an election. REQUIRED if --topic is specified.",
    ),
    flag(
        "all-topic-partitions",
        "Perform election on all of the eligible topic partitions based on the type of election (see the \
         --election-type flag). Not allowed if --topic or --path-to-json-file is specified.",
    ),
    value(
        "election-type",
        "[PREFERRED|UNCLEAN]: election type",
        "Type of election to attempt. Possible values are \"preferred\" for preferred leader election or \"unclean\" \
         for unclean leader election. If preferred election is selection, the election is only performed if the \
         current leader is not the preferred leader for the topic partition. If unclean election is selected, the \
         election is only performed if there are no leader for the topic partition. REQUIRED.",
    ),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, OPTIONS, arguments)? else { return Ok(()) };
    check(&options)?;
    let kind = options.value("election-type")?.unwrap_or_default().to_ascii_uppercase();
    let unclean = match kind.as_str() {
        "PREFERRED" => false,
        "UNCLEAN" => true,
        _ => {
            let given = options.value("election-type")?.unwrap_or_default();
            return Err(format!("Cannot parse argument '{given}' of option election-type"));
        }
    };
    let places = places(&options)?;
    let settings = Settings::load(options.value("admin.config")?, "kafka-leader-election")?;
    connect::run(async {
        let bootstrap = options.value("bootstrap-server")?.unwrap_or_default();
        let elected = async {
            let mut client = settings.connect(bootstrap, "electLeaders").await?;
            Ok(admin::elect_leaders(&mut client, unclean, places.as_deref()).await?)
        };
        let outcomes = elected.await.or_else(refused)?;
        tell(&kind, outcomes)
    })
}

/// Nothing was elected at all.
fn refused(failure: Failure) -> Result<BTreeMap<Place, Result<(), admin::Trouble>>, String> {
    let what = if failure.is(ErrorCode::RequestTimedOut.code()) {
        "Timeout waiting for election results"
    } else if failure.is(ErrorCode::ClusterAuthorizationFailed.code()) {
        "Not authorized to perform leader election"
    } else {
        return Err(failure.traced());
    };
    say(what)?;
    Err(format!("{what}\n{}", failure.thrown()))
}

fn check(options: &Options) -> Result<(), String> {
    let missing: Vec<&str> =
        ["bootstrap-server", "election-type"].into_iter().filter(|name| !options.has(name)).collect();
    if !missing.is_empty() {
        return Err(format!("Missing required option(s): {}", missing.join(", ")));
    }
    const WHICH: [&str; 3] = ["topic", "all-topic-partitions", "path-to-json-file"];
    if WHICH.into_iter().filter(|name| options.has(name)).count() != 1 {
        return Err(format!("One and only one of the following options is required: {}", WHICH.join(", ")));
    }
    match (options.has("topic"), options.has("partition")) {
        (true, false) => Err("Missing required option(s): partition".into()),
        (false, true) => Err("Option partition is only allowed if topic is used".into()),
        _ => Ok(()),
    }
}

/// The partitions that are meant, `None` for all.
fn places(options: &Options) -> Result<Option<Vec<Place>>, String> {
    if let Some(path) = options.value("path-to-json-file")? {
        let text = read(path, FILE_BYTES_MAX)?;
        return parse(&text).map(Some).map_err(|why| format!("{why} ({path})"));
    }
    let index = options.number::<i32>("partition")?;
    Ok(options.value("topic")?.zip(index).map(|(topic, index)| vec![(topic.to_owned(), index)]))
}

fn parse(text: &[u8]) -> Result<Vec<Place>, String> {
    let json: Value = serde_json::from_slice(text).map_err(|_| "Replica election data is empty")?;
    let entries = json.get("partitions").ok_or("Replica election data is missing \"partitions\" field")?;
    let mut places = Vec::new();
    for entry in entries.as_array().ok_or("\"partitions\" is not a list")? {
        let topic = entry.get("topic").and_then(Value::as_str);
        let index =
            entry.get("partition").and_then(Value::as_i64).and_then(|index| i32::try_from(index).ok());
        let place = topic.zip(index).ok_or_else(|| format!("no topic and partition in {entry}"))?;
        places.push((place.0.to_owned(), place.1));
    }
    let twice: Vec<String> = duplicates(&places).iter().map(named).collect();
    if !twice.is_empty() {
        return Err(format!("Replica election data contains duplicate partitions: [{}]", twice.join(", ")));
    }
    Ok(places)
}

/// Prints what came of it; a partition that could not be served is an error.
fn tell(kind: &str, outcomes: BTreeMap<Place, Result<(), admin::Trouble>>) -> Result<(), String> {
    let not_needed = ErrorCode::ElectionNotNeeded.code();
    let (mut elected, mut needless, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (place, outcome) in outcomes {
        match outcome.map_err(Failure::from) {
            Ok(()) => elected.push(named(&place)),
            Err(failure) if failure.is(not_needed) => needless.push(named(&place)),
            Err(failure) => failed.push((named(&place), failure)),
        }
    }
    if !elected.is_empty() {
        let places = elected.join(", ");
        say(&format!("Successfully completed leader election ({kind}) for partitions {places}"))?;
    }
    if !needless.is_empty() {
        say(&format!("Valid replica already elected for partitions {}", needless.join(", ")))?;
    }
    for (place, failure) in &failed {
        let thrown = failure.thrown();
        say(&format!("Error completing leader election ({kind}) for partition: {place}: {thrown}"))?;
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} replica(s) could not be elected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_partitions_once() {
        let text = br#"{"partitions":[{"topic":"a","partition":1},{"topic":"b","partition":0}]}"#;
        assert_eq!(parse(text), Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 0)]));
        for (text, why) in [
            ("{", "Replica election data is empty"),
            ("{}", "Replica election data is missing \"partitions\" field"),
            (r#"{"partitions":[{"topic":"a"}]}"#, "no topic and partition"),
            (
                r#"{"partitions":[{"topic":"a","partition":1},{"topic":"a","partition":1}]}"#,
                "Replica election data contains duplicate partitions: [a-1]",
            ),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
