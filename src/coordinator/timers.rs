//! Timers as data: keys with deadlines, for the shells that run shards.
//!
//! A key has at most one deadline. Times are `steady_ms`. Knows nothing of clocks or tasks: whoever owns the
//! timers sleeps until [`Timers::next_deadline_ms`] and asks for what is due.

use std::collections::{BTreeMap, BTreeSet};

use super::shard::TimerChange;

/// Keyed deadlines, ordered by time.
#[derive(Debug)]
pub struct Timers<K> {
    deadlines: BTreeMap<K, i64>,
    order: BTreeSet<(i64, K)>,
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers { deadlines: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Carries out one change.
    pub fn apply(&mut self, change: TimerChange<K>) {
        match change {
            TimerChange::Set(key, deadline_ms) => {
                if let Some(before) = self.deadlines.insert(key.clone(), deadline_ms) {
                    self.order.remove(&(before, key.clone()));
                }
                self.order.insert((deadline_ms, key));
            }
            TimerChange::Cancel(key) => {
                if let Some(before) = self.deadlines.remove(&key) {
                    self.order.remove(&(before, key));
                }
            }
        }
    }

    /// When the next timer is due.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.order.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes out the earliest timer that is due at `now_ms`.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<K> {
        if self.next_deadline_ms()? > now_ms {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.deadlines.remove(&key);
        Some(key)
    }

    /// How many keys are set.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether no key is set.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_due_ones_come_in_order() {
        let mut timers = Timers::default();
        timers.apply(TimerChange::Set("a", 30));
        timers.apply(TimerChange::Set("b", 20));
        timers.apply(TimerChange::Set("c", 20));
        timers.apply(TimerChange::Set("a", 10));
        timers.apply(TimerChange::Cancel("c"));
        timers.apply(TimerChange::Cancel("unknown"));
        assert_eq!((timers.len(), timers.next_deadline_ms()), (2, Some(10)));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(20), Some("a"));
        assert_eq!(timers.pop_due(20), Some("b"));
        assert_eq!(timers.pop_due(i64::MAX), None, "the moved deadline left no second one");
        assert!(timers.is_empty());
    }
}
