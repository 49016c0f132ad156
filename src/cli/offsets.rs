//! Offsets of partitions at their ends or at a time, asked of their leaders.
//!
//! Knows nothing of groups. Source: `AdminClient.listOffsets`.

use std::collections::BTreeMap;

use super::connect::{Client, Patience};
use super::explain::{explain, passes};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::ListOffsetsRequest;
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};

/// A topic and a partition of it.
pub type Place = (String, i32);

/// Which offset is meant (the timestamps of ListOffsets).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum End {
    /// The first kept.
    Earliest = -2,
    /// The next to be written; under read committed the last stable.
    Latest = -1,
}

/// Where reading or a group is to start.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum From {
    /// One of the ends.
    End(End),
    /// This offset in every partition.
    Offset(i64),
}

/// Reads `earliest`, `latest` or an offset.
pub fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::End(End::Earliest)),
        "latest" => Ok(From::End(End::Latest)),
        _ => match text.parse() {
            Ok(offset) if offset >= 0 => Ok(From::Offset(offset)),
            _ => Err("write earliest, latest or an offset from 0".into()),
        },
    }
}

/// The leader of each partition of the topics named; partitions without one are an error once patience ends.
pub async fn leaders(client: &mut Client, topics: &[String]) -> Result<BTreeMap<Place, i32>, String> {
    let patience = Patience::usual();
    loop {
        let (mut leaders, mut without) = (BTreeMap::new(), None);
        for topic in client.metadata(Some(topics)).await?.topics {
            let name = topic.name.unwrap_or_default();
            if topic.error_code != 0 && !passes(topic.error_code) {
                return Err(explain(topic.error_code, None, &format!("topic {name}")));
            }
            for partition in topic.partitions {
                if partition.leader_id < 0 {
                    without = Some(format!("partition {}-{}", name, partition.partition_index));
                }
                leaders.insert((name.clone(), partition.partition_index), partition.leader_id);
            }
            if topic.error_code != 0 {
                without = Some(format!("topic {name}"));
            }
        }
        match without {
            Some(_) if patience.wait().await => {}
            Some(what) => return Err(explain(ErrorCode::LeaderNotAvailable.code(), None, &what)),
            None => return Ok(leaders),
        }
    }
}

/// The offset at one end of each partition.
pub async fn ends(
    client: &mut Client,
    places: &[Place],
    end: End,
    committed: bool,
) -> Result<BTreeMap<Place, i64>, String> {
    let found = at(client, places, end as i64, committed).await?;
    found.into_iter().map(|(place, offset)| offset.map(|offset| (place, offset))).collect()
}

/// The offset of each partition for a timestamp: the first record at or after it, -1 if there is none; or one of the
/// special ones of ListOffsets. A partition that does not answer in time has the sentence that says why.
pub async fn at(
    client: &mut Client,
    places: &[Place],
    timestamp: i64,
    committed: bool,
) -> Result<BTreeMap<Place, Result<i64, String>>, String> {
    let patience = Patience::usual();
    let mut topics: Vec<String> = places.iter().map(|place| place.0.clone()).collect();
    topics.sort();
    topics.dedup();
    let mut found = BTreeMap::new();
    if places.is_empty() {
        return Ok(found);
    }
    loop {
        let mut open = BTreeMap::new();
        let mut by_leader: BTreeMap<i32, Vec<&Place>> = BTreeMap::new();
        let leaders = known_leaders(client, &topics).await?;
        for place in places {
            if found.contains_key(place) {
                continue;
            }
            match leaders.get(place) {
                None => drop(found.insert(place.clone(), Err(missing(place)))),
                Some(-1) => {
                    drop(open.insert(place.clone(), failed(ErrorCode::LeaderNotAvailable.code(), place)))
                }
                Some(leader) => by_leader.entry(*leader).or_default().push(place),
            }
        }
        for (leader, places) in by_leader {
            let answer = match client.broker(leader, i16::MAX, &request(&places, timestamp, committed)).await
            {
                Ok(answer) => answer,
                Err(error) => {
                    open.extend(places.into_iter().map(|place| (place.clone(), error.clone())));
                    continue;
                }
            };
            for topic in answer.topics {
                for partition in topic.partitions {
                    let place = (topic.name.clone(), partition.partition_index);
                    match partition.error_code {
                        0 => drop(found.insert(place, Ok(partition.offset))),
                        code if passes(code) => drop(open.insert(place.clone(), failed(code, &place))),
                        code => drop(found.insert(place.clone(), Err(failed(code, &place)))),
                    }
                }
            }
        }
        if open.is_empty() && found.len() < places.len() {
            return Err("a broker left out a partition; try again".into());
        }
        if open.is_empty() || !patience.wait().await {
            found.extend(open.into_iter().map(|(place, why)| (place, Err(why))));
            return Ok(found);
        }
    }
}

/// The leaders that the cluster knows now, -1 where there is none.
pub async fn known_leaders(client: &mut Client, topics: &[String]) -> Result<BTreeMap<Place, i32>, String> {
    let mut leaders = BTreeMap::new();
    for topic in client.metadata(Some(topics)).await?.topics {
        let name = topic.name.unwrap_or_default();
        let partitions = topic.partitions.iter();
        leaders.extend(partitions.map(|p| ((name.clone(), p.partition_index), p.leader_id.max(-1))));
    }
    Ok(leaders)
}

fn failed(code: i16, place: &Place) -> String {
    explain(code, None, &format!("partition {}-{}", place.0, place.1))
}

/// The sentence about a partition that is not there.
pub fn missing(place: &Place) -> String {
    format!("topic {} has no partition {}; see `ottla topics describe {}`", place.0, place.1, place.0)
}

fn request(places: &[&Place], timestamp: i64, committed: bool) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (topic, index) in places {
        if topics.last().is_none_or(|last| last.name != *topic) {
            topics.push(ListOffsetsTopic { name: topic.clone(), ..Default::default() });
        }
        let partition = ListOffsetsPartition { partition_index: *index, timestamp, ..Default::default() };
        if let Some(last) = topics.last_mut() {
            last.partitions.push(partition);
        }
    }
    ListOffsetsRequest { replica_id: -1, isolation_level: i8::from(committed), topics, ..Default::default() }
}
