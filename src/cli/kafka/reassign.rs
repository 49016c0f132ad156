//! `kafka-reassign-partitions`: propose, start, check, cancel and list moves of partitions.
//!
//! Output, errors and exit codes are `ReassignPartitionsCommand`'s of Kafka 3.9, with one difference: `--cancel` also
//! cancels moves that only add replicas, which a slip in that version leaves running. Throttles are set and cleared by
//! `reassign_throttle`, directories by `reassign_dirs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::admin::{self, Move};
use super::super::connect::{self, Client};
use super::super::offsets::Place;
use super::super::output::{exactly as say, list, raw};
use super::super::plan::{self, Entry};
use super::errors::Failure;
use super::options::Options;
use super::reassign_dirs::{self as dirs, Dirs};
use super::reassign_options::{OPTIONS, check};
use super::reassign_throttle as throttle;
use super::settings::{Settings, read};
use super::topics::duplicates;
use crate::admin::assignment::{Candidate, Placement, assign_replicas};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::metadata::MetadataResponseBroker;

const PURPOSE: &str = "This tool helps to move topic partitions between replicas.";
/// Largest plan that is read.
const PLAN_BYTES_MAX: u64 = 64 << 20;
/// `--timeout` unless given.
const TIMEOUT_MS: u64 = 10_000;
/// Class of failures that are told without it.
const TERSE: &str = "org.apache.kafka.tools.TerseException";
const EXISTING: &str = "Cannot execute because there is an existing partition assignment.  Use --additional to override \
                        this and create a new partition assignment in addition to the existing one. The --additional \
                        flag can also be used to change the throttle by resubmitting the current reassignment.";
const RUN_VERIFY: &str = "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed.";

/// Where partitions shall be, or are.
pub type Replicas = BTreeMap<Place, Vec<i32>>;

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, OPTIONS, arguments)? else { return Ok(()) };
    let action = check(&options)?;
    let settings = Settings::load(options.value("command-config")?, "reassign-partitions-tool")?;
    connect::run(async {
        let Err(failure) = act(action, &options, &settings).await else { return Ok(()) };
        if failure.class == TERSE {
            say(&failure.message)?;
        } else {
            say(&format!("Error: {}\n", failure.traced()))?;
        }
        Err(String::new())
    })
}

async fn act(action: &str, options: &Options, settings: &Settings) -> Result<(), Failure> {
    let bootstrap = options.value("bootstrap-server")?.unwrap_or_default();
    let read = |option: &str| -> Result<Vec<u8>, Failure> {
        read(options.value(option)?.unwrap_or_default(), PLAN_BYTES_MAX)
            .map_err(|why| Failure::new("java.io.IOException", format!("Unable to read file {why}")))
    };
    if action == "generate" {
        let (topics, brokers) = to_generate(&read("topics-to-move-json-file")?, options)?;
        let mut client = settings.connect(bootstrap, "describeTopics").await.map_err(wrapped)?;
        return generate(&mut client, topics, &brokers, !options.has("disable-rack-aware")).await;
    }
    let entries = match action {
        "list" => Vec::new(),
        _ => plan::parse(&read("reassignment-json-file")?).map_err(operation)?.unwrap_or_default(),
    };
    if action == "execute" {
        check_plan(&entries)?;
    }
    let mut client = settings.connect(bootstrap, "listPartitionReassignments").await.map_err(wrapped)?;
    let client = &mut client;
    match action {
        "list" => list_moves(client).await,
        "verify" => verify(client, &entries, options.has("preserve-throttles")).await,
        "cancel" => cancel(client, &entries, options).await,
        _ => execute(client, entries, options).await,
    }
}

/// A failure that Java finds behind a future.
pub fn wrapped(failure: impl Into<Failure>) -> Failure {
    Failure::new("java.util.concurrent.ExecutionException", failure.into().thrown())
}

fn operation(why: String) -> Failure {
    Failure::new("org.apache.kafka.server.common.AdminOperationException", why)
}

