//! `ottla consume`: prints records.
//!
//! Partitions are read from their leaders, one fetch in flight. With a group, what is printed is committed after it is
//! printed: at least once. Source: `ConsoleConsumer`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::connect::{self, Bootstrap, Client, Patience};
use super::explain::{explain, passes};
use super::groups;
use super::member::Member;
use super::offsets::{self, From, Place, missing};
use super::output::count;
use super::printing::{Format, Printer};
use super::reading::{Then, read};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::FetchRequest;
use crate::protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};

/// The last version that names topics by name.
const BY_NAME: i16 = 12;
const FETCH_MAX: i32 = 16 << 20;
const PARTITION_MAX: i32 = 1 << 20;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// `ottla consume`.
#[derive(Debug, Args)]
pub struct Consume {
    /// The topic.
    topic: String,
    #[command(flatten)]
    at: Bootstrap,
    /// earliest, latest or an offset; with a group, where there is nothing committed.
    #[arg(long, value_parser = offsets::parse_from, default_value = "earliest")]
    from: From,
    /// Only this partition.
    #[arg(long, conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Reads as a member of a consumer group, and commits.
    #[arg(long)]
    group: Option<String>,
    /// Ends after so many records.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Ends when no record came for so many milliseconds.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Leaves out records of open and aborted transactions.
    #[arg(long)]
    read_committed: bool,
    /// What is printed, one line a record.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Consume {
    /// Runs the command.
    pub fn run(self) -> Result<(), String> {
        connect::run(async {
            let mut client = Client::connect(&self.at).await?;
            let leaders = offsets::leaders(&mut client, std::slice::from_ref(&self.topic)).await?;
            if let Some(place) = self.partition.map(|partition| (self.topic.clone(), partition))
                && !leaders.contains_key(&place)
            {
                return Err(missing(&place));
            }
            let member = self.group.as_ref().map(|group| Member::new(group, &self.topic));
            let mut reader = Reader {
                command: &self,
                client,
                leaders,
                member,
                positions: BTreeMap::new(),
                printed_to: BTreeMap::new(),
                printer: Printer::new(self.format),
                printed: 0,
            };
            let result = reader.run().await;
            let ended = reader.end().await;
            eprintln!("read {}", count(reader.printed, "record"));
            result.and(ended)
        })
    }
}

struct Reader<'a> {
    command: &'a Consume,
    client: Client,
    leaders: BTreeMap<Place, i32>,
    member: Option<Member>,
    /// Where to read on.
    positions: BTreeMap<Place, i64>,
    /// What is printed and not yet committed.
    printed_to: BTreeMap<Place, i64>,
    printer: Printer,
    printed: u64,
}

