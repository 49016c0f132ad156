//! `kafka-console-consumer`: prints records, as Kafka's tool of that name does.
//!
//! Without a group it reads all partitions by itself and leaves no `console-consumer-N` group behind, where Kafka's
//! joins one that nobody asked for. Topics that match an expression are found when it starts. Source:
//! `ConsoleConsumer`, `ConsoleConsumerOptions`.

use std::collections::BTreeSet;
use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::time::{Duration, Instant};

use super::client_config::{self, Properties};
use super::formatter::Formatter;
use super::include::Include;
use super::options::{Options, Spec, flag, value};
use super::waiting;
use crate::cli::connect::{self, Client};
use crate::cli::offsets::{End, From, Place, parse_from};
use crate::cli::output::print;
use crate::cli::polling::{Ended, PARTITION_MAX, Poller, Taker, Wanted};
use crate::cli::reading::Then;
use crate::protocol::records::{Record, TimestampType};

const PURPOSE: &str = "This tool helps to read data from Kafka topics and outputs it to standard output.";
const DEFAULT: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";
/// Settings of Java consumers that this one cannot honour: who sets them relies on them.
const REFUSED: [&str; 3] = ["group.instance.id", "group.protocol", "partition.assignment.strategy"];
/// Between two looks for a topic that is not there yet.
const PAUSE: Duration = Duration::from_millis(100);
/// What a shell takes for a program that was interrupted.
const INTERRUPTED: i32 = 130;

const SPECS: &[Spec] = &[
    value(
        "bootstrap-server",
        "String: server to connect to",
        "REQUIRED: the brokers to ask first, HOST:PORT,...",
    ),
    value("topic", "String: topic", "The topic to read."),
    value("include", "String: Java regex", "Topics to read: those whose whole name matches."),
    value("whitelist", "String: Java regex", "DEPRECATED: --include, which wins where both are given."),
    value(
        "partition",
        "Integer: partition",
        "Only this partition, from its end unless --offset says otherwise.",
    ),
    value(
        "offset",
        "String: consume offset",
        "Where to begin in the partition: a number, earliest or latest.",
    ),
    value(
        "consumer-property",
        "String: consumer_prop",
        "A setting of the consumer, key=value; wins over the file.",
    ),
    value("consumer.config", "String: config file", "A property file with settings of the consumer."),
    value(
        "formatter",
        "String: class",
        "How records are printed: the class name of one of Kafka's formatters.",
    ),
    value(
        "property",
        "String: prop",
        "A setting of the formatter, key=value: print.key, print.value, print.timestamp, print.offset, \
         print.partition, print.headers (true or false), key.separator, line.separator, headers.separator, \
         null.literal, key.deserializer, value.deserializer, headers.deserializer.",
    ),
    value("formatter-config", "String: config file", "A property file with settings of the formatter."),
    flag("from-beginning", "Where the group has nothing committed, begins with the oldest record."),
    value("max-messages", "Integer: num_messages", "Ends after so many records."),
    value("timeout-ms", "Long: timeout_ms", "Ends when no record came for so many milliseconds."),
    flag("skip-message-on-error", "Skips a record that cannot be printed, instead of ending."),
    value("key-deserializer", "String: deserializer for key", "The same as --property key.deserializer."),
    value(
        "value-deserializer",
        "String: deserializer for values",
        "The same as --property value.deserializer.",
    ),
    flag("enable-systest-events", "Says shutdown_complete at the end."),
    value(
        "isolation-level",
        "String",
        "read_committed leaves out what is not committed; or read_uncommitted.",
    ),
    value("group", "String: consumer group id", "Reads as a member of this group, and commits."),
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
    source: Source,
    wanted: Wanted,
    shown: Shown,
    says_end: bool,
}

