//! The requests of a follower, in the versions that `inter.broker.protocol.version` chooses: a fetcher asks no
//! ApiVersions (`MetadataVersion.fetchRequestVersion`, `RemoteLeaderEndPoint`).
//!
//! From 2.8 on, which is as far back as this broker goes, truncation rides on Fetch (KIP-595): OffsetForLeaderEpoch
//! is not sent.

use crate::protocol::ids::{TopicPartition, Uuid};
use crate::protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use crate::protocol::messages::{FetchRequest, ListOffsetsRequest};

use super::session::{Asked, Built};

/// The first version of Fetch that names topics by id.
const FIRST_WITH_IDS: i16 = 13;
/// The first version of Fetch that says who asks in `replica_state`.
const FIRST_WITH_STATE: i16 = 15;

/// Versions of a follower's requests.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Versions {
    fetch: i16,
    list_offsets: i16,
}

/// (release, IV) from which these versions are spoken, newest first.
const BY_PROTOCOL: &[((u32, u32, u32), Versions)] = &[
    ((3, 9, 0), Versions { fetch: 17, list_offsets: 9 }),
    ((3, 7, 4), Versions { fetch: 16, list_offsets: 8 }),
    ((3, 5, 1), Versions { fetch: 15, list_offsets: 8 }),
    ((3, 5, 0), Versions { fetch: 14, list_offsets: 8 }),
    ((3, 1, 0), Versions { fetch: 13, list_offsets: 7 }),
    ((3, 0, 1), Versions { fetch: 12, list_offsets: 7 }),
    ((2, 8, 0), Versions { fetch: 12, list_offsets: 6 }),
];

impl Versions {
    /// For an `inter.broker.protocol.version` such as `3.9`, `3.9.1` or `3.7-IV2`; `None` below 2.8. Without an IV it
    /// is the release's last.
    pub fn for_protocol(version: &str) -> Option<Versions> {
        let (release, iv) = match version.split_once("-IV") {
            Some((release, iv)) => (release, iv.parse().unwrap_or(u32::MAX)),
            None => (version, u32::MAX),
        };
        let mut numbers = release.split('.').map(|part| part.parse::<u32>().ok());
        let asked = (numbers.next()??, numbers.next()??, iv);
        BY_PROTOCOL.iter().find(|(first, _)| asked >= *first).map(|(_, versions)| *versions)
    }

    /// Whether Fetch can name topics by id.
    pub fn know_ids(self) -> bool {
        self.fetch >= FIRST_WITH_IDS
    }
}

/// What stays the same in all requests of a fetcher.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This broker.
    pub broker_id: i32,
    /// Versions.
    pub versions: Versions,
    /// `replica.fetch.wait.max.ms`.
    pub max_wait_ms: i32,
    /// `replica.fetch.min.bytes`.
    pub min_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub response_max_bytes: i32,
    /// `replica.fetch.max.bytes`.
    pub partition_max_bytes: i32,
    /// `replica.fetch.backoff.ms`.
    pub backoff_ms: i64,
}

/// What the follower asks of its leader.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Records.
    Fetch {
        /// Version to speak.
        version: i16,
        /// The request.
        request: FetchRequest,
    },
    /// The leader's log end or start.
    ListOffsets {
        /// Version to speak.
        version: i16,
        /// The request.
        request: ListOffsetsRequest,
    },
}

/// ListOffsets: the log end.
pub const LATEST: i64 = -1;
/// ListOffsets: the log start.
pub const EARLIEST: i64 = -2;

