//! Servers under test: a real ZooKeeper 3.9 (Java, from Maven Central, jars cached below the target directory).
//!
//! Each runs in a directory of its own, on a free port below 32768, and is killed by its process id.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ottla_zk::server::{self, Server};
use ottla_zk::store::{Options, Remote};

const POM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/peers/zookeeper/pom.xml");

/// A ZooKeeper of the Java kind.
pub struct JavaServer {
    child: Option<Child>,
    directory: tempfile::TempDir,
    jars: PathBuf,
    pub port: u16,
}

impl JavaServer {
    /// Starts one; `None`, after one loud line, where there is no Java or no jars.
    pub fn start() -> Option<JavaServer> {
        let jars = match jars() {
            Ok(jars) => jars,
            Err(why) => {
                eprintln!("SKIPPED: no real ZooKeeper to test against: {why}");
                return None;
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = format!(
            "tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\ndataDir={}\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n",
            directory.path().join("data").display()
        );
        std::fs::write(directory.path().join("zk.properties"), config).unwrap();
        let mut server = JavaServer { child: None, directory, jars, port };
        server.restart();
        Some(server)
    }

    /// Starts it (again) on its data and waits until it serves.
    pub fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new("java")
            .args([
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dzookeeper.forceSync=no",
                "-cp",
            ])
            .arg(self.jars.join("*"))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.directory.path().join("zk.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let started = Instant::now();
        while !is_ok(self.port) {
            assert!(started.elapsed() < Duration::from_secs(30), "ZooKeeper did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for JavaServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `ruok` is answered by `imok` once the server serves.
fn is_ok(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        connection.write_all(b"ruok")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer == "imok")
}

/// A port nobody listens on, below those the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn jars() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target directory")?;
    let jars = target.join("peers/zookeeper");
    run(Command::new("java").arg("-version"))?;
    if !jars.is_dir() {
        // Beside their place first: a copy that was interrupted must not pass for whole.
        let part = jars.with_extension("part");
        run(Command::new("mvn")
            .args(["-q", "-B", "-f", POM, "dependency:copy-dependencies"])
            .arg(format!("-DoutputDirectory={}", part.display())))?;
        std::fs::rename(part, &jars).map_err(|error| format!("{}: {error}", jars.display()))?;
    }
    Ok(jars)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{:?}", command.get_program());
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// The embedded server, on a data directory.
pub struct EmbeddedServer {
    pub server: Option<Server>,
    directory: tempfile::TempDir,
    port: u16,
}

impl EmbeddedServer {
    async fn start() -> EmbeddedServer {
        let mut server =
            EmbeddedServer { server: None, directory: tempfile::tempdir().unwrap(), port: free_port() };
        server.restart().await;
        server
    }

    async fn restart(&mut self) {
        drop(self.server.take());
        // Its socket is closed when the runtime has dropped the task that accepts, a moment after the server itself.
        let started = Instant::now();
        while TcpListener::bind(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "port {} stays taken", self.port);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let options = server::Options {
            listen: ([127, 0, 0, 1], self.port).into(),
            data_dir: Some(self.directory.path().into()),
            tick_time_ms: 500,
            ..server::Options::default()
        };
        self.server = Some(Server::start(options).await.unwrap());
    }
}

/// A server of either kind.
pub enum AnyServer {
    Java(JavaServer),
    Embedded(EmbeddedServer),
}

impl AnyServer {
    /// The embedded one, and the Java one where it can run.
    pub async fn all() -> Vec<AnyServer> {
        let embedded = AnyServer::Embedded(EmbeddedServer::start().await);
        std::iter::once(embedded).chain(JavaServer::start().map(AnyServer::Java)).collect()
    }

    pub fn port(&self) -> u16 {
        match self {
            AnyServer::Java(server) => server.port,
            AnyServer::Embedded(server) => server.port,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            AnyServer::Java(_) => "ZooKeeper 3.9",
            AnyServer::Embedded(_) => "embedded",
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        match self {
            AnyServer::Java(server) => server.kill(),
            AnyServer::Embedded(server) => drop(server.server.take()),
        }
    }

    /// Starts it on the data of before.
    pub async fn restart(self) -> AnyServer {
        match self {
            AnyServer::Java(mut server) => {
                let restarted = tokio::task::spawn_blocking(move || {
                    server.restart();
                    server
                });
                AnyServer::Java(restarted.await.unwrap())
            }
            AnyServer::Embedded(mut server) => {
                server.restart().await;
                AnyServer::Embedded(server)
            }
        }
    }
}

/// A session with the server on `port`, below `chroot` (empty, or with a leading slash).
pub async fn session(port: u16, chroot: &str, timeout: Duration) -> Remote {
    let mut options = Options::new(format!("127.0.0.1:{port}{chroot}"));
    options.session_timeout = timeout;
    options.connection_timeout = Duration::from_secs(15);
    Remote::connect(options).await.unwrap()
}
