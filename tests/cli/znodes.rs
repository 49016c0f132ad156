//! `ottla znodes`.

use crate::support::{Dev, cells};

#[test]
fn a_cluster_can_be_looked_at() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t", "--partitions", "2"]).text();
    let table = dev.run(&["znodes", "ls", "/brokers"]).text();
    let rows = cells(&table);
    assert_eq!(rows[0], ["NAME", "BYTES", "CHILDREN", "VERSION", "KIND"]);
    assert!(rows.iter().any(|row| row[0] == "topics" && row[2] == "1"), "{table}");
    let ids = dev.run(&["znodes", "ls", "/brokers/ids", "--output", "json"]).json();
    assert_eq!((ids[0]["name"].as_str(), ids[0]["ephemeral"].as_bool()), (Some("1"), Some(true)));

    let topic = dev.run(&["znodes", "get", "/brokers/topics/t", "--output", "json"]).json();
    assert_eq!(topic["data"]["partitions"]["1"], serde_json::json!([1]));
    assert_eq!(topic["stat"]["children"], 1);
    let table = dev.run(&["znodes", "get", "/controller"]).text();
    assert!(table.starts_with("{\n") && table.contains("\"brokerid\": 1"), "{table}");
    let owner = cells(&table).into_iter().find(|row| row.first() == Some(&"ephemeral_owner"));
    assert!(owner.is_some_and(|row| row[1].starts_with("0x") && row[1] != "0x0"), "{table}");

    let tree = dev.run(&["znodes", "tree", "/brokers/topics", "--depth", "2"]).text();
    let lines: Vec<&str> = tree.lines().collect();
    assert_eq!(lines[0], "/brokers/topics");
    assert!(lines[1].starts_with("  t  ") && lines[1].ends_with(" B"), "{tree}");
    assert_eq!(lines[2], "    partitions");
    assert!(lines[3].starts_with("3 znodes, "), "{tree}");
    let all = dev.run(&["znodes", "tree", "--output", "json"]).json();
    assert!(
        all.as_array()
            .is_some_and(|all| all.iter().any(|node| node["path"] == "/brokers/topics/t/partitions/1/state"))
    );
}

#[test]
fn every_znode_is_explained() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t", "--config", "retention.ms=1000"]).text();
    let all = dev.run(&["znodes", "tree", "--output", "json"]).json();
    for node in all.as_array().expect("a list") {
        let path = node["path"].as_str().expect("a path");
        if path == "/" {
            continue;
        }
        let told = dev.run(&["znodes", "explain", path, "--output", "json"]).json();
        assert!(told["what"].is_string() && told["unreadable"].is_null(), "{told}");
    }
    let text = dev.run(&["znodes", "explain", "/brokers/topics/t/partitions/0/state"]).text();
    assert!(
        text.contains("broker 1 leads, in leader epoch 0") && text.contains("written by  the controller"),
        "{text}"
    );
    let text = dev.run(&["znodes", "explain", "/config/topics/t"]).text();
    assert!(text.contains("says        retention.ms is 1000"), "{text}");
    let text = dev.run(&["znodes", "explain", "/controller"]).text();
    assert!(text.contains("ephemeral") && text.contains("broker 1 is the controller"), "{text}");
}

#[test]
fn a_missing_znode_and_a_wrong_path_are_explained() {
    let dev = Dev::start();
    for action in ["ls", "get", "tree", "explain"] {
        let text = dev.run(&["znodes", action, "/nobody"]).failure();
        assert!(text.contains("/nobody: no such znode on 127.0.0.1:"), "{text}");
        let text = dev.run(&["znodes", action, "nobody"]).failure();
        assert!(text.contains("start it with /"), "{text}");
    }
    let chroot = format!("{}/no/chroot", dev.zookeeper);
    let text = crate::support::ottla(&["znodes", "ls", "/", "--zookeeper", &chroot], b"").failure();
    assert!(text.contains("/no/chroot: no such znode"), "{text}");
    let root = dev.run(&["znodes", "ls", "/"]).text();
    assert!(!cells(&root).iter().any(|row| row[0] == "no"), "looking creates nothing: {root}");
}
