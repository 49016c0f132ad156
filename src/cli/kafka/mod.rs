//! Kafka's own command-line tools by their names: one binary, and the name it is called by says which tool it is.
//!
//! `kafka-topics`, `kafka-topics.sh`, `/opt/kafka/bin/kafka-topics.sh` are links to the `ottla` binary. Options, words
//! and exit codes are those of Kafka 3.9's tools; what they do is done by Ottla's own client.

mod broker_api_versions;
mod client_config;
mod cluster;
mod configs;
mod configs_entities;
mod configs_options;
mod configs_quotas;
mod configs_zookeeper;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod cub;
mod delete_records;
mod dump_index;
mod dump_log;
pub mod errors;
mod formatter;
mod get_offsets;
mod groups_described;
mod groups_reset;
pub mod include;
mod leader_election;
mod line_reader;
mod log_dirs;
mod message_json;
mod moments;
pub mod options;
mod reassign;
mod reassign_dirs;
mod reassign_options;
mod reassign_throttle;
pub mod settings;
mod topics;
mod topics_described;

/// One tool.
pub struct Tool {
    /// Its script in Kafka's `bin/`, without `.sh`.
    pub name: &'static str,
    /// The class that `kafka-run-class` names, if the script starts one.
    pub class: &'static str,
    /// Runs it with the arguments after its name. The error is what goes to stderr, whole; the exit code is then 1.
    pub run: fn(&[String]) -> Result<(), String>,
}

/// Every tool, by name.
pub const TOOLS: &[Tool] = &[
    Tool { name: "cub", class: "io.confluent.admin.utils.cli.KafkaReadyCommand", run: cub::run },
    Tool {
        name: "kafka-broker-api-versions",
        class: "kafka.admin.BrokerApiVersionsCommand",
        run: broker_api_versions::run,
    },
    Tool { name: "kafka-cluster", class: "org.apache.kafka.tools.ClusterTool", run: cluster::run },
    Tool { name: "kafka-configs", class: "kafka.admin.ConfigCommand", run: configs::run },
    Tool {
        name: "kafka-console-consumer",
        class: "org.apache.kafka.tools.consumer.ConsoleConsumer",
        run: console_consumer::run,
    },
    Tool { name: "kafka-console-producer", class: "kafka.tools.ConsoleProducer", run: console_producer::run },
    Tool {
        name: "kafka-consumer-groups",
        class: "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        run: consumer_groups::run,
    },
    Tool {
        name: "kafka-delete-records",
        class: "org.apache.kafka.tools.DeleteRecordsCommand",
        run: delete_records::run,
    },
    Tool { name: "kafka-dump-log", class: "kafka.tools.DumpLogSegments", run: dump_log::run },
    Tool { name: "kafka-get-offsets", class: "org.apache.kafka.tools.GetOffsetShell", run: get_offsets::run },
    Tool {
        name: "kafka-leader-election",
        class: "org.apache.kafka.tools.LeaderElectionCommand",
        run: leader_election::run,
    },
    Tool { name: "kafka-log-dirs", class: "org.apache.kafka.tools.LogDirsCommand", run: log_dirs::run },
    Tool {
        name: "kafka-reassign-partitions",
        class: "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        run: reassign::run,
    },
    Tool { name: "kafka-topics", class: "org.apache.kafka.tools.TopicCommand", run: topics::run },
];

/// The tool of which `called` (an `argv[0]`, with or without directory and `.sh`) is the name.
pub fn named(called: &str) -> Option<&'static Tool> {
    let file = called.rsplit('/').next().unwrap_or(called);
    let name = file.strip_suffix(".sh").unwrap_or(file);
    TOOLS.iter().find(|tool| tool.name == name)
}
