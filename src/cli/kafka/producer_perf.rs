//! `kafka-producer-perf-test`: writes records as fast as a cluster takes them, and says how fast that was.
//!
//! Batches, requests in flight, linger and memory are as in Kafka's producer and with its defaults, so that figures can be
//! laid beside those of Kafka's tool; but there are no producer ids, and what fills a batch is counted before it is
//! compressed. Records have no key: one partition gets a whole batch, then another. Source: `ProducerPerformance`,
//! `ThroughputThrottler`, `KafkaProducer`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::arguments::{Arguments, Program, Takes};
use super::client_config::{self, Properties};
use super::perf_payload::Payload;
use super::perf_pipeline::{Pipeline, Way, now_ms};
use super::perf_stats::{Mark, Stats};
use super::producer_settings::{acks, compression, count, millis};
use crate::cli::connect::Client;
use crate::cli::offsets;
use crate::cli::output::print;
use crate::protocol::records::{BatchBuilder, BatchOptions, Compression, NewRecord};

/// Settings that are honoured, or that need not be: how bytes are bytes, and what is tried again until when.
const KNOWN: [&str; 18] = [
    "acks",
    "batch.size",
    "bootstrap.servers",
    "buffer.memory",
    "client.id",
    "compression.type",
    "delivery.timeout.ms",
    "key.serializer",
    "linger.ms",
    "max.block.ms",
    "max.in.flight.requests.per.connection",
    "max.request.size",
    "partitioner.class",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
    "security.protocol",
    "value.serializer",
];
/// What a record takes in a batch besides its value, at most.
const RECORD_OVERHEAD: usize = 32;
/// A test that is so far ahead of its time takes a rest.
const AHEAD: Duration = Duration::from_millis(2);
/// Between two looks for the topic.
const PAUSE: Duration = Duration::from_millis(100);
const SIZE: &str = "--record-size";
const FILE: &str = "--payload-file";
const NUMBERS: &str = "--payload-monotonic";

static PROGRAM: Program = Program {
    name: "producer-performance",
    usage: "usage: producer-performance [-h] --topic TOPIC --num-records NUM-RECORDS [--payload-delimiter \
            PAYLOAD-DELIMITER] --throughput THROUGHPUT [--producer-props PROP-NAME=PROP-VALUE [PROP-NAME=PROP-VALUE ...]] \
            [--producer.config CONFIG-FILE] [--print-metrics] (--record-size RECORD-SIZE | --payload-file PAYLOAD-FILE | \
            --payload-monotonic)",
    help: "
This tool is used to verify the producer performance.

  --topic             the topic that gets the records
  --num-records       how many
  --throughput        at most so many a second; -1 for as many as can be
  --record-size       records are so many chance letters
  --payload-file      records are chance pieces of this UTF-8 file
  --payload-delimiter what stands between the pieces, an expression; the end of a line unless given
  --payload-monotonic records are numbers that count up
  --producer-props    settings of the producer, bootstrap.servers among them; they win over the file
  --producer.config   a property file with settings of the producer
  --print-metrics     says at the end what the client has counted",
    options: &[
        ("--topic", Takes::One),
        ("--num-records", Takes::One),
        (SIZE, Takes::One),
        (FILE, Takes::One),
        ("--payload-delimiter", Takes::One),
        (NUMBERS, Takes::Nothing),
        ("--throughput", Takes::One),
        ("--producer-props", Takes::Many),
        ("--producer.config", Takes::One),
        ("--print-metrics", Takes::Nothing),
        ("--transactional-id", Takes::One),
        ("--transaction-duration-ms", Takes::One),
    ],
};

/// Runs the tool: records are made on this thread, and sent on another.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let job = Job::new(&PROGRAM.read(arguments)?)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(
            |error| format!("cannot start the runtime: {error}; check the limits of this process"),
        )?;
    let result = runtime.block_on(job.run());
    runtime.shutdown_background();
    result
}

/// What is to be done.
struct Job {
    servers: String,
    way: Way,
    batch_size: usize,
    compression: Compression,
    linger_ms: i64,
    max_block: Duration,
    records: u64,
    /// Records a second, if there is a limit.
    rate: Option<f64>,
    payload: Payload,
    prints_metrics: bool,
}

