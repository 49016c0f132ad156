//! `ottla znodes`: look at a ZooKeeper tree, read only.
//!
//! What znodes mean is told by `meaning`. Source: `zkCli.sh ls, get, tree`.

use std::time::Duration;

use clap::{Args, Subcommand};
use ottla_zk::store::{Node, Remote, Stat, Store, StoreError, join_all};
use serde_json::{Value, json};

use super::connect;
use super::meaning;
use super::output::{Output, count, print, table};
use super::zookeeper::{Place, WAVE};

/// `ottla znodes`.
#[derive(Debug, Args)]
pub struct Znodes {
    /// The servers, HOST:PORT with commas between, and perhaps /CHROOT.
    #[arg(long, default_value = "127.0.0.1:2181", value_name = "HOST:PORT,..", global = true)]
    zookeeper: String,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The children of a znode.
    Ls {
        /// The znode.
        #[arg(default_value = "/")]
        path: String,
    },
    /// The data of a znode, and its stat.
    Get {
        /// The znode.
        path: String,
    },
    /// What a znode is, who writes it, who watches it, and what it says.
    Explain {
        /// The znode.
        path: String,
    },
    /// A znode and all below it, with the bytes each holds.
    Tree {
        /// The znode.
        #[arg(default_value = "/")]
        path: String,
        /// Levels below it.
        #[arg(long, default_value_t = 32)]
        depth: u32,
    },
}

struct Tree {
    store: Remote,
    place: Place,
}

impl Znodes {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        let place = Place::parse(&self.zookeeper)?;
        connect::run(async {
            let store = place.open("name it with --zookeeper").await?;
            let tree = Tree { store, place };
            let result = tree.run(&self.action, &self.output).await;
            tree.store.close(Duration::from_secs(1)).await;
            result
        })
    }
}

impl Tree {
    async fn run(&self, action: &Action, output: &Output) -> Result<(), String> {
        match action {
            Action::Ls { path } => self.ls(&self.full(path)?, output).await,
            Action::Get { path } => self.get(&self.full(path)?, output).await,
            Action::Explain { path } => self.explain(&self.full(path)?, output).await,
            Action::Tree { path, depth } => self.tree(&self.full(path)?, *depth, output).await,
        }
    }

    fn full(&self, path: &str) -> Result<String, String> {
        if !path.starts_with('/') {
            return Err(format!("{path:?} is no path of a znode; start it with /"));
        }
        Ok(self.place.full(path))
    }

    fn missing(&self, path: &str) -> String {
        format!("{path}: no such znode on {}; see `ottla znodes ls` of its parent", self.place.servers)
    }

    async fn node(&self, path: &str) -> Result<Node, String> {
        let node = self.store.get(path).await.map_err(|error| error.to_string())?;
        node.ok_or_else(|| self.missing(path))
    }

