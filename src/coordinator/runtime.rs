//! The shell of a shard: one task per led partition that takes commands, writes what the shard asks for into the
//! partition's log, and answers when it is committed. It keeps the promises listed in [`super::shard`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::shard::{Batch, Effects, Now, Position, Shard, Ticket};
use super::timers::Timers;
use crate::clock::Clock;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::records::{BatchBuilder, BatchOptions, NewRecord};
use crate::replication::partition::Partition;
use crate::replication::purgatory::Waiting;
use crate::storage::producer_state::Origin;

/// A command and where its answer goes.
pub type Ask<S> = (<S as Shard>::Command, oneshot::Sender<<S as Shard>::Reply>);

/// What a task needs besides its shard.
pub struct Place {
    /// The partition whose log it writes.
    pub partition: Arc<Partition>,
    /// Since when this broker leads it: another term means that somebody else's turn has come in between.
    pub since: i32,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long an answer may wait to be committed (`offsets.commit.timeout.ms`).
    pub commit_timeout_ms: i64,
    /// Compression of what it writes (`offsets.topic.compression.codec`).
    pub compression: crate::protocol::records::batch::Compression,
}

/// An answer that waits for the high watermark.
struct Parked<R> {
    end: i64,
    deadline_ms: i64,
    replies: Vec<(Ticket, R)>,
}

struct Task<S: Shard> {
    shard: S,
    place: Place,
    timers: Timers<S::Timer>,
    tickets: HashMap<Ticket, oneshot::Sender<S::Reply>>,
    next_ticket: u64,
    parked: VecDeque<Parked<S::Reply>>,
    committed: i64,
}

