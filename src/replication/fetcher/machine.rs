//! One fetcher: what to ask one leader next, and what to do with its answers (`AbstractFetcherThread`).
//!
//! Each partition is fetching, about to be cut, asking for the leader's offsets, or waiting for its work to be done;
//! and it may be delayed on top of that. At most one request is under way. An answer counts for a partition only if
//! it still stands where it stood when it was asked: same leader epoch, same offset. A failed partition leaves the
//! machine until it is added anew. A request costs what has changed since the last, not the number of partitions.
//! Pure: `now` is a clock that never goes back; knows no log, no socket; `follower.rs` does the work.
//! Where Kafka asks for the offsets of one partition after the other, all that are out of range are asked together.

mod answers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::protocol::messages::{FetchResponse, ListOffsetsResponse};

use super::requests::{self, EARLIEST, LATEST, Request, Settings};
use super::session::{Asked, Session};
use super::work::{Act, Outcome, Position, Start, Work};

/// How often the log starts of partitions in the session are looked at; those that changed with an append are told
/// at once.
const REFRESH_MS: i64 = 1_000;
/// First pause when a leader has not heard of its term yet; each further one is twice as long, up to the back-off.
const FIRST_PAUSE_MS: i64 = 10;

/// Where a partition is in its life.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// It is, or will be, in the next request.
    Fetching,
    /// Its log must be cut to its offset before anything is fetched.
    Cutting,
    /// Its offset is outside the leader's log: where does that end?
    AskingLatest,
    /// And where does it start?
    AskingEarliest,
    /// Work was given out for it.
    Working,
}

#[derive(Clone, Debug)]
struct State {
    topic_id: Uuid,
    leader_epoch: i32,
    fetch_offset: i64,
    last_epoch: Option<i32>,
    /// How far behind the leader's high watermark; `None` = not known yet.
    lag: Option<i64>,
    phase: Phase,
    delayed_until: Option<Timestamp>,
    /// The last pause because its leader had not heard of its term yet; 0 = it has.
    early_pause_ms: i64,
    /// Its place in the order: lowest first.
    turn: u64,
    is_dirty: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        self.phase == Phase::Fetching && self.delayed_until.is_none()
    }
}

/// What the machine cannot know of a partition itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// Start of the follower's log.
    pub log_start_offset: i64,
    /// Whether the follower's replication quota covers it.
    pub is_throttled: bool,
}

/// What to do next.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Send this; the answer goes to [`Machine::on_fetch`] or [`Machine::on_offsets`], or to [`Machine::on_failure`].
    Ask(Request),
    /// Do this first.
    Do(Vec<Work>),
    /// Nothing until a partition is added or this time comes.
    Wait(Option<Timestamp>),
}

/// What a fetcher has seen so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Bytes of records received.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    session: Session,
    partitions: BTreeMap<TopicPartition, State>,
    /// Why they failed.
    failed: BTreeMap<TopicPartition, String>,
    /// Partitions whose part of the session may have to change.
    dirty: Vec<TopicPartition>,
    delays: BTreeSet<(Timestamp, TopicPartition)>,
    turns: u64,
    refreshed: Timestamp,
    was_exceeded: bool,
    /// Partitions in [`Phase::Cutting`] or one of the asking ones, delayed or not.
    unsettled: BTreeSet<TopicPartition>,
    counts: Counts,
}

