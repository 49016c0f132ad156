//! `ottla reassign` and `ottla cluster` on a lone broker: what can be moved there is little, what can be said is all.

use serde_json::json;

use crate::support::{Dev, cells};

fn plan(dir: &tempfile::TempDir, text: &str) -> String {
    let path = dir.path().join("plan.json");
    std::fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

#[test]
fn a_plan_is_executed_verified_listed_and_cancelled() {
    let dev = Dev::start();
    let dir = tempfile::tempdir().expect("a directory");
    dev.run(&["topics", "create", "t", "--partitions", "2"]).text();
    let here = plan(&dir, r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1]}]}"#);
    let text = dev.run(&["reassign", "execute", &here, "--watch"]).text();
    assert!(text.contains("1 reassignment done"), "{text}");
    assert!(
        text.contains(r#"{"partitions":[{"partition":0,"replicas":[1],"topic":"t"}],"version":1}"#),
        "{text}"
    );
    let table = dev.run(&["reassign", "verify", &here]).text();
    assert_eq!(cells(&table)[1], ["t", "0", "done", "1", "1"]);
    assert_eq!(dev.run(&["reassign", "list", "--output", "json"]).json(), json!([]));
    let cancelled = dev.run(&["reassign", "cancel", &here, "--output", "json"]).json();
    assert_eq!(cancelled, json!({"cancelled": [], "not_moving": 1}));

    let away = plan(&dir, r#"{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[9]}]}"#);
    let text = dev.run(&["reassign", "execute", &away]).failure();
    assert!(text.contains("partition t-1") && text.contains("INVALID_REPLICA_ASSIGNMENT"), "{text}");
    let verified = dev.run(&["reassign", "verify", &away]);
    assert_eq!(
        (verified.code, cells(&verified.out)[1].clone()),
        (Some(1), vec!["t", "1", "elsewhere", "1", "9"])
    );
    assert!(verified.err.contains("1 partition not where the plan wants them"), "{}", verified.err);
    let nowhere = plan(&dir, r#"{"version":1,"partitions":[{"topic":"t","partition":7,"replicas":[1]}]}"#);
    let text = dev.run(&["reassign", "execute", &nowhere]).failure();
    assert!(text.contains("topic t has no partition 7"), "{text}");
    let garbage = plan(&dir, "{");
    let text = dev.run(&["reassign", "execute", &garbage]).failure();
    assert!(text.contains("plan.json") && text.contains("write {\"version\":1"), "{text}");
}

#[test]
fn the_cluster_is_shown() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t", "--partitions", "3"]).text();
    dev.run(&["topics", "create", "u", "--config", "min.insync.replicas=2"]).text();
    let text = dev.run(&["cluster"]).text();
    let rows = cells(&text);
    let head = rows.iter().position(|row| row.first() == Some(&"BROKER")).expect("a table of brokers");
    assert_eq!(
        rows[head + 1][..],
        [
            "1",
            &dev.bootstrap.replace("127.0.0.1", rows[head + 1][1].split(':').next().unwrap()),
            "-",
            "4",
            "4",
            "controller"
        ]
    );
    assert!(rows.iter().any(|row| row[..] == ["under", "min", "ISR", "1", "u-0"]), "{text}");
    let json = dev.run(&["cluster", "--output", "json"]).json();
    assert_eq!(
        (&json["controller"], &json["topics"], &json["partitions"]),
        (&json!(1), &json!(2), &json!(4))
    );
    assert_eq!((&json["under_min_isr"], &json["offline"]), (&json!(["u-0"]), &json!([])));
    assert_eq!(json["brokers"][0]["leads"], 4);
}
