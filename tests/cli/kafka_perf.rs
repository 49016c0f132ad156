//! `kafka-producer-perf-test`, `kafka-consumer-perf-test`, and the names of tools that are not there: the shape of what Kafka
//! 3.9.2's print.

use std::time::{Duration, Instant};

use regex::Regex;

use crate::support::{Dev, Outcome, called, free_port, ottla};

const PRODUCER: &str = "kafka-producer-perf-test.sh";
const CONSUMER: &str = "/opt/kafka/bin/kafka-consumer-perf-test";
const WINDOW: &str = r"^[0-9]+ records sent, [0-9]+\.[0-9] records/sec \([0-9]+\.[0-9][0-9] MB/sec\), [0-9]+\.[0-9] ms avg latency, [0-9]+\.0 ms max latency\.$";
const TOTAL: &str = r"^([0-9]+) records sent, ([0-9]+\.[0-9]{6}) records/sec \([0-9]+\.[0-9][0-9] MB/sec\), [0-9]+\.[0-9][0-9] ms avg latency, [0-9]+\.00 ms max latency, [0-9]+ ms 50th, [0-9]+ ms 95th, [0-9]+ ms 99th, [0-9]+ ms 99\.9th\.$";
const TIME: &str = r"[0-9]{4}-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9]{3}";

fn dev(topics: &[(&str, &str)]) -> Dev {
    let dev = Dev::start();
    for (topic, partitions) in topics {
        dev.run(&["topics", "create", topic, "--partitions", partitions]).text();
    }
    dev
}

/// Writes with the perf test; `options` is what a shell would be given, without quotes.
fn produce(dev: &Dev, options: &str) -> Outcome {
    let servers = format!("bootstrap.servers={}", dev.bootstrap);
    let words = options.split_whitespace().chain(["--producer-props", &servers, "linger.ms=1"]);
    called(PRODUCER, &words.collect::<Vec<&str>>(), b"")
}

/// The last line, and how many records it says were sent.
fn sent(text: &str) -> u64 {
    let last = text.lines().last().expect("a line");
    let found = Regex::new(TOTAL).expect("an expression").captures(last).unwrap_or_else(|| panic!("{text}"));
    found[1].parse().expect("a number")
}

fn values(dev: &Dev, topic: &str, max: &str) -> Vec<String> {
    let text = dev.run(&["consume", topic, "--from", "earliest", "--max", max]).text();
    text.lines().map(str::to_owned).collect()
}

/// Records in a topic, by the ends of its partitions.
fn count(dev: &Dev, topic: &str) -> Vec<u64> {
    let text = dev.tool(&format!("kafka-get-offsets --topic {topic}")).text();
    text.lines()
        .map(|line| line.rsplit(':').next().and_then(|end| end.parse().ok()).expect("an end"))
        .collect()
}

#[test]
fn what_was_sent_is_there_and_the_last_line_is_kafkas() {
    let dev = dev(&[("one", "1"), ("many", "4"), ("packed", "1")]);
    let outcome = produce(&dev, "--topic one --num-records 5000 --record-size 100 --throughput -1");
    assert_eq!((sent(&outcome.out), outcome.out.lines().count()), (5_000, 1), "{}", outcome.err);
    assert_eq!((count(&dev, "one"), outcome.err.as_str()), (vec![5_000], ""));
    let some = values(&dev, "one", "50");
    assert!(some.iter().all(|value| value.len() == 100 && value.bytes().all(|b| b.is_ascii_uppercase())));
    assert!(some[0] != some[1], "each record has letters of its own");

    // So many batches that chance does not put all of them into one partition.
    produce(&dev, "--topic many --num-records 20000 --payload-monotonic --throughput -1").text();
    let counts = count(&dev, "many");
    assert_eq!(counts.iter().sum::<u64>(), 20_000);
    assert!(counts.iter().filter(|count| **count > 0).count() > 1, "{counts:?}");
    let mut numbers: Vec<u64> =
        values(&dev, "many", "20000").iter().map(|value| value.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..20_000));

    let metric = Regex::new(r"\nMetric Name +Value\n(.*\n)*producer-metrics:record-send-total:\{client-id=perf-producer-client\} +: 20000\.000\n").unwrap();
    for (codec, acks) in [("gzip", "1"), ("lz4", "all"), ("snappy", "0"), ("zstd", "-1")] {
        let options = format!(
            "--topic packed --num-records 20000 --record-size 50 --throughput -1 --print-metrics --producer-props \
             bootstrap.servers={} compression.type={codec} acks={acks} batch.size=4000 enable.metrics.push=false",
            dev.bootstrap
        );
        let outcome = called(PRODUCER, &options.split_whitespace().collect::<Vec<_>>(), b"");
        assert_eq!(outcome.err, "note: producer properties without effect here: enable.metrics.push\n");
        let text = outcome.text();
        assert!(metric.is_match(&text), "{text}");
        sent(text.lines().next().unwrap());
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while count(&dev, "packed") != [80_000] {
        assert!(Instant::now() < deadline, "{:?}: without acks it takes a moment", count(&dev, "packed"));
    }
    assert_eq!(values(&dev, "packed", "80000").len(), 80_000);
}

