//! Four letter words: a monitor sends four bytes instead of a session request and gets text.
//!
//! Those that are cheap and change nothing are answered, the others as a ZooKeeper answers words outside its
//! whitelist. Source: `FourLetterCommands` and `org.apache.zookeeper.server.command` of ZooKeeper 3.9.

use super::clients::Client;
use super::connection::ask_pipeline;
use super::listener::Shared;
use super::pipeline::Pipeline;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

/// Answer of a server that does not serve.
pub(super) const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// As clients of ZooKeeper expect it; the suffix says who we are.
const VERSION: &str = concat!("3.9.3-ottla-", env!("CARGO_PKG_VERSION"), ", built on unknown");

/// Words that ZooKeeper knows. Any other four bytes are the length of a frame.
const KNOWN: [&[u8; 4]; 18] = [
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"hash", b"isro", b"lsnp", b"mntr",
    b"ruok", b"srst", b"srvr", b"stat", b"stmk", b"wchc", b"wchs",
];

/// A word only the pipeline can answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Stat,
    Srvr,
    Mntr,
    Cons,
    Dump,
    Wchs,
}

/// Whether these bytes are a word.
pub(super) fn is_known(word: &[u8; 4]) -> bool {
    KNOWN.contains(&word) || word == b"wchp"
}

/// The text for a word.
pub(super) async fn ask(word: [u8; 4], shared: &Shared) -> String {
    let word = match &word {
        b"ruok" => return "imok".into(),
        b"isro" => return "rw".into(),
        b"conf" => return conf(shared),
        b"envi" => return envi(),
        b"stat" => Word::Stat,
        b"srvr" => Word::Srvr,
        b"mntr" => Word::Mntr,
        b"cons" => Word::Cons,
        b"dump" => Word::Dump,
        b"wchs" => Word::Wchs,
        other => {
            let name = String::from_utf8_lossy(other);
            return format!("{name} is not executed because it is not in the whitelist.\n");
        }
    };
    ask_pipeline(word, shared).await.unwrap_or_else(|| NOT_SERVING.into())
}

fn conf(shared: &Shared) -> String {
    let options = &shared.options;
    let dir = options.data_dir.as_ref().map_or_else(|| "(memory)".into(), |dir| dir.display().to_string());
    format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir={dir}\ndataLogDir={dir}\ntickTime={}\nmaxClientCnxns={}\n\
         minSessionTimeout={}\nmaxSessionTimeout={}\nclientPortListenBacklog=-1\nserverId=0\n",
        shared.local_addr.port(),
        options.tick_time_ms,
        options.max_client_connections,
        options.grant(0),
        options.grant(i32::MAX),
    )
}

fn envi() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("Environment:\nzookeeper.version={VERSION}\nos.name={os}\nos.arch={arch}\n")
}

/// The text for a word that needs the tree or the clients.
pub(super) fn answer(pipeline: &Pipeline, word: Word) -> String {
    let mut text = String::new();
    let written = match word {
        Word::Stat => stat(pipeline, &mut text, true),
        Word::Srvr => stat(pipeline, &mut text, false),
        Word::Mntr => mntr(pipeline, &mut text),
        Word::Cons => cons(pipeline, &mut text),
        Word::Dump => dump(pipeline, &mut text),
        Word::Wchs => writeln!(text, "Total watches:{}", pipeline.tree.watch_count()),
    };
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    text
}

fn average_ms(pipeline: &Pipeline) -> f64 {
    let figures = &pipeline.figures;
    figures.latency_sum_ms as f64 / figures.answered.max(1) as f64
}

fn connection(client: &Client, text: &mut String) -> std::fmt::Result {
    let Client { address, session, received, sent, .. } = client;
    write!(text, " /{address}[1](queued=0,recved={received},sent={sent}")?;
    if *session != 0 {
        write!(text, ",sid=0x{session:x}")?;
    }
    text.write_str(")\n")
}

fn stat(pipeline: &Pipeline, text: &mut String, with_clients: bool) -> std::fmt::Result {
    writeln!(text, "Zookeeper version: {VERSION}")?;
    if with_clients {
        writeln!(text, "Clients:")?;
        for client in pipeline.clients.values() {
            connection(client, text)?;
        }
        writeln!(text)?;
    }
    let figures = &pipeline.figures;
    let (min, average, max) = (figures.latency_min_ms, average_ms(pipeline), figures.latency_max_ms);
    writeln!(text, "Latency min/avg/max: {min}/{average:.4}/{max}")?;
    writeln!(text, "Received: {}", figures.received)?;
    writeln!(text, "Sent: {}", figures.sent)?;
    writeln!(text, "Connections: {}", pipeline.clients.len())?;
    writeln!(text, "Outstanding: 0")?;
    writeln!(text, "Zxid: 0x{:x}", pipeline.tree.last_zxid())?;
    writeln!(text, "Mode: standalone")?;
    writeln!(text, "Node count: {}", pipeline.tree.node_count())
}

fn mntr(pipeline: &Pipeline, text: &mut String) -> std::fmt::Result {
    let (figures, tree) = (&pipeline.figures, &pipeline.tree);
    writeln!(text, "zk_version\t{VERSION}")?;
    writeln!(text, "zk_server_state\tstandalone")?;
    let rows = [
        ("min_latency", figures.latency_min_ms as u64),
        ("max_latency", figures.latency_max_ms as u64),
        ("packets_received", figures.received),
        ("packets_sent", figures.sent),
        ("num_alive_connections", pipeline.clients.len() as u64),
        ("outstanding_requests", 0),
        ("znode_count", tree.node_count() as u64),
        ("watch_count", tree.watch_count() as u64),
        ("ephemerals_count", tree.ephemeral_count() as u64),
        ("approximate_data_size", tree.approximate_data_bytes()),
        ("global_sessions", tree.sessions().count() as u64),
        ("connection_rejected", pipeline.shared_counts.rejected.load(Ordering::Relaxed)),
        ("large_requests_rejected", pipeline.shared_counts.oversized.load(Ordering::Relaxed)),
    ];
    writeln!(text, "zk_avg_latency\t{:.4}", average_ms(pipeline))?;
    rows.iter().try_for_each(|(name, value)| writeln!(text, "zk_{name}\t{value}"))
}

fn cons(pipeline: &Pipeline, text: &mut String) -> std::fmt::Result {
    pipeline.clients.values().try_for_each(|client| connection(client, text))?;
    writeln!(text)
}

fn dump(pipeline: &Pipeline, text: &mut String) -> std::fmt::Result {
    let mut sessions: Vec<_> = pipeline.tree.sessions().collect();
    sessions.sort_unstable_by_key(|(id, _)| *id);
    writeln!(text, "SessionTracker dump:\nSessions ({}):", sessions.len())?;
    for (id, session) in &sessions {
        writeln!(text, "\t0x{id:x}\t{}ms", session.timeout_ms)?;
    }
    let owners = sessions.iter().filter(|(_, session)| !session.ephemerals.is_empty());
    writeln!(text, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", owners.clone().count())?;
    for (id, session) in owners {
        writeln!(text, "0x{id:x}:")?;
        for path in &session.ephemerals {
            writeln!(text, "\t{path}")?;
        }
    }
    Ok(())
}
