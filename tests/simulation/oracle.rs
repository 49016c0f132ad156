//! What must be so at every moment (reliability.md 3.1), watched from outside.
//!
//! The canonical log of a partition is what any replica ever had below its high watermark: it is kept here batch by
//! batch, and every replica, every later leader and every acknowledged record is held against it.
//! Knows what brokers and ZooKeeper hold, not why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla::broker::Broker;
use ottla::protocol::ids::{TopicPartition, Uuid};
use ottla::protocol::records::view::batches;
use ottla::replication::partition::Role;
use ottla::storage::log::{Bound, Log};
use ottla::storage::log_error::LogError;
use ottla_zk::jute::Request;
use ottla_zk::znode::partition::PartitionState;
use ottla_zk::znode::topic::TopicNode;

use crate::clients::Ack;
use crate::ensemble::Ensemble;

/// Bytes read at once.
const STEP: usize = 1 << 20;

/// A partition of one topic, not of a later one of the same name.
type Key = (Uuid, i32);

/// A committed batch: what its producer made of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Batch {
    last_offset: i64,
    producer_id: i64,
    base_sequence: i32,
    crc: u32,
}

#[derive(Default)]
struct Canonical {
    name: String,
    batches: BTreeMap<i64, Batch>,
    end: i64,
    /// Below this retention may have taken batches before they were seen here.
    unseen_below: i64,
    /// (producer, first sequence) to offset.
    sequences: BTreeMap<(i64, i32), i64>,
    /// Leader by leader epoch.
    leaders: BTreeMap<i32, i32>,
}

/// A replica as last seen.
#[derive(Copy, Clone, PartialEq, Eq)]
struct Seen {
    leads: bool,
    leader_epoch: i32,
    log_start: i64,
    high_watermark: i64,
    log_end: i64,
    /// Below this its log was held against the canonical one.
    verified: i64,
}

struct StateSeen {
    topic_czxid: i64,
    leader: i32,
    leader_epoch: i32,
}

/// A partition and its ISR, as just written or as its leader works with.
pub struct Written {
    pub topic: String,
    pub partition: i32,
    pub isr: Vec<i32>,
    /// The leader's high watermark; a leader whose time is over does not know what others committed.
    pub mark: Option<i64>,
}

/// See the module.
#[derive(Default)]
pub struct Oracle {
    canonical: BTreeMap<Key, Canonical>,
    seen: BTreeMap<(i32, Key), Seen>,
    states: BTreeMap<String, StateSeen>,
    /// Acknowledged, but not yet seen to be committed.
    open: Vec<Ack>,
    /// Violations, the first of which ends the run.
    pub violations: Vec<String>,
    /// Numbers that say how much a run saw.
    pub leader_changes: usize,
}

impl Oracle {
    fn accuse(&mut self, what: String) {
        self.violations.push(what);
    }

    /// The process of a broker is gone: what it had in memory does not bind the next one.
    pub fn died(&mut self, host: i32) {
        self.seen.retain(|(id, _), _| *id != host);
    }

    /// Records that are committed, in all.
    pub fn committed(&self) -> i64 {
        self.canonical.values().map(|log| log.end).sum()
    }

    /// Looks at every replica of a broker; gives the partitions that it leads and whose high watermark has moved.
    pub fn look(&mut self, host: i32, broker: &Arc<Broker>) -> Vec<Written> {
        let mut here = BTreeSet::new();
        let mut moved = Vec::new();
        let mut partitions = broker.replicas.all();
        partitions.sort_by(|a, b| a.tp.cmp(&b.tp));
        for partition in partitions {
            let (log, topic_id, leads, epoch, isr) = {
                let state = partition.lock();
                let leadership = &state.leadership;
                let leads = leadership.role == Role::Leader;
                // A replica on its way out is in the ISR for a moment without being a replica any more (KAFKA-9672).
                let isr =
                    leadership.isr.iter().copied().filter(|id| leadership.replicas.contains(id)).collect();
                (state.log.clone(), state.topic_id, leads, leadership.leader_epoch, isr)
            };
            let key = (topic_id, partition.tp.partition);
            here.insert(key);
            if let Some(log) = log {
                let before = self.seen.get(&(host, key)).map(|seen| seen.high_watermark);
                self.look_at(host, key, &partition.tp, &log, leads, epoch);
                if leads && before != Some(log.high_watermark()) {
                    let (topic, partition) = (partition.tp.topic.to_string(), partition.tp.partition);
                    moved.push(Written { topic, partition, isr, mark: Some(log.high_watermark()) });
                }
            }
        }
        self.seen.retain(|(id, key), _| *id != host || here.contains(key));
        moved
    }

