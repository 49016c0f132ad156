//! Three brokers and a real ZooKeeper: records, znodes, a broker killed and started again at once, a broker stopped.

use std::thread;
use std::time::{Duration, Instant};

use ottla_docker_tests::engine::{self, docker, eventually};
use ottla_docker_tests::metadata;
use ottla_docker_tests::stack::{Stack, logs, run, shell};
use serde_json::Value;

const TOPIC: &str = "orders";
const PARTITIONS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

fn produce(stack: &Stack, by: i32, numbers: std::ops::RangeInclusive<u32>) {
    let script = format!(
        "seq {} {} | ottla produce {TOPIC} --bootstrap {}",
        numbers.start(),
        numbers.end(),
        stack.bootstrap()
    );
    shell(&stack.broker(by).container, &script).expect("records are written");
}

/// All that there is, in order of the numbers.
fn consume(stack: &Stack, by: i32) -> Vec<u32> {
    let script = format!("ottla consume {TOPIC} --timeout 3000 --bootstrap {}", stack.bootstrap());
    let said = shell(&stack.broker(by).container, &script).expect("records are read");
    let mut numbers: Vec<u32> = said.lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

/// Each partition's leader and in-sync replicas, as a broker tells them.
fn partitions(stack: &Stack, by: i32) -> Result<Vec<(i64, usize)>, String> {
    let command =
        ["ottla", "topics", "describe", TOPIC, "--output", "json", "--bootstrap", &stack.bootstrap()];
    let said = run(&stack.broker(by).container, &command)?;
    let topics: Value = serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))?;
    let list = topics[0]["partitions"].as_array().ok_or_else(|| said.clone())?;
    let one = |partition: &Value| {
        (partition["leader"].as_i64().unwrap_or(-1), partition["isr"].as_array().map_or(0, Vec::len))
    };
    Ok(list.iter().map(one).collect())
}

fn all_in_sync(stack: &Stack, by: i32) -> Result<(), String> {
    let found = partitions(stack, by)?;
    match found.len() == PARTITIONS && found.iter().all(|(leader, isr)| *leader >= 0 && *isr == 3) {
        true => Ok(()),
        false => Err(format!("{found:?}")),
    }
}

/// A znode's data, by ZooKeeper's own shell.
fn znode(stack: &Stack, path: &str) -> Value {
    let said = stack.zk_cli("get", path).expect("the znode is there");
    serde_json::from_str(&said).expect("a znode of Kafka's is JSON, or a number")
}

fn controller(stack: &Stack) -> i32 {
    znode(stack, "/controller")["brokerid"].as_i64().expect("an id") as i32
}

fn controller_epoch(stack: &Stack) -> i64 {
    let said = run(&stack.zookeeper, &["zkCli.sh", "-server", "127.0.0.1:2181", "get", "/controller_epoch"]);
    let said = said.expect("the epoch is there");
    said.lines().rev().find_map(|line| line.trim().parse().ok()).expect("a number")
}

fn create(stack: &Stack) {
    let partitions = PARTITIONS.to_string();
    let command =
        ["ottla", "topics", "create", TOPIC, "--partitions", &partitions, "--replication-factor", "3"];
    run(&stack.broker(1).container, &[&command[..], &["--bootstrap", &stack.bootstrap()]].concat())
        .expect("a topic is made");
}

#[test]
fn records_and_znodes_are_as_kafka_keeps_them() {
    let Some(_turn) = engine::turn() else { return };
    let stack = Stack::start(3);
    create(&stack);
    produce(&stack, 1, 1..=2000);
    assert_eq!(consume(&stack, 2), (1..=2000).collect::<Vec<u32>>());

    assert_eq!(stack.zk_cli("ls", "/brokers/ids"), Ok("[1, 2, 3]".into()));
    let one = znode(&stack, "/brokers/ids/1");
    let endpoint = format!("EXTERNAL://127.0.0.1:{}", stack.broker(1).port);
    let endpoints: Vec<&str> =
        one["endpoints"].as_array().expect("endpoints").iter().filter_map(Value::as_str).collect();
    assert!(endpoints.contains(&endpoint.as_str()), "{one}");
    assert_eq!(
        znode(&stack, "/brokers/topics/orders")["partitions"].as_object().map(|all| all.len()),
        Some(PARTITIONS)
    );
    for partition in 0..PARTITIONS {
        let state = znode(&stack, &format!("/brokers/topics/{TOPIC}/partitions/{partition}/state"));
        assert_eq!(state["isr"].as_array().map(Vec::len), Some(3), "{state}");
        assert!((1..=3).contains(&state["leader"].as_i64().expect("a leader")), "{state}");
    }
    let chosen = controller(&stack);
    assert!((1..=3).contains(&chosen));
    // The image's own way to look at the same.
    let zookeeper = format!("{}-zoo:2181", stack.name);
    let ours = run(
        &stack.broker(2).container,
        &["ottla", "znodes", "get", "/controller", "--output", "json", "--zookeeper", &zookeeper],
    );
    let ours: Value = serde_json::from_str(&ours.expect("ottla znodes works")).expect("JSON");
    assert_eq!(ours["data"]["brokerid"].as_i64(), Some(i64::from(chosen)));
}

