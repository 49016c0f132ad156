//! Incremental fetch sessions (KIP-227, `FetchSession.scala`): the broker remembers what a fetcher asks for and
//! what it was last told, so that idle partitions cost nothing on the wire.
//!
//! No I/O: the time is an argument. The cache is split into eight shards, as Kafka's is; a session lives in the
//! shard that its id names. Fewer than eight configured slots disable sessions (trap 22).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;

const SHARDS: usize = 8;
/// A session idle for longer may be replaced by any new one.
const EVICTABLE_AFTER_MS: i64 = 120_000;
/// Session id of "no session".
pub const NO_SESSION: i32 = 0;
/// Epoch of a request that opens a session.
pub const INITIAL_EPOCH: i32 = 0;
/// Epoch of a request that wants no session, or closes its own.
pub const FINAL_EPOCH: i32 = -1;

/// What a fetcher names: by id from version 13 on (the name is then empty), by name before.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// Zero below version 13.
    pub topic_id: Uuid,
    /// Empty from version 13 on.
    pub topic: Arc<str>,
    /// Partition index.
    pub partition: i32,
}

/// What a fetcher wants of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Which one.
    pub key: Key,
    /// From this offset.
    pub fetch_offset: i64,
    /// At most so many bytes.
    pub max_bytes: i32,
    /// The leader epoch the fetcher knows, -1 = none.
    pub current_leader_epoch: i32,
    /// Epoch of the fetcher's last record, -1 = none.
    pub last_fetched_epoch: i32,
    /// A follower's log start offset, -1 = none.
    pub log_start_offset: i64,
}

/// What the answer says of one partition, as far as a session cares.
#[derive(Copy, Clone, Debug)]
pub struct Told {
    /// Records were sent.
    pub has_records: bool,
    /// As sent.
    pub high_watermark: i64,
    /// As sent.
    pub log_start_offset: i64,
    /// An error, a diverging epoch or a preferred replica was sent.
    pub notable: bool,
    /// An error was sent.
    pub is_error: bool,
}

#[derive(Debug)]
struct Cached {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug)]
struct Session {
    privileged: bool,
    uses_topic_ids: bool,
    next_epoch: i32,
    last_used: Timestamp,
    /// In the order in which they are served; a partition that returned data goes to the end.
    partitions: BTreeMap<u64, Cached>,
    places: HashMap<Key, u64>,
    next_place: u64,
}

/// A fetch between its request and its answer.
#[derive(Debug)]
pub struct Fetch {
    /// In the order to serve.
    pub wanted: Vec<Wanted>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sessionless,
    Full { privileged: bool, uses_topic_ids: bool },
    Incremental { id: i32 },
}

/// What a request says about its session.
#[derive(Copy, Clone, Debug)]
pub struct Asked {
    /// Session id.
    pub id: i32,
    /// Session epoch.
    pub epoch: i32,
    /// Whether a follower asks: its session may displace a consumer's.
    pub privileged: bool,
    /// Version 13 and later.
    pub uses_topic_ids: bool,
}

/// All sessions of a broker.
#[derive(Debug)]
pub struct FetchSessions {
    shards: Vec<Mutex<Shard>>,
    slots_per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    sessions: HashMap<i32, Session>,
}

impl Session {
    fn new(privileged: bool, uses_topic_ids: bool, now: Timestamp) -> Session {
        Session {
            privileged,
            uses_topic_ids,
            next_epoch: 1,
            last_used: now,
            partitions: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
        }
    }

    fn want(&mut self, wanted: Wanted) {
        if let Some(cached) = self.places.get(&wanted.key).and_then(|place| self.partitions.get_mut(place)) {
            cached.wanted = wanted;
            return;
        }
        self.places.insert(wanted.key.clone(), self.next_place);
        self.partitions.insert(self.next_place, Cached { wanted, high_watermark: -1, log_start_offset: -1 });
        self.next_place += 1;
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.partitions.remove(&place);
        }
    }

    /// Whether the answer must name the partition; remembers what it says.
    fn tell(&mut self, key: &Key, told: Told) -> bool {
        let Some(&place) = self.places.get(key) else { return true };
        let Some(cached) = self.partitions.get_mut(&place) else { return true };
        let changed =
            cached.high_watermark != told.high_watermark || cached.log_start_offset != told.log_start_offset;
        // After an error the next good answer must be sent even if it says nothing new.
        cached.high_watermark = if told.is_error { -1 } else { told.high_watermark };
        cached.log_start_offset = told.log_start_offset;
        if told.has_records
            && let Some(cached) = self.partitions.remove(&place)
        {
            self.partitions.insert(self.next_place, cached);
            self.places.insert(key.clone(), self.next_place);
            self.next_place += 1;
        }
        changed || told.has_records || told.notable || told.is_error
    }
}

