//! `kafka-server-stop` and `zookeeper-server-stop`: a signal to the servers that this user runs on this machine.
//!
//! The signal is SIGTERM, which a broker takes for a controlled shutdown; the variable `SIGNAL` names another. As in Kafka 3.9
//! `--node-id=N` and `--process-role=ROLE` choose among brokers. Where Kafka's scripts ignore a configuration file, these
//! stop only the server that runs with it. Source: `bin/kafka-server-stop.sh`, `bin/zookeeper-server-stop.sh`.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::processes::{Kind, Process, running};
use super::settings::properties;

/// Which servers are meant; all without any of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    node_id: Option<String>,
    role: Option<String>,
    file: Option<PathBuf>,
}

/// `kafka-server-stop`.
pub fn broker(arguments: &[String]) -> Result<(), String> {
    stop(arguments, Kind::Broker, "kafka")
}

/// `zookeeper-server-stop`.
pub fn zookeeper(arguments: &[String]) -> Result<(), String> {
    stop(arguments, Kind::ZooKeeper, "zookeeper")
}

fn stop(arguments: &[String], kind: Kind, name: &str) -> Result<(), String> {
    let wanted = read(arguments, kind)?;
    let signal = signal(std::env::var("SIGNAL").ok().as_deref())?;
    let all = running(kind)?;
    let chosen: Vec<&Process> = all.iter().filter(|process| wanted.takes(process.file.as_deref())).collect();
    if chosen.is_empty() {
        let others = match all.len() {
            0 => String::new(),
            count => format!(" ({count} other running, with other configurations)"),
        };
        return Err(format!("No {name} server to stop{others}"));
    }
    let failed: Vec<String> = chosen.into_iter().filter_map(|process| process.signal(signal).err()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn read(arguments: &[String], kind: Kind) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for argument in arguments {
        match argument.split_once('=') {
            Some(("--node-id", id)) if kind == Kind::Broker => wanted.node_id = Some(id.to_owned()),
            Some(("--process-role", role)) if kind == Kind::Broker => wanted.role = Some(role.to_owned()),
            _ if argument.starts_with('-') => {
                return Err(format!("{argument:?} is not understood; nothing was stopped"));
            }
            _ => wanted.file = Some(argument.into()),
        }
    }
    if wanted.node_id.is_some() {
        // As Kafka's script: the id takes precedence.
        wanted.role = None;
    }
    Ok(wanted)
}

impl Wanted {
    /// Whether the server with this file is meant. One without a file, or with one that cannot be read, has no id.
    fn takes(&self, file: Option<&Path>) -> bool {
        let same = |wanted: &PathBuf| match (wanted.canonicalize(), file.map(Path::canonicalize)) {
            (Ok(wanted), Some(Ok(file))) => wanted == file,
            _ => false,
        };
        self.file.as_ref().is_none_or(same)
            // With ZooKeeper every process is a broker, whatever its file says.
            && self.role.as_ref().is_none_or(|role| role == "broker")
            && self.node_id.as_ref().is_none_or(|id| file.is_some_and(|file| ids(file).contains(id)))
    }
}

/// The ids that a configuration gives its broker.
fn ids(file: &Path) -> Vec<String> {
    let pairs = file.to_str().and_then(|file| properties(file).ok()).unwrap_or_default();
    let ids = pairs.into_iter().filter(|(key, _)| key == "broker.id" || key == "node.id");
    ids.map(|(_, value)| value.trim().to_owned()).collect()
}

/// The signal of this name, with or without `SIG`, or number.
fn signal(name: Option<&str>) -> Result<Signal, String> {
    let name = name.unwrap_or("TERM").to_uppercase();
    match name.strip_prefix("SIG").unwrap_or(&name) {
        "TERM" | "15" | "" => Ok(Signal::TERM),
        "INT" | "2" => Ok(Signal::INT),
        "KILL" | "9" => Ok(Signal::KILL),
        "QUIT" | "3" => Ok(Signal::QUIT),
        "HUP" | "1" => Ok(Signal::HUP),
        other => Err(format!("SIGNAL={other} is none of TERM, INT, KILL, QUIT and HUP; nothing was stopped")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_meant() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
            folder.path().join(name)
        };
        let (one, two) = (file("one", "broker.id=1\n"), file("two", "broker.id = 2\nlog.dirs=/1\n"));
        let takes = |arguments: &[&str]| {
            let words: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
            let wanted = read(&words, Kind::Broker).expect("understood");
            [wanted.takes(Some(&one)), wanted.takes(Some(&two)), wanted.takes(None)]
        };
        assert_eq!(takes(&[]), [true, true, true]);
        assert_eq!(takes(&["--node-id=2"]), [false, true, false]);
        assert_eq!(takes(&["--process-role=controller"]), [false, false, false]);
        assert_eq!(takes(&["--process-role=controller", "--node-id=1"]), [true, false, false]);
        assert_eq!(takes(&[one.to_str().expect("text")]), [true, false, false]);
        assert_eq!(takes(&["/no/such/file"]), [false, false, false]);
        assert!(read(&["--all".into()], Kind::Broker).is_err());
        assert!(read(&["--node-id=1".into()], Kind::ZooKeeper).is_err());
    }

    #[test]
    fn signals_have_names() {
        for name in [None, Some("TERM"), Some("SIGTERM"), Some("15"), Some("term")] {
            assert_eq!(signal(name), Ok(Signal::TERM), "{name:?}");
        }
        assert_eq!(signal(Some("KILL")), Ok(Signal::KILL));
        assert!(signal(Some("STOP")).is_err());
    }
}
