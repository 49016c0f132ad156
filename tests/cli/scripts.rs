//! `scripts/package` and `scripts/cluster`, with this binary.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Outcome, free_port};

fn script(name: &str, arguments: &[&str]) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    run(Command::new(path).args(arguments).env("OTTLA_BIN", env!("CARGO_BIN_EXE_ottla")))
}

fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn lacks(program: &str) -> bool {
    let missing = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err();
    if missing {
        eprintln!("SKIPPED: there is no {program} here");
    }
    missing
}

#[test]
fn the_package_has_kafkas_layout_and_runs_where_it_is_unpacked() {
    if lacks("tar") {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path().display().to_string();
    let said = script("package", &[&at]).text();
    let file = said.lines().last().expect("a file");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(file, format!("{at}/ottla-{version}.tgz"));
    run(Command::new("tar").args(["-C", &at, "-xzf", file])).text();
    let home = format!("{at}/moved");
    fs::rename(format!("{at}/ottla-{version}"), &home).expect("moved");

    let names = run(Command::new(format!("{home}/bin/ottla")).arg("tool-names")).text();
    assert!(names.lines().any(|name| name == "kafka-server-start"), "{names}");
    for name in names.lines().filter(|name| *name != "kafka.Kafka") {
        for name in [name.to_owned(), format!("{name}.sh")] {
            assert!(Path::new(&format!("{home}/bin/{name}")).is_file(), "{name} is no link to the binary");
        }
    }
    for name in ["kafka.Kafka", "LICENSE", "README.md"] {
        assert!(Path::new(&format!("{home}/{name}")).is_file(), "{name}");
    }
    let logs = fs::metadata(format!("{home}/logs")).expect("a directory");
    assert!(logs.is_dir());
    let config = format!("{home}/config/server.properties");
    let checked = run(Command::new(format!("{home}/bin/ottla")).args(["config", "check", &config])).text();
    assert!(checked.contains("0 warnings"), "{checked}");
    let version = run(Command::new(format!("{home}/bin/kafka-server-start.sh")).arg("--version")).text();
    assert!(version.starts_with("3.9"), "{version}");
    let nobody = format!("127.0.0.1:{}", free_port());
    let shell = run(Command::new(format!("{home}/bin/zookeeper-shell.sh")).args([&nobody, "ls", "a"]));
    assert!(shell.err.contains("Path must start with /"), "{}", shell.err);
}

/// A cluster in a directory of its own; taken down when the test ends.
struct Cluster {
    folder: tempfile::TempDir,
    port: u16,
    zookeeper_port: u16,
}

impl Cluster {
    fn new() -> Cluster {
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let three = || Some(free_port()).filter(|port| free(port + 1) && free(port + 2));
        let port = std::iter::from_fn(|| Some(three())).flatten().next().expect("it goes on");
        let zookeeper_port = std::iter::from_fn(|| Some(free_port()))
            .find(|other| other.abs_diff(port) > 2)
            .expect("it goes on");
        Cluster { folder: tempfile::tempdir().expect("a directory"), port, zookeeper_port }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let data = self.folder.path().join("data").display().to_string();
        script("cluster", &[arguments, &["--data", &data]].concat())
    }

    fn up(&self) -> Outcome {
        let ports = [self.port.to_string(), self.zookeeper_port.to_string()];
        self.run(&["up", "--port", &ports[0], "--zookeeper-port", &ports[1], "--zookeeper", "embedded"])
    }

    /// State and process of each part.
    fn parts(&self) -> BTreeMap<String, (String, Option<u64>)> {
        let status = self.run(&["status", "--output", "json"]).json();
        let text = |part: &Value, name: &str| part[name].as_str().expect("a text").to_owned();
        let parts = status["parts"].as_array().expect("a list").iter();
        parts.map(|part| (text(part, "name"), (text(part, "state"), part["pid"].as_u64()))).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

#[test]
fn a_cluster_goes_up_loses_a_broker_and_comes_down() {
    if lacks("python3") {
        return;
    }
    let cluster = Cluster::new();
    let error = cluster.run(&["status"]).failure();
    assert!(error.contains("start one with scripts/cluster up"), "{error}");
    let said = cluster.up().text();
    let bootstrap = [0, 1, 2].map(|next| format!("127.0.0.1:{}", cluster.port + next)).join(",");
    assert!(said.contains(&format!("point clients at  {bootstrap}\n")), "{said}");
    assert!(said.contains(&format!("ZooKeeper is at   127.0.0.1:{}\n", cluster.zookeeper_port)), "{said}");
    let first = cluster.parts();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["broker-1", "broker-2", "broker-3", "zookeeper"]);
    assert!(first.values().all(|(state, pid)| state == "up" && pid.is_some()), "{first:?}");
    cluster.up().text();
    assert_eq!(cluster.parts(), first, "nothing is started twice");

    let killed = cluster.run(&["kill", "2"]).text();
    assert!(killed.contains("scripts/cluster start 2 --data "), "{killed}");
    let after = cluster.parts();
    assert_eq!(after["broker-2"], ("down".into(), None));
    assert_eq!(after["broker-1"], first["broker-1"]);
    assert!(cluster.run(&["kill", "2"]).failure().contains("does not run"));
    assert!(cluster.run(&["kill", "9"]).failure().contains("there are 1, 2, 3"));
    cluster.run(&["start", "2"]).text();
    assert_eq!(cluster.parts()["broker-2"].0, "up");
    let ids = cluster.run(&["znodes", "ls", "/brokers/ids"]).text();
    assert_eq!(ids.lines().count(), 4, "{ids}");
    let log = cluster.run(&["logs", "2", "--lines", "1000"]).text();
    assert_eq!(log.matches("[KafkaServer id=2] started").count(), 2, "{log}");

    cluster.run(&["down"]).text();
    let down = cluster.parts();
    assert!(down.values().all(|part| *part == ("down".into(), None)), "{down:?}");
    let gone = first.values().filter_map(|(_, pid)| *pid).all(|pid| !runs(pid));
    assert!(gone, "{first:?}");
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence_and_nothing_is_started() {
    let error = script("package", &["--bogus"]);
    assert_eq!(error.code, Some(2), "{}", error.out);
    assert!(error.err.contains("--bogus is not understood"), "{}", error.err);
    assert!(script("package", &["--help"]).text().contains("OTTLA_BIN"));
    if lacks("python3") {
        return;
    }
    let cluster = Cluster::new();
    let data = cluster.folder.path().join("data");
    let up = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster");
        let mut command = Command::new(path);
        command.args(["up", "--zookeeper", "embedded", "--data"]).arg(&data).env("OTTLA_BIN", "/no/such");
        run(&mut command).failure()
    };
    assert!(up().starts_with("cluster: there is no binary at /no/such"));
    assert!(!data.exists(), "nothing was begun");
    fs::write(&data, "a file").expect("written");
    for action in ["up", "status", "down"] {
        let error = cluster.run(&[action]).failure();
        assert!(
            error.starts_with("cluster: ") && error.contains("--data names another"),
            "{action}: {error}"
        );
    }
}

/// Whether a process of this binary has this id.
fn runs(pid: u64) -> bool {
    let ours = fs::read_link(format!("/proc/{pid}/exe"));
    ours.is_ok_and(|file| file.ends_with("ottla"))
}

#[test]
fn a_process_that_only_has_the_id_is_left_alone() {
    if lacks("python3") {
        return;
    }
    let cluster = Cluster::new();
    cluster.up().text();
    cluster.run(&["down"]).text();
    let mut other = Command::new("sleep").arg("60").spawn().expect("sleep is there");
    let file = cluster.folder.path().join("data/cluster.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    kept["parts"]["broker-1"]["pid"] = other.id().into();
    kept["parts"]["broker-1"]["moment"] = "another boot 17".into();
    fs::write(&file, kept.to_string()).expect("written");
    assert_eq!(cluster.parts()["broker-1"], ("down".into(), None));
    cluster.run(&["down"]).text();
    let alive = other.try_wait().expect("a child").is_none();
    other.kill().and_then(|()| other.wait()).expect("it is ours");
    assert!(alive, "a process of somebody else was stopped");
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_left_behind() {
    if lacks("python3") {
        return;
    }
    let cluster = Cluster::new();
    let taken = TcpListener::bind(("127.0.0.1", cluster.port + 1)).expect("it was free");
    let error = cluster.up();
    assert_eq!(error.code, Some(1), "{}", error.out);
    let sentence = format!("port {}, for broker-2, is taken by another process", cluster.port + 1);
    assert!(error.err.contains(&sentence) && error.err.contains("--port"), "{}", error.err);
    assert!(cluster.run(&["status"]).failure().contains("there is no cluster"), "not even half of one");
    drop(taken);
    cluster.up().text();
}
