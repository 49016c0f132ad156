//! `kafka-consumer-groups --reset-offsets` and `--delete-offsets`.
//!
//! The rows of both stand on one line, as 3.9's tool prints them. Source: `ConsumerGroupCommand.resetOffsets`,
//! `prepareOffsetsToReset`, `checkOffsetsRange`, `deleteOffsets`.

use std::collections::BTreeMap;

use super::consumer_groups::{Stop, error};
use super::errors::Failure;
use super::moments;
use super::options::Options;
use super::settings;
use crate::cli::connect::Client;
use crate::cli::groups::{self, commit_code, commit_request};
use crate::cli::offsets::{self, End, Place};
use crate::cli::output::{exactly, raw};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::OffsetDeleteRequest;
use crate::protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};

/// The largest CSV file taken.
const FILE_MAX: u64 = 64 << 20;

/// Where offsets are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// This offset.
    Offset(i64),
    /// An end.
    End(End),
    /// So far from what is committed.
    Shift(i64),
    /// The first record from then on, milliseconds since 1970.
    Time(i64),
    /// What is committed, or the end.
    Current,
    /// What the file says of each group.
    Plan(BTreeMap<String, BTreeMap<Place, i64>>),
    /// Nothing was said.
    Nowhere,
}

impl Target {
    /// What the options say.
    fn new(options: &Options) -> Result<Target, Stop> {
        if let Some(offset) = options.number("to-offset")? {
            return Ok(Target::Offset(offset));
        }
        if let Some(by) = options.number("shift-by")? {
            return Ok(Target::Shift(by));
        }
        if let Some(text) = options.value("to-datetime")? {
            return Ok(Target::Time(moments::datetime(text)?));
        }
        if let Some(text) = options.value("by-duration")? {
            return Ok(Target::Time(moments::before_now(text)?));
        }
        if let Some(path) = options.value("from-file")? {
            let groups = options.values("group");
            let text = settings::read(path, FILE_MAX)?;
            return Ok(Target::Plan(plan(&String::from_utf8_lossy(&text), &groups)?));
        }
        Ok(match () {
            () if options.has("to-earliest") => Target::End(End::Earliest),
            () if options.has("to-latest") => Target::End(End::Latest),
            () if options.has("to-current") => Target::Current,
            () => Target::Nowhere,
        })
    }
}

/// `topic,partition,offset` for the one group, or `group,topic,partition,offset`.
fn plan(text: &str, groups: &[&str]) -> Result<BTreeMap<String, BTreeMap<Place, i64>>, String> {
    let mut plan: BTreeMap<String, BTreeMap<Place, i64>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let wrong = || {
            format!(
                "{line:?} is no line of a plan: write topic,partition,offset, or group,topic,partition,offset"
            )
        };
        let (group, rest) = match (&fields[..], groups) {
            (rest @ [_, _, _], [group]) => (*group, rest),
            ([group, rest @ ..], _) if rest.len() == 3 => (*group, rest),
            _ => return Err(wrong()),
        };
        let partition = rest[1].parse().map_err(|_| wrong())?;
        let offset = rest[2].parse().map_err(|_| wrong())?;
        plan.entry(group.to_owned()).or_default().insert((rest[0].to_owned(), partition), offset);
    }
    Ok(plan)
}

type Offsets = BTreeMap<Place, i64>;