#[test]
fn payloads_of_files_and_a_limit_that_is_kept() {
    let dev = dev(&[("t", "1")]);
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("payloads").display().to_string();
    std::fs::write(&path, "red;green;blue").expect("a file");
    let options = format!("--topic t --num-records 300 --payload-file {path} --payload-delimiter ;");
    let began = Instant::now();
    let text = produce(&dev, &format!("{options} --throughput 50")).text();
    let first: Vec<&str> = text.lines().take(2).collect();
    assert_eq!(first, [format!("Reading payloads from: {path}").as_str(), "Number of messages read: 3"]);
    assert!(Regex::new(WINDOW).unwrap().is_match(text.lines().nth(2).unwrap()), "{text}");
    assert_eq!(sent(&text), 300);
    let took = began.elapsed().as_secs_f64();
    assert!((5.9..9.0).contains(&took), "300 records at 50 a second take 6 s, not {took}");
    let all = values(&dev, "t", "300");
    for color in ["red", "green", "blue"] {
        let times = all.iter().filter(|value| *value == color).count();
        assert!(times > 60, "{color}: {times}");
    }

    // What a broker refuses is lost, said, and not counted.
    let wide = "--topic t --num-records 3 --record-size 2000000 --throughput -1";
    let lost = produce(&dev, wide);
    assert!(
        lost.out.starts_with("0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg"),
        "{}",
        lost.out
    );
    let words = "org.apache.kafka.common.errors.RecordTooLargeException: ";
    assert!(lost.err.starts_with(words) && lost.err.lines().count() == 3, "{}", lost.err);
    assert_eq!((lost.code, count(&dev, "t")), (Some(0), vec![300]));
}

#[test]
fn a_leader_that_moves_is_followed() {
    let mut dev = dev(&[("t", "1")]);
    dev.join(2);
    let folder = tempfile::tempdir().expect("a directory");
    let move_to = |broker: u8| {
        let path = folder.path().join(format!("to-{broker}"));
        let text =
            format!(r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[{broker}]}}]}}"#);
        std::fs::write(&path, text).expect("a file");
        dev.run(&["reassign", "execute", path.to_str().expect("letters"), "--watch"]).text();
    };
    move_to(1);
    let text = std::thread::scope(|scope| {
        let options = "--topic t --num-records 2500 --payload-monotonic --throughput 500 --print-metrics";
        let producer = scope.spawn(|| produce(&dev, options).text());
        std::thread::sleep(Duration::from_millis(800));
        move_to(2);
        move_to(1);
        producer.join().expect("the producer ends")
    });
    let total = text.lines().find(|line| line.ends_with("99.9th.")).expect("the last line");
    assert_eq!(sent(total), 2_500);
    let retries = Regex::new(r"record-retry-total:[^:]+: ([0-9]+)").unwrap();
    let retries: u64 = retries.captures(&text).expect("a metric")[1].parse().unwrap();
    assert!(retries > 0, "the test was over before the leader moved: {text}");
    // What an old leader wrote and did not answer for may be there twice.
    let max = count(&dev, "t")[0].to_string();
    let mut numbers: Vec<u64> = values(&dev, "t", &max).iter().map(|value| value.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.into_iter().eq(0..2_500));
}