/// A command that makes no sense.
pub fn command(why: impl Into<String>) -> Failure {
    Failure::new("org.apache.kafka.server.common.AdminCommandFailedException", why)
}

/// Something told without its class.
pub fn terse(why: impl Into<String>) -> Failure {
    Failure::new(TERSE, why)
}

fn unknown_place(why: String) -> Failure {
    wrapped(Failure::of(ErrorCode::UnknownTopicOrPartition.code(), Some(why)))
}

/// `topic-partition`.
pub fn named((topic, index): &Place) -> String {
    format!("{topic}-{index}")
}

/// What may not be in a plan that is carried out.
fn check_plan(entries: &[Entry]) -> Result<(), Failure> {
    if entries.is_empty() {
        return Err(command("Partition reassignment list cannot be empty"));
    }
    if entries.iter().any(|entry| entry.replicas.is_empty()) {
        return Err(command("Partition replica list cannot be empty"));
    }
    let mut seen = BTreeSet::new();
    let twice: Vec<String> =
        entries.iter().filter(|entry| !seen.insert(&entry.place)).map(|entry| named(&entry.place)).collect();
    if !twice.is_empty() {
        let twice = twice.join(",");
        return Err(command(format!("Partition reassignment contains duplicate topic partitions: {twice}")));
    }
    let repeated = |entry: &Entry| {
        let twice = duplicates(&entry.replicas);
        let text = format!("{} contains multiple entries for {}", named(&entry.place), list(&twice));
        (!twice.is_empty()).then_some(text)
    };
    let repeated: Vec<String> = entries.iter().filter_map(repeated).collect();
    match repeated.is_empty() {
        true => Ok(()),
        false => Err(command(format!(
            "Partition replica lists may not contain duplicate entries: {}",
            repeated.join(". ")
        ))),
    }
}

fn to_generate(file: &[u8], options: &Options) -> Result<(Vec<String>, Vec<i32>), Failure> {
    let text = options.value("broker-list")?.unwrap_or_default();
    let id = |id: &str| {
        let wrong =
            |_| Failure::new("java.lang.NumberFormatException", format!("For input string: \"{id}\""));
        id.parse::<i32>().map_err(wrong)
    };
    let brokers = text.split(',').map(id).collect::<Result<Vec<i32>, Failure>>()?;
    let twice = duplicates(&brokers);
    if !twice.is_empty() {
        return Err(command(format!("Broker list contains duplicate entries: {twice:?}")));
    }
    let topics = plan::parse_topics(file).map_err(operation)?;
    let twice = duplicates(&topics);
    if !twice.is_empty() {
        return Err(command(format!(
            "List of topics to reassign contains duplicate entries: [{}]",
            twice.join(", ")
        )));
    }
    Ok((topics, brokers))
}

/// Where the partitions of topics are; a topic that is missing is an error.
async fn replicas_of(
    client: &mut Client,
    topics: &[String],
) -> Result<(Replicas, Vec<MetadataResponseBroker>), Failure> {
    let answer = client.metadata(Some(topics)).await.map_err(|why| wrapped(Failure::timed_out(why)))?;
    let mut found = Replicas::new();
    for topic in answer.topics {
        let name = topic.name.unwrap_or_default();
        if topic.error_code == ErrorCode::UnknownTopicOrPartition.code() {
            return Err(unknown_place(format!("Topic {name} not found.")));
        }
        if topic.error_code != 0 {
            return Err(wrapped(Failure::of(topic.error_code, None)));
        }
        for partition in topic.partitions {
            found.insert((name.clone(), partition.partition_index), partition.replica_nodes);
        }
    }
    Ok((found, answer.brokers))
}

