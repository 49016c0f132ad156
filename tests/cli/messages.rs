//! `ottla produce` and `ottla consume`.

use serde_json::{Value, json};

use crate::support::Dev;

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn the_first_message_in_three_commands() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "hello"]).text();
    let sent = dev.run_with(&["produce", "hello"], b"first message\n");
    assert!(sent.err.starts_with("sent 1 record in "), "{}", sent.err);
    let read = dev.run(&["consume", "hello", "--max", "1"]);
    assert_eq!(
        (read.code, read.out.as_str(), read.err.as_str()),
        (Some(0), "first message\n", "read 1 record\n")
    );
}

#[test]
fn every_codec_and_every_acks_arrives_in_order() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "t"]).text();
    let mut expected = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let values: Vec<String> = (0..500).map(|n| format!("{codec} {n}")).collect();
        dev.run_with(&["produce", "t", "--compression", codec], values.join("\n").as_bytes()).text();
        expected.extend(values);
    }
    dev.run_with(&["produce", "t", "--acks", "1"], b"leader\r\n\n").text();
    dev.run_with(&["produce", "t", "--acks", "0"], b"nobody\n").text();
    expected.extend(["leader", "", "nobody"].map(str::to_owned));
    let all = dev.run(&["consume", "t", "--max", "2503"]).text();
    assert!(lines(&all) == expected, "records differ");
    let tail = dev.run(&["consume", "t", "--from", "2500", "--timeout", "300", "--read-committed"]).text();
    assert_eq!(tail, "leader\n\nnobody\n");
    let nothing = dev.run(&["consume", "t", "--from", "latest", "--timeout", "200"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), ""));
}

#[test]
fn keys_choose_partitions_as_in_kafka() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "k", "--partitions", "10"]).text();
    dev.run_with(&["produce", "k", "--key-separator", ":"], b"21:a\nfoobar:b:c\nabc:\n21:d\n").text();
    dev.run_with(&["produce", "k", "--partition", "9"], b"\xff\n").text();
    let out = dev.run(&["consume", "k", "--format", "json", "--max", "5"]).text();
    let mut rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    rows.sort_by_key(|row| (row["partition"].as_i64(), row["offset"].as_i64()));
    let facts: Vec<_> =
        rows.iter().map(|row| json!([row["partition"], row["offset"], row["key"], row["value"]])).collect();
    // (murmur2(key) & 0x7fffffff) % 10 with the hashes of Kafka's own tests.
    let partition = |hash: i32| (hash & 0x7fff_ffff) % 10;
    let mut expected = vec![
        json!([partition(-973_932_308), 0, "21", "a"]),
        json!([partition(-790_332_482), 0, "foobar", "b:c"]),
        json!([partition(479_470_107), 0, "abc", ""]),
        json!([partition(-973_932_308), 1, "21", "d"]),
        json!([9, 0, null, {"base64": "/w=="}]),
    ];
    expected.sort_by_key(|row| (row[0].as_i64(), row[1].as_i64()));
    assert_eq!(facts, expected);
    let pairs = dev.run(&["consume", "k", "--partition", "9", "--format", "key-value", "--max", "1"]);
    assert_eq!(pairs.code, Some(0));
    assert!(pairs.out.starts_with("null\t"), "{}", pairs.out);
}

#[test]
fn much_input_is_sent_in_batches_over_all_partitions() {
    let dev = Dev::start();
    dev.run(&["topics", "create", "many", "--partitions", "3"]).text();
    let line = "x".repeat(199);
    let input = format!("{line}\n").repeat(50_000);
    let sent = dev.run_with(&["produce", "many", "--json"], input.as_bytes());
    let report: Value = serde_json::from_str(&sent.err).expect("a report");
    assert_eq!(report["records"], 50_000);
    let read = dev.run(&["consume", "many", "--max", "50000"]);
    assert_eq!(read.out.len(), input.len());
    for partition in ["0", "1", "2"] {
        let read = dev.run(&["consume", "many", "--partition", partition, "--max", "1"]).text();
        assert_eq!(read.trim_end(), line);
    }
}

#[test]
fn wrong_input_is_explained() {
    let dev = Dev::start();
    for command in [["produce", "nobody"], ["consume", "nobody"]] {
        let text = dev.run(&command).failure();
        assert!(
            text.starts_with("ottla: topic nobody: UNKNOWN_TOPIC_OR_PARTITION: it does not exist"),
            "{text}"
        );
    }
    dev.run(&["topics", "create", "t", "--config", "max.message.bytes=1000"]).text();
    let text = dev.run_with(&["produce", "t", "--key-separator", "="], b"a=1\nb\n").failure();
    assert!(text.contains("line 2 has no key separator \"=\""), "{text}");
    let text = dev.run_with(&["produce", "t"], &[b'x'; 2000]).failure();
    assert!(text.contains("MESSAGE_TOO_LARGE") && text.contains("max.message.bytes"), "{text}");
    let text = dev.run(&["consume", "t", "--partition", "7"]).failure();
    assert!(text.contains("topic t has no partition 7"), "{text}");
    let text = dev.run(&["produce", "t", "--partition", "7"]).failure();
    assert!(text.contains("topic t has no partition 7"), "{text}");
    let read = dev.run(&["consume", "t", "--from", "99"]);
    assert_eq!(read.code, Some(1));
    assert!(read.err.contains("OFFSET_OUT_OF_RANGE"), "{}", read.err);
}
