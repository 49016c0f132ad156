//! The commands of the transcripts.
//!
//! `verb [who] key=value.. words..`; the group is `g` unless `group=` says otherwise. A member id made by the shard,
//! `a-00000000-..-000000000007`, is written `a-7`. Time in front of a line is shown when the clock has moved.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use ottla::clock::Timestamp;
use ottla::coordinator::group::{
    Command, CommitPartition, CommitTopic, GroupConfig, Heartbeat, JoinGroup, LeaveGroup, LeavingMember,
    ListGroups, OffsetCommit, OffsetDelete, OffsetFetch, Protocol, SyncGroup,
};
use ottla::coordinator::shard::Ticket;
use ottla::protocol::ids::Uuid;

use super::bench::Bench;
use super::print;

const UUID_START: &str = "-00000000-0000-0000-0000-";

/// A bench, and who waits for which ticket.
pub struct Stage {
    pub bench: Bench,
    names: HashMap<Ticket, String>,
    fresh: u8,
    logged: usize,
}

impl Default for Stage {
    fn default() -> Stage {
        Stage { bench: Bench::new(GroupConfig::default()), names: HashMap::new(), fresh: 0, logged: 0 }
    }
}

/// A command line taken apart.
struct Words<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    words: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Words<'a> {
        let mut found = Words { pairs: Vec::new(), words: Vec::new() };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) if !key.contains(':') => found.pairs.push((key, value)),
                _ => found.words.push(word),
            }
        }
        found
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn option(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    fn number<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{key}={text}"));
        self.get(key).map_or(default, parse)
    }

    fn group(&self) -> String {
        self.get("group").unwrap_or("g").to_owned()
    }

    fn member(&self, key: &str) -> String {
        self.get(key).map(long_id).unwrap_or_default()
    }

    /// `t:0 t:1 u:0` by topic.
    fn partitions(&self) -> Vec<(std::sync::Arc<str>, Vec<i32>)> {
        let mut topics: Vec<(std::sync::Arc<str>, Vec<i32>)> = Vec::new();
        for (topic, index) in self.words.iter().filter_map(|word| word.split_once(':')) {
            let index = index.parse().expect("a partition");
            match topics.last_mut() {
                Some((name, partitions)) if &**name == topic => partitions.push(index),
                _ => topics.push((topic.into(), vec![index])),
            }
        }
        topics
    }
}

/// `a-7` as the shard spells it.
fn long_id(short: &str) -> String {
    match short.rsplit_once('-').map(|(prefix, number)| (prefix, number.parse::<u8>())) {
        Some((prefix, Ok(number))) => format!("{prefix}{UUID_START}0000000000{number:02x}"),
        _ => short.to_owned(),
    }
}

/// The reverse of [`long_id`], anywhere in a text.
fn shorten(text: &str) -> String {
    let mut parts = text.split(UUID_START);
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let number = u8::from_str_radix(&part[10..12], 16).expect("a short id");
        short += &format!("-{number}{}", &part[12..]);
    }
    short
}

