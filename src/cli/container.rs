//! `ottla container`: what the image runs. The variables become a configuration (`config::environment`), the configuration a broker.
//!
//! Also what runs under the names by which other images start theirs (`start-kafka.sh`, `/etc/confluent/docker/run`, ...).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;

use super::{config, engine, first_topics, logging, serve};
use crate::admin::validation::validate_topic_name;
use crate::config::broker::BrokerConfig;
use crate::config::environment::dialect::DIALECTS;
use crate::config::environment::mapped::{Mapped, SOCKET};
use crate::config::environment::topics::NewTopic;
use crate::config::environment::{self, Outside, Plan, Source};
use crate::config::keys::{Kind, broker_key};

/// Where the embedded ZooKeeper keeps its data.
const ZOOKEEPER_DATA: &str = "/var/lib/ottla/zookeeper";
const ZOOKEEPER_PORT: u16 = 2181;
/// A mounted file is at most this large.
const FILE_MAX: u64 = 1 << 20;

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
        let plan = planned(called, &Here)?;
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
        let patience = Duration::from_secs(plan.patience_s);
        let named = named(&plan, "zookeeper.connect");
        let topics = first_topics::make(own_address(&config), plan.topics, patience);
        match plan.is_embedded {
            true => serve::embedded(
                config,
                Path::new(ZOOKEEPER_DATA),
                ([0, 0, 0, 0], ZOOKEEPER_PORT).into(),
                topics,
            ),
            false => serve::external(config, &named, topics),
        }
    }
}

/// Where the user of this container says what `key` is.
fn named(plan: &Plan, key: &str) -> String {
    match plan.keys.get(key) {
        Some((_, Source::Variable(name))) => format!("{name} ({key})"),
        Some((_, Source::File(path))) => format!("{key} in {path}"),
        Some((_, Source::Dialect)) | None => key.to_owned(),
    }
}

/// The plan of this very container.
fn planned(called: &str, outside: &dyn Outside) -> Result<Plan, String> {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    let variables: BTreeMap<String, String> =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    let hostname = variables.get("HOSTNAME").filter(|name| !name.is_empty()).cloned();
    let hostname =
        hostname.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    environment::plan(called, &hostname, &variables, outside).map_err(|errors| errors.to_string())
}

fn checked(plan: &Plan) -> Result<(BrokerConfig, Vec<String>), String> {
    let pairs = plan.keys.iter().map(|(key, (value, _))| (key.clone(), value.clone()));
    let (config, warnings) = config::from_pairs(pairs)
        .map_err(|errors| errors.0.iter().map(|line| plan.explain(line)).collect::<Vec<_>>().join("\n"))?;
    let names = plan.topics.iter().filter_map(|topic| validate_topic_name(&topic.name).err());
    let faults: Vec<String> = names.map(|error| format!("KAFKA_CREATE_TOPICS: {error}")).collect();
    match faults.is_empty() {
        true => Ok((config, warnings.iter().map(|line| plan.explain(line)).collect())),
        false => Err(faults.join("\n")),
    }
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
///
/// The commands among the variables say what this broker tells others, and are not run where they have no part in the address: they
/// may be slow, and this is asked every few seconds. Whether they have shows when two answers that any of them might give make the
/// same address. The Docker engine is never asked: the port of the host is none of this address.
pub fn own_broker() -> Result<String, String> {
    let with = |outside: &dyn Outside| Ok(own_address(&checked(&planned("", outside)?)?.0));
    match (with(&Supposed(Some("1"))), with(&Supposed(Some("2")))) {
        (Ok(one), Ok(other)) if one == other => Ok(one),
        (_, _) => with(&Supposed(None)),
    }
}

/// This machine without a Docker engine, with this, if anything, for the answer of every command.
struct Supposed(Option<&'static str>);

impl Outside for Supposed {
    fn file(&self, path: &str) -> Result<Option<String>, String> {
        Here.file(path)
    }

    fn is_mounted(&self, path: &str) -> bool {
        Here.is_mounted(path)
    }

    fn run(&self, command: &str) -> Result<String, String> {
        self.0.map_or_else(|| Here.run(command), |said| Ok(said.to_owned()))
    }

    fn mapped_port(&self, _: &str, _: u16) -> Result<Mapped, String> {
        Ok(Mapped::NoEngine)
    }
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

    fn mapped_port(&self, container: &str, port: u16) -> Result<Mapped, String> {
        engine::mapped_port(Path::new(SOCKET), container, port)
    }
}
