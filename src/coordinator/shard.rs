//! The contract between a coordinator's logic (a `Shard`) and the shell that runs it.
//!
//! A shard is one partition of `__consumer_offsets` or `__transaction_state`: a pure state machine without clock,
//! socket, file or task. A waiting client is a [`Ticket`], a number that the shell can turn back into a connection.
//!
//! The shell keeps these promises, and shards rely on them:
//! 1. One call at a time. After each call the shell carries out what was put into [`Effects`] before the next call:
//!    first `append`, batch by batch; each record of an accepted batch goes to [`Shard::replay`] with its offset.
//!    **Nothing runs between `handle` (or any other call with effects) and these replays.**
//! 2. Only then the rest leaves the house: `reply_now`, timers, errands; `reply_when_committed` is parked until
//!    the high watermark passes the step's last record.
//! 3. At the first refused batch the rest is not tried and *nothing* leaves: the shell gives the whole remainder
//!    to [`Shard::on_refused`]. As replay is the only mutation of durable state, a refused append has mutated
//!    nothing durable; `on_refused` answers the tickets and passes on what still stands (its timers, say).
//!    A record that cannot be encoded (a text beyond the format's 32 KiB) is a batch refused `UnknownServerError`.
//! 4. A parked reply that is not committed in time comes back through `on_refused` too, with `RequestTimedOut`
//!    and no batches. Its record stays in the log and may still be committed later.
//! 5. When the high watermark moves: `on_committed` first, then the parked replies it releases.
//! 6. Loading is `replay` and `replay_marker` over the whole log, then `on_loaded` once, then commands. Leadership
//!    lost, or in doubt: `resign`, and the shard is dropped.
//! 7. A timer is a key with a deadline; setting a key again moves it. Due timers come back through `on_timer`,
//!    once; a shard must bear one that is no longer of interest.
//!
//! Knows nothing of groups, transactions, logs or networks. Source: the shard contract of Kafka's
//! `CoordinatorRuntime` (KIP-848), with futures and timeline snapshots taken out.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;

/// A client that waits for an answer.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// The moment of a call, on both clocks: what is stored or sent uses `wall`; every deadline uses `steady_ms`,
/// so that a step of the wall clock expires no session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Now {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Milliseconds of a clock that never goes back, from an arbitrary start.
    pub steady_ms: i64,
}

/// Where a replayed record stands in the log.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The record's offset.
    pub offset: i64,
    /// The producer whose transaction the record belongs to; `None` outside of transactions.
    pub transaction: Option<i64>,
}

/// Records that become one batch in the shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<R> {
    /// Never empty.
    pub records: Vec<R>,
    /// The batch's base sequence; Kafka writes 0 for offset commits and -1 for everything else.
    pub base_sequence: i32,
    /// Producer id and epoch of a transactional batch.
    pub transaction: Option<(i64, i16)>,
    /// Whether the append is refused while the ISR is below `min.insync.replicas` (acks -1). Without it the batch
    /// is written whenever this broker leads (acks 0): tombstones, which are simply written again if lost.
    pub acks_all: bool,
}

/// A change of one timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange<K> {
    /// Fire at this `steady_ms`, instead of any earlier setting of the same key.
    Set(K, i64),
    /// Forget the key.
    Cancel(K),
}

/// What one step asks for. See the head of this file for the order in which it is carried out.
#[derive(Debug)]
pub struct Effects<S: Shard + ?Sized> {
    /// Batches to append, in order.
    pub append: Vec<Batch<S::Record>>,
    /// Answers that leave once the batches are in the local log.
    pub reply_now: Vec<(Ticket, S::Reply)>,
    /// Answers that leave once the batches are committed.
    pub reply_when_committed: Vec<(Ticket, S::Reply)>,
    /// Timers to set and to cancel, in order.
    pub timers: Vec<TimerChange<S::Timer>>,
    /// Work to be done elsewhere; its result returns as a command.
    pub errands: Vec<S::Errand>,
}

impl<S: Shard + ?Sized> Default for Effects<S> {
    fn default() -> Effects<S> {
        Effects {
            append: Vec::new(),
            reply_now: Vec::new(),
            reply_when_committed: Vec::new(),
            timers: Vec::new(),
            errands: Vec::new(),
        }
    }
}

impl<S: Shard + ?Sized> Effects<S> {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.append.is_empty()
            && self.reply_now.is_empty()
            && self.reply_when_committed.is_empty()
            && self.timers.is_empty()
            && self.errands.is_empty()
    }
}

/// One partition of a coordinator's topic.
pub trait Shard {
    /// A client's request, or one of the broker itself.
    type Command;
    /// The answer to a command; every ticket gets exactly one.
    type Reply;
    /// A record of the topic.
    type Record;
    /// The key of a timer.
    type Timer: Ord + Clone;
    /// Work elsewhere (transactions: write markers).
    type Errand;
    /// Why bytes are no record, or a record has no bytes.
    type Malformed: std::error::Error;

    /// Takes a command. Answers through `out`, at once or later.
    fn handle(&mut self, now: Now, ticket: Ticket, command: Self::Command, out: &mut Effects<Self>);

    /// A timer is due.
    fn on_timer(&mut self, now: Now, timer: Self::Timer, out: &mut Effects<Self>);

    /// A record is in the log. The only mutation of durable state, and also how the shard loads.
    fn replay(&mut self, at: Position, record: Self::Record);

    /// A producer's transaction is decided: its marker was met while loading, or is committed.
    fn replay_marker(&mut self, producer_id: i64, committed: bool);

    /// Everything in the log was replayed; commands follow.
    fn on_loaded(&mut self, now: Now, out: &mut Effects<Self>);

    /// Records below `up_to` (the high watermark) are committed.
    fn on_committed(&mut self, now: Now, up_to: i64, out: &mut Effects<Self>);

    /// `undone` was refused with `code`, or (without batches) was not committed in time.
    fn on_refused(&mut self, now: Now, code: ErrorCode, undone: Effects<Self>, out: &mut Effects<Self>);

    /// Leadership is gone: answers every ticket the shard holds. The shard is dropped afterwards.
    fn resign(&mut self, now: Now, out: &mut Effects<Self>);

    /// The answer to a command that never reached a shard: loading, not ours, shutting down.
    fn refuse(command: Self::Command, code: ErrorCode) -> Self::Reply;

    /// A record's key and value; no value is a tombstone.
    fn encode(&self, record: &Self::Record) -> Result<(Bytes, Option<Bytes>), Self::Malformed>;

    /// The record in these bytes; `None` for a kind that this shard does not know, which loading skips.
    fn decode(key: Bytes, value: Option<Bytes>) -> Result<Option<Self::Record>, Self::Malformed>;
}
