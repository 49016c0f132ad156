//! `ottla produce`: the lines of standard input become records.
//!
//! Memory is bounded: input is read ahead by a few blocks, and what is collected is sent at a fixed size or when no
//! more input waits. Not idempotent: a batch whose answer is lost may be written twice. Source: `ConsoleProducer`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::connect::{self, BROKER_LIMIT_MS, Bootstrap, Client, Patience};
use super::explain::{explain, passes};
use super::lines::read_ahead;
use super::offsets::{self, Place, missing};
use super::output::count;
use super::partitioner::partition_of;
use crate::protocol::frame::{Chunk, Records};
use crate::protocol::messages::ProduceRequest;
use crate::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use crate::protocol::records::{BatchBuilder, BatchOptions, Compression, NewRecord};

/// A batch is full at this size before compression: below the broker's default message.max.bytes.
const BATCH_MAX: usize = 900 << 10;
/// Everything is sent when this much is collected.
const COLLECTED_MAX: usize = 8 << 20;

/// `ottla produce`.
#[derive(Debug, Args)]
pub struct Produce {
    /// The topic.
    topic: String,
    #[command(flatten)]
    at: Bootstrap,
    /// What stands between key and value; no keys without.
    #[arg(long)]
    key_separator: Option<String>,
    /// The codec.
    #[arg(long, value_enum, default_value_t)]
    compression: Codec,
    /// The partition; by key, or spread, without.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Who must have a record: all replicas in sync, the leader (1), nobody (0).
    #[arg(long, value_enum, default_value_t)]
    acks: Acks,
    /// Report as JSON, on standard error.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Copy, Clone, Default, ValueEnum)]
enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Copy, Clone, Default, ValueEnum)]
enum Acks {
    #[default]
    All,
    #[value(name = "1")]
    Leader,
    #[value(name = "0")]
    Nobody,
}

impl Produce {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        connect::run(async {
            let mut client = Client::connect(&self.at).await?;
            // Whether the topic is there is told before anything is read.
            client.topic(&self.topic).await?;
            let leaders = offsets::leaders(&mut client, std::slice::from_ref(&self.topic)).await?;
            let partitions = leaders.len();
            if let Some(partition) = self.partition.filter(|p| *p as usize >= partitions) {
                return Err(missing(&(self.topic, partition)));
            }
            let sticky = fastrand::usize(..partitions.max(1));
            let (open, command) = (BTreeMap::new(), &self);
            let mut sender = Sender {
                command,
                client,
                leaders,
                partitions,
                sticky,
                open,
                collected: 0,
                records: 0,
                bytes: 0,
            };
            sender.run().await
        })
    }

    fn codec(&self) -> Compression {
        match self.compression {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        }
    }
}

struct Sender<'a> {
    command: &'a Produce,
    client: Client,
    leaders: BTreeMap<Place, i32>,
    partitions: usize,
    /// Where records without key go until the batch is sent.
    sticky: usize,
    open: BTreeMap<i32, BatchBuilder>,
    collected: usize,
    records: u64,
    bytes: u64,
}

