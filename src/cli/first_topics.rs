//! The topics of `KAFKA_CREATE_TOPICS`: made beside the broker, once the cluster takes them.
//!
//! A topic may wait for long, above all for brokers that are still to come: whoever waits for the topic is told so.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::admin::{self, Trouble};
use super::connect::{Bootstrap, Client};
use crate::config::environment::topics::NewTopic;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two words on the same.
const SILENCE: Duration = Duration::from_secs(30);

/// Makes each unless it is there, asking the broker `at`; gives up after `patience`.
pub async fn make(at: String, mut topics: Vec<NewTopic>, patience: Duration) {
    let begun = Instant::now();
    let mut words = Words::default();
    while !topics.is_empty() {
        let mut left = Vec::new();
        for topic in topics {
            match make_one(&at, &topic).await {
                Made::Done => tracing::info!(topic = topic.name, "topic of KAFKA_CREATE_TOPICS is there"),
                Made::Refused(why) => tracing::error!("KAFKA_CREATE_TOPICS: {why}"),
                Made::NotYet { why, .. } if begun.elapsed() >= patience => {
                    tracing::error!("KAFKA_CREATE_TOPICS: {why}; given up after {} s", patience.as_secs());
                }
                Made::NotYet { why, is_told } => {
                    if words.are_due(&topic.name, &why, is_told, begun.elapsed()) {
                        tracing::info!(
                            "KAFKA_CREATE_TOPICS: {why}; trying on for {} s",
                            left_s(begun, patience)
                        );
                    }
                    left.push(topic);
                }
            }
        }
        topics = left;
        tokio::time::sleep(PAUSE).await;
    }
}

fn left_s(begun: Instant, patience: Duration) -> u64 {
    patience.saturating_sub(begun.elapsed()).as_secs()
}

/// What was said of each topic last, and when.
#[derive(Default)]
struct Words(HashMap<String, (String, Duration)>);

impl Words {
    /// Whether `why` is to be said `now`: what the cluster answers as soon as it changes, then every [`SILENCE`]; that nobody answers,
    /// which is so with every start, only after the first of those.
    fn are_due(&mut self, topic: &str, why: &str, is_told: bool, now: Duration) -> bool {
        let is_due = match self.0.get(topic) {
            Some((said, at)) => (is_told && said != why) || now >= *at + SILENCE,
            None => is_told || now >= SILENCE,
        };
        if is_due {
            self.0.insert(topic.to_owned(), (why.to_owned(), now));
        }
        is_due
    }
}

enum Made {
    Done,
    /// Another try may help: the cluster says so, or nobody answers yet.
    NotYet {
        why: String,
        is_told: bool,
    },
    Refused(String),
}

async fn make_one(at: &str, topic: &NewTopic) -> Made {
    let mut client = match Client::connect(&Bootstrap::at(at)).await {
        Ok(client) => client,
        Err(why) => return Made::NotYet { why, is_told: false },
    };
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
        ..Default::default()
    };
    let asked = CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: topic.configs.iter().map(config).collect(),
        ..Default::default()
    };
    const THERE: i16 = ErrorCode::TopicAlreadyExists.code();
    const BROKERS: i16 = ErrorCode::InvalidReplicationFactor.code();
    const FINAL: [i16; 5] = [
        ErrorCode::InvalidTopicException.code(),
        ErrorCode::InvalidPartitions.code(),
        ErrorCode::InvalidConfig.code(),
        ErrorCode::InvalidRequest.code(),
        ErrorCode::PolicyViolation.code(),
    ];
    let why = |trouble: Trouble| trouble.explain(&format!("topic {}", topic.name));
    match admin::create_topic(&mut client, asked).await {
        Ok(_) | Err(Trouble::Refused { code: THERE, .. }) => Made::Done,
        Err(Trouble::Refused { code: BROKERS, .. }) => {
            let here = match client.brokers().len() {
                1 => "1 is".to_owned(),
                count => format!("{count} are"),
            };
            let why =
                format!("topic {} waits for {} brokers, {here} here", topic.name, topic.replication_factor);
            Made::NotYet { why, is_told: true }
        }
        Err(trouble @ Trouble::Refused { code, .. }) if FINAL.contains(&code) => Made::Refused(why(trouble)),
        Err(trouble @ Trouble::Refused { .. }) => Made::NotYet { why: why(trouble), is_told: true },
        Err(trouble) => Made::NotYet { why: why(trouble), is_told: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_at_once_and_then_now_and_then() {
        let mut words = Words::default();
        let mut due =
            |why: &str, is_told: bool, s: u64| words.are_due("a", why, is_told, Duration::from_secs(s));
        assert!(!due("nobody answers", false, 1), "every start begins so");
        assert!(due("waits for 3 brokers, 1 is here", true, 2));
        assert!(!due("waits for 3 brokers, 1 is here", true, 31));
        assert!(due("waits for 3 brokers, 1 is here", true, 32));
        assert!(due("waits for 3 brokers, 2 are here", true, 33), "it changed");
        assert!(!due("nobody answers", false, 34));
        assert!(due("nobody answers", false, 63));
        assert!(words.are_due("b", "nobody answers", false, Duration::from_secs(30)));
    }
}