#[test]
fn what_is_read_is_counted_and_committed() {
    let dev = dev(&[("t", "3")]);
    produce(&dev, "--topic t --num-records 9000 --record-size 1024 --throughput -1").text();
    let read = |options: &str| {
        let words: Vec<&str> = options.split_whitespace().collect();
        dev.kafka(CONSUMER, &[&["--topic", "t"], &words[..]].concat(), b"")
    };
    let text = read("--messages 4096 --group g --timeout 5000").text();
    let header = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
                  fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n";
    let figures =
        r"[0-9]+\.[0-9]{4}, 4096, [0-9]+\.[0-9]{4}, [0-9]+, [0-9]+, [0-9]+\.[0-9]{4}, [0-9]+\.[0-9]{4}\n$";
    let line = Regex::new(&format!("^{TIME}, {TIME}, 4\\.0000, {figures}")).unwrap();
    let rest = text.strip_prefix(header).unwrap_or_else(|| panic!("{text}"));
    assert!(line.is_match(rest), "{rest}");
    // The group goes on where it was, and ends when nothing comes any more.
    let outcome =
        read("--messages 9000 --group g --timeout 700 --hide-header --date-format yyyy --print-metrics");
    let lines: Vec<&str> = outcome.out.lines().collect();
    let warning = "WARNING: Exiting before consuming the expected number of messages: timeout (700 ms) exceeded. You can \
                   use the --timeout option to increase the timeout.";
    assert_eq!((lines[0], outcome.code), (warning, Some(0)), "{}", outcome.err);
    let rest = Regex::new(r"^[0-9]{4}, [0-9]{4}, 4\.7891, [0-9]+\.[0-9]{4}, 4904, ").unwrap();
    assert!(rest.is_match(lines[1]), "{}", outcome.out);
    assert!(
        outcome.out.contains(
            "consumer-fetch-manager-metrics:records-consumed-total:{client-id=perf-consumer-client}"
        )
    );
    // A small --fetch-size needs many answers, so that there is a line each few milliseconds.
    let text = read("--messages 9000 --fetch-size 20000 --show-detailed-stats --reporting-interval 5").text();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("time, threadId, data.consumed.in.MB, "), "{text}");
    let line = Regex::new(&format!(r"^{TIME}, 0, [0-9]+\.[0-9]{{4}}, [0-9]+\.[0-9]{{4}}, ([0-9]+), [0-9]+\.[0-9]{{4}}, [0-9]+, -?[0-9]+, ")).unwrap();
    let mut before = 0;
    for text in lines {
        let count: u64 = line.captures(text).unwrap_or_else(|| panic!("{text}"))[1].parse().unwrap();
        assert!(before < count && count <= 9_000, "{text}");
        before = count;
    }
    assert!(before > 0, "no line: {text}");
    let text = read("--messages 5 --from-latest --timeout 300 --group late --hide-header").text();
    assert!(text.lines().nth(1).unwrap().contains(", 0.0000, 0.0000, 0, 0.0000, "), "{text}");
}

#[test]
fn who_finds_no_broker_waits_and_says_so() {
    let nowhere = format!("127.0.0.1:{}", free_port());
    let at = ["--bootstrap-server", &nowhere, "--topic", "t"];
    let hint = "start one, or name it with --bootstrap-server\n";
    let perf = called(CONSUMER, &[&at[..], &["--messages", "1", "--timeout", "400"]].concat(), b"");
    assert!(perf.out.contains("\nWARNING: Exiting before consuming") && perf.code == Some(0), "{}", perf.out);
    assert!(perf.err.starts_with("WARN no broker of ") && perf.err.ends_with(hint), "{}", perf.err);
    let began = Instant::now();
    let console = called("kafka-console-consumer", &[&at[..], &["--timeout-ms", "600"]].concat(), b"");
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert_eq!((console.code, console.out.as_str()), (Some(0), ""), "{}", console.err);
    assert!(console.err.starts_with("WARN no broker of "), "{}", console.err);
    assert!(console.err.contains("Processed a total of 0 messages\n"), "{}", console.err);
    let props = format!("bootstrap.servers={nowhere}");
    let words = "--topic t --num-records 1 --record-size 1 --throughput -1 --producer-props max.block.ms=300";
    let words: Vec<&str> = words.split_whitespace().chain([props.as_str()]).collect();
    let lost = called(PRODUCER, &words, b"").failure();
    assert!(lost.starts_with("org.apache.kafka.common.errors.TimeoutException: no broker of "), "{lost}");
    assert!(lost.ends_with(hint), "{lost}");
}

