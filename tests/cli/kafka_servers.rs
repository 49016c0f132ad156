//! Kafka's names for starting and stopping: what its scripts would be given, given to this binary.
//!
//! Stopping always names the server: on a machine where others run, a test must not stop them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Outcome, free_port};

const LIMIT: Duration = Duration::from_secs(20);

/// This binary under another name.
fn called(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.arg0(name).args(arguments).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server in the foreground; killed when the test ends.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(name: &str, arguments: &[&str], log: PathBuf) -> Server {
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a second handle");
        let child = called(name, arguments).stdout(out).stderr(err).spawn().expect("the binary starts");
        Server { child, log }
    }

    fn says(&mut self, text: &str) {
        until(text, || {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() || said.contains(text), "it ended with {ended:?}: {said}");
            said.contains(text)
        });
    }

    /// Waits for a good end.
    fn ends(mut self) {
        until("the end", || self.child.try_wait().expect("a child").is_some());
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{status}: {}", fs::read_to_string(&self.log).unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with the files of a ZooKeeper and a broker on ports of their own.
struct Place {
    folder: tempfile::TempDir,
    id: u32,
    zookeeper: String,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a directory");
        let (port, zookeeper_port) = (free_port(), free_port());
        let at = folder.path().display();
        // No other broker on this machine has this number: process ids go up to four million.
        let id = std::process::id() * 100 + u32::from(port % 100);
        let zookeeper = format!(
            "dataDir={at}/zk\nclientPort={zookeeper_port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
             tickTime=500\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
        );
        let broker = format!(
            "broker.id={id}\nreserved.broker.max.id=2147483647\nlisteners=PLAINTEXT://127.0.0.1:{port}\n\
             log.dirs={at}/logs\nzookeeper.connect=127.0.0.1:{zookeeper_port}/kafka\n"
        );
        fs::write(folder.path().join("zookeeper.properties"), zookeeper).expect("written");
        fs::write(folder.path().join("server.properties"), broker).expect("written");
        Place { folder, id, zookeeper: format!("127.0.0.1:{zookeeper_port}") }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn zookeeper(&self) -> Server {
        let file = self.path("zookeeper.properties");
        let mut server =
            Server::start("zookeeper-server-start.sh", &[&file], self.folder.path().join("zk.log"));
        server.says("binding to port 127.0.0.1:");
        server
    }

    fn shell(&self, words: &[&str]) -> Outcome {
        run(&mut called("zookeeper-shell.sh", &[&[self.zookeeper.as_str()], words].concat()))
    }

    fn stop(&self) -> Outcome {
        run(&mut called("kafka-server-stop.sh", &[&format!("--node-id={}", self.id)]))
    }
}

#[test]
fn a_broker_starts_by_each_of_kafkas_words_and_stops() {
    let place = Place::new();
    let zookeeper = place.zookeeper();
    let file = place.path("server.properties");
    let starts: [(&str, Vec<&str>); 3] = [
        ("kafka-server-start.sh", vec![&file, "--override", "num.partitions=3"]),
        ("kafka-run-class.sh", vec!["-name", "kafkaServer", "-loggc", "kafka.Kafka", &file]),
        // As kafka-run-class.sh of Kafka 3.9 builds it with KAFKA_MODE=native.
        (
            "/opt/kafka/bin/../kafka.Kafka",
            vec![
                "start",
                "--config",
                &file,
                "-Dkafka.logs.dir=/opt/kafka/bin/../logs",
                "-Dlog4j.configuration=file:bin/../config/log4j.properties",
                "-Dcom.sun.management.jmxremote=true",
                "-Xmx1G",
            ],
        ),
    ];
    for (name, arguments) in starts {
        let mut broker = Server::start(name, &arguments, place.folder.path().join("broker.log"));
        broker.says(&format!("[KafkaServer id={}] started", place.id));
        let ids = place.shell(&["ls", "/kafka/brokers/ids"]).text();
        assert!(ids.ends_with(&format!("\n[{}]\n", place.id)), "{name}: {ids}");
        assert_eq!(place.stop().code, Some(0), "{name}");
        broker.ends();
        let ids = place.shell(&["ls", "/kafka/brokers/ids"]).text();
        assert!(ids.ends_with("\n[]\n"), "{name} has taken leave: {ids}");
    }
    let failure = place.stop().failure();
    assert!(failure.starts_with("No kafka server to stop"), "{failure}");
    let zookeeper_file = place.path("zookeeper.properties");
    run(&mut called("zookeeper-server-stop", &[&zookeeper_file])).text();
    zookeeper.ends();
    let failure = run(&mut called("zookeeper-server-stop", &[&zookeeper_file])).failure();
    assert!(failure.starts_with("No zookeeper server to stop"), "{failure}");
}

#[test]
fn a_daemon_leaves_the_terminal_and_writes_into_the_log_directory() {
    let place = Place::new();
    let _zookeeper = place.zookeeper();
    let logs = place.path("out");
    let mut start = called("kafka-server-start.sh", &["-daemon", &place.path("server.properties")]);
    assert_eq!(run(start.env("LOG_DIR", &logs)).text(), "");
    let out = Path::new(&logs).join("kafkaServer.out");
    let says = |text: &str| fs::read_to_string(&out).unwrap_or_default().contains(text);
    until("it is up", || says("] started"));
    assert_eq!(place.stop().code, Some(0));
    until("it is down", || says("] shut down"));

    fs::write(place.path("wrong.properties"), "broker.id=many\n").expect("written");
    let mut start = called("kafka-server-start.sh", &["-daemon", &place.path("wrong.properties")]);
    let failure = run(start.env("LOG_DIR", &logs)).failure();
    assert!(failure.starts_with("it ended at once") && failure.contains("broker.id"), "{failure}");
    assert!(!failure.contains("] started"), "only what the new one said: {failure}");
}

#[test]
fn znodes_survive_a_restart_and_the_shell_speaks_as_zookeepers() {
    let place = Place::new();
    let zookeeper = place.zookeeper();
    let created = place.shell(&["create", "/a", "two words"]);
    assert_eq!((created.code, created.err.as_str()), (Some(0), "Created /a\n"));
    assert_eq!(
        place.shell(&["get", "/a"]).text(),
        format!(
            "Connecting to {}\n\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null\ntwo words\n",
            place.zookeeper
        )
    );
    run(&mut called("zookeeper-server-stop.sh", &[&place.path("zookeeper.properties")])).text();
    zookeeper.ends();
    let _zookeeper = place.zookeeper();
    assert!(place.shell(&["get", "/a"]).text().ends_with("\ntwo words\n"));
    let stat = place.shell(&["stat", "/a"]).text();
    for line in ["dataVersion = 0", "ephemeralOwner = 0x0", "dataLength = 9", "numChildren = 0"] {
        assert!(stat.lines().any(|found| found == line), "{line} in {stat}");
    }
    let missing = place.shell(&["get", "/nobody"]);
    assert_eq!((missing.code, missing.err.as_str()), (Some(1), "Node does not exist: /nobody\n"));
    let chroot = format!("{}/a", place.zookeeper);
    run(&mut called("zookeeper-shell", &[&chroot, "create", "/b", "x"])).text();
    assert!(run(&mut called("zookeeper-shell", &[&chroot, "ls", "-R", "/"])).text().ends_with("\n/\n/b\n"));
    assert!(place.shell(&["getAcl", "/a/b"]).text().ends_with("\n'world,'anyone\n: cdrwa\n"));
}

#[test]
fn the_shell_takes_lines_of_standard_input() {
    let place = Place::new();
    let _zookeeper = place.zookeeper();
    let script = place.path("script");
    let lines = "create /a 1\ncreate /a/b \"x y\"\ncreate -e /e\n\nls /a\nls -R /a\nset -v 7 /a 2\nset /a 2\nget /a\n\
                 delete /a\nnonsense\ndeleteall /a\nls /a\nget /e\nquit\nls /\n";
    fs::write(&script, lines).expect("written");
    let input = File::open(&script).expect("a file");
    let said = run(called("zookeeper-shell.sh", &[&place.zookeeper]).stdin(input));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let (_, results) = said.out.split_once("type:None path:null\n").expect("a session");
    let closed = "\nWATCHER::\n\nWatchedEvent state:Closed type:None path:null\n";
    assert_eq!(results, format!("[b]\n/a\n/a/b\n2\nnull\n{closed}"));
    let errors: Vec<&str> = said.err.lines().filter(|line| !line.starts_with('\t')).collect();
    assert_eq!(
        errors,
        [
            "Created /a",
            "Created /a/b",
            "Created /e",
            "version No is not valid : /a",
            "Node not empty: /a",
            "ZooKeeper -server host:port cmd args",
            "Command not found: Command not found nonsense",
            "Node does not exist: /a",
        ]
    );
    let left = place.shell(&["ls", "/"]).text();
    assert!(left.ends_with("\n[zookeeper]\n"), "the ephemeral has gone with its session: {left}");
}

#[test]
fn what_the_embedded_zookeeper_cannot_be_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path().display().to_string();
    let refused = |text: String| {
        let file = format!("{at}/zookeeper.properties");
        fs::write(&file, text).expect("written");
        run(&mut called("zookeeper-server-start", &[&file])).failure()
    };
    let ensemble =
        refused(format!("dataDir={at}/d\nclientPort=0\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n"));
    assert!(ensemble.contains("server.1, server.2 make an ensemble"), "{ensemble}");
    fs::create_dir_all(format!("{at}/d/version-2")).expect("made");
    fs::write(format!("{at}/d/version-2/snapshot.0"), "x").expect("written");
    let of_apache = refused(format!("dataDir={at}/d\nclientPort=0\n"));
    assert!(of_apache.contains("holds data of an Apache ZooKeeper"), "{of_apache}");
    assert!(!Path::new(&format!("{at}/d/lock")).exists(), "nothing was touched");
}

