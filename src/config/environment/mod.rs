//! A container's variables to broker keys, as four images of Kafka read them, so that a compose file written for one of them
//! works with only `image:` changed.
//!
//! [`plan`] is pure: files, mounts and commands are asked of [`Outside`]. The cases that are promised are data,
//! `tests/fixtures/dialects.toml`. Sources: `KafkaDockerWrapper` and `docker/resources` of Apache Kafka, `configure` and `dub` of
//! Confluent's images, `libkafka.sh` of bitnami's, `start-kafka.sh` and `create-topics.sh` of wurstmeister's.

mod commands;
pub mod dialect;
mod listeners;
pub mod mapped;
pub mod names;
mod secrets;
pub mod topics;

use std::collections::BTreeMap;

use self::commands::Answered;
use self::dialect::{BY_HAND, DIALECTS, Dialect};
use self::mapped::Mapped;
use self::names::Meaning;
use self::topics::NewTopic;
use super::listeners::Listeners;
use super::load::{ConfigErrors, Settings, from_properties};

#[cfg(test)]
mod tests;

/// `embedded`: one broker with a ZooKeeper of its own.
const ZOOKEEPER: &str = "OTTLA_ZOOKEEPER";
/// Where the embedded ZooKeeper is.
const EMBEDDED: &str = "127.0.0.1:2181";
/// How long ZooKeeper is waited for where nothing says it, milliseconds: containers are started together, an ensemble takes its
/// time, and nobody may start this one again. (Confluent's image waits 40 s before it starts Kafka, which waits 18 s.)
const ZOOKEEPER_PATIENCE_MS: &str = "120000";
/// How long topics are tried to be made, seconds, without `START_TIMEOUT`.
const START_TIMEOUT_S: u64 = 600;

/// What is not in the variables.
pub trait Outside {
    /// The text of a file; nothing if it is not there.
    fn file(&self, path: &str) -> Result<Option<String>, String>;
    /// Whether somebody mounted something at this very path.
    fn is_mounted(&self, path: &str) -> bool;
    /// What a command of the shell prints.
    fn run(&self, command: &str) -> Result<String, String>;
    /// Which port of the host the Docker engine maps to `port` of the container. The error ends with what to do.
    fn mapped_port(&self, container: &str, port: u16) -> Result<Mapped, String>;
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the dialect takes for granted.
    Dialect,
    /// A mounted file.
    File(String),
    /// A variable.
    Variable(String),
}

/// Keys with values and where they come from.
pub type Keys = BTreeMap<String, (String, Source)>;

/// What a container is to do.
#[derive(Debug)]
pub struct Plan {
    /// Whose compose file it is.
    pub dialect: &'static Dialect,
    /// Broker keys, not checked yet.
    pub keys: Keys,
    /// Whether the broker brings its own ZooKeeper.
    pub is_embedded: bool,
    /// Topics to make once it is up.
    pub topics: Vec<NewTopic>,
    /// How long that is tried, seconds.
    pub patience_s: u64,
    /// The level of the log, if one is named.
    pub log_level: Option<&'static str>,
    /// What is ignored, and why: a sentence each.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Names the variables behind the keys that an error or warning speaks of.
    pub fn explain(&self, line: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let words: Vec<&str> = line.split(|c| !is_part(c)).collect();
        let mut names = Vec::new();
        for (key, (_, source)) in &self.keys {
            match source {
                Source::Variable(name) | Source::File(name)
                    if words.contains(&key.as_str()) && !names.contains(&name.as_str()) =>
                {
                    names.push(name)
                }
                _ => {}
            }
        }
        if names.is_empty() { line.to_owned() } else { format!("{line} (set by {})", names.join(", ")) }
    }
}

