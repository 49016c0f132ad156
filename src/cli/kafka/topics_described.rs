//! What `kafka-topics --describe` prints: a line a topic, a line a partition, or only the partitions that are in trouble.
//!
//! Columns and tabs are `TopicCommand`'s of Kafka 3.9; brokers with ZooKeeper know no eligible leader replicas, for
//! which it prints `N/A`.

use std::collections::BTreeMap;

use super::super::admin::{self, Move, Trouble};
use super::super::connect::Client;
use super::super::offsets::Place;
use super::super::output::{exactly as say, list};
use super::errors::Failure;
use super::options::Options;
use crate::config::layers::Source;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;
use crate::protocol::messages::describe_configs::DescribeConfigsResourceResult;
use crate::protocol::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};

/// The id that `--topic-id` asks for; zero asks for none.
pub fn wanted_id(options: &Options) -> Result<Option<Uuid>, Failure> {
    let Some(text) = options.value("topic-id")? else { return Ok(None) };
    let id: Uuid = text.parse().map_err(|_| {
        let bytes = text.trim_end_matches('=').len() * 3 / 4;
        Failure::argument(format!(
            "Input string `{text}` decoded as {bytes} bytes, which is not equal to the expected 16 bytes of a \
             base64-encoded UUID"
        ))
    })?;
    Ok((!id.is_zero()).then_some(id))
}

/// Prints what the options ask for of `topics`.
pub async fn describe(
    client: &mut Client,
    options: &Options,
    mut topics: Vec<MetadataResponseTopic>,
) -> Result<(), Failure> {
    if topics.is_empty() {
        return Ok(());
    }
    let report = Report::of(options, client.brokers());
    let names: Vec<String> = topics.iter().filter_map(|topic| topic.name.clone()).collect();
    let configs = admin::describe_topics_configs(client, &names, None).await?;
    let moves = match admin::moves(client).await {
        // Who may see the topics may be kept from seeing the moves; then there are none, as in Kafka's tool.
        Err(Trouble::Refused { code, .. }) if code == ErrorCode::ClusterAuthorizationFailed.code() => {
            BTreeMap::new()
        }
        moves => moves?,
    };
    for (topic, configs) in topics.iter_mut().zip(configs) {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
        let name = topic.name.clone().unwrap_or_default();
        let set: Vec<&DescribeConfigsResourceResult> = configs
            .iter()
            .filter(|config| config.config_source != Source::Default as i8 && !config.is_default)
            .collect();
        if report.topics && (!report.only_overridden || !set.is_empty()) {
            say(&topic_line(&name, topic, &set, &moves))?;
        }
        if report.only_overridden {
            continue;
        }
        let min_isr = admin::min_isr(&configs);
        for partition in &topic.partitions {
            let under_way = moves.get(&(name.clone(), partition.partition_index));
            if report.shows(partition, under_way, min_isr) {
                say(&partition_line(&name, partition, under_way))?;
            }
        }
    }
    Ok(())
}

/// Which lines are asked for.
struct Report {
    topics: bool,
    only_overridden: bool,
    under_replicated: bool,
    unavailable: bool,
    under_min_isr: bool,
    at_min_isr: bool,
    live: Vec<i32>,
}

impl Report {
    fn of(options: &Options, live: Vec<i32>) -> Report {
        let under_replicated = options.has("under-replicated-partitions");
        let unavailable = options.has("unavailable-partitions");
        let under_min_isr = options.has("under-min-isr-partitions");
        let at_min_isr = options.has("at-min-isr-partitions");
        let topics = !(under_replicated || unavailable || under_min_isr || at_min_isr);
        let only_overridden = options.has("topics-with-overrides");
        Report { topics, only_overridden, under_replicated, unavailable, under_min_isr, at_min_isr, live }
    }

    fn shows(&self, it: &MetadataResponsePartition, under_way: Option<&Move>, min_isr: usize) -> bool {
        let in_sync = it.isr_nodes.len();
        let has_leader = it.leader_id >= 0;
        self.topics
            || self.under_replicated && replication_factor(it, under_way) > in_sync
            || self.unavailable && !(has_leader && self.live.contains(&it.leader_id))
            || self.under_min_isr && (!has_leader || in_sync < min_isr)
            || self.at_min_isr && in_sync == min_isr
    }
}

