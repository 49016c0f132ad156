//! `kafka-configs`: what it prints is what Kafka 3.9.2's tool printed of the same entities.

use crate::support::{Dev, Outcome, called};

/// Standard error of a tool that must have failed, from its first line on.
fn failed(outcome: Outcome) -> String {
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.out, outcome.err);
    outcome.err
}

#[test]
fn topics_are_set_and_described() {
    let dev = Dev::start();
    dev.tool("kafka-topics --create --topic plain --partitions 1 --config retention.ms=1000").text();
    dev.tool("kafka-topics --create --topic bare --partitions 1").text();
    let completed = "Completed updating config for topic plain.\n";
    let line = "kafka-configs --alter --entity-type topics --entity-name plain --add-config \
                retention.ms=2000,cleanup.policy=[compact,delete],min.insync.replicas=1";
    assert_eq!(dev.tool(line).text(), completed);
    let described = "Dynamic configs for topic plain are:\n  \
         cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}\n  \
         min.insync.replicas=1 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:min.insync.replicas=1, DEFAULT_CONFIG:min.insync.replicas=1}\n  \
         retention.ms=2000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=2000}\n";
    assert_eq!(dev.tool("kafka-configs --describe --topic plain").text(), described);
    let all = dev.tool("kafka-configs --describe --entity-type topics").text();
    assert_eq!(all, format!("Dynamic configs for topic bare are:\n{described}"));

    let line = "kafka-configs --alter --topic plain --delete-config min.insync.replicas,cleanup.policy";
    assert_eq!(dev.tool(line).text(), completed);
    let everything = dev.tool("kafka-configs --describe --topic plain --all").text();
    let lines: Vec<&str> = everything.lines().collect();
    assert_eq!(lines[0], "All configs for topic plain are:");
    assert_eq!(
        lines[1],
        "  cleanup.policy=delete sensitive=false synonyms={DEFAULT_CONFIG:log.cleanup.policy=delete}"
    );
    assert!(lines.contains(&"  flush.ms=9223372036854775807 sensitive=false synonyms={}"), "{everything}");

    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("add.properties");
    std::fs::write(&file, "retention.ms=5000\n# a comment\ncleanup.policy = compact\n").expect("a file");
    let line = format!("kafka-configs --alter --topic plain --add-config-file {}", file.display());
    assert_eq!(dev.tool(&line).text(), completed);
    let described = dev.tool("kafka-configs --describe --topic plain").text();
    assert!(described.contains("retention.ms=5000 ") && described.contains("cleanup.policy=compact "));
}

#[test]
fn brokers_are_set_and_described() {
    let dev = Dev::start();
    let none = "Dynamic configs for broker 1 are:\nDefault configs for brokers in the cluster are:\n";
    assert_eq!(dev.tool("kafka-configs --describe --entity-type brokers").text(), none);
    let line =
        "kafka-configs --alter --entity-type brokers --entity-name 1 --add-config log.cleaner.threads=2";
    assert_eq!(dev.tool(line).text(), "Completed updating config for broker 1.\n");
    assert_eq!(
        dev.tool("kafka-configs --describe --broker 1").text(),
        "Dynamic configs for broker 1 are:\n  log.cleaner.threads=2 sensitive=false \
         synonyms={DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2, DEFAULT_CONFIG:log.cleaner.threads=1}\n"
    );
    let line = "kafka-configs --alter --broker-defaults --add-config background.threads=11";
    assert_eq!(dev.tool(line).text(), "Completed updating default config for brokers in the cluster.\n");
    assert_eq!(
        dev.tool("kafka-configs --describe --entity-type brokers --entity-default").text(),
        "Default configs for brokers in the cluster are:\n  background.threads=11 sensitive=false \
         synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:background.threads=11}\n"
    );
    let all = dev.tool("kafka-configs --describe --broker 1 --all").text();
    assert!(all.contains("\n  broker.id=1 sensitive=false synonyms={STATIC_BROKER_CONFIG:broker.id=1, DEFAULT_CONFIG:broker.id=-1}\n"), "{all}");
    dev.tool("kafka-configs --alter --broker 1 --delete-config log.cleaner.threads").text();
    dev.tool("kafka-configs --alter --broker-defaults --delete-config background.threads").text();
    assert_eq!(dev.tool("kafka-configs --describe --entity-type brokers").text(), none);
    assert_eq!(
        dev.tool("kafka-configs --describe --broker-logger 1").text(),
        "Dynamic configs for broker-logger 1 are:\n  root=INFO sensitive=false synonyms={}\n"
    );
}

