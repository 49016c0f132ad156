//! `kafka-topics` and `kafka-log-dirs`: what they print is what Kafka 3.9.2's tools printed of the same topics.

use std::time::{Duration, Instant};

use crate::support::{Dev, Outcome, called};

/// Both streams of a tool that must have failed.
fn failed(outcome: Outcome) -> (String, String) {
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.out, outcome.err);
    (outcome.out, outcome.err)
}

/// The line on standard output by which `kafka-topics` fails.
fn topic_error(outcome: Outcome) -> String {
    let (out, err) = failed(outcome);
    assert!(err.contains("ERROR ") && err.ends_with("(org.apache.kafka.tools.TopicCommand)\n"), "{err}");
    let line = out.strip_prefix("Error while executing topic command : ").unwrap_or_else(|| panic!("{out}"));
    line.trim_end().to_owned()
}

/// Topic ids are drawn anew each time.
fn without_id(text: &str) -> String {
    let mut words: Vec<String> = text.split('\t').map(str::to_owned).collect();
    for word in words.iter_mut().filter(|word| word.starts_with("TopicId: ")) {
        assert_eq!(word.len(), "TopicId: ".len() + 22, "{word}");
        *word = "TopicId: X".into();
    }
    words.join("\t")
}

#[test]
fn a_topic_lives_and_dies() {
    let dev = Dev::start();
    assert_eq!(dev.tool("kafka-topics --list").text(), "\n", "as println prints nothing");
    let created = dev.tool("/opt/kafka/bin/kafka-topics.sh --create --topic a.b_c --partitions 2").text();
    assert_eq!(
        created,
        "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. To \
         avoid issues it is best to use either, but not both.\nCreated topic a.b_c.\n"
    );
    let line = "kafka-topics --create --topic plain --replica-assignment 1,1 --config retention.ms=1000 \
                --config cleanup.policy=compact";
    assert_eq!(dev.tool(line).text(), "Created topic plain.\n");
    assert_eq!(dev.tool("kafka-topics --create --topic plain --if-not-exists").text(), "");
    assert_eq!(dev.tool("kafka-topics --list").text(), "a.b_c\nplain\n");
    assert_eq!(dev.tool("kafka-topics --list --topic pl.*").text(), "plain\n");
    assert_eq!(dev.tool("kafka-topics --list --topic='nothing,a'").text(), "\n");

    assert_eq!(dev.tool("kafka-topics --alter --topic a.b_c --partitions 3").text(), "");
    let described = dev.tool("kafka-topics --describe --topic plain,a.b_c").text();
    let rest = "\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: N/A\tLastKnownElr: N/A\n";
    assert_eq!(
        without_id(&described),
        format!(
            "Topic: a.b_c\tTopicId: X\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: \n\
             \tTopic: a.b_c\tPartition: 0{rest}\tTopic: a.b_c\tPartition: 1{rest}\tTopic: a.b_c\tPartition: 2{rest}\
             Topic: plain\tTopicId: X\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: cleanup.policy=compact,retention.ms=1000\n\
             \tTopic: plain\tPartition: 0{rest}\tTopic: plain\tPartition: 1{rest}"
        )
    );
    let id = described.split("TopicId: ").nth(1).and_then(|rest| rest.split('\t').next()).expect("an id");
    let by_id = dev.tool(&format!("kafka-topics --describe --topic-id {id}")).text();
    assert!(by_id.starts_with("Topic: a.b_c\t"), "{by_id}");
    let overridden = dev.tool("kafka-topics --describe --topics-with-overrides").text();
    assert_eq!(
        without_id(&overridden),
        "Topic: plain\tTopicId: X\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: cleanup.policy=compact,retention.ms=1000\n"
    );
    assert_eq!(dev.tool("kafka-topics --delete --topic a.*").text(), "");
    assert_eq!(dev.tool("kafka-topics --list --exclude-internal").text(), "plain\n");
}

