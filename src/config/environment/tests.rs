//! The promised cases, from `tests/fixtures/dialects.toml`.

use std::collections::BTreeMap;

use super::topics::NewTopic;
use super::{Outside, Plan, Source, plan};

const CASES: &str = include_str!("../../../tests/fixtures/dialects.toml");

/// A container that has only what a case names.
#[derive(Default)]
struct Box {
    files: BTreeMap<String, String>,
    mounts: Vec<String>,
    says: BTreeMap<String, String>,
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
        let inside =
            Box { files: texts(case, "files"), mounts: words(case, "mounts"), says: texts(case, "says") };
        let called = case.get("called").and_then(toml::Value::as_str).unwrap_or("ottla");
        let made = plan(called, "box", &texts(case, "env"), &inside);
        match (case.get("error").and_then(toml::Value::as_str), made) {
            (None, Ok(made)) => check(case, &made),
            (None, Err(error)) => panic!("{name}: refused: {error}"),
            (Some(error), Ok(made)) => panic!("{name}: {error:?} was expected, not {made:?}"),
            (Some(expected), Err(error)) => {
                let lines = &error.0;
                assert!(lines.iter().any(|line| line.contains(expected)), "{name}: {lines:?}");
                assert_eq!(lines.len(), 1, "{name}: one sentence: {lines:?}");
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
