//! The promised cases, from `tests/fixtures/dialects.toml`.

use std::collections::BTreeMap;

use super::mapped::Mapped;
use super::topics::NewTopic;
use super::{Outside, Plan, Source, plan};

const CASES: &str = include_str!("../../../tests/fixtures/dialects.toml");

/// A container that has only what a case names.
#[derive(Default)]
struct Box {
    files: BTreeMap<String, String>,
    mounts: Vec<String>,
    says: BTreeMap<String, String>,
    /// What the Docker engine maps to 9092, if it is there.
    engine: Option<Result<Mapped, String>>,
}

impl Outside for Box {
    fn file(&self, path: &str) -> Result<Option<String>, String> {
        Ok(self.files.get(path).cloned())
    }

    fn is_mounted(&self, path: &str) -> bool {
        self.mounts.iter().any(|mount| mount == path)
    }

    fn run(&self, command: &str) -> Result<String, String> {
        self.says.get(command).cloned().ok_or_else(|| "it failed".to_owned())
    }

    fn mapped_port(&self, container: &str, port: u16) -> Result<Mapped, String> {
        assert_eq!(container, "box");
        match &self.engine {
            None => Ok(Mapped::NoEngine),
            Some(Ok(_)) if port != 9092 => Ok(Mapped::Nowhere),
            Some(said) => said.clone(),
        }
    }
}

fn texts(case: &toml::Table, name: &str) -> BTreeMap<String, String> {
    let table = case.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    table.into_iter().map(|(key, value)| (key, value.as_str().expect("a text").to_owned())).collect()
}

fn words(case: &toml::Table, name: &str) -> Vec<String> {
    let list = case.get(name).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
}

fn in_short(topic: &NewTopic) -> String {
    let mut text = format!("{}:{}:{}", topic.name, topic.partitions, topic.replication_factor);
    topic.configs.iter().for_each(|(key, value)| text.push_str(&format!(":{key}={value}")));
    text
}

fn check(case: &toml::Table, made: &Plan) {
    let name = case["name"].as_str().expect("a name");
    for (key, value) in texts(case, "keys") {
        assert_eq!(made.keys.get(&key).map(|(found, _)| found), Some(&value), "{name}: {key}");
    }
    for key in words(case, "absent") {
        assert!(!made.keys.contains_key(&key), "{name}: {key}");
    }
    let text = |field: &str| case.get(field).and_then(toml::Value::as_str);
    if let Some(dialect) = text("dialect") {
        assert_eq!(made.dialect.name, dialect, "{name}");
    }
    if let Some(remark) = text("remark") {
        assert!(made.remarks.iter().any(|line| line.contains(remark)), "{name}: {:?}", made.remarks);
    } else {
        assert!(made.remarks.is_empty(), "{name}: {:?}", made.remarks);
    }
    let embedded = case.get("is_embedded").and_then(toml::Value::as_bool).unwrap_or(false);
    assert_eq!(made.is_embedded, embedded, "{name}");
    assert_eq!(made.log_level, text("log_level"), "{name}");
    let topics: Vec<String> = made.topics.iter().map(in_short).collect();
    assert_eq!(topics, words(case, "topics"), "{name}");
}

#[test]
fn every_promised_case_comes_out() {
    let table: toml::Table = CASES.parse().expect("the table is TOML");
    for case in table["case"].as_array().expect("cases") {
        let case = case.as_table().expect("a case");
        let name = case["name"].as_str().expect("a name");
        let inside = Box {
            files: texts(case, "files"),
            mounts: words(case, "mounts"),
            says: texts(case, "says"),
            engine: None,
        };
        let called = case.get("called").and_then(toml::Value::as_str).unwrap_or("ottla");
        let made = plan(called, "box", &texts(case, "env"), &inside);
        match (case.get("error").and_then(toml::Value::as_str), made) {
            (None, Ok(made)) => check(case, &made),
            (None, Err(error)) => panic!("{name}: refused: {error}"),
            (Some(error), Ok(made)) => panic!("{name}: {error:?} was expected, not {made:?}"),
            (Some(expected), Err(error)) => {
                let lines = &error.0;
                assert!(lines.iter().any(|line| line.contains(expected)), "{name}: {lines:?}");
                let remark = case.get("remark").and_then(toml::Value::as_str);
                let is_said = |remark| lines[1..].iter().any(|line| line.contains(remark));
                assert!(remark.is_none_or(is_said), "{name}: {lines:?}");
                let sentences = 1 + usize::from(remark.is_some());
                assert_eq!(lines.len(), sentences, "{name}: one sentence each: {lines:?}");
            }
        }
    }
}

#[test]
fn a_complaint_names_the_variable() {
    let env = BTreeMap::from([
        ("KAFKA_ZOOKEEPER_CONNECT".to_owned(), "zk:2181".to_owned()),
        ("KAFKA_CFG_NUM_IO_THREADS".to_owned(), "many".to_owned()),
    ]);
    let made = plan("ottla", "box", &env, &Box::default()).expect("a plan");
    assert_eq!(made.keys["num.io.threads"].1, Source::Variable("KAFKA_CFG_NUM_IO_THREADS".to_owned()));
    let line = made.explain("num.io.threads: \"many\" is not a whole number");
    assert!(line.ends_with("(set by KAFKA_CFG_NUM_IO_THREADS)"), "{line}");
    assert_eq!(made.explain("something else"), "something else");
}

