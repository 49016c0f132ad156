//! `zookeeper-shell HOST:PORT[/chroot] [command]`: one command, or lines of standard input until `quit` or its end.
//!
//! Prints what ZooKeeper's shell prints, where it prints it; times are UTC. Null data cannot be told from empty data, and is
//! what Kafka writes: both are `null`. Source: `ZooKeeperMainWithTlsSupportForKafka`, `ZooKeeperMain` of ZooKeeper 3.8.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ottla_zk::jute::perms;
use ottla_zk::store::{CreateMode, Remote, Stat, Store, StoreError, delete_recursive};

use super::zookeeper_words::{Command, command, usage, words};
use crate::cli::output::finish;
use crate::cli::zookeeper::Place;
use crate::cli::{connect, lines};

/// The class that Kafka's script starts.
pub const CLASS: &str = "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka";
const USAGE: &str = "USAGE: zookeeper-shell.sh zookeeper_host:port[/path] [args...]";
/// What ZooKeeper's client says of its session.
const CONNECTED: &str = "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null";
const CLOSED: &str = "\nWATCHER::\n\nWatchedEvent state:Closed type:None path:null";
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Runs a command, or those of standard input.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let (server, words) = read(arguments)?;
    let place = Place::parse(server)?;
    say(&format!("Connecting to {server}"))?;
    let asked = if words.is_empty() { None } else { Some(command(words)?) };
    connect::run(async {
        let hint = "name it as the first argument";
        let shell = Shell { store: place.open(hint).await?, place };
        let result = match asked {
            Some(command) => match say(CONNECTED) {
                Ok(()) => shell.obey(&command).await,
                error => error,
            },
            None => match shell.listen(server).await {
                // The last line failed, and has said so.
                Ok(false) => Err(String::new()),
                other => other.map(|_| ()),
            },
        };
        shell.store.close(CLOSE_LIMIT).await;
        result
    })
}

/// The server, and the words of a command.
fn read(arguments: &[String]) -> Result<(&str, &[String]), String> {
    let rest = match arguments {
        // As a class it is given what Kafka's script puts before.
        [flag, rest @ ..] if flag == "-server" => rest,
        rest => rest,
    };
    let (server, mut rest) = rest.split_first().ok_or(USAGE)?;
    if server.starts_with('-') {
        return Err(format!("{server} stands where HOST:PORT is expected\n{USAGE}"));
    }
    loop {
        rest = match rest {
            [flag, _, rest @ ..] if flag == "-timeout" => rest,
            [flag, rest @ ..] if flag == "-waitforconnection" || flag == "-r" => rest,
            [flag, ..] if flag == "-zk-tls-config-file" => {
                return Err(
                    "-zk-tls-config-file: Ottla reaches ZooKeeper without TLS; use ZooKeeper's own shell"
                        .into(),
                );
            }
            rest => return Ok((server, rest)),
        };
    }
}

fn say(text: &str) -> Result<(), String> {
    let mut out = stdout().lock();
    finish(writeln!(out, "{text}").and_then(|()| out.flush()))
}

struct Shell {
    store: Remote,
    place: Place,
}

impl Shell {
    /// Obeys the lines of standard input; whether the last one succeeded.
    async fn listen(&self, server: &str) -> Result<bool, String> {
        let terminal = std::io::stdin().is_terminal();
        say(&format!("Welcome to ZooKeeper!\nJLine support is disabled\n{CONNECTED}"))?;
        let (mut input, mut number, mut fine) = (lines::read_ahead(), 0, true);
        let prompt = |number: u32| match terminal {
            true => {
                let mut out = stdout().lock();
                finish(write!(out, "[zk: {server}(CONNECTED) {number}] ").and_then(|()| out.flush()))
            }
            false => Ok(()),
        };
        prompt(number)?;
        while let Some(block) = input.recv().await {
            let block = block?;
            for line in String::from_utf8_lossy(&block).lines() {
                let words = words(line);
                if !words.is_empty() {
                    number += 1;
                    match command(&words) {
                        Ok(Command::Quit) => return say(CLOSED).map(|()| fine),
                        Ok(command) => fine = tell(self.obey(&command).await),
                        Err(error) => fine = tell(Err(error)),
                    }
                }
                prompt(number)?;
            }
        }
        Ok(fine)
    }

