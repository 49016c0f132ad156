//! How the tools speak to a cluster: bootstrap, versions, metadata, and the broker that is in charge of something.
//!
//! One connection a broker, one request in flight on each; versions are what both sides speak. Errors that pass by
//! themselves are retried until a [`Patience`] ends. Source: `AdminClient`, `NetworkClient`, `Metadata`.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::explain::{self, explain};
use crate::client::connection::{CallError, Connection};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::api_versions::ApiVersion;
use crate::protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use crate::protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse, Request};

/// How long a broker may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a broker may take to answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What requests that wait inside the broker are told, milliseconds: less than [`ANSWER_LIMIT`].
pub const BROKER_LIMIT_MS: i32 = 20_000;
/// How long a topic that seems missing is looked for: news of a new one take a moment.
const MISSING_LIMIT: Duration = Duration::from_millis(1_500);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the cluster is.
#[derive(Debug, Args)]
pub struct Bootstrap {
    /// Brokers to ask first, HOST:PORT with commas between.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT,..", global = true)]
    bootstrap: String,
}

impl Bootstrap {
    /// These brokers, HOST:PORT with commas between.
    pub fn at(brokers: &str) -> Bootstrap {
        Bootstrap { bootstrap: brokers.to_owned() }
    }
}

/// Runs a tool's work on a runtime of its own.
pub fn run<F: Future<Output = Result<(), String>>>(work: F) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}; check the limits of this process"))?;
    let result = runtime.block_on(work);
    // A read of standard input that has not ended must not keep the process.
    runtime.shutdown_background();
    result
}

/// How long something is tried again.
#[derive(Debug)]
pub struct Patience {
    until: Instant,
}

impl Patience {
    /// Until `limit` from now.
    pub fn new(limit: Duration) -> Patience {
        Patience { until: Instant::now() + limit }
    }

    /// The usual one.
    pub fn usual() -> Patience {
        Patience::new(ANSWER_LIMIT)
    }

    /// Waits a moment; false when there is no time left.
    pub async fn wait(&self) -> bool {
        let left = Instant::now() < self.until;
        if left {
            sleep(PAUSE).await;
        }
        left
    }

    /// Waits a moment if `code` passes by itself and there is time left; false otherwise.
    pub async fn wait_out(&self, code: i16) -> bool {
        explain::passes(code) && self.wait().await
    }
}

struct Link {
    connection: Connection,
    versions: Vec<ApiVersion>,
}

/// A cluster.
pub struct Client {
    bootstrap: Vec<(String, u16)>,
    text: String,
    id: String,
    /// What names the brokers to ask first, for who finds none of them.
    option: &'static str,
    brokers: HashMap<i32, (String, u16)>,
    controller: i32,
    links: HashMap<(String, u16), Link>,
}

impl Client {
    /// Reaches the first bootstrap broker that answers, and learns of the others.
    pub async fn connect(at: &Bootstrap) -> Result<Client, String> {
        Client::reach(&at.bootstrap, "ottla", "--bootstrap", Duration::ZERO).await
    }

    /// The same for Kafka's tools; `id` is what the brokers are told as client id, and until `limit` ends all are tried again.
    pub async fn open(bootstrap: &str, id: &str, limit: Duration) -> Result<Client, String> {
        Client::reach(bootstrap, id, "--bootstrap-server", limit).await
    }