/// A consumer's subscription, version 0.
fn subscription(topics: &str) -> Bytes {
    let topics: Vec<&str> = topics.split(',').collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

impl Stage {
    /// Runs one line and returns what it printed.
    pub fn run(&mut self, line: &str) -> String {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words::of(rest);
        let start_ms = self.bench.steady_ms;
        let mut printed = match verb {
            "sleep" | "hold" | "release" | "refuse" | "marker" | "fail-over" | "config" | "clock" => {
                self.world(verb, &words);
                String::new()
            }
            "log" => self.log(),
            _ => {
                let command = self.command(verb, &words);
                let who = words.words.first().filter(|word| !word.contains(':')).copied().unwrap_or_default();
                let ticket = self.bench.send(command);
                self.names.insert(ticket, format!("{verb} {who}").trim_end().to_owned());
                if self.bench.is_open(ticket) { format!("{verb} {who} ..\n") } else { String::new() }
            }
        };
        for (at_ms, ticket, reply) in std::mem::take(&mut self.bench.answered) {
            let time = if at_ms > start_ms { format!("+{} ", at_ms - start_ms) } else { String::new() };
            printed += &format!("{time}{}: {}\n", self.names[&ticket], print::reply(&reply));
        }
        shorten(&printed)
    }

    /// What happens around the shard.
    fn world(&mut self, verb: &str, words: &Words<'_>) {
        let first = words.words.first().copied();
        let number = || first.expect("a number").parse::<i64>().expect("a number");
        match verb {
            "sleep" => self.bench.sleep(number()),
            // The wall clock jumps; the steady one does not.
            "clock" => self.bench.wall_ms += number(),
            "hold" => self.bench.hold = true,
            "release" => {
                self.bench.hold = first.is_some();
                self.bench
                    .commit(first.map_or(self.bench.log.len() as i64, |up_to| up_to.parse().expect("HW")));
            }
            "refuse" => self.bench.refuse = first.map(print::code),
            "marker" => self.bench.marker(words.number("producer", 1), first == Some("commit")),
            "fail-over" => self.bench.fail_over(words.number("lost", 0)),
            "config" => {
                let mut config = GroupConfig::default();
                config.max_size = words.number("max_size", config.max_size);
                config.initial_rebalance_delay_ms = words.number("delay", config.initial_rebalance_delay_ms);
                config.max_offset_metadata = words.number("max_metadata", config.max_offset_metadata);
                config.offsets_retention_ms = words.number("retention", config.offsets_retention_ms);
                self.bench.config = config;
                self.bench.fail_over(0);
            }
            other => panic!("unknown {other}"),
        }
    }

    fn log(&mut self) -> String {
        let new = self.bench.log.iter().enumerate().skip(self.logged);
        let lines = new.map(|(offset, entry)| print::entry(offset, entry)).collect();
        self.logged = self.bench.log.len();
        lines
    }

    fn command(&mut self, verb: &str, words: &Words<'_>) -> Command {
        match verb {
            "join" => Command::JoinGroup(self.join(words)),
            "sync" => Command::SyncGroup(sync(words)),
            "heartbeat" => Command::Heartbeat(Heartbeat {
                group_id: words.group(),
                generation_id: words.number("gen", -1),
                member_id: words.member("id"),
                group_instance_id: words.option("instance"),
            }),
            "leave" => Command::LeaveGroup(leave(words)),
            "commit" => Command::OffsetCommit(commit(words)),
            "fetch" => {
                let topics = Some(words.partitions()).filter(|topics| !topics.is_empty());
                let require_stable = words.words.contains(&"stable");
                Command::OffsetFetch(OffsetFetch { group_id: words.group(), topics, require_stable })
            }
            "offset-delete" => {
                Command::OffsetDelete(OffsetDelete { group_id: words.group(), topics: words.partitions() })
            }
            "describe" => Command::DescribeGroup(words.group()),
            "list" => {
                let list = |key| words.get(key).map(str::to_owned).into_iter().collect();
                Command::ListGroups(ListGroups { states: list("state"), types: list("type") })
            }
            "delete" => Command::DeleteGroup(words.group()),
            "topics-deleted" => {
                Command::TopicsDeleted(words.words.iter().map(|name| (*name).into()).collect())
            }
            "expire" => Command::ExpireOffsets,
            other => panic!("unknown {other}"),
        }
    }

    /// `join a v=5 id= instance= protocols=range:meta,roundrobin:meta topics=t,u session= rebalance=`.
    fn join(&mut self, words: &Words<'_>) -> JoinGroup {
        let version: i32 = words.number("v", 9);
        let instance = words.option("instance");
        let mut fresh_id = Uuid::ZERO;
        if words.get("id").is_none() {
            self.fresh += 1;
            fresh_id.0[15] = self.fresh;
        }
        let topics = words.get("topics").map(subscription);
        let protocol = |text: &str| {
            let (name, metadata) = text.split_once(':').unwrap_or((text, ""));
            let metadata = topics.clone().unwrap_or(Bytes::copy_from_slice(metadata.as_bytes()));
            Protocol { name: name.into(), metadata }
        };
        let protocols = words.get("protocols").unwrap_or("range").split(',').filter(|text| !text.is_empty());
        JoinGroup {
            group_id: words.group(),
            member_id: words.member("id"),
            require_known_member_id: version >= 4 && instance.is_none(),
            group_instance_id: instance,
            supports_skip_assignment: version >= 9,
            client_id: words.words[0].to_owned(),
            client_host: "/10.0.0.1".to_owned(),
            rebalance_timeout_ms: words.number("rebalance", 60_000),
            session_timeout_ms: words.number("session", 10_000),
            protocol_type: words.get("type").unwrap_or("consumer").to_owned(),
            protocols: protocols.map(protocol).collect(),
            fresh_id,
        }
    }
}

/// `sync a id= gen= assign=a-1:x,b-2:y protocol= type= v=5`.
fn sync(words: &Words<'_>) -> SyncGroup {
    let share = |text: &str| {
        let (id, share) = text.split_once(':').expect("member:assignment");
        (long_id(id), Bytes::copy_from_slice(share.as_bytes()))
    };
    SyncGroup {
        group_id: words.group(),
        generation_id: words.number("gen", -1),
        member_id: words.member("id"),
        group_instance_id: words.option("instance"),
        require_protocol: words.number("v", 3) >= 5,
        protocol_type: words.option("type"),
        protocol_name: words.option("protocol"),
        assignments: words.get("assign").into_iter().flat_map(|all| all.split(',').map(share)).collect(),
    }
}

/// `leave who a-1 b-2/instance /instance`.
fn leave(words: &Words<'_>) -> LeaveGroup {
    let member = |word: &&str| {
        let (id, instance) =
            word.split_once('/').map_or((*word, None), |(id, instance)| (id, Some(instance)));
        LeavingMember { member_id: long_id(id), group_instance_id: instance.map(str::to_owned) }
    };
    LeaveGroup { group_id: words.group(), members: words.words.iter().skip(1).map(member).collect() }
}

/// `commit a id= gen= retention= producer= t:0=5 t:1=7@3/note`.
fn commit(words: &Words<'_>) -> OffsetCommit {
    let mut topics: Vec<CommitTopic> = Vec::new();
    for (key, value) in words.words.iter().filter_map(|word| word.split_once('=')) {
        let (topic, index) = key.split_once(':').expect("topic:partition");
        let (value, note) = value.split_once('/').map_or((value, None), |(value, note)| (value, Some(note)));
        let (offset, epoch) = value.split_once('@').unwrap_or((value, "-1"));
        let partition = CommitPartition {
            partition: index.parse().expect("a partition"),
            offset: offset.parse().expect("an offset"),
            leader_epoch: epoch.parse().expect("an epoch"),
            metadata: note.map(str::to_owned),
            commit_timestamp: words.get("at").map(|at| Timestamp(at.parse().expect("a time"))),
        };
        match topics.iter_mut().find(|known| &*known.name == topic) {
            Some(known) => known.partitions.push(partition),
            None => topics.push(CommitTopic { name: topic.into(), partitions: vec![partition] }),
        }
    }
    OffsetCommit {
        group_id: words.group(),
        generation_id: words.number("gen", -1),
        member_id: words.member("id"),
        group_instance_id: words.option("instance"),
        retention_ms: words.get("retention").map(|text| text.parse().expect("milliseconds")),
        transaction: words.get("producer").map(|text| (text.parse().expect("an id"), 0)),
        topics,
    }
}
