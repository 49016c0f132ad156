//! One ZooKeeper and some brokers on a network of their own, by testcontainers: what docker/compose.yaml starts, on free ports.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testcontainers::core::{ExecCommand, IntoContainerPort};
use testcontainers::runners::SyncRunner;
use testcontainers::{Container, ContainerRequest, GenericImage, ImageExt};

use crate::engine::{self, eventually};
use crate::metadata;

/// A session that ends soon after a kill.
pub const SESSION_MS: u64 = 6000;

/// A started container.
pub type Running = Container<GenericImage>;

/// The port on which a broker calls others and is called by them.
pub const INTERNAL: u16 = 19092;

/// ZooKeeper and brokers; dropped, they are gone. Brokers first: they say good-bye.
pub struct Stack {
    /// Its network's name, and what its containers' names begin with.
    pub name: String,
    /// The brokers, by rising id.
    pub brokers: Vec<Broker>,
    /// ZooKeeper, on port 2181 of its name.
    pub zookeeper: Running,
}

/// One broker.
pub struct Broker {
    /// Its `broker.id`.
    pub id: i32,
    /// Its port for clients, on this machine.
    pub port: u16,
    /// Its container.
    pub container: Running,
}

/// A request for the image under test, or another `name:tag`.
pub fn request(image: &str) -> GenericImage {
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    GenericImage::new(name, tag)
}

/// A name that nothing else has.
pub fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", engine::prefix(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A port of this machine that is free, and below those that the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 20_000 + std::process::id() % 10_000;
    loop {
        let port = (first + NEXT.fetch_add(1, Ordering::Relaxed)) as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Starts ZooKeeper, as `NAME-zoo` on the network NAME.
pub fn zookeeper(name: &str) -> Running {
    request(&engine::zookeeper_image())
        .with_network(name)
        .with_container_name(format!("{name}-zoo"))
        .with_env_var("ZOO_MY_ID", "1")
        .start()
        .expect("ZooKeeper's container starts")
}

/// A broker of the network `name`, not yet started: `NAME-kafkaID` inside, 127.0.0.1:`port` outside.
pub fn broker(image: &str, name: &str, id: i32, port: u16) -> ContainerRequest<GenericImage> {
    request(image)
        .with_network(name)
        .with_container_name(format!("{name}-kafka{id}"))
        .with_mapped_port(port, 9092.tcp())
        .with_env_var("KAFKA_BROKER_ID", id.to_string())
        .with_env_var("KAFKA_ZOOKEEPER_CONNECT", format!("{name}-zoo:2181"))
        .with_env_var("KAFKA_ZOOKEEPER_SESSION_TIMEOUT_MS", SESSION_MS.to_string())
        .with_env_var("KAFKA_LISTENERS", format!("INTERNAL://:{INTERNAL},EXTERNAL://:9092"))
        .with_env_var(
            "KAFKA_ADVERTISED_LISTENERS",
            format!("INTERNAL://{name}-kafka{id}:{INTERNAL},EXTERNAL://127.0.0.1:{port}"),
        )
        .with_env_var("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT")
        .with_env_var("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL")
}

impl Stack {
    /// Starts ZooKeeper and so many brokers, and waits until all of them answer for all.
    pub fn start(count: usize) -> Stack {
        let name = fresh_name();
        let zookeeper = zookeeper(&name);
        let brokers = (1..=count as i32).map(|id| {
            let port = free_port();
            let request = broker(&engine::image(), &name, id, port)
                .with_env_var("KAFKA_DEFAULT_REPLICATION_FACTOR", count.min(3).to_string())
                .with_env_var("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", count.min(3).to_string())
                .with_env_var("KAFKA_MIN_INSYNC_REPLICAS", count.min(2).to_string());
            Broker { id, port, container: request.start().expect("a broker's container starts") }
        });
        let stack = Stack { brokers: brokers.collect(), name, zookeeper };
        for broker in &stack.brokers {
            if let Err(error) = metadata::wait(broker.port, count, Duration::from_secs(60)) {
                panic!("broker {}: {error}\n{}", broker.id, logs(&broker.container));
            }
        }
        stack
    }

    /// The broker of this id.
    pub fn broker(&self, id: i32) -> &Broker {
        self.brokers.iter().find(|broker| broker.id == id).expect("a broker of the stack")
    }

    /// All brokers, as a client on the network names them.
    pub fn bootstrap(&self) -> String {
        let names: Vec<String> = self
            .brokers
            .iter()
            .map(|broker| format!("{}-kafka{}:{INTERNAL}", self.name, broker.id))
            .collect();
        names.join(",")
    }

    /// The data of a znode as a real ZooKeeper's own shell prints them; `command` is `get` or `ls`.
    pub fn zk_cli(&self, command: &str, path: &str) -> Result<String, String> {
        let said = run(&self.zookeeper, &["zkCli.sh", "-server", "127.0.0.1:2181", command, path])?;
        let line = said.lines().rfind(|line| line.starts_with('{') || line.starts_with('['));
        line.map(str::to_owned).ok_or(said)
    }
}

/// What a command prints in a container; the error has its exit code and its own words.
pub fn run(container: &Running, command: &[&str]) -> Result<String, String> {
    let fail = |error| format!("{command:?}: {error}");
    let mut done = container.exec(ExecCommand::new(command.iter().copied())).map_err(fail)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let (stdout, stderr) =
        (text(done.stdout_to_vec().map_err(fail)?), text(done.stderr_to_vec().map_err(fail)?));
    let (code, _) = eventually(Duration::from_secs(10), || {
        done.exit_code().map_err(fail)?.ok_or_else(|| format!("{command:?} has not ended"))
    })?;
    if code == 0 { Ok(stdout) } else { Err(format!("{command:?}: exit code {code}: {stdout} {stderr}")) }
}

/// The same through the image's own shell.
pub fn shell(container: &Running, script: &str) -> Result<String, String> {
    run(container, &["bash", "-c", script])
}

/// All that a container has printed.
pub fn logs(container: &Running) -> String {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let stdout = container.stdout_to_vec().map(text).unwrap_or_default();
    stdout + &container.stderr_to_vec().map(text).unwrap_or_default()
}
