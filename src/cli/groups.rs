//! `ottla groups`: list, describe, delete, reset.
//!
//! Offsets are committed for a group only while it has no members. Source: `ConsumerGroupCommand` of Kafka's tools.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connect::{self, Bootstrap, Client};
use super::explain::explain;
use super::offsets::{self, End, From, Place};
use super::output::{Output, count, print, table};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::consumer_protocol::{ConsumerProtocolAssignment, decode};
use crate::protocol::messages::describe_groups::DescribedGroup;
use crate::protocol::messages::list_groups::ListedGroup;
use crate::protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};

/// `ottla groups`.
#[derive(Debug, Args)]
pub struct Groups {
    #[command(flatten)]
    at: Bootstrap,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All groups.
    List,
    /// Members, committed offsets and lag.
    Describe {
        /// The group.
        group: String,
    },
    /// Deletes groups without members, and their offsets.
    Delete {
        /// The groups.
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Moves the committed offsets of a group without members.
    Reset {
        /// The group.
        group: String,
        /// The topic.
        #[arg(long)]
        topic: String,
        /// earliest, latest or an offset.
        #[arg(long, value_parser = offsets::parse_from)]
        to: From,
    },
}

impl Groups {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        connect::run(async {
            let mut client = Client::connect(&self.at).await?;
            let (client, output) = (&mut client, &self.output);
            match self.action {
                Action::List => list(client, output).await,
                Action::Describe { group } => describe(client, output, &group).await,
                Action::Delete { groups } => delete(client, output, &groups).await,
                Action::Reset { group, topic, to } => reset(client, output, &group, topic, to).await,
            }
        })
    }
}

/// All groups, each with the broker that coordinates it, sorted by name.
pub async fn listed(client: &mut Client) -> Result<Vec<(ListedGroup, i32)>, String> {
    let mut groups = Vec::new();
    for broker in client.brokers() {
        let answer = client.broker(broker, i16::MAX, &ListGroupsRequest::default()).await?;
        // A broker that is still loading its groups answers with those it has.
        if answer.error_code != 0 && answer.error_code != ErrorCode::CoordinatorLoadInProgress.code() {
            return Err(explain(answer.error_code, None, &format!("groups of broker {broker}")));
        }
        groups.extend(answer.groups.into_iter().map(|group| (group, broker)));
    }
    groups.sort_by(|a, b| a.0.group_id.cmp(&b.0.group_id));
    Ok(groups)
}

async fn list(client: &mut Client, output: &Output) -> Result<(), String> {
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for (group, broker) in listed(client).await? {
        json.push(json!({
            "group": group.group_id, "state": group.group_state, "protocol_type": group.protocol_type,
            "coordinator": broker,
        }));
        rows.push(vec![group.group_id, group.group_state, group.protocol_type, broker.to_string()]);
    }
    let columns = [("GROUP", false), ("STATE", false), ("PROTOCOL", false), ("COORDINATOR", true)];
    output.rows(&columns, rows, Value::Array(json))
}

/// State and members of a group; one that is not there is `Dead`.
pub async fn state(client: &mut Client, group: &str) -> Result<DescribedGroup, String> {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    let code = |answer: &crate::protocol::messages::DescribeGroupsResponse| {
        answer.groups.first().map_or(0, |group| group.error_code)
    };
    let answer = client.group(group, i16::MAX, &request, code).await?;
    let described = answer.groups.into_iter().next().unwrap_or_default();
    match described.error_code {
        0 => Ok(described),
        code => Err(explain(code, None, &format!("group {group}"))),
    }
}

/// What a group has committed.
pub async fn committed(client: &mut Client, group: &str) -> Result<BTreeMap<Place, i64>, String> {
    let request = OffsetFetchRequest { group_id: group.to_owned(), topics: None, ..Default::default() };
    // Version 7 is the last with one group a request.
    let answer = client.group(group, 7, &request, |answer| answer.error_code).await?;
    if answer.error_code != 0 {
        return Err(explain(answer.error_code, None, &format!("group {group}")));
    }
    let mut committed = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            if partition.error_code == 0 && partition.committed_offset >= 0 {
                let place = (topic.name.clone(), partition.partition_index);
                committed.insert(place, partition.committed_offset);
            }
        }
    }
    Ok(committed)
}