#[test]
fn kafkas_tools_work_by_their_names() {
    let Some(_turn) = engine::turn() else { return };
    let stack = Stack::start(1);
    let broker = &stack.brokers[0].container;
    let at = format!("--bootstrap-server {}", stack.bootstrap());
    let script = format!(
        "set -eo pipefail
         kafka-topics.sh {at} --create --topic tools --partitions 2 >&2
         seq 1 10 | kafka-console-producer {at} --topic tools
         kafka-console-consumer.sh {at} --topic tools --group g --from-beginning --max-messages 10 --timeout-ms 20000 | sort -n
         /opt/kafka/bin/kafka-consumer-groups.sh {at} --describe --group g
         zookeeper-shell {}-zoo:2181 ls /brokers/ids",
        stack.name
    );
    let said = shell(broker, &script).expect("every tool ends well");
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..10], ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], "{said}");
    assert!(lines.iter().any(|line| line.contains("tools") && line.starts_with('g')), "{said}");
    assert_eq!(lines.last(), Some(&"[1]"), "{said}");
}

#[test]
fn a_broker_killed_and_started_at_once_comes_back_by_itself() {
    let Some(_turn) = engine::turn() else { return };
    let stack = Stack::start(3);
    create(&stack);
    produce(&stack, 1, 1..=1000);
    eventually(Duration::from_secs(30), || all_in_sync(&stack, 1)).expect("all replicas are in sync");
    let (victim, epoch) = (controller(&stack), controller_epoch(&stack));
    let witness = if victim == 1 { 2 } else { 1 };
    let id = stack.broker(victim).container.id();

    docker(&["kill", id]).expect("it is killed");
    docker(&["start", id]).expect("it is started at once: its registration still stands");
    let killed = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| produce(&stack, witness, 1001..=3000));
        // It listens once it has registered anew, which it cannot before its old session has ended.
        let port = stack.broker(victim).port;
        let back = metadata::wait(port, 3, PATIENCE).map(|_| killed.elapsed());
        let back = back.and_then(|up| eventually(PATIENCE, || all_in_sync(&stack, victim)).map(|_| up));
        match back {
            Ok(up) => eprintln!(
                "broker {victim}, the controller, killed: serves again after {:.1} s, in sync after {:.1} s",
                up.as_secs_f64(),
                killed.elapsed().as_secs_f64()
            ),
            Err(error) => panic!("{error}\n{}", logs(&stack.broker(victim).container)),
        }
    });
    let state = docker(&["inspect", "-f", "{{.State.Running}} {{.RestartCount}}", id]).expect("it is there");
    assert_eq!(state, "true 0", "it waited, and did not have to be started again");
    assert!(controller_epoch(&stack) > epoch, "another controller was elected");
    assert_eq!(stack.zk_cli("ls", "/brokers/ids"), Ok("[1, 2, 3]".into()));
    // The producer sends a batch again whose answer it has not got, and is not idempotent: twice is allowed, missing is not.
    let mut found = consume(&stack, victim);
    let all = found.len();
    found.dedup();
    eprintln!("{} records were acknowledged, {} came twice", found.len(), all - found.len());
    assert_eq!(found, (1..=3000).collect::<Vec<u32>>());
}

#[test]
fn a_broker_that_is_stopped_hands_its_partitions_over() {
    let Some(_turn) = engine::turn() else { return };
    let stack = Stack::start(3);
    create(&stack);
    eventually(Duration::from_secs(30), || all_in_sync(&stack, 1)).expect("all replicas are in sync");
    let gone = stack.broker(3).container.id();
    docker(&["stop", "-t", "60", gone]).expect("it stops");
    // Controlled: no session has to run out before others lead.
    let found = partitions(&stack, 1).expect("the others answer");
    assert!(found.iter().all(|(leader, isr)| [1, 2].contains(leader) && *isr == 2), "{found:?}");
    assert_eq!(stack.zk_cli("ls", "/brokers/ids"), Ok("[1, 2]".into()));
    produce(&stack, 1, 1..=500);
    docker(&["start", gone]).expect("it starts");
    eventually(Duration::from_secs(60), || all_in_sync(&stack, 1)).expect("it is in sync again");
    assert_eq!(consume(&stack, 3), (1..=500).collect::<Vec<u32>>());
}
