//! The smallest shell a shard can have: virtual time, a log in memory, a high watermark that moves when told.
//!
//! It keeps the promises of `coordinator::shard`, and checks the shard's own: every ticket is answered once.
//! Every record goes through its bytes, so what is tested is what is stored.

use std::collections::BTreeSet;

use bytes::Bytes;
use ottla::clock::Timestamp;
use ottla::coordinator::committed::Uncommitted;
use ottla::coordinator::group::{Command, GroupConfig, GroupShard, Record, Reply, Timer};
use ottla::coordinator::shard::{Batch, Effects, Now, Position, Shard, Ticket};
use ottla::coordinator::timers::Timers;
use ottla::protocol::error_code::ErrorCode;

/// Wall time at the start; it runs apart from the steady time, so that mixing the two shows.
const START: i64 = 1_700_000_000_000;

/// An entry of the log.
#[derive(Clone, Debug)]
pub enum Entry {
    Record { key: Bytes, value: Option<Bytes>, transaction: Option<(i64, i16)>, base_sequence: i32 },
    Marker { producer_id: i64, commit: bool },
}

/// A shard and everything around it.
pub struct Bench {
    pub shard: GroupShard,
    pub config: GroupConfig,
    pub steady_ms: i64,
    pub wall_ms: i64,
    pub log: Vec<Entry>,
    pub high_watermark: i64,
    /// Keeps the high watermark where it is.
    pub hold: bool,
    /// Refuses appends; for want of replicas only those that need them.
    pub refuse: Option<ErrorCode>,
    timers: Timers<Timer>,
    parked: Uncommitted<(i64, Ticket, Reply)>,
    next_ticket: u64,
    open: BTreeSet<Ticket>,
    /// Answers since they were last taken, with the time.
    pub answered: Vec<(i64, Ticket, Reply)>,
}

impl Bench {
    pub fn new(config: GroupConfig) -> Bench {
        let mut bench = Bench {
            shard: GroupShard::new(config.clone()),
            config,
            steady_ms: 0,
            wall_ms: START,
            log: Vec::new(),
            high_watermark: 0,
            hold: false,
            refuse: None,
            timers: Timers::default(),
            parked: Uncommitted::default(),
            next_ticket: 0,
            open: BTreeSet::new(),
            answered: Vec::new(),
        };
        bench.call(|shard, now, out| shard.on_loaded(now, out));
        bench
    }

    pub fn now(&self) -> Now {
        Now { wall: Timestamp(self.wall_ms), steady_ms: self.steady_ms }
    }

    pub fn is_open(&self, ticket: Ticket) -> bool {
        self.open.contains(&ticket)
    }