/// What `variables` ask for, where the container was started by the command `called` on a host of the name `hostname`.
/// The error has every fault, one sentence each.
pub fn plan(
    called: &str,
    hostname: &str,
    variables: &BTreeMap<String, String>,
    outside: &dyn Outside,
) -> Result<Plan, ConfigErrors> {
    let (mut errors, mut remarks) = (Vec::new(), Vec::new());
    let mut answered = commands::answer(variables, outside, &mut errors);
    let file = mounted_file(outside, &mut errors);
    let owner = file.as_ref().map(|(owner, ..)| *owner);
    let dialect = dialect::choose(called, hostname, &answered.variables, owner, outside)
        .map_err(|error| ConfigErrors(vec![error]))?;
    let is_all_in_file = dialect.file_wins && file.is_some();
    let has_file = file.is_some();
    if dialect.asks_docker && !has_file {
        mapped::ask(hostname, &mut answered, outside, &mut errors, &mut remarks);
    }
    let (answered, variables) = (&answered, &answered.variables);
    let mut keys = match file {
        Some((_, path, text)) => in_file(path, &text, &mut errors),
        None => dialect.base.iter().map(|(key, value)| taken(key, value)).collect(),
    };
    let mut own = from_names(answered, is_all_in_file, &mut errors, &mut remarks);
    if !is_all_in_file {
        secrets::read(&mut own, variables, outside, &mut errors);
        listeners::complete(&mut own, answered, &mut errors, &mut remarks);
    }
    let is_bare = own.is_empty() && !has_file;
    keys.extend(own);
    // What nothing knows may be the ensemble, misspelt: a broker of its own beside it would not be seen for what it is.
    let is_alone = is_bare && !variables.keys().any(|variable| is_mistaken(variable));
    let is_embedded = zookeeper(variables, is_alone, &mut keys, &mut errors);
    if is_bare && is_embedded {
        keys.extend([
            taken("listeners", "PLAINTEXT://:9092"),
            taken("advertised.listeners", "PLAINTEXT://localhost:9092"),
        ]);
    }
    keys.entry("zookeeper.connection.timeout.ms".to_owned())
        .or_insert_with(|| taken("", ZOOKEEPER_PATIENCE_MS).1);
    if !keys.contains_key("log.dirs") && !keys.contains_key("log.dir") {
        keys.extend([taken("log.dirs", &dialect.data(hostname))]);
    }
    contradictions(variables, &keys, &mut errors);
    let topics = made(variables, &mut errors, &mut remarks);
    let patience_s = number(variables, "START_TIMEOUT", &mut errors).unwrap_or(START_TIMEOUT_S);
    let log_level = log_level(variables, &mut errors, &mut remarks);
    if !errors.is_empty() {
        // Whoever is told to mount a key store is to know that it would be for nothing.
        let pairs = keys.into_iter().map(|(key, (value, _))| (key, value));
        errors.extend(Settings::from_pairs(pairs).iter().flat_map(|(all, _)| Listeners::not_served(all)));
        // What is missing may be there, misspelt.
        errors.extend(remarks);
        return Err(ConfigErrors(errors));
    }
    Ok(Plan { dialect, keys, is_embedded, topics, patience_s, log_level, remarks })
}

fn taken(key: &str, value: &str) -> (String, (String, Source)) {
    (key.to_owned(), (value.to_owned(), Source::Dialect))
}

/// The one `server.properties` that is mounted, where it is and whose habit that is.
fn mounted_file(
    outside: &dyn Outside,
    errors: &mut Vec<String>,
) -> Option<(&'static Dialect, &'static str, String)> {
    let mut found = Vec::new();
    for dialect in DIALECTS {
        for path in dialect.files {
            match outside.file(path) {
                Ok(Some(text)) => found.push((dialect, *path, text)),
                Ok(None) => {}
                Err(error) => errors.push(format!("{path} cannot be read: {error}")),
            }
        }
    }
    if found.len() > 1 {
        let paths: Vec<&str> = found.iter().map(|(_, path, _)| *path).collect();
        errors.push(format!("{} are all there; mount one of them", paths.join(", ")));
    }
    found.into_iter().next()
}

fn in_file(path: &str, text: &str, errors: &mut Vec<String>) -> Keys {
    let pairs = from_properties(text.as_bytes()).unwrap_or_else(|error| {
        errors.push(format!("{path}: {error}"));
        Vec::new()
    });
    pairs.into_iter().map(|(key, value)| (key, (value, Source::File(path.to_owned())))).collect()
}

