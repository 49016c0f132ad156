//! Topics that come into being by being asked for (`AutoTopicCreationManager`): in ZooKeeper mode whichever broker is
//! asked writes the nodes itself, controller or not.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::Admin;
use super::topics::NewTopic;
use super::validation::validate_topic_name;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, is_internal_topic};

/// Names of topics that are being created by this broker.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashSet<String>>);

/// Holds a name until it is dropped.
struct Place<'a>(&'a InFlight, String);

impl InFlight {
    fn enter(&self, name: &str) -> Option<Place<'_>> {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        entered.then(|| Place(self, name.to_owned()))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// What is told of a topic that does not exist and is not created.
pub fn unknown(name: &str) -> ErrorCode {
    match validate_topic_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

impl Admin {
    /// Whether a missing topic is to be created.
    pub fn creates_missing(&self, name: &str, allowed: bool) -> bool {
        is_internal_topic(name) || (allowed && self.config.auto_create_topics)
    }

    /// Creates a missing topic. `LEADER_NOT_AVAILABLE` means: it is there now, its leader will be soon.
    pub async fn create_missing(&self, name: &str) -> ErrorCode {
        if validate_topic_name(name).is_err() {
            return ErrorCode::InvalidTopicException;
        }
        if self.metadata.image().brokers().len() == 0 {
            // This broker has just started and knows nothing yet, not even that the topic may exist.
            return ErrorCode::LeaderNotAvailable;
        }
        let Some(_place) = self.creating.enter(name) else { return ErrorCode::UnknownTopicOrPartition };
        let topic = self.missing_topic(name);
        match self.create_topic(&topic, false).await {
            Ok(_) => ErrorCode::LeaderNotAvailable,
            Err(refusal) => match refusal.code {
                ErrorCode::TopicAlreadyExists | ErrorCode::RequestTimedOut => ErrorCode::LeaderNotAvailable,
                // No controller yet: the client tries again.
                ErrorCode::NotController => ErrorCode::LeaderNotAvailable,
                code => {
                    tracing::warn!(
                        topic = name,
                        why = refusal.message,
                        "a topic could not be created by itself"
                    );
                    code
                }
            },
        }
    }

    fn missing_topic(&self, name: &str) -> NewTopic {
        let settings = &self.config.settings;
        let number = |key: &str| settings.number(key);
        let mut configs = BTreeMap::new();
        let (partitions, factor) = match name {
            OFFSETS_TOPIC => {
                configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
                configs.insert("segment.bytes".to_owned(), number("offsets.topic.segment.bytes").to_string());
                configs.insert("compression.type".to_owned(), "producer".to_owned());
                (number("offsets.topic.num.partitions"), number("offsets.topic.replication.factor"))
            }
            TRANSACTIONS_TOPIC => {
                configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
                configs.insert("compression.type".to_owned(), "uncompressed".to_owned());
                configs.insert("unclean.leader.election.enable".to_owned(), "false".to_owned());
                configs.insert(
                    "min.insync.replicas".to_owned(),
                    number("transaction.state.log.min.isr").to_string(),
                );
                configs.insert(
                    "segment.bytes".to_owned(),
                    number("transaction.state.log.segment.bytes").to_string(),
                );
                (
                    number("transaction.state.log.num.partitions"),
                    number("transaction.state.log.replication.factor"),
                )
            }
            _ => (-1, -1),
        };
        NewTopic {
            name: name.to_owned(),
            partitions: partitions as i32,
            replication_factor: factor as i16,
            configs,
            ..NewTopic::default()
        }
    }
}
