//! What a broker does for admin clients, by writing znodes; the controller sees them and acts.
//!
//! Knows nothing of API versions and connections.

pub mod assignment;
pub mod auto_create;
pub mod config_entries;
pub mod configs;
pub mod topics;
pub mod validation;

use std::sync::Arc;

use ottla_zk::kafka::KafkaError;
use ottla_zk::store::{Store, StoreError};

use crate::clock::Clock;
use crate::config::broker::BrokerConfig;
use crate::metadata::cache::MetadataCache;
use crate::metadata::configs::ConfigCache;
use crate::protocol::error_code::ErrorCode;

/// The parts that administration needs.
pub struct Admin {
    /// This broker's id.
    pub broker_id: i32,
    /// ZooKeeper.
    pub store: Arc<dyn Store>,
    /// What the cluster looks like.
    pub metadata: Arc<MetadataCache>,
    /// Configurations in force.
    pub configs: Arc<ConfigCache>,
    /// As configured at start.
    pub config: Arc<BrokerConfig>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Topics that this broker is creating right now.
    pub creating: auto_create::InFlight,
}

/// Why an admin request failed: the code and a sentence for the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Code.
    pub code: ErrorCode,
    /// Sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal in so many words.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

impl From<KafkaError> for Refusal {
    fn from(error: KafkaError) -> Refusal {
        let code = match &error {
            KafkaError::NoController => ErrorCode::NotController,
            KafkaError::Store(StoreError::NodeExists(_)) => ErrorCode::TopicAlreadyExists,
            KafkaError::Store(StoreError::NoNode(_)) => ErrorCode::UnknownTopicOrPartition,
            KafkaError::Store(error) if error.outcome_unknown() => ErrorCode::RequestTimedOut,
            _ => ErrorCode::UnknownServerError,
        };
        Refusal::new(code, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::from(KafkaError::from(error))
    }
}

impl From<validation::ValidationError> for Refusal {
    fn from(error: validation::ValidationError) -> Refusal {
        Refusal::new(error.code(), error.to_string())
    }
}

impl From<assignment::AssignmentError> for Refusal {
    fn from(error: assignment::AssignmentError) -> Refusal {
        Refusal::new(error.code(), error.to_string())
    }
}
