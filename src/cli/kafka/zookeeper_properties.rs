//! `zookeeper.properties` for the embedded server: what it does, what makes no difference, what it refuses by name.
//!
//! Refused is what asks for more than one machine, for TLS, or for logins: a server that left those out would serve
//! something else than the file says. Pure. Source: `QuorumPeerConfig` of ZooKeeper 3.9, its administrator's guide.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Words that a monitor may send and the embedded server answers.
const WORDS: &[&str] = &["ruok", "isro", "conf", "envi", "stat", "srvr", "mntr", "cons", "dump", "wchs", "*"];
/// Keys without a meaning for one machine that keeps its snapshots short.
const NO_MATTER: &[&str] = &[
    "initLimit",
    "syncLimit",
    "connectToLearnerMasterLimit",
    "snapCount",
    "preAllocSize",
    "standaloneEnabled",
    "reconfigEnabled",
    "syncEnabled",
    "electionAlg",
    "electionPort",
    "leaderServes",
    "clientPortListenBacklog",
    "snapshot.trust.empty",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "quorumListenOnAllIPs",
    "fsync.warningthresholdms",
    "forceSync",
    "globalOutstandingLimit",
];
const NO_MATTER_PREFIXES: &[&str] = &["autopurge.", "admin.", "metricsProvider.", "audit."];
/// Connections at once where no number is given.
const CONNECTIONS: usize = 1000;
/// The most that a file may ask for.
const CONNECTIONS_MAX: usize = 1 << 20;

/// What a file asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Where data is kept.
    pub data_dir: PathBuf,
    /// Where a ZooKeeper would keep its log of transactions, if elsewhere.
    pub data_log_dir: Option<PathBuf>,
    /// A name or an address.
    pub address: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// The unit of session timeouts.
    pub tick_time_ms: i32,
    /// Connections at once, from all addresses.
    pub connections: usize,
    /// Longest request, bytes.
    pub jute_maxbuffer: Option<usize>,
    /// What is not as the file says, one sentence each.
    pub warnings: Vec<String>,
}

/// Reads the pairs of a file. The error says what to change.
pub fn read(pairs: Vec<(String, String)>) -> Result<Wishes, String> {
    let (mut data_dir, mut port) = (None, None);
    let mut servers = Vec::new();
    let mut wishes = Wishes {
        data_dir: PathBuf::new(),
        data_log_dir: None,
        address: IpAddr::from(Ipv4Addr::UNSPECIFIED).to_string(),
        port: 0,
        tick_time_ms: 3000,
        connections: CONNECTIONS,
        jute_maxbuffer: None,
        warnings: Vec::new(),
    };
    for (key, value) in pairs {
        let value = value.trim();
        match key.as_str() {
            "dataDir" => data_dir = Some(PathBuf::from(value)),
            "dataLogDir" => wishes.data_log_dir = Some(value.into()),
            "clientPort" => port = Some(number(&key, value, 0, i64::from(u16::MAX))? as u16),
            "clientPortAddress" => wishes.address = value.to_owned(),
            "tickTime" => wishes.tick_time_ms = number(&key, value, 1, 600_000)? as i32,
            "maxCnxns" => wishes.limit(number(&key, value, 0, CONNECTIONS_MAX as i64)? as usize),
            "maxClientCnxns" => wishes.per_address(number(&key, value, 0, CONNECTIONS_MAX as i64)?),
            "jute.maxbuffer" => wishes.jute_maxbuffer = Some(number(&key, value, 1024, 1 << 30)? as usize),
            "minSessionTimeout" | "maxSessionTimeout" => wishes
                .warnings
                .push(format!("{key}={value} has no effect: sessions last between 2 and 20 times tickTime")),
            "4lw.commands.whitelist" => wishes.words(value),
            _ if key.starts_with("server.") => servers.push(key),
            _ => wishes.other(&key, value)?,
        }
    }
    if servers.len() > 1 {
        return Err(format!(
            "{} make an ensemble, and the embedded ZooKeeper is for one machine: run Apache ZooKeeper with this file, \
             and point zookeeper.connect at it",
            servers.join(", ")
        ));
    }
    wishes.data_dir = data_dir.ok_or("dataDir is not set: name the directory that keeps the data")?;
    wishes.port = port.ok_or("clientPort is not set: 2181 is the usual one")?;
    Ok(wishes)
}