impl Reader<'_> {
    async fn run(&mut self) -> Result<(), String> {
        let stop = Arc::new(AtomicBool::new(false));
        if self.member.is_some() {
            // Without a group the signal may end the process as it likes.
            let stop = stop.clone();
            tokio::spawn(async move {
                let heard = tokio::signal::ctrl_c().await;
                stop.store(heard.is_ok(), Ordering::Relaxed);
            });
        }
        self.take_partitions().await?;
        let (mut last, mut committed, mut patience) = (Instant::now(), Instant::now(), Patience::usual());
        while !stop.load(Ordering::Relaxed) && !self.is_done() {
            let before = self.printed;
            match self.poll().await? {
                None => patience = Patience::usual(),
                Some(failure) if !patience.wait().await => return Err(failure),
                Some(_) => self.leaders = self.find_leaders().await?,
            }
            if self.printed > before {
                last = Instant::now();
            } else if self.command.timeout.is_some_and(|ms| last.elapsed() >= Duration::from_millis(ms)) {
                break;
            }
            let mut stays = true;
            if let Some(member) = &mut self.member {
                if committed.elapsed() >= COMMIT_EVERY {
                    stays = member.commit(&mut self.client, &self.printed_to).await?;
                    self.printed_to.clear();
                    committed = Instant::now();
                }
                stays &= member.beat(&mut self.client).await?;
            }
            if !stays {
                self.take_partitions().await?;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.printer.is_closed() || self.command.max.is_some_and(|max| self.printed >= max)
    }

    /// Commits, leaves, and hands over what is not yet written.
    async fn end(&mut self) -> Result<(), String> {
        let flushed = self.printer.flush();
        if let Some(member) = &self.member {
            member.commit(&mut self.client, &self.printed_to).await?;
            member.leave(&mut self.client).await?;
        }
        flushed
    }

    async fn find_leaders(&mut self) -> Result<BTreeMap<Place, i32>, String> {
        offsets::leaders(&mut self.client, std::slice::from_ref(&self.command.topic)).await
    }

    /// Joins the group if there is one, and finds where to read.
    async fn take_partitions(&mut self) -> Result<(), String> {
        let mut committed = BTreeMap::new();
        let places: Vec<Place> = match (&mut self.member, &self.command.group) {
            (Some(member), Some(group)) => {
                // What was printed counts, if the group still takes it.
                member.commit(&mut self.client, &std::mem::take(&mut self.printed_to)).await?;
                let places = member.join(&mut self.client).await?;
                committed = groups::committed(&mut self.client, group).await?;
                places
            }
            _ => {
                let wanted = |place: &&Place| self.command.partition.is_none_or(|p| place.1 == p);
                self.leaders.keys().filter(wanted).cloned().collect()
            }
        };
        let fresh: Vec<Place> =
            places.iter().filter(|place| !committed.contains_key(*place)).cloned().collect();
        self.positions = match self.command.from {
            From::Offset(offset) => fresh.into_iter().map(|place| (place, offset)).collect(),
            From::End(end) => {
                offsets::ends(&mut self.client, &fresh, end, self.command.read_committed).await?
            }
        };
        let old = committed.into_iter().filter(|(place, _)| places.contains(place));
        self.positions.extend(old);
        self.leaders = self.find_leaders().await?;
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
            self.printer.flush()?;
        }
        Ok(failure)
    }

    async fn take(&mut self, place: Place, data: PartitionData) -> Result<Option<String>, String> {
        let Some(from) = self.positions.get(&place).copied() else { return Ok(None) };
        let what = format!("partition {}-{}", place.0, place.1);
        if data.error_code == ErrorCode::OffsetOutOfRange.code() {
            let end = match self.command.from {
                From::End(end) => end,
                From::Offset(_) => {
                    return Err(explain(data.error_code, None, &format!("{what} at offset {from}")));
                }
            };
            eprintln!("ottla: {what} has no offset {from} any more; going on at {end:?}");
            let places = [place];
            let found = offsets::ends(&mut self.client, &places, end, self.command.read_committed).await?;
            self.positions.extend(found);
            return Ok(None);
        }
        if data.error_code != 0 {
            let text = explain(data.error_code, None, &what);
            return if passes(data.error_code) { Ok(Some(text)) } else { Err(text) };
        }
        let block = data.records.unwrap_or_default();
        let block = block.as_bytes().map(|bytes| bytes.as_ref()).unwrap_or_default();
        if block.is_empty() || self.is_done() {
            return Ok(None);
        }
        let aborted = data.aborted_transactions.unwrap_or_default();
        let (max, printed, printer) = (self.command.max, &mut self.printed, &mut self.printer);
        let next = read(block, from, &aborted, &mut |record| {
            printer.print(&place, record)?;
            *printed += 1;
            let enough = printer.is_closed() || max.is_some_and(|max| *printed >= max);
            Ok(if enough { Then::Stop } else { Then::Next })
        })?;
        self.positions.insert(place.clone(), next);
        self.printed_to.insert(place, next);
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
                partition_max_bytes: PARTITION_MAX,
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
            isolation_level: i8::from(self.command.read_committed),
            topics,
            ..Default::default()
        }
    }
}