impl Job {
    fn new(arguments: &Arguments) -> Result<Job, String> {
        arguments.require(&["--topic", "--num-records", "--throughput"])?;
        arguments.require_one(&[SIZE, FILE, NUMBERS])?;
        let records = arguments.number::<i64>("--num-records", "Long")?.unwrap_or(0);
        let records = u64::try_from(records).ok().filter(|records| *records > 0);
        let records = records.ok_or_else(|| arguments.wrong("--num-records should be greater than zero"))?;
        if let (None, None) = (arguments.values("--producer-props"), arguments.value("--producer.config")) {
            return Err(arguments.wrong("Either --producer-props or --producer.config must be specified."));
        }
        let duration = arguments.number::<i64>("--transaction-duration-ms", "Long")?;
        let settings = settings(arguments)?;
        if duration.is_some_and(|duration| duration > 0) || settings.contains_key("transactional.id") {
            return Err("Ottla has no transactions yet, neither this tool nor its brokers: leave out \
                        --transactional-id, --transaction-duration-ms and transactional.id"
                .into());
        }
        let rate = arguments.number::<f64>("--throughput", "Double")?.filter(|rate| *rate >= 0.0);
        if rate == Some(0.0) {
            return Err(arguments.wrong("--throughput 0 would never end; take -1 for no limit"));
        }
        let usual = Duration::from_secs;
        let servers = settings.get("bootstrap.servers").cloned().unwrap_or_default();
        client_config::check_servers(&servers)
            .map_err(|why| format!("bootstrap.servers={servers} in --producer-props: {}", why.trim_end()))?;
        let way = Way {
            topic: arguments.value("--topic").unwrap_or_default().to_owned(),
            client_id: settings.get("client.id").cloned().unwrap_or("perf-producer-client".into()),
            acks: acks(settings.get("acks").map(String::as_str))?,
            in_flight: count(&settings, "max.in.flight.requests.per.connection", 1, 5)?,
            request_max: count(&settings, "max.request.size", 0, 1 << 20)?,
            memory: count(&settings, "buffer.memory", 1, 32 << 20)?.min(1 << 31),
            request_timeout: millis(&settings, "request.timeout.ms", usual(30))?,
            delivery_timeout: millis(&settings, "delivery.timeout.ms", usual(120))?,
        };
        Ok(Job {
            servers,
            way,
            batch_size: count(&settings, "batch.size", 0, 16 << 10)?,
            compression: compression(settings.get("compression.type").map_or("none", String::as_str))?,
            linger_ms: millis(&settings, "linger.ms", Duration::ZERO)?.as_millis() as i64,
            max_block: millis(&settings, "max.block.ms", usual(60))?,
            records,
            rate,
            payload: payload(arguments)?,
            prints_metrics: arguments.has("--print-metrics"),
        })
    }

    async fn run(mut self) -> Result<(), String> {
        let mut client = self.connect().await?;
        let leaders = offsets::leaders(&mut client, std::slice::from_ref(&self.way.topic)).await?;
        let partitions = leaders.len();
        let stats = Arc::new(Mutex::new(Stats::new(self.records, now_ms())));
        let pipeline = Pipeline::open(client, leaders, self.way.clone(), stats);
        let (options, began) =
            (BatchOptions { compression: self.compression, ..Default::default() }, Instant::now());
        let mut open = Open::new(options, self.batch_size);
        for number in 0..self.records {
            let value = self.payload.next(number);
            if open.is_full(value.len()) {
                open.send(&pipeline, partitions).await?;
            }
            let now = now_ms();
            open.add(value, now)?;
            if open.is_due(now, self.linger_ms) && pipeline.is_idle() {
                open.send(&pipeline, partitions).await?;
            }
            let due = self.rate.map(|rate| began + Duration::from_secs_f64((number + 1) as f64 / rate));
            while let Some(due) = due.filter(|due| *due > Instant::now() + AHEAD) {
                if open.is_due(now_ms(), self.linger_ms) {
                    open.send(&pipeline, partitions).await?;
                }
                let left = open.left(now_ms(), self.linger_ms);
                let until = left.map_or(due, |left| due.min(Instant::now() + left));
                tokio::time::sleep_until(until.into()).await;
            }
        }
        open.send(&pipeline, partitions).await?;
        pipeline.drain().await;
        let mut stats = pipeline.stats();
        print(&stats.total_line(now_ms()))?;
        if self.prints_metrics {
            let id = &self.way.client_id;
            let rows = stats.metrics(now_ms());
            let name = |name: &str| format!("producer-metrics:{name}:{{client-id={id}}}");
            print_metrics(rows.into_iter().map(|(metric, value)| (name(metric), value)).collect())?;
        }
        Ok(())
    }

