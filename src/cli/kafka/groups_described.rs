//! `kafka-consumer-groups --describe`: offsets, members or state of groups.
//!
//! A partition whose end cannot be had shows `-`, where Kafka's tool gives up. Source:
//! `ConsumerGroupCommand.describeGroups`, `printOffsets`, `printMembers`, `printStates`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::consumer_groups::{Stop, error};
use super::options::Options;
use crate::cli::connect::Client;
use crate::cli::groups;
use crate::cli::offsets::{self, End, Place};
use crate::cli::output::{exactly, raw};
use crate::protocol::messages::consumer_protocol::{ConsumerProtocolAssignment, decode};
use crate::protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};

/// What stands for nothing.
const MISSING: &str = "-";
/// The least width of columns.
const WIDTH: usize = 15;

/// Describes groups, one after the other.
pub async fn describe(client: &mut Client, options: &Options, groups: Vec<String>) -> Result<(), Stop> {
    let mut described = Vec::new();
    for group in &groups {
        described.push(groups::state(client, group).await?);
    }
    for (group, state) in groups.iter().zip(&described) {
        if options.has("members") {
            members(group, state, options.has("verbose"))?;
        } else if options.has("state") {
            print_state(client, group, state).await?;
        } else {
            print_offsets(client, group, state).await?;
        }
    }
    Ok(())
}

/// Says what is special about a group's state; whether its rows are printed.
fn goes_on(group: &str, state: &str, rows: usize) -> Result<bool, String> {
    match state {
        "Dead" => error(&format!("Consumer group '{group}' does not exist."))?,
        "Empty" => eprintln!("\nConsumer group '{group}' has no active members."),
        "Stable" => {}
        _ => eprintln!("\nWarning: Consumer group '{group}' is rebalancing."),
    }
    Ok(state != "Dead" && rows > 0)
}

/// Which partitions a member reads, sorted.
fn assignment(member: &DescribedGroupMember) -> BTreeSet<Place> {
    let assigned = decode::<ConsumerProtocolAssignment>(member.member_assignment.clone()).unwrap_or_default();
    let topics = assigned.assigned_partitions.into_iter();
    topics.flat_map(|t| t.partitions.into_iter().map(move |partition| (t.topic.clone(), partition))).collect()
}

async fn print_offsets(client: &mut Client, group: &str, state: &DescribedGroup) -> Result<(), Stop> {
    let committed = groups::committed(client, group).await?;
    let mut members: Vec<_> = state.members.iter().map(|member| (member, assignment(member))).collect();
    members.sort_by_key(|(_, places)| Reverse(places.len()));
    let assigned: BTreeSet<Place> = members.iter().flat_map(|(_, places)| places.clone()).collect();
    let rest: BTreeSet<Place> =
        committed.keys().filter(|place| !assigned.contains(*place)).cloned().collect();
    let all: Vec<Place> = assigned.union(&rest).cloned().collect();
    let ends = offsets::at(client, &all, End::Latest as i64, false).await?;
    let row = |place: &Place, owner: [&str; 3]| -> [String; 9] {
        let offset = committed.get(place);
        let end = ends.get(place).and_then(|end| end.as_ref().ok());
        let lag = offset.zip(end).map(|(offset, end)| end - offset);
        let text = |number: Option<i64>| number.map_or(MISSING.to_owned(), |number| number.to_string());
        let (partition, offset, end) = (place.1.to_string(), text(offset.copied()), text(end.copied()));
        let [consumer, host, id] = owner.map(str::to_owned);
        [group.to_owned(), place.0.clone(), partition, offset, end, text(lag), consumer, host, id]
    };
    let mut rows = Vec::new();
    for (member, places) in &members {
        let owner = [member.member_id.as_str(), &member.client_host, &member.client_id];
        rows.extend(places.iter().map(|place| row(place, owner)));
    }
    rows.extend(rest.iter().map(|place| row(place, [MISSING; 3])));
    if goes_on(group, &state.group_state, rows.len())? {
        raw(&offset_table(&rows))?;
    }
    Ok(())
}

