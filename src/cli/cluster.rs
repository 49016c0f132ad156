//! `ottla cluster`: the brokers, the controller, and how the partitions are.
//!
//! Everything is what one broker's metadata says, but for `min.insync.replicas`, which is asked for. Source:
//! `kafka-broker-api-versions.sh`, `kafka-topics.sh --under-replicated-partitions` and its neighbours.

use std::collections::{BTreeMap, HashMap};

use clap::Args;
use serde_json::json;

use super::admin;
use super::connect::{self, Bootstrap, Client};
use super::output::{Output, count, print, table};
use crate::protocol::messages::MetadataResponse;
use crate::protocol::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};

/// Partitions in trouble that are named; the JSON names all.
const SHOWN: usize = 20;

/// `ottla cluster`.
#[derive(Debug, Args)]
pub struct Cluster {
    #[command(flatten)]
    at: Bootstrap,
    #[command(flatten)]
    output: Output,
}

/// Partitions in some kind of trouble, `topic-index`.
#[derive(Default)]
struct Trouble {
    partitions: usize,
    under_replicated: Vec<String>,
    under_min_isr: Vec<String>,
    offline: Vec<String>,
}

/// What a broker has: partitions led, replicas held.
type Load = BTreeMap<i32, (usize, usize)>;

impl Cluster {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        connect::run(async {
            let mut client = Client::connect(&self.at).await?;
            let metadata = client.metadata(None).await?;
            let min_isr = min_isr(&mut client, &metadata.topics).await?;
            show(&self.output, &metadata, &min_isr)
        })
    }
}

/// `min.insync.replicas` of each topic.
async fn min_isr(
    client: &mut Client,
    topics: &[MetadataResponseTopic],
) -> Result<HashMap<String, usize>, String> {
    let names: Vec<String> = topics.iter().filter_map(|topic| topic.name.clone()).collect();
    let all = admin::describe_topics_configs(client, &names, Some(admin::MIN_ISR)).await;
    let all = all.map_err(|trouble| trouble.explain("configuration of the topics"))?;
    Ok(names.into_iter().zip(all).map(|(name, configs)| (name, admin::min_isr(&configs))).collect())
}

fn look(metadata: &MetadataResponse, min_isr: &HashMap<String, usize>) -> (Trouble, Load) {
    let (mut trouble, mut load) = (Trouble::default(), Load::new());
    for topic in &metadata.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        let enough = min_isr.get(name).copied().unwrap_or(1);
        for partition in &topic.partitions {
            let MetadataResponsePartition { leader_id, replica_nodes, isr_nodes, .. } = partition;
            load.entry(*leader_id).or_default().0 += 1;
            replica_nodes.iter().for_each(|id| load.entry(*id).or_default().1 += 1);
            let named = || format!("{name}-{}", partition.partition_index);
            trouble.partitions += 1;
            if isr_nodes.len() < replica_nodes.len() {
                trouble.under_replicated.push(named());
            }
            if isr_nodes.len() < enough {
                trouble.under_min_isr.push(named());
            }
            if *leader_id < 0 {
                trouble.offline.push(named());
            }
        }
    }
    (trouble, load)
}

fn show(
    output: &Output,
    metadata: &MetadataResponse,
    min_isr: &HashMap<String, usize>,
) -> Result<(), String> {
    let (trouble, load) = look(metadata, min_isr);
    let cluster = metadata.cluster_id.as_deref().unwrap_or("unknown");
    let mut brokers: Vec<_> = metadata.brokers.iter().collect();
    brokers.sort_by_key(|broker| broker.node_id);
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for broker in brokers {
        let (leads, replicas) = load.get(&broker.node_id).copied().unwrap_or_default();
        let endpoint = format!("{}:{}", broker.host, broker.port);
        let is_controller = broker.node_id == metadata.controller_id;
        json.push(json!({
            "id": broker.node_id, "endpoint": endpoint, "rack": broker.rack, "controller": is_controller,
            "leads": leads, "replicas": replicas,
        }));
        rows.push(vec![
            broker.node_id.to_string(),
            endpoint,
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            leads.to_string(),
            replicas.to_string(),
            if is_controller { "controller" } else { "" }.to_owned(),
        ]);
    }
    if output.is_json() {
        return output.line(
            "",
            json!({
                "cluster_id": cluster, "controller": metadata.controller_id, "brokers": json,
                "topics": metadata.topics.len(), "partitions": trouble.partitions,
                "under_replicated": trouble.under_replicated, "under_min_isr": trouble.under_min_isr,
                "offline": trouble.offline,
            }),
        );
    }
    let columns = [
        ("BROKER", true),
        ("ENDPOINT", false),
        ("RACK", false),
        ("LEADS", true),
        ("REPLICAS", true),
        ("ROLE", false),
    ];
    let (topics, partitions) = (count(metadata.topics.len() as u64, "topic"), trouble.partitions as u64);
    print(&format!(
        "cluster {cluster}: {}, {topics}, {}\n\n{}\n\n{}",
        count(metadata.brokers.len() as u64, "broker"),
        count(partitions, "partition"),
        table(&columns, rows),
        troubles(&trouble),
    ))
}

fn troubles(trouble: &Trouble) -> String {
    let kinds = [
        ("under-replicated", &trouble.under_replicated),
        ("under min ISR", &trouble.under_min_isr),
        ("offline", &trouble.offline),
    ];
    let row = |(kind, partitions): (&str, &Vec<String>)| {
        let mut names = partitions.iter().take(SHOWN).cloned().collect::<Vec<String>>().join(" ");
        if partitions.len() > SHOWN {
            names += " ..";
        }
        vec![kind.to_owned(), partitions.len().to_string(), names]
    };
    table(&[("PARTITIONS", false), ("COUNT", true), ("WHICH", false)], kinds.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_in_trouble_are_counted() {
        let partition = |index, leader_id, isr: &[i32]| MetadataResponsePartition {
            partition_index: index,
            leader_id,
            replica_nodes: vec![1, 2, 3],
            isr_nodes: isr.to_vec(),
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("t".into()),
            partitions: vec![partition(0, 1, &[1, 2, 3]), partition(1, 2, &[2, 3]), partition(2, -1, &[3])],
            ..Default::default()
        };
        let metadata = MetadataResponse { topics: vec![topic], ..Default::default() };
        let (trouble, load) = look(&metadata, &HashMap::from([("t".to_owned(), 2)]));
        assert_eq!(trouble.under_replicated, ["t-1", "t-2"]);
        assert_eq!(
            (trouble.under_min_isr, trouble.offline),
            (vec!["t-2".to_owned()], vec!["t-2".to_owned()])
        );
        assert_eq!((load[&1], load[&3], trouble.partitions), ((1, 3), (0, 3), 3));
    }
}
