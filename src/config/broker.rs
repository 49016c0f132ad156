//! A broker's configuration, typed: what the code reads while it runs, with Kafka's start-up checks
//! (`KafkaConfig.validateValues`).

use std::path::PathBuf;
use std::time::Duration;

use super::listeners::Listeners;
use super::load::{ConfigErrors, Settings};

/// Parsed once at start.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// What the operator set; everything that is read rarely stays there.
    pub settings: Settings,
    /// `broker.id`; `None` = take it from meta.properties or generate it.
    pub broker_id: Option<i32>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `zookeeper.connect`.
    pub zookeeper_connect: String,
    /// `zookeeper.session.timeout.ms`.
    pub zookeeper_session_timeout: Duration,
    /// `zookeeper.connection.timeout.ms`.
    pub zookeeper_connection_timeout: Duration,
    /// Endpoints.
    pub listeners: Listeners,
    /// `log.dirs`, or `log.dir`.
    pub log_dirs: Vec<PathBuf>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `inter.broker.protocol.version`: [`OLDEST_RELEASE`] or later.
    pub inter_broker_release: (u32, u32),
}

/// The oldest `inter.broker.protocol.version` that is served: older ones have no topic ids.
pub const OLDEST_RELEASE: (u32, u32) = (2, 8);

/// The release that a value of `inter.broker.protocol.version` names: its first two numbers.
pub fn release_of(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(|part| part.trim().parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn optional_ms(settings: &Settings, name: &str) -> Option<Duration> {
    settings.get(name).filter(|value| !value.is_empty()).map(|_| ms(settings, name))
}

fn ms(settings: &Settings, name: &str) -> Duration {
    Duration::from_millis(settings.number(name).max(0) as u64)
}

impl BrokerConfig {
    /// Checks everything, and reports every fault at once.
    pub fn from_settings(settings: Settings) -> Result<BrokerConfig, ConfigErrors> {
        let mut errors = Vec::new();
        let listeners = Listeners::from_settings(&settings).map_err(|faults| errors.extend(faults)).ok();
        errors.extend(cross_checks(&settings));
        errors.extend(not_served(&settings));
        let release = inter_broker_release(&settings).map_err(|error| errors.push(error)).ok();
        let (Some(listeners), Some(inter_broker_release), true) = (listeners, release, errors.is_empty())
        else {
            return Err(ConfigErrors(errors));
        };
        let session_timeout = ms(&settings, "zookeeper.session.timeout.ms");
        let broker_id = i32::try_from(settings.number("broker.id")).ok().filter(|id| *id >= 0);
        Ok(BrokerConfig {
            broker_id,
            rack: settings.set("broker.rack").filter(|rack| !rack.is_empty()).map(str::to_owned),
            zookeeper_connect: settings.text("zookeeper.connect").to_owned(),
            zookeeper_session_timeout: session_timeout,
            zookeeper_connection_timeout: optional_ms(&settings, "zookeeper.connection.timeout.ms")
                .unwrap_or(session_timeout),
            listeners,
            log_dirs: log_dirs(&settings),
            num_partitions: settings.number("num.partitions") as i32,
            default_replication_factor: settings.number("default.replication.factor") as i16,
            auto_create_topics: settings.flag("auto.create.topics.enable"),
            delete_topics: settings.flag("delete.topic.enable"),
            request_timeout: ms(&settings, "request.timeout.ms"),
            inter_broker_release,
            settings,
        })
    }

    /// A duration key in milliseconds.
    pub fn ms(&self, name: &str) -> Duration {
        ms(&self.settings, name)
    }
}

fn log_dirs(settings: &Settings) -> Vec<PathBuf> {
    let key = if settings.set("log.dirs").is_some() { "log.dirs" } else { "log.dir" };
    settings.list(key).into_iter().map(PathBuf::from).collect()
}

/// Flags that would be dangerous to pass over: what they promise would silently not be so.
const NOT_SERVED: &[(&str, &str)] = &[
    ("remote.log.storage.system.enable", "tiered storage"),
    ("zookeeper.set.acl", "access rules on znodes"),
    ("zookeeper.ssl.client.enable", "TLS to ZooKeeper"),
];

fn not_served(settings: &Settings) -> Vec<String> {
    let asked = NOT_SERVED.iter().filter(|(key, _)| settings.flag(key));
    asked
        .map(|(key, what)| format!("{key} = true asks for {what}, which this release does not have yet"))
        .collect()
}

fn inter_broker_release(settings: &Settings) -> Result<(u32, u32), String> {
    let version = settings.text("inter.broker.protocol.version");
    release_of(version).filter(|release| *release >= OLDEST_RELEASE).ok_or_else(|| {
        let (major, minor) = OLDEST_RELEASE;
        format!(
            "inter.broker.protocol.version = {version}: this broker goes back to {major}.{minor}; raise it to at least that"
        )
    })
}

fn cross_checks(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    let mut require = |holds: bool, text: &str| {
        if !holds {
            errors.push(text.to_owned());
        }
    };
    let number = |name: &str| settings.number(name);
    require(
        !settings.text("zookeeper.connect").is_empty(),
        "zookeeper.connect is missing: name the ensemble, for example zk1:2181,zk2:2181/kafka",
    );
    require(
        settings.text("process.roles").is_empty(),
        "process.roles asks for KRaft; Ottla works with ZooKeeper only: remove it",
    );
    let id = number("broker.id");
    let node = settings.set("node.id").map_or(id, |_| number("node.id"));
    require(
        node == id,
        &format!(
            "node.id is {node} and broker.id is {id}: one broker has one id; set only one of them, or both to the same value"
        ),
    );
    if settings.flag("broker.id.generation.enable") {
        require(
            (-1..=number("reserved.broker.max.id")).contains(&id),
            "broker.id must be between -1 and reserved.broker.max.id",
        );
    } else {
        require(id >= 0, "broker.id must be 0 or more when broker.id.generation.enable is false");
    }
    let retention = settings.get("log.retention.ms").map(|_| number("log.retention.ms"));
    require(retention.is_none_or(|ms| ms == -1 || ms > 0), "log.retention.ms must be -1 or more than 0");
    require(
        number("replica.fetch.wait.max.ms") <= number("replica.socket.timeout.ms"),
        "replica.fetch.wait.max.ms must not be more than replica.socket.timeout.ms",
    );
    require(
        number("replica.fetch.wait.max.ms") <= number("replica.lag.time.max.ms"),
        "replica.fetch.wait.max.ms must not be more than replica.lag.time.max.ms",
    );
    require(
        number("queued.max.request.bytes") <= 0
            || number("queued.max.request.bytes") >= number("socket.request.max.bytes"),
        "queued.max.request.bytes must be at least socket.request.max.bytes",
    );
    require(
        number("max.connections.per.ip") > 0 || !settings.list("max.connections.per.ip.overrides").is_empty(),
        "max.connections.per.ip can be 0 only with max.connections.per.ip.overrides",
    );
    require(
        number("connections.max.idle.ms") < 0
            || number("connection.failed.authentication.delay.ms") < number("connections.max.idle.ms"),
        "connection.failed.authentication.delay.ms must be less than connections.max.idle.ms",
    );
    require(
        settings.text("controller.listener.names").is_empty(),
        "controller.listener.names is for KRaft; remove it",
    );
    require(!log_dirs(settings).is_empty(), "log.dirs names no directory");
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<BrokerConfig, ConfigErrors> {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        BrokerConfig::from_settings(Settings::from_pairs(pairs).expect("valid keys").0)
    }

    #[test]
    fn a_short_file_is_enough() {
        let config =
            config(&[("zookeeper.connect", "zk:2181/kafka"), ("log.dirs", "/a, /b")]).expect("valid");
        assert_eq!(config.broker_id, None);
        assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.zookeeper_connection_timeout, Duration::from_secs(18));
        assert_eq!(config.inter_broker_release, (3, 9));
    }

    #[test]
    fn node_id_is_another_name_of_broker_id() {
        let id = |pairs: &[(&str, &str)]| {
            let all = [&[("zookeeper.connect", "zk:2181"), ("log.dirs", "/a")], pairs].concat();
            config(&all).map(|config| config.broker_id)
        };
        assert_eq!(id(&[("node.id", "3")]), Ok(Some(3)));
        assert_eq!(id(&[("node.id", "3"), ("broker.id", "3")]), Ok(Some(3)));
        assert!(id(&[("node.id", "3"), ("broker.id", "-1")]).is_err(), "as Kafka refuses it");
    }

    #[test]
    fn kraft_is_refused_beside_zookeeper_too() {
        let refused = config(&[("zookeeper.connect", "zk:2181"), ("process.roles", "broker")]);
        assert!(refused.expect_err("KRaft").to_string().contains("process.roles asks for KRaft"));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let errors = config(&[
            ("broker.id", "2000"),
            ("node.id", "2"),
            ("listeners", "SSL://:9093"),
            ("log.retention.ms", "0"),
            ("log.dirs", ","),
            ("zookeeper.ssl.client.enable", "true"),
            ("inter.broker.protocol.version", "2.0"),
        ])
        .expect_err("eight faults");
        assert_eq!(errors.0.len(), 8, "{errors}");
        assert!(errors.0[0].contains("SSL"));
        assert!(
            errors.0[2].starts_with("node.id is 2 and broker.id is 2000: one broker has one id"),
            "{errors}"
        );
        assert!(errors.0[1].starts_with("zookeeper.connect is missing"));
    }

    #[test]
    fn the_inter_broker_release_is_the_first_two_numbers() {
        let release = |version: &str| {
            let settings = [
                ("zookeeper.connect", "zk:2181"),
                ("log.dirs", "/a"),
                ("inter.broker.protocol.version", version),
            ];
            config(&settings).map(|config| config.inter_broker_release)
        };
        for (version, expected) in
            [("3.9-IV0", (3, 9)), ("3.9.1", (3, 9)), ("3.3", (3, 3)), ("2.8-IV1", OLDEST_RELEASE)]
        {
            assert_eq!(release(version).expect("served"), expected, "{version}");
        }
        for version in ["2.7", "2.7-IV2", "1.1", "0.10.2-IV0"] {
            let errors = release(version).expect_err(version);
            assert!(errors.0.len() == 1 && errors.0[0].contains("goes back to 2.8"), "{errors}");
        }
    }
}
