//! Kafka's own command-line tools by their names: one binary, and the name it is called by says which tool it is.
//!
//! `kafka-topics`, `kafka-topics.sh`, `/opt/kafka/bin/kafka-topics.sh` are links to the `ottla` binary. Options, words
//! and exit codes are those of Kafka 3.9's tools; what they do is done by Ottla's own client.

mod absent;
mod arguments;
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
mod consumer_perf;
mod cub;
mod daemon;
mod date_format;
mod delete_records;
mod dump_index;
mod dump_log;
mod errors;
mod formatter;
mod get_offsets;
mod groups_described;
mod groups_reset;
mod include;
mod leader_election;
mod line_reader;
mod log_dirs;
mod message_json;
mod moments;
mod native;
mod options;
mod perf_payload;
mod perf_pipeline;
mod perf_stats;
mod processes;
mod producer_perf;
mod producer_settings;
mod reassign;
mod reassign_dirs;
mod reassign_options;
mod reassign_throttle;
mod run_class;
mod server_start;
mod server_stop;
mod settings;
mod topics;
mod topics_described;
mod waiting;
mod zookeeper_properties;
mod zookeeper_server;
mod zookeeper_shell;
mod zookeeper_words;

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
        name: "kafka-consumer-perf-test",
        class: "org.apache.kafka.tools.ConsumerPerformance",
        run: consumer_perf::run,
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
        name: "kafka-producer-perf-test",
        class: "org.apache.kafka.tools.ProducerPerformance",
        run: producer_perf::run,
    },
    Tool {
        name: "kafka-reassign-partitions",
        class: "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        run: reassign::run,
    },
    Tool { name: "kafka-run-class", class: "", run: run_class::run },
    Tool { name: "kafka-server-start", class: "kafka.Kafka", run: server_start::run },
    Tool { name: "kafka-server-stop", class: "", run: server_stop::broker },
    Tool { name: "kafka-topics", class: "org.apache.kafka.tools.TopicCommand", run: topics::run },
    Tool { name: "kafka.Kafka", class: "kafka.docker.KafkaDockerWrapper", run: native::run },
    Tool { name: "zookeeper-server-start", class: zookeeper_server::CLASS, run: zookeeper_server::run },
    Tool { name: "zookeeper-server-stop", class: "", run: server_stop::zookeeper },
    Tool { name: "zookeeper-shell", class: zookeeper_shell::CLASS, run: zookeeper_shell::run },
];

/// The tool of which `called` (an `argv[0]`, with or without directory and `.sh`) is the name.
pub fn named(called: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == script(called))
}

/// Why there is no tool of the name that `called` is, if Kafka has one.
pub fn absent(called: &str) -> Option<String> {
    absent::named(script(called)).map(absent::Absent::sentence)
}

/// A script's name without directory and `.sh`.
fn script(called: &str) -> &str {
    let file = called.rsplit('/').next().unwrap_or(called);
    file.strip_suffix(".sh").unwrap_or(file)
}

/// All names, one a line, sorted: those of the tools, and those that say why there is none.
pub fn names() -> String {
    let mut names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
    names.extend(absent::ABSENT.iter().map(|absent| absent.name));
    names.sort_unstable();
    names.join("\n")
}

/// The tool that a Java class is: Kafka's name of it, or one that other releases and other scripts use.
fn of_class(class: &str) -> Option<&'static Tool> {
    let class = match class {
        "org.apache.zookeeper.server.ZooKeeperServerMain" => zookeeper_server::CLASS,
        "org.apache.zookeeper.ZooKeeperMain" => zookeeper_shell::CLASS,
        other => other,
    };
    TOOLS.iter().find(|tool| !class.is_empty() && tool.class == class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_without_doubles() {
        assert!(TOOLS.is_sorted_by(|a, b| a.name < b.name), "{}", names());
        let mut classes: Vec<&str> = TOOLS.iter().map(|tool| tool.class).filter(|c| !c.is_empty()).collect();
        let all = classes.len();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), all, "one class, one tool: {classes:?}");
        for absent in absent::ABSENT {
            assert!(named(absent.name).is_none() && of_class(absent.class).is_none(), "{}", absent.name);
        }
        assert!(absent::ABSENT.is_sorted_by(|a, b| a.name < b.name));
    }

    /// What `ls bin/` shows of Kafka 3.9.2's tarball.
    const KAFKA: &str = "connect-distributed connect-mirror-maker connect-plugin-path connect-standalone kafka-acls \
        kafka-broker-api-versions kafka-client-metrics kafka-cluster kafka-configs kafka-console-consumer \
        kafka-console-producer kafka-consumer-groups kafka-consumer-perf-test kafka-delegation-tokens kafka-delete-records \
        kafka-dump-log kafka-e2e-latency kafka-features kafka-get-offsets kafka-jmx kafka-leader-election kafka-log-dirs \
        kafka-metadata-quorum kafka-metadata-shell kafka-mirror-maker kafka-producer-perf-test kafka-reassign-partitions \
        kafka-replica-verification kafka-run-class kafka-server-start kafka-server-stop kafka-storage \
        kafka-streams-application-reset kafka-topics kafka-transactions kafka-verifiable-consumer \
        kafka-verifiable-producer trogdor zookeeper-security-migration zookeeper-server-start zookeeper-server-stop \
        zookeeper-shell";

    #[test]
    fn every_name_of_kafkas_is_there() {
        for name in KAFKA.split_whitespace() {
            let script = format!("/opt/kafka/bin/{name}.sh");
            assert!(named(&script).is_some() != absent(&script).is_some(), "{name}");
        }
        assert_eq!(
            names().lines().filter(|name| !KAFKA.contains(name)).collect::<Vec<_>>(),
            ["cub", "kafka.Kafka"]
        );
        let one = absent("kafka-acls").unwrap();
        assert!(one.starts_with("kafka-acls: ") && !one.contains("  ") && !one.contains('\n'), "{one}");
    }

    #[test]
    fn a_tool_is_found_by_every_name_it_has() {
        for called in ["kafka-server-start", "kafka-server-start.sh", "/opt/kafka/bin/kafka-server-start.sh"]
        {
            assert_eq!(named(called).map(|tool| tool.class), Some("kafka.Kafka"), "{called}");
        }
        assert!(named("/usr/bin/ottla").is_none());
        assert_eq!(of_class("kafka.Kafka").map(|tool| tool.name), Some("kafka-server-start"));
        let main = "org.apache.zookeeper.ZooKeeperMain";
        assert_eq!(of_class(main).map(|tool| tool.name), Some("zookeeper-shell"));
        assert!(of_class("").is_none() && of_class("no.Such").is_none());
    }
}
