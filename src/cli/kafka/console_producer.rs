//! `kafka-console-producer`: the lines of standard input become records, as in Kafka's tool of that name.
//!
//! What is collected is sent as soon as no more input waits, so --timeout (linger) is never waited out. Not
//! idempotent. As in Kafka, a record that cannot be sent is an error on stderr and exit code 0 unless --sync is
//! given. Source: `ConsoleProducer`, `ErrorLoggingCallback`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::client_config::{self, Properties};
use super::line_reader::LineReader;
use super::options::{Options, Spec, flag, perhaps, value};
use super::producer_settings::{self, number};
use crate::cli::connect::{self, Client};
use crate::cli::lines::read_ahead;
use crate::cli::sending::{How, Outgoing, Sender};
use crate::protocol::records::Compression;

const PURPOSE: &str = "This tool helps to read data from standard input and publish it to Kafka.";
/// Readers of lines that Kafka brings itself.
const READERS: [&str; 2] =
    ["kafka.tools.ConsoleProducer$LineMessageReader", "org.apache.kafka.tools.LineMessageReader"];
/// Settings of Java producers that change what is written and that this one cannot honour.
const REFUSED: [&str; 2] = ["partitioner.class", "transactional.id"];
/// Settings that are honoured, or that need not be: where to go, who asks, how bytes are bytes.
const KNOWN: [&str; 13] = [
    "acks",
    "batch.size",
    "bootstrap.servers",
    "client.id",
    "compression.type",
    "key.serializer",
    "linger.ms",
    "max.block.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
    "security.protocol",
    "value.serializer",
];
/// Options without effect on what is written; a note says so.
const WITHOUT_EFFECT: [&str; 4] =
    ["max-memory-bytes", "message-send-max-retries", "metadata-expiry-ms", "socket-buffer-size"];
const MAX_BLOCK: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

const SPECS: &[Spec] = &[
    value("topic", "String: topic", "REQUIRED: the topic to write to."),
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
    flag("sync", "Waits for each record; one that cannot be sent ends the tool."),
    perhaps(
        "compression-codec",
        "String: compression-codec",
        "none, gzip (without a value), snappy, lz4 or zstd.",
    ),
    value("batch-size", "Integer: size", "Bytes after which a batch is sent."),
    value(
        "message-send-max-retries",
        "Integer",
        "Without effect: what passes by itself is tried again for a while.",
    ),
    value("retry-backoff-ms", "Long", "Without effect: a tenth of a second passes between tries."),
    value("timeout", "Long: timeout_ms", "How long records may wait to be sent together."),
    value(
        "request-required-acks",
        "String: request required acks",
        "Who must have a record: all (-1), 1, 0.",
    ),
    value("request-timeout-ms", "Integer: request timeout ms", "How long sending is tried."),
    value(
        "metadata-expiry-ms",
        "Long: metadata expiration interval",
        "Without effect: leaders are asked for anew when one has moved.",
    ),
    value("max-block-ms", "Long: max block on send", "How long the topic and its brokers are waited for."),
    value("max-memory-bytes", "Long: total memory in bytes", "Without effect: at most 8 MiB wait."),
    value(
        "max-partition-memory-bytes",
        "Integer: memory in bytes per partition",
        "The same as --batch-size.",
    ),
    value("line-reader", "String: reader_class", "Only Kafka's own reader of lines."),
    value("socket-buffer-size", "Integer: size", "Without effect: left to the system."),
    value(
        "property",
        "String: prop",
        "A setting of the reader of lines, key=value: parse.key, parse.headers, ignore.error (true or false), \
         key.separator, headers.delimiter, headers.separator, headers.key.separator, null.marker.",
    ),
    value("reader-config", "String: config file", "A property file with settings of the reader of lines."),
    value(
        "producer-property",
        "String: producer_prop",
        "A setting of the producer, key=value; wins over the file.",
    ),
    value("producer.config", "String: config file", "A property file with settings of the producer."),
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
    how: How,
    max_block: Duration,
    is_sync: bool,
    reader: LineReader,
}

impl Job {
    fn new(options: &Options) -> Result<Job, String> {
        let servers = options.value("bootstrap-server")?.or(options.value("broker-list")?);
        let servers =
            servers.ok_or_else(|| options.usage("Missing required option(s) [bootstrap-server]"))?.to_owned();
        options.require(&["topic"])?;
        client_config::check_servers(&servers).map_err(|problem| options.usage(&problem))?;
        if let Some(class) = options.value("line-reader")?.filter(|class| !READERS.contains(class)) {
            return Err(format!(
                "--line-reader {class} is not supported: lines are read by Kafka's own reader only"
            ));
        }
        let settings =
            client_config::read(options.value("producer.config")?, &options.values("producer-property"))?;
        note_what_has_no_effect(options, &settings)?;
        let mut reader = client_config::load(options.value("reader-config")?)?;
        reader.extend(client_config::key_values(&options.values("property")));
        let timeout = millis(options, "request-timeout-ms", &settings, "request.timeout.ms")?;
        let how = How {
            topic: options.value("topic")?.unwrap_or_default().to_owned(),
            acks: acks(options, &settings)?,
            compression: compression(options, &settings)?,
            batch_size: batch_size(options, &settings)?,
            patience: timeout.unwrap_or(connect::ANSWER_LIMIT),
        };
        Ok(Job {
            servers,
            client_id: settings.get("client.id").cloned().unwrap_or("console-producer".into()),
            how,
            max_block: millis(options, "max-block-ms", &settings, "max.block.ms")?.unwrap_or(MAX_BLOCK),
            is_sync: options.has("sync"),
            reader: LineReader::new(&reader)?,
        })
    }