impl Machine {
    /// A fetcher without partitions.
    pub fn new(settings: Settings) -> Machine {
        Machine {
            session: Session::new(settings.versions.know_ids()),
            settings,
            partitions: BTreeMap::new(),
            failed: BTreeMap::new(),
            dirty: Vec::new(),
            delays: BTreeSet::new(),
            turns: 0,
            refreshed: Timestamp(i64::MIN),
            was_exceeded: false,
            unsettled: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a partition on. One that is here in the same term stays where it is.
    pub fn add(&mut self, start: Start) {
        self.failed.remove(&start.tp);
        let known = self.partitions.get(&start.tp);
        if known.is_some_and(|state| state.leader_epoch == start.leader_epoch) {
            self.set_topic_id(&start.tp, start.topic_id);
            return;
        }
        self.take_out(&start.tp);
        let phase = if start.last_epoch.is_some() { Phase::Fetching } else { Phase::Cutting };
        let turn = self.next_turn();
        let state = State {
            topic_id: start.topic_id,
            leader_epoch: start.leader_epoch,
            fetch_offset: start.offset,
            last_epoch: start.last_epoch,
            lag: None,
            phase,
            delayed_until: None,
            early_pause_ms: 0,
            turn,
            is_dirty: false,
        };
        self.partitions.insert(start.tp.clone(), state);
        self.enter(&start.tp, phase);
    }

    /// The topic has got an id, or lost it (zero).
    pub fn set_topic_id(&mut self, tp: &TopicPartition, topic_id: Uuid) {
        if let Some(state) = self.partitions.get_mut(tp) {
            state.topic_id = topic_id;
            self.mark(tp);
        }
    }

    /// Lets a partition go. Whether it was here, failed ones too.
    pub fn remove(&mut self, tp: &TopicPartition) -> bool {
        let had_failed = self.failed.remove(tp).is_some();
        self.take_out(tp) || had_failed
    }

    /// Whether there is nothing to fetch.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The partitions with their leader epochs.
    pub fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, i32)> {
        self.partitions.iter().map(|(tp, state)| (tp, state.leader_epoch))
    }

    /// Partitions that failed, and why; they wait for the controller.
    pub fn failed(&self) -> &BTreeMap<TopicPartition, String> {
        &self.failed
    }

    /// Records that the partition furthest behind lacks, up to the leader's high watermark.
    pub fn max_lag(&self) -> i64 {
        self.partitions.values().filter_map(|state| state.lag).max().unwrap_or(0)
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What to do next. `broker_epoch` is that of this broker's registration, `quota_exceeded` whether the follower's
    /// replication quota is used up; `local` tells of a partition's log, `None` if it is offline.
    pub fn next(
        &mut self,
        now: Timestamp,
        broker_epoch: i64,
        quota_exceeded: bool,
        mut local: impl FnMut(&TopicPartition) -> Option<Local>,
    ) -> Step {
        self.end_delays(now);
        if let Some(step) = self.settle() {
            return step;
        }
        let refresh_due = now.since_ms(self.refreshed) >= REFRESH_MS;
        if quota_exceeded || self.was_exceeded || refresh_due {
            self.mark_all();
            (self.refreshed, self.was_exceeded) = (now, quota_exceeded);
        }
        let mut wanted = |machine: &mut Machine, tp: &TopicPartition| {
            let state = machine.partitions.get(tp).filter(|state| state.is_ready())?;
            let asked = Asked {
                topic_id: state.topic_id,
                fetch_offset: state.fetch_offset,
                log_start_offset: 0,
                leader_epoch: state.leader_epoch,
                last_epoch: state.last_epoch.unwrap_or(-1),
            };
            let in_sync = state.lag.is_some_and(|lag| lag <= 0);
            match local(tp) {
                Some(local) if quota_exceeded && local.is_throttled && !in_sync => None,
                Some(local) => Some(Asked { log_start_offset: local.log_start_offset, ..asked }),
                None => {
                    machine.delay(now, tp);
                    None
                }
            }
        };
        let dirty = std::mem::take(&mut self.dirty);
        let mut changes = Vec::with_capacity(dirty.len());
        for tp in dirty {
            if let Some(state) = self.partitions.get_mut(&tp) {
                state.is_dirty = false;
            }
            let asked = wanted(self, &tp);
            changes.push((tp, asked));
        }
        if !self.session.takes(&changes) {
            self.session.restart();
        }
        let built = match self.session.is_full() {
            false => self.session.build_incremental(changes),
            true => {
                let in_turn = self.in_turn();
                let all = in_turn.into_iter().filter_map(|tp| Some((wanted(self, &tp)?, tp)));
                let all: Vec<(TopicPartition, Asked)> = all.map(|(asked, tp)| (tp, asked)).collect();
                if all.is_empty() {
                    return Step::Wait(self.wake_at(now));
                }
                self.session.build_full(all)
            }
        };
        if self.session.is_empty() && built.forget.is_empty() {
            return Step::Wait(self.wake_at(now));
        }
        self.counts.requests += 1;
        // No longer than until a partition that is left out now wants to be in again.
        let pause_ms = self.wake_at(now).map_or(i64::MAX, |until| until.since_ms(now));
        let max_wait_ms = pause_ms.clamp(0, self.settings.max_wait_ms.into()) as i32;
        Step::Ask(requests::fetch(&self.settings, broker_epoch, max_wait_ms, built))
    }

    /// What partitions need before they can fetch.
    fn settle(&mut self) -> Option<Step> {
        let ready: Vec<TopicPartition> = self
            .unsettled
            .iter()
            .filter(|tp| self.partitions[*tp].delayed_until.is_none())
            .cloned()
            .collect();
        let (mut work, mut asked) = (Vec::new(), Vec::new());
        for tp in ready {
            let state = &self.partitions[&tp];
            let leader_epoch = state.leader_epoch;
            match state.phase {
                Phase::AskingLatest => asked.push((tp, leader_epoch, LATEST)),
                Phase::AskingEarliest => asked.push((tp, leader_epoch, EARLIEST)),
                Phase::Cutting => {
                    let act = Act::CutTo(state.fetch_offset);
                    self.enter(&tp, Phase::Working);
                    work.push(Work { tp, leader_epoch, act });
                }
                Phase::Fetching | Phase::Working => {}
            }
        }
        match (work.is_empty(), asked.is_empty()) {
            (false, _) => Some(Step::Do(work)),
            (true, false) => {
                self.counts.requests += 1;
                Some(Step::Ask(requests::list_offsets(&self.settings, &asked)))
            }
            (true, true) => None,
        }
    }

    /// A Fetch was answered.
    pub fn on_fetch(&mut self, now: Timestamp, response: FetchResponse) -> Vec<Work> {
        answers::on_fetch(self, now, response)
    }

    /// A ListOffsets was answered.
    pub fn on_offsets(&mut self, now: Timestamp, response: &ListOffsetsResponse) -> Vec<Work> {
        answers::on_offsets(self, now, response)
    }

    /// A request was not answered: everything waits a while, and the session begins anew.
    pub fn on_failure(&mut self, now: Timestamp) {
        self.session.on_failure();
        self.delay_all(now);
    }

    /// A piece of work was done, or not.
    pub fn on_done(&mut self, now: Timestamp, work: &Work, outcome: Outcome) {
        answers::on_done(self, now, work, outcome);
    }
}

/// The order and the states of the partitions.
impl Machine {
    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    fn in_turn(&self) -> Vec<TopicPartition> {
        let mut order: Vec<(u64, &TopicPartition)> =
            self.partitions.iter().map(|(tp, state)| (state.turn, tp)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, tp)| tp.clone()).collect()
    }

    fn take_out(&mut self, tp: &TopicPartition) -> bool {
        let Some(state) = self.partitions.remove(tp) else { return false };
        if let Some(until) = state.delayed_until {
            self.delays.remove(&(until, tp.clone()));
        }
        self.unsettled.remove(tp);
        if !state.is_dirty {
            self.dirty.push(tp.clone());
        }
        true
    }

    /// Puts a partition into a phase; its part of the session may have changed.
    fn enter(&mut self, tp: &TopicPartition, phase: Phase) {
        let Some(state) = self.partitions.get_mut(tp) else { return };
        state.phase = phase;
        match phase {
            Phase::Cutting | Phase::AskingLatest | Phase::AskingEarliest => {
                self.unsettled.insert(tp.clone());
            }
            Phase::Fetching | Phase::Working => {
                self.unsettled.remove(tp);
            }
        }
        self.mark(tp);
    }

    fn mark(&mut self, tp: &TopicPartition) {
        if let Some(state) = self.partitions.get_mut(tp).filter(|state| !state.is_dirty) {
            state.is_dirty = true;
            self.dirty.push(tp.clone());
        }
    }

    fn mark_all(&mut self) {
        for (tp, state) in self.partitions.iter_mut().filter(|(_, state)| !state.is_dirty) {
            state.is_dirty = true;
            self.dirty.push(tp.clone());
        }
    }

    /// Leaves a partition alone for the back-off, and puts it last. One that waits already goes on waiting.
    fn delay(&mut self, now: Timestamp, tp: &TopicPartition) {
        self.delay_by(now, tp, self.settings.backoff_ms);
    }

    /// The leader has not heard of its term, which is a matter of milliseconds as a rule: the first pauses are short,
    /// for in the meantime nothing is committed. (Kafka waits for the whole back-off.)
    fn delay_early(&mut self, now: Timestamp, tp: &TopicPartition) {
        let Some(state) = self.partitions.get_mut(tp) else { return };
        state.early_pause_ms = (state.early_pause_ms * 2).max(FIRST_PAUSE_MS).min(self.settings.backoff_ms);
        let pause_ms = state.early_pause_ms;
        self.delay_by(now, tp, pause_ms);
    }

    fn delay_by(&mut self, now: Timestamp, tp: &TopicPartition, pause_ms: i64) {
        let turn = self.next_turn();
        let until = now.plus_ms(pause_ms);
        let Some(state) = self.partitions.get_mut(tp).filter(|state| state.delayed_until.is_none()) else {
            return;
        };
        state.delayed_until = Some(until);
        state.turn = turn;
        self.delays.insert((until, tp.clone()));
        self.mark(tp);
    }

    fn delay_all(&mut self, now: Timestamp) {
        for tp in self.in_turn() {
            self.delay(now, &tp);
        }
    }

    fn end_delays(&mut self, now: Timestamp) {
        while let Some((_, tp)) = self.delays.first().filter(|(until, _)| *until <= now).cloned() {
            self.delays.pop_first();
            if let Some(state) = self.partitions.get_mut(&tp) {
                state.delayed_until = None;
            }
            self.mark(&tp);
        }
    }

    /// When something has to be done without being told to. Partitions held back by the quota are looked at again
    /// after the back-off, as in Kafka.
    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let delay = self.delays.first().map(|(until, _)| *until);
        let held_back = self.was_exceeded.then(|| now.plus_ms(self.settings.backoff_ms));
        [delay, held_back].into_iter().flatten().min()
    }

    /// Replication of a partition stops until the controller says more.
    fn fail(&mut self, tp: &TopicPartition, why: String) {
        self.take_out(tp);
        self.failed.insert(tp.clone(), why);
    }

    /// Moves a partition to where its log stands, and on.
    fn stand_at(&mut self, tp: &TopicPartition, position: Position) {
        if let Some(state) = self.partitions.get_mut(tp) {
            state.fetch_offset = position.log_end_offset;
            state.last_epoch = position.last_epoch;
        }
        self.enter(tp, Phase::Fetching);
    }
}
