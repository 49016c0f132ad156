//! The clients: drivers of librdkafka and franz-go as processes on the client's node, one file of operations each.
//!
//! Producers have the ids 1 to 3, pollers 11 and 12, readers of everything 21 and 22. Knows nothing of what is in the
//! files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::nodes::Node;
use crate::process::{Process, failed};

/// Librdkafka and franz-go give up a record after 40 s, and a little more to end.
const PRODUCER_STOP: Duration = Duration::from_secs(70);
const POLLER_STOP: Duration = Duration::from_secs(30);
/// Readers give up by themselves after 200 s.
const FINAL_LIMIT: Duration = Duration::from_secs(240);

/// What is asked of the clients.
#[derive(Clone, Debug)]
pub struct Load {
    /// Names of the topics.
    pub topics: Vec<String>,
    /// Partitions of each.
    pub partitions: usize,
    /// Records a second, of all idempotent producers together.
    pub rate: usize,
    /// `all` or `1`.
    pub acks: String,
    /// `unclean.leader.election.enable` of the topics.
    pub unclean: bool,
    /// `min.insync.replicas` of the topics.
    pub min_isr: usize,
    /// Whether pollers commit offsets.
    pub commits: bool,
    /// How long producers ask a broker to try, in milliseconds; after one and a half times that they give it up.
    pub patience_ms: u64,
    /// Draws what readers do.
    pub seed: u64,
}

/// Where the clients' programs are.
#[derive(Clone, Debug)]
pub struct Drivers {
    /// Python with confluent-kafka.
    pub python: PathBuf,
    /// The driver for it.
    pub librdkafka: PathBuf,
    /// The built driver of franz-go.
    pub franz: PathBuf,
}

/// The running clients.
pub struct Workload {
    node: Node,
    drivers: Drivers,
    load: Load,
    bootstrap: String,
    dir: PathBuf,
    producers: Vec<Process>,
    pollers: Vec<Process>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Librdkafka,
    Franz,
}

impl Workload {
    /// Nothing runs yet; files go to `dir`.
    pub fn new(
        node: &Node,
        drivers: &Drivers,
        load: &Load,
        bootstrap: String,
        dir: &Path,
    ) -> io::Result<Workload> {
        std::fs::create_dir_all(dir)?;
        Ok(Workload {
            node: node.clone(),
            drivers: drivers.clone(),
            load: load.clone(),
            bootstrap,
            dir: dir.to_owned(),
            producers: vec![],
            pollers: vec![],
        })
    }

    fn start(&self, client: Client, role: &str, id: usize, more: &[String]) -> io::Result<Process> {
        let mut words = match client {
            Client::Librdkafka => {
                vec![self.drivers.python.display().to_string(), self.drivers.librdkafka.display().to_string()]
            }
            Client::Franz => vec![self.drivers.franz.display().to_string()],
        };
        words.push(role.to_owned());
        let file = self.dir.join(format!("{id:02}-{role}.jsonl")).display().to_string();
        let partitions = self.load.partitions.to_string();
        let (id, seed) = (id.to_string(), (self.load.seed.wrapping_add(id as u64) >> 1).to_string());
        for (flag, value) in [
            ("--bootstrap", self.bootstrap.as_str()),
            ("--topics", &self.load.topics.join(",")),
            ("--partitions", &partitions),
            ("--file", &file),
            ("--id", &id),
            ("--seed", &seed),
            ("--acks", &self.load.acks),
        ] {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
        words.extend(more.iter().cloned());
        let log = self.dir.join(format!("{id}-{role}.log"));
        Process::start(&self.node, &format!("client {id} ({role})"), &words, &log)
    }

    /// Creates the topics.
    pub fn create(&self) -> io::Result<()> {
        let mut more = vec!["--min-isr".to_owned(), self.load.min_isr.to_string()];
        if self.load.unclean {
            more.push("--unclean".to_owned());
        }
        self.start(Client::Librdkafka, "create", 0, &more)?.wait(Duration::from_secs(120))
    }

    /// Starts producers and pollers.
    pub fn begin(&mut self) -> io::Result<()> {
        let producing = |rate: usize| {
            let words =
                [("--rate", rate.max(1).to_string()), ("--patience-ms", self.load.patience_ms.to_string())];
            words.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect::<Vec<_>>()
        };
        let half = self.load.rate / 2;
        self.producers.push(self.start(Client::Librdkafka, "produce", 1, &producing(half))?);
        self.producers.push(self.start(Client::Franz, "produce", 2, &producing(half))?);
        if self.load.acks == "all" {
            // Some of its records are certainly refused: nobody may read them.
            let more = [producing(self.load.rate / 30), vec!["--refusals".to_owned()]].concat();
            self.producers.push(self.start(Client::Librdkafka, "produce", 3, &more)?);
        }
        let more = if self.load.commits { vec!["--commits".to_owned()] } else { vec![] };
        self.pollers.push(self.start(Client::Librdkafka, "poll", 11, &more)?);
        self.pollers.push(self.start(Client::Franz, "poll", 12, &more)?);
        Ok(())
    }

    /// Errs when a client has ended: then the run says nothing.
    pub fn check(&mut self) -> io::Result<()> {
        self.producers.iter_mut().chain(&mut self.pollers).try_for_each(Process::check)
    }

    /// Ends the producers once what is under way has an answer, and then the pollers.
    pub fn stop(&mut self) -> io::Result<()> {
        for (processes, limit) in [(&mut self.producers, PRODUCER_STOP), (&mut self.pollers, POLLER_STOP)] {
            for process in processes.iter() {
                process.signal(Signal::TERM)?;
            }
            for process in processes.iter_mut() {
                process.wait(limit)?;
            }
            processes.clear();
        }
        Ok(())
    }

    /// Reads everything from the beginning, with both clients.
    pub fn read_all(&self) -> io::Result<()> {
        let mut readers =
            [self.start(Client::Librdkafka, "final", 21, &[])?, self.start(Client::Franz, "final", 22, &[])?];
        readers.iter_mut().try_for_each(|reader| reader.wait(FINAL_LIMIT))
    }

    /// The files of operations: producers first, then pollers, then readers of everything.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.dir)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        files.sort();
        if files.is_empty() { Err(failed("the clients wrote nothing")) } else { Ok(files) }
    }
}