/// The Fetch for what a session says is new. `broker_epoch` is that of this broker's registration.
pub fn fetch(settings: &Settings, broker_epoch: i64, max_wait_ms: i32, built: Built) -> Request {
    let version = match built.by_id {
        true => settings.versions.fetch,
        false => settings.versions.fetch.min(FIRST_WITH_IDS - 1),
    };
    let named_as_before = |topic: &FetchTopic, tp: &TopicPartition, asked: &Asked| {
        *topic.topic == *tp.topic && topic.topic_id == asked.topic_id
    };
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (tp, asked) in &built.send {
        if !topics.last().is_some_and(|topic| named_as_before(topic, tp, asked)) {
            let (topic, topic_id) = (tp.topic.to_string(), asked.topic_id);
            topics.push(FetchTopic { topic, topic_id, ..Default::default() });
        }
        let partitions = topics.last_mut().map(|topic| &mut topic.partitions);
        partitions.into_iter().for_each(|list| list.push(partition(settings, tp, asked)));
    }
    let mut request = FetchRequest {
        max_wait_ms,
        min_bytes: settings.min_bytes,
        max_bytes: settings.response_max_bytes,
        session_id: built.session_id,
        session_epoch: built.session_epoch,
        topics,
        forgotten_topics_data: forgotten(built.forget),
        ..Default::default()
    };
    match version >= FIRST_WITH_STATE {
        true => {
            let (replica_id, replica_epoch) = (settings.broker_id, broker_epoch);
            request.replica_state = ReplicaState { replica_id, replica_epoch, ..Default::default() };
        }
        false => request.replica_id = settings.broker_id,
    }
    Request::Fetch { version, request }
}

fn partition(settings: &Settings, tp: &TopicPartition, asked: &Asked) -> FetchPartition {
    FetchPartition {
        partition: tp.partition,
        current_leader_epoch: asked.leader_epoch,
        fetch_offset: asked.fetch_offset,
        last_fetched_epoch: asked.last_epoch,
        log_start_offset: asked.log_start_offset,
        partition_max_bytes: settings.partition_max_bytes,
        ..Default::default()
    }
}

fn forgotten(forget: Vec<(TopicPartition, Uuid)>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for (tp, topic_id) in forget {
        match topics.last_mut() {
            Some(last) if *last.topic == *tp.topic && last.topic_id == topic_id => {
                last.partitions.push(tp.partition);
            }
            _ => topics.push(ForgottenTopic {
                topic: tp.topic.to_string(),
                topic_id,
                partitions: vec![tp.partition],
                ..Default::default()
            }),
        }
    }
    topics
}

/// The ListOffsets for partitions with their leader epochs, each for its [`LATEST`] or its [`EARLIEST`].
pub fn list_offsets(settings: &Settings, asked: &[(TopicPartition, i32, i64)]) -> Request {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (tp, current_leader_epoch, timestamp) in asked {
        if topics.last().is_none_or(|topic| *topic.name != *tp.topic) {
            topics.push(ListOffsetsTopic { name: tp.topic.to_string(), ..Default::default() });
        }
        let partition = ListOffsetsPartition {
            partition_index: tp.partition,
            current_leader_epoch: *current_leader_epoch,
            timestamp: *timestamp,
            ..Default::default()
        };
        topics.last_mut().into_iter().for_each(|topic| topic.partitions.push(partition.clone()));
    }
    let request = ListOffsetsRequest { replica_id: settings.broker_id, topics, ..Default::default() };
    Request::ListOffsets { version: settings.versions.list_offsets, request }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_protocol() {
        let of = |version| Versions::for_protocol(version).map(|v| (v.fetch, v.list_offsets));
        for (protocol, expected) in [
            ("3.9", Some((17, 9))),
            ("3.9-IV0", Some((17, 9))),
            ("3.9.1", Some((17, 9))),
            ("3.8", Some((16, 8))),
            ("3.7", Some((16, 8))),
            ("3.7-IV3", Some((15, 8))),
            ("3.5-IV0", Some((14, 8))),
            ("3.4", Some((13, 7))),
            ("3.1", Some((13, 7))),
            ("3.0", Some((12, 7))),
            ("3.0-IV0", Some((12, 6))),
            ("2.8-IV1", Some((12, 6))),
            ("2.7", None),
            ("x", None),
        ] {
            assert_eq!(of(protocol), expected, "{protocol}");
        }
    }
}