    fn look_at(&mut self, host: i32, key: Key, tp: &TopicPartition, log: &Arc<Log>, leads: bool, epoch: i32) {
        let offsets = log.offsets();
        let before = self.seen.get(&(host, key)).copied();
        let mut now = Seen {
            leads,
            leader_epoch: epoch,
            log_start: offsets.log_start_offset,
            high_watermark: offsets.high_watermark,
            log_end: offsets.log_end_offset,
            verified: before.map_or(0, |before| before.verified),
        };
        if before == Some(now) {
            return;
        }
        let canonical = self.canonical.entry(key).or_default();
        canonical.name = tp.to_string();
        let what = format!("{tp} on broker {host} in epoch {epoch}");
        let (start, mark, end) = (offsets.log_start_offset, offsets.high_watermark, offsets.log_end_offset);
        if !(start <= mark && mark <= end) {
            self.accuse(format!(
                "{what}: start {start}, high watermark {mark} and end {end} are out of order"
            ));
        }
        if let Some(before) = before {
            if now.log_end < before.high_watermark && before.log_start < before.high_watermark {
                let marks = (before.high_watermark, before.log_end, now.log_end);
                self.accuse(format!("{what}: cut below the high watermark (mark, end, end now: {marks:?})"));
            }
            let same_term = before.leads && leads && before.leader_epoch == epoch;
            if same_term && now.high_watermark < before.high_watermark {
                let marks = (before.high_watermark, now.high_watermark);
                self.accuse(format!("{what}: the leader's high watermark went back {marks:?}"));
            }
            now.verified = now.verified.min(now.log_end);
        }
        if leads {
            self.leads(host, key, log, epoch, before);
        }
        if now.high_watermark > now.verified {
            self.compare(key, log, now.verified, now.high_watermark, &what);
            now.verified = now.high_watermark;
        }
        self.seen.insert((host, key), now);
    }

    /// A leader: the only one of its term, and with all that was ever committed.
    fn leads(&mut self, host: i32, key: Key, log: &Arc<Log>, epoch: i32, before: Option<Seen>) {
        let is_new = before.is_none_or(|before| !before.leads || before.leader_epoch != epoch);
        if !is_new {
            return;
        }
        self.leader_changes += 1;
        let canonical = self.canonical.entry(key).or_default();
        let name = canonical.name.clone();
        let leader = *canonical.leaders.entry(epoch).or_insert(host);
        let (end, newest) = (canonical.end, canonical.leaders.last_key_value().map(|(epoch, _)| *epoch));
        if leader != host {
            self.accuse(format!("{name}: both {leader} and {host} lead in epoch {epoch}"));
        }
        // A leader of an older term that comes late is fenced by the others.
        if newest != Some(epoch) {
            return;
        }
        let own_end = log.log_end_offset();
        if own_end < end {
            self.accuse(format!(
                "{name}: broker {host} leads in epoch {epoch} with a log to {own_end}, but {end} records were committed"
            ));
        }
        self.compare(key, log, 0, end, &format!("{name}: the new leader {host} in epoch {epoch}"));
    }

