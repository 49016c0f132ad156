//! The cluster under test: three ZooKeepers and three brokers, each on its node, with its files and its disk.
//!
//! Both kinds of broker get the same `server.properties`. A broker is started again only when ZooKeeper has
//! forgotten its last life, because Kafka ends at once when its old ephemeral znode is there. Knows nothing of
//! faults and records.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::nodes::{Node, Nodes};
use crate::process::{Process, failed};
use crate::zookeeper::Reader;

const KAFKA_JVM: &[&str] =
    &["-Xmx512m", "-Xms512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];
const ZOOKEEPER_JVM: &[&str] = &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const LOG4J: &str = "log4j.rootLogger=INFO, out\n\
    log4j.appender.out=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n\n";
const START_LIMIT: Duration = Duration::from_secs(90);
/// What a log says when a broker has met its own bug or an end it did not choose.
const PANICS: &[&str] =
    &["panicked at", "OutOfMemoryError", "Uncaught exception", "SIGSEGV", "java.lang.StackOverflowError"];

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// This project's.
    Ottla,
    /// Apache Kafka 3.9.2.
    Kafka,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ottla => "ottla",
            Kind::Kafka => "kafka",
        }
    }
}

/// Programs and settings of a cluster.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Jars of Kafka and ZooKeeper.
    pub jars: PathBuf,
    /// The binary under test.
    pub ottla: PathBuf,
    /// `zookeeper.session.timeout.ms` of the brokers.
    pub session_ms: u64,
    /// Lines of `server.properties` beside those of every run.
    pub extra: String,
}

/// One broker of the cluster.
pub struct Broker {
    /// Its id, from 1.
    pub id: usize,
    /// Which.
    pub kind: Kind,
    /// Where it runs.
    pub node: Node,
    /// Where its partitions are.
    pub disk: Disk,
    /// Its configuration and output.
    pub dir: PathBuf,
    /// While it should be alive.
    pub process: Option<Process>,
}

/// One ZooKeeper of the ensemble.
pub struct ZooKeeper {
    /// Where it runs.
    pub node: Node,
    dir: PathBuf,
    /// While it should be alive.
    pub process: Option<Process>,
}

/// All of it.
pub struct Cluster {
    programs: Programs,
    /// The network.
    pub nodes: Nodes,
    /// In order of their ids.
    pub brokers: Vec<Broker>,
    /// In order of their ids.
    pub zookeepers: Vec<ZooKeeper>,
}

impl Cluster {
    /// Lays a cluster out under `dir`, with the brokers' data under `disks`; both are empty. Starts nothing.
    pub fn new(
        dir: &Path,
        disks: &Path,
        kinds: &[Kind],
        isolated: bool,
        programs: Programs,
    ) -> io::Result<Cluster> {
        let nodes = Nodes::new(isolated)?;
        let mut cluster = Cluster { programs, brokers: vec![], zookeepers: vec![], nodes };
        for node in cluster.nodes.zookeepers.clone() {
            let dir = dir.join(&node.name);
            fs::create_dir_all(dir.join("data"))?;
            cluster.zookeepers.push(ZooKeeper { node, dir, process: None });
        }
        for (index, (kind, node)) in kinds.iter().zip(cluster.nodes.brokers.clone()).enumerate() {
            let dir = dir.join(&node.name);
            fs::create_dir_all(&dir)?;
            let disk = Disk::new(&disks.join(&node.name), isolated)?;
            cluster.brokers.push(Broker { id: index + 1, kind: *kind, node, disk, dir, process: None });
        }
        cluster.configure()?;
        Ok(cluster)
    }

    fn configure(&self) -> io::Result<()> {
        let quorum: String = (self.zookeepers.iter().enumerate())
            .map(|(index, each)| {
                let (address, port) = (each.node.address, each.node.port);
                format!("server.{}={address}:{}:{}\n", index + 1, port + 1, port + 2)
            })
            .collect();
        for (index, each) in self.zookeepers.iter().enumerate() {
            let data = each.dir.join("data");
            fs::write(data.join("myid"), format!("{}\n", index + 1))?;
            fs::write(each.dir.join("log4j.properties"), LOG4J.replace("INFO", "WARN"))?;
            let config = format!(
                "dataDir={}\nclientPort={}\nclientPortAddress={}\ntickTime=500\ninitLimit=20\nsyncLimit=8\n\
                 maxSessionTimeout=60000\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n{quorum}",
                data.display(),
                each.node.port,
                each.node.address
            );
            fs::write(each.dir.join("zk.properties"), config)?;
        }
        let connect: Vec<String> = self.zookeeper_addresses().iter().map(SocketAddr::to_string).collect();
        for broker in &self.brokers {
            let config = format!(
                "broker.id={}\nlisteners=PLAINTEXT://{address}\nadvertised.listeners=PLAINTEXT://{address}\n\
                 zookeeper.connect={}\nzookeeper.session.timeout.ms={}\nlog.dirs={}\n\
                 default.replication.factor=3\nmin.insync.replicas=2\nunclean.leader.election.enable=false\n\
                 auto.create.topics.enable=false\noffsets.topic.replication.factor=3\n\
                 offsets.topic.num.partitions=6\ntransaction.state.log.replication.factor=3\n\
                 transaction.state.log.min.isr=2\ntransaction.state.log.num.partitions=6\n\
                 leader.imbalance.check.interval.seconds=60\n{}",
                broker.id,
                connect.join(","),
                self.programs.session_ms,
                // Beside `lost+found`, which no broker takes for a partition.
                broker.disk.dir.join("logs").display(),
                self.programs.extra,
                address = broker.node.socket(),
            );
            fs::write(broker.dir.join("server.properties"), config)?;
            fs::write(broker.dir.join("log4j.properties"), LOG4J)?;
        }
        Ok(())
    }

