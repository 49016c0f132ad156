//! Batches on their way to the leaders of one topic, several requests in flight on each connection.
//!
//! One task a leader, and one that knows who leads: batches that fail in a way that passes come back to it. A batch holds
//! its share of the room until it is answered or lost, so memory is bounded by `buffer.memory`. In a request there is at
//! most one batch a partition. Not idempotent: a batch whose answer is lost may be written twice. Source: `Sender`,
//! `RecordAccumulator`, `InFlightRequests` in Kafka's clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::errors::Failure;
use super::perf_stats::{Mark, Stats};
use crate::cli::connect::Client;
use crate::cli::explain::passes;
use crate::cli::offsets;
use crate::client::connection::{CallError, Connection};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{Chunk, Records};
use crate::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use crate::protocol::messages::{ProduceRequest, ProduceResponse, Request};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Before a batch that failed is sent again.
const BACKOFF: Duration = Duration::from_millis(100);
/// Overhead of a batch in memory.
const OVERHEAD: usize = 256;

/// How batches are sent.
#[derive(Debug, Clone)]
pub struct Way {
    /// The topic.
    pub topic: String,
    /// What brokers are told as client id.
    pub client_id: String,
    /// -1, 0 or 1.
    pub acks: i16,
    /// Requests without an answer on one connection.
    pub in_flight: usize,
    /// Bytes of the batches in one request, unless a single one is larger.
    pub request_max: usize,
    /// Bytes of all batches that wait.
    pub memory: usize,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// How long a batch is tried.
    pub delivery_timeout: Duration,
}

/// A batch on its way.
struct Sent {
    partition: i32,
    bytes: Bytes,
    marks: Vec<Mark>,
    since: Instant,
    /// Why it was not written the last time, and since when that is known.
    failure: Option<(Failure, Instant)>,
    /// Given back when the batch is gone.
    _room: OwnedSemaphorePermit,
}

impl Sent {
    fn records(&self) -> u64 {
        self.marks.iter().map(|mark| mark.records).sum()
    }

    fn failed(mut self, why: Failure) -> Sent {
        self.failure = Some((why, Instant::now()));
        self
    }
}

/// The way to the leaders.
pub struct Pipeline {
    way: Way,
    queue: UnboundedSender<Sent>,
    room: Arc<Semaphore>,
    stats: Arc<Mutex<Stats>>,
}

impl Pipeline {
    /// To a topic that is there, with its leaders.
    pub fn open(
        client: Client,
        leaders: BTreeMap<offsets::Place, i32>,
        way: Way,
        stats: Arc<Mutex<Stats>>,
    ) -> Pipeline {
        let (queue, arriving) = unbounded_channel();
        let room = Arc::new(Semaphore::new(way.memory));
        let router = Router {
            client,
            leaders,
            asked: Instant::now(),
            links: BTreeMap::new(),
            way: way.clone(),
            back: queue.clone(),
            stats: stats.clone(),
        };
        tokio::spawn(router.run(arriving));
        Pipeline { way, queue, room, stats }
    }

    /// Sends a batch, as soon as there is room for it.
    pub async fn put(&self, partition: i32, bytes: Vec<u8>, marks: Vec<Mark>) -> Result<(), String> {
        let size = (bytes.len() + OVERHEAD).min(self.way.memory);
        let room = self.room.clone().acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX)).await;
        let sent = Sent {
            partition,
            bytes: bytes.into(),
            marks,
            since: Instant::now(),
            failure: None,
            _room: room.map_err(|error| error.to_string())?,
        };
        self.queue.send(sent).map_err(|_| "the sender has ended; look above for why".to_owned())
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.room.available_permits() == self.way.memory
    }

    /// Waits until nothing is on its way any more.
    pub async fn drain(&self) {
        // An error would say that the room is closed, which it never is.
        drop(self.room.acquire_many(u32::try_from(self.way.memory).unwrap_or(u32::MAX)).await);
    }

    /// What arrived.
    pub fn stats(&self) -> std::sync::MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Knows who leads.
