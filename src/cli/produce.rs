//! `ottla produce`: the lines of standard input become records.
//!
//! Memory is bounded: input is read ahead by a few blocks, and what is collected is sent when no more input waits.
//! Source: `ConsoleProducer`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::connect::{self, ANSWER_LIMIT, Bootstrap, Client};
use super::lines::read_ahead;
use super::offsets::missing;
use super::output::count;
use super::sending::{How, Outgoing, Sender};
use crate::protocol::records::Compression;

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
            let (topic, acks, compression) = (self.topic.clone(), self.acks(), self.codec());
            let how = How { topic, acks, compression, batch_size: None, patience: ANSWER_LIMIT };
            let mut sender = Sender::new(client, how).await?;
            if let Some(partition) = self.partition.filter(|p| *p as usize >= sender.partitions()) {
                return Err(missing(&(self.topic, partition)));
            }
            let started = Instant::now();
            let bar = progress();
            let result = self.send_lines(&mut sender, &bar).await;
            bar.finish_and_clear();
            self.report(&sender, started.elapsed());
            result
        })
    }

    async fn send_lines(&self, sender: &mut Sender, bar: &ProgressBar) -> Result<(), String> {
        let mut input = read_ahead();
        let mut line_number = 0;
        while let Some(block) = input.recv().await {
            let block = block?;
            for line in block.split_inclusive(|byte| *byte == b'\n') {
                line_number += 1;
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let record = self.record(line.strip_suffix(b"\r").unwrap_or(line), line_number)?;
                sender.add(&record).await?;
            }
            if input.is_empty() {
                sender.flush().await?;
            }
            let (records, bytes) = sender.sent();
            bar.set_message(format!("{}, {} MiB", count(records, "record"), bytes >> 20));
            bar.tick();
        }
        sender.flush().await
    }

    fn record<'a>(&self, line: &'a [u8], line_number: u64) -> Result<Outgoing<'a>, String> {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => split(line, separator.as_bytes()).ok_or_else(|| {
                format!(
                    "line {line_number} has no key separator {separator:?}; add one, or drop --key-separator"
                )
            })?,
        };
        Ok(Outgoing { partition: self.partition, key, value: Some(value), headers: &[] })
    }

    fn acks(&self) -> i16 {
        match self.acks {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::Nobody => 0,
        }
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

    fn report(&self, sender: &Sender, took: Duration) {
        let seconds = took.as_secs_f64().max(1e-6);
        let (records, bytes) = sender.sent();
        let (rate, mib) = (records as f64 / seconds, bytes as f64 / seconds / f64::from(1 << 20));
        match self.json {
            true => {
                eprintln!("{}", json!({"records": records, "bytes": bytes, "seconds": seconds}))
            }
            false => eprintln!(
                "sent {} in {seconds:.2} s ({rate:.0} records/s, {mib:.1} MiB/s)",
                count(records, "record")
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
