//! One member of a classic consumer group, subscribed to topics by name, with the range assignor.
//!
//! The owner calls [`Member::beat`] at least every few seconds and rejoins when that says so. Source:
//! `ConsumerCoordinator`, `RangeAssignor` in Kafka's clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::connect::{Client, Patience};
use super::explain::{explain, passes};
use super::groups::{commit_code, commit_request};
use super::offsets::Place;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::Message;
use crate::protocol::messages::consumer_protocol::{
    AssignedPartitions, ConsumerProtocolAssignment, ConsumerProtocolSubscription, decode,
};
use crate::protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use crate::protocol::messages::leave_group::MemberIdentity;
use crate::protocol::messages::sync_group::SyncGroupRequestAssignment;
use crate::protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use crate::protocol::wire::{WireError, Writer};

const SESSION_TIMEOUT_MS: i32 = 10_000;
/// Below the limit of an answer, since JoinGroup waits this long for the others.
const REBALANCE_TIMEOUT_MS: i32 = 15_000;
const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A member.
#[derive(Debug)]
pub struct Member {
    group: String,
    topics: Vec<String>,
    id: String,
    generation: i32,
    beaten: Instant,
}

impl Member {
    /// A member that has not joined yet.
    pub fn new(group: &str, topics: &[String]) -> Member {
        let (group, topics) = (group.to_owned(), topics.to_vec());
        Member { group, topics, id: String::new(), generation: -1, beaten: Instant::now() }
    }

    /// Enters the group, or its next generation; tells the partitions to read.
    pub async fn join(&mut self, client: &mut Client) -> Result<Vec<Place>, String> {
        let patience = Patience::new(Duration::from_secs(60));
        loop {
            let code = match self.try_join(client).await? {
                Ok(places) => return Ok(places),
                Err(code) => code,
            };
            let again = match ErrorCode::from_i16(code) {
                Some(ErrorCode::MemberIdRequired) => true,
                Some(ErrorCode::UnknownMemberId) => {
                    self.id.clear();
                    patience.wait().await
                }
                Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => patience.wait().await,
                _ => patience.wait_out(code).await,
            };
            if !again {
                return Err(self.explain(code));
            }
        }
    }

    /// One round of JoinGroup and SyncGroup; the inner error is a code.
    async fn try_join(&mut self, client: &mut Client) -> Result<Result<Vec<Place>, i16>, String> {
        let subscription = ConsumerProtocolSubscription { topics: self.topics.clone(), ..Default::default() };
        let metadata = encode(&subscription).map_err(|error| error.to_string())?;
        let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata, ..Default::default() };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let joined = client.group(&self.group, i16::MAX, &request, |answer| answer.error_code).await?;
        if joined.error_code != 0 {
            if joined.error_code == ErrorCode::MemberIdRequired.code() {
                self.id = joined.member_id;
            }
            return Ok(Err(joined.error_code));
        }
        self.id = joined.member_id.clone();
        self.generation = joined.generation_id;
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: self.assignments(client, &joined).await?,
            ..Default::default()
        };
        let synced = client.group(&self.group, i16::MAX, &request, |answer| answer.error_code).await?;
        if synced.error_code != 0 {
            return Ok(Err(synced.error_code));
        }
        self.beaten = Instant::now();
        if synced.assignment.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let assigned: ConsumerProtocolAssignment = decode(synced.assignment).map_err(|error| {
            format!("group {}: bad assignment: {error}; choose another group", self.group)
        })?;
        let places = assigned.assigned_partitions.into_iter();
        Ok(Ok(places.flat_map(|t| t.partitions.into_iter().map(move |p| (t.topic.clone(), p))).collect()))
    }

    /// The leader's work: who reads what. Empty for the others.
    async fn assignments(
        &self,
        client: &mut Client,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, String> {
        if joined.leader != self.id {
            return Ok(Vec::new());
        }
        let members: Vec<(String, Vec<String>)> = joined.members.iter().map(subscribed).collect();
        let mut topics: Vec<String> = members.iter().flat_map(|(_, topics)| topics.clone()).collect();
        topics.sort();
        topics.dedup();
        let counts = client.metadata(Some(&topics)).await?.topics.into_iter();
        let counts = counts.map(|t| (t.name.unwrap_or_default(), t.partitions.len())).collect();
        let assign = |(member_id, topics): (String, Vec<AssignedPartitions>)| {
            let assignment = ConsumerProtocolAssignment { assigned_partitions: topics, ..Default::default() };
            let assignment = encode(&assignment).map_err(|error| error.to_string())?;
            Ok(SyncGroupRequestAssignment { member_id, assignment, ..Default::default() })
        };
        range(&members, &counts).into_iter().map(assign).collect()
    }

    /// Says that the member lives, if it is time to; false if it has to join again.
    pub async fn beat(&mut self, client: &mut Client) -> Result<bool, String> {
        if self.beaten.elapsed() < BEAT_EVERY {
            return Ok(true);
        }
        self.beaten = Instant::now();
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        let answer = client.group(&self.group, i16::MAX, &request, |answer| answer.error_code).await?;
        self.goes_on(answer.error_code)
    }

    /// Commits offsets; false if the member has to join again and they may not be committed.
    pub async fn commit(&self, client: &mut Client, offsets: &BTreeMap<Place, i64>) -> Result<bool, String> {
        if offsets.is_empty() {
            return Ok(true);
        }
        let request = commit_request(&self.group, (self.generation, &self.id), offsets);
        let answer = client.group(&self.group, i16::MAX, &request, commit_code).await?;
        self.goes_on(commit_code(&answer))
    }

    /// Leaves, so that the others need not wait for the session to end.
    pub async fn leave(&self, client: &mut Client) -> Result<(), String> {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request =
            LeaveGroupRequest { group_id: self.group.clone(), members: vec![member], ..Default::default() };
        client.group(&self.group, i16::MAX, &request, |answer| answer.error_code).await.map(drop)
    }

    fn goes_on(&self, code: i16) -> Result<bool, String> {
        match ErrorCode::from_i16(code) {
            Some(ErrorCode::None) => Ok(true),
            Some(
                ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId,
            ) => Ok(false),
            _ if passes(code) => Ok(false),
            _ => Err(self.explain(code)),
        }
    }

    fn explain(&self, code: i16) -> String {
        match ErrorCode::from_i16(code) {
            Some(ErrorCode::InconsistentGroupProtocol) => format!(
                "group {}: its members use other assignors than range; choose another --group",
                self.group
            ),
            _ => explain(code, None, &format!("group {}", self.group)),
        }
    }
}