impl Wishes {
    fn limit(&mut self, connections: usize) {
        self.connections = if connections == 0 { CONNECTIONS_MAX } else { connections };
    }

    /// There is no limit for one address; a larger one than all may have raises that.
    fn per_address(&mut self, connections: i64) {
        self.connections = self.connections.max(connections as usize);
        if connections != 0 {
            self.warnings.push(format!(
                "maxClientCnxns={connections} is not counted for each address: all together may have {}",
                self.connections
            ));
        }
    }

    fn words(&mut self, list: &str) {
        let silent: Vec<&str> =
            list.split(',').map(str::trim).filter(|word| !word.is_empty() && !WORDS.contains(word)).collect();
        if !silent.is_empty() {
            self.warnings.push(format!(
                "4lw.commands.whitelist: {} will not be answered; those that are: {}",
                silent.join(", "),
                WORDS[..WORDS.len() - 1].join(", ")
            ));
        }
    }

    /// Keys that are refused, or make no difference.
    fn other(&mut self, key: &str, value: &str) -> Result<(), String> {
        let refused = match key {
            "secureClientPort" | "secureClientPortAddress" | "sslQuorum" => "TLS",
            "dynamicConfigFile" => "an ensemble",
            "peerType" if value != "participant" => "an ensemble",
            _ if key.starts_with("authProvider") => "logins",
            "enforce.auth.enabled" | "sessionRequireClientSASLAuth" if value == "true" => "logins",
            "requireClientAuthScheme" => "logins",
            _ if key.starts_with("ssl.") || key.starts_with("group.") || key.starts_with("weight.") => {
                let what = if key.starts_with("ssl.") { "its TLS" } else { "an ensemble" };
                self.warnings.push(format!("{key} has no effect: it is for {what}"));
                return Ok(());
            }
            _ if NO_MATTER.contains(&key)
                || NO_MATTER_PREFIXES.iter().any(|start| key.starts_with(start)) =>
            {
                return Ok(());
            }
            _ => {
                self.warnings.push(format!("{key} is not known and has no effect"));
                return Ok(());
            }
        };
        Err(format!(
            "{key}={value} asks for {refused}, which the embedded ZooKeeper has not: run Apache ZooKeeper with this \
             file, or take the line away"
        ))
    }
}

fn number(key: &str, value: &str, least: i64, most: i64) -> Result<i64, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{key}={value} is no number between {least} and {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Wishes, String> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        read(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn kafkas_own_file_is_understood() {
        let wishes =
            of("dataDir=/d clientPort=2181 maxClientCnxns=0 admin.enableServer=false").expect("fine");
        assert_eq!((wishes.address.as_str(), wishes.port), ("0.0.0.0", 2181));
        assert_eq!((wishes.tick_time_ms, wishes.connections), (3000, CONNECTIONS));
        assert_eq!(wishes.warnings, [""; 0]);
    }

    #[test]
    fn what_is_not_as_the_file_says_is_told() {
        let wishes = of("dataDir=/d clientPort=1 maxClientCnxns=5000 maxSessionTimeout=9 \
                         4lw.commands.whitelist=ruok,wchp nonsense=1 server.1=a:1:2 tickTime=500")
        .expect("fine");
        let told = wishes.warnings.join("\n");
        for part in ["5000", "between 2 and 20", "wchp will not be answered", "nonsense is not known"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert_eq!((wishes.connections, wishes.tick_time_ms, wishes.warnings.len()), (5000, 500, 4));
    }

    #[test]
    fn what_it_cannot_be_is_refused_by_name() {
        let cases = [
            ("server.1=a:1:2 server.2=b:1:2", "server.1, server.2 make an ensemble"),
            ("secureClientPort=2281", "secureClientPort=2281 asks for TLS"),
            ("authProvider.1=x.SASLAuthenticationProvider", "asks for logins"),
            ("peerType=observer", "peerType=observer asks for an ensemble"),
            ("clientPort=70000", "clientPort=70000 is no number between 0 and 65535"),
            ("tickTime=soon", "tickTime=soon is no number"),
        ];
        for (line, says) in cases {
            let error = of(&format!("dataDir=/d clientPort=1 {line}")).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
        assert!(of("clientPort=1").expect_err("no dataDir").contains("dataDir is not set"));
        assert!(of("dataDir=/d").expect_err("no port").contains("clientPort is not set"));
    }
}