/// Serves a loaded shard until `commands` is closed; then answers whoever still waits.
pub async fn run<S>(shard: S, place: Place, mut commands: mpsc::Receiver<Ask<S>>)
where
    S: Shard + Send,
{
    let waiting = Waiting::on(vec![place.partition.clone()]);
    let mut task = Task {
        shard,
        place,
        timers: Timers::default(),
        tickets: HashMap::new(),
        next_ticket: 0,
        parked: VecDeque::new(),
        committed: -1,
    };
    task.begin();
    loop {
        let deadline_ms = task.next_deadline_ms();
        let wait = deadline_ms.map(|deadline| (deadline - task.place.clock.steady_ms()).max(0) as u64);
        let timer = async {
            match wait {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ask = commands.recv() => match ask {
                Some((command, answer)) => task.command(command, answer),
                None => break,
            },
            () = waiting.touched() => task.look_at_mark(),
            () = timer => task.fire(),
        }
    }
    task.end();
}

impl<S: Shard> Task<S> {
    fn now(&self) -> Now {
        Now { wall: self.place.clock.now(), steady_ms: self.place.clock.steady_ms() }
    }

    fn begin(&mut self) {
        let mut out = Effects::default();
        self.shard.on_loaded(self.now(), &mut out);
        self.carry_out(out);
        self.look_at_mark();
    }

    fn end(&mut self) {
        let mut out = Effects::default();
        self.shard.resign(self.now(), &mut out);
        for (ticket, reply) in out.reply_now.into_iter().chain(out.reply_when_committed) {
            self.reply(ticket, reply);
        }
        // Parked answers are dropped: their senders close, and the asker answers NOT_COORDINATOR.
    }

    fn command(&mut self, command: S::Command, answer: oneshot::Sender<S::Reply>) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, answer);
        let mut out = Effects::default();
        self.shard.handle(self.now(), ticket, command, &mut out);
        self.carry_out(out);
    }

    fn fire(&mut self) {
        let now = self.now();
        while let Some(timer) = self.timers.pop_due(now.steady_ms) {
            let mut out = Effects::default();
            self.shard.on_timer(now, timer, &mut out);
            self.carry_out(out);
        }
        while self.parked.front().is_some_and(|parked| parked.deadline_ms <= now.steady_ms) {
            let Some(parked) = self.parked.pop_front() else { break };
            let undone = Effects { reply_when_committed: parked.replies, ..Effects::default() };
            self.refuse(ErrorCode::RequestTimedOut, undone);
        }
    }

    fn refuse(&mut self, code: ErrorCode, undone: Effects<S>) {
        let mut out = Effects::default();
        self.shard.on_refused(self.now(), code, undone, &mut out);
        self.carry_out(out);
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        let parked = self.parked.front().map(|parked| parked.deadline_ms);
        match (self.timers.next_deadline_ms(), parked) {
            (Some(timer), Some(parked)) => Some(timer.min(parked)),
            (timer, parked) => timer.or(parked),
        }
    }

    fn reply(&mut self, ticket: Ticket, reply: S::Reply) {
        if let Some(answer) = self.tickets.remove(&ticket) {
            // The asker may have hung up.
            let _gone = answer.send(reply);
        }
    }

    /// Does what a step asks for, in the order that [`super::shard`] promises.
    fn carry_out(&mut self, mut effects: Effects<S>) {
        let mut end = None;
        let batches = std::mem::take(&mut effects.append);
        let mut batches = VecDeque::from(batches);
        while let Some(batch) = batches.pop_front() {
            match self.append(&batch) {
                Ok(first) => {
                    let count = batch.records.len() as i64;
                    let transaction = batch.transaction.map(|(producer_id, _)| producer_id);
                    for (offset, record) in (first..).zip(batch.records) {
                        self.shard.replay(Position { offset, transaction }, record);
                    }
                    end = Some(first + count);
                }
                Err(code) => {
                    batches.push_front(batch);
                    effects.append = batches.into();
                    return self.refuse(code, effects);
                }
            }
        }
        for (ticket, reply) in effects.reply_now {
            self.reply(ticket, reply);
        }
        for change in effects.timers {
            self.timers.apply(change);
        }
        if !effects.reply_when_committed.is_empty() {
            let now = self.now();
            self.parked.push_back(Parked {
                end: end.unwrap_or(0),
                deadline_ms: now.steady_ms.saturating_add(self.place.commit_timeout_ms),
                replies: effects.reply_when_committed,
            });
        }
        if end.is_some() || !self.parked.is_empty() {
            self.look_at_mark();
        }
    }

    fn append(&self, batch: &Batch<S::Record>) -> Result<i64, ErrorCode> {
        if self.place.partition.leads_since() != Some(self.place.since) {
            tracing::debug!(partition = %self.place.partition.tp, "a coordinator's leadership is over");
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let bytes = self.encode(batch).map_err(|error| {
            tracing::error!(partition = %self.place.partition.tp, error, "a coordinator's records cannot be written");
            ErrorCode::UnknownServerError
        })?;
        let acks = if batch.acks_all { -1 } else { 0 };
        let now = self.place.clock.now();
        match self.place.partition.append_as_leader(&bytes, acks, Origin::Coordinator, now) {
            Ok(appended) => Ok(appended.info.first_offset),
            Err(refusal) => {
                tracing::warn!(partition = %self.place.partition.tp, %refusal, "a coordinator's append was refused");
                Err(refusal.code())
            }
        }
    }

    fn encode(&self, batch: &Batch<S::Record>) -> Result<Bytes, String> {
        let (producer_id, producer_epoch) = batch.transaction.unwrap_or((-1, -1));
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id,
            producer_epoch,
            base_sequence: batch.base_sequence,
            transactional: batch.transaction.is_some(),
            compression: self.place.compression,
            ..BatchOptions::default()
        });
        let timestamp = self.place.clock.now().0;
        for record in &batch.records {
            let (key, value) = self.shard.encode(record).map_err(|error| error.to_string())?;
            let record = NewRecord { timestamp, key: Some(&key), value: value.as_deref(), headers: &[] };
            builder.append(&record).map_err(|error| error.to_string())?;
        }
        builder.finish().map(Bytes::from).map_err(|error| error.to_string())
    }

    /// The high watermark may have moved.
    fn look_at_mark(&mut self) {
        let Ok(log) = self.place.partition.any_log(-1) else { return };
        let mark = log.high_watermark();
        if mark > self.committed {
            self.committed = mark;
            let mut out = Effects::default();
            self.shard.on_committed(self.now(), mark, &mut out);
            if !out.is_empty() {
                self.carry_out(out);
            }
        }
        while self.parked.front().is_some_and(|parked| parked.end <= self.committed) {
            let Some(parked) = self.parked.pop_front() else { break };
            for (ticket, reply) in parked.replies {
                self.reply(ticket, reply);
            }
        }
    }
}