    /// Where the ensemble listens.
    pub fn zookeeper_addresses(&self) -> Vec<SocketAddr> {
        self.zookeepers.iter().map(|each| each.node.socket()).collect()
    }

    /// What clients are told.
    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self.brokers.iter().map(|broker| broker.node.socket().to_string()).collect();
        all.join(",")
    }

    /// The words that start Java with Kafka's jars.
    pub fn java(&self, options: &[&str], log4j: &Path) -> Vec<String> {
        let mut words = vec!["java".to_owned()];
        words.extend(options.iter().map(|option| (*option).to_owned()));
        words.push(format!("-Dlog4j.configuration=file:{}", log4j.display()));
        words.extend(["-cp".to_owned(), format!("{}/*", self.programs.jars.display())]);
        words
    }

    /// Starts the ensemble and then the brokers, and waits until all of them are registered.
    pub fn start(&mut self) -> io::Result<()> {
        for index in 0..self.zookeepers.len() {
            self.start_zookeeper(index)?;
        }
        let servers = self.zookeeper_addresses();
        let give_up = Instant::now() + START_LIMIT;
        while let Err(error) = Reader::open(&servers) {
            if Instant::now() > give_up {
                return Err(failed(format!("ZooKeeper does not come up: {error}")));
            }
            sleep(Duration::from_millis(200));
        }
        for index in 0..self.brokers.len() {
            self.start_broker(index)?;
        }
        let give_up = Instant::now() + START_LIMIT;
        for index in 0..self.brokers.len() {
            self.await_registered(index, give_up)?;
        }
        Ok(())
    }

    /// Starts a ZooKeeper that is not running.
    pub fn start_zookeeper(&mut self, index: usize) -> io::Result<()> {
        let dir = self.zookeepers[index].dir.clone();
        let mut words = self.java(ZOOKEEPER_JVM, &dir.join("log4j.properties"));
        words.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned());
        words.push(dir.join("zk.properties").display().to_string());
        let each = &mut self.zookeepers[index];
        each.process = Some(Process::start(&each.node, &each.node.name, &words, &dir.join("log.txt"))?);
        Ok(())
    }

    /// Starts a broker that is not running, once ZooKeeper has forgotten its last life.
    pub fn start_broker(&mut self, index: usize) -> io::Result<()> {
        self.await_forgotten(index)?;
        let (kind, dir) = (self.brokers[index].kind, self.brokers[index].dir.clone());
        let config = dir.join("server.properties").display().to_string();
        let words = match kind {
            Kind::Kafka => {
                let mut words = self.java(KAFKA_JVM, &dir.join("log4j.properties"));
                words.extend(["kafka.Kafka".to_owned(), config]);
                words
            }
            Kind::Ottla => {
                let program = self.programs.ottla.display().to_string();
                vec![program, "start".to_owned(), "--config".to_owned(), config]
            }
        };
        let broker = &mut self.brokers[index];
        broker.process = Some(Process::start(&broker.node, &broker.node.name, &words, &dir.join("log.txt"))?);
        Ok(())
    }

    fn await_forgotten(&self, index: usize) -> io::Result<()> {
        let give_up = Instant::now() + START_LIMIT;
        loop {
            let known = Reader::open(&self.zookeeper_addresses())
                .and_then(|mut reader| reader.is_registered(self.brokers[index].id));
            match known {
                Ok(false) => return Ok(()),
                _ if Instant::now() > give_up => {
                    return Err(failed(format!("ZooKeeper does not forget broker {}", index + 1)));
                }
                _ => sleep(Duration::from_millis(100)),
            }
        }
    }

    fn await_registered(&mut self, index: usize, give_up: Instant) -> io::Result<()> {
        let servers = self.zookeeper_addresses();
        let id = self.brokers[index].id;
        while !Reader::open(&servers).and_then(|mut reader| reader.is_registered(id)).unwrap_or(false) {
            if let Some(process) = &mut self.brokers[index].process {
                process.check()?;
            }
            if Instant::now() > give_up {
                return Err(failed(format!("broker {id} does not register; see its log.txt")));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Brokers whose process ended without being asked to; their handles are dropped.
    pub fn take_ended(&mut self) -> io::Result<Vec<usize>> {
        let mut ended = vec![];
        for (index, broker) in self.brokers.iter_mut().enumerate() {
            let Some(process) = &mut broker.process else { continue };
            if process.ended()?.is_some() {
                broker.process = None;
                ended.push(index);
            }
        }
        Ok(ended)
    }

    /// Lines of the brokers' logs that tell of a panic.
    pub fn panics(&self) -> io::Result<Vec<String>> {
        let mut found = vec![];
        for broker in &self.brokers {
            let text = fs::read(broker.dir.join("log.txt"))?;
            for line in String::from_utf8_lossy(&text).lines() {
                if PANICS.iter().any(|word| line.contains(word)) {
                    found.push(format!("b{}: {}", broker.id, line.chars().take(300).collect::<String>()));
                }
            }
        }
        Ok(found)
    }
}
