//! `kafka-consumer-groups`: what Kafka 3.9.2's tool printed for the same groups; rows sorted.

use crate::support::{Dev, Outcome, called};

const GROUPS: &str = "kafka-consumer-groups.sh";
const NEW_OFFSETS: &str =
    "\nGROUP                          TOPIC                          PARTITION  NEW-OFFSET     ";

/// Topics `t` with 10 records and `k` with 2 in each of 3 partitions; `g1` is at 3 of `t`, `gk` has read `k`.
fn dev() -> Dev {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t"]).text();
    dev.run(&["topics", "create", "k", "--partitions", "3"]).text();
    dev.run_with(&["produce", "t"], b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n").text();
    for partition in ["0", "1", "2"] {
        dev.run_with(&["produce", "k", "--partition", partition], b"a\nb\n").text();
    }
    dev.run(&["consume", "t", "--group", "g1", "--max", "3"]).text();
    dev.run(&["consume", "k", "--group", "gk", "--max", "6"]).text();
    dev
}

fn groups(dev: &Dev, line: &str) -> Outcome {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    dev.kafka(GROUPS, &arguments, b"")
}

#[test]
fn groups_are_listed_and_described() {
    let dev = dev();
    assert_eq!(groups(&dev, "--list").text(), "g1\ngk\n");
    let head = format!("{:25} {:20} {:20}\n", "GROUP", "TYPE", "STATE");
    let row = |group: &str| format!("{group:25} {:20} {:20}\n", "Classic", "Empty");
    assert_eq!(groups(&dev, "--list --type --state stable,empty").text(), head + &row("g1") + &row("gk"));
    let described = groups(&dev, "--describe --group gk --group g1");
    let title = "\nGROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID";
    let gone = "-               -               -";
    let rows = [
        title.to_owned(),
        format!(
            "\ng1              t               0          3               10              7               {gone}"
        ),
        title.to_owned(),
        format!(
            "\ngk              k               0          2               2               0               {gone}"
        ),
        format!(
            "\ngk              k               1          2               2               0               {gone}"
        ),
        format!(
            "\ngk              k               2          2               2               0               {gone}"
        ),
    ];
    assert_eq!(described.out, rows.concat());
    assert_eq!(
        described.err,
        "\nConsumer group 'g1' has no active members.\n\nConsumer group 'gk' has no active members.\n"
    );
    assert_eq!(groups(&dev, "--describe --all-groups").out, rows.concat());
    let members = groups(&dev, "--describe --group g1 --members").out;
    assert_eq!(
        members,
        "\nGROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS     \n"
    );
    let state = groups(&dev, "--describe --group g1 --state").out;
    let expected = format!(
        "\nGROUP                     COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE           #MEMBERS\
         \n{:25} {:25} {:20} {:15} 0\n",
        "g1",
        format!("{}  (1)", dev.bootstrap),
        "",
        "Empty"
    );
    assert_eq!(state, expected);
    for what in ["", "--state"] {
        let none = groups(&dev, &format!("--describe --group none {what}"));
        assert_eq!(
            (none.code, none.out.as_str()),
            (Some(0), "\nError: Consumer group 'none' does not exist.\n")
        );
    }
}

#[test]
fn offsets_are_reset() {
    let dev = dev();
    let reset = |line: &str| groups(&dev, &format!("--reset-offsets {line}"));
    let row = |group: &str, topic: &str, partition: i32, offset: i64| {
        format!("{group:30} {topic:30} {partition:<10} {offset:<15}")
    };
    let one = |offset: i64| format!("{NEW_OFFSETS}{}", row("g1", "t", 0, offset));
    let planned = reset("--group g1 --topic t --to-earliest");
    assert_eq!(planned.out, one(0));
    assert!(planned.err.starts_with("WARN: No action will be performed as the --execute option is missing."));
    assert_eq!(reset("--group g1 --topic t --to-offset 2 --execute").text(), one(2));
    assert_eq!(reset("--group g1 --all-topics --shift-by 2 --dry-run").text(), one(4));
    let far = reset("--group g1 --all-topics --shift-by 200 --dry-run");
    assert_eq!(far.out, one(10));
    assert!(far.err.contains(
        "New offset (202) is higher than latest offset for topic partition t-0. Value will be set to 10"
    ));
    assert_eq!(reset("--group gk --topic k:0,1 --to-latest --dry-run --export").text(), "k,0,2\nk,1,2\n\n");
    let both = reset("--group gk --group g1 --all-topics --to-current --dry-run --export").text();
    assert_eq!(both, "g1,t,0,2\ngk,k,0,2\ngk,k,1,2\ngk,k,2,2\n\n");
    let rows = |offset| (0..3).map(|partition| row("gk", "k", partition, offset)).collect::<String>();
    let dated = reset("--group gk --topic k --to-datetime 2020-01-01T00:00:00.000 --dry-run").text();
    assert_eq!(dated, format!("{NEW_OFFSETS}{}", rows(0)));
    let now = reset("--group gk --topic k --by-duration PT0S --dry-run").text();
    let empty = |partition| {
        format!("\nWarn: Partition {partition} from topic k is empty. Falling back to latest known offset.\n")
    };
    assert_eq!(now, format!("{}{}{}{NEW_OFFSETS}{}", empty(0), empty(1), empty(2), rows(2)));
    let dir = tempfile::tempdir().expect("a directory");
    let plan = dir.path().join("plan.csv");
    std::fs::write(&plan, "g1,t,0,1\ngk,k,1,1\n").expect("a file");
    let planned = reset(&format!("--group g1 --group gk --from-file {} --dry-run", plan.display())).text();
    assert_eq!(planned, format!("{NEW_OFFSETS}{}{}", row("g1", "t", 0, 1), row("gk", "k", 1, 1)));
    reset("--group new --topic t --to-earliest --execute").text();
    assert_eq!(groups(&dev, "--list").text(), "g1\ngk\nnew\n");
}

#[test]
fn offsets_and_groups_are_deleted() {
    let dev = dev();
    let deleted = groups(&dev, "--delete-offsets --group g1 --topic t").text();
    let head = format!("\n{:30} {:15} {:15}", "TOPIC", "PARTITION", "STATUS");
    let row = |partition: &str, status: &str| format!("{:30} {partition:15} {status:15}", "k");
    let expected = format!(
        "Request succeed for deleting offsets with topic t group g1\n{head}{:30} {:15} {:15}",
        "t", "0", "Successful"
    );
    assert_eq!(deleted, expected);
    let none = groups(&dev, "--delete-offsets --group none --topic k").text();
    let why = "Error: :org.apache.kafka.common.errors.GroupIdNotFoundException: The group id does not exist.";
    let rows: String = ["0", "1", "2"].iter().map(|partition| row(partition, why)).collect();
    assert_eq!(none, format!("\nError: 'none' does not exist.\n{head}{rows}"));
    let failed = "\nError: Deletion of some consumer groups failed:\n* Group 'none' could not be deleted due to: \
                  java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.GroupIdNotFoundException: The \
                  group id does not exist.\n";
    assert_eq!(groups(&dev, "--delete --group none").text(), failed);
    // A group without members and offsets is gone.
    assert_eq!(groups(&dev, "--list").text(), "gk\n");
    groups(&dev, "--reset-offsets --group g1 --topic t --to-latest --execute").text();
    let some = groups(&dev, "--delete --group g1 --group none").text();
    assert_eq!(some, format!("{failed}\nThese consumer groups were deleted successfully: 'g1', '\n"));
    let last = groups(&dev, "--delete --group gk").text();
    assert_eq!(last, "Deletion of requested consumer groups ('gk') was successful.\n");
    assert_eq!(groups(&dev, "--list").text(), "");
}

#[test]
fn wrong_usage_begins_with_kafkas_words() {
    let dev = dev();
    let cases = [
        (
            "--list --state nonsense",
            "Invalid state list 'nonsense'. Valid states are: PreparingRebalance, CompletingRebalance, Stable, Dead, Empty, Assigning, Reconciling\n",
        ),
        (
            "--describe",
            "Option [describe] takes one of these options: [reset-offsets], [describe], [delete], [list]\n",
        ),
        (
            "--describe --group g --state --members",
            "Option [describe] takes at most one of these options: [members], [offsets], [state]\n",
        ),
        ("--describe --group g --state x", "Option [describe] does not take a value for [state]\n"),
        ("--delete", "Option [delete] takes one of these options: [all-groups], [group]\n"),
        (
            "--timeout 1",
            "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets\n",
        ),
        ("--members --list", "Option(s) [members] are unavailable given other options on the command line"),
        (
            "--reset-offsets --dry-run --group g1 --to-latest",
            "One of the reset scopes should be defined: --all-topics, --topic.\n",
        ),
        (
            "--reset-offsets --dry-run --group g1 --topic t",
            "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], ",
        ),
        (
            "--reset-offsets --dry-run --group g1 --topic k --shift-by 1",
            "Cannot shift offset for partition k-0 since there is no current committed offset\n",
        ),
        (
            "--reset-offsets --dry-run --group g1 --topic t:x --to-latest",
            "Invalid partition 'x' specified in topic arg 't:x''\n",
        ),
    ];
    for (line, words) in cases {
        let text = groups(&dev, line).failure();
        assert!(text.starts_with(words), "{line}: {text}");
    }
    let exclusive =
        groups(&dev, "--reset-offsets --dry-run --group g1 --topic t --to-earliest --to-latest").failure();
    assert!(
        exclusive.starts_with("Option \"[to-earliest]\" can't be used with option \"[to-latest]\"\n"),
        "{exclusive}"
    );
    let text = called(GROUPS, &["--list"], b"").failure();
    assert!(text.starts_with("Missing required argument \"[bootstrap-server]\"\n"), "{text}");
    // What fails in the cluster is told on standard output, with exit code 0.
    let away = called(GROUPS, &["--list", "--timeout", "200", "--bootstrap-server", "127.0.0.1:1"], b"");
    assert_eq!(away.code, Some(0), "{}", away.err);
    assert!(away.out.starts_with("\nError: Executing consumer group command failed due to "), "{}", away.out);
    let date = groups(&dev, "--reset-offsets --dry-run --group g1 --topic t --to-datetime junk").text();
    assert!(
        date.contains("java.text.ParseException: Error parsing timestamp. It does not contain a 'T'"),
        "{date}"
    );
}