    /// Hands a command in; answers turn up in `answered`.
    pub fn send(&mut self, command: Command) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.open.insert(ticket);
        self.call(|shard, now, out| shard.handle(now, ticket, command, out));
        ticket
    }

    fn call(&mut self, act: impl FnOnce(&mut GroupShard, Now, &mut Effects<GroupShard>)) {
        let mut out = Effects::default();
        let now = self.now();
        act(&mut self.shard, now, &mut out);
        self.perform(out);
        if !self.hold {
            self.commit(self.log.len() as i64);
        }
    }

    fn perform(&mut self, mut effects: Effects<GroupShard>) {
        while !effects.append.is_empty() {
            let batch = effects.append.remove(0);
            if let Err((code, batch)) = self.append(batch) {
                effects.append.insert(0, batch);
                let mut out = Effects::default();
                let now = self.now();
                self.shard.on_refused(now, code, effects, &mut out);
                return self.perform(out);
            }
        }
        for change in effects.timers {
            self.timers.apply(change);
        }
        for (ticket, reply) in effects.reply_now {
            self.answer(ticket, reply);
        }
        for (ticket, reply) in effects.reply_when_committed {
            let deadline_ms = self.steady_ms + self.config.commit_timeout_ms;
            self.parked.push(self.log.len() as i64 - 1, (deadline_ms, ticket, reply));
        }
    }

    fn append(&mut self, batch: Batch<Record>) -> Result<(), (ErrorCode, Batch<Record>)> {
        assert!(!batch.records.is_empty(), "a batch has records");
        let needs_isr = |code: &ErrorCode| *code == ErrorCode::NotEnoughReplicas;
        if let Some(code) = self.refuse.filter(|code| batch.acks_all || !needs_isr(code)) {
            return Err((code, batch));
        }
        let encoded: Result<Vec<_>, _> =
            batch.records.iter().map(|record| self.shard.encode(record)).collect();
        let Ok(encoded) = encoded else { return Err((ErrorCode::UnknownServerError, batch)) };
        for ((key, value), record) in encoded.into_iter().zip(batch.records) {
            let read = GroupShard::decode(key.clone(), value.clone()).expect("own records can be read");
            let read = read.expect("own records are known");
            assert_eq!(read, record, "a record survives its bytes");
            let offset = self.log.len() as i64;
            let Batch { transaction, base_sequence, .. } = batch;
            self.log.push(Entry::Record { key, value, transaction, base_sequence });
            self.shard.replay(Position { offset, transaction: transaction.map(|(id, _)| id) }, read);
        }
        Ok(())
    }

    fn answer(&mut self, ticket: Ticket, reply: Reply) {
        assert!(self.open.remove(&ticket), "{ticket:?} is answered a second time: {reply:?}");
        self.answered.push((self.steady_ms, ticket, reply));
    }

    /// Moves the high watermark.
    pub fn commit(&mut self, up_to: i64) {
        if up_to <= self.high_watermark {
            return;
        }
        self.high_watermark = up_to;
        let mut out = Effects::default();
        let now = self.now();
        self.shard.on_committed(now, up_to, &mut out);
        self.perform(out);
        while let Some((_, (_, ticket, reply))) = self.parked.pop_committed(up_to) {
            if self.open.contains(&ticket) {
                self.answer(ticket, reply);
            }
        }
    }

    /// Ends a producer's transaction.
    pub fn marker(&mut self, producer_id: i64, commit: bool) {
        self.log.push(Entry::Marker { producer_id, commit });
        self.commit(self.log.len() as i64);
        self.shard.replay_marker(producer_id, commit);
    }

    /// Lets time pass; timers fire on the way.
    pub fn sleep(&mut self, ms: i64) {
        let end_ms = self.steady_ms + ms;
        loop {
            let late = self.late_commits();
            let next_ms = self.timers.next_deadline_ms().into_iter().chain(late).min();
            let Some(next_ms) = next_ms.filter(|next_ms| *next_ms <= end_ms) else { break };
            let passed_ms = (next_ms - self.steady_ms).max(0);
            self.steady_ms += passed_ms;
            self.wall_ms += passed_ms;
            while let Some(timer) = self.timers.pop_due(self.steady_ms) {
                self.call(|shard, now, out| shard.on_timer(now, timer, out));
            }
            self.time_out_commits();
        }
        self.wall_ms += end_ms - self.steady_ms;
        self.steady_ms = end_ms;
    }

    fn late_commits(&mut self) -> Option<i64> {
        // Parked replies are few: a walk through a rebuilt queue keeps the container under test simple.
        let mut earliest = None;
        let mut kept = Uncommitted::default();
        while let Some((offset, item)) = self.parked.pop_committed(i64::MAX) {
            if self.open.contains(&item.1) {
                earliest = Some(earliest.map_or(item.0, |at: i64| at.min(item.0)));
                kept.push(offset, item);
            }
        }
        self.parked = kept;
        earliest
    }

    fn time_out_commits(&mut self) {
        let mut kept = Uncommitted::default();
        let mut late = Effects::default();
        while let Some((offset, item)) = self.parked.pop_committed(i64::MAX) {
            if item.0 <= self.steady_ms {
                late.reply_when_committed.push((item.1, item.2));
            } else {
                kept.push(offset, item);
            }
        }
        self.parked = kept;
        if !late.is_empty() {
            self.call(|shard, now, out| shard.on_refused(now, ErrorCode::RequestTimedOut, late, out));
        }
    }

    /// Leadership moves: parked requests are answered, and a new shard loads the log (`lost` entries shorter).
    pub fn fail_over(&mut self, lost: usize) {
        let mut out = Effects::default();
        let now = self.now();
        self.shard.resign(now, &mut out);
        self.perform(out);
        let mut late = Effects::default();
        while let Some((_, (_, ticket, reply))) = self.parked.pop_committed(i64::MAX) {
            late.reply_when_committed.push((ticket, reply));
        }
        let mut out = Effects::default();
        self.shard.on_refused(now, ErrorCode::NotLeaderOrFollower, late, &mut out);
        self.perform(out);
        self.log.truncate(self.log.len() - lost);
        self.load();
    }

    /// A new shard reads the log.
    pub fn load(&mut self) {
        self.timers = Timers::default();
        self.shard = GroupShard::new(self.config.clone());
        self.high_watermark = self.log.len() as i64;
        for (offset, entry) in self.log.iter().enumerate() {
            match entry {
                Entry::Marker { producer_id, commit } => self.shard.replay_marker(*producer_id, *commit),
                Entry::Record { key, value, transaction, .. } => {
                    let record = GroupShard::decode(key.clone(), value.clone()).expect("a readable record");
                    let transaction = transaction.map(|(producer_id, _)| producer_id);
                    if let Some(record) = record {
                        self.shard.replay(Position { offset: offset as i64, transaction }, record);
                    }
                }
            }
        }
        self.call(|shard, now, out| shard.on_loaded(now, out));
    }

    /// How many timers are set.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// After hours, nothing waits any more.
    pub fn check(&mut self) {
        self.hold = false;
        self.refuse = None;
        self.commit(self.log.len() as i64);
        for _ in 0..24 {
            self.sleep(3_600_000);
        }
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert_eq!(self.timers(), 0, "timers without end");
    }
}