#[test]
fn errors_are_kafkas() {
    let dev = Dev::start();
    dev.tool("kafka-topics --create --topic plain --partitions 1").text();
    for (line, why) in [
        ("--alter --topic plain --delete-config segment.bytes", "Invalid config(s): segment.bytes"),
        (
            "--alter --topic plain --add-config retention.ms",
            "requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\".",
        ),
        (
            "--alter --topic plain --add-config ret@ention=1",
            "Invalid character found for config key: ret@ention",
        ),
        (
            "--alter --topic plain",
            "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
        ),
        (
            "--describe --entity-type nonsense",
            "Invalid entity type nonsense, the entity type must be one of topics, clients, users, brokers, ips, broker-loggers, client-metrics with a --bootstrap-server or --bootstrap-controller argument",
        ),
        ("--alter --broker-logger 1 --add-config nope=DEBUG", "Invalid broker logger(s): nope"),
        (
            "--alter --user a --add-config nope=1",
            "Only quota and SCRAM credential configs can be added for 'users' using --bootstrap-server. Unexpected config names: Set(nope)",
        ),
        (
            "--alter --user a --add-config SCRAM-SHA-256=[password=x]",
            "SCRAM-SHA-256 cannot be changed: Ottla's brokers have no SASL yet, so this tool makes and removes no SCRAM credentials",
        ),
        ("--describe --alter --topic t", "Command must include exactly one action: --describe, --alter"),
    ] {
        let err = failed(dev.tool(&format!("kafka-configs {line}")));
        assert_eq!(err.lines().next(), Some(why), "{line}");
    }
    for (line, why) in [
        (
            "--alter --topic plain --add-config bad.key=1",
            "InvalidConfigurationException: Invalid config value for resource ConfigResource(type=TOPIC, name='plain'): Unknown topic config name: bad.key",
        ),
        ("--describe --topic nobody", "UnknownTopicOrPartitionException: The topic 'nobody' does not exist."),
        (
            "--alter --broker 1 --add-config broker.id=7",
            "InvalidRequestException: Cannot update these configs dynamically: Set(broker.id)",
        ),
        (
            "--alter --user alice --add-config producer_byte_rate=1024",
            "UnsupportedVersionException: this broker does not enforce client quotas yet, so it does not set them",
        ),
    ] {
        let err = failed(dev.tool(&format!("kafka-configs {line}")));
        let expected = format!(
            "Error while executing config command with args '{line} --bootstrap-server {}'\n\
             java.util.concurrent.ExecutionException: org.apache.kafka.common.errors.{why}\n",
            dev.bootstrap
        );
        assert_eq!(err, expected);
    }
    for kind in ["users", "clients", "ips"] {
        assert_eq!(dev.tool(&format!("kafka-configs --describe --entity-type {kind}")).text(), "");
    }
}

#[test]
fn brokers_that_are_down_are_set_in_zookeeper() {
    let dev = Dev::start();
    let run = |line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().chain(["--zookeeper", &dev.zookeeper]).collect();
        called("kafka-configs", &arguments, b"")
    };
    let head = "Warning: --zookeeper is deprecated and will be removed in a future version of Kafka.\n\
                Use --bootstrap-server instead to specify a broker to connect to.\n";
    let broker = "--entity-type brokers --entity-name 7";
    let set = run(&format!("--alter {broker} --add-config log.cleaner.threads=2")).text();
    assert_eq!(set, format!("{head}Completed updating config for entity: brokers '7'.\n"));
    let described = run(&format!("--describe {broker}")).text();
    assert_eq!(described, format!("{head}Configs for brokers '7' are log.cleaner.threads=2\n"));
    let node = dev.run(&["znodes", "get", "/config/brokers/7", "--output", "json"]).json();
    assert_eq!(node["data"], serde_json::json!({"version": 1, "config": {"log.cleaner.threads": "2"}}));
    let err = failed(run(&format!("--alter {broker} --delete-config nope")));
    assert_eq!(err, "Invalid config(s): nope\n");
    let err = failed(run("--alter --broker 1 --add-config log.cleaner.threads=2"));
    assert_eq!(
        err,
        "requirement failed: --bootstrap-server option must be specified to update brokers configs: {add: \
         {log.cleaner.threads=2}, delete: List()} - broker 1 is running. Broker configuration operations using ZooKeeper \
         are only supported if the affected broker(s) are not running.\n"
    );
    let err = failed(run(&format!("--alter {broker} --add-config ssl.key.password=x")));
    assert!(err.contains("ssl.key.password cannot be set"), "{err}");
}
