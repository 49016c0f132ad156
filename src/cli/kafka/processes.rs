//! Which servers of this user run on this machine: found in `/proc` by the words that they were started with.
//!
//! Only servers of this binary are found, and only those started by Kafka's names or as a container's broker: an `ottla start`
//! belongs to whoever supervises it. A container's processes are found from inside it only. Kafka's scripts look for `java` and
//! `kafka.Kafka` in the output of `ps`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::run_class;
use crate::cli::container;

/// The longest command line that is looked at.
const COMMAND_MAX: usize = 64 << 10;

/// A server that runs.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// The configuration it was started with; a container's broker has none.
    pub file: Option<PathBuf>,
}

/// The kinds of servers.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A broker.
    Broker,
    /// An embedded ZooKeeper by itself.
    ZooKeeper,
}

impl Process {
    /// Sends a signal. A process that has ended meanwhile is fine.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        match kill_process(self.pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(format!("cannot stop process {}: {error}", self.pid)),
        }
    }
}

/// All servers of a kind that this user runs.
pub fn running(kind: Kind) -> Result<Vec<Process>, String> {
    let entries = fs::read_dir("/proc").map_err(|error| {
        format!("cannot see which processes run: /proc: {error}; stop it by its process id")
    })?;
    Ok(entries.flatten().filter_map(|entry| look(&entry.path(), kind)).collect())
}

/// One process, if it is one of ours. Processes come and go: what cannot be read is none.
fn look(folder: &Path, kind: Kind) -> Option<Process> {
    let pid = Pid::from_raw(folder.file_name()?.to_str()?.parse().ok()?)?;
    if fs::metadata(folder).ok()?.uid() != geteuid().as_raw() {
        return None;
    }
    let mut command = fs::read(folder.join("cmdline")).ok()?;
    command.truncate(COMMAND_MAX);
    let words = command.strip_suffix(b"\0")?.split(|byte| *byte == 0);
    let words: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let (found, file) = server(&words)?;
    let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
    if found != kind || namespace(folder) != namespace(Path::new("/proc/self")) {
        return None;
    }
    let here = fs::read_link(folder.join("cwd")).ok()?;
    Some(Process { pid, file: file.map(|file| here.join(file)) })
}

/// What a command line runs, and with which file.
fn server(words: &[String]) -> Option<(Kind, Option<&str>)> {
    let (called, rest) = words.split_first()?;
    let first = rest.first().map(String::as_str);
    let is_ottla = called.rsplit('/').next() == Some("ottla");
    if container::is_entry(called) || is_ottla && first == Some("container") {
        return Some((Kind::Broker, None));
    }
    let (kind, file) = match super::named(called)?.name {
        // A script that runs a daemon ends at once; it is no server.
        _ if first == Some("-daemon") => return None,
        "kafka-server-start" => (Kind::Broker, first?),
        "zookeeper-server-start" => (Kind::ZooKeeper, first?),
        "kafka.Kafka" if first == Some("start") => (Kind::Broker, config(rest)?),
        "kafka-run-class" => {
            let [class, file, ..] = run_class::read(rest).rest else { return None };
            match super::of_class(class)?.name {
                "kafka-server-start" => (Kind::Broker, file.as_str()),
                "zookeeper-server-start" => (Kind::ZooKeeper, file.as_str()),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((kind, Some(file)))
}

fn config(words: &[String]) -> Option<&str> {
    let inside = words.iter().find_map(|word| word.strip_prefix("--config="));
    let after = || words.iter().position(|word| word == "--config" || word == "-C").map(|at| at + 1);
    inside.or_else(|| after().and_then(|at| words.get(at)).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_words() {
        let cases = [
            ("bin/kafka-server-start.sh a.properties --override b=c", Some((Kind::Broker, "a.properties"))),
            ("kafka-run-class -name kafkaServer -loggc kafka.Kafka a", Some((Kind::Broker, "a"))),
            ("/opt/kafka/kafka.Kafka start --config a -Dx=y", Some((Kind::Broker, "a"))),
            ("kafka.Kafka start --config=a", Some((Kind::Broker, "a"))),
            ("zookeeper-server-start.sh z", Some((Kind::ZooKeeper, "z"))),
            (
                "kafka-run-class.sh org.apache.zookeeper.server.quorum.QuorumPeerMain z",
                Some((Kind::ZooKeeper, "z")),
            ),
            ("kafka-server-start -daemon a", None),
            ("kafka-run-class kafka.admin.Nothing a", None),
            ("kafka.Kafka setup -D a", None),
            ("ottla start --config a", None),
            ("bash bin/kafka-server-start.sh a", None),
            ("kafka-server-start", None),
        ];
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        for (line, expected) in cases {
            assert_eq!(server(&words(line)), expected.map(|(kind, file)| (kind, Some(file))), "{line}");
        }
        for line in ["ottla container", "/usr/bin/ottla container", "/etc/confluent/docker/run"] {
            assert_eq!(server(&words(line)), Some((Kind::Broker, None)), "{line}");
        }
    }
}
