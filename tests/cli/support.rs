//! A broker for the tests of this binary, and how tools are run against it.
//!
//! One broker serves one test; its process is killed when the test ends, however it ends.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");
const START_LIMIT: Duration = Duration::from_secs(20);
/// Longer than any tool of these tests may take.
const TOOL_LIMIT: Duration = Duration::from_secs(40);

/// What a tool did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// Standard output of a tool that must have succeeded.
    pub fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// The same as JSON.
    pub fn json(self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The sentence of a tool that must have failed with exit code 1.
    pub fn failure(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert_eq!(self.out, "", "a failed tool prints no result");
        self.err
    }
}

/// Runs `ottla` to its end.
pub fn ottla(arguments: &[&str], input: &[u8]) -> Outcome {
    called("ottla", arguments, input)
}

/// Runs the binary to its end under the name `name`, as a link to it would.
pub fn called(name: &str, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut child = Command::new(OTTLA)
        .arg0(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A tool that fails early does not read it all.
        let _ = stdin.write_all(&input);
    });
    let pid = child.id();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if ended.recv_timeout(TOOL_LIMIT).is_err() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    });
    let output = child.wait_with_output().expect("the tool ends");
    let _ = done.send(());
    guard.join().expect("the guard ends");
    writer.join().expect("the writer ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// `ottla dev` on ports of its own.
pub struct Dev {
    child: Child,
    others: Vec<Child>,
    pub bootstrap: String,
    pub zookeeper: String,
    data: tempfile::TempDir,
}

impl Dev {
    /// Starts one and waits until it answers; tries other ports if somebody else was quicker.
    pub fn start() -> Dev {
        let mut log = String::new();
        for _ in 0..5 {
            match Dev::try_start() {
                Ok(dev) => return dev,
                Err(text) => log = text,
            }
        }
        panic!("no broker could be started: {log}");
    }

    fn try_start() -> Result<Dev, String> {
        Dev::start_at(free_port(), free_port())
    }

    /// Starts one on these ports; what it says if it does not come up.
    pub fn start_at(port: u16, zookeeper_port: u16) -> Result<Dev, String> {
        let data = tempfile::tempdir().expect("a directory");
        let log = data.path().join("broker.log");
        let out = std::fs::File::create(&log).expect("a log file");
        let mut child = Command::new(OTTLA)
            .args(["dev", "--port", &port.to_string(), "--zookeeper-port", &zookeeper_port.to_string()])
            .arg("--data")
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("a second handle"))
            .stdout(out)
            .spawn()
            .expect("the binary starts");
        let bootstrap = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let ended = child.try_wait().expect("a child").is_some();
            if ended || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(std::fs::read_to_string(&log).unwrap_or_default());
            }
            let tool = ottla(&["topics", "list", "--bootstrap", &bootstrap], b"");
            if tool.code == Some(0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let zookeeper = format!("127.0.0.1:{zookeeper_port}");
        Ok(Dev { child, others: Vec::new(), bootstrap, zookeeper, data })
    }

    /// Starts broker `id` beside this one, with two log directories, and waits until the cluster knows it.
    pub fn join(&mut self, id: i32) {
        let dir = self.data.path().join(format!("broker-{id}"));
        let (first, second) = (dir.join("d1"), dir.join("d2"));
        std::fs::create_dir_all(&dir).expect("a directory");
        let config = dir.join("server.properties");
        let text = format!(
            "broker.id={id}\nzookeeper.connect={}\nlisteners=PLAINTEXT://127.0.0.1:{}\nlog.dirs={},{}\n",
            self.zookeeper,
            free_port(),
            first.display(),
            second.display()
        );
        std::fs::write(&config, text).expect("a file");
        let child = Command::new(OTTLA)
            .arg("start")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.others.push(child.expect("the binary starts"));
        let deadline = Instant::now() + START_LIMIT;
        while !self.run(&["cluster", "--output", "json"]).json()["brokers"]
            .as_array()
            .is_some_and(|brokers| brokers.iter().any(|broker| broker["id"] == id))
        {
            assert!(Instant::now() < deadline, "broker {id} does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs one of Kafka's tools against this broker; `line` is what a shell would be given, without quotes.
    pub fn tool(&self, line: &str) -> Outcome {
        let mut words = line.split_whitespace();
        let name = words.next().expect("a tool");
        let arguments: Vec<&str> = words.chain(["--bootstrap-server", &self.bootstrap]).collect();
        called(name, &arguments, b"")
    }

    /// Runs one of Kafka's tools against this broker with something on standard input.
    pub fn kafka(&self, name: &str, arguments: &[&str], input: &[u8]) -> Outcome {
        called(name, &[&["--bootstrap-server", &self.bootstrap], arguments].concat(), input)
    }

    /// A file of the partition `partition` in the log directory.
    pub fn log_file(&self, partition: &str, name: &str) -> String {
        let path = self.data.path().join("data").join("logs").join(partition).join(name);
        path.to_str().expect("a path of letters").to_owned()
    }

    /// Runs a tool against this broker.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, b"")
    }

    /// The same with something on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let place = match arguments.first() {
            Some(&"znodes") => ["--zookeeper", &self.zookeeper],
            _ => ["--bootstrap", &self.bootstrap],
        };
        ottla(&[arguments, &place].concat(), input)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        for child in self.others.iter_mut().chain([&mut self.child]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Below the ports the kernel gives to outgoing connections; free a moment ago.
pub fn free_port() -> u16 {
    let mut random = std::collections::hash_map::RandomState::new();
    loop {
        use std::hash::{BuildHasher, Hasher};
        let port = 20_000 + (random.build_hasher().finish() % 10_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
        random = std::collections::hash_map::RandomState::new();
    }
}

/// The cells of a printed table, title row included.
pub fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}