impl FetchSessions {
    /// A cache of `max.incremental.fetch.session.cache.slots` sessions.
    pub fn new(slots: usize) -> FetchSessions {
        FetchSessions {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            slots_per_shard: slots / SHARDS,
        }
    }

    fn shard(&self, id: i32) -> std::sync::MutexGuard<'_, Shard> {
        let range = i32::MAX / SHARDS as i32;
        let index = (id.max(0) / range).min(SHARDS as i32 - 1) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens, continues or refuses a session for a request that names `sent` and drops `forgotten`.
    pub fn begin(
        &self,
        now: Timestamp,
        asked: Asked,
        sent: Vec<Wanted>,
        forgotten: &[Key],
    ) -> Result<Fetch, ErrorCode> {
        if asked.epoch == INITIAL_EPOCH || asked.epoch == FINAL_EPOCH {
            if asked.id != NO_SESSION {
                self.shard(asked.id).sessions.remove(&asked.id);
            }
            let kind = match asked.epoch {
                FINAL_EPOCH => Kind::Sessionless,
                _ => Kind::Full { privileged: asked.privileged, uses_topic_ids: asked.uses_topic_ids },
            };
            return Ok(Fetch { wanted: sent, kind });
        }
        let mut shard = self.shard(asked.id);
        let session = shard.sessions.get_mut(&asked.id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.next_epoch != asked.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != asked.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for wanted in sent {
            session.want(wanted);
        }
        for key in forgotten {
            session.forget(key);
        }
        session.last_used = now;
        session.next_epoch = if asked.epoch == i32::MAX { 1 } else { asked.epoch + 1 };
        if session.partitions.is_empty() {
            shard.sessions.remove(&asked.id);
            return Ok(Fetch { wanted: Vec::new(), kind: Kind::Sessionless });
        }
        let wanted = session.partitions.values().map(|cached| cached.wanted.clone()).collect();
        Ok(Fetch { wanted, kind: Kind::Incremental { id: asked.id } })
    }

    /// Ends a fetch: `told[i]` is what the answer would say of `fetch.wanted[i]`. Returns the session id for
    /// the answer, and for each partition whether the answer must name it.
    pub fn end(&self, now: Timestamp, fetch: &Fetch, told: &[Told]) -> (i32, Vec<bool>) {
        let all = || vec![true; told.len()];
        match fetch.kind {
            Kind::Sessionless => (NO_SESSION, all()),
            Kind::Full { privileged, uses_topic_ids } => {
                let mut session = Session::new(privileged, uses_topic_ids, now);
                for (wanted, told) in fetch.wanted.iter().zip(told) {
                    session.want(wanted.clone());
                    session.tell(&wanted.key, *told);
                }
                (self.admit(now, session), all())
            }
            Kind::Incremental { id } => {
                let mut shard = self.shard(id);
                let Some(session) = shard.sessions.get_mut(&id) else { return (NO_SESSION, all()) };
                let keep = fetch
                    .wanted
                    .iter()
                    .zip(told)
                    .map(|(wanted, told)| session.tell(&wanted.key, *told))
                    .collect();
                (id, keep)
            }
        }
    }

    /// Gives a new session a place, perhaps another's, and returns its id; [`NO_SESSION`] when there is none.
    fn admit(&self, now: Timestamp, session: Session) -> i32 {
        if self.slots_per_shard == 0 || session.partitions.is_empty() {
            return NO_SESSION;
        }
        let range = i32::MAX / SHARDS as i32;
        let index = fastrand::usize(..SHARDS);
        let mut shard = self.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.sessions.len() >= self.slots_per_shard && !shard.evict_for(now, &session) {
            return NO_SESSION;
        }
        let first = index as i32 * range;
        loop {
            let id = first + fastrand::i32(1..range);
            if let std::collections::hash_map::Entry::Vacant(place) = shard.sessions.entry(id) {
                place.insert(session);
                return id;
            }
        }
    }

    /// Sessions now (`NumIncrementalFetchSessions`).
    pub fn count(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).sessions.len())
            .sum()
    }
}