struct Router {
    client: Client,
    leaders: BTreeMap<offsets::Place, i32>,
    asked: Instant,
    links: BTreeMap<i32, UnboundedSender<Sent>>,
    way: Way,
    back: UnboundedSender<Sent>,
    stats: Arc<Mutex<Stats>>,
}

impl Router {
    async fn run(mut self, mut queue: UnboundedReceiver<Sent>) {
        while let Some(sent) = queue.recv().await {
            let failed = sent.failure.as_ref().map(|(_, at)| *at);
            if let Some(at) = failed
                && !self.may_go_again(&sent, at).await
            {
                continue;
            }
            self.route(sent);
        }
    }

    /// Looks who leads now, a moment after the failure; false, and said, when there is no time left.
    async fn may_go_again(&mut self, sent: &Sent, failed: Instant) -> bool {
        if sent.since.elapsed() >= self.way.delivery_timeout {
            lose(&self.stats, sent);
            return false;
        }
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).counts.retries += sent.records();
        if failed >= self.asked {
            tokio::time::sleep(BACKOFF).await;
            let topic = std::slice::from_ref(&self.way.topic);
            // Without an answer what is known still counts; the batch comes back if that is wrong.
            if let Ok(leaders) = offsets::known_leaders(&mut self.client, topic).await {
                self.leaders = leaders;
            }
            self.asked = Instant::now();
        }
        true
    }

    fn route(&mut self, sent: Sent) {
        let leader = self.leaders.get(&(self.way.topic.clone(), sent.partition)).copied();
        let address = leader.and_then(|leader| self.client.address_of(leader)).cloned();
        let (Some(leader), Some(address)) = (leader, address) else {
            let why = Failure::of(ErrorCode::LeaderNotAvailable.code(), None);
            // The queue lives as long as its router.
            drop(self.back.send(sent.failed(why)));
            return;
        };
        let refused = match self.links.get(&leader) {
            Some(link) => link.send(sent).err(),
            None => Some(tokio::sync::mpsc::error::SendError(sent)),
        };
        let Some(tokio::sync::mpsc::error::SendError(sent)) = refused else { return };
        let (link, inbox) = unbounded_channel();
        let (way, back, stats) = (self.way.clone(), self.back.clone(), self.stats.clone());
        let (flights, pending) = (VecDeque::new(), VecDeque::from([sent]));
        tokio::spawn(Leader { way, back, stats, inbox, flights, pending }.run(address));
        self.links.insert(leader, link);
    }
}

/// A request without an answer.
struct Flight {
    correlation_id: i32,
    until: tokio::time::Instant,
    batches: Vec<Sent>,
}

/// The way to one leader.
struct Leader {
    way: Way,
    back: UnboundedSender<Sent>,
    stats: Arc<Mutex<Stats>>,
    inbox: UnboundedReceiver<Sent>,
    pending: VecDeque<Sent>,
    flights: VecDeque<Flight>,
}

impl Leader {
    /// Sends until the connection fails; what is not answered then goes back.
    async fn run(mut self, address: (String, u16)) {
        let failure = match self.serve(&address).await {
            Ok(()) => return,
            Err(error) => error.to_string(),
        };
        self.inbox.close();
        while let Ok(sent) = self.inbox.try_recv() {
            self.pending.push_back(sent);
        }
        let flown = self.flights.drain(..).flat_map(|flight| flight.batches);
        for sent in flown.chain(self.pending.drain(..)) {
            // Nobody is left to count when the router is gone.
            drop(self.back.send(sent.failed(Failure::timed_out(failure.clone()))));
        }
    }