    async fn obey(&self, command: &Command) -> Result<(), String> {
        let done = match command {
            Command::Ls { path, recursive: true, .. } => self.list_all(path).await,
            Command::Ls { path, stat, .. } => self.list(path, *stat).await,
            Command::Get { path, stat, base64 } => self.get(path, *stat, *base64).await,
            Command::Stat { path } => self.stat(path).await.map(|stat| stat_text(&stat)),
            Command::Set { path, data, version, stat } => {
                let after = self.store.set(&self.place.full(path), data.as_bytes(), *version).await;
                after.map(|after| if *stat { stat_text(&after) } else { String::new() })
            }
            Command::Create { path, data, ephemeral, sequential } => {
                let mode = match (ephemeral, sequential) {
                    (true, _) => CreateMode::Ephemeral,
                    (_, true) => CreateMode::PersistentSequential,
                    _ => CreateMode::Persistent,
                };
                let made = self.store.create(&self.place.full(path), data.as_bytes(), mode).await;
                made.map(|made| {
                    eprintln!("Created {}", self.short(&made.path));
                    String::new()
                })
            }
            Command::Delete { path, .. } | Command::DeleteAll { path } if self.place.full(path) == "/" => {
                return Err(format!("Arguments are not valid : {path}"));
            }
            Command::Delete { path, version } => {
                self.store.delete(&self.place.full(path), *version).await.map(|()| String::new())
            }
            Command::DeleteAll { path } => self.delete_all(path).await,
            Command::GetAcl { path, stat } => self.acl(path, *stat).await,
            Command::Sync => self.store.sync().await.map(|()| "Sync is OK\n".into()),
            Command::Help => Ok(usage() + "\n"),
            Command::Quit => Ok(String::new()),
        };
        let text = done.map_err(|error| self.explain(error))?;
        let mut out = stdout().lock();
        finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// A path as the user names it.
    fn short<'a>(&self, path: &'a str) -> &'a str {
        let short = path.strip_prefix(&self.place.chroot).unwrap_or(path);
        if short.is_empty() { "/" } else { short }
    }

    /// In the words of ZooKeeper's shell.
    fn explain(&self, error: StoreError) -> String {
        match &error {
            StoreError::NoNode(path) => format!("Node does not exist: {}", self.short(path)),
            StoreError::NodeExists(path) => format!("Node already exists: {}", self.short(path)),
            StoreError::BadVersion(path) => format!("version No is not valid : {}", self.short(path)),
            StoreError::NotEmpty(path) => format!("Node not empty: {}", self.short(path)),
            StoreError::EphemeralParent(path) => {
                format!("Ephemerals cannot have children: {}", self.short(path))
            }
            StoreError::Unauthorized(path) => format!("Insufficient permission : {}", self.short(path)),
            other => other.to_string(),
        }
    }

    async fn stat(&self, path: &str) -> Result<Stat, StoreError> {
        let full = self.place.full(path);
        self.store.exists(&full).await?.ok_or(StoreError::NoNode(full))
    }

    async fn children(&self, full: &str) -> Result<(Vec<String>, Stat), StoreError> {
        let mut children = self.store.children(full).await?;
        children.names.sort();
        Ok((children.names, children.stat))
    }

    async fn list(&self, path: &str, with_stat: bool) -> Result<String, StoreError> {
        let (names, stat) = self.children(&self.place.full(path)).await?;
        let stat = if with_stat { stat_text(&stat) } else { String::new() };
        Ok(format!("[{}]\n{stat}", names.join(", ")))
    }

    /// A node's children before those of the first of them.
    async fn list_all(&self, path: &str) -> Result<String, StoreError> {
        let top = self.place.full(path);
        let mut text = format!("{path}\n");
        let mut open = vec![top.clone()];
        while let Some(full) = open.pop() {
            let names = match self.children(&full).await {
                Ok((names, _)) => names,
                // It went while we looked.
                Err(StoreError::NoNode(_)) if full != top => continue,
                Err(error) => return Err(error),
            };
            let below: Vec<String> =
                names.iter().map(|name| format!("{}/{name}", full.trim_end_matches('/'))).collect();
            for child in &below {
                text.push_str(self.short(child));
                text.push('\n');
            }
            open.extend(below.into_iter().rev());
        }
        Ok(text)
    }

    async fn get(&self, path: &str, with_stat: bool, base64: bool) -> Result<String, StoreError> {
        let full = self.place.full(path);
        let node = self.store.get(&full).await?.ok_or(StoreError::NoNode(full))?;
        let data = match base64 {
            _ if node.data.is_empty() => "null".into(),
            true => STANDARD.encode(&node.data),
            false => String::from_utf8_lossy(&node.data).into_owned(),
        };
        let stat = if with_stat { stat_text(&node.stat) } else { String::new() };
        Ok(format!("{data}\n{stat}"))
    }

    async fn delete_all(&self, path: &str) -> Result<String, StoreError> {
        let full = self.place.full(path);
        match delete_recursive(&self.store, &full).await? {
            true => Ok(String::new()),
            false => Err(StoreError::NoNode(full)),
        }
    }

    async fn acl(&self, path: &str, with_stat: bool) -> Result<String, StoreError> {
        let entries = self.store.acl(&self.place.full(path)).await?;
        let mut text = String::new();
        for entry in entries {
            let letters = [
                (perms::CREATE, 'c'),
                (perms::DELETE, 'd'),
                (perms::READ, 'r'),
                (perms::WRITE, 'w'),
                (perms::ADMIN, 'a'),
            ];
            let given: String =
                letters.iter().filter(|(bit, _)| entry.perms & bit != 0).map(|(_, letter)| letter).collect();
            text.push_str(&format!("'{},'{}\n: {given}\n", entry.id.scheme, entry.id.id));
        }
        if with_stat {
            text.push_str(&stat_text(&self.stat(path).await?));
        }
        Ok(text)
    }
}

