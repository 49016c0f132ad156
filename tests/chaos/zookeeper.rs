//! A reader of ZooKeeper of its own: what the cluster has decided, seen by nobody's broker.
//!
//! One blocking socket and four requests (connect, getData, getChildren, delete) in ZooKeeper's own wire format; it shares
//! no code with the brokers under test. From the znodes it makes a [`View`]: the controller, who is registered, and
//! each partition's leader, ISR and epochs. An election is a step of a leader epoch, an ISR change a step of the
//! state znode's version, so none is missed between two views.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::process::failed;

const DELETE: i32 = 2;
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const NO_NODE: i32 = -101;
const LIMIT: Duration = Duration::from_secs(2);
const SESSION_MS: i32 = 10_000;
/// No znode or list of children read here is longer.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// From the start of a Stat to its version.
const STAT_VERSION_AT: usize = 32;

/// One partition's `state` znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Broker id; -1 when there is none.
    pub leader: i64,
    /// Raised by each election.
    pub leader_epoch: i64,
    /// Broker ids.
    pub isr: Vec<i64>,
    /// Of the znode: raised by each change.
    pub version: i32,
    /// Broker ids, the preferred leader first.
    pub assigned: Vec<i64>,
}

/// What ZooKeeper says of the cluster.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Broker id of the controller.
    pub controller: Option<i64>,
    /// Raised by each controller.
    pub controller_epoch: i64,
    /// Registered brokers.
    pub live: Vec<i64>,
    /// By `topic/partition`.
    pub partitions: BTreeMap<String, State>,
}

impl View {
    /// Elections so far.
    pub fn elections(&self) -> i64 {
        self.partitions.values().map(|state| state.leader_epoch).sum()
    }

    /// Changes of `state` znodes so far, elections included.
    pub fn state_changes(&self) -> i64 {
        self.partitions.values().map(|state| i64::from(state.version)).sum()
    }

    /// Whether `brokers` are registered, and every partition has all replicas in its ISR and a leader among them.
    pub fn whole(&self, brokers: usize) -> bool {
        let whole =
            |state: &State| state.isr.len() == state.assigned.len() && state.isr.contains(&state.leader);
        self.live.len() == brokers && self.controller.is_some() && self.partitions.values().all(whole)
    }
}

/// One session.
pub struct Reader {
    socket: TcpStream,
    next: i32,
}

