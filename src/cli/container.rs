//! `ottla container`: what the image runs. The variables become a configuration (`config::environment`), the configuration a broker.
//!
//! Also what runs under the names by which other images start theirs (`start-kafka.sh`, `/etc/confluent/docker/run`, ...).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;

use super::admin::{self, Trouble};
use super::connect::{Bootstrap, Client};
use super::{config, logging, serve};
use crate::config::broker::BrokerConfig;
use crate::config::environment::dialect::DIALECTS;
use crate::config::environment::topics::NewTopic;
use crate::config::environment::{self, Outside, Plan};
use crate::config::keys::{Kind, broker_key};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};

/// Where the embedded ZooKeeper keeps its data.
const ZOOKEEPER_DATA: &str = "/var/lib/ottla/zookeeper";
const ZOOKEEPER_PORT: u16 = 2181;
/// A mounted file is at most this large.
const FILE_MAX: u64 = 1 << 20;
/// Between two tries to make a topic.
const PAUSE: Duration = Duration::from_secs(1);

/// A broker as the variables of its container say.
#[derive(Debug, Default, Args)]
pub struct Container {
    /// Prints the configuration that comes of the variables, and ends.
    #[arg(long)]
    pub check: bool,
}

/// Whether `called` (an `argv[0]`) is how another image starts its broker. What such a command is given besides means nothing
/// to its image either; `--check` is ours.
pub fn is_entry(called: &str) -> bool {
    DIALECTS.iter().any(|dialect| dialect.entries.iter().any(|entry| called.ends_with(entry)))
}

impl Container {
    /// Runs until a signal, started under the name `called`.
    pub fn run(self, called: &str) -> Result<(), String> {
        let plan = planned(called)?;
        let (config, warnings) = checked(&plan)?;
        if self.check {
            return print(&plan, &warnings);
        }
        logging::start_at(plan.log_level.unwrap_or("info"));
        tracing::info!(dialect = plan.dialect.name, keys = plan.keys.len(), "configured by variables");
        plan.remarks.iter().chain(&warnings).for_each(|line| tracing::warn!("{line}"));
        if let Ok(script) = std::env::var("CUSTOM_INIT_SCRIPT") {
            let status = Command::new("sh").args(["-c", &script]).status();
            if !status.as_ref().is_ok_and(|status| status.success()) {
                return Err(format!("CUSTOM_INIT_SCRIPT failed: {status:?}"));
            }
        }
        let topics = make(own_address(&config), plan.topics, Duration::from_secs(plan.patience_s));
        match plan.is_embedded {
            true => serve::embedded(
                config,
                Path::new(ZOOKEEPER_DATA),
                ([0, 0, 0, 0], ZOOKEEPER_PORT).into(),
                topics,
            ),
            false => serve::external(config, topics),
        }
    }
}

/// The plan of this very container.
fn planned(called: &str) -> Result<Plan, String> {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    let variables: BTreeMap<String, String> =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    let hostname = variables.get("HOSTNAME").filter(|name| !name.is_empty()).cloned();
    let hostname =
        hostname.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    environment::plan(called, &hostname, &variables, &Here).map_err(|errors| errors.to_string())
}

fn checked(plan: &Plan) -> Result<(BrokerConfig, Vec<String>), String> {
    let pairs = plan.keys.iter().map(|(key, (value, _))| (key.clone(), value.clone()));
    let (config, warnings) = config::from_pairs(pairs)
        .map_err(|errors| errors.0.iter().map(|line| plan.explain(line)).collect::<Vec<_>>().join("\n"))?;
    Ok((config, warnings.iter().map(|line| plan.explain(line)).collect()))
}

