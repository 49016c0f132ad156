//! `kafka-consumer-perf-test`: reads a topic as a member of a group, and says how fast that was.
//!
//! Sums are looked at after each answer of a leader, where Kafka's tool looks after each record of a poll; and it ends
//! with the record that is asked for, where Kafka's takes the whole poll. The next fetch is sent after the last was read.
//! Source: `ConsumerPerformance`.

use std::time::{Duration, Instant};

use super::client_config::{self, Properties};
use super::date_format::DateFormat;
use super::options::{Options, Spec, flag, perhaps, value};
use super::perf_pipeline::now_ms;
use super::producer_perf::print_metrics;
use super::waiting;
use crate::cli::connect;
use crate::cli::offsets::{End, From, Place};
use crate::cli::output::print;
use crate::cli::polling::{Ended, PARTITION_MAX, Poller, Taker, Wanted};
use crate::cli::reading::Then;
use crate::protocol::records::{Record, TimestampType};

const PURPOSE: &str = "This tool is used to verify the consumer performance.";
/// Settings that are honoured, or that options overrule as in Kafka's tool, or that need not be.
const KNOWN: [&str; 12] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "client.id",
    "enable.auto.commit",
    "group.id",
    "isolation.level",
    "key.deserializer",
    "max.partition.fetch.bytes",
    "receive.buffer.bytes",
    "security.protocol",
    "value.deserializer",
];
/// Options without effect; a note says so.
const WITHOUT_EFFECT: [&str; 3] = ["num-fetch-threads", "socket-buffer-size", "threads"];
const MIB: f64 = 1024.0 * 1024.0;
const TIMEOUT_MS: u64 = 10_000;
const INTERVAL_MS: i64 = 5_000;
/// Between two looks for the topic.
const PAUSE: Duration = Duration::from_millis(100);

const SPECS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: server to connect to",
        "REQUIRED: the brokers to ask first, HOST:PORT,...",
    ),
    value(
        "broker-list",
        "String: broker-list",
        "DEPRECATED: --bootstrap-server, which wins where both are given.",
    ),
    value("topic", "String: topic", "REQUIRED: the topic to read."),
    value("messages", "Long: count", "REQUIRED: how many records to read."),
    value("group", "String: gid", "The group to read in (default: perf-consumer-N, by chance)."),
    value("fetch-size", "Integer: size", "Bytes that one partition gives in an answer (default: 1048576)."),
    flag(
        "from-latest",
        "Where the group has nothing committed, begins at the end and not with the oldest record.",
    ),
    value("socket-buffer-size", "Integer: size", "Without effect: left to the system."),
    value("consumer.config", "String: config file", "A property file with settings of the consumer."),
    flag("print-metrics", "Says at the end what the client has counted."),
    flag("show-detailed-stats", "A line each --reporting-interval, instead of one at the end."),
    perhaps("timeout", "Long: milliseconds", "Ends when no record came for so long (default: 10000)."),
    value("reporting-interval", "Long: interval_ms", "Milliseconds between two lines (default: 5000)."),
    value(
        "date-format",
        "String: date format",
        "How times are written, in the letters of java.text.SimpleDateFormat; in UTC (default: yyyy-MM-dd HH:mm:ss:SSS).",
    ),
    flag("hide-header", "Leaves out the line with the names of the figures."),
    value("threads", "Integer: count", "DEPRECATED AND IGNORED"),
    value("num-fetch-threads", "Integer: count", "DEPRECATED AND IGNORED"),
];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(PURPOSE, SPECS, arguments)? else { return Ok(()) };
    let job = Job::new(&options)?;
    connect::run(job.run())
}

/// What is to be done.
struct Job {
    servers: String,
    client_id: String,
    topic: String,
    wanted: Wanted,
    timeout: Duration,
    seen: Seen,
    shows_header: bool,
    prints_metrics: bool,
}

