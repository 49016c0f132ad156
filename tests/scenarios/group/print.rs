//! Replies and records as short lines of text.

use std::fmt::Write as _;

use bytes::Bytes;
use ottla::coordinator::group::{
    Description, FetchedTopic, GroupShard, JoinGroupReply, Record, Reply, SyncGroupReply, TopicErrors,
};
use ottla::coordinator::shard::Shard;
use ottla::protocol::error_code::ErrorCode;

use super::bench::Entry;

fn text(bytes: &Bytes) -> String {
    bytes.escape_ascii().to_string()
}

/// One answer, without the line's end.
pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::JoinGroup(join) => join_group(join),
        Reply::SyncGroup(sync) => sync_group(sync),
        Reply::Heartbeat(code) | Reply::DeleteGroup(code) => code.to_string(),
        Reply::LeaveGroup(leave) => {
            let mut line = leave.error.to_string();
            for (member, error) in &leave.members {
                let instance = member.group_instance_id.as_deref().unwrap_or_default();
                write!(line, " {}/{instance}={error}", member.member_id).expect("strings take everything");
            }
            line
        }
        Reply::OffsetCommit(topics) => topic_errors(topics),
        Reply::OffsetFetch(code, topics) => format!("{code}{}", fetched(topics)),
        Reply::OffsetDelete(delete) => format!("{} {}", delete.error, topic_errors(&delete.topics)),
        Reply::DescribeGroup(description) => describe(description),
        Reply::ListGroups(code, groups) => {
            let mut line = code.to_string();
            for group in groups {
                write!(line, " {}/{}/{}", group.group_id, group.protocol_type, group.state)
                    .expect("strings take everything");
            }
            line
        }
        Reply::Removed(count) => format!("removed {count}"),
    }
}

fn join_group(join: &JoinGroupReply) -> String {
    let mut line = format!("{} member={:?}", join.error, join.member_id);
    if join.generation_id >= 0 {
        let protocol = join.protocol_name.as_deref().unwrap_or("null");
        write!(line, " gen={} {protocol} leader={:?}", join.generation_id, join.leader).expect("strings");
    }
    if join.skip_assignment {
        line += " skip-assignment";
    }
    if !join.members.is_empty() {
        let members = join.members.iter();
        let members: Vec<_> =
            members.map(|one| format!("{}:{}", one.member_id, text(&one.metadata))).collect();
        write!(line, " members=[{}]", members.join(" ")).expect("strings take everything");
    }
    line
}

fn sync_group(sync: &SyncGroupReply) -> String {
    if !sync.error.is_none() {
        return sync.error.to_string();
    }
    let protocol = sync.protocol_name.as_deref().unwrap_or("null");
    format!("{} {protocol} assignment={:?}", sync.error, text(&sync.assignment))
}

fn topic_errors(topics: &[TopicErrors]) -> String {
    let one = |topic: &TopicErrors| {
        let partitions =
            topic.partitions.iter().map(|(index, error)| format!("{}:{index}={error}", topic.name));
        partitions.collect::<Vec<_>>()
    };
    topics.iter().flat_map(one).collect::<Vec<_>>().join(" ")
}

fn fetched(topics: &[FetchedTopic]) -> String {
    let mut line = String::new();
    for (topic, one) in topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one))) {
        let note = if one.metadata.is_empty() { String::new() } else { format!("{:?}", one.metadata) };
        let error = if one.error.is_none() { String::new() } else { format!("!{}", one.error) };
        write!(line, " {}:{}={}@{}{note}{error}", topic.name, one.partition, one.offset, one.leader_epoch)
            .expect("strings take everything");
    }
    line
}

fn describe(group: &Description) -> String {
    let mut line =
        format!("{} {:?} {:?} {:?}", group.error, group.state, group.protocol_type, group.protocol);
    for one in &group.members {
        let instance = one.group_instance_id.as_deref().unwrap_or_default();
        write!(line, "\n    {}/{instance} {}{}", one.member_id, one.client_id, one.client_host)
            .expect("strings");
        write!(line, " {:?} {:?}", text(&one.metadata), text(&one.assignment)).expect("strings");
    }
    line
}

/// One entry of the log, with the line's end.
pub fn entry(offset: usize, entry: &Entry) -> String {
    let (key, value, transaction, base_sequence) = match entry {
        Entry::Marker { producer_id, commit } => {
            return format!("{offset}: marker producer={producer_id} commit={commit}\n");
        }
        Entry::Record { key, value, transaction, base_sequence } => (key, value, transaction, base_sequence),
    };
    let mut line = format!("{offset}: seq={base_sequence} ");
    if let Some((producer_id, epoch)) = transaction {
        write!(line, "txn={producer_id}/{epoch} ").expect("strings take everything");
    }
    match GroupShard::decode(key.clone(), value.clone()).expect("a readable record") {
        Some(Record::Offset { group, topic, partition, value }) => {
            write!(line, "offset {group} {topic}:{partition} ").expect("strings take everything");
            match value {
                None => line += "tombstone",
                Some(value) => write!(line, "= {} {:?}", value.offset, value.metadata).expect("strings"),
            }
        }
        Some(Record::Group { group, value: None }) => line += &format!("group {group} tombstone"),
        Some(Record::Group { group, value: Some(value) }) => {
            let (protocol, leader) = (value.protocol.as_deref(), value.leader.as_deref());
            write!(line, "group {group} gen={} {protocol:?} {leader:?}", value.generation).expect("strings");
            for one in value.members {
                write!(line, " {}:{}", one.member_id, text(&one.assignment)).expect("strings");
            }
        }
        None => line += "unknown",
    }
    line + "\n"
}

/// The code of this name.
pub fn code(name: &str) -> ErrorCode {
    let found = ErrorCode::ALL.iter().copied().find(|code| code.name() == name);
    found.unwrap_or_else(|| panic!("no error code {name}"))
}
