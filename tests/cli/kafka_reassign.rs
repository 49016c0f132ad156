//! `kafka-reassign-partitions` and `kafka-leader-election` on two brokers: what they print is what Kafka 3.9.2's tools
//! printed of the same plans.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Dev, Outcome};

const TOOL: &str = "kafka-reassign-partitions";

struct Plans {
    dir: tempfile::TempDir,
}

impl Plans {
    fn new() -> Plans {
        Plans { dir: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

/// Standard output of a tool that must have failed and told it there.
fn failed(outcome: Outcome) -> String {
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(1), ""), "{}", outcome.out);
    outcome.out
}

/// Runs a tool until it prints `text`; the last outcome where it does not within some seconds.
fn until(dev: &Dev, line: &str, text: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let out = dev.tool(line).text();
        if out == text || Instant::now() > deadline {
            return out;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn partitions_move_and_throttles_come_and_go() {
    let mut dev = Dev::start();
    dev.join(2);
    let plans = Plans::new();
    dev.tool("kafka-topics --create --topic moved --replica-assignment 1,2").text();
    let plan = plans.file(
        "plan.json",
        r#"{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2]},{"topic":"moved","partition":1,"replicas":[2,1]}]}"#,
    );
    let on = |action: &str| format!("{TOOL} {action} --reassignment-json-file {}", plan.display());
    assert_eq!(dev.tool(&format!("{TOOL} --list")).text(), "No partition reassignments found.\n");
    assert_eq!(
        dev.tool(&on("--verify --preserve-throttles")).text(),
        "Status of partition reassignment:\n\
         There is no active reassignment of partition moved-0, but replica set is 1 rather than 2.\n\
         There is no active reassignment of partition moved-1, but replica set is 2 rather than 2,1.\n\n"
    );
    assert_eq!(
        dev.tool(&on("--execute --throttle 1000000")).text(),
        r#"Current partition replica assignment

{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[1],"log_dirs":["any"]},{"topic":"moved","partition":1,"replicas":[2],"log_dirs":["any"]}]}

Save this to use as the --reassignment-json-file option during rollback
Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed.
The inter-broker throttle limit was set to 1000000 B/s
Successfully started partition reassignments for moved-0,moved-1
"#
    );
    let throttled = dev.tool("kafka-configs --describe --topic moved").text();
    assert!(
        throttled.contains("\n  follower.replication.throttled.replicas=0:2,1:1 sensitive=false"),
        "{throttled}"
    );
    assert!(
        throttled.contains("\n  leader.replication.throttled.replicas=0:1,1:2 sensitive=false"),
        "{throttled}"
    );
    let rate = dev.tool("kafka-configs --describe --broker 2").text();
    assert!(rate.contains("\n  leader.replication.throttled.rate=1000000 sensitive=false"), "{rate}");
    let done = "Status of partition reassignment:\n\
                Reassignment of partition moved-0 is completed.\n\
                Reassignment of partition moved-1 is completed.\n\n\
                Clearing broker-level throttles on brokers 1,2\n\
                Clearing topic-level throttles on topic moved\n";
    assert_eq!(until(&dev, &on("--verify"), done), done);
    let free = dev.tool("kafka-configs --describe --topic moved").text();
    assert_eq!(free, "Dynamic configs for topic moved are:\n");
    let free = dev.tool("kafka-configs --describe --broker 2").text();
    assert_eq!(free, "Dynamic configs for broker 2 are:\n");
    assert_eq!(
        dev.tool(&on("--cancel")).text(),
        "None of the specified partition reassignments are active.\n\
         None of the specified partition moves are active.Clearing broker-level throttles on brokers 1,2\n\
         Clearing topic-level throttles on topic moved\n"
    );
}

#[test]
fn a_plan_is_proposed_and_directories_are_chosen() {
    let mut dev = Dev::start();
    dev.join(2);
    let plans = Plans::new();
    dev.tool("kafka-topics --create --topic moved --replica-assignment 2:1").text();
    let topics = plans.file("topics.json", r#"{"version":1,"topics":[{"topic":"moved"}]}"#);
    let generate = |brokers: &str| {
        format!("{TOOL} --generate --topics-to-move-json-file {} --broker-list {brokers}", topics.display())
    };
    let proposed = dev.tool(&generate("1,2")).text();
    let current = r#"{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,1],"log_dirs":["any","any"]}]}"#;
    let other = current.replace("[2,1]", "[1,2]");
    let text = |plan: &str| {
        format!(
            "Current partition replica assignment\n{current}\n\nProposed partition reassignment configuration\n{plan}\n"
        )
    };
    assert!(proposed == text(current) || proposed == text(&other), "{proposed}");
    let out = failed(dev.tool(&generate("1,2,2")));
    assert!(out.starts_with("Error: Broker list contains duplicate entries: [2]\n"), "{out}");
    let out = failed(dev.tool(&generate("1")));
    assert!(out.starts_with("Error: Replication factor: 2 larger than available brokers: 1.\norg.apache.kafka.common.errors.InvalidReplicationFactorException: "), "{out}");

    let out = dev.tool("kafka-log-dirs --describe --broker-list 2 --topic-list moved").text();
    let json: serde_json::Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
    let dirs = json["brokers"][0]["logDirs"].as_array().expect("directories");
    assert_eq!(dirs.len(), 2);
    let name = |taken: bool| {
        let dir =
            dirs.iter().find(|dir| dir["partitions"].as_array().is_some_and(|all| all.is_empty()) != taken);
        dir.and_then(|dir| dir["logDir"].as_str()).expect("a directory").to_owned()
    };
    let (from, to) = (name(true), name(false));
    let entry = |dir: &str| {
        format!(
            r#"{{"partitions":[{{"topic":"moved","partition":0,"replicas":[2,1],"log_dirs":["{dir}","any"]}}]}}"#
        )
    };
    let plan = plans.file("dirs.json", &entry(&to));
    let on = |action: &str| format!("{TOOL} {action} --reassignment-json-file {}", plan.display());
    let status = "Status of partition reassignment:\nReassignment of partition moved-0 is completed.\n";
    assert_eq!(
        dev.tool(&on("--verify --preserve-throttles")).text(),
        format!("{status}Partition moved-0 on broker 2 is not being moved from log dir {from} to {to}.\n")
    );
    let out = dev.tool(&on("--execute --replica-alter-log-dirs-throttle 100000")).text();
    let end = format!(
        "The replica-alter-dir throttle limit was set to 100000 B/s\nSuccessfully started partition reassignment for moved-0\n\
         Successfully started moving log directory to {to} for replica moved-0 with broker 2 \n"
    );
    assert!(out.ends_with(&end), "{out}");
    let done = format!(
        "{status}Reassignment of replica moved-0-2 completed successfully.\nClearing broker-level throttles on brokers 1,2\n\
         Clearing topic-level throttles on topic moved\n"
    );
    assert_eq!(until(&dev, &on("--verify"), &done), done);
    let nowhere = plans.file("nowhere.json", &entry("/nowhere"));
    let out = failed(dev.tool(&format!("{TOOL} --execute --reassignment-json-file {}", nowhere.display())));
    assert!(out.contains("\nError: Failed to alter dir for moved-0-2"), "{out}");
}

#[test]
fn plans_that_make_no_sense_are_refused_on_stdout() {
    let dev = Dev::start();
    let plans = Plans::new();
    dev.tool("kafka-topics --create --topic moved --partitions 1").text();
    for (text, why) in [
        (r#"{"partitions":[{"topic":"moved","partition":0,"replicas":[9]}]}"#, "Unknown broker id 9"),
        (
            r#"{"partitions":[{"topic":"moved","partition":7,"replicas":[1]}]}"#,
            "org.apache.kafka.common.errors.UnknownTopicOrPartitionException: Unable to find partition: moved-7",
        ),
        (
            r#"{"partitions":[{"topic":"moved","partition":0,"replicas":[1,1]}]}"#,
            "Partition replica lists may not contain duplicate entries: moved-0 contains multiple entries for 1",
        ),
        (r#"{"partitions":[]}"#, "Partition reassignment list cannot be empty"),
        (r#"{"version":2,"partitions":[]}"#, "Not supported version field value 2"),
        ("{", "EOF while parsing"),
    ] {
        let plan = plans.file("plan.json", text);
        let out = failed(dev.tool(&format!("{TOOL} --execute --reassignment-json-file {}", plan.display())));
        assert!(out.starts_with(&format!("Error: {why}")), "{text}: {out}");
    }
    let out = failed(dev.tool(&format!("{TOOL} --execute --reassignment-json-file /no/such.json")));
    assert!(out.starts_with("Error: Unable to read file /no/such.json"), "{out}");
    for (line, why) in [
        (
            "--list --verify",
            "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list",
        ),
        (
            "--verify --reassignment-json-file f --throttle 5",
            "Option \"[throttle]\" can't be used with action \"[verify]\"",
        ),
        ("--generate --topics-to-move-json-file f", "Missing required argument \"[broker-list]\""),
    ] {
        let outcome = dev.tool(&format!("{TOOL} {line}"));
        assert_eq!((outcome.code, outcome.err.lines().next()), (Some(1), Some(why)), "{line}");
    }
}

#[test]
fn leaders_are_elected() {
    let mut dev = Dev::start();
    let tool = "kafka-leader-election --election-type";
    dev.tool("kafka-topics --create --topic t --partitions 1").text();
    let already = "Valid replica already elected for partitions t-0\n";
    assert_eq!(dev.tool(&format!("{tool} preferred --topic t --partition 0")).text(), already);
    assert_eq!(dev.tool(&format!("{tool} UNCLEAN --topic t --partition 0")).text(), already);
    assert_eq!(dev.tool(&format!("{tool} preferred --all-topic-partitions")).text(), "");
    let plans = Plans::new();
    let file = plans.file("elect.json", r#"{"partitions":[{"topic":"t","partition":0}]}"#);
    assert_eq!(dev.tool(&format!("{tool} preferred --path-to-json-file {}", file.display())).text(), already);
    let unknown = dev.tool(&format!("{tool} preferred --topic nobody --partition 0"));
    assert_eq!(
        (unknown.code, unknown.out.as_str(), unknown.err.as_str()),
        (
            Some(1),
            "Error completing leader election (PREFERRED) for partition: nobody-0: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: The partition does not exist.\n",
            "1 replica(s) could not be elected\n"
        )
    );
    for (line, why) in [
        ("other --topic t --partition 0", "Cannot parse argument 'other' of option election-type"),
        ("preferred --topic t", "Missing required option(s): partition"),
        (
            "preferred --partition 0 --all-topic-partitions",
            "Option partition is only allowed if topic is used",
        ),
        (
            "preferred",
            "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file",
        ),
    ] {
        assert_eq!(dev.tool(&format!("{tool} {line}")).failure(), format!("{why}\n"), "{line}");
    }
    // After a move the leader stays, so that the preferred one is still to be elected.
    dev.join(2);
    let plan = plans.file("plan.json", r#"{"partitions":[{"topic":"t","partition":0,"replicas":[2,1]}]}"#);
    let on = |action: &str| format!("{TOOL} {action} --reassignment-json-file {}", plan.display());
    dev.tool(&on("--execute")).text();
    let done = "Status of partition reassignment:\nReassignment of partition t-0 is completed.\n\n";
    assert_eq!(until(&dev, &on("--verify --preserve-throttles"), done), done);
    assert_eq!(
        dev.tool(&format!("{tool} preferred --all-topic-partitions")).text(),
        "Successfully completed leader election (PREFERRED) for partitions t-0\n"
    );
}