#[test]
fn a_key_store_that_is_not_there_would_be_for_nothing() {
    let env = BTreeMap::from([
        ("KAFKA_ZOOKEEPER_CONNECT".to_owned(), "zk:2181".to_owned()),
        ("KAFKA_ADVERTISED_LISTENERS".to_owned(), "SSL://h:9093".to_owned()),
        ("KAFKA_SSL_KEYSTORE_FILENAME".to_owned(), "broker.jks".to_owned()),
    ]);
    let faults = plan("ottla", "box", &env, &Box::default()).expect_err("two faults").0;
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].ends_with("/etc/kafka/secrets/broker.jks, which is not there: mount it"), "{faults:?}");
    assert!(faults[1].starts_with("listeners: SSL://0.0.0.0:9093 asks for SSL, which"), "{faults:?}");
}

/// The plan of wurstmeister's own compose file and these variables, where the Docker engine says this.
fn scaled(
    engine: Option<Result<Mapped, String>>,
    more: &[(&str, &str)],
) -> Result<Plan, super::super::load::ConfigErrors> {
    let mut env: BTreeMap<String, String> = [
        ("KAFKA_ADVERTISED_HOST_NAME", "192.168.99.100"),
        ("KAFKA_CREATE_TOPICS", "a:1:1"),
        ("KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let says =
        BTreeMap::from([("port".to_owned(), "5".to_owned()), ("docker port".to_owned(), String::new())]);
    plan("ottla", "box", &env, &Box { engine, says, ..Box::default() })
}

fn advertised(made: &Plan) -> &str {
    &made.keys["advertised.listeners"].0
}

#[test]
fn the_port_of_the_host_is_asked_of_docker() {
    let made = scaled(Some(Ok(Mapped::To(32768))), &[]).expect("a plan");
    assert_eq!(advertised(&made), "PLAINTEXT://192.168.99.100:32768");
    assert_eq!(made.keys["listeners"].0, "PLAINTEXT://:9092");
    assert!(made.remarks.is_empty(), "{:?}", made.remarks);
    let told = made.explain("advertised.listeners: no");
    assert!(told.ends_with("(set by KAFKA_ADVERTISED_HOST_NAME, /var/run/docker.sock)"), "{told}");
    let made = scaled(None, &[]).expect("a plan");
    assert_eq!(advertised(&made), "PLAINTEXT://192.168.99.100:9092");
    assert!(made.remarks.is_empty(), "{:?}", made.remarks);
}

#[test]
fn a_port_that_docker_does_not_map_is_advertised_itself() {
    for (engine, more, port) in [
        (Mapped::Nowhere, &[][..], 9092),
        // Docker maps another port than the one that is bound.
        (Mapped::To(32768), &[("KAFKA_PORT", "9099")][..], 9099),
    ] {
        let made = scaled(Some(Ok(engine)), more).expect("a plan");
        assert_eq!(advertised(&made), format!("PLAINTEXT://192.168.99.100:{port}"));
        let expected = format!("Docker maps no port of the host to port {port} of a container box");
        assert!(made.remarks.iter().any(|line| line.contains(&expected)), "{:?}", made.remarks);
    }
}

#[test]
fn docker_is_not_asked_for_a_port_that_is_said() {
    let refuses = || Some(Err("SOCKET refuses; do this".to_owned()));
    let told = scaled(refuses(), &[]).expect_err("it is asked").0;
    let expected = "KAFKA_ADVERTISED_PORT is not set, so Docker is asked, and SOCKET refuses; do this, or set KAFKA_ADVERTISED_PORT to the port of the host";
    assert_eq!(told, [expected]);
    for said in [
        ("KAFKA_ADVERTISED_PORT", "5"),
        ("PORT_COMMAND", "port"),
        ("KAFKA_LISTENERS", "PLAINTEXT://:9092"),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://h:5"),
        ("KAFKA_ADVERTISED_HOST_NAME", ""),
        ("OTTLA_DIALECT", "confluent"),
    ] {
        let made = scaled(refuses(), &[said]);
        assert!(made.is_ok(), "{said:?}: {made:?}");
    }
}

#[test]
fn a_command_that_wants_a_docker_client_is_told_that_there_is_none() {
    for (more, remedy) in [
        (
            &[("PORT_COMMAND", "docker port")][..],
            "leave it and KAFKA_ADVERTISED_PORT away and mount /var/run/docker.sock, or set KAFKA_ADVERTISED_PORT to the port of the host",
        ),
        (
            &[
                ("PORT_COMMAND", "docker port"),
                ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://h:_{PORT_COMMAND}"),
            ],
            "write what it would print in place of _{PORT_COMMAND}",
        ),
        (&[("HOSTNAME_COMMAND", "docker port")], "leave it away and set KAFKA_ADVERTISED_HOST_NAME"),
    ] {
        let told = scaled(None, more).expect_err("nothing is printed").0;
        let expected = format!("; Ottla's image has no docker client: {remedy}");
        assert!(told[0].ends_with(&expected), "{more:?}: {told:?}");
    }
}