/// The address at which this broker asks itself.
fn own_address(config: &BrokerConfig) -> String {
    let listeners = &config.listeners;
    let inside = listeners.bind.iter().find(|endpoint| endpoint.listener == listeners.inter_broker);
    let (host, port) = inside.map_or(("", 9092), |endpoint| (endpoint.host.as_str(), endpoint.port));
    match host {
        "" | "0.0.0.0" | "::" => format!("127.0.0.1:{port}"),
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

/// The address at which the broker of this container asks itself, for its health.
pub fn own_broker() -> Result<String, String> {
    Ok(own_address(&checked(&planned("")?)?.0))
}

fn print(plan: &Plan, warnings: &[String]) -> Result<(), String> {
    let mut text = format!("# {}\n", plan.dialect.name);
    plan.remarks.iter().chain(warnings).for_each(|line| text.push_str(&format!("# {line}\n")));
    for (key, (value, _)) in &plan.keys {
        let is_secret = broker_key(key).is_some_and(|key| key.kind == Kind::Password);
        let value = if is_secret { "[hidden]" } else { value };
        text.push_str(&format!("{key}={value}\n"));
    }
    for NewTopic { name, partitions, replication_factor, configs } in &plan.topics {
        let configs: String = configs.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        text.push_str(&format!("# topic {name}: {partitions} x {replication_factor}{configs}\n"));
    }
    super::output::print(text.trim_end())
}

/// This machine.
struct Here;

impl Outside for Here {
    fn file(&self, path: &str) -> Result<Option<String>, String> {
        let size = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        if size > FILE_MAX {
            return Err(format!("{size} bytes are too much for it"));
        }
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn is_mounted(&self, path: &str) -> bool {
        // The fourth field is what is mounted, the fifth where (proc(5)). A volume that nobody named comes from the image itself.
        let is_named = |root: &str| {
            let volume = root.strip_suffix("/_data").and_then(|root| root.rsplit('/').next()).unwrap_or("");
            volume.len() != 64 || !volume.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts.lines().any(|line| {
            let mut fields = line.split(' ').skip(3);
            fields.next().is_some_and(is_named) && fields.next() == Some(path)
        })
    }

    fn run(&self, command: &str) -> Result<String, String> {
        let ran = Command::new("sh").args(["-c", command]).output();
        let output = ran.map_err(|error| format!("{command:?} cannot be run: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!(
                "{command:?} failed with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }
}

/// Makes topics once the cluster takes them, each unless it is there; gives up after `patience`.
async fn make(at: String, mut topics: Vec<NewTopic>, patience: Duration) {
    let end = tokio::time::Instant::now() + patience;
    while !topics.is_empty() {
        let mut left = Vec::new();
        for topic in topics {
            match make_one(&at, &topic).await {
                Made::Done => tracing::info!(topic = topic.name, "topic of KAFKA_CREATE_TOPICS is there"),
                Made::Refused(why) => tracing::error!("KAFKA_CREATE_TOPICS: {why}"),
                Made::NotYet(why) if tokio::time::Instant::now() >= end => {
                    tracing::error!("KAFKA_CREATE_TOPICS: {why}; given up after {} s", patience.as_secs());
                }
                Made::NotYet(why) => {
                    tracing::debug!("KAFKA_CREATE_TOPICS: {why}; trying again");
                    left.push(topic);
                }
            }
        }
        topics = left;
        tokio::time::sleep(PAUSE).await;
    }
}

enum Made {
    Done,
    /// Another try may help: brokers are missing yet.
    NotYet(String),
    Refused(String),
}

async fn make_one(at: &str, topic: &NewTopic) -> Made {
    let mut client = match Client::connect(&Bootstrap::at(at)).await {
        Ok(client) => client,
        Err(error) => return Made::NotYet(error),
    };
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
        ..Default::default()
    };
    let asked = CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: topic.configs.iter().map(config).collect(),
        ..Default::default()
    };
    const THERE: i16 = ErrorCode::TopicAlreadyExists.code();
    const FINAL: [i16; 5] = [
        ErrorCode::InvalidTopicException.code(),
        ErrorCode::InvalidPartitions.code(),
        ErrorCode::InvalidConfig.code(),
        ErrorCode::InvalidRequest.code(),
        ErrorCode::PolicyViolation.code(),
    ];
    let why = |trouble: Trouble| trouble.explain(&format!("topic {}", topic.name));
    match admin::create_topic(&mut client, asked).await {
        Ok(_) | Err(Trouble::Refused { code: THERE, .. }) => Made::Done,
        Err(trouble @ Trouble::Refused { code, .. }) if FINAL.contains(&code) => Made::Refused(why(trouble)),
        Err(trouble) => Made::NotYet(why(trouble)),
    }
}