impl Job {
    fn new(options: &Options) -> Result<Job, String> {
        let source = Source::new(options)?;
        let given = options.values("consumer-property");
        let settings = client_config::read(options.value("consumer.config")?, &given)?;
        if let Some(key) = REFUSED.iter().find(|key| settings.contains_key(**key)) {
            return Err(format!("consumer property {key} is not supported by this tool; leave it out"));
        }
        let group = group(options, &settings)?;
        let reset = reset(options, &settings)?;
        let offset = offset(options)?;
        let partition = options.number::<i32>("partition")?;
        let timeout = options.number::<i64>("timeout-ms")?.and_then(|ms| u64::try_from(ms).ok());
        let shown = Shown::new(options)?;
        let commits =
            settings.get("enable.auto.commit").is_none_or(|text| !text.eq_ignore_ascii_case("false"));
        let wanted = Wanted {
            topics: Vec::new(),
            partition,
            commits: commits && group.is_some(),
            group,
            from: if partition.is_some() { offset } else { From::End(reset) },
            reset: Some(reset),
            read_committed: read_committed(options, &settings)?,
            timeout: timeout.map(Duration::from_millis),
            partition_max: PARTITION_MAX,
        };
        Ok(Job {
            servers: options.value("bootstrap-server")?.unwrap_or_default().to_owned(),
            client_id: settings.get("client.id").cloned().unwrap_or("console-consumer".into()),
            source,
            wanted,
            shown,
            says_end: options.has("enable-systest-events"),
        })
    }

    async fn run(mut self) -> Result<(), String> {
        let result = self.read().await;
        // A reader that has closed the pipe is no failure.
        drop(self.shown.out.flush());
        eprintln!("Processed a total of {} messages", self.shown.printed);
        if self.says_end {
            print("shutdown_complete")?;
        }
        match result {
            Ok(Ended::Interrupted) => std::process::exit(INTERRUPTED),
            Ok(Ended::Enough) => Ok(()),
            Ok(Ended::TimedOut) => {
                let limit = self.wanted.timeout.unwrap_or_default().as_millis();
                let why = format!("no record came for {limit} ms");
                eprintln!("ERROR Error processing message, terminating consumer process: {why}");
                Ok(())
            }
            Err(error) => Err(format!("ERROR Unknown error when running consumer: {error}")),
        }
    }

    async fn read(&mut self) -> Result<Ended, String> {
        if self.shown.left == Some(0) {
            return Ok(Ended::Enough);
        }
        let until = self.wanted.timeout.map(|limit| Instant::now() + limit);
        let Some(mut client) = waiting::for_cluster(&self.servers, &self.client_id, until).await? else {
            return Ok(Ended::TimedOut);
        };
        self.wanted.topics = loop {
            let topics = self.source.topics(&mut client).await?;
            if !topics.is_empty() {
                break topics;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Ended::TimedOut);
            }
            tokio::time::sleep(PAUSE).await;
        };
        let mut poller = Poller::new(client, self.wanted.clone(), &mut self.shown).await?;
        let result = poller.run().await;
        let ended = poller.end().await;
        let result = result?;
        ended.map(|()| result)
    }
}

/// Which topics.
enum Source {
    Topic(String),
    Matching(Include),
}

impl Source {
    /// What the options say, and whether they fit together.
    fn new(options: &Options) -> Result<Source, String> {
        let pattern = options.value("include")?.or(options.value("whitelist")?);
        let source = match (options.value("topic")?, pattern) {
            (Some(topic), None) => Source::Topic(topic.to_owned()),
            (None, Some(pattern)) => {
                Source::Matching(Include::new(pattern).map_err(|failure| failure.to_string())?)
            }
            _ => {
                let old = "--whitelist is DEPRECATED use --include instead; ignored if --include specified.";
                let note = if options.has("whitelist") { old } else { "" };
                return Err(options.usage(&format!("Exactly one of --include/--topic is required. {note}")));
            }
        };
        let problem = match (options.has("partition"), options.has("offset")) {
            (true, _) if !options.has("topic") => "The topic is required when partition is specified.",
            (true, true) if options.has("from-beginning") => {
                "Options from-beginning and offset cannot be specified together."
            }
            (false, true) => "The partition is required when offset is specified.",
            _ => return options.require(&["bootstrap-server"]).map(|()| source),
        };
        Err(options.usage(problem))
    }

    /// Those that are there now.
    async fn topics(&self, client: &mut Client) -> Result<Vec<String>, String> {
        match self {
            Source::Topic(topic) => {
                let found = client.find_or_make(topic).await?;
                Ok(found.then(|| topic.clone()).into_iter().collect())
            }
            Source::Matching(filter) => {
                let topics = client.metadata(None).await?.topics;
                let usable = topics.into_iter().filter(|topic| !topic.is_internal && topic.error_code == 0);
                Ok(usable.filter_map(|topic| topic.name).filter(|name| filter.has(name)).collect())
            }
        }
    }
}