/// Says why a line failed; whether it did not.
fn tell(result: Result<(), String>) -> bool {
    if let Err(error) = &result {
        eprintln!("{error}");
    }
    result.is_ok()
}

fn stat_text(stat: &Stat) -> String {
    format!(
        "cZxid = 0x{:x}\nctime = {}\nmZxid = 0x{:x}\nmtime = {}\npZxid = 0x{:x}\ncversion = {}\ndataVersion = {}\n\
         aclVersion = {}\nephemeralOwner = 0x{:x}\ndataLength = {}\nnumChildren = {}\n",
        stat.czxid,
        date(stat.ctime_ms),
        stat.mzxid,
        date(stat.mtime_ms),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
    )
}

/// A time as Java's `Date` prints it, in UTC: `Thu Jan 01 00:00:00 UTC 1970`.
fn date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [(&str, i64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    // Before 1970 no ZooKeeper ran, and after 9999 a stat is nonsense.
    let seconds = (ms / 1000).clamp(0, 253_402_300_799);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + i64::from(leap(year)) {
        left -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for (index, (_, length)) in MONTHS.iter().enumerate() {
        month = index;
        let length = length + i64::from(index == 1 && leap(year));
        if left < length {
            break;
        }
        left -= length;
    }
    let (weekday, name) = (DAYS[(days % 7) as usize], MONTHS[month].0);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {name} {:02} {hour:02}:{minute:02}:{second:02} UTC {year}", left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_printed_as_java_does() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(951_782_400_000), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(date(1_795_308_659_999), "Sun Nov 22 00:50:59 UTC 2026");
        assert_eq!(date(4_107_542_400_000), "Mon Mar 01 00:00:00 UTC 2100");
        assert_eq!(date(1_735_689_599_000), "Tue Dec 31 23:59:59 UTC 2024");
    }

    #[test]
    fn the_server_comes_first() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        let all = words("-server a:1/b -timeout 9 -r ls /");
        assert_eq!(read(&all).expect("fine"), ("a:1/b", &words("ls /")[..]));
        assert!(read(&[]).expect_err("nothing").starts_with("USAGE"));
        let error = read(&words("a:1 -zk-tls-config-file f")).expect_err("TLS");
        assert!(error.contains("without TLS"), "{error}");
    }
}
