//! The client's side of an incremental fetch session (KIP-227, KIP-516; `FetchSessionHandler`).
//!
//! It knows what the server's session holds, so a request names only what is new, changed or gone. A request is
//! full when there is no session, or when it must be replaced: after a lost answer nobody knows what the server
//! holds. Topic ids are used when every partition has one; a session never changes its mind about that.
//! Pure: knows nothing of sockets, nor of why a partition is wanted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{TopicPartition, Uuid};
use crate::protocol::messages::FetchResponse;
use crate::protocol::messages::fetch::PartitionData;

/// What is asked of one partition.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its topic id, zero = none.
    pub topic_id: Uuid,
    /// First offset wanted.
    pub fetch_offset: i64,
    /// The asker's own log start offset.
    pub log_start_offset: i64,
    /// Term of the leader, as the asker knows it.
    pub leader_epoch: i32,
    /// Epoch of the asker's last record, -1 = none.
    pub last_epoch: i32,
}

/// The session's part of the next request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    /// 0 = none yet.
    pub session_id: i32,
    /// 0 opens a session (and closes the one named).
    pub session_epoch: i32,
    /// Whether topics are named by id.
    pub by_id: bool,
    /// New and changed partitions, or all of them.
    pub send: Vec<(TopicPartition, Asked)>,
    /// Partitions that leave the session, with the topic id they came under.
    pub forget: Vec<(TopicPartition, Uuid)>,
}

/// Why an answer gives nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SessionError {
    /// The server does not know the session any more: ask again at once.
    #[error("the fetch session is gone: {0}")]
    Lost(ErrorCode),
    /// The server refuses.
    #[error("the leader refused the fetch: {0}")]
    Refused(ErrorCode),
    /// The answer does not fit what was asked.
    #[error("the leader's answer does not fit the request: {0}")]
    Invalid(String),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Session {
    /// Whether the version spoken knows topic ids.
    may_use_ids: bool,
    id: i32,
    /// 0 = the next request is full.
    epoch: i32,
    by_id: bool,
    partitions: BTreeMap<TopicPartition, Asked>,
    names: HashMap<Uuid, Arc<str>>,
}

impl Session {
    /// No session yet. `may_use_ids`: Fetch from version 13 on is spoken.
    pub fn new(may_use_ids: bool) -> Session {
        Session { may_use_ids, ..Session::default() }
    }

    /// Whether the next request must name every partition.
    pub fn is_full(&self) -> bool {
        self.epoch == 0
    }

    /// Whether the server's session holds nothing.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// What was last asked of a partition, if it is in the session.
    pub fn asked(&self, tp: &TopicPartition) -> Option<&Asked> {
        self.partitions.get(tp)
    }

    /// Whether `changes` can go into the session as it stands: it uses topic ids, or some partition has none.
    pub fn takes(&self, changes: &[(TopicPartition, Option<Asked>)]) -> bool {
        let all_new_have =
            || changes.iter().flat_map(|(_, asked)| asked).all(|asked| !asked.topic_id.is_zero());
        match self.by_id {
            true => all_new_have(),
            false => {
                let changed = |tp: &TopicPartition| changes.iter().any(|(other, _)| other == tp);
                let mut without = self.partitions.iter().filter(|(_, asked)| asked.topic_id.is_zero());
                !self.may_use_ids || without.any(|(tp, _)| !changed(tp)) || !all_new_have()
            }
        }
    }

    /// Makes the next request the first of a new session.
    pub fn restart(&mut self) {
        self.epoch = 0;
    }

    /// The next request with all partitions, in this order.
    pub fn build_full(&mut self, all: Vec<(TopicPartition, Asked)>) -> Built {
        self.epoch = 0;
        self.by_id = self.may_use_ids && all.iter().all(|(_, asked)| !asked.topic_id.is_zero());
        self.partitions = all.iter().cloned().collect();
        self.names.clear();
        self.note_names(&all);
        self.built(all, Vec::new())
    }

    /// The next request with what has changed: `None` leaves the session.
    pub fn build_incremental(&mut self, changes: Vec<(TopicPartition, Option<Asked>)>) -> Built {
        let (mut send, mut forget) = (Vec::new(), Vec::new());
        for (tp, asked) in changes {
            let Some(asked) = asked else {
                forget.extend(self.partitions.remove(&tp).map(|old| (tp, old.topic_id)));
                continue;
            };
            match self.partitions.insert(tp.clone(), asked) {
                Some(old) if old == asked => continue,
                // The topic was made anew: the old one must not stay in the server's session.
                Some(old) if old.topic_id != asked.topic_id && !old.topic_id.is_zero() && self.by_id => {
                    forget.push((tp.clone(), old.topic_id));
                }
                _ => {}
            }
            send.push((tp, asked));
        }
        self.note_names(&send);
        self.built(send, forget)
    }