    /// Holds a log's batches in `from..to` against the canonical ones, and learns what is new.
    fn compare(&mut self, key: Key, log: &Arc<Log>, from: i64, to: i64, what: &str) {
        let start = log.log_start_offset();
        let mut next = from.max(start);
        let canonical = self.canonical.entry(key).or_default();
        if start > canonical.end && start <= to {
            (canonical.end, canonical.unseen_below) = (start, start);
        }
        while next < to {
            let slice = match log.read(next, STEP, Bound::LogEnd, true) {
                Ok(slice) => slice,
                // Its directory failed; the broker is about to end.
                Err(LogError::Closed | LogError::Fenced(_)) => return,
                Err(error) => return self.accuse(format!("{what}: offset {next} cannot be read: {error}")),
            };
            let Some(region) = slice.region else { return };
            let mut bytes = vec![0; region.len];
            if let Err(error) = region.file.read_exact_at(&mut bytes, region.position) {
                return self.accuse(format!("{what}: offset {next} cannot be read: {error}"));
            }
            let begun = next;
            for view in batches(&bytes).map_while(Result::ok) {
                if view.last_offset() < next {
                    continue;
                }
                if view.base_offset() >= to {
                    return;
                }
                let Some(header) = view.v2() else { continue };
                if let Err(error) = view.verify_crc() {
                    return self
                        .accuse(format!("{what}: the batch at {} is damaged: {error}", view.base_offset()));
                }
                let batch = Batch {
                    last_offset: view.last_offset(),
                    producer_id: header.producer_id,
                    base_sequence: header.base_sequence,
                    crc: header.crc,
                };
                if let Some(violation) = self.learn(key, view.base_offset(), batch, start, what) {
                    return self.accuse(violation);
                }
                next = view.next_offset();
            }
            if next == begun {
                return self.accuse(format!("{what}: nothing can be read at {next}, below its end"));
            }
        }
    }

    /// `start` is where the log starts: retention takes what is known of a producer together with its last batch, on a
    /// replica that began anew, and so may its earlier batch come again.
    fn learn(&mut self, key: Key, offset: i64, batch: Batch, start: i64, what: &str) -> Option<String> {
        let canonical = self.canonical.entry(key).or_default();
        if let Some(known) = canonical.batches.get(&offset) {
            return (*known != batch)
                .then(|| format!("{what}: at {offset} is {batch:?}, but {known:?} was committed there"));
        }
        if offset < canonical.unseen_below {
            return None;
        }
        if offset != canonical.end {
            return Some(format!("{what}: a batch at {offset} where {} was to follow", canonical.end));
        }
        canonical.end = batch.last_offset + 1;
        canonical.batches.insert(offset, batch);
        let sequence = (batch.producer_id, batch.base_sequence);
        let earlier = canonical.sequences.insert(sequence, offset).filter(|earlier| *earlier >= start)?;
        Some(format!("{what}: batch {sequence:?} is at {earlier} and again at {offset}"))
    }

    /// A producer was told that its batch is committed. If nobody has seen it below a high watermark yet (its leader
    /// ended in that moment), it must have been by the end.
    pub fn acked(&mut self, ack: Ack) {
        match self.offset_of(&ack) {
            Some(Some(found)) => {
                if let Some(told) = ack.offset.filter(|told| *told != found) {
                    self.accuse(format!("{ack:?} was acknowledged at {told} but is at {found}"));
                }
            }
            Some(None) => {}
            None => self.open.push(ack),
        }
    }

    /// Where an acknowledged batch is; `Some(None)` if retention may have taken it unseen.
    fn offset_of(&self, ack: &Ack) -> Option<Option<i64>> {
        let log = self.canonical.values().find(|canonical| canonical.name == ack.partition)?;
        match log.sequences.get(&(ack.producer_id, ack.base_sequence)) {
            Some(found) => Some(Some(*found)),
            None => ack.offset.is_none_or(|told| told < log.unseen_below).then_some(None),
        }
    }

    /// At the end: what was acknowledged is committed.
    pub fn all_acked(&mut self) {
        let open = std::mem::take(&mut self.open);
        for ack in open.into_iter().filter(|ack| self.offset_of(ack).is_none()).collect::<Vec<_>>() {
            self.accuse(format!("{ack:?} was acknowledged but never committed"));
        }
    }

