//! Tools of Kafka 3.9 that Ottla has not: their names are there all the same, and say why and what to use.
//!
//! With the tools of [`super::TOOLS`] these are all names of Kafka 3.9's `bin/`. That Kafka's own tool works with Ottla is
//! said only of those that were seen to.

/// A tool that is not there.
pub struct Absent {
    /// Its script in Kafka's `bin/`, without `.sh`.
    pub name: &'static str,
    /// The class that the script starts; empty if there are several.
    pub class: &'static str,
    /// What it is for, why there is none, and what to use.
    why: &'static str,
}

impl Absent {
    /// One sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.name, self.why)
    }
}

/// The tool that is not there of this name.
pub fn named(name: &str) -> Option<&'static Absent> {
    ABSENT.iter().find(|absent| absent.name == name)
}

/// The tool that is not there of this class.
pub fn of_class(class: &str) -> Option<&'static Absent> {
    ABSENT.iter().find(|absent| !class.is_empty() && absent.class == class)
}

/// All of them, by name.
#[rustfmt::skip]
pub const ABSENT: &[Absent] = &[
    Absent {
        name: "connect-distributed",
        class: "org.apache.kafka.connect.cli.ConnectDistributed",
        why: "a worker of Kafka Connect is a Java program of its own, not a part of a broker; run the one of Kafka's tarball, \
              its bootstrap.servers naming Ottla",
    },
    Absent {
        name: "connect-mirror-maker",
        class: "org.apache.kafka.connect.mirror.MirrorMaker",
        why: "MirrorMaker 2 copies topics between clusters on Kafka Connect, a Java program of its own; run the one of Kafka's \
              tarball, its clusters naming Ottla",
    },
    Absent {
        name: "connect-plugin-path",
        class: "org.apache.kafka.tools.ConnectPluginPath",
        why: "this lists the Java plug-ins of Kafka Connect and asks no broker; run the one of Kafka's tarball",
    },
    Absent {
        name: "connect-standalone",
        class: "org.apache.kafka.connect.cli.ConnectStandalone",
        why: "a worker of Kafka Connect is a Java program of its own, not a part of a broker; run the one of Kafka's tarball, \
              its bootstrap.servers naming Ottla",
    },
    Absent {
        name: "kafka-acls",
        class: "kafka.admin.AclCommand",
        why: "access control lists need an authorizer, and Ottla has none yet (brokers answer SecurityDisabledException, as \
              Kafka's without one): every client may do everything; let only those reach the listeners who may",
    },
    Absent {
        name: "kafka-client-metrics",
        class: "org.apache.kafka.tools.ClientMetricsCommand",
        why: "brokers take metrics of clients (KIP-714) only in KRaft clusters, and this one is on ZooKeeper; read the metrics \
              where the clients run",
    },
    Absent {
        name: "kafka-delegation-tokens",
        class: "org.apache.kafka.tools.DelegationTokenCommand",
        why: "delegation tokens need SASL or client certificates, and Ottla's listeners are PLAINTEXT only; clients need no \
              token to connect",
    },
    Absent {
        name: "kafka-e2e-latency",
        class: "org.apache.kafka.tools.EndToEndLatency",
        why: "this measures the way of single records from producer to consumer; run the one of Kafka's tarball, which works \
              with Ottla, or see the latencies of kafka-producer-perf-test",
    },
    Absent {
        name: "kafka-features",
        class: "org.apache.kafka.tools.FeatureCommand",
        why: "feature levels are set in KRaft clusters, and this one is on ZooKeeper; see inter.broker.protocol.version in \
              the brokers' configuration, and kafka-broker-api-versions for what they speak",
    },
    Absent {
        name: "kafka-jmx",
        class: "org.apache.kafka.tools.JmxTool",
        why: "this reads the MBeans of a Java process, and Ottla is none; see kafka-log-dirs, kafka-consumer-groups and \
              `ottla cluster` for how the cluster is",
    },
    Absent {
        name: "kafka-metadata-quorum",
        class: "org.apache.kafka.tools.MetadataQuorumCommand",
        why: "this describes the controllers of a KRaft cluster, and this one is on ZooKeeper; see `ottla cluster` for the \
              controller",
    },
    Absent {
        name: "kafka-metadata-shell",
        class: "org.apache.kafka.shell.MetadataShell",
        why: "this reads the metadata log of a KRaft cluster, and this one keeps its metadata in ZooKeeper; see \
              zookeeper-shell or `ottla znodes`",
    },
    Absent {
        name: "kafka-mirror-maker",
        class: "kafka.tools.MirrorMaker",
        why: "the old MirrorMaker copies topics between clusters, a consumer and a producer in a Java program of its own; run \
              the one of Kafka's tarball, its configurations naming Ottla",
    },
    Absent {
        name: "kafka-replica-verification",
        class: "org.apache.kafka.tools.ReplicaVerificationTool",
        why: "this compares the replicas of partitions; run the one of Kafka's tarball, which works with Ottla",
    },
    Absent {
        name: "kafka-storage",
        class: "kafka.tools.StorageTool",
        why: "this formats log directories for KRaft, and this cluster is on ZooKeeper; a broker here needs no formatting: \
              start it",
    },
    Absent {
        name: "kafka-streams-application-reset",
        class: "org.apache.kafka.tools.StreamsResetter",
        why: "this sets the topics and offsets of a Kafka Streams application back; run the one of Kafka's tarball, which \
              works with Ottla, or kafka-consumer-groups --reset-offsets for the offsets",
    },
    Absent {
        name: "kafka-transactions",
        class: "org.apache.kafka.tools.TransactionsCommand",
        why: "Ottla's brokers have no transactions yet; the one of Kafka's tarball lists and describes, and finds none",
    },
    Absent {
        name: "kafka-verifiable-consumer",
        class: "org.apache.kafka.tools.VerifiableConsumer",
        why: "this is a consumer for Kafka's system tests; run the one of Kafka's tarball, which works with Ottla, or \
              kafka-console-consumer",
    },
    Absent {
        name: "kafka-verifiable-producer",
        class: "org.apache.kafka.tools.VerifiableProducer",
        why: "this is a producer for Kafka's system tests; run the one of Kafka's tarball, which works with Ottla, or \
              kafka-console-producer",
    },
    Absent {
        name: "trogdor",
        class: "",
        why: "this drives Kafka's tests of faults and load from agents in Java; run the one of Kafka's tarball, or \
              kafka-producer-perf-test for load",
    },
    Absent {
        name: "zookeeper-security-migration",
        class: "kafka.admin.ZkSecurityMigrator",
        why: "this sets the ACLs of all znodes of a cluster, and speaks to ZooKeeper only; run the one of Kafka's tarball",
    },
];
