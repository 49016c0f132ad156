//! The images of Kafka whose compose files Ottla's image runs: THE TABLE of where they differ, and which one is meant.
//!
//! All of them turn `KAFKA_SOME_KEY` into `some.key` (`names.rs`). They differ in where data and mounted files are, and in
//! what holds without a word: `confluentinc/cp-kafka` and `apache/kafka` begin with Kafka's built-in defaults,
//! `bitnami/kafka` and `wurstmeister/kafka` with the `config/server.properties` of Kafka's archive.

use std::collections::BTreeMap;

use super::Outside;

/// Chooses the dialect by hand.
pub const BY_HAND: &str = "OTTLA_DIALECT";

/// One image's habits.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Its name, also as a value of [`BY_HAND`].
    pub name: &'static str,
    /// What its container is started by: the ends of paths that compose files name as a command.
    pub entries: &'static [&'static str],
    /// Variables that only its users set; one that ends with `_` stands for all that begin so.
    marks: &'static [&'static str],
    /// Where its users mount volumes or files.
    mounts: &'static [&'static str],
    /// `log.dirs` without a word; `{host}` is the host's name.
    data: &'static str,
    /// Where its users mount a whole `server.properties`.
    pub files: &'static [&'static str],
    /// Whether variables are for nothing once that is mounted.
    pub file_wins: bool,
    /// Whether Docker is asked for the port that is advertised.
    pub asks_docker: bool,
    /// What holds without a word, beyond Kafka's defaults.
    pub base: &'static [(&'static str, &'static str)],
}

/// `config/server.properties` of Kafka 3.9, where it differs from the built-in defaults.
const ARCHIVE: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.replication.factor", "1"),
    ("socket.receive.buffer.bytes", "102400"),
    ("socket.send.buffer.bytes", "102400"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.replication.factor", "1"),
];

/// What one broker with its own ZooKeeper needs: there is nobody to replicate to.
pub const ALONE: &[(&str, &str)] = &[
    ("broker.id", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.replication.factor", "1"),
    // After a kill, the next start waits for the old session to end.
    ("zookeeper.session.timeout.ms", "4000"),
];

/// The table. The first is Ottla's own: what is meant where nothing says otherwise.
pub const DIALECTS: &[Dialect] = &[
    Dialect {
        name: "ottla",
        entries: &[],
        marks: &[],
        mounts: &["/var/lib/ottla", "/var/lib/ottla/data", "/etc/ottla"],
        data: "/var/lib/ottla/data",
        files: &["/etc/ottla/server.properties"],
        file_wins: false,
        asks_docker: false,
        base: &[],
    },
    Dialect {
        name: "apache",
        entries: &["/etc/kafka/docker/run"],
        marks: &[],
        mounts: &["/mnt/shared/config", "/opt/kafka/config"],
        data: "/var/lib/ottla/data",
        files: &["/mnt/shared/config/server.properties", "/opt/kafka/config/server.properties"],
        file_wins: false,
        asks_docker: false,
        base: &[],
    },
    Dialect {
        name: "confluent",
        entries: &["/etc/confluent/docker/run"],
        marks: &["KAFKA_CONFLUENT_", "CONFLUENT_"],
        mounts: &["/var/lib/kafka", "/var/lib/kafka/data"],
        data: "/var/lib/kafka/data",
        files: &["/etc/kafka/server.properties", "/etc/kafka/kafka.properties"],
        file_wins: false,
        asks_docker: false,
        base: &[],
    },
    Dialect {
        name: "bitnami",
        entries: &["/opt/bitnami/scripts/kafka/run.sh", "/opt/bitnami/scripts/kafka/entrypoint.sh"],
        marks: &[
            "KAFKA_CFG_",
            "BITNAMI_",
            "ALLOW_PLAINTEXT_LISTENER",
            "ALLOW_ANONYMOUS_LOGIN",
            "KAFKA_ENABLE_KRAFT",
            "KAFKA_PORT_NUMBER",
            "KAFKA_ZOOKEEPER_PROTOCOL",
        ],
        mounts: &["/bitnami", "/bitnami/kafka", "/bitnami/kafka/data"],
        data: "/bitnami/kafka/data",
        files: &["/bitnami/kafka/config/server.properties", "/opt/bitnami/kafka/config/server.properties"],
        file_wins: true,
        asks_docker: false,
        base: ARCHIVE,
    },
    Dialect {
        name: "wurstmeister",
        entries: &["start-kafka.sh", "start-kafka"],
        marks: &[
            "BROKER_ID_COMMAND",
            "CUSTOM_INIT_SCRIPT",
            "HOSTNAME_COMMAND",
            "KAFKA_ADVERTISED_HOST_NAME",
            "KAFKA_ADVERTISED_PORT",
            "KAFKA_ADVERTISED_PROTOCOL_NAME",
            "KAFKA_CREATE_TOPICS",
            "KAFKA_HOST_NAME",
            "KAFKA_PROTOCOL_NAME",
            "PORT_COMMAND",
            "RACK_COMMAND",
        ],
        mounts: &["/kafka"],
        data: "/kafka/kafka-logs-{host}",
        files: &[],
        file_wins: false,
        asks_docker: true,
        base: ARCHIVE,
    },
];

impl Dialect {
    /// `log.dirs` without a word, on this host.
    pub fn data(&self, hostname: &str) -> String {
        self.data.replace("{host}", hostname)
    }

    fn is_marked_by(&self, variable: &str) -> bool {
        self.marks.iter().any(|mark| match mark.ends_with('_') {
            true => variable.starts_with(mark),
            false => variable == *mark,
        })
    }
}

/// Which image is meant: by [`BY_HAND`], by the command of the container, by a mounted file, by variables of its own, by where a
/// broker's data are, by where something is mounted. The error names the value that is none, or the data of two.
pub fn choose(
    called: &str,
    hostname: &str,
    variables: &BTreeMap<String, String>,
    file: Option<&'static Dialect>,
    outside: &dyn Outside,
) -> Result<&'static Dialect, String> {
    if let Some(name) = variables.get(BY_HAND) {
        return DIALECTS.iter().find(|dialect| dialect.name == name).ok_or_else(|| {
            let names: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name).collect();
            format!("{BY_HAND} = {name} is none of {}", names.join(", "))
        });
    }
    let by = |is: &dyn Fn(&Dialect) -> bool| DIALECTS.iter().find(|dialect| is(dialect));
    let told = by(&|dialect| dialect.entries.iter().any(|entry| called.ends_with(entry)))
        .or(file)
        .or_else(|| by(&|dialect| variables.keys().any(|name| dialect.is_marked_by(name))));
    if let Some(told) = told {
        return Ok(told);
    }
    // A container that is made anew with this image gets the volumes of the one before it, also those without a name.
    let mut with_data: Vec<&Dialect> = Vec::new();
    for dialect in DIALECTS {
        let file = format!("{}/meta.properties", dialect.data(hostname));
        let is_there =
            outside.file(&file).map_err(|error| format!("{file} cannot be read: {error}"))?.is_some();
        if is_there && with_data.iter().all(|other| other.data != dialect.data) {
            with_data.push(dialect);
        }
    }
    match with_data[..] {
        [] => {
            Ok(by(&|dialect| dialect.mounts.iter().any(|path| outside.is_mounted(path)))
                .unwrap_or(&DIALECTS[0]))
        }
        [one] => Ok(one),
        [one, other, ..] => Err(format!(
            "{} and {} both hold a broker's data; set {BY_HAND} to {} or {}",
            one.data(hostname),
            other.data(hostname),
            one.name,
            other.name
        )),
    }
}