#[test]
fn classes_and_files_that_are_not_there_are_named() {
    let error = run(&mut called("kafka-run-class", &["kafka.admin.Nothing"])).failure();
    assert!(error.contains("Could not find or load main class kafka.admin.Nothing"), "{error}");
    let error = run(&mut called("kafka-run-class.sh", &["kafka.Kafka", "/no/such/file"])).failure();
    assert!(error.contains("/no/such/file"), "{error}");
    let error = run(&mut called("kafka-server-start", &[])).failure();
    assert!(error.starts_with("USAGE: kafka-server-start.sh"), "{error}");
}

#[test]
fn the_native_hook_sets_a_configuration_up() {
    let folder = tempfile::tempdir().expect("a directory");
    let dir = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).expect("made");
        path.display().to_string()
    };
    let (default, mounted, last) = (dir("default"), dir("mounted"), dir("final"));
    fs::write(format!("{default}/server.properties"), "broker.id=7\n").expect("written");
    let setup = |key: Option<(&str, &str)>| {
        let arguments = [
            "setup",
            "--default-configs-dir",
            &default,
            "--mounted-configs-dir",
            &mounted,
            "--final-configs-dir",
            &last,
            "-Dlog4j.configuration=file:/opt/kafka/config/tools-log4j.properties",
        ];
        let mut command = called("kafka.Kafka", &arguments);
        std::env::vars().filter(|(name, _)| name.starts_with("KAFKA_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        assert_eq!(run(command.envs(key)).code, Some(0));
        fs::read_to_string(format!("{last}/server.properties")).expect("a file")
    };
    assert_eq!(setup(None), "broker.id=7\n");
    assert_eq!(setup(Some(("KAFKA_LOG_DIRS", "/d"))), "\nlog.dirs=/d");
    fs::write(format!("{mounted}/server.properties"), "broker.id=8").expect("written");
    assert_eq!(setup(Some(("KAFKA_LOG_DIRS", "/d"))), "broker.id=8\nlog.dirs=/d");
}
