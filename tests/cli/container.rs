//! `ottla container` as an image runs it: variables in, a broker of the cluster out; and `ottla health`.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Dev, OTTLA, Outcome, free_port, ottla};

/// How long a broker may take to say or do what is waited for.
const LIMIT: Duration = Duration::from_secs(20);
/// Any user but root, to whom nothing is forbidden.
const SOMEBODY: u32 = 12_345;

/// A second broker, started as wurstmeister's image starts one: `start-kafka.sh`.
struct Container {
    child: Child,
    data: tempfile::TempDir,
}

impl Container {
    fn start(variables: &[(&str, &str)]) -> Container {
        let data = tempfile::tempdir().expect("a directory");
        let command = Command::new(OTTLA);
        Container::start_in(data, command, variables)
    }

    fn start_in(data: tempfile::TempDir, mut command: Command, variables: &[(&str, &str)]) -> Container {
        let log = std::fs::File::create(data.path().join("log")).expect("a log file");
        let child = command
            .arg0("/usr/bin/start-kafka.sh")
            .env_clear()
            .envs(variables.iter().copied())
            .env("PATH", "/usr/bin:/bin")
            .env("KAFKA_LOG_DIRS", data.path().join("logs"))
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second handle"))
            .stdout(log)
            .spawn()
            .expect("the binary starts");
        Container { child, data }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("log")).expect("a log")
    }

    /// The log once it has `text`.
    fn says(&self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "{text}: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn variables_become_a_broker_and_its_topics() {
    let dev = Dev::start();
    let port = free_port();
    let (bound, told) =
        (format!("PLAINTEXT://127.0.0.1:{port}"), format!("PLAINTEXT://_{{HOSTNAME_COMMAND}}:{port}"));
    let container = Container::start(&[
        ("KAFKA_ZOOKEEPER_CONNECT", dev.zookeeper.as_str()),
        ("BROKER_ID_COMMAND", "echo 2"),
        ("HOSTNAME_COMMAND", "echo 127.0.0.1"),
        ("KAFKA_LISTENERS", &bound),
        ("KAFKA_ADVERTISED_LISTENERS", &told),
        ("KAFKA_CREATE_TOPICS", "made:3:1:compact,a.b:1:1,a_b:1:1,wide:1:3"),
        ("KAFKA_HEAP_OPTS", "-Xmx1G"),
    ]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let describe = || dev.run(&["topics", "describe", "made", "--output", "json"]);
    while describe().code != Some(0) {
        assert!(Instant::now() < deadline, "{}", container.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let topic = describe().json();
    assert_eq!(topic[0]["partitions"].as_array().map(Vec::len), Some(3), "{topic}");
    assert_eq!(topic[0]["configs"]["cleanup.policy"], "compact", "{topic}");
    let brokers = dev.run(&["znodes", "ls", "/brokers/ids"]).text();
    assert!(brokers.contains('2'), "{brokers}");
    container.says("KAFKA_CREATE_TOPICS: ");
    container.says("a_b");
    let log = container
        .says("INFO KAFKA_CREATE_TOPICS: topic wide waits for 3 brokers, 2 are here; trying on for ");
    assert!(log.contains("KAFKA_HEAP_OPTS is ignored: there is no Java virtual machine here"), "{log}");
}

#[test]
fn health_is_the_exit_code() {
    let dev = Dev::start();
    let healthy = dev.run(&["health"]).text();
    assert!(healthy.contains("serves; brokers that are up: 1"), "{healthy}");
    let port = free_port();
    let away = ottla(&["health", "--bootstrap", &format!("127.0.0.1:{port}")], b"").failure();
    assert!(away.contains(&port.to_string()), "{away}");
}

type Variables<'a> = &'a [(&'a str, &'a str)];

/// A command of the image with these variables alone.
fn with(arguments: &[&str], variables: Variables) -> Outcome {
    let mut command = Command::new(OTTLA);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(variables.iter().copied());
    let output = command.output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn health_runs_no_command_that_has_no_part_in_the_address() {
    let dev = Dev::start();
    let port = dev.bootstrap.rsplit_once(':').expect("a port").1;
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("ran");
    let traced = format!("touch {}; echo broker.example", trace.display());
    let shared = [("KAFKA_ZOOKEEPER_CONNECT", "zk:2181"), ("HOSTNAME_COMMAND", traced.as_str())];
    let bound = format!("PLAINTEXT://127.0.0.1:{port}");
    let told = [
        ("KAFKA_LISTENERS", bound.as_str()),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://_{HOSTNAME_COMMAND}:9092"),
    ];
    with(&["health"], &[&shared[..], &told].concat()).text();
    assert!(!trace.exists(), "the host's name is for others");
    // Here the port that is bound is the one that is advertised.
    let (prints, advertised) =
        (format!("echo {port}"), [("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://h:_{PORT_COMMAND}")]);
    let command = [("PORT_COMMAND", prints.as_str())];
    with(&["health"], &[&shared[..], &command, &advertised].concat()).text();
}

#[test]
fn the_health_check_of_the_image_ends_before_the_engine_ends_it() {
    let image = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/Dockerfile"))
        .expect("a Dockerfile");
    let line = image.lines().find(|line| line.starts_with("HEALTHCHECK")).expect("a check");
    let number = |before: &str, after: &str| -> u64 {
        let rest = line.split_once(before).unwrap_or_else(|| panic!("no {before} in {line}")).1;
        rest.split_once(after).expect("an end").0.parse().expect("a number")
    };
    let seconds = number("\"--seconds\", \"", "\"");
    assert!(seconds < number("--timeout=", "s "), "{line}");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = silent.local_addr().expect("an address").to_string();
    let told = ottla(&["health", "--bootstrap", &at, "--seconds", "1"], b"").failure();
    assert!(told.contains(&format!("{at} did not answer within 1 s")), "{told}");
}

#[test]
fn a_start_without_zookeeper_says_why() {
    let port = free_port();
    let container = Container::start(&[
        ("KAFKA_CFG_ZOOKEEPER_CONNECT", &format!("nowhere.invalid:2181,127.0.0.1:{port}/kafka")),
        ("KAFKA_LISTENERS", "PLAINTEXT://127.0.0.1:0"),
    ]);
    let log = container.says("look at KAFKA_CFG_ZOOKEEPER_CONNECT (zookeeper.connect)");
    assert!(
        log.contains("WARN ZooKeeper does not let this broker in: nowhere.invalid:2181 is a name "),
        "{log}"
    );
    assert!(log.contains(&format!("127.0.0.1:{port} refuses connections")), "{log}");
    assert!(log.contains("; trying for 11"), "two minutes are the image's patience: {log}");
    let stopped = Command::new("kill").arg(container.child.id().to_string()).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    container.says("stopped by a signal before it was up");
}

#[test]
fn a_plain_start_names_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("server.properties");
    let text = format!(
        "zookeeper.connect=127.0.0.1:{}\nzookeeper.connection.timeout.ms=4000\nlisteners=PLAINTEXT://127.0.0.1:0\n",
        free_port()
    );
    std::fs::write(&file, text).expect("a file");
    let ended = ottla(&["start", "--config", file.to_str().expect("letters")], b"");
    let warned = format!("look at zookeeper.connect in {}", file.display());
    let all = format!("{}{}", ended.out, ended.err);
    assert_eq!(ended.code, Some(1), "{all}");
    assert!(all.contains(&warned) && all.matches("refuses connections").count() == 2, "{all}");
}

#[test]
fn data_of_another_owner_are_told_with_the_remedy() {
    let dev = Dev::start();
    let variables =
        [("KAFKA_ZOOKEEPER_CONNECT", dev.zookeeper.as_str()), ("KAFKA_LISTENERS", "PLAINTEXT://127.0.0.1:0")];
    let rights = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    };
    // The directory itself, and a partition in one that is open to all.
    for (partition, mode, end) in [
        (None, 0o555, "no log directory can be used"),
        (Some("orders-0"), 0o111, "all log directories are offline"),
    ] {
        let data = tempfile::tempdir().expect("a directory");
        let logs = data.path().join("logs");
        let refusing = partition.map_or(logs.clone(), |partition| logs.join(partition));
        std::fs::create_dir_all(&refusing).expect("a directory");
        rights(data.path(), 0o755);
        rights(&logs, 0o777);
        rights(&refusing, mode);
        let owner = std::fs::metadata(&refusing).expect("it is there");
        let (uid, gid) = (owner.uid(), owner.gid());
        let mut command = Command::new(OTTLA);
        let (at, all) = (refusing.display(), logs.display());
        let (ids, remedy) = if uid == 0 {
            command.uid(SOMEBODY).gid(SOMEBODY);
            (format!("{SOMEBODY}:{SOMEBODY}"), format!("`chown -R {SOMEBODY}:{SOMEBODY} {all}`"))
        } else {
            (format!("{uid}:{gid}"), format!("`chmod -R u+rwX {all}`"))
        };
        let told =
            format!("{at} belongs to {uid}:{gid} with mode {mode:o}, and this process runs as {ids}; ");
        let container = Container::start_in(data, command, &variables);
        let log = container.says(end);
        rights(&refusing, 0o755);
        assert!(log.contains(&told) && log.contains(&remedy), "{told}{remedy}: {log}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_the_check() {
    let base = [("KAFKA_ZOOKEEPER_CONNECT", "zk:2181")];
    let served = "which this release does not serve yet; only PLAINTEXT listeners work";
    let map = ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "IN:PLAINTEXT,OUT:SASL_PLAINTEXT");
    let cases: &[(Variables, &str, &str)] = &[
        (&[("KAFKA_CREATE_TOPICS", "fine:1:1,Nonsense!:1:1")], "KAFKA_CREATE_TOPICS: ", "'Nonsense!'"),
        (&[("KAFKA_CREATE_TOPICS", "orders:0:1")], "KAFKA_CREATE_TOPICS: \"orders:0:1\"", ""),
        (&[("KAFKA_LISTENERS", "SSL://:9093")], served, "(set by KAFKA_LISTENERS)"),
        (&[("KAFKA_ADVERTISED_LISTENERS", "SASL_SSL://h:9093")], "asks for SASL_SSL", served),
        (
            &[("KAFKA_LISTENERS", "IN://:9092,OUT://:9093"), map, ("KAFKA_INTER_BROKER_LISTENER_NAME", "IN")],
            "listeners: OUT://:9093 (listener.security.protocol.map) asks for SASL_PLAINTEXT, ",
            "(set by KAFKA_LISTENER_SECURITY_PROTOCOL_MAP, KAFKA_LISTENERS)",
        ),
        (
            &[("KAFKA_BROKER_ID", "1"), ("KAFKA_NODE_ID", "2")],
            "node.id is 2 and broker.id is 1: one broker has one id",
            "(set by KAFKA_BROKER_ID, KAFKA_NODE_ID)",
        ),
    ];
    for (variables, one, other) in cases {
        let told = with(&["container", "--check"], &[&base[..], variables].concat()).failure();
        assert!(told.contains(one) && told.contains(other), "{variables:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{variables:?}: one sentence: {told}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("server.properties");
    std::fs::write(&file, "zookeeper.connect=zk:2181\nbroker.id=1\nnode.id=2\n").expect("a file");
    let told = ottla(&["config", "check", file.to_str().expect("letters")], b"").failure();
    assert!(told.contains("node.id is 2 and broker.id is 1: one broker has one id"), "{told}");
}

#[test]
fn a_bad_variable_is_named() {
    let output = Command::new(OTTLA)
        .args(["container", "--check"])
        .env_clear()
        .env("KAFKA_ZOOKEEPER_CONNECT", "zk:2181")
        .env("KAFKA_CFG_NUM_IO_THREADS", "many")
        .output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("num.io.threads") && told.contains("(set by KAFKA_CFG_NUM_IO_THREADS)"), "{told}");
}
