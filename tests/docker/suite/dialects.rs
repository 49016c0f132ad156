//! One broker in the words of each image: started by that image's own entry, found by that image's own tools, its data where
//! that image keeps them, its topics made, and all of it still there in the next container.

use std::time::Duration;

use ottla_docker_tests::engine::{self, docker, eventually};
use ottla_docker_tests::metadata;
use ottla_docker_tests::stack::{self, Running, logs, request, run, shell};
use testcontainers::core::{IntoContainerPort, Mount};
use testcontainers::runners::SyncRunner;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};

/// One image's way to say the same: broker 7, 3 partitions without a word.
struct Dialect {
    name: &'static str,
    /// What compose files of it name as a command; nothing = none, as most do.
    command: &'static [&'static str],
    /// `{zoo}`, `{host}` and `{port}` are filled in.
    variables: &'static [(&'static str, &'static str)],
    /// Where its users mount a volume.
    volume: &'static str,
    /// Where `meta.properties` must then be.
    data: &'static str,
    /// Its `kafka-topics`.
    tool: &'static str,
}

const LISTENERS: &str = "IN://:19092,OUT://:9092";
const ADVERTISED: &str = "IN://{host}:19092,OUT://127.0.0.1:{port}";
const MAP: &str = "IN:PLAINTEXT,OUT:PLAINTEXT";

const DIALECTS: &[Dialect] = &[
    Dialect {
        name: "apache",
        command: &["/etc/kafka/docker/run"],
        variables: &[
            ("KAFKA_BROKER_ID", "7"),
            ("KAFKA_ZOOKEEPER_CONNECT", "{zoo}:2181"),
            ("KAFKA_LISTENERS", LISTENERS),
            ("KAFKA_ADVERTISED_LISTENERS", ADVERTISED),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", MAP),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "IN"),
            ("KAFKA_NUM_PARTITIONS", "3"),
            ("KAFKA_LOG_DIRS", "/var/lib/kafka/data"),
        ],
        volume: "/var/lib/kafka/data",
        data: "/var/lib/kafka/data",
        tool: "/opt/kafka/bin/kafka-topics.sh",
    },
    Dialect {
        name: "confluent",
        command: &[],
        variables: &[
            ("KAFKA_BROKER_ID", "7"),
            ("KAFKA_ZOOKEEPER_CONNECT", "{zoo}:2181"),
            ("KAFKA_ADVERTISED_LISTENERS", ADVERTISED),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", MAP),
            ("KAFKA_LISTENERS", LISTENERS),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "IN"),
            ("KAFKA_NUM_PARTITIONS", "3"),
            ("KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE", "false"),
            ("CONFLUENT_METRICS_ENABLE", "false"),
            ("KAFKA_JMX_PORT", "9999"),
        ],
        volume: "/var/lib/kafka/data",
        data: "/var/lib/kafka/data",
        tool: "kafka-topics",
    },
    Dialect {
        name: "confluent, by a command of its users' own",
        command: &["bash", "-c", "echo before; exec /etc/confluent/docker/run"],
        variables: &[
            ("KAFKA_BROKER_ID", "7"),
            ("KAFKA_ZOOKEEPER_CONNECT", "{zoo}:2181"),
            ("KAFKA_ADVERTISED_LISTENERS", ADVERTISED),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", MAP),
            ("KAFKA_LISTENERS", LISTENERS),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "IN"),
            ("KAFKA_NUM_PARTITIONS", "3"),
        ],
        volume: "/var/lib/kafka/data",
        data: "/var/lib/kafka/data",
        tool: "kafka-topics",
    },
    Dialect {
        name: "bitnami",
        command: &["/opt/bitnami/scripts/kafka/entrypoint.sh", "/run.sh"],
        variables: &[
            ("ALLOW_PLAINTEXT_LISTENER", "yes"),
            ("KAFKA_CFG_BROKER_ID", "7"),
            ("KAFKA_CFG_ZOOKEEPER_CONNECT", "{zoo}:2181"),
            ("KAFKA_CFG_LISTENERS", LISTENERS),
            ("KAFKA_CFG_ADVERTISED_LISTENERS", ADVERTISED),
            ("KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP", MAP),
            ("KAFKA_CFG_INTER_BROKER_LISTENER_NAME", "IN"),
            ("KAFKA_CFG_NUM_PARTITIONS", "3"),
        ],
        volume: "/bitnami",
        data: "/bitnami/kafka/data",
        tool: "/opt/bitnami/kafka/bin/kafka-topics.sh",
    },
    Dialect {
        name: "wurstmeister",
        command: &["start-kafka.sh"],
        variables: &[
            ("KAFKA_BROKER_ID", "7"),
            ("KAFKA_ZOOKEEPER_CONNECT", "{zoo}:2181"),
            ("KAFKA_LISTENERS", LISTENERS),
            ("HOSTNAME_COMMAND", "echo 127.0.0.1"),
            ("KAFKA_ADVERTISED_LISTENERS", "IN://{host}:19092,OUT://_{HOSTNAME_COMMAND}:{port}"),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", MAP),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "IN"),
            ("KAFKA_NUM_PARTITIONS", "3"),
            ("KAFKA_CREATE_TOPICS", "first:2:1,second:1:1:compact"),
        ],
        volume: "/kafka",
        data: "/kafka/kafka-logs-box",
        tool: "kafka-topics.sh",
    },
];

