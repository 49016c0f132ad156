//! `kafka-console-producer` and `kafka-console-consumer`: what Kafka 3.9.2's printed for the same input and options.

use crate::support::{Dev, Outcome, called};

const PRODUCER: &str = "kafka-console-producer.sh";
const CONSUMER: &str = "/opt/kafka/bin/kafka-console-consumer";

fn dev() -> Dev {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t"]).text();
    dev
}

/// The topic `t` with records of all kinds; offsets 0 to 9.
fn filled() -> Dev {
    let dev = dev();
    let send = |arguments: &[&str], input: &str, code: i32| {
        let outcome = dev.kafka(PRODUCER, &[&["--topic", "t"], arguments].concat(), input.as_bytes());
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(code), ""), "{}", outcome.err);
        outcome.err
    };
    send(&[], "a\nb\n\nc", 0);
    let input = "h1:v1,h2:NULL\tkey\tvalue\nNULL\tNULL\tNULL\nh:x\tk2\tNULL\n";
    let all = [
        "--property",
        "parse.key=true",
        "--property",
        "parse.headers=true",
        "--property",
        "null.marker=NULL",
    ];
    send(&[&all[..], &["--compression-codec"]].concat(), input, 0);
    let keys = ["--property", "parse.key=true", "--property=key.separator=;"];
    // The line before the one that is wrong is written all the same.
    let error = send(&keys, "k;v\nnosep\n", 1);
    assert!(error.starts_with(
        "org.apache.kafka.common.KafkaException: No key separator found on line number 2: 'nosep'"
    ));
    send(&[&keys[..], &["--property", "ignore.error=true", "--sync"]].concat(), "k;v\nnosep\n", 0);
    dev
}

fn read(dev: &Dev, arguments: &[&str]) -> Outcome {
    dev.kafka(CONSUMER, arguments, b"")
}

#[test]
fn values_and_fields_are_printed_as_by_kafka() {
    let dev = filled();
    let all = read(&dev, &["--topic", "t", "--from-beginning", "--timeout-ms", "700"]);
    assert_eq!((all.code, all.out.as_str()), (Some(0), "a\nb\n\nc\nvalue\nnull\nnull\nv\nv\nnosep\n"));
    assert!(all.err.starts_with("Processed a total of 10 messages\n"), "{}", all.err);
    let fields =
        ["timestamp", "offset", "partition", "headers", "key"].map(|field| format!("print.{field}=true"));
    let mut arguments = vec!["--topic", "t", "--from-beginning", "--max-messages", "7"];
    fields.iter().for_each(|field| arguments.extend(["--property", field]));
    let text = read(&dev, &arguments).text();
    let rest: Vec<&str> = text
        .lines()
        .map(|line| {
            let (stamp, rest) = line.split_once('\t').expect("fields");
            assert!(stamp.strip_prefix("CreateTime:").is_some_and(|ms| ms.parse::<i64>().is_ok()), "{line}");
            rest
        })
        .collect();
    let expected = [
        "Partition:0\tOffset:0\tNO_HEADERS\tnull\ta",
        "Partition:0\tOffset:1\tNO_HEADERS\tnull\tb",
        "Partition:0\tOffset:2\tNO_HEADERS\tnull\t",
        "Partition:0\tOffset:3\tNO_HEADERS\tnull\tc",
        "Partition:0\tOffset:4\th1:v1,h2:null\tkey\tvalue",
        "Partition:0\tOffset:5\tNO_HEADERS\tnull\tnull",
        "Partition:0\tOffset:6\th:x\tk2\tnull",
    ];
    assert_eq!(rest, expected);
    let text = read(
        &dev,
        &[
            "--topic",
            "t",
            "--partition",
            "0",
            "--offset",
            "1",
            "--max-messages",
            "6",
            "--property",
            "print.key=true",
            "--property",
            "key.separator= | ",
            "--property",
            "null.literal=NIL",
            "--property",
            "print.value=false",
            "--property",
            "print.headers=true",
            "--property",
            "headers.separator=|",
        ],
    );
    let expected = "NO_HEADERS | NIL\nNO_HEADERS | NIL\nNO_HEADERS | NIL\nh1:v1|h2:NIL | key\nNO_HEADERS | NIL\nh:x | k2\n";
    assert_eq!((text.out.as_str(), text.err.as_str()), (expected, "Processed a total of 6 messages\n"));
    let text = read(
        &dev,
        &["--include", "t|k", "--from-beginning", "--max-messages", "3", "--property", "line.separator=;"],
    );
    assert_eq!(text.text(), "a;b;;");
    let nothing = ["--topic", "t", "--formatter", "kafka.tools.NoOpMessageFormatter", "--from-beginning"];
    let nothing = read(&dev, &[&nothing[..], &["--max-messages", "2"]].concat());
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), ""));
    assert!(nothing.err.ends_with("Processed a total of 2 messages\n"), "{}", nothing.err);
}