    async fn reach(
        bootstrap: &str,
        id: &str,
        option: &'static str,
        limit: Duration,
    ) -> Result<Client, String> {
        let text = bootstrap.to_owned();
        let bootstrap = text.split(',').map(address).collect::<Result<Vec<_>, String>>()?;
        let (brokers, links) = (HashMap::new(), HashMap::new());
        let id = id.to_owned();
        let mut client = Client { bootstrap, text, id, option, brokers, controller: -1, links };
        let patience = Patience::new(limit);
        loop {
            match client.metadata(Some(&[])).await {
                Ok(_) => return Ok(client),
                Err(error) if !patience.wait().await => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Host and port of a broker that is up.
    pub fn address_of(&self, id: i32) -> Option<&(String, u16)> {
        self.brokers.get(&id)
    }

    /// Ids of the brokers that are up, ascending.
    pub fn brokers(&self) -> Vec<i32> {
        let mut ids: Vec<i32> = self.brokers.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    async fn link(&mut self, at: &(String, u16)) -> Result<&mut Link, CallError> {
        if !self.links.contains_key(at) {
            let mut connection = Connection::open(&at.0, at.1, &self.id, CONNECT_LIMIT).await?;
            let versions = connection.api_versions(ANSWER_LIMIT).await?;
            self.links.insert(at.clone(), Link { connection, versions });
        }
        Ok(self.links.get_mut(at).expect("it was put there above"))
    }

    async fn ask<R: Request>(
        &mut self,
        at: &(String, u16),
        newest: i16,
        request: &R,
    ) -> Result<R::Response, CallError> {
        let link = self.link(at).await?;
        let version = link.connection.choose(R::KEY, &link.versions)?.min(newest);
        let result = link.connection.call(version, request, ANSWER_LIMIT).await;
        if result.is_err() {
            self.links.remove(at);
        }
        result
    }

    /// Asks whichever broker answers.
    pub async fn any<R: Request>(&mut self, newest: i16, request: &R) -> Result<R::Response, String> {
        let mut places: Vec<(String, u16)> = self.links.keys().cloned().collect();
        places.extend(self.bootstrap.iter().chain(self.brokers.values()).cloned());
        let mut why = String::new();
        for at in places {
            match self.ask(&at, newest, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => why = error.to_string(),
            }
        }
        let (brokers, option) = (&self.text, self.option);
        Err(format!("no broker of {brokers} answers ({why}); start one, or name it with {option}"))
    }

    /// What broker `id` speaks.
    pub async fn versions(&mut self, id: i32) -> Result<Vec<ApiVersion>, String> {
        let at = self.place(id)?;
        self.link(&at).await.map(|link| link.versions.clone()).map_err(|error| unreachable(id, &error))
    }

    /// Asks broker `id`; versions above `newest` are not used.
    pub async fn broker<R: Request>(
        &mut self,
        id: i32,
        newest: i16,
        request: &R,
    ) -> Result<R::Response, String> {
        let at = self.place(id)?;
        self.ask(&at, newest, request).await.map_err(|error| unreachable(id, &error))
    }

    /// Sends what has no answer to broker `id`.
    pub async fn tell<R: Request>(&mut self, id: i32, request: &R) -> Result<(), String> {
        let at = self.place(id)?;
        let sent = match self.link(&at).await {
            Ok(link) => match link.connection.choose(R::KEY, &link.versions) {
                Ok(version) => link.connection.send(version, request).await.map(drop),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        sent.map_err(|error| {
            self.links.remove(&at);
            unreachable(id, &error)
        })
    }

    fn place(&self, id: i32) -> Result<(String, u16), String> {
        let place = self.brokers.get(&id).cloned();
        place.ok_or_else(|| format!("broker {id} is not up; start it, or wait until another takes over"))
    }

    /// The cluster now: all topics, or those named; one that is missing has an error code.
    pub async fn metadata(&mut self, topics: Option<&[String]>) -> Result<MetadataResponse, String> {
        let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|names| names.iter().map(named).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let patience = Patience::new(MISSING_LIMIT);
        loop {
            let answer = self.any(i16::MAX, &request).await?;
            let at = |host: &str, port: i32| (host.to_owned(), u16::try_from(port).unwrap_or_default());
            self.brokers = answer.brokers.iter().map(|b| (b.node_id, at(&b.host, b.port))).collect();
            self.controller = answer.controller_id;
            let missing = answer.topics.iter().any(|topic| topic.error_code != 0);
            if (missing || answer.brokers.is_empty()) && patience.wait().await {
                continue;
            }
            return Ok(answer);
        }
    }

    /// Asks for a topic as Java clients do, so that a broker that may makes it; whether it is there.
    pub async fn find_or_make(&mut self, topic: &str) -> Result<bool, String> {
        let named = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![named]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        let answer = self.any(i16::MAX, &request).await?;
        match answer.topics.first().map_or(0, |topic| topic.error_code) {
            0 => Ok(true),
            code if explain::passes(code) || code == ErrorCode::UnknownTopicOrPartition.code() => Ok(false),
            code => Err(explain(code, None, &format!("topic {topic}"))),
        }
    }

    /// One topic with all its partitions.
    pub async fn topic(&mut self, name: &str) -> Result<MetadataResponseTopic, String> {
        let answer = self.metadata(Some(&[name.to_owned()])).await?;
        match answer.topics.into_iter().next() {
            Some(topic) if topic.error_code == 0 => Ok(topic),
            Some(topic) => Err(explain(topic.error_code, None, &format!("topic {name}"))),
            None => Err(explain(ErrorCode::UnknownTopicOrPartition.code(), None, &format!("topic {name}"))),
        }
    }

    /// Asks the controller. `code` is the answer's whole error, or that of one of its parts; while it passes by
    /// itself (another controller, no controller yet), and while the controller is away, the request is repeated. So it
    /// may be carried out twice, as with Kafka's admin client (`KafkaAdminClient.Call.fail`).
    pub async fn controller<R: Request>(
        &mut self,
        newest: i16,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, String> {
        let patience = Patience::usual();
        loop {
            let id = self.controller;
            let (passes, asked) = match self.brokers.get(&id).cloned() {
                None => {
                    (true, Err("the cluster has no controller; start a broker that can become it".into()))
                }
                Some(at) => match self.ask(&at, newest, request).await {
                    Ok(answer) => (code(&answer) == ErrorCode::NotController.code(), Ok(answer)),
                    Err(error) => {
                        let is_away = matches!(error, CallError::Io { .. } | CallError::TimedOut { .. });
                        (is_away, Err(unreachable(id, &error)))
                    }
                },
            };
            if !passes || !patience.wait().await {
                return asked;
            }
            // Without an answer here the next try tells why.
            drop(self.metadata(Some(&[])).await);
        }
    }

    /// The broker that coordinates a group.
    pub async fn coordinator(&mut self, group: &str) -> Result<i32, String> {
        let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
        let patience = Patience::usual();
        loop {
            let answer = self.any(3, &request).await?;
            if answer.error_code == 0 {
                let port = u16::try_from(answer.port).unwrap_or_default();
                self.brokers.entry(answer.node_id).or_insert((answer.host, port));
                return Ok(answer.node_id);
            }
            if !patience.wait_out(answer.error_code).await {
                let text = answer.error_message.as_deref();
                return Err(explain(answer.error_code, text, &format!("the coordinator of group {group}")));
            }
        }
    }

    /// Asks a group's coordinator; while `code` of the answer passes by itself, finds it anew and repeats.
    pub async fn group<R: Request>(
        &mut self,
        group: &str,
        newest: i16,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, String> {
        let patience = Patience::usual();
        loop {
            let id = self.coordinator(group).await?;
            let answer = self.broker(id, newest, request).await?;
            if !patience.wait_out(code(&answer)).await {
                return Ok(answer);
            }
        }
    }
}

fn unreachable(id: i32, error: &CallError) -> String {
    format!(
        "broker {id} does not answer ({error}); check that it runs and that its advertised.listeners is reachable"
    )
}

/// `HOST:PORT`, where the host may be an IPv6 address in brackets.
pub fn address(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is no address; write HOST:PORT, for example 127.0.0.1:9092");
    let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("h:1"), Ok(("h".into(), 1)));
        assert_eq!(address("[::1]:9092"), Ok(("::1".into(), 9092)));
        for wrong in ["", "h", ":1", "h:", "h:99999"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
