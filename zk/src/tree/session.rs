//! Sessions, and when they end.
//!
//! What a session is belongs to the tree and is restored with it; when it was last heard of does not: a server that
//! restarts gives every session its full timeout again. Source: `SessionTrackerImpl`, `ExpiryQueue`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A client's session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// With which a client may attach to it again.
    pub password: [u8; 16],
    /// Silence after which it ends, in milliseconds.
    pub timeout_ms: i32,
    /// Its ephemeral nodes.
    pub ephemerals: BTreeSet<Box<str>>,
}

impl Session {
    /// Compares a password without telling by its duration how much of it was right.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let differ = self.password.iter().zip(password).fold(0, |sum, (a, b)| sum | (a ^ b));
        password.len() == self.password.len() && differ == 0
    }
}

/// When each session ends if nothing more is heard of it. Moments are rounded up to a tick, so a busy session is
/// moved at most once a tick.
#[derive(Debug)]
pub struct SessionClock {
    tick_ms: i64,
    due: BTreeMap<i64, BTreeSet<i64>>,
    sessions: HashMap<i64, Deadline>,
}

#[derive(Copy, Clone, Debug)]
struct Deadline {
    timeout_ms: i64,
    at: i64,
}

impl SessionClock {
    /// No sessions yet; moments are rounded up to `tick_ms`.
    pub fn new(tick_ms: i64) -> SessionClock {
        SessionClock { tick_ms: tick_ms.max(1), due: BTreeMap::new(), sessions: HashMap::new() }
    }

    /// A session begins, or is attached to again. `now_ms` is of a clock that never goes back.
    pub fn start(&mut self, now_ms: i64, id: i64, timeout_ms: i32) {
        self.stop(id);
        let deadline = Deadline { timeout_ms: timeout_ms.into(), at: i64::MIN };
        self.sessions.insert(id, deadline);
        self.touch(now_ms, id);
    }

    /// A session was heard of.
    pub fn touch(&mut self, now_ms: i64, id: i64) {
        let Some(deadline) = self.sessions.get_mut(&id) else { return };
        let end = now_ms.saturating_add(deadline.timeout_ms);
        let at = (end / self.tick_ms).saturating_add(1).saturating_mul(self.tick_ms);
        if at <= deadline.at {
            return;
        }
        let before = std::mem::replace(&mut deadline.at, at);
        self.leave(before, id);
        self.due.entry(at).or_default().insert(id);
    }

    /// A session ended.
    pub fn stop(&mut self, id: i64) {
        if let Some(deadline) = self.sessions.remove(&id) {
            self.leave(deadline.at, id);
        }
    }

    /// Takes out the sessions whose time is over.
    pub fn expired(&mut self, now_ms: i64) -> Vec<i64> {
        let mut over = Vec::new();
        while let Some(entry) = self.due.first_entry()
            && *entry.key() <= now_ms
        {
            over.extend(entry.remove());
        }
        for id in &over {
            self.sessions.remove(id);
        }
        over
    }

    /// When the next session ends, if any.
    pub fn next_due(&self) -> Option<i64> {
        self.due.first_key_value().map(|(at, _)| *at)
    }

    fn leave(&mut self, at: i64, id: i64) {
        if let Some(ids) = self.due.get_mut(&at) {
            ids.remove(&id);
            if ids.is_empty() {
                self.due.remove(&at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_a_session_and_a_word_prolongs_it() {
        let mut clock = SessionClock::new(100);
        clock.start(0, 1, 1000);
        clock.start(0, 2, 1000);
        assert_eq!(clock.next_due(), Some(1100));
        clock.touch(500, 2);
        assert!(clock.expired(1099).is_empty());
        assert_eq!(clock.expired(1100), [1]);
        assert!(clock.expired(1599).is_empty());
        assert_eq!(clock.expired(1600), [2]);
        assert_eq!(clock.next_due(), None);
    }

    #[test]
    fn an_ended_session_is_not_heard_of_again() {
        let mut clock = SessionClock::new(100);
        clock.start(0, 1, 1000);
        clock.stop(1);
        clock.touch(10, 1);
        assert_eq!(clock.next_due(), None);
        clock.start(0, 1, 1000);
        clock.start(0, 1, 5000);
        assert!(clock.expired(2000).is_empty());
        assert_eq!(clock.expired(5100), [1]);
    }

    #[test]
    fn passwords_must_be_whole() {
        let session = Session { password: [7; 16], timeout_ms: 1, ephemerals: BTreeSet::new() };
        assert!(session.accepts(&[7; 16]));
        assert!(!session.accepts(&[7; 15]));
        assert!(!session.accepts(&[7; 17]));
        assert!(!session.accepts(&[0; 16]));
    }
}