impl Shard {
    /// Removes a session that must give way to `newcomer` (`FetchSessionCacheShard.tryEvict`).
    fn evict_for(&mut self, now: Timestamp, newcomer: &Session) -> bool {
        let stale = |session: &Session| now.since_ms(session.last_used) > EVICTABLE_AFTER_MS;
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used).map(|(id, _)| *id);
        if let Some(id) = oldest
            && self.sessions.get(&id).is_some_and(stale)
        {
            self.sessions.remove(&id);
            return true;
        }
        let smallest = self
            .sessions
            .iter()
            .filter(|(_, session)| newcomer.privileged || !session.privileged)
            .min_by_key(|(_, session)| (session.privileged, session.partitions.len()))
            .map(|(id, session)| (*id, session.privileged, session.partitions.len()));
        match smallest {
            Some((id, privileged, size))
                if (newcomer.privileged && !privileged) || size <= newcomer.partitions.len() =>
            {
                self.sessions.remove(&id);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(topic: &str, partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            key: Key { topic_id: Uuid::ZERO, topic: topic.into(), partition },
            fetch_offset,
            max_bytes: 1024,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
        }
    }

    fn asked(id: i32, epoch: i32) -> Asked {
        Asked { id, epoch, privileged: false, uses_topic_ids: false }
    }

    fn told(high_watermark: i64, has_records: bool) -> Told {
        Told { has_records, high_watermark, log_start_offset: 0, notable: false, is_error: false }
    }

    const NOW: Timestamp = Timestamp(1_000_000);

    fn open(sessions: &FetchSessions, partitions: i32) -> i32 {
        let sent = (0..partitions).map(|partition| wanted("t", partition, 0)).collect();
        let fetch = sessions.begin(NOW, asked(0, 0), sent, &[]).expect("a full fetch");
        let told: Vec<Told> = (0..partitions).map(|_| told(5, false)).collect();
        let (id, keep) = sessions.end(NOW, &fetch, &told);
        assert!(keep.iter().all(|keep| *keep), "a full answer names everything");
        id
    }

    #[test]
    fn an_incremental_answer_names_only_what_changed() {
        let sessions = FetchSessions::new(1000);
        let id = open(&sessions, 3);
        assert_ne!(id, NO_SESSION);
        let fetch = sessions.begin(NOW, asked(id, 1), vec![], &[]).expect("epoch 1");
        let answer = [told(5, false), told(6, false), told(5, true)];
        assert_eq!(sessions.end(NOW, &fetch, &answer), (id, vec![false, true, true]));
        let fetch = sessions.begin(NOW, asked(id, 2), vec![wanted("t", 0, 9)], &[]).expect("epoch 2");
        let order: Vec<(i32, i64)> = fetch.wanted.iter().map(|w| (w.key.partition, w.fetch_offset)).collect();
        assert_eq!(order, [(0, 9), (1, 0), (2, 0)], "2 returned data and stays last; 0 has its new offset");
        let failed = Told { is_error: true, ..told(5, false) };
        assert_eq!(
            sessions.end(NOW, &fetch, &[failed, told(6, true), told(5, false)]).1,
            [true, true, false]
        );
        let fetch = sessions.begin(NOW, asked(id, 3), vec![], &[]).expect("epoch 3");
        let order: Vec<i32> = fetch.wanted.iter().map(|w| w.key.partition).collect();
        assert_eq!(order, [0, 2, 1]);
        let answer = [told(5, false), told(5, false), told(6, false)];
        assert_eq!(
            sessions.end(NOW, &fetch, &answer).1,
            [true, false, false],
            "good news after an error is news"
        );
    }

    #[test]
    fn wrong_sessions_and_epochs_are_refused() {
        let sessions = FetchSessions::new(1000);
        let id = open(&sessions, 1);
        let error = |asked| sessions.begin(NOW, asked, vec![], &[]).expect_err("refused");
        assert_eq!(error(asked(id, 2)), ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(error(asked(id ^ 1, 1)), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(
            error(Asked { uses_topic_ids: true, ..asked(id, 1) }),
            ErrorCode::FetchSessionTopicIdError
        );
        let key = wanted("t", 0, 0).key;
        let fetch = sessions.begin(NOW, asked(id, 1), vec![], &[key]).expect("forgets its only partition");
        assert!(fetch.wanted.is_empty());
        assert_eq!(sessions.end(NOW, &fetch, &[]).0, NO_SESSION);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn few_slots_disable_and_full_shards_evict() {
        let none = FetchSessions::new(7);
        assert_eq!(open(&none, 1), NO_SESSION);
        let sessions = FetchSessions::new(8);
        for _ in 0..200 {
            open(&sessions, 2);
        }
        assert_eq!(sessions.count(), 8);
        for _ in 0..50 {
            assert_eq!(open(&sessions, 1), NO_SESSION, "a smaller newcomer displaces nobody");
        }
        let later = NOW.plus_ms(EVICTABLE_AFTER_MS + 1);
        let fetch = sessions.begin(later, asked(0, 0), vec![wanted("t", 0, 0)], &[]).expect("full");
        assert_ne!(sessions.end(later, &fetch, &[told(0, false)]).0, NO_SESSION, "a stale one gives way");
    }
}
