//! `ottla container` as an image runs it: variables in, a broker of the cluster out; and `ottla health`.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Dev, OTTLA, free_port, ottla};

/// A second broker, started as wurstmeister's image starts one: `start-kafka.sh`.
struct Container {
    child: Child,
    data: tempfile::TempDir,
}

impl Container {
    fn start(variables: &[(&str, &str)]) -> Container {
        let data = tempfile::tempdir().expect("a directory");
        let log = std::fs::File::create(data.path().join("log")).expect("a log file");
        let child = Command::new(OTTLA)
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
        ("KAFKA_CREATE_TOPICS", "made:3:1:compact,Nonsense!:1:1"),
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
    while !container.log().contains("Nonsense!") {
        assert!(Instant::now() < deadline, "{}", container.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let log = container.log();
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
