//! Reads the partitions of topics from their leaders, alone or as a member of a consumer group: `ottla consume` and
//! `kafka-console-consumer`.
//!
//! One fetch in flight. With a group, what was taken is committed after it was taken: at least once. Knows nothing of
//! what becomes of records. Source: `KafkaConsumer`, `Fetcher` in Kafka's clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::connect::{Client, Patience};
use super::explain::{explain, passes};
use super::groups;
use super::member::Member;
use super::offsets::{self, End, From, Place, missing};
use super::reading::{Then, read};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::FetchRequest;
use crate::protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use crate::protocol::records::{Record, TimestampType};

/// The last version that names topics by name.
const BY_NAME: i16 = 12;
const FETCH_MAX: i32 = 16 << 20;
/// What one partition gives in an answer, bytes, unless its first batch is larger.
pub const PARTITION_MAX: i32 = 1 << 20;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// What is read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The topics, all there.
    pub topics: Vec<String>,
    /// Only this partition; not with a group.
    pub partition: Option<i32>,
    /// Reads as a member of this group.
    pub group: Option<String>,
    /// Whether a member commits.
    pub commits: bool,
    /// Where to begin; with a group, where there is nothing committed.
    pub from: From,
    /// Where to go on when an offset is gone; without, that is an error.
    pub reset: Option<End>,
    /// Leaves out records of open and aborted transactions.
    pub read_committed: bool,
    /// Ends when no record came for so long.
    pub timeout: Option<Duration>,
    /// What one partition gives in an answer, bytes: [`PARTITION_MAX`] unless the user says so.
    pub partition_max: i32,
}

/// Why reading ended without an error.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Who takes records has enough.
    Enough,
    /// The user has.
    Interrupted,
    /// No record came in time.
    TimedOut,
}

/// Where records go.
pub trait Taker {
    /// Takes one record.
    fn take(&mut self, place: &Place, record: &Record<'_>, kind: TimestampType) -> Result<Then, String>;
    /// After each answer: whether more is wanted.
    fn flush(&mut self) -> Result<Then, String>;
    /// There are partitions to read from now on, in a group others than before; finding them took so long.
    fn joined(&mut self, _took: Duration) {}
}

/// Reads for `taker` until it has enough; [`Poller::end`] must follow.
pub struct Poller<'a, T: Taker> {
    wanted: Wanted,
    client: Client,
    leaders: BTreeMap<Place, i32>,
    member: Option<Member>,
    /// Where to read on.
    positions: BTreeMap<Place, i64>,
    /// What is taken and not yet committed.
    taken_to: BTreeMap<Place, i64>,
    taker: &'a mut T,
    taken: u64,
    enough: bool,
}

