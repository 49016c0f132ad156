//! Every znode a real Kafka 3.9.2 wrote (tests/fixtures) is read and written back: to the same JSON values always,
//! to the same bytes where Kafka's key order is fixed.

#![expect(clippy::unwrap_used, reason = "a test says what it expected by panicking")]

use std::collections::BTreeMap;
use std::io::Read as _;

use ottla_zk::znode::acl::{PatternType, ResourcePattern};
use ottla_zk::znode::broker::{BrokerFormat, BrokerRegistration};
use ottla_zk::znode::config::{self, ConfigEntity, ConfigNode};
use ottla_zk::znode::controller::{self, ControllerNode};
use ottla_zk::znode::feature::FeatureNode;
use ottla_zk::znode::partition::PartitionState;
use ottla_zk::znode::producer_ids::ProducerIdBlock;
use ottla_zk::znode::scram::ScramCredential;
use ottla_zk::znode::topic::TopicNode;
use ottla_zk::znode::{acl, cluster, top_level};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/sample.tar.gz");

/// The content of one file in the sample: a tar archive is 512-byte headers, each followed by its file, padded.
fn sample_file(name: &str) -> String {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(SAMPLE).unwrap()).read_to_end(&mut tar).unwrap();
    let mut rest = &tar[..];
    while rest.len() >= 512 && rest[0] != 0 {
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&rest[range]).replace('\0', " ");
        let size = usize::from_str_radix(text(124..136).trim(), 8).unwrap();
        if text(0..100).trim().trim_start_matches("./") == name {
            return String::from_utf8(rest[512..512 + size].to_vec()).unwrap();
        }
        rest = &rest[512 + size.div_ceil(512) * 512..];
    }
    panic!("{name} is not in the sample");
}

/// Path and content of every znode with content.
fn znodes(file: &str) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let data = line["data"].as_str().unwrap_or_default().to_owned();
        (line["path"].as_str().unwrap().to_owned(), data)
    };
    sample_file(file).lines().map(parse).filter(|(_, data)| !data.is_empty()).collect()
}

/// Which type, what we write back, and whether its bytes must be the same.
fn round_trip(path: &str, data: &[u8]) -> (&'static str, Vec<u8>, bool) {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts[..] {
        ["brokers", "ids", id] => {
            let node = BrokerRegistration::decode(id.parse().unwrap(), data).unwrap();
            ("broker", node.encode(BrokerFormat::V5), true)
        }
        ["brokers", "topics", topic] => ("topic", TopicNode::decode(topic, data).unwrap().encode(), true),
        ["brokers", "topics", topic, "partitions", partition, "state"] => (
            "partition",
            PartitionState::decode(topic, partition.parse().unwrap(), data).unwrap().encode(),
            true,
        ),
        ["cluster", "id"] => ("cluster", cluster::encode(&cluster::decode(data).unwrap()), true),
        ["config", "changes", _] => {
            let entity = config::decode_change(path, data).unwrap().unwrap();
            ("config change", config::encode_change(&entity), true)
        }
        ["config", ..] => {
            let entity = ConfigEntity::from_entity_path(path.strip_prefix("/config/").unwrap()).unwrap();
            assert_eq!(entity.path(), path);
            let node = ConfigNode::decode(path, data).unwrap();
            if let Some(credential) = node.config.get("SCRAM-SHA-256") {
                assert_eq!(&ScramCredential::decode(credential).unwrap().encode(), credential);
            }
            // Kafka writes a config in the order of a hash map.
            ("config", node.encode(), node.config.len() < 2)
        }
        ["controller"] => ("controller", ControllerNode::decode(data).unwrap().encode(), true),
        ["controller_epoch"] => {
            ("controller epoch", controller::encode_epoch(controller::decode_epoch(data).unwrap()), true)
        }
        ["feature"] => ("feature", FeatureNode::decode(data).unwrap().encode(), true),
        ["kafka-acl-changes", _] => {
            let pattern = ResourcePattern::decode_change(PatternType::Literal, path, data).unwrap();
            ("acl change", pattern.encode_change(), true)
        }
        ["kafka-acl-extended-changes", _] => {
            let pattern = ResourcePattern::decode_change(PatternType::Prefixed, path, data).unwrap();
            ("acl change", pattern.encode_change(), true)
        }
        ["kafka-acl", ..] | ["kafka-acl-extended", ..] => {
            ("acl", acl::encode(&acl::decode(path, data).unwrap()), true)
        }
        ["latest_producer_id_block"] => {
            ("producer ids", ProducerIdBlock::decode(data).unwrap().unwrap().encode(), true)
        }
        _ => panic!("no type for {path}"),
    }
}

#[test]
fn what_kafka_wrote_is_written_back() {
    for (file, brokers) in [("znodes-running.jsonl", 1), ("znodes-stopped.jsonl", 0)] {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (path, data) in znodes(file) {
            let (kind, written, exact) = round_trip(&path, data.as_bytes());
            *counts.entry(kind).or_default() += 1;
            let written = String::from_utf8(written).unwrap();
            if exact {
                assert_eq!(written, data, "{path}");
            } else {
                let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
                assert_eq!(json(&written), json(&data), "{path}");
            }
        }
        println!("{file}: {counts:?}");
        assert_eq!(counts.get("broker").copied().unwrap_or(0), brokers);
        assert_eq!(counts["topic"], 13);
        assert!(counts["partition"] > 12 && counts["config"] > 12 && counts["acl"] == 2);
        assert_eq!(counts["acl change"], 2);
    }
}

#[test]
fn what_kafka_creates_at_start_is_created_by_us() {
    let lines = sample_file("znodes-running.jsonl");
    for path in top_level::PERSISTENT.iter().map(|path| path.to_string()).chain(top_level::acl_paths()) {
        assert!(lines.contains(&format!("{{\"path\": \"{path}\"")), "Kafka does not have {path}");
    }
}

#[test]
fn cut_and_twisted_nodes_are_errors_never_panics() {
    let nodes = znodes("znodes-running.jsonl");
    let mut refused = 0;
    for (path, data) in nodes.iter().filter(|(_, data)| data.starts_with('{')) {
        for cut in 0..data.len() {
            let twisted = [&data[..cut], "\u{0}", &data[cut + 1..]].concat();
            for bad in [&data[..cut], &twisted] {
                let outcome = std::panic::catch_unwind(|| decode_quietly(path, bad.as_bytes()));
                refused += usize::from(!outcome.expect("decoding panicked"));
            }
        }
    }
    assert!(refused > 1_000);
}

/// Whether the node was readable.
fn decode_quietly(path: &str, data: &[u8]) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts[..] {
        ["brokers", "ids", _] => BrokerRegistration::decode(1, data).is_ok(),
        ["brokers", "topics", topic] => TopicNode::decode(topic, data).is_ok(),
        ["brokers", "topics", topic, ..] => PartitionState::decode(topic, 0, data).is_ok(),
        ["config", "changes", _] => config::decode_change(path, data).is_ok(),
        ["config", ..] => ConfigNode::decode(path, data).is_ok(),
        ["controller"] => ControllerNode::decode(data).is_ok(),
        ["feature"] => FeatureNode::decode(data).is_ok(),
        ["latest_producer_id_block"] => ProducerIdBlock::decode(data).is_ok(),
        ["cluster", ..] => cluster::decode(data).is_ok(),
        _ => acl::decode(path, data).is_ok(),
    }
}