/// The keys that variables name, and a sentence for each that names none.
fn from_names(
    answered: &Answered,
    is_all_in_file: bool,
    errors: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Keys {
    let mut keys = Keys::new();
    let mut ignored: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (variable, value) in &answered.variables {
        let origin = answered.origin(variable);
        let is_own = [BY_HAND, ZOOKEEPER].contains(&variable.as_str());
        if variable.starts_with("OTTLA_") && !is_own {
            errors.push(format!("{variable} is unknown; Ottla has {BY_HAND} and {ZOOKEEPER}"));
        }
        match names::meaning(variable) {
            Some(Meaning::Key(_) | Meaning::File) if is_all_in_file => {
                ignored.entry("the mounted server.properties says everything").or_default().push(variable);
            }
            Some(Meaning::Key(key)) => match keys.get(&key) {
                Some((other, Source::Variable(first))) if other != value => errors.push(format!(
                    "{first} = {other} and {origin} = {value} both set {key}; keep one of them"
                )),
                _ => drop(keys.insert(key, (value.clone(), Source::Variable(origin.to_owned())))),
            },
            Some(Meaning::Unknown(key)) => remarks
                .push(format!("{variable} is ignored: {key} is not a key of Kafka 3.9; check its spelling")),
            Some(Meaning::Nothing(why)) => ignored.entry(why).or_default().push(variable),
            None if names::is_meant(variable) => {
                ignored.entry("variables of brokers are written in capitals").or_default().push(variable);
            }
            Some(Meaning::Own | Meaning::File) | None => {}
        }
    }
    for (why, names) in ignored {
        let is = if names.len() == 1 { "is" } else { "are" };
        remarks.push(format!("{} {is} ignored: {why}", names.join(", ")));
    }
    keys
}

/// Whether `variable` is meant for the broker, and nothing knows it.
fn is_mistaken(variable: &str) -> bool {
    match names::meaning(variable) {
        Some(meaning) => matches!(meaning, Meaning::Unknown(_)),
        None => names::is_meant(variable),
    }
}

/// Whether the broker brings its own ZooKeeper, and where it is then. It does without a word where it `is_alone`: nothing is set.
fn zookeeper(
    variables: &BTreeMap<String, String>,
    is_alone: bool,
    keys: &mut Keys,
    errors: &mut Vec<String>,
) -> bool {
    let named =
        keys.get("zookeeper.connect").map(|(value, _)| value.clone()).filter(|value| !value.is_empty());
    let wanted = match variables.get(ZOOKEEPER).map(String::as_str) {
        None | Some("") => None,
        Some("embedded") => Some(()),
        Some(other) => {
            errors.push(format!("{ZOOKEEPER} = {other} is unknown; it can be embedded, or left out"));
            return false;
        }
    };
    match (named, wanted) {
        (Some(named), Some(())) => {
            errors
                .push(format!("{ZOOKEEPER} = embedded, but zookeeper.connect is {named}; keep one of them"));
            false
        }
        (Some(_), None) => false,
        (None, None) if !is_alone => {
            let kraft =
                keys.keys().any(|key| key == "process.roles") || is_yes(variables, "KAFKA_ENABLE_KRAFT");
            errors.push(match kraft {
                true => "the variables ask for KRaft; Ottla works with ZooKeeper only: set KAFKA_ZOOKEEPER_CONNECT".to_owned(),
                false => format!(
                    "KAFKA_ZOOKEEPER_CONNECT is missing: name the ensemble, or set {ZOOKEEPER}=embedded for one broker with its own"
                ),
            });
            false
        }
        (None, _) => {
            keys.extend([taken("zookeeper.connect", EMBEDDED)]);
            let has_id = keys.contains_key("node.id");
            for (key, value) in dialect::ALONE.iter().filter(|(key, _)| !has_id || *key != "broker.id") {
                keys.entry((*key).to_owned()).or_insert(((*value).to_owned(), Source::Dialect));
            }
            true
        }
    }
}

fn is_yes(variables: &BTreeMap<String, String>, name: &str) -> bool {
    let value = variables.get(name).map(|value| value.to_lowercase()).unwrap_or_default();
    ["yes", "true", "1"].contains(&value.as_str())
}

/// What cannot be at the same time.
fn contradictions(variables: &BTreeMap<String, String>, keys: &Keys, errors: &mut Vec<String>) {
    let has_ensemble = keys.contains_key("zookeeper.connect");
    if is_yes(variables, "KAFKA_ENABLE_KRAFT") && has_ensemble {
        errors.push("KAFKA_ENABLE_KRAFT asks for KRaft, and zookeeper.connect for ZooKeeper; Ottla works with ZooKeeper only: remove the first".to_owned());
    }
    let plain = variables.get("ALLOW_PLAINTEXT_LISTENER").map_or("", String::as_str);
    match plain.to_lowercase().as_str() {
        "" | "yes" | "true" | "1" => {}
        "no" | "false" | "0" => errors.push("ALLOW_PLAINTEXT_LISTENER forbids the only listeners that there are yet; set it to yes or remove it".to_owned()),
        _ => errors.push(format!("ALLOW_PLAINTEXT_LISTENER = {plain} is none of yes, true, 1 and no, false, 0; set it to yes or remove it")),
    }
    let protocol = variables.get("KAFKA_ZOOKEEPER_PROTOCOL").map_or("PLAINTEXT", String::as_str);
    if !protocol.is_empty() && protocol != "PLAINTEXT" {
        errors.push(format!("KAFKA_ZOOKEEPER_PROTOCOL = {protocol}: ZooKeeper is reached without TLS and SASL yet; set PLAINTEXT"));
    }
}

/// The topics of KAFKA_CREATE_TOPICS, each once.
fn made(
    variables: &BTreeMap<String, String>,
    errors: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Vec<NewTopic> {
    let text = variables.get("KAFKA_CREATE_TOPICS").map_or("", String::as_str);
    let separator = variables.get("KAFKA_CREATE_TOPICS_SEPARATOR").map(String::as_str);
    let mut topics: Vec<NewTopic> = Vec::new();
    for topic in topics::parse(text, separator).unwrap_or_else(|error| {
        errors.push(error);
        Vec::new()
    }) {
        match topics.iter().any(|other| other.name == topic.name) {
            true => remarks.push(format!("KAFKA_CREATE_TOPICS names {} twice; the first counts", topic.name)),
            false => topics.push(topic),
        }
    }
    topics
}

fn number(variables: &BTreeMap<String, String>, name: &str, errors: &mut Vec<String>) -> Option<u64> {
    let text = variables.get(name).filter(|text| !text.is_empty())?;
    text.parse().map_err(|_| errors.push(format!("{name} = {text} is not a number of seconds"))).ok()
}

/// log4j's level in our log's words.
fn log_level(
    variables: &BTreeMap<String, String>,
    errors: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Option<&'static str> {
    if variables.get("KAFKA_LOG4J_LOGGERS").is_some_and(|loggers| !loggers.is_empty()) {
        remarks.push(
            "KAFKA_LOG4J_LOGGERS is ignored: loggers have other names here; RUST_LOG sets them".to_owned(),
        );
    }
    let name = variables.get("KAFKA_LOG4J_ROOT_LOGLEVEL").filter(|name| !name.is_empty())?;
    let level = match name.to_uppercase().as_str() {
        "ALL" | "TRACE" => "trace",
        "DEBUG" => "debug",
        "INFO" => "info",
        "WARN" => "warn",
        "ERROR" | "FATAL" => "error",
        "OFF" => "off",
        _ => {
            errors.push(format!(
                "KAFKA_LOG4J_ROOT_LOGLEVEL = {name} is none of TRACE, DEBUG, INFO, WARN, ERROR, OFF"
            ));
            return None;
        }
    };
    Some(level)
}
