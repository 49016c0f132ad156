//! `kafka-get-offsets`, `kafka-delete-records`, `kafka-broker-api-versions`, `kafka-dump-log`, `kafka-cluster`, `cub`:
//! what Kafka 3.9.2's tools printed for the same topics.

use std::fs;

use crate::support::{Dev, Outcome, called, free_port};

fn dev() -> Dev {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t"]).text();
    dev.run(&["topics", "create", "k", "--partitions", "3"]).text();
    dev.run_with(&["produce", "t"], b"a\nb\nc\n").text();
    for partition in ["0", "1", "2"] {
        dev.run_with(&["produce", "k", "--partition", partition], b"a\nb\n").text();
    }
    dev
}

#[test]
fn offsets_at_ends_and_times() {
    let dev = dev();
    let get =
        |line: &str| dev.kafka("kafka-get-offsets.sh", &line.split_whitespace().collect::<Vec<_>>(), b"");
    assert_eq!(get("--topic t|k --exclude-internal-topics").text(), "k:0:2\nk:1:2\nk:2:2\nt:0:3\n");
    assert_eq!(get("--topic-partitions t:0,k:1-3").text(), "k:1:2\nk:2:2\nt:0:3\n");
    assert_eq!(get("--topic-partitions :-1 --time -2").text(), "k:0:0\nt:0:0\n");
    assert_eq!(get("--topic k --partitions 0,2 --time earliest").text(), "k:0:0\nk:2:0\n");
    assert_eq!(get("--topic k --time 0").text(), "k:0:0\nk:1:0\nk:2:0\n");
    assert_eq!(get("--topic k --time 99999999999999").text(), "");
    assert_eq!(get("--topic k --time latest-tiered").text(), "");
    assert_eq!(get("--topic k --time earliest-local").text(), "k:0:0\nk:1:0\nk:2:0\n");
    let error = |line: &str| get(line).failure();
    assert!(
        error("--topic k --time junk")
            .starts_with("Error occurred: Malformed time argument junk. Please use -1 or")
    );
    let none = "Error occurred: Could not match any topic-partitions with the specified filters\n";
    assert_eq!(error("--topic none"), none);
    let both = "Error occurred: --topic-partitions cannot be used with --topic or --partitions\n";
    assert_eq!(error("--topic k --topic-partitions k"), both);
    let numbers = "Error occurred: --partitions expects a comma separated list of numeric partition ids, but received: a\n";
    assert_eq!(error("--topic k --partitions a"), numbers);
    let text = called("kafka-get-offsets", &["--topic", "k"], b"").failure();
    assert_eq!(text, "Error occurred: Missing required option(s) [bootstrap-server]\n");
}

