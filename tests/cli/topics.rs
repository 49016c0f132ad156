//! `ottla topics`.

use serde_json::json;

use crate::support::{Dev, cells};

#[test]
fn a_topic_lives_and_dies() {
    let dev = Dev::start();
    let created = dev.run(&[
        "topics",
        "create",
        "orders",
        "--partitions",
        "2",
        "--replication-factor",
        "1",
        "--config",
        "retention.ms=3600000",
    ]);
    assert_eq!(created.text(), "created topic orders: 2 partitions, 1 replica\n");
    let table = dev.run(&["topics", "list"]).text();
    assert_eq!(cells(&table), [vec!["TOPIC", "PARTITIONS", "REPLICAS", "KIND"], vec!["orders", "2", "1"]]);

    let grown = dev.run(&["topics", "grow", "orders", "--partitions", "4"]);
    assert_eq!(grown.text(), "topic orders has 4 partitions now\n");
    let shrunk = dev.run(&["topics", "grow", "orders", "--partitions", "3"]).failure();
    assert!(shrunk.contains("topic orders") && shrunk.contains("INVALID_PARTITIONS"), "{shrunk}");

    let table = dev.run(&["topics", "describe", "orders"]).text();
    assert!(table.starts_with("topic orders  id ") && table.contains("  retention.ms=3600000\n"), "{table}");
    assert_eq!(cells(&table)[1], ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "STATE"]);
    let partitions: Vec<_> = cells(&table)[2..].iter().map(|row| (row[0], row[1], row[3], row[4])).collect();
    assert_eq!(
        partitions,
        [("0", "1", "1", "1"), ("1", "1", "1", "1"), ("2", "1", "1", "1"), ("3", "1", "1", "1")]
    );

    let all = dev.run(&["topics", "describe", "--output", "json"]).json();
    assert_eq!(all[0]["name"], "orders");
    assert_eq!(all[0]["configs"], json!({"retention.ms": "3600000"}));
    assert_eq!(all[0]["partitions"][3]["isr"], json!([1]));

    assert_eq!(dev.run(&["topics", "delete", "orders"]).text(), "deleted topic orders\n");
    let gone = dev.run(&["topics", "describe", "orders"]).failure();
    assert!(gone.contains("topic orders: UNKNOWN_TOPIC_OR_PARTITION: it does not exist"), "{gone}");
    assert_eq!(dev.run(&["topics", "list", "--output", "json"]).json(), json!([]));
}

#[test]
fn what_cannot_be_created_is_explained() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t", "--output", "json"]).json();
    let again = dev.run(&["topics", "create", "t"]).failure();
    assert!(again.contains("TOPIC_ALREADY_EXISTS") && again.contains("choose another name"), "{again}");
    let wide = dev.run(&["topics", "create", "wide", "--replication-factor", "3"]).failure();
    assert!(wide.contains("INVALID_REPLICATION_FACTOR") && wide.contains("start more"), "{wide}");
    let name = dev.run(&["topics", "create", "no/slash"]).failure();
    assert!(name.contains("INVALID_TOPIC_EXCEPTION"), "{name}");
    let config = dev.run(&["topics", "create", "c", "--config", "no.such.key=1"]).failure();
    assert!(config.contains("INVALID_CONFIG"), "{config}");
    let missing = dev.run(&["topics", "delete", "nobody"]).failure();
    assert!(missing.contains("topic nobody") && missing.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{missing}");
}