/// A volume with a name; dropped, it is gone.
struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = docker(&["volume", "rm", "-f", &self.0]) {
            eprintln!("{error}");
        }
    }
}

impl Dialect {
    fn request(&self, name: &str, port: u16, volume: &str) -> ContainerRequest<GenericImage> {
        let (host, zoo) = (format!("{name}-kafka7"), format!("{name}-zoo"));
        let mut request = request(&engine::image())
            .with_network(name)
            .with_container_name(&host)
            .with_hostname("box")
            .with_mapped_port(port, 9092.tcp())
            .with_mount(Mount::volume_mount(volume, self.volume));
        if !self.command.is_empty() {
            request = request.with_cmd(self.command.iter().copied());
        }
        for (variable, value) in self.variables {
            let value =
                value.replace("{host}", &host).replace("{zoo}", &zoo).replace("{port}", &port.to_string());
            request = request.with_env_var(*variable, value);
        }
        request
    }

    fn topics(&self, broker: &Running, arguments: &str) -> Result<String, String> {
        shell(broker, &format!("{} --bootstrap-server $(hostname -i):19092 {arguments}", self.tool))
    }

    fn start(&self, name: &str, port: u16, volume: &str) -> Running {
        let broker = self.request(name, port, volume).start().expect("the broker's container starts");
        let (found, _) = metadata::wait(port, 1, Duration::from_secs(40))
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, logs(&broker)));
        assert_eq!(found.brokers.get(&7), Some(&("127.0.0.1".to_owned(), i32::from(port))), "{}", self.name);
        assert_eq!(shell(&broker, "readlink /proc/1/exe"), Ok("/usr/bin/ottla".into()), "{}", self.name);
        broker
    }

    fn check(&self) {
        let (name, port) = (stack::fresh_name(), stack::free_port());
        let volume = Volume(format!("{name}-data"));
        let _zookeeper = stack::zookeeper(&name);
        let broker = self.start(&name, port, &volume.0);
        run(&broker, &["test", "-f", &format!("{}/meta.properties", self.data)])
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, logs(&broker)));
        self.topics(&broker, "--create --topic made").expect("the image's own tool makes a topic");
        let described = self.topics(&broker, "--describe --topic made").expect("it is described");
        assert!(described.contains("PartitionCount: 3"), "{}: num.partitions: {described}", self.name);
        if self.variables.iter().any(|(variable, _)| *variable == "KAFKA_CREATE_TOPICS") {
            let made = || {
                let described = self.topics(&broker, "--describe --topic second")?;
                described.contains("cleanup.policy=compact").then_some(()).ok_or(described)
            };
            eventually(Duration::from_secs(20), made).expect("topics are made as asked");
        }
        run(&broker, &["ottla", "health"]).expect("it finds its own listener");
        shell(&broker, "echo kept | ottla produce made --bootstrap $(hostname -i):19092")
            .expect("a record is written");

        // The container replaced, as `docker compose up` does when its file has changed: the volume stays.
        docker(&["stop", "-t", "30", broker.id()]).expect("it stops");
        broker.rm().expect("it goes");
        let broker = self.start(&name, port, &volume.0);
        let kept =
            shell(&broker, "ottla consume made --max 1 --timeout 10000 --bootstrap $(hostname -i):19092");
        assert_eq!(kept, Ok("kept".into()), "{}", self.name);
    }
}

#[test]
fn apache() {
    of("apache");
}

#[test]
fn confluent() {
    of("confluent");
}

#[test]
fn bitnami() {
    of("bitnami");
}

#[test]
fn wurstmeister() {
    of("wurstmeister");
}

fn of(name: &str) {
    let Some(_turn) = engine::turn() else { return };
    let meant: Vec<&Dialect> = DIALECTS.iter().filter(|dialect| dialect.name.starts_with(name)).collect();
    assert!(!meant.is_empty());
    meant.into_iter().for_each(Dialect::check);
}
