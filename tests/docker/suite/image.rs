//! What the image promises of itself: its size, its user, its one process, its names, its health, its end.

use std::time::Duration;

use ottla_docker_tests::engine::{self, docker, eventually};
use ottla_docker_tests::stack::{Stack, logs, run, shell};

const LARGEST_MB: f64 = 80.0;

fn inspect(id: &str, template: &str) -> String {
    docker(&["inspect", "-f", template, id]).expect("what was just made can be inspected")
}

#[test]
fn it_is_small_and_runs_as_nobody_in_particular() {
    let Some(_turn) = engine::turn() else { return };
    let image = engine::image();
    let megabytes = inspect(&image, "{{.Size}}").parse::<f64>().expect("a number") / 1e6;
    eprintln!("size of {image}: {megabytes:.1} MB");
    assert!(megabytes <= LARGEST_MB, "{megabytes} MB");
    assert_eq!(inspect(&image, "{{.Config.User}}"), "1000");
    assert_eq!(inspect(&image, "{{.Config.StopSignal}}"), "SIGTERM");
}

#[test]
fn one_process_answers_for_its_health_and_ends_in_order() {
    let Some(_turn) = engine::turn() else { return };
    let stack = Stack::start(1);
    let broker = &stack.brokers[0].container;
    assert_eq!(shell(broker, "readlink /proc/1/exe"), Ok("/usr/bin/ottla".into()), "no shell around it");
    let children = shell(broker, "cat /proc/1/task/1/children").expect("process 1 has a list of children");
    assert_eq!(children, "", "one process");
    assert_eq!(run(broker, &["id", "-u"]), Ok("1000".into()));
    run(broker, &["ottla", "health"]).expect("a broker that serves is healthy");
    // How compose files ask.
    run(broker, &["sh", "-c", "nc -z localhost 9092 || exit 1"]).expect("the port is open");
    run(broker, &["nc", "-vz", "-w", "2", "localhost", "9091"]).expect_err("this one is not");
    let healthy = || match inspect(broker.id(), "{{.State.Health.Status}}").as_str() {
        "healthy" => Ok(()),
        other => Err(other.to_owned()),
    };
    eventually(Duration::from_secs(20), healthy).expect("the engine finds it healthy too");

    docker(&["stop", "-t", "30", broker.id()]).expect("it stops");
    assert_eq!(inspect(broker.id(), "{{.State.ExitCode}}"), "0", "{}", logs(broker));
    assert!(logs(broker).contains("shut down"), "{}", logs(broker));
    assert_eq!(stack.zk_cli("ls", "/brokers/ids"), Ok("[]".into()), "it has taken its name off");
}

#[test]
fn health_fails_where_no_broker_is() {
    let Some(_turn) = engine::turn() else { return };
    let alone = docker(&["run", "--rm", &engine::image(), "ottla", "health"]);
    assert!(alone.is_err(), "{alone:?}");
}

/// Every name that Kafka's images have leads to the binary, and the paths of data belong to the user.
#[test]
fn names_and_paths_are_those_of_kafkas_images() {
    let Some(_turn) = engine::turn() else { return };
    let script = r#"
        for tool in kafka-topics kafka-console-producer kafka-console-consumer kafka-consumer-groups kafka-configs zookeeper-shell; do
          for name in $tool $tool.sh; do
            for path in $(command -v $name) /opt/kafka/bin/$name /opt/bitnami/kafka/bin/$name; do
              [ "$(readlink -f $path)" = /usr/bin/ottla ] || echo "$path is not ottla"
            done
          done
        done
        for entry in /etc/confluent/docker/run /etc/kafka/docker/run /opt/bitnami/scripts/kafka/run.sh \
            $(command -v start-kafka.sh || echo start-kafka.sh); do
          [ "$(readlink -f $entry)" = /usr/bin/ottla ] || echo "$entry is not ottla"
        done
        for directory in /var/lib/ottla/data /var/lib/kafka/data /bitnami/kafka /kafka /opt/kafka/config /opt/bitnami/kafka/config \
            /etc/kafka/secrets /mnt/shared/config /tmp; do
          touch $directory/x || echo "$directory cannot be written"
        done"#;
    let faults = |user: &str| {
        docker(&["run", "--rm", "--user", user, &engine::image(), "bash", "-c", script])
            .expect("the image has a shell")
    };
    assert_eq!(faults("1000"), "");
    assert_eq!(faults("12345:0"), "", "a user of no name, of group 0");
}