/// Resets groups, one after the other, and prints what they have then.
pub async fn reset(client: &mut Client, options: &Options, groups: Vec<String>) -> Result<(), Stop> {
    let target = Target::new(options)?;
    let mut results: BTreeMap<String, Offsets> = BTreeMap::new();
    for group in &groups {
        let state = groups::state(client, group).await?.group_state;
        let mut new = Offsets::new();
        if matches!(state.as_str(), "Empty" | "Dead") {
            let places = places(client, options, group).await?;
            new = targets(client, group, places, &target).await?;
            if options.has("execute") && !new.is_empty() {
                let request = commit_request(group, (-1, ""), &new);
                let answer = client.group(group, i16::MAX, &request, commit_code).await?;
                match commit_code(&answer) {
                    0 => {}
                    code => return Err(Failure::of(code, None).into()),
                }
            }
        } else {
            error(&format!(
                "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            ))?;
        }
        results.insert(group.clone(), new);
    }
    Ok(match options.has("export") {
        true => export(&results, groups.len() == 1 && !options.has("all-groups")),
        false => table(&results),
    }?)
}

fn export(results: &BTreeMap<String, Offsets>, is_one: bool) -> Result<(), String> {
    let mut text = String::new();
    for (group, offsets) in results {
        let group = if is_one { String::new() } else { format!("{group},") };
        for ((topic, partition), offset) in offsets {
            text.push_str(&format!("{group}{topic},{partition},{offset}\n"));
        }
    }
    exactly(&text)
}

fn table(results: &BTreeMap<String, Offsets>) -> Result<(), String> {
    if results.is_empty() {
        return Ok(());
    }
    let row = |group: &str, topic: &str, partition: &str, offset: &str| {
        format!("{group:30} {topic:30} {partition:10} {offset:15}")
    };
    let mut text = format!("\n{}", row("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"));
    for (group, offsets) in results {
        for ((topic, partition), offset) in offsets {
            text.push_str(&row(group, topic, &partition.to_string(), &offset.to_string()));
        }
    }
    raw(&text)
}

/// The partitions that the options name.
async fn places(client: &mut Client, options: &Options, group: &str) -> Result<Vec<Place>, Stop> {
    if options.has("all-topics") {
        return Ok(groups::committed(client, group).await?.into_keys().collect());
    }
    if options.has("topic") {
        let mut places = Vec::new();
        for topic in options.values("topic") {
            places.extend(partitions(client, topic).await??);
        }
        places.sort();
        places.dedup();
        return Ok(places);
    }
    match options.has("from-file") {
        true => Ok(Vec::new()),
        false => Err(Stop::Usage("One of the reset scopes should be defined: --all-topics, --topic.".into())),
    }
}

/// The partitions of `TOPIC` or `TOPIC:0,1`; the inner error is that of the topic.
async fn partitions(client: &mut Client, text: &str) -> Result<Result<Vec<Place>, Failure>, Stop> {
    if let Some((topic, list)) = text.split_once(':') {
        if list.is_empty() || list.contains(':') {
            let why = format!("Invalid topic arg '{text}', expected topic name and partitions");
            return Err(Stop::Usage(why));
        }
        let number = |partition: &str| {
            let why =
                || Stop::Usage(format!("Invalid partition '{partition}' specified in topic arg '{text}''"));
            partition.parse().map(|number: i32| (topic.to_owned(), number)).map_err(|_| why())
        };
        return list.split(',').map(number).collect::<Result<Vec<Place>, Stop>>().map(Ok);
    }
    let answer = client.metadata(Some(&[text.to_owned()])).await?;
    let topic = answer.topics.into_iter().next().unwrap_or_default();
    Ok(match topic.error_code {
        0 => Ok(topic.partitions.iter().map(|p| (text.to_owned(), p.partition_index)).collect()),
        code => Err(Failure::of(code, None)),
    })
}

/// The new offset of each partition.
async fn targets(
    client: &mut Client,
    group: &str,
    places: Vec<Place>,
    target: &Target,
) -> Result<Offsets, Stop> {
    match target {
        Target::Offset(offset) => {
            in_range(client, places.into_iter().map(|place| (place, *offset)).collect()).await
        }
        Target::End(end) => Ok(offsets::ends(client, &places, *end, false).await?),
        Target::Shift(by) => {
            let committed = groups::committed(client, group).await?;
            let shift = |place: Place| match committed.get(&place) {
                Some(offset) => Ok((place, offset.saturating_add(*by))),
                None => Err(Stop::Usage(format!(
                    "Cannot shift offset for partition {}-{} since there is no current committed offset",
                    place.0, place.1
                ))),
            };
            in_range(client, places.into_iter().map(shift).collect::<Result<Offsets, Stop>>()?).await
        }
        Target::Time(timestamp) => at_time(client, places, *timestamp).await,
        Target::Current => {
            let mut committed = groups::committed(client, group).await?;
            let (with, without): (Vec<Place>, Vec<Place>) =
                places.into_iter().partition(|place| committed.contains_key(place));
            committed.retain(|place, _| with.contains(place));
            committed.extend(offsets::ends(client, &without, End::Latest, false).await?);
            Ok(committed)
        }
        Target::Plan(plan) => match plan.get(group) {
            Some(offsets) => in_range(client, offsets.clone()).await,
            None => {
                error(&format!("No reset plan for group {group} found"))?;
                Ok(Offsets::new())
            }
        },
        Target::Nowhere => Err(Stop::Usage(
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], [to-current], \
             [to-datetime], [from-file], [by-duration], [to-earliest], [to-latest], [shift-by]]"
                .into(),
        )),
    }
}

async fn at_time(client: &mut Client, places: Vec<Place>, timestamp: i64) -> Result<Offsets, Stop> {
    let (mut found, mut empty) = (Offsets::new(), Vec::new());
    for (place, offset) in offsets::at(client, &places, timestamp, false).await? {
        match offset? {
            offset if offset >= 0 => drop(found.insert(place, offset)),
            _ => empty.push(place),
        }
    }
    for (topic, partition) in &empty {
        exactly(&format!(
            "\nWarn: Partition {partition} from topic {topic} is empty. Falling back to latest known offset."
        ))?;
    }
    found.extend(offsets::ends(client, &empty, End::Latest, false).await?);
    Ok(found)
}