async fn describe(client: &mut Client, output: &Output, group: &str) -> Result<(), String> {
    let described = state(client, group).await?;
    let committed = committed(client, group).await?;
    if described.group_state == "Dead" && committed.is_empty() {
        return Err(explain(ErrorCode::GroupIdNotFound.code(), None, &format!("group {group}")));
    }
    let mut owners = BTreeMap::new();
    for (index, member) in described.members.iter().enumerate() {
        // Members of other kinds of groups (Connect) assign other things.
        let assigned = decode::<ConsumerProtocolAssignment>(member.member_assignment.clone());
        for topic in assigned.map(|assigned| assigned.assigned_partitions).unwrap_or_default() {
            owners.extend(topic.partitions.iter().map(|p| ((topic.topic.clone(), *p), index)));
        }
    }
    let mut places: Vec<Place> = committed.keys().chain(owners.keys()).cloned().collect();
    places.sort();
    places.dedup();
    let ends = offsets::ends(client, &places, End::Latest, false).await?;
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    let text = |offset: Option<i64>| offset.map_or("-".to_owned(), |offset| offset.to_string());
    for place in &places {
        let (at, end) = (committed.get(place).copied(), ends.get(place).copied());
        let lag = at.zip(end).map(|(at, end)| (end - at).max(0));
        let member = owners.get(place).and_then(|index| described.members.get(*index));
        let id = member.map(|member| member.member_id.as_str());
        let host = member.map(|member| member.client_host.as_str());
        json.push(json!({
            "topic": place.0, "partition": place.1, "committed": at, "end": end, "lag": lag, "member": id,
        }));
        let (id, host) = (id.unwrap_or("-").to_owned(), host.unwrap_or("-").to_owned());
        rows.push(vec![place.0.clone(), place.1.to_string(), text(at), text(end), text(lag), id, host]);
    }
    if output.is_json() {
        let member = |m: &crate::protocol::messages::describe_groups::DescribedGroupMember| json!({"member": m.member_id, "client": m.client_id, "host": m.client_host});
        let members: Vec<Value> = described.members.iter().map(member).collect();
        let (state, protocol) = (&described.group_state, &described.protocol_data);
        let json = json!({
            "group": group, "state": state, "protocol": protocol, "members": members, "offsets": json,
        });
        return output.line("", json);
    }
    let protocol = Some(&described.protocol_data).filter(|protocol| !protocol.is_empty());
    let protocol = protocol.map(|protocol| format!(", protocol {protocol}")).unwrap_or_default();
    let members = count(described.members.len() as u64, "member");
    let columns = [
        ("TOPIC", false),
        ("PARTITION", true),
        ("COMMITTED", true),
        ("END", true),
        ("LAG", true),
        ("MEMBER", false),
        ("HOST", false),
    ];
    print(&format!(
        "group {group}: {}, {members}{protocol}\n{}",
        described.group_state,
        table(&columns, rows)
    ))
}

async fn delete(client: &mut Client, output: &Output, groups: &[String]) -> Result<(), String> {
    let mut failed = Vec::new();
    for group in groups {
        match delete_one(client, group).await? {
            0 => output.line(&format!("deleted group {group}"), json!({"deleted": group}))?,
            code => failed.push(explain(code, None, &format!("group {group}"))),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\nottla: ")) }
}

/// Deletes a group; the code that its coordinator answers.
pub async fn delete_one(client: &mut Client, group: &str) -> Result<i16, String> {
    let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()], ..Default::default() };
    let code = |answer: &crate::protocol::messages::DeleteGroupsResponse| {
        answer.results.first().map_or(0, |result| result.error_code)
    };
    let answer = client.group(group, i16::MAX, &request, code).await?;
    Ok(code(&answer))
}

async fn reset(
    client: &mut Client,
    output: &Output,
    group: &str,
    topic: String,
    to: From,
) -> Result<(), String> {
    let described = state(client, group).await?;
    if !described.members.is_empty() {
        return Err(explain(ErrorCode::NonEmptyGroup.code(), None, &format!("group {group}")));
    }
    let leaders = offsets::leaders(client, std::slice::from_ref(&topic)).await?;
    let places: Vec<Place> = leaders.into_keys().collect();
    let first = offsets::ends(client, &places, End::Earliest, false).await?;
    let end = offsets::ends(client, &places, End::Latest, false).await?;
    let old = committed(client, group).await?;
    let target = |place: &Place| {
        let (first, end) = (first.get(place).copied().unwrap_or(0), end.get(place).copied().unwrap_or(0));
        match to {
            From::End(End::Earliest) => first,
            From::End(End::Latest) => end,
            From::Offset(offset) => offset.clamp(first, end.max(first)),
        }
    };
    let new: BTreeMap<Place, i64> = places.iter().map(|place| (place.clone(), target(place))).collect();
    let request = commit_request(group, (-1, ""), &new);
    let answer = client.group(group, i16::MAX, &request, commit_code).await?;
    match commit_code(&answer) {
        0 => {}
        code => return Err(explain(code, None, &format!("group {group}"))),
    }
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for (place, offset) in &new {
        let before = old.get(place);
        json.push(json!({"topic": place.0, "partition": place.1, "before": before, "committed": offset}));
        let before = before.map_or("-".to_owned(), i64::to_string);
        rows.push(vec![place.0.clone(), place.1.to_string(), before, offset.to_string()]);
    }
    let columns = [("TOPIC", false), ("PARTITION", true), ("BEFORE", true), ("COMMITTED", true)];
    output.rows(&columns, rows, Value::Array(json))
}

/// The request that commits `offsets`, for a member of a generation or for nobody (-1 and no name).
pub fn commit_request(
    group: &str,
    (generation, member): (i32, &str),
    offsets: &BTreeMap<Place, i64>,
) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for ((topic, index), offset) in offsets {
        if topics.last().is_none_or(|last| last.name != *topic) {
            topics.push(OffsetCommitRequestTopic { name: topic.clone(), ..Default::default() });
        }
        let partition = OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            ..Default::default()
        };
        if let Some(last) = topics.last_mut() {
            last.partitions.push(partition);
        }
    }
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        topics,
        ..Default::default()
    }
}

/// The first error in the answer to a commit.
pub fn commit_code(answer: &crate::protocol::messages::OffsetCommitResponse) -> i16 {
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0)
}
