//! What a variable means, by its name alone.

use crate::config::load::is_known;

/// What a variable is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The broker key of this name.
    Key(String),
    /// Looks like one, and Kafka 3.9 has none of this name.
    Unknown(String),
    /// Read by one of the files beside this one.
    Own,
    /// Nothing, and why.
    Nothing(&'static str),
    /// A file holds the value of the variable that has this name without `_FILE`.
    File,
}

const NO_JVM: &str = "there is no Java virtual machine here";
const CONFLUENT: &str = "it is for Confluent's own additions";
const SECURITY: &str = "TLS and SASL are not built yet";
const SCRIPTS: &str = "it is for another image's scripts";
const KUBERNETES: &str = "Kubernetes sets it for a service of this name";

/// Variables by name, or by how they begin (a last `*`), in the order in which they are looked for.
const SPECIAL: &[(&str, Meaning)] = &[
    ("KAFKA_ADVERTISED_HOST_NAME", Meaning::Own),
    ("KAFKA_ADVERTISED_PORT", Meaning::Own),
    ("KAFKA_ADVERTISED_PROTOCOL_NAME", Meaning::Own),
    ("KAFKA_CREATE_TOPICS*", Meaning::Own),
    ("KAFKA_ENABLE_KRAFT", Meaning::Own),
    ("KAFKA_HOST_NAME", Meaning::Own),
    ("KAFKA_LOG4J_LOGGERS", Meaning::Own),
    ("KAFKA_LOG4J_ROOT_LOGLEVEL", Meaning::Own),
    ("KAFKA_PORT", Meaning::Own),
    ("KAFKA_PORT_NUMBER", Meaning::Own),
    ("KAFKA_PORT_*", Meaning::Nothing(KUBERNETES)),
    ("KAFKA_SERVICE_*", Meaning::Nothing(KUBERNETES)),
    ("KAFKA_PROTOCOL_NAME", Meaning::Own),
    ("KAFKA_SSL_KEYSTORE_FILENAME", Meaning::Own),
    ("KAFKA_SSL_KEYSTORE_CREDENTIALS", Meaning::Own),
    ("KAFKA_SSL_KEY_CREDENTIALS", Meaning::Own),
    ("KAFKA_SSL_TRUSTSTORE_FILENAME", Meaning::Own),
    ("KAFKA_SSL_TRUSTSTORE_CREDENTIALS", Meaning::Own),
    ("KAFKA_CFG_ADVERTISED_HOST_NAME", Meaning::Nothing("Kafka 3 has no such key")),
    ("KAFKA_CFG_ADVERTISED_PORT", Meaning::Nothing("Kafka 3 has no such key")),
    ("KAFKA_CONFLUENT_*", Meaning::Nothing(CONFLUENT)),
    ("CONFLUENT_*", Meaning::Nothing(CONFLUENT)),
    ("KAFKA_EXTRA_FLAGS", Meaning::Nothing(NO_JVM)),
    ("KAFKA_GC_LOG_OPTS", Meaning::Nothing(NO_JVM)),
    ("KAFKA_HEAP_OPTS", Meaning::Nothing(NO_JVM)),
    ("KAFKA_JMX_*", Meaning::Nothing(NO_JVM)),
    ("KAFKA_JVM_PERFORMANCE_OPTS", Meaning::Nothing(NO_JVM)),
    ("KAFKA_LOG4J_OPTS", Meaning::Nothing(NO_JVM)),
    ("KAFKA_OPTS", Meaning::Nothing(NO_JVM)),
    ("KAFKA_TOOLS_LOG4J_LOGLEVEL", Meaning::Nothing(NO_JVM)),
    ("JMX_PORT", Meaning::Nothing(NO_JVM)),
    ("LOG4J_*", Meaning::Nothing(NO_JVM)),
    ("KAFKA_BROKER_PASSWORD*", Meaning::Nothing(SECURITY)),
    ("KAFKA_BROKER_USER", Meaning::Nothing(SECURITY)),
    ("KAFKA_CERTIFICATE_PASSWORD*", Meaning::Nothing(SECURITY)),
    ("KAFKA_CLIENT_*", Meaning::Nothing(SECURITY)),
    ("KAFKA_CONTROLLER_PASSWORD*", Meaning::Nothing(SECURITY)),
    ("KAFKA_CONTROLLER_USER*", Meaning::Nothing(SECURITY)),
    ("KAFKA_INTER_BROKER_PASSWORD*", Meaning::Nothing(SECURITY)),
    ("KAFKA_INTER_BROKER_USER*", Meaning::Nothing(SECURITY)),
    ("KAFKA_TLS_*", Meaning::Nothing(SECURITY)),
    ("KAFKA_ZOOKEEPER_PASSWORD*", Meaning::Nothing(SECURITY)),
    ("KAFKA_ZOOKEEPER_PROTOCOL", Meaning::Own),
    ("KAFKA_ZOOKEEPER_TLS_*", Meaning::Nothing(SECURITY)),
    ("KAFKA_ZOOKEEPER_USER*", Meaning::Nothing(SECURITY)),
    ("KAFKA_BASE_DIR", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_DEBUG", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_HOME", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_INITSCRIPTS_DIR", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_KRAFT_CLUSTER_ID", Meaning::Nothing("it is for KRaft")),
    ("KAFKA_MODE", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_MOUNTED_CONF_DIR", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_VERSION", Meaning::Nothing(SCRIPTS)),
    ("KAFKA_VOLUME_DIR", Meaning::Nothing(SCRIPTS)),
];

