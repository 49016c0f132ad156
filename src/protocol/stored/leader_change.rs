//! The control record a KRaft quorum writes when its leader changes. A ZooKeeper-mode broker never writes one; log
//! directories that were under KRaft can hold it, and the dump tool prints it.
//!
//! Knows nothing of quorums. Source: `LeaderChangeMessage` in Kafka's clients.

use crate::protocol::ids::Uuid;
use crate::protocol::message::message;

message! {
    /// Who leads the quorum, and who granted it.
    LeaderChangeMessage 0..=1, flexible 0.. {
        version: i16,
        leader_id: i32,
        voters: Vec<Voter>,
        granting_voters: Vec<Voter>,
    }

    /// In `LeaderChangeMessage::voters`.
    Voter {
        voter_id: i32,
        voter_directory_id: Uuid [1..],
    }
}
