//! The persistent nodes that exist in every cluster, created by each broker at its start when missing.
//! Source: `ZkData.PersistentZkPaths`, `ZkAclStore`.

use super::{acl, broker, config, notify, token, topic};

/// Created by every broker, in Kafka's order, with empty data. Kafka also creates `/latest_producer_id_block`, with
/// *null* data; see [`super::producer_ids`] for why that one is left to the first block.
pub const PERSISTENT: [&str; 13] = [
    "/consumers",
    broker::BROKER_IDS,
    topic::TOPICS,
    config::CHANGES,
    topic::DELETE_TOPICS,
    broker::BROKER_SEQUENCE,
    notify::ISR_CHANGES,
    notify::LOG_DIR_EVENTS,
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
];

/// Created after registration where delegation tokens are enabled.
pub const DELEGATION_TOKENS: [&str; 3] = [token::DELEGATION_TOKENS, token::TOKEN_CHANGES, token::TOKENS];

/// Created where an authorizer keeps its rules in ZooKeeper: stores, their types, and the parents of change notes.
pub fn acl_paths() -> Vec<String> {
    let mut paths = Vec::new();
    for pattern_type in acl::PatternType::ALL {
        paths.push(pattern_type.store_path().to_owned());
        let types = acl::ResourceType::ALL.iter();
        paths.extend(types.map(|kind| format!("{}/{}", pattern_type.store_path(), kind.name())));
        paths.push(pattern_type.changes_path().to_owned());
    }
    paths
}