    async fn run(self) -> Result<(), String> {
        let prompt = Prompt { shown: std::io::stdin().is_terminal() && std::io::stdout().is_terminal() };
        prompt.show();
        let mut input = read_ahead();
        let (mut sender, mut number) = (None, 0);
        while let Some(block) = input.recv().await {
            let block = block?;
            let sender = match &mut sender {
                Some(sender) => sender,
                None => match self.connect().await {
                    Ok(connected) => sender.insert(connected),
                    Err(error) => {
                        self.told(error)?;
                        continue;
                    }
                },
            };
            let result = self.send(sender, &block, &mut number, &prompt).await;
            if result.is_err() || input.is_empty() {
                // What was read before a line that is wrong is sent all the same.
                sender.flush().await.or_else(|error| self.told(error))?;
            }
            result?;
        }
        Ok(())
    }

    async fn send(
        &self,
        sender: &mut Sender,
        block: &[u8],
        number: &mut u64,
        prompt: &Prompt,
    ) -> Result<(), String> {
        for line in lines(block) {
            *number += 1;
            let parsed = self.reader.parse(line, *number)?;
            let (key, value) = (parsed.key, parsed.value);
            let record = Outgoing { partition: None, key, value, headers: &parsed.headers };
            let mut result = sender.add(&record).await;
            if self.is_sync && result.is_ok() {
                result = sender.flush().await;
            }
            result.or_else(|error| self.told(error))?;
            prompt.show();
        }
        Ok(())
    }

    /// Waits until there is a broker and the topic.
    async fn connect(&self) -> Result<Sender, String> {
        let until = Instant::now() + self.max_block;
        loop {
            let problem = match Client::open(&self.servers, &self.client_id, Duration::ZERO).await {
                Err(error) => error,
                Ok(mut client) => match client.find_or_make(&self.how.topic).await? {
                    true => return Sender::new(client, self.how.clone()).await,
                    false => format!(
                        "Topic {} not present in metadata after {} ms.",
                        self.how.topic,
                        self.max_block.as_millis()
                    ),
                },
            };
            if Instant::now() >= until {
                return Err(problem);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A failure to send ends the tool only with --sync.
    fn told(&self, error: String) -> Result<(), String> {
        if self.is_sync {
            return Err(error);
        }
        eprintln!("ERROR Error when sending message to topic {} with error: {error}", self.how.topic);
        Ok(())
    }
}

/// `>` before each line, when somebody types and looks.
struct Prompt {
    shown: bool,
}

impl Prompt {
    fn show(&self) {
        if self.shown {
            let mut out = std::io::stdout().lock();
            // Nobody is hurt by a prompt that is not seen.
            drop(out.write_all(b">").and_then(|()| out.flush()));
        }
    }
}

/// The lines of a block as Java reads them: ended by `\n`, `\r` or both.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split_inclusive(|byte| *byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).split(|byte| *byte == b'\r')
    })
}

fn acks(options: &Options, settings: &Properties) -> Result<i16, String> {
    let given = options.value("request-required-acks")?;
    producer_settings::acks(given.or(settings.get("acks").map(String::as_str)))
}

fn compression(options: &Options, settings: &Properties) -> Result<Compression, String> {
    producer_settings::compression(match options.value("compression-codec")? {
        Some(name) => name,
        None if options.has("compression-codec") => "gzip",
        None => settings.get("compression.type").map_or("none", String::as_str),
    })
}

/// Bytes after which a batch is sent, if the user says so.
fn batch_size(options: &Options, settings: &Properties) -> Result<Option<usize>, String> {
    let given = options.number::<i32>("max-partition-memory-bytes")?.or(options.number("batch-size")?);
    let set = number(settings, "batch.size")?;
    Ok(given.map(i64::from).or(set).map(|size| usize::try_from(size).unwrap_or(0)))
}

fn millis(
    options: &Options,
    option: &str,
    settings: &Properties,
    key: &str,
) -> Result<Option<Duration>, String> {
    let given = options.number::<i64>(option)?.or(number(settings, key)?);
    Ok(given.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// Checks what changes nothing, and says that it does not.
fn note_what_has_no_effect(options: &Options, settings: &Properties) -> Result<(), String> {
    if let Some(key) = REFUSED.iter().find(|key| settings.contains_key(**key)) {
        return Err(format!("producer property {key} is not supported by this tool; leave it out"));
    }
    for option in ["timeout", "retry-backoff-ms"].into_iter().chain(WITHOUT_EFFECT) {
        options.number::<i64>(option)?;
    }
    for option in WITHOUT_EFFECT.iter().filter(|option| options.has(option)) {
        eprintln!("note: --{option} has no effect here");
    }
    for key in settings.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
        eprintln!("note: producer property {key} has no effect here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_java_has_it() {
        let read = |text: &'static str| -> Vec<&str> {
            lines(text.as_bytes()).map(|line| std::str::from_utf8(line).unwrap()).collect()
        };
        assert_eq!(read("a\nb\r\n\nc\rd\n"), ["a", "b", "", "c", "d"]);
        assert_eq!(read("a\r"), ["a"]);
        assert!(read("").is_empty());
    }
}
