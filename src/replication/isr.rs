//! The leader's picture of its followers in one term: how far each has come, who is in sync, and the one change of
//! the ISR that may be under way (`Partition`, `Replica`, `PartitionState` in Kafka; KIP-497, KIP-704, KIP-841).
//!
//! Invariants: this broker is in the ISR it works with; at most one change is under way; until it is answered the
//! *maximal* ISR (old and joining members) must have a record before it counts as committed, and the *committed* ISR
//! is what `min.insync.replicas` is held against. A leaving member counts until the controller has agreed.
//! Pure: times are steady milliseconds given by the caller. Knows nothing of logs, requests or the controller.

use crate::bugs::{self, Bug};
use crate::protocol::error_code::ErrorCode;

/// Offset of a follower that has not fetched in this term.
const UNKNOWN: i64 = -1;
/// A follower that the controller refused to take in is not proposed again for so long: it is stopping, most likely, and
/// each of its fetches would ask again.
const REFUSED_MS: i64 = 500;

/// What the leader knows of one follower.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Follower {
    id: i32,
    log_start_offset: i64,
    log_end_offset: i64,
    /// Where the leader's log ended at its last fetch, and when that was.
    leader_end_at_fetch: i64,
    fetched_at_ms: i64,
    /// When it last had all that the leader had; `None` = never in this term.
    caught_up_at_ms: Option<i64>,
    /// When the controller refused to take it into the ISR, until it fetches [`REFUSED_MS`] later.
    refused_at_ms: Option<i64>,
}

impl Follower {
    fn new(id: i32, caught_up_at_ms: Option<i64>) -> Follower {
        Follower {
            id,
            log_start_offset: UNKNOWN,
            log_end_offset: UNKNOWN,
            leader_end_at_fetch: UNKNOWN,
            fetched_at_ms: i64::MIN,
            caught_up_at_ms,
            refused_at_ms: None,
        }
    }

    /// `Replica.updateFetchStateOrThrow`: a follower that has, at this fetch, all that the leader had at its last one
    /// was caught up at that last one.
    fn fetched(&mut self, at: &FetchedAt) {
        if at.offset >= at.leader_end {
            self.caught_up_at_ms = self.caught_up_at_ms.max(Some(at.now_ms));
        } else if at.offset >= self.leader_end_at_fetch {
            self.caught_up_at_ms = self.caught_up_at_ms.max(Some(self.fetched_at_ms));
        }
        self.log_start_offset = at.log_start_offset;
        self.log_end_offset = at.offset;
        self.leader_end_at_fetch = self.leader_end_at_fetch.max(at.leader_end);
        self.fetched_at_ms = at.now_ms;
        self.refused_at_ms = self.refused_at_ms.filter(|refused| at.now_ms - refused < REFUSED_MS);
    }

    fn is_caught_up(&self, leader_end: i64, now_ms: i64, lag_max_ms: i64) -> bool {
        let recently = |at: i64| now_ms.saturating_sub(at) <= lag_max_ms;
        self.log_end_offset == leader_end || self.caught_up_at_ms.is_some_and(recently)
    }
}

/// A follower's fetch, as the leader saw it.
#[derive(Copy, Clone, Debug)]
pub struct FetchedAt {
    /// From where it fetched: it has everything below.
    pub offset: i64,
    /// Its log start offset.
    pub log_start_offset: i64,
    /// Where the leader's log ended.
    pub leader_end: i64,
    /// When.
    pub now_ms: i64,
}

/// What a fetch told that was not known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The follower's log ends elsewhere: the high watermark may move.
    pub end: bool,
    /// It starts elsewhere: the low watermark may move.
    pub start: bool,
}

/// A state of the ISR that the leader asks the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The wanted ISR.
    pub isr: Vec<i32>,
    /// The partition epoch it is based on.
    pub partition_epoch: i32,
    /// The term.
    pub leader_epoch: i32,
}

/// What the controller made of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The ISR now.
    pub isr: Vec<i32>,
    /// Term.
    pub leader_epoch: i32,
    /// Version of the state znode now.
    pub partition_epoch: i32,
}

/// What an answer of the controller led to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The ISR is as agreed.
    Changed,
    /// Nothing changed: the answer is for something else, or the next LeaderAndIsr will tell.
    Ignored,
    /// The change is off, the ISR as it was.
    RolledBack,
    /// Ask again.
    Retry,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Isr {
    me: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    /// First offset of this term.
    epoch_start: i64,
    committed: Vec<i32>,
    proposed: Option<Proposal>,
    followers: Vec<Follower>,
}