async fn generate(
    client: &mut Client,
    topics: Vec<String>,
    brokers: &[i32],
    by_rack: bool,
) -> Result<(), Failure> {
    let (current, known) = replicas_of(client, &topics).await?;
    let candidates: Vec<Candidate> = known
        .into_iter()
        .filter(|broker| brokers.contains(&broker.node_id))
        .map(|broker| Candidate { id: broker.node_id, rack: broker.rack.filter(|_| by_rack) })
        .collect();
    let rackless = candidates.iter().filter(|broker| broker.rack.is_none()).count();
    if by_rack && rackless != 0 && rackless != candidates.len() {
        return Err(operation(
            "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica \
             assignment without rack information."
                .into(),
        ));
    }
    let mut proposed = Replicas::new();
    for topic in topics {
        let of_topic: Vec<&Vec<i32>> =
            current.iter().filter(|((name, _), _)| *name == topic).map(|(_, replicas)| replicas).collect();
        let Some(first) = of_topic.first() else { continue };
        let (count, factor) = (i32::try_from(of_topic.len()), i32::try_from(first.len()));
        let random = || fastrand::usize(..candidates.len().max(1));
        let placement = Placement { start: random(), shift: random(), first_partition: 0 };
        let assigned =
            assign_replicas(&candidates, count.unwrap_or(i32::MAX), factor.unwrap_or(i32::MAX), placement)
                .map_err(|error| Failure::of(error.code().code(), Some(error.to_string())))?;
        for (index, replicas) in (0..).zip(assigned) {
            proposed.insert((topic.clone(), index), replicas);
        }
    }
    say(&format!("Current partition replica assignment\n{}\n", plan::write(&current)))?;
    Ok(say(&format!("Proposed partition reassignment configuration\n{}", plan::write(&proposed)))?)
}

async fn list_moves(client: &mut Client) -> Result<(), Failure> {
    let moves = admin::moves(client).await.map_err(wrapped)?;
    if moves.is_empty() {
        return Ok(say("No partition reassignments found.")?);
    }
    say("Current partition reassignments:")?;
    for (place, it) in moves {
        let some = |what: &str, ids: &[i32]| match ids {
            [] => String::new(),
            ids => format!(" {what}: {}.", list(ids)),
        };
        let (adding, removing) = (some("adding", &it.adding), some("removing", &it.removing));
        say(&format!("{}: replicas: {}.{adding}{removing}", named(&place), list(&it.replicas)))?;
    }
    Ok(())
}

async fn verify(client: &mut Client, entries: &[Entry], preserve_throttles: bool) -> Result<(), Failure> {
    let moves = admin::moves(client).await.map_err(wrapped)?;
    let wanted: Replicas =
        entries.iter().map(|entry| (entry.place.clone(), entry.replicas.clone())).collect();
    let current = resting(client, &wanted, &moves).await?;
    say(&states(&wanted, &moves, &current))?;
    let wished = dirs::wished(entries);
    let directories = dirs::states(client, &wished).await?;
    say(&dirs::told(&directories))?;
    let all_done = moves.is_empty() && directories.values().all(dirs::State::is_done);
    if all_done && !preserve_throttles {
        throttle::clear(client, entries).await?;
    }
    Ok(())
}

/// Where those are that are not on the move; what does not exist has no replicas.
async fn resting(
    client: &mut Client,
    wanted: &Replicas,
    moves: &BTreeMap<Place, Move>,
) -> Result<Replicas, Failure> {
    let mut topics: Vec<String> =
        wanted.keys().filter(|place| !moves.contains_key(*place)).map(|(topic, _)| topic.clone()).collect();
    topics.dedup();
    if topics.is_empty() {
        return Ok(Replicas::new());
    }
    let answer = client.metadata(Some(&topics)).await.map_err(|why| wrapped(Failure::timed_out(why)))?;
    let mut found = Replicas::new();
    for topic in answer.topics {
        if ![0, ErrorCode::UnknownTopicOrPartition.code()].contains(&topic.error_code) {
            return Err(wrapped(Failure::of(topic.error_code, None)));
        }
        let name = topic.name.unwrap_or_default();
        for partition in topic.partitions {
            found.insert((name.clone(), partition.partition_index), partition.replica_nodes);
        }
    }
    Ok(found)
}