#[test]
fn a_consumer_that_waits_reads_once_there_is_a_broker() {
    let (port, zookeeper_port) = (free_port(), free_port());
    let at = format!("127.0.0.1:{port}");
    let reader = std::thread::spawn(move || {
        let words = ["--topic", "t", "--from-beginning", "--max-messages", "1", "--timeout-ms", "30000"];
        called("kafka-console-consumer", &[&["--bootstrap-server", &at][..], &words].concat(), b"")
    });
    std::thread::sleep(Duration::from_millis(300));
    let dev = Dev::start_at(port, zookeeper_port).expect("a broker");
    dev.run_with(&["produce", "t"], b"x\n");
    let read = reader.join().expect("the reader ends");
    assert_eq!((read.code, read.out.as_str()), (Some(0), "x\n"), "{}", read.err);
    // The port of a ZooKeeper may be left out; nobody is asked here, for it may be anybody's.
    let wrong = ottla(&["znodes", "ls", "/", "--zookeeper", "127.0.0.1:"], b"").failure();
    assert!(wrong.contains("is no ZooKeeper server"), "{wrong}");
}

#[test]
fn wrong_usage_is_said_in_kafkas_words() {
    let whole = "--topic t --num-records 1 --throughput 1 --record-size 1";
    let below = "producer-performance: error: ";
    let cases = [
        (PRODUCER, "--bogus", format!("{below}unrecognized arguments: '--bogus'")),
        (PRODUCER, "--topic t", format!("{below}argument --num-records is required")),
        (
            PRODUCER,
            "--topic t --num-records 1 --throughput 1",
            format!(
                "{below}one of the arguments --record-size --payload-file --payload-monotonic is required"
            ),
        ),
        (PRODUCER, whole, format!("{below}Either --producer-props or --producer.config must be specified.")),
        (
            PRODUCER,
            &format!("{whole} --producer-props ab"),
            "java.lang.IllegalArgumentException: Invalid property: ab".to_owned(),
        ),
        (
            PRODUCER,
            &format!("{whole} --producer-props bootstrap.servers=h:1 --transaction-duration-ms 100"),
            "Ottla has no transactions yet".to_owned(),
        ),
        (
            PRODUCER,
            &format!("{whole} --producer-props bootstrap.servers=h:1 acks=7"),
            "Invalid value 7 for configuration acks".to_owned(),
        ),
        (
            CONSUMER,
            "--topic t --messages 1",
            "Missing required option(s) [bootstrap-server]\nOption ".to_owned(),
        ),
        (
            CONSUMER,
            "--topic t --bootstrap-server h:1",
            "Missing required argument \"[messages]\"\nOption ".to_owned(),
        ),
        (
            CONSUMER,
            "--topic t --messages x --broker-list h:1",
            "Cannot parse argument 'x' of option messages".to_owned(),
        ),
        (
            CONSUMER,
            "--topic t --messages 1 --broker-list h:1 --date-format b",
            "Illegal pattern character 'b'".to_owned(),
        ),
    ];
    for (tool, options, words) in &cases {
        let text = called(tool, &options.split_whitespace().collect::<Vec<_>>(), b"").failure();
        assert!(text.contains(words), "{tool} {options}: {text}");
    }
}

#[test]
fn names_without_a_tool_say_one_sentence() {
    let names = ottla(&["tool-names"], b"").text();
    for name in ["kafka-acls", "kafka-features", "kafka-verifiable-producer", "trogdor", "connect-standalone"]
    {
        assert!(names.lines().any(|line| line == name), "{name}");
        let text = called(&format!("/opt/kafka/bin/{name}.sh"), &["--help"], b"").failure();
        assert!(text.starts_with(&format!("{name}: ")) && text.lines().count() == 1, "{text}");
    }
    let text = called("kafka-run-class", &["kafka.admin.AclCommand", "--list"], b"").failure();
    assert!(text.starts_with("kafka-acls: "), "{text}");
}
