//! What clients did: one operation a line of JSON, as the drivers write them (see `../README.md`).
//!
//! Keys are partitions, values are unique integers whose upper bits name their producer. A line that is not
//! an operation is an error of the rig, never of a broker.

use std::collections::HashMap;

use serde_json::Value;

/// Bits of a value that count; those above name the producer.
pub const COUNT_BITS: u32 = 40;

/// What the client knows of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Ok,
    /// Certainly not done.
    Fail,
    /// Unknown.
    Info,
}

/// A partition of the workload, by its place in [`Keys`].
pub type Key = usize;

/// Names of the partitions.
#[derive(Default)]
pub struct Keys {
    names: Vec<String>,
    by_name: HashMap<String, Key>,
}

impl Keys {
    /// The key of `topic/partition`.
    pub fn of(&mut self, name: &str) -> Key {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// `topic/partition` of the key.
    pub fn name(&self, key: Key) -> &str {
        &self.names[key]
    }
}

/// One operation. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A producer begins.
    Producer { id: u64, idempotent: bool },
    /// A producer began anew after a fatal error: what was under way may land behind what follows.
    Renewed { id: u64 },
    /// One record. The offset is known when the broker told it.
    Send { key: Key, value: u64, end: i64, outcome: Outcome, offset: Option<i64> },
    /// A reader begins, or begins anew, at these offsets.
    Assign { process: u64, from: Vec<(Key, i64)> },
    /// One poll: per key what it read, in order, as (offset, value).
    Poll { process: u64, got: Vec<(Key, Vec<(i64, u64)>)> },
    /// Offsets were committed, or perhaps were.
    Commit { process: u64, offsets: Vec<(Key, i64)>, ok: bool },
    /// What the coordinator says is committed; -1 where nothing is.
    Committed { process: u64, offsets: Vec<(Key, i64)> },
    /// A reader of everything came to the end of every partition, or gave up.
    Final { complete: bool },
    /// The driver ended in order.
    End,
}

/// Reads one line; the error says what is wrong with it.
pub fn parse(line: &str, keys: &mut Keys) -> Result<Op, String> {
    let json: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line:.200}"))?;
    parse_value(&json, keys).ok_or_else(|| format!("not an operation: {line:.200}"))
}

fn parse_value(json: &Value, keys: &mut Keys) -> Option<Op> {
    let id = || json["id"].as_u64();
    Some(match json["op"].as_str()? {
        "producer" => Op::Producer { id: id()?, idempotent: json["idempotent"].as_bool()? },
        "renewed" => Op::Renewed { id: id()? },
        "send" => {
            let outcome = match json["r"].as_str()? {
                "ok" => Outcome::Ok,
                "fail" => Outcome::Fail,
                "info" => Outcome::Info,
                _ => return None,
            };
            // A retry that met its own first attempt may be told no offset (below 0).
            let offset = json["o"].as_i64().filter(|offset| *offset >= 0);
            let key = keys.of(json["k"].as_str()?);
            Op::Send { key, value: json["v"].as_u64()?, end: json["e"].as_i64()?, outcome, offset }
        }
        "assign" => Op::Assign { process: id()?, from: offsets(&json["from"], keys)? },
        "poll" => {
            let mut got = vec![];
            for (name, records) in json["got"].as_object()? {
                let pair = |record: &Value| Some((record[0].as_i64()?, record[1].as_u64()?));
                let records: Option<Vec<_>> = records.as_array()?.iter().map(pair).collect();
                got.push((keys.of(name), records?));
            }
            Op::Poll { process: id()?, got }
        }
        "commit" => {
            let ok = json["r"].as_str()? == "ok";
            Op::Commit { process: id()?, offsets: offsets(&json["offsets"], keys)?, ok }
        }
        "committed" => Op::Committed { process: id()?, offsets: offsets(&json["offsets"], keys)? },
        "final" => Op::Final { complete: json["complete"].as_bool()? },
        "end" => Op::End,
        _ => return None,
    })
}

fn offsets(json: &Value, keys: &mut Keys) -> Option<Vec<(Key, i64)>> {
    json.as_object()?.iter().map(|(name, offset)| Some((keys.of(name), offset.as_i64()?))).collect()
}
