//! `ottla groups`, and `ottla consume --group`.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Dev, cells};

#[test]
fn a_group_commits_lags_resets_and_goes() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t"]).text();
    dev.run_with(&["produce", "t"], b"a\nb\nc\nd\n").text();
    let first = dev.run(&["consume", "t", "--group", "g", "--max", "3"]).text();
    assert_eq!(first, "a\nb\nc\n");

    let table = dev.run(&["groups", "list"]).text();
    assert_eq!(
        cells(&table),
        [vec!["GROUP", "STATE", "PROTOCOL", "COORDINATOR"], vec!["g", "Empty", "consumer", "1"]]
    );
    let table = dev.run(&["groups", "describe", "g"]).text();
    assert!(table.starts_with("group g: Empty, 0 members"), "{table}");
    assert_eq!(cells(&table)[2], ["t", "0", "3", "4", "1", "-", "-"]);

    let rest = dev.run(&["consume", "t", "--group", "g", "--max", "1"]).text();
    assert_eq!(rest, "d\n", "a group goes on where it ended");
    let reset = dev.run(&["groups", "reset", "g", "--topic", "t", "--to", "1", "--output", "json"]).json();
    assert_eq!(reset, json!([{"topic": "t", "partition": 0, "before": 4, "committed": 1}]));
    assert_eq!(dev.run(&["consume", "t", "--group", "g", "--max", "1"]).text(), "b\n");
    let far = dev.run(&["groups", "reset", "g", "--topic", "t", "--to", "99"]).text();
    assert_eq!(cells(&far)[1], ["t", "0", "2", "4"], "an offset past the end is the end");

    assert_eq!(dev.run(&["groups", "delete", "g"]).text(), "deleted group g\n");
    assert_eq!(dev.run(&["groups", "list", "--output", "json"]).json(), json!([]));
    for command in [["groups", "describe", "g"], ["groups", "delete", "g"]] {
        let text = dev.run(&command).failure();
        assert!(text.starts_with("ottla: group g: GROUP_ID_NOT_FOUND: it does not exist"), "{text}");
    }
}

#[test]
fn a_group_with_a_member_is_protected_and_leaves_on_interrupt() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t", "--partitions", "2"]).text();
    let mut member = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args(["consume", "t", "--group", "busy", "--bootstrap", &dev.bootstrap])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut described = json!(null);
    for _ in 0..100 {
        let run = dev.run(&["groups", "describe", "busy", "--output", "json"]);
        if run.code == Some(0) {
            described = run.json();
            if described["state"] == "Stable" {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(described["state"], "Stable", "{described}");
    assert_eq!(described["protocol"], "range");
    assert_eq!(described["offsets"][1]["member"], described["members"][0]["member"]);
    for command in
        [vec!["groups", "delete", "busy"], vec!["groups", "reset", "busy", "--topic", "t", "--to", "latest"]]
    {
        let text = dev.run(&command).failure();
        assert!(text.contains("NON_EMPTY_GROUP: it has members; stop its consumers first"), "{text}");
    }
    let interrupted =
        Command::new("kill").args(["-INT", &member.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    let ended = member.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    let described = dev.run(&["groups", "describe", "busy", "--output", "json"]);
    // It left: there is nobody, and without a commit there is not even a group.
    assert!(described.code == Some(1) || described.json()["members"] == json!([]));
}