impl<'a, T: Taker> Poller<'a, T> {
    /// Finds the leaders; a partition that is not there is an error.
    pub async fn new(mut client: Client, wanted: Wanted, taker: &'a mut T) -> Result<Poller<'a, T>, String> {
        let leaders = offsets::leaders(&mut client, &wanted.topics).await?;
        for topic in &wanted.topics {
            if let Some(place) = wanted.partition.map(|partition| (topic.clone(), partition))
                && !leaders.contains_key(&place)
            {
                return Err(missing(&place));
            }
        }
        let member = wanted.group.as_ref().map(|group| Member::new(group, &wanted.topics));
        let (positions, taken_to, taken, enough) = (BTreeMap::new(), BTreeMap::new(), 0, false);
        Ok(Poller { wanted, client, leaders, member, positions, taken_to, taker, taken, enough })
    }

    /// How many records were taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Who takes the records.
    pub fn taker(&mut self) -> &mut T {
        self.taker
    }

    /// Reads on until there is enough, or no record comes in time, or the user interrupts.
    pub async fn run(&mut self) -> Result<Ended, String> {
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_signal(stop.clone());
        self.take_partitions().await?;
        let (mut last, mut committed, mut patience) = (Instant::now(), Instant::now(), Patience::usual());
        while !stop.load(Ordering::Relaxed) && !self.enough {
            let before = self.taken;
            match self.poll().await? {
                None => patience = Patience::usual(),
                Some(failure) if !patience.wait().await => return Err(failure),
                Some(_) => self.leaders = self.find_leaders().await?,
            }
            if self.taken > before {
                last = Instant::now();
            } else if self.wanted.timeout.is_some_and(|limit| last.elapsed() >= limit) {
                return Ok(Ended::TimedOut);
            }
            let mut stays = true;
            if let Some(member) = &mut self.member {
                if self.wanted.commits && committed.elapsed() >= COMMIT_EVERY {
                    stays = member.commit(&mut self.client, &self.taken_to).await?;
                    self.taken_to.clear();
                    committed = Instant::now();
                }
                stays &= member.beat(&mut self.client).await?;
            }
            if !stays {
                self.take_partitions().await?;
            }
        }
        Ok(if self.enough { Ended::Enough } else { Ended::Interrupted })
    }

    /// Commits, leaves, and hands over what is not yet written.
    pub async fn end(&mut self) -> Result<(), String> {
        let flushed = self.taker.flush();
        if let Some(member) = &self.member {
            if self.wanted.commits {
                member.commit(&mut self.client, &self.taken_to).await?;
            }
            member.leave(&mut self.client).await?;
        }
        flushed.map(drop)
    }

    async fn find_leaders(&mut self) -> Result<BTreeMap<Place, i32>, String> {
        offsets::leaders(&mut self.client, &self.wanted.topics).await
    }

    /// Joins the group if there is one, and finds where to read.
    async fn take_partitions(&mut self) -> Result<(), String> {
        let (began, mut committed) = (Instant::now(), BTreeMap::new());
        let places: Vec<Place> = match (&mut self.member, &self.wanted.group) {
            (Some(member), Some(group)) => {
                // What was taken counts, if the group still takes it.
                let taken_to = std::mem::take(&mut self.taken_to);
                if self.wanted.commits {
                    member.commit(&mut self.client, &taken_to).await?;
                }
                let places = member.join(&mut self.client).await?;
                committed = groups::committed(&mut self.client, group).await?;
                places
            }
            _ => {
                let wanted = |place: &&Place| self.wanted.partition.is_none_or(|p| place.1 == p);
                self.leaders.keys().filter(wanted).cloned().collect()
            }
        };
        let fresh: Vec<Place> =
            places.iter().filter(|place| !committed.contains_key(*place)).cloned().collect();
        self.positions = match self.wanted.from {
            From::Offset(offset) => fresh.into_iter().map(|place| (place, offset)).collect(),
            From::End(end) => {
                offsets::ends(&mut self.client, &fresh, end, self.wanted.read_committed).await?
            }
        };
        let old = committed.into_iter().filter(|(place, _)| places.contains(place));
        self.positions.extend(old);
        self.leaders = self.find_leaders().await?;
        self.taker.joined(began.elapsed());
        Ok(())
    }

    /// Fetches once from each leader; a failure that passes is told.
    async fn poll(&mut self) -> Result<Option<String>, String> {
        let mut by_leader: BTreeMap<i32, Vec<(Place, i64)>> = BTreeMap::new();
        for (place, offset) in &self.positions {
            let leader = *self.leaders.get(place).ok_or_else(|| missing(place))?;
            by_leader.entry(leader).or_default().push((place.clone(), *offset));
        }
        if by_leader.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Leaders are asked one after another, so none may keep the others waiting for long.
        let max_wait_ms = if by_leader.len() > 1 { 50 } else { 250 };
        let mut failure = None;
        for (leader, wanted) in by_leader {
            let request = self.request(&wanted, max_wait_ms);
            let answer = match self.client.broker(leader, BY_NAME, &request).await {
                Ok(answer) => answer,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            if answer.error_code != 0 {
                return Err(explain(answer.error_code, None, &format!("broker {leader}")));
            }
            for topic in answer.responses {
                for data in topic.partitions {
                    let place = (topic.topic.clone(), data.partition_index);
                    if let Some(text) = self.take(place, data).await? {
                        failure = Some(text);
                    }
                }
            }
            self.enough |= self.taker.flush()? == Then::Stop;
            if self.enough {
                break;
            }
        }
        Ok(failure)
    }

    async fn take(&mut self, place: Place, data: PartitionData) -> Result<Option<String>, String> {
        let Some(from) = self.positions.get(&place).copied() else { return Ok(None) };
        let what = format!("partition {}-{}", place.0, place.1);
        if data.error_code == ErrorCode::OffsetOutOfRange.code() {
            let Some(end) = self.wanted.reset else {
                return Err(explain(data.error_code, None, &format!("{what} at offset {from}")));
            };
            eprintln!("ottla: {what} has no offset {from} any more; going on at {end:?}");
            let places = [place];
            let found = offsets::ends(&mut self.client, &places, end, self.wanted.read_committed).await?;
            self.positions.extend(found);
            return Ok(None);
        }
        if data.error_code != 0 {
            let text = explain(data.error_code, None, &what);
            return if passes(data.error_code) { Ok(Some(text)) } else { Err(text) };
        }
        let block = data.records.unwrap_or_default();
        let block = block.as_bytes().map(|bytes| bytes.as_ref()).unwrap_or_default();
        if block.is_empty() || self.enough {
            return Ok(None);
        }
        let aborted = data.aborted_transactions.unwrap_or_default();
        let (taken, enough, taker) = (&mut self.taken, &mut self.enough, &mut *self.taker);
        let next = read(block, from, &aborted, &mut |record, kind| {
            let then = taker.take(&place, record, kind)?;
            *taken += 1;
            *enough |= then == Then::Stop;
            Ok(then)
        })?;
        self.positions.insert(place.clone(), next);
        self.taken_to.insert(place, next);
        Ok(None)
    }

    fn request(&self, wanted: &[(Place, i64)], max_wait_ms: i32) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for ((topic, partition), fetch_offset) in wanted {
            if topics.last().is_none_or(|last| last.topic != *topic) {
                topics.push(FetchTopic { topic: topic.clone(), ..Default::default() });
            }
            let partition = FetchPartition {
                partition: *partition,
                fetch_offset: *fetch_offset,
                partition_max_bytes: self.wanted.partition_max,
                ..Default::default()
            };
            if let Some(last) = topics.last_mut() {
                last.partitions.push(partition);
            }
        }
        FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: FETCH_MAX,
            isolation_level: i8::from(self.wanted.read_committed),
            topics,
            ..Default::default()
        }
    }
}

fn stop_on_signal(stop: Arc<AtomicBool>) {
    tokio::spawn(async move {
        let heard = tokio::signal::ctrl_c().await;
        stop.store(heard.is_ok(), Ordering::Relaxed);
    });
}
