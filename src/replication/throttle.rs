//! Replication quotas (KIP-73; `ReplicationQuotaManager`): how much of the traffic that moves replicas may pass.
//!
//! A topic lists the replicas whose copying is throttled, a broker has a rate for what it sends and one for what it
//! receives. All bytes of listed replicas are counted, but only those that are not in sync are ever held back: a
//! throttle must not shrink an ISR. Nothing is delayed: a held back partition is left out of a request or an answer.
//! Pure: `now` is an argument, from a clock that never goes back; knows nothing of partitions and requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::clock::Timestamp;
use crate::protocol::ids::TopicPartition;

/// The topic's list for what leaders send.
pub const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
/// The topic's list for what followers receive.
pub const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";
/// The broker's rate for what it sends as leader, in bytes a second.
pub const LEADER_RATE: &str = "leader.replication.throttled.rate";
/// The broker's rate for what it receives as follower, in bytes a second.
pub const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";

/// Over which time the rate is taken.
#[derive(Copy, Clone, Debug)]
pub struct Windows {
    /// `replication.quota.window.num`.
    pub count: i64,
    /// `replication.quota.window.size.seconds`, in ms.
    pub size_ms: i64,
}

/// Partitions of a topic whose replica on this broker is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Listed {
    All,
    Some(Vec<i32>),
}

/// `*`, or `partition:broker,partition:broker`: the part that is this broker's. What cannot be read lists nothing.
fn listed(value: &str, broker_id: i32) -> Option<Listed> {
    if value.trim() == "*" {
        return Some(Listed::All);
    }
    let pairs = value.split(',').filter_map(|pair| pair.trim().split_once(':'));
    let own = pairs.filter(|(_, broker)| broker.trim().parse() == Ok(broker_id));
    let partitions: Vec<i32> = own.filter_map(|(partition, _)| partition.trim().parse().ok()).collect();
    (!partitions.is_empty()).then_some(Listed::Some(partitions))
}

/// Bytes of the last windows.
#[derive(Debug)]
struct Rate {
    windows: Windows,
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    start: Timestamp,
    last: Timestamp,
    bytes: u64,
}

impl Rate {
    fn record(&mut self, now: Timestamp, bytes: u64) {
        match self.samples.back_mut().filter(|sample| now.since_ms(sample.start) < self.windows.size_ms) {
            Some(sample) => {
                sample.bytes = sample.bytes.saturating_add(bytes);
                sample.last = now;
            }
            None => self.samples.push_back(Sample { start: now, last: now, bytes }),
        }
    }

    /// Bytes a second since the oldest sample, or in one window (`SimpleRate`).
    fn per_second(&mut self, now: Timestamp) -> f64 {
        let Windows { count, size_ms } = self.windows;
        // A sample that overlaps the windows is kept whole.
        self.samples.retain(|sample| now.since_ms(sample.last) < count.saturating_mul(size_ms));
        let oldest = self.samples.front().map_or(now, |sample| sample.start);
        let elapsed_ms = now.since_ms(oldest).max(size_ms).max(1);
        let bytes: f64 = self.samples.iter().map(|sample| sample.bytes as f64).sum();
        bytes * 1000.0 / elapsed_ms as f64
    }
}

#[derive(Debug)]
struct Limit {
    /// Bytes a second; `None` = none.
    bytes: Option<i64>,
    rate: Rate,
}

/// The quota of one direction.
#[derive(Debug)]
pub struct Throttle {
    broker_id: i32,
    topics: RwLock<BTreeMap<Arc<str>, Listed>>,
    limit: Mutex<Limit>,
}

impl Throttle {
    /// No limit, nothing listed.
    pub fn new(broker_id: i32, windows: Windows) -> Throttle {
        let rate = Rate { windows, samples: VecDeque::new() };
        let limit = Mutex::new(Limit { bytes: None, rate });
        Throttle { broker_id, topics: RwLock::default(), limit }
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker's rate, in bytes a second; `None` = no limit.
    pub fn set_rate(&self, bytes: Option<i64>) {
        self.limit().bytes = bytes;
    }

    /// A topic's list, `None` if it has none.
    pub fn set_topic(&self, topic: &str, value: Option<&str>) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        match value.and_then(|value| listed(value, self.broker_id)) {
            Some(listed) => topics.insert(topic.into(), listed),
            None => topics.remove(topic),
        };
    }

    /// Whether this broker's replica is listed: its bytes count.
    pub fn is_throttled(&self, tp: &TopicPartition) -> bool {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        match topics.get(&tp.topic) {
            None => false,
            Some(Listed::All) => true,
            Some(Listed::Some(partitions)) => partitions.contains(&tp.partition),
        }
    }

    /// Whether more than the rate has passed lately.
    pub fn is_exceeded(&self, now: Timestamp) -> bool {
        let mut limit = self.limit();
        let Some(bytes) = limit.bytes else { return false };
        limit.rate.per_second(now) > bytes as f64
    }

    /// Whether a replica must wait: it is listed, it is not in sync, and the quota is used up
    /// (`shouldLeaderThrottle`, `shouldFollowerThrottle`).
    pub fn holds_back(&self, now: Timestamp, tp: &TopicPartition, is_in_sync: bool) -> bool {
        !is_in_sync && self.is_throttled(tp) && self.is_exceeded(now)
    }

    /// Counts what passed for a partition, if it is listed.
    pub fn record(&self, now: Timestamp, tp: &TopicPartition, bytes: usize) {
        if bytes > 0 && self.is_throttled(tp) {
            self.limit().rate.record(now, bytes as u64);
        }
    }
}

/// Both directions of a broker.
#[derive(Debug)]
pub struct Throttles {
    /// What it sends to followers.
    pub leader: Throttle,
    /// What it receives from leaders.
    pub follower: Throttle,
}

impl Throttles {
    /// No limit, nothing listed.
    pub fn new(broker_id: i32, windows: Windows) -> Throttles {
        Throttles { leader: Throttle::new(broker_id, windows), follower: Throttle::new(broker_id, windows) }
    }
}

#[cfg(test)]
mod tests;