    fn note_names(&mut self, asked: &[(TopicPartition, Asked)]) {
        if self.by_id {
            for (tp, asked) in asked {
                self.names.entry(asked.topic_id).or_insert_with(|| tp.topic.clone());
            }
        }
    }

    fn built(&self, send: Vec<(TopicPartition, Asked)>, forget: Vec<(TopicPartition, Uuid)>) -> Built {
        let (session_id, session_epoch, by_id) = (self.id, self.epoch, self.by_id);
        Built { session_id, session_epoch, by_id, send, forget }
    }

    /// The partitions of an answer, if it fits the request; and what the next request has to say of the session.
    pub fn accept(
        &mut self,
        response: FetchResponse,
    ) -> Result<Vec<(TopicPartition, PartitionData)>, SessionError> {
        let error = ErrorCode::from_i16(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if error != ErrorCode::None {
            return Err(self.refused(error));
        }
        let session_id = response.session_id;
        let found = match self.match_partitions(response) {
            Ok(found) => found,
            Err(what) => {
                // A session that the server opened for such an answer ages there; the one we had is replaced.
                if self.is_full() {
                    self.id = 0;
                }
                self.epoch = 0;
                return Err(SessionError::Invalid(what));
            }
        };
        (self.id, self.epoch) = match session_id {
            0 => (0, 0),
            id if self.is_full() => (id, 1),
            _ if self.epoch == i32::MAX => (self.id, 1),
            _ => (self.id, self.epoch + 1),
        };
        Ok(found)
    }

    fn refused(&mut self, error: ErrorCode) -> SessionError {
        self.epoch = 0;
        match error {
            ErrorCode::FetchSessionIdNotFound => {
                self.id = 0;
                SessionError::Lost(error)
            }
            ErrorCode::InvalidFetchSessionEpoch => SessionError::Lost(error),
            _ => SessionError::Refused(error),
        }
    }

    /// No answer came: nobody knows what the server holds.
    pub fn on_failure(&mut self) {
        self.epoch = 0;
    }

    fn match_partitions(
        &self,
        response: FetchResponse,
    ) -> Result<Vec<(TopicPartition, PartitionData)>, String> {
        let mut found = Vec::new();
        for topic in response.responses {
            let name = match self.by_id {
                false => topic.topic.as_str().into(),
                true => match self.names.get(&topic.topic_id) {
                    Some(name) => name.clone(),
                    None => return Err(format!("topic id {} was not asked for", topic.topic_id)),
                },
            };
            for data in topic.partitions {
                let tp = TopicPartition::new(name.clone(), data.partition_index);
                let asked = self.partitions.get(&tp);
                let fits = asked.is_some_and(|asked| !self.by_id || asked.topic_id == topic.topic_id);
                if !fits {
                    return Err(format!("{tp} was not asked for"));
                }
                found.push((tp, data));
            }
        }
        if self.is_full() {
            let named: std::collections::HashSet<&TopicPartition> = found.iter().map(|(tp, _)| tp).collect();
            if let Some(omitted) = self.partitions.keys().find(|tp| !named.contains(tp)) {
                return Err(format!("{omitted} is missing"));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::messages::fetch::FetchableTopicResponse;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    fn at(id: u8, fetch_offset: i64) -> Asked {
        let topic_id = Uuid([id; 16]);
        Asked { topic_id, fetch_offset, log_start_offset: 0, leader_epoch: 1, last_epoch: 0 }
    }

    fn answer(session_id: i32, error: ErrorCode, names: &[(&str, u8, i32)]) -> FetchResponse {
        let responses = names.iter().map(|(name, id, partition)| FetchableTopicResponse {
            topic: (*name).to_owned(),
            topic_id: Uuid([*id; 16]),
            partitions: vec![PartitionData { partition_index: *partition, ..Default::default() }],
            ..Default::default()
        });
        let responses = responses.collect();
        FetchResponse { session_id, error_code: error.code(), responses, ..Default::default() }
    }

    fn open() -> Session {
        let mut session = Session::new(true);
        let built = session.build_full(vec![(tp("a", 0), at(1, 0)), (tp("a", 1), at(1, 0))]);
        assert_eq!((built.session_id, built.session_epoch, built.by_id), (0, 0, true));
        let both = answer(7, ErrorCode::None, &[("a", 1, 0), ("a", 1, 1)]);
        assert_eq!(session.accept(both).expect("it fits").len(), 2);
        session
    }

    #[test]
    fn only_changes_travel() {
        let mut session = open();
        let changes = vec![(tp("a", 0), Some(at(1, 9))), (tp("a", 1), None), (tp("b", 0), Some(at(2, 3)))];
        let built = session.build_incremental(changes);
        assert_eq!((built.session_id, built.session_epoch), (7, 1));
        assert_eq!(built.send, [(tp("a", 0), at(1, 9)), (tp("b", 0), at(2, 3))]);
        assert_eq!(built.forget, [(tp("a", 1), Uuid([1; 16]))]);
        assert_eq!(session.accept(answer(7, ErrorCode::None, &[])), Ok(vec![]));
        let built = session.build_incremental(vec![(tp("a", 0), Some(at(1, 9)))]);
        assert_eq!((built.session_epoch, built.send, built.forget), (2, vec![], vec![]));
    }

    #[test]
    fn a_topic_made_anew_replaces_the_old_one() {
        let mut session = open();
        let built = session.build_incremental(vec![(tp("a", 0), Some(at(9, 0)))]);
        assert_eq!(built.send, [(tp("a", 0), at(9, 0))]);
        assert_eq!(built.forget, [(tp("a", 0), Uuid([1; 16]))]);
        let late = session.accept(answer(7, ErrorCode::None, &[("a", 1, 0)]));
        assert!(matches!(late, Err(SessionError::Invalid(_))), "the old topic's data is not the new one's");
    }

    #[test]
    fn epochs_go_round() {
        let mut session = open();
        session.epoch = i32::MAX;
        session.accept(answer(7, ErrorCode::None, &[])).expect("it fits");
        assert_eq!(session.epoch, 1);
    }

    #[test]
    fn a_lost_session_begins_anew() {
        for (error, id) in [(ErrorCode::FetchSessionIdNotFound, 0), (ErrorCode::InvalidFetchSessionEpoch, 7)]
        {
            let mut session = open();
            assert_eq!(session.accept(answer(0, error, &[])), Err(SessionError::Lost(error)));
            let built = session.build_full(vec![(tp("a", 0), at(1, 4))]);
            assert_eq!((built.session_id, built.session_epoch, built.send.len()), (id, 0, 1));
        }
        let mut session = open();
        let error = ErrorCode::FetchSessionTopicIdError;
        assert_eq!(session.accept(answer(0, error, &[])), Err(SessionError::Refused(error)));
        // The server closed it in an ordinary answer.
        let mut session = open();
        session.accept(answer(0, ErrorCode::None, &[])).expect("it fits");
        assert!(session.is_full());
        // No answer at all: the old session is named, so that the server can let go of it.
        let mut session = open();
        session.on_failure();
        assert_eq!(session.build_full(vec![]).session_id, 7);
    }

    #[test]
    fn answers_that_do_not_fit_give_nothing() {
        let mut session = Session::new(true);
        session.build_full(vec![(tp("a", 0), at(1, 0)), (tp("a", 1), at(1, 0))]);
        let missing = session.accept(answer(7, ErrorCode::None, &[("a", 1, 0)]));
        assert_eq!(missing, Err(SessionError::Invalid("a-1 is missing".into())));
        assert!(session.is_full());
        let mut session = open();
        let extra = session.accept(answer(7, ErrorCode::None, &[("a", 1, 5)]));
        assert!(matches!(extra, Err(SessionError::Invalid(_))) && session.is_full());
        let mut session = open();
        let foreign = session.accept(answer(7, ErrorCode::None, &[("a", 8, 0)]));
        assert!(matches!(foreign, Err(SessionError::Invalid(_))));
    }

    #[test]
    fn one_topic_without_an_id_names_all_by_name() {
        let mut session = open();
        let change = [(tp("old", 0), Some(at(0, 0)))];
        assert!(!session.takes(&change) && session.takes(&[(tp("a", 1), None)]));
        let built = session.build_full(vec![(tp("a", 0), at(1, 0)), (tp("old", 0), at(0, 0))]);
        assert_eq!((built.session_id, built.session_epoch, built.by_id), (7, 0, false));
        let named = answer(8, ErrorCode::None, &[("a", 0, 0), ("old", 0, 0)]);
        assert_eq!(session.accept(named).expect("it fits").len(), 2);
        assert!(session.takes(&[(tp("a", 0), Some(at(1, 5)))]));
        assert!(!session.takes(&[(tp("old", 0), Some(at(3, 0)))]), "now each has an id");
        assert!(!session.takes(&[(tp("old", 0), None)]));
        let mut session = Session::new(false);
        assert!(!session.build_full(vec![(tp("a", 0), at(1, 0))]).by_id, "version 12 knows no ids");
    }
}
