//! The throttles of `kafka-reassign-partitions`: which replicas of a topic are slowed down, and to what rate brokers are.
//!
//! Source: `ReassignPartitionsCommand.{calculateProposedMoveMap, calculateLeaderThrottles, clearAllThrottles}` of 3.9.

use std::collections::{BTreeMap, BTreeSet};

use super::super::admin::{self, Change, Move, resource};
use super::super::connect::Client;
use super::super::offsets::Place;
use super::super::output::{exactly as say, list};
use super::super::plan::Entry;
use super::errors::Failure;
use super::reassign::{Replicas, wrapped};
use super::reassign_dirs::Dirs;

const LEADERS: &str = "leader.replication.throttled.replicas";
const FOLLOWERS: &str = "follower.replication.throttled.replicas";
const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const DIRECTORY_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// Where a partition's data come from and go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    from: BTreeSet<i32>,
    to: BTreeSet<i32>,
}

/// All flows there will be, by topic and partition: those under way, and those of the plan.
pub fn flows(
    moves: &BTreeMap<Place, Move>,
    proposed: &Replicas,
    current: &Replicas,
) -> BTreeMap<Place, Flow> {
    let mut flows: BTreeMap<Place, Flow> = BTreeMap::new();
    for (place, it) in moves {
        let to: BTreeSet<i32> = it.adding.iter().copied().collect();
        let from = it.replicas.iter().copied().filter(|id| !to.contains(id)).collect();
        flows.insert(place.clone(), Flow { from, to });
    }
    for (place, replicas) in proposed {
        let resting = || current.get(place).into_iter().flatten().copied().collect();
        let from = flows.get(place).map_or_else(resting, |flow| flow.from.clone());
        let to = replicas.iter().copied().filter(|id| !from.contains(id)).collect();
        flows.insert(place.clone(), Flow { from, to });
    }
    flows
}

/// For each topic the replicas whose leaders, and those whose followers, are slowed down: `partition:broker,..`.
fn throttled(flows: &BTreeMap<Place, Flow>) -> BTreeMap<&str, (String, String)> {
    let mut topics: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for ((topic, index), flow) in flows {
        let (leaders, followers) = topics.entry(topic).or_default();
        leaders.extend(flow.from.iter().map(|id| format!("{index}:{id}")));
        followers.extend(flow.to.iter().map(|id| format!("{index}:{id}")));
    }
    let text = |words: BTreeSet<String>| Vec::from_iter(words).join(",");
    topics.into_iter().map(|(topic, (from, to))| (topic, (text(from), text(to)))).collect()
}

/// Limits what the moves may use between brokers, in bytes per second.
pub async fn between_brokers(
    client: &mut Client,
    flows: &BTreeMap<Place, Flow>,
    rate: i64,
) -> Result<(), Failure> {
    for (topic, (leaders, followers)) in throttled(flows) {
        let changes: [Change; 2] = [(LEADERS.into(), Some(leaders)), (FOLLOWERS.into(), Some(followers))];
        admin::alter_configs(client, resource::TOPIC, topic, &changes).await.map_err(wrapped)?;
    }
    let brokers: BTreeSet<i32> =
        flows.values().flat_map(|flow| flow.from.iter().chain(&flow.to)).copied().collect();
    let changes: [Change; 2] =
        [LEADER_RATE, FOLLOWER_RATE].map(|key| (key.to_owned(), Some(rate.to_string())));
    of_brokers(client, brokers, &changes).await?;
    Ok(say(&format!("The inter-broker throttle limit was set to {rate} B/s"))?)
}

/// Limits what moves between directories may use, in bytes per second.
pub async fn between_directories(client: &mut Client, wished: &Dirs, rate: i64) -> Result<(), Failure> {
    let brokers = wished.keys().map(|(broker, _)| *broker).collect();
    of_brokers(client, brokers, &[(DIRECTORY_RATE.to_owned(), Some(rate.to_string()))]).await?;
    Ok(say(&format!("The replica-alter-dir throttle limit was set to {rate} B/s"))?)
}

async fn of_brokers(client: &mut Client, brokers: BTreeSet<i32>, changes: &[Change]) -> Result<(), Failure> {
    for broker in brokers {
        let name = broker.to_string();
        admin::alter_configs(client, resource::BROKER, &name, changes).await.map_err(wrapped)?;
    }
    Ok(())
}

/// Takes away every throttle of all brokers and of the plan's topics.
pub async fn clear(client: &mut Client, entries: &[Entry]) -> Result<(), Failure> {
    let mut brokers: BTreeSet<i32> = client.brokers().into_iter().collect();
    brokers.extend(entries.iter().flat_map(|entry| entry.replicas.iter().copied()));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let ids = Vec::from_iter(brokers.iter().copied());
    say(&format!("Clearing broker-level throttles on broker{} {}", plural(ids.len()), list(&ids)))?;
    let gone = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), None)).collect::<Vec<Change>>();
    of_brokers(client, brokers, &gone(&[LEADER_RATE, FOLLOWER_RATE, DIRECTORY_RATE])).await?;
    let topics: BTreeSet<&str> = entries.iter().map(|entry| entry.place.0.as_str()).collect();
    let names = Vec::from_iter(topics);
    say(&format!("Clearing topic-level throttles on topic{} {}", plural(names.len()), names.join(",")))?;
    for topic in names {
        let changes = gone(&[LEADERS, FOLLOWERS]);
        admin::alter_configs(client, resource::TOPIC, topic, &changes).await.map_err(wrapped)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flows_is_throttled_at_both_ends() {
        let place = |index| ("t".to_owned(), index);
        let under_way = Move { replicas: vec![4, 1, 2], adding: vec![4], removing: vec![1] };
        let moves = BTreeMap::from([(place(2), under_way)]);
        let proposed = Replicas::from([(place(0), vec![3, 2]), (place(1), vec![1, 2])]);
        let current = Replicas::from([(place(0), vec![1, 2]), (place(1), vec![2, 1])]);
        let flows = flows(&moves, &proposed, &current);
        assert_eq!(
            throttled(&flows),
            BTreeMap::from([("t", ("0:1,0:2,1:1,1:2,2:1,2:2".to_owned(), "0:3,2:4".to_owned()))])
        );
    }
}