/// Rows that begin with a line end, as Kafka's do; the last has none.
fn offset_table(rows: &[[String; 9]]) -> String {
    let widest = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(WIDTH);
    let (group, topic, consumer, host) = (widest(0), widest(1), widest(6), widest(7));
    let line = |row: &[String; 9]| {
        let [a, b, c, d, e, f, g, h, i] = row;
        format!("\n{a:group$} {b:topic$} {c:10} {d:15} {e:15} {f:15} {g:consumer$} {h:host$} {i}")
    };
    let titles = [
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ];
    let head = line(&titles.map(str::to_owned));
    rows.iter().map(line).fold(head, |text, row| text + &row)
}

fn members(group: &str, state: &DescribedGroup, verbose: bool) -> Result<(), String> {
    let shown = goes_on(group, &state.group_state, state.members.len())?;
    let members: &[DescribedGroupMember] = if shown { &state.members } else { &[] };
    let instance = |member: &DescribedGroupMember| member.group_instance_id.clone().unwrap_or_default();
    let widest = |length: &dyn Fn(&DescribedGroupMember) -> usize, least: usize| {
        members.iter().map(length).max().unwrap_or(0).max(least)
    };
    let group_width = group.len().max(WIDTH);
    let group_width = if members.is_empty() { WIDTH } else { group_width };
    let id = widest(&|member| member.member_id.len(), WIDTH);
    let instance_width = widest(&|member| instance(member).len(), 17);
    let host = widest(&|member| member.client_host.len(), WIDTH);
    let client = widest(&|member| member.client_id.len(), WIDTH);
    let has_instances = members.iter().any(|member| !instance(member).is_empty());
    let line = |cells: [&str; 6], assigned: &str| {
        let [a, b, c, d, e, f] = cells;
        let instances = if has_instances { format!(" {c:instance_width$}") } else { String::new() };
        format!("{a:group_width$} {b:id$}{instances} {d:host$} {e:client$} {f:15} {assigned}")
    };
    let titles = ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"];
    exactly(&format!("\n{}", line(titles, if verbose { "ASSIGNMENT" } else { "" })))?;
    for member in members {
        let places = assignment(member);
        let count = places.len().to_string();
        let (instance, assigned) = (instance(member), ranges(&places));
        let cells = [group, &member.member_id, &instance, &member.client_host, &member.client_id, &count];
        exactly(&line(cells, if verbose { &assigned } else { "" }))?;
    }
    Ok(())
}

/// `(0,1), (0)`: the partitions of each topic, as Kafka's tool has them, sorted as text.
fn ranges(places: &BTreeSet<Place>) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (topic, partition) in places {
        topics.entry(topic).or_default().push(partition.to_string());
    }
    let mut lists: Vec<String> = topics
        .into_values()
        .map(|mut partitions| {
            partitions.sort();
            format!("({})", partitions.join(","))
        })
        .collect();
    lists.sort();
    if lists.is_empty() { MISSING.to_owned() } else { lists.join(", ") }
}

async fn print_state(client: &mut Client, group: &str, state: &DescribedGroup) -> Result<(), Stop> {
    if !goes_on(group, &state.group_state, 1)? {
        return Ok(());
    }
    let id = client.coordinator(group).await?;
    let (host, port) = client.address_of(id).cloned().unwrap_or_default();
    let coordinator = format!("{host}:{port}  ({id})");
    let width = coordinator.len().max(25);
    let count = state.members.len().to_string();
    let line = |cells: [&str; 5]| {
        let [a, b, c, d, e] = cells;
        format!("\n{a:width$} {b:25} {c:20} {d:15} {e}")
    };
    let titles = line(["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]);
    let row = line([group, &coordinator, &state.protocol_data, &state.group_state, &count]);
    exactly(&(titles + &row))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_begin_with_a_line_end_and_have_none() {
        let row = ["g", "t", "0", "3", "10", "7", "-", "-", "-"].map(str::to_owned);
        let text = offset_table(&[row]);
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[2],
            "g               t               0          3               10              7               -               -               -"
        );
        let places = BTreeSet::from([("t".to_owned(), 0), ("t".to_owned(), 10), ("a".to_owned(), 2)]);
        assert_eq!(ranges(&places), "(0,10), (2)");
    }
}