/// What LeaderAndIsr says of a partition that this broker leads.
#[derive(Copy, Clone, Debug)]
pub struct Term<'a> {
    /// Term.
    pub leader_epoch: i32,
    /// Version of the state znode.
    pub partition_epoch: i32,
    /// In-sync replicas.
    pub isr: &'a [i32],
    /// All replicas.
    pub replicas: &'a [i32],
    /// First offset of this term.
    pub epoch_start: i64,
}

impl Isr {
    /// The picture at the beginning of a term. `before` is that of the term before when this broker led then: what
    /// followers had told stays known (`Replica.resetReplicaState`).
    pub fn begin(me: i32, term: Term<'_>, before: Option<&Isr>, now_ms: i64) -> Isr {
        let followers = term.replicas.iter().filter(|id| **id != me).map(|id| {
            let in_sync = term.isr.contains(id);
            let mut follower = Follower::new(*id, in_sync.then_some(now_ms));
            if let Some(known) = before.and_then(|before| before.follower(*id)) {
                follower.log_start_offset = known.log_start_offset;
                follower.log_end_offset = known.log_end_offset;
                if in_sync {
                    follower.leader_end_at_fetch = term.epoch_start;
                    follower.fetched_at_ms = now_ms;
                }
            }
            follower
        });
        Isr {
            me,
            leader_epoch: term.leader_epoch,
            partition_epoch: term.partition_epoch,
            epoch_start: term.epoch_start,
            committed: term.isr.to_vec(),
            proposed: None,
            followers: followers.collect(),
        }
    }

    /// The ISR as the controller last agreed to it.
    pub fn committed(&self) -> &[i32] {
        &self.committed
    }

    /// Version of the state znode.
    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// First offset of this term.
    pub fn epoch_start(&self) -> i64 {
        self.epoch_start
    }

    /// The change under way.
    pub fn proposed(&self) -> Option<&Proposal> {
        self.proposed.as_ref()
    }

    /// Members of the ISR or about to be.
    pub fn maximal_len(&self) -> usize {
        let joining = self
            .proposed
            .as_ref()
            .map_or(0, |proposal| proposal.isr.iter().filter(|id| !self.committed.contains(id)).count());
        self.committed.len() + joining
    }

    fn is_in_maximal(&self, id: i32) -> bool {
        self.committed.contains(&id)
            || self.proposed.as_ref().is_some_and(|proposal| proposal.isr.contains(&id))
    }

    fn follower(&self, id: i32) -> Option<&Follower> {
        self.followers.iter().find(|follower| follower.id == id)
    }

    /// Whether this broker knows `id` as a replica.
    pub fn knows(&self, id: i32) -> bool {
        self.follower(id).is_some()
    }

    /// Whether `id` is in the ISR.
    pub fn is_in_sync(&self, id: i32) -> bool {
        self.committed.contains(&id)
    }

    /// Notes a fetch. `None` if `id` is no replica.
    pub fn on_fetch(&mut self, id: i32, at: &FetchedAt) -> Option<Moved> {
        let follower = self.followers.iter_mut().find(|follower| follower.id == id)?;
        let before = (follower.log_end_offset, follower.log_start_offset);
        follower.fetched(at);
        Some(Moved { end: before.0 != at.offset, start: before.1 != at.log_start_offset })
    }

    /// Proposes to let `id` join, if it has everything that is committed and has come into this term
    /// (KAFKA-7128); nothing while another change is under way. The caller has checked that the broker is alive.
    pub fn expand(&mut self, id: i32, high_watermark: i64) -> Option<Proposal> {
        if self.proposed.is_some() || self.committed.contains(&id) {
            return None;
        }
        let follower = self.follower(id).filter(|follower| follower.refused_at_ms.is_none())?;
        let end = follower.log_end_offset;
        let has_come_into_term = end >= self.epoch_start || bugs::is_back(Bug::R7);
        if end < high_watermark || !has_come_into_term {
            return None;
        }
        let isr = self.committed.iter().copied().chain([id]).collect();
        Some(self.propose(isr))
    }

    /// Whether [`Isr::expand`] is worth a try: cheap, for each fetch.
    pub fn may_expand(&self, id: i32) -> bool {
        self.proposed.is_none() && !self.committed.contains(&id)
    }

