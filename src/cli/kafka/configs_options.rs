//! The options of `kafka-configs`. Source: `ConfigCommandOptions` of Kafka 3.9.

use super::options::{Spec, flag, value};

/// All of them.
pub const OPTIONS: &[Spec] = &[
    value(
        "zookeeper",
        "String: urls",
        "DEPRECATED. The connection string for the zookeeper connection in the form host:port. Multiple URLS can be \
         given to allow fail-over. For dynamic broker configs while the relevant broker(s) are down. Not allowed \
         otherwise.",
    ),
    value("bootstrap-server", "String: server to connect to", "The Kafka servers to connect to."),
    value(
        "bootstrap-controller",
        "String: controller to connect to",
        "Not supported: clusters with ZooKeeper have no controllers apart from their brokers.",
    ),
    value(
        "command-config",
        "String: command config property file",
        "Property file containing configs to be passed to the client. This is used only with --bootstrap-server option.",
    ),
    flag("alter", "Alter the configuration for the entity."),
    flag("describe", "List configs for the given entity."),
    flag(
        "all",
        "List all configs for the given topic, broker, or broker-logger entity (includes static configuration when \
         the entity type is brokers)",
    ),
    value(
        "entity-type",
        "String",
        "Type of entity (topics/clients/users/brokers/broker-loggers/ips/client-metrics)",
    ),
    value(
        "entity-name",
        "String",
        "Name of entity (topic name/client id/user principal name/broker id/ip/client metrics)",
    ),
    flag(
        "entity-default",
        "Default entity name for clients/users/brokers/ips (applies to corresponding entity type in command line)",
    ),
    value(
        "add-config",
        "String",
        "Key Value pairs of configs to add. Square brackets can be used to group values which contain commas: \
         'k1=v1,k2=[v1,v2,v2],k3=v3'. Entity types 'users' and 'clients' may be specified together to update config \
         for clients of a specific user.",
    ),
    value(
        "add-config-file",
        "String",
        "Path to a properties file with configs to add. See add-config for a list of valid configurations.",
    ),
    value("delete-config", "String", "config keys to remove 'k1,k2'"),
    flag("force", "Suppress console prompts"),
    value("topic", "String", "The topic's name."),
    value("client", "String", "The client's ID."),
    flag("client-defaults", "The config defaults for all clients."),
    value("user", "String", "The user's principal name."),
    flag("user-defaults", "The config defaults for all users."),
    value("broker", "String", "The broker's ID."),
    flag("broker-defaults", "The config defaults for all brokers."),
    value("broker-logger", "String", "The broker's ID for its logger config."),
    flag("ip-defaults", "The config defaults for all IPs."),
    value("ip", "String", "The IP address."),
    value(
        "zk-tls-config-file",
        "String: ZooKeeper TLS configuration",
        "Not supported: ZooKeeper is reached without TLS.",
    ),
];