/// The group, wherever it is named.
fn group(options: &Options, settings: &Properties) -> Result<Option<String>, String> {
    let named = [options.value("group")?, settings.get("group.id").map(String::as_str)];
    let groups: BTreeSet<&str> = named.into_iter().flatten().collect();
    if groups.len() > 1 {
        let list: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return Err(options.usage(&format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', \
             or via '--consumer.config') do not match. Detected group ids: {}",
            list.join(", ")
        )));
    }
    if !groups.is_empty() && options.has("partition") {
        return Err(options.usage("Options group and partition cannot be specified together."));
    }
    Ok(groups.first().map(|group| (*group).to_owned()))
}

/// Where to begin without a committed offset, and where to go on when an offset is gone.
fn reset(options: &Options, settings: &Properties) -> Result<End, String> {
    let from_beginning = options.has("from-beginning");
    match settings.get("auto.offset.reset").map(String::as_str) {
        None => Ok(if from_beginning { End::Earliest } else { End::Latest }),
        Some("earliest") => Ok(End::Earliest),
        Some(other) if from_beginning => Err(format!(
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset={other}', please remove one option"
        )),
        Some("latest") => Ok(End::Latest),
        Some(other) => Err(format!("auto.offset.reset={other} is not supported: take earliest or latest")),
    }
}

/// Where to begin in a partition that is named.
fn offset(options: &Options) -> Result<From, String> {
    let Some(text) = options.value("offset")? else {
        let from_beginning = options.has("from-beginning");
        return Ok(From::End(if from_beginning { End::Earliest } else { End::Latest }));
    };
    parse_from(&text.to_lowercase()).map_err(|_| {
        options.usage(&format!(
            "The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a \
             non-negative long."
        ))
    })
}

fn read_committed(options: &Options, settings: &Properties) -> Result<bool, String> {
    let level = options.value("isolation-level")?.or(settings.get("isolation.level").map(String::as_str));
    match level.unwrap_or("read_uncommitted") {
        "read_committed" => Ok(true),
        "read_uncommitted" => Ok(false),
        other => Err(format!(
            "ERROR Unknown error when running consumer: Invalid value {other} for configuration isolation.level: \
             String must be one of: read_committed, read_uncommitted"
        )),
    }
}

/// Prints records, as many as are asked for.
struct Shown {
    formatter: Formatter,
    out: BufWriter<Stdout>,
    left: Option<u64>,
    skips: bool,
    printed: u64,
}

impl Shown {
    fn new(options: &Options) -> Result<Shown, String> {
        let mut settings = client_config::load(options.value("formatter-config")?)?;
        for (option, key) in
            [("key-deserializer", "key.deserializer"), ("value-deserializer", "value.deserializer")]
        {
            settings.extend(options.value(option)?.map(|class| (key.to_owned(), class.to_owned())));
        }
        settings.extend(client_config::key_values(&options.values("property")));
        let class = options.value("formatter")?.unwrap_or(DEFAULT);
        let (formatter, note) = Formatter::named(class, &settings)?;
        if let Some(note) = note {
            eprintln!("{note}");
        }
        let max = options.number::<i64>("max-messages")?.filter(|max| *max != -1);
        let left = max.map(|max| u64::try_from(max).unwrap_or(0));
        let out = BufWriter::with_capacity(64 << 10, std::io::stdout());
        Ok(Shown { formatter, out, left, skips: options.has("skip-message-on-error"), printed: 0 })
    }
}

impl Taker for Shown {
    fn take(&mut self, place: &Place, record: &Record<'_>, kind: TimestampType) -> Result<Then, String> {
        self.printed += 1;
        self.left = self.left.map(|left| left.saturating_sub(1));
        match self.formatter.write(&mut self.out, place.1, record, kind) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(closed()),
            Err(error) if self.skips => {
                eprintln!("ERROR Error processing message, skipping this message: {error}")
            }
            Err(error) => {
                return Err(format!("{}-{} at offset {}: {error}", place.0, place.1, record.offset));
            }
        }
        Ok(if self.left == Some(0) { Then::Stop } else { Then::Next })
    }

    fn flush(&mut self) -> Result<Then, String> {
        match self.out.flush() {
            Ok(()) => Ok(Then::Next),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(closed()),
            Err(error) => Err(format!("cannot write the results: {error}; check where the output goes")),
        }
    }
}

fn closed() -> Then {
    eprintln!("Unable to write to standard out, closing consumer.");
    Then::Stop
}
