//! `/cluster/id`: the name of the cluster, written once by the first broker. Source: `ClusterIdZNode`.

use serde::Deserialize;

use super::ZnodeError;
use super::json::{self, Object};

/// The node.
pub const CLUSTER_ID: &str = "/cluster/id";

/// Longest id that is taken: Kafka's are 22 characters, older tools wrote other texts.
const MAX_LENGTH: usize = 256;

#[derive(Deserialize)]
struct Stored {
    id: String,
}

/// The content for this id. The version is a text, unlike everywhere else.
pub fn encode(id: &str) -> Vec<u8> {
    Object::new().text("version", "1").text("id", id).into_bytes()
}

/// The id.
pub fn decode(data: &[u8]) -> Result<String, ZnodeError> {
    let stored: Stored = json::read(CLUSTER_ID, data)?;
    if stored.id.is_empty() || stored.id.len() > MAX_LENGTH {
        return Err(ZnodeError::new(CLUSTER_ID, "the id is empty or too long"));
    }
    Ok(stored.id)
}