fn states(wanted: &Replicas, moves: &BTreeMap<Place, Move>, current: &Replicas) -> String {
    let mut lines = vec!["Status of partition reassignment:".to_owned()];
    for (place, target) in wanted {
        let now = current.get(place).map_or(&[][..], Vec::as_slice);
        let name = named(place);
        lines.push(if moves.contains_key(place) {
            format!("Reassignment of partition {name} is still in progress.")
        } else if now == target {
            format!("Reassignment of partition {name} is completed.")
        } else {
            format!(
                "There is no active reassignment of partition {name}, but replica set is {} rather than {}.",
                list(now),
                list(target)
            )
        });
    }
    lines.join("\n")
}

async fn execute(client: &mut Client, entries: Vec<Entry>, options: &Options) -> Result<(), Failure> {
    let (between, within) =
        (options.number::<i64>("throttle")?, options.number::<i64>("replica-alter-log-dirs-throttle")?);
    let (between, within) = (between.filter(|rate| *rate >= 0), within.filter(|rate| *rate >= 0));
    let timeout_ms = options.number::<u64>("timeout")?.unwrap_or(TIMEOUT_MS);
    let moves = admin::moves(client).await.map_err(wrapped)?;
    if !options.has("additional") && !moves.is_empty() {
        return Err(terse(EXISTING));
    }
    let live = client.brokers();
    let asked: BTreeSet<i32> = entries.iter().flat_map(|entry| entry.replicas.iter().copied()).collect();
    if let Some(unknown) = asked.iter().find(|id| !live.contains(id)) {
        return Err(command(format!("Unknown broker id {unknown}")));
    }
    let wished = dirs::wished(&entries);
    let proposed: Replicas = entries.into_iter().map(|entry| (entry.place, entry.replicas)).collect();
    let current = current(client, &proposed).await?;
    say(&format!(
        "Current partition replica assignment\n\n{}\n\nSave this to use as the --reassignment-json-file option during \
         rollback",
        plan::write(&current)
    ))?;
    if between.is_some() || within.is_some() {
        say(RUN_VERIFY)?;
    }
    if let Some(rate) = between {
        throttle::between_brokers(client, &throttle::flows(&moves, &proposed, &current), rate).await?;
    }
    if let Some(rate) = within {
        throttle::between_directories(client, &wished, rate).await?;
    }
    start(client, &proposed).await?;
    dirs::start(client, wished, Duration::from_millis(timeout_ms)).await
}

/// Where the partitions of a plan are; all of them must exist.
async fn current(client: &mut Client, proposed: &Replicas) -> Result<Replicas, Failure> {
    let mut topics: Vec<String> = proposed.keys().map(|(topic, _)| topic.clone()).collect();
    topics.dedup();
    let (mut current, _) = replicas_of(client, &topics).await?;
    current.retain(|place, _| proposed.contains_key(place));
    let missing: Vec<String> =
        proposed.keys().filter(|place| !current.contains_key(*place)).map(named).collect();
    if !missing.is_empty() {
        return Err(unknown_place(format!("Unable to find partition: {}", missing.join(", "))));
    }
    Ok(current)
}

async fn start(client: &mut Client, proposed: &Replicas) -> Result<(), Failure> {
    let wanted = proposed.iter().map(|(place, replicas)| (place, Some(replicas)));
    let answers = admin::reassign(client, wanted).await.map_err(wrapped)?;
    let failed = failures(answers);
    if !failed.is_empty() {
        return Err(terse(format!("Error reassigning partition(s):\n{}", failed.join("\n"))));
    }
    let places: Vec<String> = proposed.keys().map(named).collect();
    let plural = if places.len() == 1 { "" } else { "s" };
    Ok(say(&format!("Successfully started partition reassignment{plural} for {}", places.join(",")))?)
}