/// Replicas that there shall be: those being added do not count yet.
fn replication_factor(it: &MetadataResponsePartition, under_way: Option<&Move>) -> usize {
    let still = |it: &MetadataResponsePartition, under_way: &Move| {
        it.replica_nodes.iter().any(|id| under_way.adding.contains(id) || under_way.removing.contains(id))
    };
    match under_way {
        Some(under_way) if still(it, under_way) => {
            under_way.replicas.len().saturating_sub(under_way.adding.len())
        }
        _ => it.replica_nodes.len(),
    }
}

fn topic_line(
    name: &str,
    topic: &MetadataResponseTopic,
    set: &[&DescribeConfigsResourceResult],
    moves: &BTreeMap<Place, Move>,
) -> String {
    let id = if topic.topic_id.is_zero() { String::new() } else { format!("\tTopicId: {}", topic.topic_id) };
    let first = topic.partitions.first();
    let factor = first
        .map_or(0, |first| replication_factor(first, moves.get(&(name.to_owned(), first.partition_index))));
    let pair = |config: &&DescribeConfigsResourceResult| {
        format!("{}={}", config.name, config.value.as_deref().unwrap_or("null"))
    };
    let configs = set.iter().map(pair).collect::<Vec<_>>().join(",");
    let count = topic.partitions.len();
    format!("Topic: {name}{id}\tPartitionCount: {count}\tReplicationFactor: {factor}\tConfigs: {configs}")
}

fn partition_line(name: &str, it: &MetadataResponsePartition, under_way: Option<&Move>) -> String {
    let leader = if it.leader_id < 0 { "none".to_owned() } else { it.leader_id.to_string() };
    let moving = under_way.map_or_else(String::new, |it| {
        format!("\tAdding Replicas: {}\tRemoving Replicas: {}", list(&it.adding), list(&it.removing))
    });
    format!(
        "\tTopic: {name}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}{moving}\tElr: N/A\tLastKnownElr: N/A",
        it.partition_index,
        list(&it.replica_nodes),
        list(&it.isr_nodes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(leader: i32, replicas: &[i32], isr: &[i32]) -> MetadataResponsePartition {
        MetadataResponsePartition {
            leader_id: leader,
            replica_nodes: replicas.to_vec(),
            isr_nodes: isr.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn a_move_is_shown_and_counts_what_it_adds_not_yet() {
        let amid = Move { replicas: vec![3, 1, 2], adding: vec![3], removing: vec![1] };
        let it = partition(1, &[3, 1, 2], &[1, 2]);
        assert_eq!(replication_factor(&it, Some(&amid)), 2);
        assert_eq!(
            replication_factor(&partition(3, &[4], &[4]), Some(&amid)),
            1,
            "the move has ended meanwhile"
        );
        assert_eq!(
            partition_line("t", &it, Some(&amid)),
            "\tTopic: t\tPartition: 0\tLeader: 1\tReplicas: 3,1,2\tIsr: 1,2\tAdding Replicas: 3\tRemoving Replicas: 1\tElr: N/A\tLastKnownElr: N/A"
        );
    }

    #[test]
    fn reports_pick_the_partitions_in_trouble() {
        let none = Report {
            topics: false,
            only_overridden: false,
            under_replicated: false,
            unavailable: false,
            under_min_isr: false,
            at_min_isr: false,
            live: vec![1, 2],
        };
        let well = partition(1, &[1, 2], &[1, 2]);
        let lame = partition(1, &[1, 2], &[1]);
        let dead = partition(-1, &[3], &[3]);
        let gone = partition(3, &[3], &[3]);
        let shows = |report: &Report| [&well, &lame, &dead, &gone].map(|it| report.shows(it, None, 2));
        assert_eq!(shows(&none), [false; 4]);
        assert_eq!(shows(&Report { under_replicated: true, ..none }), [false, true, false, false]);
        let none = Report {
            under_replicated: false,
            live: vec![1, 2],
            topics: false,
            only_overridden: false,
            unavailable: true,
            under_min_isr: false,
            at_min_isr: false,
        };
        assert_eq!(shows(&none), [false, false, true, true]);
        assert_eq!(
            shows(&Report { unavailable: false, under_min_isr: true, ..none }),
            [false, true, true, true]
        );
    }
}
