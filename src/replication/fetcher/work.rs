//! What a fetcher's machine has done to a follower's log, and what it hears of it.
//!
//! Words only: the machine makes [`Work`], `follower.rs` carries it out. Every piece names the leader epoch it
//! was asked for in, so that a late one changes nothing.

use bytes::Bytes;

use crate::protocol::ids::{TopicPartition, Uuid};

/// A partition that a fetcher takes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Which.
    pub tp: TopicPartition,
    /// Its topic id, zero = none.
    pub topic_id: Uuid,
    /// Term of the leader to follow.
    pub leader_epoch: i32,
    /// Where the follower stands: its log end, or its high watermark if it knows no epoch.
    pub offset: i64,
    /// The newest epoch in its log; `None` (only old formats, or nothing yet) cuts the log to `offset` first.
    pub last_epoch: Option<i32>,
}

/// Something to do to one follower's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// Whose.
    pub tp: TopicPartition,
    /// The term in which the leader was asked: in any other nothing may be done.
    pub leader_epoch: i32,
    /// What.
    pub act: Act,
}

/// See [`Work`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Append what the leader sent, and take over its marks.
    Append(Fetched),
    /// The logs part within `epoch` or before: cut to where they agree, as far as this answer tells (KIP-595).
    CutAtEpoch {
        /// Where the follower stood when it asked.
        fetch_offset: i64,
        /// The largest epoch of the leader not above the follower's.
        epoch: i32,
        /// Where it ends at the leader.
        end_offset: i64,
    },
    /// Remove everything from this offset on.
    CutTo(i64),
    /// Remove everything, and begin anew at this offset.
    RestartAt(i64),
}

/// What the leader gave for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// What was asked for: must be the log end still.
    pub fetch_offset: i64,
    /// Record batches, perhaps none; the last may be cut short.
    pub records: Bytes,
    /// The leader's high watermark.
    pub high_watermark: i64,
    /// The leader's log start offset.
    pub log_start_offset: i64,
}

/// What became of a [`Work`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done; the follower stands here now.
    Done(Position),
    /// Not now: try again after the back-off. Says why.
    Later(String),
    /// Never, until the controller says something new: the log failed. Says why.
    Failed(String),
}

/// Where a follower's log ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// Offset of the next record.
    pub log_end_offset: i64,
    /// The newest epoch in the log.
    pub last_epoch: Option<i32>,
}