impl Job {
    fn new(options: &Options) -> Result<Job, String> {
        let servers = options.value("bootstrap-server")?.or(options.value("broker-list")?);
        let servers =
            servers.ok_or_else(|| options.usage("Missing required option(s) [bootstrap-server]"))?.to_owned();
        options.require(&["topic", "messages"])?;
        client_config::check_servers(&servers).map_err(|problem| options.usage(&problem))?;
        let settings = client_config::read(options.value("consumer.config")?, &[])?;
        note_what_has_no_effect(options, &settings)?;
        let interval_ms = options.number::<i64>("reporting-interval")?.unwrap_or(INTERVAL_MS);
        if interval_ms <= 0 {
            return Err("Reporting interval must be greater than 0.".into());
        }
        let end = if options.has("from-latest") { End::Latest } else { End::Earliest };
        let timeout = Duration::from_millis(options.number("timeout")?.unwrap_or(TIMEOUT_MS));
        let group = options.value("group")?.map(str::to_owned);
        let topic = options.value("topic")?.unwrap_or_default().to_owned();
        let is =
            |key: &str, value: &str| settings.get(key).is_some_and(|text| text.eq_ignore_ascii_case(value));
        let wanted = Wanted {
            topics: vec![topic.clone()],
            partition: None,
            group: Some(group.unwrap_or_else(|| format!("perf-consumer-{}", fastrand::u32(..100_000)))),
            commits: !is("enable.auto.commit", "false"),
            from: From::End(end),
            reset: Some(end),
            read_committed: is("isolation.level", "read_committed"),
            timeout: Some(timeout),
            partition_max: options.number("fetch-size")?.unwrap_or(PARTITION_MAX),
        };
        let format = options.value("date-format")?.unwrap_or("yyyy-MM-dd HH:mm:ss:SSS");
        let is_detailed = options.has("show-detailed-stats");
        let messages = options.number::<i64>("messages")?.unwrap_or(0);
        Ok(Job {
            servers,
            client_id: settings.get("client.id").cloned().unwrap_or("perf-consumer-client".into()),
            topic,
            wanted,
            timeout,
            seen: Seen {
                format: DateFormat::new(format)?,
                most: u64::try_from(messages).unwrap_or(0),
                interval_ms: is_detailed.then_some(interval_ms),
                ..Seen::default()
            },
            shows_header: !options.has("hide-header"),
            prints_metrics: options.has("print-metrics"),
        })
    }

    async fn run(mut self) -> Result<(), String> {
        if self.shows_header {
            print(self.seen.header())?;
        }
        let start_ms = now_ms();
        self.seen.last.at_ms = start_ms;
        let ended = self.read().await?;
        if ended == Ended::TimedOut {
            print(&format!(
                "WARNING: Exiting before consuming the expected number of messages: timeout ({} ms) exceeded. You can \
                 use the --timeout option to increase the timeout.",
                self.timeout.as_millis()
            ))?;
        }
        // The end is that of reading: the group is left after it.
        let end_ms = self.seen.end_ms.unwrap_or_else(now_ms);
        if self.seen.interval_ms.is_none() {
            print(&self.seen.total_line(start_ms, end_ms))?;
        }
        if self.prints_metrics {
            let (id, now) = (&self.client_id, &self.seen.now);
            let seconds = (end_ms - start_ms) as f64 / 1_000.0;
            let rows = [
                ("bytes-consumed-rate", ratio(now.bytes as f64, seconds)),
                ("bytes-consumed-total", now.bytes as f64),
                ("fetch-total", self.seen.answers as f64),
                ("records-consumed-rate", ratio(now.records as f64, seconds)),
                ("records-consumed-total", now.records as f64),
            ];
            let name = |name: &str| format!("consumer-fetch-manager-metrics:{name}:{{client-id={id}}}");
            print_metrics(rows.into_iter().map(|(metric, value)| (name(metric), value)).collect())?;
        }
        Ok(())
    }

    /// Reads as many records as are wanted; the time until there are partitions is part of the wait for a record.
    async fn read(&mut self) -> Result<Ended, String> {
        if self.seen.most == 0 {
            return Ok(Ended::Enough);
        }
        let until = Instant::now() + self.timeout;
        let Some(mut client) = waiting::for_cluster(&self.servers, &self.client_id, Some(until)).await?
        else {
            return Ok(Ended::TimedOut);
        };
        while !client.find_or_make(&self.topic).await? {
            if Instant::now() >= until {
                return Ok(Ended::TimedOut);
            }
            tokio::time::sleep(PAUSE).await;
        }
        let mut poller = Poller::new(client, self.wanted.clone(), &mut self.seen).await?;
        let result = poller.run().await;
        poller.taker().end_ms = Some(now_ms());
        let ended = poller.end().await;
        let result = result?;
        ended.map(|()| result)
    }
}

/// Says of settings and options that change nothing that they do not.
fn note_what_has_no_effect(options: &Options, settings: &Properties) -> Result<(), String> {
    for option in WITHOUT_EFFECT {
        options.number::<i64>(option)?;
    }
    if options.has("socket-buffer-size") {
        eprintln!("note: --socket-buffer-size has no effect here");
    }
    let idle: Vec<&str> = settings.keys().map(String::as_str).filter(|key| !KNOWN.contains(key)).collect();
    if !idle.is_empty() {
        eprintln!("note: consumer properties without effect here: {}", idle.join(", "));
    }
    Ok(())
}