#[test]
fn partitions_in_trouble_are_picked_out() {
    let dev = Dev::start();
    dev.tool("kafka-topics --create --topic well --partitions 1").text();
    dev.tool("kafka-topics --create --topic lame --replica-assignment 1:9 --config min.insync.replicas=2")
        .text();
    let lame = "\tTopic: lame\tPartition: 0\tLeader: 1\tReplicas: 1,9\tIsr: 1\tElr: N/A\tLastKnownElr: N/A\n";
    let well = "\tTopic: well\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: N/A\tLastKnownElr: N/A\n";
    for (report, lines) in [
        ("under-replicated-partitions", lame),
        ("under-min-isr-partitions", lame),
        ("at-min-isr-partitions", well),
        ("unavailable-partitions", ""),
    ] {
        let line = format!("kafka-topics --describe --{report}");
        let deadline = Instant::now() + Duration::from_secs(10);
        // The metadata of a new topic take a moment.
        while dev.tool(&line).text() != lines && Instant::now() < deadline {}
        assert_eq!(dev.tool(&line).text(), lines, "{report}");
    }
}

#[test]
fn errors_are_kafkas() {
    let dev = Dev::start();
    dev.tool("kafka-topics --create --topic plain --partitions 3").text();
    for (line, why) in [
        ("--create --topic plain", "Topic 'plain' already exists."),
        (
            "--create --topic w --replication-factor 9",
            "Replication factor: 9 larger than available brokers: 1.",
        ),
        ("--create --topic n --partitions 0", "The partitions must be greater than 0"),
        (
            "--create --topic n --replication-factor 0",
            "The replication factor must be between 1 and 32767 inclusive",
        ),
        ("--create --topic n --partitions x", "Cannot parse argument 'x' of option partitions"),
        (
            "--create --topic no/slash",
            "Topic name is invalid: 'no/slash' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        ("--create --topic b --config no.such.key=1", "Unknown topic config name: no.such.key"),
        (
            "--create --topic b --config retention.ms=abc",
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "--create --topic b --config retention.ms",
            "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".",
        ),
        (
            "--create --topic b --replica-assignment 1:1",
            "Partition replica lists may not contain duplicate entries: 1",
        ),
        (
            "--create --topic b --replica-assignment 1:2,3",
            "Partition 1 has different replication factor: [3]",
        ),
        ("--create --topic b --replica-assignment x", "For input string: \"x\""),
        ("--describe --topic nobody", "Topic 'Optional[nobody]' does not exist as expected"),
        (
            "--describe --topic-id AAAAAAAAAAAAAAAAAAAAAQ",
            "TopicId 'AAAAAAAAAAAAAAAAAAAAAQ' does not exist as expected",
        ),
        (
            "--describe --topic-id nonsense",
            "Input string `nonsense` decoded as 6 bytes, which is not equal to the expected 16 bytes of a base64-encoded UUID",
        ),
        (
            "--alter --topic plain --partitions 2",
            "The number of partitions for a topic can only be increased. Topic plain currently has 3 partitions, 2 would not be an increase.",
        ),
        ("--delete --topic nobody", "Topic 'Optional[nobody]' does not exist as expected"),
    ] {
        assert_eq!(topic_error(dev.tool(&format!("kafka-topics {line}"))), why, "{line}");
    }
    for line in ["--describe", "--delete", "--alter --partitions 9"] {
        assert_eq!(dev.tool(&format!("kafka-topics {line} --topic nobody --if-exists")).text(), "");
    }
}

#[test]
fn options_that_do_not_go_together_are_named_on_stderr() {
    for (line, first) in [
        ("--bogus", "bogus is not a recognized option"),
        ("--lis", "lis is not a recognized option"),
        ("--topic", "Option topic requires an argument"),
        ("--list", "--bootstrap-server must be specified"),
        (
            "--list --create",
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
        ),
        ("--delete --bootstrap-server b:1", "Missing required argument \"[topic]\""),
        ("--alter --topic t --bootstrap-server b:1", "Missing required argument \"[partitions]\""),
        (
            "--list --if-exists --bootstrap-server b:1",
            "Option \"[if-exists]\" can't be used with option \"[list]\"",
        ),
        (
            "--create --topic t --replica-assignment 1 --partitions 1 --bootstrap-server b:1",
            "Option \"[replica-assignment]\" can't be used with option \"[partitions]\"",
        ),
        (
            "--describe --at-min-isr-partitions --topics-with-overrides --bootstrap-server b:1",
            "Option \"[at-min-isr-partitions]\" can't be used with option \"[topics-with-overrides]\"",
        ),
        (
            "--describe --if-exists --bootstrap-server b:1",
            "--topic or --topic-id is required to describe a topic",
        ),
        ("--help", "This tool helps to create, delete, describe, or change a topic."),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let (out, err) = failed(called("kafka-topics", &arguments, b""));
        assert_eq!((out.as_str(), err.lines().next()), ("", Some(first)), "{line}");
    }
    let version = called("kafka-topics.sh", &["--version"], b"").text();
    assert!(version.starts_with("3.9.2 "), "{version}");
}

#[test]
fn a_file_of_settings_is_honoured_or_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("client.properties");
    let path = path.to_str().expect("a path");
    let run = |text: &str| {
        std::fs::write(path, text).expect("a file");
        // Commas without an address beside them do not count.
        let line = ["--list", "--bootstrap-server", "127.0.0.1:1,", "--command-config", path];
        failed(called("kafka-topics", &line, b""))
    };
    let (out, err) = run("security.protocol=SASL_SSL\n");
    assert!(out.is_empty() && err.contains("security.protocol=SASL_SSL cannot be used"), "{out}{err}");
    let started = Instant::now();
    let (out, _) = run("client.id=me\ndefault.api.timeout.ms=700\n");
    let why =
        "Error while executing topic command : Timed out waiting for a node assignment. Call: listTopics";
    assert!(out.starts_with(why), "{out}");
    assert!(out.ends_with("or name it with --bootstrap-server\n"), "{out}");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_secs(20), "{waited:?}");
    let (_, err) = failed(called(
        "kafka-topics",
        &["--list", "--bootstrap-server", "x", "--command-config", "/no/such"],
        b"",
    ));
    assert!(err.starts_with("/no/such"), "{err}");
    let (out, err) = failed(called("kafka-topics", &["--list", "--bootstrap-server", "nonsense"], b""));
    let why = "Failed to create new KafkaAdminClient: Invalid url in bootstrap.servers: nonsense\n";
    assert_eq!((out.as_str(), err.as_str()), ("", why));
}

#[test]
fn log_directories_are_json() {
    let dev = Dev::start();
    dev.tool("kafka-topics --create --topic t --partitions 1").text();
    let out = dev.tool("kafka-log-dirs --describe --topic-list t,u --broker-list 1").text();
    let head = "Querying brokers for log directories information\nReceived log directory information from brokers 1\n\
                {\"brokers\":[{\"broker\":1,\"logDirs\":[{\"partitions\":[{\"partition\":\"t-0\",\"size\":0,\"offsetLag\":0,\"isFuture\":false}],\"error\":null,\"logDir\":\"/";
    assert!(out.starts_with(head) && out.ends_with("/logs\"}]}],\"version\":1}\n"), "{out}");
    let (_, err) = failed(dev.tool("kafka-log-dirs --describe --broker-list 1,9"));
    assert_eq!(
        err,
        "ERROR: The given brokers do not exist from --broker-list: 9. Current existent brokers: 1\n"
    );
    let (_, err) = failed(dev.tool("kafka-log-dirs"));
    assert_eq!(err.lines().next(), Some("Missing required argument \"[describe]\""));
}
