//! The brokers under test as processes: Kafka 3.9.2, Ottla, the null broker, and the ZooKeeper of the first
//! two.
//!
//! Both kinds get the same `server.properties`; each broker has a directory of its own, and what it prints goes to
//! `log.txt` in it. A chroot has one broker, or several that replicate. Soft limits of open files are raised to the hard ones.
//! A process is stopped by its id, and killed when its handle is dropped. Ports lie below
//! 32768, out of reach of the kernel's own choices. Knows nothing of what is measured.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ottla::storage::descriptors::raise_limit;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Connection, failed};
use crate::topics;

/// What `kafka-server-start.sh` passes to Java.
const KAFKA_JVM: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
const LOG4J: &str = "log4j.rootLogger=WARN, out\n\
    log4j.appender.out=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n\n";
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Peer {
    /// This project's broker.
    Ottla,
    /// Apache Kafka 3.9.2.
    Kafka,
    /// The limit.
    Null,
}

impl Peer {
    /// Its name in tables and data.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Ottla => "ottla",
            Peer::Kafka => "kafka",
            Peer::Null => "null",
        }
    }
}

/// A child process that does not outlive its handle.
pub struct Process {
    child: Child,
}

impl Process {
    fn start(command: &mut Command, log: &Path) -> io::Result<Process> {
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| failed(format!("cannot start {name}: {error}")))?;
        Ok(Process { child })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Errs if it has ended.
    pub fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(failed(format!("process {} ended: {status}", self.pid()))),
        }
    }

    /// Asks it to end (SIGTERM) and waits; after the limit it is killed, which is an error.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        let give_up = Instant::now() + STOP_LIMIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > give_up {
                self.kill()?;
                return Err(failed(format!("process {} did not end when asked", self.pid())));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid() as i32).ok_or_else(|| failed("no process id"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// A broker under test.
pub struct Broker {
    /// Which.
    pub peer: Peer,
    /// The port it serves.
    pub port: u16,
    /// When it was started.
    pub started: Instant,
    /// Its process.
    pub process: Process,
    /// Its id under its chroot, from 1.
    pub id: i32,
    chroot: String,
    dir: PathBuf,
}

/// Brokers of one kind under one chroot: one, or several that replicate.
pub struct Cluster {
    /// Which kind.
    pub peer: Peer,
    /// The port of the first: whom to ask where everything is.
    pub port: u16,
    /// All of them.
    pub brokers: Vec<Broker>,
}

/// Where brokers are started: programs, directories, ZooKeeper.
pub struct Stand {
    dir: PathBuf,
    jars: PathBuf,
    /// Lines of `server.properties` beside those of every run.
    extra: &'static str,
    zookeeper: Option<(Process, u16)>,
}

impl Stand {
    /// A stand with its files under `dir`, which is emptied. ZooKeeper is started if a peer needs it.
    pub fn new(dir: &Path, jars: &Path, peers: &[Peer], extra: &'static str) -> io::Result<Stand> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        raise_limit()?;
        let mut stand = Stand { dir: dir.to_owned(), jars: jars.to_owned(), extra, zookeeper: None };
        if peers.iter().any(|peer| *peer != Peer::Null) {
            fetch_jars(jars)?;
            stand.zookeeper = Some(stand.start_zookeeper()?);
        }
        Ok(stand)
    }

    /// Where the brokers' files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a broker with empty files under a fresh chroot, both called `name`.
    pub fn start(&self, peer: Peer, name: &str) -> io::Result<Broker> {
        self.start_one(peer, name, 1, "")
    }

    /// Starts `count` brokers with empty files under one fresh chroot called `name`, and waits until each knows
    /// all. `more` are further lines of their `server.properties`.
    pub fn start_cluster(&self, peer: Peer, name: &str, count: usize, more: &str) -> io::Result<Cluster> {
        let start = |id: usize| self.start_one(peer, name, id as i32, more);
        let mut brokers = (1..=count).map(start).collect::<io::Result<Vec<Broker>>>()?;
        for broker in &mut brokers {
            broker.await_metadata(count)?;
        }
        let port = brokers.first().ok_or_else(|| failed("a cluster of no broker"))?.port;
        Ok(Cluster { peer, port, brokers })
    }

    fn start_one(&self, peer: Peer, chroot: &str, id: i32, more: &str) -> io::Result<Broker> {
        let dir = self.dir.join(format!("{chroot}-{id}"));
        fs::create_dir_all(&dir)?;
        let port = free_port()?;
        self.write_config(&dir, chroot, id, port, more)?;
        self.launch(peer, chroot.to_owned(), id, dir, port)
    }

    /// Starts a stopped broker again on its files.
    pub fn restart(&self, broker: Broker) -> io::Result<Broker> {
        let Broker { peer, port, process, id, chroot, dir, .. } = broker;
        drop(process);
        self.launch(peer, chroot, id, dir, port)
    }

    /// Starts `ottla dev`, which needs no ZooKeeper.
    pub fn start_dev(&self, name: &str) -> io::Result<Broker> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        let port = free_port()?;
        let mut command = Command::new(ottla());
        command.arg("dev").arg("--port").arg(port.to_string()).arg("--data").arg(dir.join("data"));
        command.arg("--zookeeper-port").arg(free_port()?.to_string());
        let started = Instant::now();
        let process = Process::start(&mut command, &dir.join("log.txt"))?;
        Ok(Broker { peer: Peer::Ottla, port, started, process, id: 1, chroot: String::new(), dir })
    }

    fn launch(&self, peer: Peer, chroot: String, id: i32, dir: PathBuf, port: u16) -> io::Result<Broker> {
        let config = dir.join("server.properties");
        let mut command = match peer {
            Peer::Kafka => {
                let mut command = self.java(KAFKA_JVM);
                command.arg(format!("-Dlog4j.configuration=file:{}", dir.join("log4j.properties").display()));
                command.arg("kafka.Kafka").arg(config);
                command
            }
            Peer::Ottla => {
                let mut command = Command::new(ottla());
                command.arg("start").arg("--config").arg(config);
                command
            }
            Peer::Null => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--null-broker").arg(port.to_string()).arg("--dir").arg(dir.join("logs"));
                command
            }
        };
        let started = Instant::now();
        let process = Process::start(&mut command, &dir.join("log.txt"))?;
        Ok(Broker { peer, port, started, process, id, chroot, dir })
    }

    fn java(&self, options: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(options).arg("-cp").arg(format!("{}/*", self.jars.display()));
        command
    }

    fn write_config(&self, dir: &Path, chroot: &str, id: i32, port: u16, more: &str) -> io::Result<()> {
        let zookeeper = self.zookeeper.as_ref().map_or(0, |(_, port)| *port);
        let config = format!(
            "broker.id={id}\n\
             listeners=PLAINTEXT://127.0.0.1:{port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             zookeeper.connect=127.0.0.1:{zookeeper}/{chroot}\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n{}{more}",
            dir.join("logs").display(),
            self.extra
        );
        fs::write(dir.join("server.properties"), config)?;
        fs::write(dir.join("log4j.properties"), LOG4J)
    }

    fn start_zookeeper(&self) -> io::Result<(Process, u16)> {
        let dir = self.dir.join("zookeeper");
        fs::create_dir_all(&dir)?;
        let port = free_port()?;
        let config = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=2000\nmaxClientCnxns=0\n\
             maxSessionTimeout=600000\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n",
            dir.join("data").display()
        );
        fs::write(dir.join("zk.properties"), config)?;
        fs::write(dir.join("log4j.properties"), LOG4J)?;
        let mut command = self.java(&["-Xmx512m"]);
        command.arg(format!("-Dlog4j.configuration=file:{}", dir.join("log4j.properties").display()));
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(dir.join("zk.properties"));
        let mut process = Process::start(&mut command, &dir.join("log.txt"))?;
        let give_up = Instant::now() + START_LIMIT;
        while !four_letters(port, "ruok").is_ok_and(|answer| answer == "imok") {
            process.check()?;
            if Instant::now() > give_up {
                return Err(failed("ZooKeeper did not start"));
            }
            sleep(Duration::from_millis(50));
        }
        Ok((process, port))
    }

    /// How to reach the znodes of a broker's cluster.
    pub fn zookeeper_connect(&self, broker: &Broker) -> io::Result<String> {
        let (_, port) = self.zookeeper.as_ref().ok_or_else(|| failed("this stand has no ZooKeeper"))?;
        Ok(format!("127.0.0.1:{port}/{}", broker.chroot))
    }

    /// Waits until ZooKeeper has forgotten a killed broker: Kafka refuses to start before.
    pub fn await_forgotten(&self, broker: &Broker) -> io::Result<()> {
        let Some((_, port)) = &self.zookeeper else { return Ok(()) };
        let registration = format!("/{}/brokers/ids/{}", broker.chroot, broker.id);
        let give_up = Instant::now() + START_LIMIT;
        while four_letters(*port, "dump")?.lines().any(|line| line.trim() == registration) {
            if Instant::now() > give_up {
                return Err(failed("ZooKeeper does not forget the broker"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Broker {
    /// Waits, asking each millisecond, for the first Metadata that names `brokers` brokers; returns the time
    /// since the start of the process.
    pub fn await_metadata(&mut self, brokers: usize) -> io::Result<Duration> {
        loop {
            let names_all = |mut connection| {
                topics::metadata(&mut connection, &[]).is_ok_and(|answer| answer.brokers.len() >= brokers)
            };
            if Connection::open(self.port).is_ok_and(names_all) {
                return Ok(self.started.elapsed());
            }
            let see = format!("see {}", self.dir.join("log.txt").display());
            self.process.check().map_err(|error| failed(format!("{}: {error}; {see}", self.peer.name())))?;
            if self.started.elapsed() > START_LIMIT {
                return Err(failed(format!("{} does not answer Metadata; {see}", self.peer.name())));
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Throws its files away, once it has ended; if it has not, it is killed.
    pub fn remove(self) -> io::Result<()> {
        let Broker { dir, process, .. } = self;
        drop(process);
        fs::remove_dir_all(dir)
    }
}

impl Cluster {
    /// The process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.brokers.iter().map(Broker::pid).collect()
    }

    /// Stops all brokers where they are, until [`Cluster::resume`].
    pub fn pause(&self) -> io::Result<()> {
        self.brokers.iter().try_for_each(|broker| broker.process.signal(Signal::STOP))
    }

    /// Lets them go on.
    pub fn resume(&self) -> io::Result<()> {
        self.brokers.iter().try_for_each(|broker| broker.process.signal(Signal::CONT))
    }

    /// Asks all brokers to end, waits, and throws their files away.
    pub fn stop(mut self) -> io::Result<()> {
        self.brokers.iter_mut().try_for_each(|broker| broker.process.terminate())?;
        self.remove()
    }

    /// Ends all brokers at once (SIGKILL) and throws their files away.
    pub fn remove(self) -> io::Result<()> {
        self.brokers.into_iter().try_for_each(Broker::remove)
    }
}

/// The binary that Cargo built beside this one.
fn ottla() -> &'static str {
    env!("CARGO_BIN_EXE_ottla")
}

/// Beside their place first: a copy that was interrupted must not pass for whole.
fn fetch_jars(jars: &Path) -> io::Result<()> {
    if jars.is_dir() {
        return Ok(());
    }
    let part = jars.with_extension("part");
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/pom.xml");
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-Dstyle.color=never", "-f"]).arg(pom).arg("dependency:copy-dependencies");
    command.arg(format!("-DoutputDirectory={}", part.display())).stdout(io::stderr());
    match command.status() {
        Ok(status) if status.success() => std::fs::rename(part, jars),
        Ok(status) => Err(failed(format!("mvn could not fetch Kafka: {status}"))),
        Err(error) => Err(failed(format!("mvn is needed to fetch Kafka: {error}"))),
    }
}

fn four_letters(port: u16, word: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(word.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs at the same time begin at different places.
    let base = 20_000 + (std::process::id() % 100) as u16 * 100;
    for _ in 0..100 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(failed(format!("no free port from {base} on")))
}