/// Sums at a moment.
#[derive(Debug, Default, Copy, Clone)]
struct Sums {
    at_ms: i64,
    records: u64,
    bytes: u64,
}

/// What was read.
#[derive(Debug, Default)]
struct Seen {
    format: DateFormat,
    most: u64,
    /// Between two lines; without, there is one at the end.
    interval_ms: Option<i64>,
    now: Sums,
    /// At the last line.
    last: Sums,
    answers: u64,
    joins_ms: i64,
    /// Since the last line.
    joined_ms: i64,
    end_ms: Option<i64>,
}

impl Seen {
    fn header(&self) -> &'static str {
        match self.interval_ms {
            None => {
                "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                 rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
            }
            Some(_) => {
                "time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
                 fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
            }
        }
    }

    fn total_line(&self, start_ms: i64, end_ms: i64) -> String {
        let (mb, records) = (self.now.bytes as f64 / MIB, self.now.records);
        let seconds = (end_ms - start_ms) as f64 / 1_000.0;
        let fetch_ms = end_ms - start_ms - self.joins_ms;
        let fetch_seconds = fetch_ms as f64 / 1_000.0;
        format!(
            "{}, {}, {mb:.4}, {:.4}, {records}, {:.4}, {}, {fetch_ms}, {:.4}, {:.4}",
            self.format.write(start_ms),
            self.format.write(end_ms),
            ratio(mb, seconds),
            ratio(records as f64, seconds),
            self.joins_ms,
            ratio(mb, fetch_seconds),
            ratio(records as f64, fetch_seconds)
        )
    }

    fn interval_line(&self, now_ms: i64) -> String {
        let elapsed_ms = now_ms - self.last.at_ms;
        let fetch_ms = elapsed_ms - self.joined_ms;
        let mb = (self.now.bytes - self.last.bytes) as f64 / MIB;
        let records = (self.now.records - self.last.records) as f64;
        let fetched = |number: f64| if fetch_ms <= 0 { 0.0 } else { 1_000.0 * number / fetch_ms as f64 };
        format!(
            "{}, 0, {:.4}, {:.4}, {}, {:.4}, {}, {fetch_ms}, {:.4}, {:.4}",
            self.format.write(now_ms),
            self.now.bytes as f64 / MIB,
            1_000.0 * mb / elapsed_ms as f64,
            self.now.records,
            1_000.0 * records / elapsed_ms as f64,
            self.joined_ms,
            fetched(mb),
            fetched(records)
        )
    }
}

impl Taker for Seen {
    fn take(&mut self, _: &Place, record: &Record<'_>, _: TimestampType) -> Result<Then, String> {
        self.now.records += 1;
        self.now.bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
        Ok(if self.now.records >= self.most { Then::Stop } else { Then::Next })
    }

    fn flush(&mut self) -> Result<Then, String> {
        self.answers += 1;
        let now = now_ms();
        let is_due = self.interval_ms.is_some_and(|interval| now - self.last.at_ms >= interval);
        if is_due && self.now.records > self.last.records {
            print(&self.interval_line(now))?;
            self.last = Sums { at_ms: now, ..self.now };
            self.joined_ms = 0;
        }
        Ok(Then::Next)
    }

    fn joined(&mut self, took: Duration) {
        self.joins_ms += took.as_millis() as i64;
        self.joined_ms += took.as_millis() as i64;
    }
}

/// 0 where there was no time.
fn ratio(number: f64, of: f64) -> f64 {
    if of > 0.0 { number / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kafkas() {
        let mut seen = Seen {
            format: DateFormat::new("HH:mm:ss:SSS").unwrap(),
            now: Sums { at_ms: 0, records: 4_000, bytes: 8 << 20 },
            last: Sums { at_ms: 1_000, records: 2_000, bytes: 4 << 20 },
            ..Seen::default()
        };
        seen.joined(Duration::from_millis(500));
        assert_eq!(
            seen.total_line(1_000, 3_000),
            "00:00:01:000, 00:00:03:000, 8.0000, 4.0000, 4000, 2000.0000, 500, 1500, 5.3333, 2666.6667"
        );
        assert_eq!(
            seen.interval_line(2_000),
            "00:00:02:000, 0, 8.0000, 4.0000, 4000, 2000.0000, 500, 500, 8.0000, 4000.0000"
        );
        assert!(seen.total_line(0, 0).ends_with("8.0000, 0.0000, 4000, 0.0000, 500, -500, 0.0000, 0.0000"));
    }
}