#[test]
fn a_group_goes_on_where_it_was_and_its_offsets_can_be_read() {
    let dev = filled();
    let group = |count: &str| {
        let arguments = ["--topic", "t", "--group", "g1", "--from-beginning", "--max-messages", count];
        read(&dev, &arguments).text()
    };
    assert_eq!(group("3"), "a\nb\n\n");
    assert_eq!(group("2"), "c\nvalue\n");
    let offsets = |formatter: &str| {
        let topic = ["--topic", "__consumer_offsets", "--from-beginning", "--timeout-ms", "700"];
        read(&dev, &[&topic[..], &["--formatter", formatter]].concat()).text()
    };
    let json = offsets("org.apache.kafka.tools.consumer.OffsetsMessageFormatter");
    let start = "{\"key\":{\"version\":1,\"data\":{\"group\":\"g1\",\"topic\":\"t\",\"partition\":0}},\"value\":\
                 {\"version\":3,\"data\":{\"offset\":3,\"leaderEpoch\":-1,\"metadata\":\"\",\"commitTimestamp\":";
    assert!(json.starts_with(start), "{json}");
    let old = offsets("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter");
    let start =
        "[g1,t,0]::OffsetAndMetadata(offset=3, leaderEpoch=Optional.empty, metadata=, commitTimestamp=";
    assert!(old.starts_with(start) && old.lines().count() == 2, "{old}");
}

#[test]
fn topics_are_made_and_waited_for() {
    let dev = dev();
    let made = dev.kafka(PRODUCER, &["--topic", "made"], b"x\n");
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert_eq!(read(&dev, &["--topic", "made", "--from-beginning", "--max-messages", "1"]).text(), "x\n");
    let waited = read(&dev, &["--topic", "nothere", "--timeout-ms", "300"]);
    assert_eq!((waited.code, waited.out.as_str()), (Some(0), ""));
    assert!(waited.err.starts_with("Processed a total of 0 messages\n"), "{}", waited.err);
    // As in Kafka, who does not wait for records does not learn of their loss by the exit code.
    let arguments = ["--bootstrap-server", "127.0.0.1:1", "--topic", "t", "--max-block-ms", "200"];
    let lost = called(PRODUCER, &arguments, b"x\n");
    assert_eq!(lost.code, Some(0));
    assert!(lost.err.starts_with("ERROR Error when sending message to topic t"), "{}", lost.err);
    let lost = called(PRODUCER, &[&arguments[..], &["--sync"]].concat(), b"x\n");
    assert_eq!(lost.code, Some(1), "{}", lost.err);
}

#[test]
fn wrong_usage_begins_with_kafkas_words() {
    let at = ["--bootstrap-server", "127.0.0.1:1"];
    let cases: [(&str, &[&str], &str); 17] = [
        (PRODUCER, &["--bootstrap-server", "h:1"], "Missing required argument \"[topic]\"\nOption "),
        (PRODUCER, &["--topic", "t"], "Missing required option(s) [bootstrap-server]\nOption "),
        (
            PRODUCER,
            &["--topic", "t", "--bootstrap-server", "x"],
            "Please provide valid host:port like host1:9091,",
        ),
        (PRODUCER, &["--nonsense"], "nonsense is not a recognized option"),
        (
            PRODUCER,
            &["--broker-list", "h:1", "--topic", "t", "--request-required-acks", "7"],
            "org.apache.kafka.common.config.ConfigException: Invalid value 7 for configuration acks: String must be",
        ),
        (
            PRODUCER,
            &["--broker-list", "h:1", "--topic", "t", "--compression-codec", "x"],
            "org.apache.kafka.common.config.ConfigException: Invalid value x for configuration compression.type: ",
        ),
        (
            PRODUCER,
            &["--broker-list", "h:1", "--topic", "t", "--line-reader", "my.Own"],
            "--line-reader my.Own is not",
        ),
        (
            PRODUCER,
            &["--broker-list", "h:1", "--topic", "t", "--producer-property", "security.protocol=SSL"],
            "security.protocol=SSL cannot be used",
        ),
        (CONSUMER, &at, "Exactly one of --include/--topic is required. \nOption "),
        (CONSUMER, &["--topic", "t"], "Missing required argument \"[bootstrap-server]\"\nOption "),
        (
            CONSUMER,
            &["--topic", "t", "--offset", "3"],
            "The partition is required when offset is specified.\n",
        ),
        (
            CONSUMER,
            &["--topic", "t", "--bootstrap-server", "h:1", "--partition", "0", "--offset", "-1"],
            "The provided offset value '-1' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.",
        ),
        (
            CONSUMER,
            &["--topic", "t", "--bootstrap-server", "h:1", "--partition", "0", "--group", "g"],
            "Options group and partition cannot be specified together.\n",
        ),
        (
            CONSUMER,
            &[
                "--topic",
                "t",
                "--bootstrap-server",
                "h:1",
                "--group",
                "g1",
                "--consumer-property",
                "group.id=g2",
            ],
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer.config') do not match. Detected group ids: 'g1', 'g2'\n",
        ),
        (
            CONSUMER,
            &["--topic", "t", "--bootstrap-server", "h:1", "--timeout-ms", "abc"],
            "Cannot parse argument 'abc' of option timeout-ms",
        ),
        (CONSUMER, &["--topic", "t", "--bootstrap-server", "h:1", "--formatter", "no.Such"], "no.Such\n"),
        (
            CONSUMER,
            &["--help"],
            "This tool helps to read data from Kafka topics and outputs it to standard output.\n",
        ),
    ];
    for (tool, arguments, words) in cases {
        let text = called(tool, arguments, b"x\n").failure();
        assert!(text.starts_with(words), "{tool} {arguments:?}: {text}");
    }
}