impl Reader {
    /// Opens a session with the first of `servers` that answers.
    pub fn open(servers: &[SocketAddr]) -> io::Result<Reader> {
        let mut last = failed("no server");
        for server in servers {
            match Reader::open_one(server) {
                Ok(reader) => return Ok(reader),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn open_one(server: &SocketAddr) -> io::Result<Reader> {
        let socket = TcpStream::connect_timeout(server, LIMIT)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_nodelay(true)?;
        let mut reader = Reader { socket, next: 1 };
        let mut connect = vec![0; 12];
        connect.extend(SESSION_MS.to_be_bytes());
        connect.extend(0i64.to_be_bytes());
        connect.extend(16i32.to_be_bytes());
        connect.extend([0; 17]);
        reader.send(&connect)?;
        reader.receive()?;
        Ok(reader)
    }

    fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let mut frame = (body.len() as i32).to_be_bytes().to_vec();
        frame.extend(body);
        self.socket.write_all(&frame)
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(failed(format!("ZooKeeper announces {length} bytes")));
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        Ok(body)
    }

    /// The body of the answer; `None` if there is no such znode.
    fn ask(&mut self, operation: i32, path: &str) -> io::Result<Option<Vec<u8>>> {
        let mut body = self.next.to_be_bytes().to_vec();
        self.next += 1;
        body.extend(operation.to_be_bytes());
        body.extend((path.len() as i32).to_be_bytes());
        body.extend(path.as_bytes());
        body.push(0);
        self.send(&body)?;
        let mut answer = self.receive()?;
        match integer(&answer, 12)? {
            0 => Ok(Some(answer.split_off(16))),
            NO_NODE => Ok(None),
            error => Err(failed(format!("ZooKeeper answers {error} for {path}"))),
        }
    }

    /// A znode's JSON and version.
    fn json(&mut self, path: &str) -> io::Result<Option<(Value, i32)>> {
        let Some(body) = self.ask(GET_DATA, path)? else { return Ok(None) };
        let length = usize::try_from(integer(&body, 0)?).unwrap_or(0);
        let data = body.get(4..4 + length).ok_or_else(|| failed("a short answer of ZooKeeper"))?;
        let version = integer(&body, 4 + length + STAT_VERSION_AT)?;
        let value = serde_json::from_slice(data).map_err(|error| failed(format!("{path}: {error}")))?;
        Ok(Some((value, version)))
    }

    fn children(&mut self, path: &str) -> io::Result<Vec<String>> {
        let Some(body) = self.ask(GET_CHILDREN, path)? else { return Ok(vec![]) };
        let count = integer(&body, 0)?;
        let (mut at, mut names) = (4, vec![]);
        for _ in 0..count {
            let length = usize::try_from(integer(&body, at)?).unwrap_or(0);
            let name =
                body.get(at + 4..at + 4 + length).ok_or_else(|| failed("a short answer of ZooKeeper"))?;
            names.push(String::from_utf8_lossy(name).into_owned());
            at += 4 + length;
        }
        Ok(names)
    }

    /// Whether a broker of that id is registered.
    pub fn is_registered(&mut self, id: usize) -> io::Result<bool> {
        Ok(self.ask(GET_DATA, &format!("/brokers/ids/{id}"))?.is_some())
    }

    /// Takes a znode away, so that whoever watches it acts.
    pub fn delete(&mut self, path: &str) -> io::Result<()> {
        // The version of any: -1, after the path, where the other requests have their watch.
        let mut body = self.next.to_be_bytes().to_vec();
        self.next += 1;
        body.extend(DELETE.to_be_bytes());
        body.extend((path.len() as i32).to_be_bytes());
        body.extend(path.as_bytes());
        body.extend((-1i32).to_be_bytes());
        self.send(&body)?;
        match integer(&self.receive()?, 12)? {
            0 | NO_NODE => Ok(()),
            error => Err(failed(format!("ZooKeeper answers {error} to the deletion of {path}"))),
        }
    }

    /// The cluster, with the partitions of `topics`.
    pub fn view(&mut self, topics: &[String]) -> io::Result<View> {
        let live = self.children("/brokers/ids")?;
        let number = |value: &Value, name: &str| value[name].as_i64().unwrap_or(-1);
        let mut view = View {
            controller: self.json("/controller")?.map(|(json, _)| number(&json, "brokerid")),
            controller_epoch: self
                .json("/controller_epoch")?
                .and_then(|(json, _)| json.as_i64())
                .unwrap_or(0),
            live: live.iter().filter_map(|id| id.parse().ok()).collect(),
            partitions: BTreeMap::new(),
        };
        for topic in topics {
            let Some((assignment, _)) = self.json(&format!("/brokers/topics/{topic}"))? else { continue };
            let root = format!("/brokers/topics/{topic}/partitions");
            for partition in self.children(&root)? {
                let Some((json, version)) = self.json(&format!("{root}/{partition}/state"))? else {
                    continue;
                };
                let state = State {
                    leader: number(&json, "leader"),
                    leader_epoch: number(&json, "leader_epoch"),
                    isr: integers(&json["isr"]),
                    version,
                    assigned: integers(&assignment["partitions"][partition.as_str()]),
                };
                view.partitions.insert(format!("{topic}/{partition}"), state);
            }
        }
        Ok(view)
    }
}

fn integers(json: &Value) -> Vec<i64> {
    json.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_i64).collect()
}

fn integer(bytes: &[u8], at: usize) -> io::Result<i32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(i32::from_be_bytes).ok_or_else(|| failed("a short answer of ZooKeeper"))
}