impl Sender<'_> {
    async fn run(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let bar = progress();
        let mut input = read_ahead();
        let mut line_number = 0;
        let result = async {
            while let Some(block) = input.recv().await {
                let block = block?;
                for line in block.split_inclusive(|byte| *byte == b'\n') {
                    line_number += 1;
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    self.add(line.strip_suffix(b"\r").unwrap_or(line), line_number).await?;
                }
                if input.is_empty() {
                    self.flush().await?;
                }
                bar.set_message(format!("{}, {} MiB", count(self.records, "record"), self.bytes >> 20));
                bar.tick();
            }
            self.flush().await
        }
        .await;
        bar.finish_and_clear();
        self.report(started.elapsed());
        result
    }

    async fn add(&mut self, line: &[u8], line_number: u64) -> Result<(), String> {
        let (key, value) = match &self.command.key_separator {
            None => (None, line),
            Some(separator) => split(line, separator.as_bytes()).ok_or_else(|| {
                format!(
                    "line {line_number} has no key separator {separator:?}; add one, or drop --key-separator"
                )
            })?,
        };
        let partition = match (self.command.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, self.partitions) as i32,
            (None, None) => self.sticky as i32,
        };
        let size = line.len() + 32;
        let full = self.open.get(&partition).is_some_and(|batch| batch.size_in_bytes() + size > BATCH_MAX);
        if full || self.collected + size > COLLECTED_MAX {
            self.flush().await?;
        }
        let codec = self.command.codec();
        let batch = self
            .open
            .entry(partition)
            .or_insert_with(|| BatchBuilder::new(BatchOptions { compression: codec, ..Default::default() }));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = NewRecord { timestamp: now.as_millis() as i64, key, value: Some(value), headers: &[] };
        batch.append(&record).map_err(|error| format!("line {line_number}: {error}; split it"))?;
        self.collected += size;
        Ok(())
    }

    /// Sends what is collected, and again what failed in a way that passes.
    async fn flush(&mut self) -> Result<(), String> {
        let mut waiting: BTreeMap<i32, (Bytes, u64)> = BTreeMap::new();
        for (partition, batch) in std::mem::take(&mut self.open) {
            let records = batch.count() as u64;
            let bytes =
                batch.finish().map_err(|error| format!("cannot write a batch: {error}; send less"))?;
            waiting.insert(partition, (bytes.into(), records));
        }
        self.collected = 0;
        self.sticky = (self.sticky + 1) % self.partitions.max(1);
        let patience = Patience::usual();
        while !waiting.is_empty() {
            if let Some(failure) = self.send(&mut waiting).await? {
                if !patience.wait().await {
                    return Err(failure);
                }
                let topic = std::slice::from_ref(&self.command.topic);
                self.leaders = offsets::leaders(&mut self.client, topic).await?;
            }
        }
        Ok(())
    }

    /// One try: what arrived leaves `waiting`; the last failure that passes is told.
    async fn send(&mut self, waiting: &mut BTreeMap<i32, (Bytes, u64)>) -> Result<Option<String>, String> {
        let topic = &self.command.topic;
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in waiting.keys() {
            let place = (topic.clone(), *partition);
            by_leader
                .entry(*self.leaders.get(&place).ok_or_else(|| missing(&place))?)
                .or_default()
                .push(*partition);
        }
        let mut failure = None;
        for (leader, partitions) in by_leader {
            let request = self.request(&partitions, waiting);
            if matches!(self.command.acks, Acks::Nobody) {
                self.client.tell(leader, &request).await?;
                partitions.iter().for_each(|partition| self.done(waiting.remove(partition)));
                continue;
            }
            let answer = match self.client.broker(leader, i16::MAX, &request).await {
                Ok(answer) => answer,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            for result in answer.responses.into_iter().flat_map(|topic| topic.partition_responses) {
                let text = || {
                    let what = format!("partition {topic}-{}", result.index);
                    explain(result.error_code, result.error_message.as_deref(), &what)
                };
                match result.error_code {
                    0 => self.done(waiting.remove(&result.index)),
                    code if passes(code) => failure = Some(text()),
                    _ => return Err(text()),
                }
            }
        }
        Ok(failure)
    }

    fn done(&mut self, sent: Option<(Bytes, u64)>) {
        if let Some((bytes, records)) = sent {
            self.records += records;
            self.bytes += bytes.len() as u64;
        }
    }

    fn request(&self, partitions: &[i32], waiting: &BTreeMap<i32, (Bytes, u64)>) -> ProduceRequest {
        let data = |index: &i32| PartitionProduceData {
            index: *index,
            records: waiting
                .get(index)
                .map(|(bytes, _)| Records::from_chunks(vec![Chunk::Bytes(bytes.clone())])),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: self.command.topic.clone(),
            partition_data: partitions.iter().map(data).collect(),
            ..Default::default()
        };
        let acks = match self.command.acks {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::Nobody => 0,
        };
        ProduceRequest { acks, timeout_ms: BROKER_LIMIT_MS, topic_data: vec![topic], ..Default::default() }
    }

    fn report(&self, took: Duration) {
        let seconds = took.as_secs_f64().max(1e-6);
        let (rate, mib) = (self.records as f64 / seconds, self.bytes as f64 / seconds / f64::from(1 << 20));
        match self.command.json {
            true => {
                eprintln!("{}", json!({"records": self.records, "bytes": self.bytes, "seconds": seconds}))
            }
            false => eprintln!(
                "sent {} in {seconds:.2} s ({rate:.0} records/s, {mib:.1} MiB/s)",
                count(self.records, "record")
            ),
        }
    }
}

fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(Option<&'a [u8]>, &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    Some((Some(&line[..at]), &line[at + separator.len()..]))
}

/// A spinner when input comes from a file and somebody looks.
fn progress() -> ProgressBar {
    if std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} sending: {msg}") {
        bar.set_style(style);
    }
    bar
}
