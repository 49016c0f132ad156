//! `cub`: the helper of Confluent's images that waits until something answers: `cub kafka-ready -b HOST:PORT N SECONDS`,
//! `cub zk-ready HOST:PORT SECONDS`.
//!
//! Source: Confluent's `cub`, `KafkaReadyCommand`, `ZookeeperReadyCommand`.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::Settings;
use crate::cli::connect::{self, Client, address};

const USAGE: &str = "usage: cub kafka-ready [-b HOST:PORT,.. | -z HOST:PORT,..] [-c FILE] [-s PROTOCOL] BROKERS SECONDS\n       \
                     cub zk-ready HOST:PORT,.. SECONDS";
const PAUSE: Duration = Duration::from_millis(200);
/// How long one try to reach a server may take.
const TRY: Duration = Duration::from_secs(2);
/// The question that servers with a short list of allowed words know by default, and one that all knew once.
const WORDS: [&[u8]; 2] = [b"srvr", b"ruok"];

/// Runs the tool.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments.split_first() {
        Some((command, rest)) if command == "kafka-ready" => kafka_ready(rest),
        Some((command, rest)) if command == "zk-ready" => zk_ready(rest),
        Some((command, _)) if command != "-h" && command != "--help" => {
            Err(format!("cub: {command:?} is not supported: kafka-ready and zk-ready are\n{USAGE}"))
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn kafka_ready(arguments: &[String]) -> Result<(), String> {
    let (mut servers, mut config, mut numbers) = (None, None, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("cub: {argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "-b" | "--bootstrap_broker_list" => servers = Some(value()?),
            "-c" | "--config" => config = Some(value()?),
            "-s" | "--security-protocol" => {
                let pair = ("security.protocol".to_owned(), value()?.clone());
                Settings::of(&[pair], "cub").map(drop)?;
            }
            "-z" | "--zookeeper_connect" => {
                return Err("cub: kafka-ready -z is not supported: name the brokers with -b HOST:PORT".into());
            }
            other if other.starts_with('-') => return Err(format!("cub: {other} is not supported\n{USAGE}")),
            _ => numbers.push(argument),
        }
    }
    let [brokers, seconds] = numbers[..] else { return Err(USAGE.to_owned()) };
    let (Ok(wanted), Ok(seconds)) = (brokers.parse::<usize>(), seconds.parse::<u32>()) else {
        return Err(USAGE.to_owned());
    };
    let servers = servers.ok_or(USAGE)?;
    Settings::load(config.map(String::as_str), "cub")?;
    for server in servers.split(',') {
        address(server)?;
    }
    connect::run(async {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        loop {
            let why = match Client::open(servers, "cub", Duration::ZERO).await {
                Ok(client) if client.brokers().len() >= wanted => return Ok(()),
                Ok(client) => {
                    format!("Expected {wanted} brokers but found only {}.", client.brokers().len())
                }
                Err(why) => why,
            };
            if Instant::now() >= until {
                return Err(format!(
                    "{why} Brokers found within {seconds} s are not enough; look at their logs"
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

fn zk_ready(arguments: &[String]) -> Result<(), String> {
    let [servers, seconds] = arguments else { return Err(USAGE.to_owned()) };
    let seconds: u32 = seconds.parse().map_err(|_| USAGE)?;
    // A chroot is no server.
    let servers = servers.split_once('/').map_or(servers.as_str(), |(servers, _)| servers);
    let places = servers.split(',').map(address).collect::<Result<Vec<_>, String>>()?;
    connect::run(async {
        let until = Instant::now() + Duration::from_secs(seconds.into());
        loop {
            for place in &places {
                for word in WORDS {
                    if timeout(TRY, answers(place, word)).await.unwrap_or(false) {
                        return Ok(());
                    }
                }
            }
            if Instant::now() >= until {
                return Err(format!(
                    "no ZooKeeper server of {servers} was ready within {seconds} s; look at its log"
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Whether a server answers a four-letter word, and serves.
async fn answers(place: &(String, u16), word: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect((place.0.as_str(), place.1)).await else { return false };
    let mut answer = [0; 512];
    if stream.write_all(word).await.is_err() {
        return false;
    }
    match stream.read(&mut answer).await {
        Ok(read) => serves(&answer[..read]),
        Err(_) => false,
    }
}

fn serves(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.starts_with("imok") || text.starts_with("Zookeeper version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_serve_is_not_ready() {
        assert!(serves(b"imok") && serves(b"Zookeeper version: 3.9.3"));
        assert!(!serves(b"This ZooKeeper instance is not currently serving requests\n"));
        assert!(!serves(b"srvr is not executed because it is not in the whitelist.\n") && !serves(b""));
    }

    #[test]
    fn wrong_usage_is_told() {
        let run = |text: &str| {
            let arguments: Vec<String> = text.split(' ').map(str::to_owned).collect();
            super::run(&arguments).unwrap_err()
        };
        assert!(run("sr-ready x 8081 10").contains("is not supported"));
        assert!(run("kafka-ready 1 10").starts_with("usage:") && run("zk-ready x").starts_with("usage:"));
        assert!(run("kafka-ready -b h:1 -s SASL_SSL 1 1").contains("SASL_SSL"));
    }
}