/// With its version, 0, in front.
fn encode<M: Message>(message: &M) -> Result<Bytes, WireError> {
    let mut writer = Writer::default();
    writer.put(&0i16.to_be_bytes());
    message.encode(&mut writer, 0)?;
    let mut out = BytesMut::new();
    for chunk in writer.finish()? {
        chunk.copy_to(&mut out).expect("without records there are no file regions");
    }
    Ok(out.freeze())
}

fn subscribed(member: &JoinGroupResponseMember) -> (String, Vec<String>) {
    let subscription = decode::<ConsumerProtocolSubscription>(member.metadata.clone());
    (member.member_id.clone(), subscription.map(|subscription| subscription.topics).unwrap_or_default())
}

/// Each topic's partitions in ranges, one a member, the first members one longer where it does not divide.
fn range(
    members: &[(String, Vec<String>)],
    counts: &BTreeMap<String, usize>,
) -> BTreeMap<String, Vec<AssignedPartitions>> {
    let mut assigned: BTreeMap<String, Vec<AssignedPartitions>> =
        members.iter().map(|(id, _)| (id.clone(), Vec::new())).collect();
    for (topic, count) in counts {
        let mut readers: Vec<&String> =
            members.iter().filter(|(_, topics)| topics.contains(topic)).map(|(id, _)| id).collect();
        readers.sort();
        let mut start = 0;
        for (index, id) in readers.iter().enumerate() {
            let end = start + count / readers.len() + usize::from(index < count % readers.len());
            if start < end {
                let partitions = (start as i32..end as i32).collect();
                let range = AssignedPartitions { topic: topic.clone(), partitions, ..Default::default() };
                assigned.entry((*id).clone()).or_default().push(range);
            }
            start = end;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_partition_once() {
        let member = |id: &str, topics: &[&str]| {
            (id.to_owned(), topics.iter().map(|topic| (*topic).to_owned()).collect::<Vec<_>>())
        };
        let members = [member("b", &["t"]), member("a", &["t", "u"]), member("c", &[])];
        let counts = BTreeMap::from([("t".to_owned(), 5), ("u".to_owned(), 1)]);
        let assigned = range(&members, &counts);
        let of = |id: &str| -> Vec<(String, Vec<i32>)> {
            assigned[id].iter().map(|range| (range.topic.clone(), range.partitions.clone())).collect()
        };
        assert_eq!(of("a"), [("t".to_owned(), vec![0, 1, 2]), ("u".to_owned(), vec![0])]);
        assert_eq!(of("b"), [("t".to_owned(), vec![3, 4])]);
        assert!(of("c").is_empty());
    }
}