    /// Proposes to drop members that have not been caught up for `lag_max_ms`.
    pub fn shrink(&mut self, leader_end: i64, now_ms: i64, lag_max_ms: i64) -> Option<Proposal> {
        if self.proposed.is_some() {
            return None;
        }
        let in_sync = |id: &i32| {
            *id == self.me
                || self
                    .follower(*id)
                    .is_some_and(|follower| follower.is_caught_up(leader_end, now_ms, lag_max_ms))
        };
        let isr: Vec<i32> = self.committed.iter().copied().filter(in_sync).collect();
        if isr.len() == self.committed.len() {
            return None;
        }
        Some(self.propose(isr))
    }

    fn propose(&mut self, isr: Vec<i32>) -> Proposal {
        let proposal =
            Proposal { isr, partition_epoch: self.partition_epoch, leader_epoch: self.leader_epoch };
        self.proposed = Some(proposal.clone());
        proposal
    }

    /// Takes the controller's answer to `asked` (`Partition.submitAlterPartition`). Codes that mean that the leader's
    /// view is old leave the change standing: the next LeaderAndIsr replaces it.
    pub fn settle(&mut self, asked: &Proposal, answer: Result<&Agreed, ErrorCode>, now_ms: i64) -> Settled {
        if self.proposed.as_ref() != Some(asked) {
            return Settled::Ignored;
        }
        match answer {
            Ok(agreed) if agreed.leader_epoch != self.leader_epoch => Settled::Ignored,
            Ok(agreed) if agreed.partition_epoch < self.partition_epoch => Settled::Ignored,
            Ok(agreed) => {
                self.committed.clone_from(&agreed.isr);
                self.partition_epoch = agreed.partition_epoch;
                self.proposed = None;
                Settled::Changed
            }
            Err(ErrorCode::OperationNotAttempted) => {
                self.proposed = None;
                Settled::RolledBack
            }
            Err(ErrorCode::IneligibleReplica) => {
                self.proposed = None;
                let joining = self.followers.iter_mut().filter(|follower| {
                    asked.isr.contains(&follower.id) && !self.committed.contains(&follower.id)
                });
                joining.for_each(|follower| follower.refused_at_ms = Some(now_ms));
                Settled::RolledBack
            }
            Err(
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::InvalidUpdateVersion
                | ErrorCode::InvalidRequest
                | ErrorCode::NewLeaderElected,
            ) => Settled::Ignored,
            Err(_) if bugs::is_back(Bug::R21) => Settled::Ignored,
            Err(_) => Settled::Retry,
        }
    }

    /// Where the high watermark belongs: the smallest end of all members of the maximal ISR and of live followers that
    /// are caught up and will join soon (`Partition.maybeIncrementLeaderHW`); one that the controller has refused will
    /// not. Never a reason to go back.
    pub fn high_watermark(
        &self,
        leader_end: i64,
        now_ms: i64,
        lag_max_ms: i64,
        is_alive: &dyn Fn(i32) -> bool,
    ) -> i64 {
        let mut mark = leader_end;
        for follower in &self.followers {
            if follower.log_end_offset >= mark {
                continue;
            }
            let counts = self.is_in_maximal(follower.id)
                || follower.refused_at_ms.is_none()
                    && follower.is_caught_up(leader_end, now_ms, lag_max_ms)
                    && is_alive(follower.id);
            if counts {
                mark = follower.log_end_offset;
            }
        }
        mark
    }

    /// The smallest log start of this broker's log and of all live followers: below it records are gone everywhere
    /// (DeleteRecords, KIP-107).
    pub fn low_watermark(&self, log_start: i64, is_alive: &dyn Fn(i32) -> bool) -> i64 {
        let live = self.followers.iter().filter(|follower| is_alive(follower.id));
        live.map(|follower| follower.log_start_offset).chain([log_start]).min().unwrap_or(log_start)
    }

    /// In-sync followers that have `offset`, with log end and time they were last caught up: who may serve a consumer.
    pub fn readable_at(&self, offset: i64) -> impl Iterator<Item = (i32, i64, Option<i64>)> {
        self.followers
            .iter()
            .filter(move |follower| {
                self.committed.contains(&follower.id)
                    && (follower.log_start_offset..=follower.log_end_offset).contains(&offset)
            })
            .map(|follower| (follower.id, follower.log_end_offset, follower.caught_up_at_ms))
    }
}

#[cfg(test)]
mod tests;