fn failures(answers: admin::Outcomes<Place>) -> Vec<String> {
    let told = |(place, outcome): (Place, Result<(), admin::Trouble>)| {
        Some(format!("{}: {}", named(&place), Failure::from(outcome.err()?)))
    };
    answers.into_iter().filter_map(told).collect()
}

async fn cancel(client: &mut Client, entries: &[Entry], options: &Options) -> Result<(), Failure> {
    let timeout_ms = options.number::<u64>("timeout")?.unwrap_or(TIMEOUT_MS);
    let moves = admin::moves(client).await.map_err(wrapped)?;
    let active: BTreeSet<&Place> =
        entries.iter().map(|entry| &entry.place).filter(|place| moves.contains_key(*place)).collect();
    if active.is_empty() {
        say("None of the specified partition reassignments are active.")?;
    } else {
        let answers = admin::reassign(client, active.iter().map(|place| (*place, None))).await;
        let failed = failures(answers.map_err(wrapped)?);
        if !failed.is_empty() {
            let plural = if failed.len() == 1 { "" } else { "s" };
            let text = format!("Error cancelling partition reassignment{plural} for:\n{}", failed.join("\n"));
            return Err(terse(text));
        }
        let places: Vec<String> = active.into_iter().map(named).collect();
        let plural = if places.len() == 1 { "" } else { "s" };
        say(&format!("Successfully cancelled partition reassignment{plural} for: {}", places.join(",")))?;
    }
    let directories = dirs::states(client, &dirs::wished(entries)).await?;
    let back: Dirs =
        directories.into_iter().filter_map(|(at, state)| Some((at, state.moving_from()?))).collect();
    if back.is_empty() {
        // Kafka's tool does not end this line.
        raw("None of the specified partition moves are active.")?;
    } else {
        dirs::start(client, back, Duration::from_millis(timeout_ms)).await?;
    }
    if options.has("preserve-throttles") { Ok(()) } else { throttle::clear(client, entries).await }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(topic: &str, index: i32, replicas: &[i32]) -> Entry {
        Entry {
            place: (topic.to_owned(), index),
            replicas: replicas.to_vec(),
            dirs: vec![None; replicas.len()],
        }
    }

    #[test]
    fn plans_that_make_no_sense_are_refused() {
        for (entries, why) in [
            (vec![], "Partition reassignment list cannot be empty"),
            (vec![entry("t", 0, &[])], "Partition replica list cannot be empty"),
            (
                vec![entry("t", 0, &[1]), entry("t", 0, &[2])],
                "Partition reassignment contains duplicate topic partitions: t-0",
            ),
            (
                vec![entry("t", 0, &[1, 1]), entry("u", 1, &[2, 3, 2])],
                "Partition replica lists may not contain duplicate entries: t-0 contains multiple entries for 1. u-1 \
                 contains multiple entries for 2",
            ),
        ] {
            assert_eq!(check_plan(&entries).unwrap_err().message, why);
        }
        assert_eq!(check_plan(&[entry("t", 0, &[1, 2])]), Ok(()));
    }

    #[test]
    fn states_are_told_as_kafka_tells_them() {
        let place = |index| ("t".to_owned(), index);
        let wanted: Replicas = (0..4).map(|index| (place(index), vec![1, 2])).collect();
        let under_way = Move { replicas: vec![1, 2, 3], adding: vec![1], removing: vec![3] };
        let moves = BTreeMap::from([(place(1), under_way)]);
        let current = Replicas::from([(place(0), vec![1, 2]), (place(2), vec![2, 1])]);
        assert_eq!(
            states(&wanted, &moves, &current),
            "Status of partition reassignment:\n\
             Reassignment of partition t-0 is completed.\n\
             Reassignment of partition t-1 is still in progress.\n\
             There is no active reassignment of partition t-2, but replica set is 2,1 rather than 1,2.\n\
             There is no active reassignment of partition t-3, but replica set is  rather than 1,2."
        );
    }
}