    async fn serve(&mut self, (host, port): &(String, u16)) -> Result<(), CallError> {
        let mut connection = Connection::open(host, *port, &self.way.client_id, CONNECT_LIMIT).await?;
        let versions = connection.api_versions(CONNECT_LIMIT).await?;
        let version = connection.choose(ProduceRequest::KEY, &versions)?;
        loop {
            while self.flights.len() < self.way.in_flight && !self.pending.is_empty() {
                self.send(&mut connection, version).await?;
            }
            let oldest = self.flights.front().map(|flight| (flight.correlation_id, flight.until));
            let (correlation_id, until) = oldest.unwrap_or((0, tokio::time::Instant::now()));
            tokio::select! {
                answer = timeout_at(until, connection.answer::<ProduceRequest>(version, correlation_id)),
                    if oldest.is_some() => {
                    let late = |_| CallError::TimedOut {
                        peer: format!("{host}:{port}"),
                        after: self.way.request_timeout,
                    };
                    self.settle(answer.map_err(late)??);
                }
                sent = self.inbox.recv() => match sent {
                    None => return Ok(()),
                    Some(sent) => {
                        self.pending.push_back(sent);
                        while let Ok(sent) = self.inbox.try_recv() {
                            self.pending.push_back(sent);
                        }
                    }
                },
            }
        }
    }

    /// Sends what waits, one batch a partition, as much as a request may hold.
    async fn send(&mut self, connection: &mut Connection, version: i16) -> Result<(), CallError> {
        let (mut batches, mut size, mut partitions) = (Vec::new(), 0, BTreeSet::new());
        while let Some(next) = self.pending.front() {
            size += next.bytes.len();
            if !batches.is_empty() && size > self.way.request_max || !partitions.insert(next.partition) {
                break;
            }
            batches.extend(self.pending.pop_front());
        }
        let data = |sent: &Sent| PartitionProduceData {
            index: sent.partition,
            records: Some(Records::from_chunks(vec![Chunk::Bytes(sent.bytes.clone())])),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: self.way.topic.clone(),
            partition_data: batches.iter().map(data).collect(),
            ..Default::default()
        };
        let request = ProduceRequest {
            acks: self.way.acks,
            timeout_ms: i32::try_from(self.way.request_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: vec![topic],
            ..Default::default()
        };
        let until = tokio::time::Instant::now() + self.way.request_timeout;
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).counts.requests += 1;
        let sent = connection.send(version, &request).await;
        let correlation_id = *sent.as_ref().unwrap_or(&0);
        self.flights.push_back(Flight { correlation_id, until, batches });
        sent?;
        if self.way.acks == 0
            && let Some(flight) = self.flights.pop_back()
        {
            flight.batches.iter().for_each(|batch| self.arrived(batch));
        }
        Ok(())
    }

    /// What the answer to the oldest request says of each of its batches.
    fn settle(&mut self, answer: ProduceResponse) {
        let Some(flight) = self.flights.pop_front() else { return };
        let mut results: BTreeMap<i32, Failure> = BTreeMap::new();
        let mut again = BTreeSet::new();
        for result in answer.responses.into_iter().flat_map(|topic| topic.partition_responses) {
            if result.error_code != 0 {
                results.insert(result.index, Failure::of(result.error_code, result.error_message));
            }
            if passes(result.error_code) {
                again.insert(result.index);
            }
        }
        for batch in flight.batches {
            match results.remove(&batch.partition) {
                None => self.arrived(&batch),
                Some(why) if again.contains(&batch.partition) => drop(self.back.send(batch.failed(why))),
                Some(why) => lose(&self.stats, &batch.failed(why)),
            }
        }
    }

    fn arrived(&self, batch: &Sent) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.counts.batches += 1;
        stats.counts.batch_bytes += batch.bytes.len() as u64;
        if let Err(error) = stats.arrived(&batch.marks, now_ms()) {
            eprintln!("{error}");
        }
    }
}

/// Says that a batch will not be written.
fn lose(stats: &Mutex<Stats>, sent: &Sent) {
    let why = sent.failure.as_ref().map(|(why, _)| why.thrown()).unwrap_or_default();
    let records = sent.records();
    eprintln!("{why} ({records} record(s) for partition {} are lost)", sent.partition);
    stats.lock().unwrap_or_else(PoisonError::into_inner).counts.errors += records;
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}