    /// Waits until there is a broker and the topic.
    async fn connect(&self) -> Result<Client, String> {
        let (until, topic) = (Instant::now() + self.max_block, &self.way.topic);
        loop {
            let problem = match Client::open(&self.servers, &self.way.client_id, Duration::ZERO).await {
                Err(error) => error,
                Ok(mut client) => match client.find_or_make(topic).await? {
                    true => return Ok(client),
                    false => format!(
                        "Topic {topic} not present in metadata after {} ms.",
                        self.max_block.as_millis()
                    ),
                },
            };
            if Instant::now() >= until {
                return Err(format!("org.apache.kafka.common.errors.TimeoutException: {problem}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Settings of the producer; one note names those that change nothing.
fn settings(arguments: &Arguments) -> Result<Properties, String> {
    let pairs: Vec<&str> =
        arguments.values("--producer-props").unwrap_or_default().iter().map(String::as_str).collect();
    if let Some(wrong) = pairs.iter().find(|pair| !pair.contains('=') || pair.ends_with('=')) {
        return Err(format!("java.lang.IllegalArgumentException: Invalid property: {wrong}"));
    }
    let settings = client_config::read(arguments.value("--producer.config"), &pairs)?;
    let idle: Vec<&str> = settings.keys().map(String::as_str).filter(|key| !KNOWN.contains(key)).collect();
    if !idle.is_empty() && !settings.contains_key("transactional.id") {
        eprintln!("note: producer properties without effect here: {}", idle.join(", "));
    }
    Ok(settings)
}

fn payload(arguments: &Arguments) -> Result<Payload, String> {
    if let Some(size) = arguments.number::<i32>(SIZE, "Integer")? {
        let size = usize::try_from(size).ok().filter(|size| *size > 0);
        let size = size.ok_or_else(|| arguments.wrong("--record-size should be greater than zero"))?;
        return Ok(Payload::random(size));
    }
    match arguments.value(FILE) {
        None => Ok(Payload::Number(Vec::new())),
        Some(path) => Payload::file(path, arguments.value("--payload-delimiter").unwrap_or("\n")),
    }
}

/// The batch that is being filled.
struct Open {
    options: BatchOptions,
    size: usize,
    batch: BatchBuilder,
    marks: Vec<Mark>,
}

impl Open {
    fn new(options: BatchOptions, size: usize) -> Open {
        Open { options, size, batch: BatchBuilder::new(options), marks: Vec::new() }
    }

    /// Whether another value does not fit; one alone always does.
    fn is_full(&self, value: usize) -> bool {
        !self.batch.is_empty() && self.batch.size_in_bytes() + value + RECORD_OVERHEAD > self.size
    }

    fn add(&mut self, value: &[u8], now: i64) -> Result<(), String> {
        let record = NewRecord { timestamp: now, key: None, value: Some(value), headers: &[] };
        self.batch.append(&record).map_err(|error| format!("{error}; take a smaller --record-size"))?;
        let bytes = value.len() as u64;
        match self.marks.last_mut() {
            Some(mark) if mark.at_ms == now => {
                mark.records += 1;
                mark.bytes += bytes;
            }
            _ => self.marks.push(Mark { at_ms: now, records: 1, bytes }),
        }
        Ok(())
    }

    /// How long what is in it may wait for more.
    fn left(&self, now: i64, linger_ms: i64) -> Option<Duration> {
        let left = self.marks.first()?.at_ms + linger_ms - now;
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn is_due(&self, now: i64, linger_ms: i64) -> bool {
        self.left(now, linger_ms) == Some(Duration::ZERO)
    }

    /// Sends what is in it, if anything, to one of the partitions.
    async fn send(&mut self, pipeline: &Pipeline, partitions: usize) -> Result<(), String> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, BatchBuilder::new(self.options));
        let bytes = batch.finish().map_err(|error| format!("cannot write a batch: {error}"))?;
        let partition = fastrand::usize(..partitions.max(1)) as i32;
        pipeline.put(partition, bytes, std::mem::take(&mut self.marks)).await
    }
}

/// Metrics as `ToolsUtils.printMetrics` prints them.
pub fn print_metrics(mut rows: Vec<(String, f64)>) -> Result<(), String> {
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| format!("{name:width$} : {value:.3}"));
    let lines: Vec<String> =
        std::iter::once(format!("\n{:width$}   Value", "Metric Name")).chain(lines).collect();
    print(&lines.join("\n"))
}