#[test]
fn records_are_deleted() {
    let dev = dev();
    let dir = tempfile::tempdir().expect("a directory");
    let delete = |json: &str| -> Outcome {
        let file = dir.path().join("offsets.json");
        fs::write(&file, json).expect("a file");
        let file = file.to_str().expect("a path of letters");
        dev.kafka("kafka-delete-records.sh", &["--offset-json-file", file], b"")
    };
    let head = "Executing records delete operation\nRecords delete operation completed:\n";
    let done = delete(
        r#"{"partitions":[{"topic":"t","partition":0,"offset":2},{"topic":"k","partition":9,"offset":1}]}"#,
    );
    let missing = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server does not host this topic-partition.";
    assert_eq!(
        done.text(),
        format!("{head}partition: k-9\terror: {missing}\npartition: t-0\tlow_watermark: 2\n")
    );
    let far = delete(r#"{"partitions":[{"topic":"t","partition":0,"offset":999}],"version":1}"#).text();
    let range = "org.apache.kafka.common.errors.OffsetOutOfRangeException: The requested offset is not within the range of offsets maintained by the server.";
    assert_eq!(far, format!("{head}partition: t-0\terror: {range}\n"));
    assert!(delete("junk").failure().starts_with("The input string is not a valid JSON"));
    let first = dev.kafka("kafka-get-offsets", &["--topic", "t", "--time", "earliest"], b"").text();
    assert_eq!(first, "t:0:2\n");
}

#[test]
fn versions_and_the_clusters_id() {
    let dev = dev();
    let text = dev.kafka("kafka-broker-api-versions.sh", &[], b"").text();
    let start = format!(
        "{} (id: 1 rack: null) -> (\n\tProduce(0): 0 to 11 [usable: 11],\n\tFetch(1): 0 to 17 [usable: 17],\n",
        dev.bootstrap
    );
    assert!(text.starts_with(&start), "{text}");
    assert!(text.contains("\n\tDescribeQuorum(55): UNSUPPORTED,\n"), "{text}");
    assert!(text.ends_with("\tReadShareGroupStateSummary(87): UNSUPPORTED\n)\n"), "{text}");
    let cluster = |arguments: &[&str]| called("kafka-cluster.sh", arguments, b"");
    let id = cluster(&["cluster-id", "-b", &dev.bootstrap]).text();
    assert!(id.strip_prefix("Cluster ID: ").is_some_and(|id| id.trim_end().len() == 22), "{id}");
    let unregistered = cluster(&["unregister", "--bootstrap-server", &dev.bootstrap, "--id", "1"]).text();
    assert_eq!(unregistered, "The target cluster does not support the broker unregistration API.\n");
    let error = cluster(&[]).failure();
    assert!(error.ends_with("kafka-cluster: error: too few arguments\n"), "{error}");
    assert_eq!(called("cub", &["kafka-ready", "-b", &dev.bootstrap, "1", "20"], b"").text(), "");
    assert_eq!(called("cub", &["zk-ready", &dev.zookeeper, "20"], b"").text(), "");
    let few = called("cub", &["kafka-ready", "-b", &dev.bootstrap, "2", "1"], b"").failure();
    assert!(few.starts_with("Expected 2 brokers but found only 1."), "{few}");
    let nowhere = format!("127.0.0.1:{}", free_port());
    assert_eq!(called("cub", &["zk-ready", &nowhere, "1"], b"").code, Some(1));
}

#[test]
fn segments_are_dumped() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "d"]).text();
    let send = |arguments: &[&str], input: &[u8]| {
        let outcome = dev.kafka("kafka-console-producer", &[&["--topic", "d"], arguments].concat(), input);
        assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    };
    send(&[], b"a\n\n");
    let all =
        ["--property", "parse.key=true", "--property", "parse.headers=true", "--property", "null.marker=N"];
    send(
        &[&all[..], &["--compression-codec", "gzip"]].concat(),
        b"h1:v1,h2:N\tkey\tvalue\nN\tN\tN\nh:x\tk2\tN\n",
    );
    dev.run(&["consume", "d", "--group", "g", "--max", "1"]).text();
    let segment = dev.log_file("d-0", "00000000000000000000.log");
    let dump = |files: &str, arguments: &[&str]| {
        called("kafka-dump-log.sh", &[&["--files", files], arguments].concat(), b"")
    };
    let text = dump(&segment, &["--print-data-log"]).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], [format!("Dumping {segment}").as_str(), "Log starting offset: 0"]);
    let first = "baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 \
                 partitionLeaderEpoch: 0 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty \
                 position: 0 CreateTime: ";
    assert!(lines[2].starts_with(first) && lines[2].ends_with(" isvalid: true"), "{}", lines[2]);
    assert!(lines[2].contains(" magic: 2 compresscodec: none crc: "), "{}", lines[2]);
    // Times of records left out.
    let records: Vec<String> = [3, 4, 6, 7, 8]
        .map(|line| {
            lines[line]
                .split(' ')
                .enumerate()
                .filter(|(word, _)| *word != 4)
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .into();
    let expected = [
        "| offset: 0 CreateTime: keySize: -1 valueSize: 1 sequence: -1 headerKeys: [] payload: a",
        "| offset: 1 CreateTime: keySize: -1 valueSize: 0 sequence: -1 headerKeys: [] payload: ",
        "| offset: 2 CreateTime: keySize: 3 valueSize: 5 sequence: -1 headerKeys: [h1,h2] key: key payload: value",
        "| offset: 3 CreateTime: keySize: -1 valueSize: -1 sequence: -1 headerKeys: []",
        "| offset: 4 CreateTime: keySize: 2 valueSize: -1 sequence: -1 headerKeys: [h] key: k2",
    ];
    assert_eq!(records, expected);
    assert_eq!(dump(&segment, &[]).text().lines().count(), 4);
    let bare = dump(&segment, &["--print-data-log", "--skip-record-metadata"]).text();
    assert_eq!(bare.lines().nth(6), Some("| key: key payload: value"));
    let index = dev.log_file("d-0", "00000000000000000000.index");
    let times = dev.log_file("d-0", "00000000000000000000.timeindex");
    let text = dump(&format!("{index},{times}"), &["--index-sanity-check"]).text();
    assert_eq!(
        text,
        format!("Dumping {index}\n{index} is empty.\nDumping {times}\n{times} passed sanity check.\n")
    );
    let unknown = dump("/nowhere/partition.metadata", &[]);
    assert_eq!(unknown.out, "Dumping /nowhere/partition.metadata\n");
    assert_eq!(unknown.err, "Ignoring unknown file /nowhere/partition.metadata\n");
    // A torn tail is told of.
    let torn = tempfile::tempdir().expect("a directory");
    let copy = torn.path().join("00000000000000000000.log");
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes.truncate(bytes.len() - 5);
    fs::write(&copy, &bytes).expect("a file");
    let text = dump(copy.to_str().expect("a path of letters"), &[]).text();
    assert!(text.contains(" invalid bytes at the end of 00000000000000000000.log\n"), "{text}");
}

#[test]
fn committed_offsets_are_decoded() {
    let dev = dev();
    dev.run(&["consume", "t", "--group", "g", "--max", "3"]).text();
    let mut found = String::new();
    for partition in 0..50 {
        let file = dev.log_file(&format!("__consumer_offsets-{partition}"), "00000000000000000000.log");
        if fs::metadata(&file).is_ok_and(|file| file.len() > 0) {
            found.push_str(&called("kafka-dump-log", &["--files", &file, "--offsets-decoder"], b"").text());
        }
    }
    let offset = "key: {\"type\":\"1\",\"data\":{\"group\":\"g\",\"topic\":\"t\",\"partition\":0}} payload: {\"version\":\"3\",\
                  \"data\":{\"offset\":3,\"leaderEpoch\":-1,\"metadata\":\"\",\"commitTimestamp\":";
    assert!(found.contains(offset), "{found}");
    let member = "\"subscription\":{\"topics\":[\"t\"],\"userData\":null},\"assignment\":{\"assignedPartitions\":\
                  [{\"topic\":\"t\",\"partitions\":[0]}],\"userData\":null}";
    assert!(found.contains(member), "{found}");
}