/// bitnami's older names (`kafka_create_alias_environment_variables`).
const ALIASES: &[(&str, &str)] = &[
    ("KAFKA_LOGS_DIRS", "log.dirs"),
    ("KAFKA_LOG_RETENTION_CHECK_INTERVALS_MS", "log.retention.check.interval.ms"),
    ("KAFKA_MAX_MESSAGE_BYTES", "message.max.bytes"),
    ("KAFKA_SEGMENT_BYTES", "log.segment.bytes"),
    ("KAFKA_ZOOKEEPER_CONNECT_TIMEOUT_MS", "zookeeper.connection.timeout.ms"),
];

/// What `variable` is for; nothing if it has nothing to do with a broker.
pub fn meaning(variable: &str) -> Option<Meaning> {
    if let Some((_, meaning)) = SPECIAL.iter().find(|(name, _)| fits(name, variable)) {
        return Some(meaning.clone());
    }
    if let Some((_, key)) = ALIASES.iter().find(|(name, _)| *name == variable) {
        return Some(Meaning::Key((*key).to_owned()));
    }
    let key = match variable.strip_prefix("KAFKA_CFG_") {
        Some(rest) => bitnami(rest),
        None => general(variable.strip_prefix("KAFKA_")?),
    };
    if is_known(&key) {
        return Some(Meaning::Key(key));
    }
    let holds_path = |name: &str| matches!(meaning(name), Some(Meaning::Key(_)));
    match variable.strip_suffix("_FILE").is_some_and(holds_path) {
        true => Some(Meaning::File),
        false => Some(Meaning::Unknown(key)),
    }
}

/// The key that `variable` names, whether Kafka has it or not; nothing if it is for something else.
pub fn key(variable: &str) -> Option<String> {
    match meaning(variable)? {
        Meaning::Key(key) | Meaning::Unknown(key) => Some(key),
        Meaning::Own | Meaning::Nothing(_) | Meaning::File => None,
    }
}

/// Whether this, which no image reads, is a broker's variable but for its letters: `kafka_broker_id`.
pub fn is_meant(variable: &str) -> bool {
    let capitals = variable.to_ascii_uppercase();
    capitals != variable && matches!(meaning(&capitals), Some(Meaning::Key(_) | Meaning::Own | Meaning::File))
}

fn fits(name: &str, variable: &str) -> bool {
    match name.strip_suffix('*') {
        Some(start) => variable.starts_with(start),
        None => variable == name,
    }
}

/// `_` is a dot, `__` an underscore, `___` a hyphen (`KafkaDockerWrapper`, Confluent's `dub`); wurstmeister knows only the first.
fn general(rest: &str) -> String {
    rest.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_")
}

/// Every `_` is a dot but those of listener names (`kafka_configure_from_environment_variables`).
fn bitnami(rest: &str) -> String {
    if rest == "ZOOKEEPER_CLIENTCNXNSOCKET" {
        return "zookeeper.clientCnxnSocket".to_owned();
    }
    let dotted = rest.to_lowercase().replace('_', ".");
    dotted.replace("sasl.ssl", "sasl_ssl").replace("sasl.plaintext", "sasl_plaintext")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_keys() {
        assert_eq!(key("KAFKA_BROKER_ID").as_deref(), Some("broker.id"));
        assert_eq!(key("KAFKA_A__B___C").as_deref(), Some("a_b-c"));
        assert_eq!(
            key("KAFKA_CFG_LISTENER_NAME_SASL_SSL_MAX_CONNECTIONS").as_deref(),
            Some("listener.name.sasl_ssl.max.connections")
        );
        assert_eq!(key("KAFKA_HEAP_OPTS"), None);
        assert_eq!(key("PATH"), None);
        assert_eq!(meaning("KAFKA_SSL_KEY_PASSWORD_FILE"), Some(Meaning::File));
        assert_eq!(meaning("KAFKA_NOTHING_FILE"), Some(Meaning::Unknown("nothing.file".into())));
    }
}