    /// Sorted names of the children; none if the znode is gone.
    async fn names(&self, path: &str) -> Result<Vec<String>, String> {
        match self.store.children(path).await {
            Ok(mut children) => {
                children.names.sort();
                Ok(children.names)
            }
            Err(StoreError::NoNode(_)) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The children with their stats; those that went meanwhile are left out.
    async fn children(&self, path: &str) -> Result<Vec<(String, Stat)>, String> {
        let mut children = Vec::new();
        for names in self.names(path).await?.chunks(WAVE) {
            let paths: Vec<String> = names.iter().map(|name| join(path, name)).collect();
            let stats = join_all(paths.iter().map(|path| self.store.exists(path)).collect()).await;
            for (name, stat) in names.iter().zip(stats) {
                let stat = stat.map_err(|error| error.to_string())?;
                children.extend(stat.map(|stat| (name.clone(), stat)));
            }
        }
        Ok(children)
    }

    async fn ls(&self, path: &str, output: &Output) -> Result<(), String> {
        self.node(path).await?;
        let (mut rows, mut json) = (Vec::new(), Vec::new());
        for (name, stat) in self.children(path).await? {
            let kind = if stat.ephemeral_owner != 0 { "ephemeral" } else { "" };
            json.push(json!({
                "name": name, "bytes": stat.data_length, "children": stat.num_children,
                "version": stat.version, "ephemeral": stat.ephemeral_owner != 0,
            }));
            let numbers =
                [stat.data_length, stat.num_children, stat.version].map(|number| number.to_string());
            let [bytes, children, version] = numbers;
            rows.push(vec![name, bytes, children, version, kind.to_owned()]);
        }
        let columns =
            [("NAME", false), ("BYTES", true), ("CHILDREN", true), ("VERSION", true), ("KIND", false)];
        output.rows(&columns, rows, Value::Array(json))
    }

    async fn get(&self, path: &str, output: &Output) -> Result<(), String> {
        let Node { data, stat } = self.node(path).await?;
        let parsed = serde_json::from_slice::<Value>(&data).ok();
        let facts = stat_rows(&stat);
        if output.is_json() {
            let text = || Value::from(String::from_utf8_lossy(&data).into_owned());
            let facts: serde_json::Map<String, Value> =
                facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            return output
                .line("", json!({"path": path, "data": parsed.unwrap_or_else(text), "stat": facts}));
        }
        let shown = match parsed {
            Some(json) => format!("{json:#}"),
            None if data.is_empty() => "(no data)".into(),
            None => String::from_utf8_lossy(&data).into_owned(),
        };
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), text(value)]).collect();
        print(&format!("{shown}\n\n{}", table(&[("STAT", false), ("VALUE", true)], rows)))
    }

    async fn explain(&self, path: &str, output: &Output) -> Result<(), String> {
        let Node { data, stat } = self.node(path).await?;
        let inside = path.strip_prefix(&self.place.chroot).unwrap_or(path);
        let Some(meaning) = meaning::of(inside, &data) else {
            return Err(format!(
                "{path}: Kafka 3.9 has no such znode; see what it holds with `ottla znodes get`"
            ));
        };
        let kind = if stat.ephemeral_owner != 0 { "ephemeral" } else { "persistent" };
        let (says, trouble) = match meaning.says {
            Ok(says) => (says, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        if output.is_json() {
            return output.line(
                "",
                json!({
                    "path": path, "what": meaning.what, "kind": kind, "written_by": meaning.written_by,
                    "watched_by": meaning.watched_by, "says": says, "unreadable": trouble,
                }),
            );
        }
        let said = says.into_iter().chain(trouble.map(|why| format!("cannot be read: {why}")));
        let facts = [
            ("is", meaning.what),
            ("kind", format!("{kind}, version {}", stat.version)),
            ("written by", meaning.written_by.to_owned()),
            ("watched by", meaning.watched_by.to_owned()),
        ];
        let said = said.enumerate().map(|(n, line)| (if n == 0 { "says" } else { "" }, line));
        let lines = facts.into_iter().chain(said).map(|(name, text)| format!("{name:<12}{text}"));
        print(&format!("{path}\n{}", lines.collect::<Vec<String>>().join("\n")))
    }

    /// Walks depth first with a stack of its own: memory is one path's children, and printing starts at once.
    async fn tree(&self, path: &str, depth: u32, output: &Output) -> Result<(), String> {
        let stat = self.node(path).await?.stat;
        let mut stack = vec![(path.to_owned(), path.to_owned(), 0, stat)];
        let (mut json, mut nodes, mut bytes) = (Vec::new(), 0, 0);
        while let Some((full, name, level, stat)) = stack.pop() {
            nodes += 1;
            bytes += i64::from(stat.data_length);
            if output.is_json() {
                let ephemeral = stat.ephemeral_owner != 0;
                json.push(json!({"path": full, "bytes": stat.data_length, "ephemeral": ephemeral}));
            } else {
                print(&line(&name, level, &stat))?;
            }
            if level < depth && stat.num_children > 0 {
                let children = self.children(&full).await?.into_iter().rev();
                stack.extend(children.map(|(name, stat)| (join(&full, &name), name, level + 1, stat)));
            }
        }
        output.line(&format!("{}, {bytes} bytes", count(nodes, "znode")), Value::Array(json))
    }
}

fn line(name: &str, level: u32, stat: &Stat) -> String {
    let indent = "  ".repeat(level as usize);
    let size = if stat.data_length > 0 { format!("  {} B", stat.data_length) } else { String::new() };
    let kind = if stat.ephemeral_owner != 0 { "  ephemeral" } else { "" };
    format!("{indent}{name}{size}{kind}")
}

fn join(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}

fn stat_rows(stat: &Stat) -> Vec<(&'static str, Value)> {
    vec![
        ("version", stat.version.into()),
        ("children", stat.num_children.into()),
        ("bytes", stat.data_length.into()),
        ("created_ms", stat.ctime_ms.into()),
        ("changed_ms", stat.mtime_ms.into()),
        ("czxid", stat.czxid.into()),
        ("mzxid", stat.mzxid.into()),
        ("pzxid", stat.pzxid.into()),
        ("children_version", stat.cversion.into()),
        ("acl_version", stat.aversion.into()),
        ("ephemeral_owner", format!("{:#x}", stat.ephemeral_owner).into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join() {
        assert_eq!(join("/", "brokers"), "/brokers");
        assert_eq!(join("/brokers", "ids"), "/brokers/ids");
    }
}