/// The offsets, moved to the ends of the logs where they lie outside.
async fn in_range(client: &mut Client, mut wanted: Offsets) -> Result<Offsets, Stop> {
    let places: Vec<Place> = wanted.keys().cloned().collect();
    let first = offsets::ends(client, &places, End::Earliest, false).await?;
    let end = offsets::ends(client, &places, End::Latest, false).await?;
    for (place, offset) in &mut wanted {
        let low = first.get(place).copied().unwrap_or(0);
        let high = end.get(place).copied().unwrap_or(i64::MAX);
        let (limit, what) = match *offset {
            offset if offset > high => (high, "higher than latest"),
            offset if offset < low => (low, "lower than earliest"),
            _ => continue,
        };
        eprintln!(
            "WARN New offset ({offset}) is {what} offset for topic partition {}-{}. Value will be set to {limit}",
            place.0, place.1
        );
        *offset = limit;
    }
    Ok(wanted)
}

/// Deletes what a group has committed for topics.
pub async fn delete_offsets(client: &mut Client, options: &Options) -> Result<(), Stop> {
    let group = options.value("group")?.unwrap_or_default();
    let topics = options.values("topic");
    let mut results: BTreeMap<Place, Option<Failure>> = BTreeMap::new();
    for topic in &topics {
        match partitions(client, topic).await? {
            Ok(places) => results.extend(places.into_iter().map(|place| (place, None))),
            Err(failure) => drop(results.insert(((*topic).to_owned(), -1), Some(failure))),
        }
    }
    let mut request = OffsetDeleteRequest { group_id: group.to_owned(), ..Default::default() };
    for (topic, partition_index) in results.keys().filter(|place| place.1 >= 0) {
        if request.topics.last().is_none_or(|last| last.name != *topic) {
            request.topics.push(OffsetDeleteRequestTopic { name: topic.clone(), ..Default::default() });
        }
        let partition =
            OffsetDeleteRequestPartition { partition_index: *partition_index, ..Default::default() };
        request.topics.last_mut().expect("one was pushed above").partitions.push(partition);
    }
    let answer = client.group(group, i16::MAX, &request, |answer| answer.error_code).await?;
    let mut first = answer.error_code;
    for topic in &answer.topics {
        for partition in topic.partitions.iter().filter(|partition| partition.error_code != 0) {
            first = if first == 0 { partition.error_code } else { first };
            let place = (topic.name.clone(), partition.partition_index);
            results.insert(place, Some(Failure::of(partition.error_code, None)));
        }
    }
    if answer.error_code != 0 {
        results.values_mut().for_each(|result| *result = Some(Failure::of(answer.error_code, None)));
    }
    say_deleted(first, group, &topics)?;
    let row = |topic: &str, partition: &str, status: &str| format!("{topic:30} {partition:15} {status:15}");
    let mut text = format!("\n{}", row("TOPIC", "PARTITION", "STATUS"));
    for ((topic, partition), failure) in results {
        let partition = if partition >= 0 { partition.to_string() } else { "Not Provided".into() };
        let status = failure.map_or("Successful".into(), |failure| format!("Error: :{}", failure.thrown()));
        text.push_str(&row(&topic, &partition, &status));
    }
    Ok(raw(&text)?)
}

fn say_deleted(code: i16, group: &str, topics: &[&str]) -> Result<(), String> {
    match ErrorCode::from_i16(code) {
        Some(ErrorCode::None) => exactly(&format!(
            "Request succeed for deleting offsets with topic {} group {group}",
            topics.join(", ")
        )),
        Some(ErrorCode::InvalidGroupId) => error(&format!("'{group}' is not valid.")),
        Some(ErrorCode::GroupIdNotFound) => error(&format!("'{group}' does not exist.")),
        Some(ErrorCode::GroupAuthorizationFailed) => {
            error(&format!("Access to '{group}' is not authorized."))
        }
        Some(ErrorCode::NonEmptyGroup) => error(&format!(
            "Deleting offsets of a consumer group '{group}' is forbidden if the group is not empty."
        )),
        Some(
            ErrorCode::GroupSubscribedToTopic
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::UnknownTopicOrPartition,
        ) => error("Encounter some partition level error, see the follow-up details:"),
        known => {
            let name = known.map_or("UNKNOWN_SERVER_ERROR", ErrorCode::name);
            error(&format!("Encounter some unknown error: {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_of_one_group_and_of_many() {
        let one = plan("\"t\",0,1\nt,1,5\n", &["g"]).unwrap();
        assert_eq!(one["g"], Offsets::from([(("t".into(), 0), 1), (("t".into(), 1), 5)]));
        let many = plan("g1,t,0,1\ng2,k,1,1\n", &["g1", "g2"]).unwrap();
        assert_eq!(many["g2"], Offsets::from([(("k".into(), 1), 1)]));
        for wrong in ["t,0\n", "t,x,1\n", "t,0,1\n"] {
            assert!(plan(wrong, &["a", "b"]).unwrap_err().contains("is no line of a plan"), "{wrong}");
        }
    }
}
