//! Brokers as processes of the real binary: they can be killed, and what they say is read.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use std::io::{BufRead, BufReader, Read};

use tempfile::TempDir;

use super::client::Client;
use super::nodes::PATIENCE;

/// A running broker process. Dropping it kills it.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    _dir: Option<TempDir>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone when the test ended it.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Process {
    /// `ottla dev` in a temporary directory.
    pub async fn dev(overrides: &[&str]) -> Process {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut process = Process::dev_at(dir.path(), overrides);
        process._dir = Some(dir);
        process
    }

    /// `ottla dev` with its data in `data`.
    pub fn dev_at(data: &Path, overrides: &[&str]) -> Process {
        let data = data.to_string_lossy().into_owned();
        let mut arguments = vec!["dev", "--port", "0", "--zookeeper-port", "0", "--data", &data];
        for text in overrides {
            arguments.extend(["--override", text]);
        }
        Process::run(&arguments)
    }

    /// `ottla start` on a ZooKeeper.
    pub fn start(config: &Path, overrides: &[&str]) -> Process {
        let config = config.to_string_lossy().into_owned();
        let mut arguments = vec!["start", "--config", &config];
        for text in overrides {
            arguments.extend(["--override", text]);
        }
        Process::run(&arguments)
    }

    /// Runs the binary and collects what it says.
    pub fn run(arguments: &[&str]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let lines = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("piped"), lines.clone());
        collect(child.stderr.take().expect("piped"), lines.clone());
        Process { child, lines, _dir: None }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it has said.
    pub fn said(&self) -> Vec<String> {
        self.lines.lock().expect("lines").clone()
    }

    /// Waits for a line with `text`.
    pub async fn says(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let lines = self.said();
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let ended = self.child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(30),
                "{text:?} was never said ({ended:?}):\n{}",
                lines.join("\n")
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where clients connect, once it is up.
    pub async fn port(&mut self) -> u16 {
        let line = self.says("point clients at").await;
        line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("a port at the line's end")
    }

    /// A client, once it is up and knows a controller.
    pub async fn client(&mut self) -> Client {
        let mut client = Client::open(self.port().await).await;
        let begun = Instant::now();
        while client.metadata(&[]).await.controller_id < 0 {
            assert!(begun.elapsed() < PATIENCE, "no controller:\n{}", self.said().join("\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it ran");
        self.child.wait().expect("a child of ours");
    }

    /// SIGTERM, and waits for its end; gives whether it ended well.
    pub async fn stop(&mut self) -> bool {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        self.ended().await
    }

    /// Waits for its end; gives whether it ended well.
    pub async fn ended(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status.success();
            }
            assert!(begun.elapsed() < PATIENCE, "the process does not end:\n{}", self.said().join("\n"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn collect(from: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            lines.lock().expect("lines").push(line);
        }
    });
}

/// Memory of a process that is really there.
pub fn rss_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib << 10
}

/// Processor time of a process, in units of 10 ms.
pub fn cpu_ms(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process lives");
    let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|text| text.parse::<u64>().ok()).sum();
    ticks * 10
}

/// A server.properties for a broker on this ZooKeeper.
pub fn properties(dir: &Path, id: i32, zookeeper: &str, more: &[(&str, &str)]) -> PathBuf {
    let mut text = format!(
        "broker.id={id}\nzookeeper.connect={zookeeper}\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ngroup.initial.rebalance.delay.ms=0\n",
        dir.join("logs").display()
    );
    for (key, value) in more {
        text.push_str(&format!("{key}={value}\n"));
    }
    let file = dir.join("server.properties");
    std::fs::write(&file, text).expect("a file");
    file
}