    /// ZooKeeper carried out a write: states of partitions among it are held against the rules, and given.
    pub fn written(&mut self, zk: &mut Ensemble, request: &Request) -> Vec<Written> {
        match request {
            Request::Multi(ops) => ops.iter().flat_map(|op| self.written(zk, op)).collect(),
            Request::Create2(create) => {
                self.state(zk, &create.path, create.data.as_deref()).into_iter().collect()
            }
            Request::SetData(set) => self.state(zk, &set.path, set.data.as_deref()).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// A member of an ISR.
    pub fn in_isr(&mut self, host: i32, key: Key, log: &Arc<Log>, mark: Option<i64>) {
        let Some(canonical) = self.canonical.get(&key) else { return };
        let (end, own_end) = (mark.unwrap_or(canonical.end), log.log_end_offset());
        if own_end < end {
            let name = canonical.name.clone();
            self.accuse(format!(
                "{name}: broker {host} is in the ISR with a log to {own_end}, but {end} records were committed"
            ));
        }
    }

    fn state(&mut self, zk: &mut Ensemble, path: &str, data: Option<&[u8]>) -> Option<Written> {
        let (topic, index) = partition_of(path)?;
        let Ok(state) = PartitionState::decode(topic, index, data.unwrap_or_default()) else {
            self.accuse(format!("{path}: a state that nobody can read"));
            return None;
        };
        self.judge(zk, path, (topic, index), &state);
        let node = zk.peek(&format!("/brokers/topics/{topic}"));
        let node = node.and_then(|(node, _)| TopicNode::decode(topic, &node).ok())?;
        let leaving = node.removing_replicas.get(&index).cloned().unwrap_or_default();
        let isr = state.isr.into_iter().filter(|id| !leaving.contains(id)).collect();
        Some(Written { topic: topic.to_owned(), partition: index, isr, mark: None })
    }

    fn judge(&mut self, zk: &mut Ensemble, path: &str, (topic, index): (&str, i32), state: &PartitionState) {
        let controller_epoch = zk
            .peek("/controller_epoch")
            .and_then(|(data, _)| std::str::from_utf8(&data).ok().and_then(|text| text.parse::<i32>().ok()));
        if controller_epoch != Some(state.controller_epoch) {
            self.accuse(format!(
                "{path}: {state:?} was written while the controller epoch is {controller_epoch:?}"
            ));
        }
        let Some((node, stat)) = zk.peek(&format!("/brokers/topics/{topic}")) else { return };
        if let Ok(node) = TopicNode::decode(topic, &node)
            && let Some(replicas) = node.partitions.get(&index)
            && !state.isr.iter().all(|id| replicas.contains(id))
        {
            self.accuse(format!("{path}: ISR {:?} is not within the replicas {replicas:?}", state.isr));
        }
        if state.leader >= 0 && !state.isr.contains(&state.leader) {
            self.accuse(format!("{path}: the leader is not in its ISR: {state:?}"));
        }
        let now =
            StateSeen { topic_czxid: stat.czxid, leader: state.leader, leader_epoch: state.leader_epoch };
        let Some(before) = self.states.insert(path.to_owned(), now) else { return };
        if before.topic_czxid != stat.czxid {
            return;
        }
        let two_leaders = before.leader_epoch == state.leader_epoch && before.leader != state.leader;
        if state.leader_epoch < before.leader_epoch || two_leaders && before.leader >= 0 && state.leader >= 0
        {
            let was = (before.leader, before.leader_epoch);
            self.accuse(format!("{path}: (leader, epoch) was {was:?} and is now {state:?}"));
        }
    }

    /// At the end: every replica is equal to the canonical log up to its high watermark, which is its end.
    pub fn finally(&mut self, host: i32, broker: &Arc<Broker>) {
        let mut partitions = broker.replicas.all();
        partitions.sort_by(|a, b| a.tp.cmp(&b.tp));
        for partition in partitions {
            let (log, topic_id) = {
                let state = partition.lock();
                (state.log.clone(), state.topic_id)
            };
            let key = (topic_id, partition.tp.partition);
            let Some(log) = log else {
                self.accuse(format!("{}: offline on broker {host} at the end", partition.tp));
                continue;
            };
            let what = format!("{} on broker {host} at the end", partition.tp);
            let mark = log.high_watermark();
            self.compare(key, &log, 0, mark, &what);
        }
    }
}

/// `/brokers/topics/<topic>/partitions/<index>/state`.
fn partition_of(path: &str) -> Option<(&str, i32)> {
    let rest = path.strip_prefix("/brokers/topics/")?.strip_suffix("/state")?;
    let (topic, index) = rest.split_once("/partitions/")?;
    Some((topic, index.parse().ok()?))
}
