//! What an error code means to the user of a tool: one sentence with the next step.
//!
//! Knows the codes that tools meet; the others keep Kafka's names. Source: `Errors` in Kafka's clients.

use crate::protocol::error_code::ErrorCode;

/// Whether the error passes by itself, so that the request may be repeated after looking for leaders anew.
pub fn passes(code: i16) -> bool {
    matches!(
        ErrorCode::from_i16(code),
        Some(
            ErrorCode::LeaderNotAvailable
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::ReplicaNotAvailable
                | ErrorCode::NotController
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::NotCoordinator
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::OffsetNotAvailable
                | ErrorCode::NotEnoughReplicas
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::KafkaStorageError
        )
    )
}

/// The sentence for `code` about `what` (`topic x`, `group y`); `told` is what the broker says of it.
pub fn explain(code: i16, told: Option<&str>, what: &str) -> String {
    let Some(known) = ErrorCode::from_i16(code) else {
        return format!("{what}: error code {code}, which this program does not know; update ottla");
    };
    let next = match known {
        ErrorCode::UnknownTopicOrPartition => "it does not exist; see `ottla topics list`, or create it",
        ErrorCode::TopicAlreadyExists => "it exists already; choose another name, or delete it first",
        ErrorCode::InvalidTopicException => "the name is not allowed; use 1 to 249 of a-z A-Z 0-9 . _ -",
        ErrorCode::InvalidPartitions => {
            "the number of partitions is not allowed; it must be positive and can only grow"
        }
        ErrorCode::InvalidReplicaAssignment => {
            "the brokers named cannot hold it; name brokers that are up, each once (see `ottla cluster`)"
        }
        ErrorCode::ReassignmentInProgress => {
            "its partitions are being moved; see `ottla reassign list`, and try again when that is done"
        }
        ErrorCode::InvalidReplicationFactor => {
            "not enough brokers are up; lower --replication-factor or start more"
        }
        ErrorCode::InvalidConfig => "a configuration is not allowed; correct the --config named",
        ErrorCode::TopicDeletionDisabled => "delete.topic.enable is false; set it to true on the brokers",
        ErrorCode::GroupIdNotFound => "it does not exist; see `ottla groups list`",
        ErrorCode::NonEmptyGroup => "it has members; stop its consumers first",
        ErrorCode::UnknownMemberId => "it has members; stop its consumers first",
        ErrorCode::InvalidGroupId => "the name is not allowed; use one that is not empty",
        ErrorCode::MessageTooLarge => {
            "a record is too large; raise max.message.bytes of the topic, or send less"
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "too few replicas are in sync; start the missing brokers, or lower min.insync.replicas"
        }
        ErrorCode::LeaderNotAvailable | ErrorCode::NotLeaderOrFollower => {
            "it has no leader; start the brokers that hold its replicas"
        }
        ErrorCode::InvalidRecord => {
            "the broker refuses a record; a compacted topic needs keys (--key-separator)"
        }
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed => "access is denied; ask for an ACL that allows it",
        ErrorCode::RequestTimedOut => "the broker gave up waiting; look whether it was done, and try again",
        ErrorCode::CoordinatorNotAvailable => {
            "there is no coordinator; start the brokers that hold __consumer_offsets"
        }
        ErrorCode::OffsetOutOfRange => "there is no such offset; choose one between earliest and latest",
        _ => "see the broker's log, and try again",
    };
    match told.map(str::trim).filter(|told| !told.is_empty()) {
        Some(told) => format!("{what}: {} ({}): {next}", told.trim_end_matches('.'), known.name()),
        None => format!("{what}: {}: {next}", known.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_the_thing_the_code_and_the_next_step() {
        let text = explain(ErrorCode::NonEmptyGroup.code(), None, "group g");
        assert_eq!(text, "group g: NON_EMPTY_GROUP: it has members; stop its consumers first");
        let text = explain(ErrorCode::InvalidConfig.code(), Some("Unknown key x."), "topic t");
        assert!(text.starts_with("topic t: Unknown key x (INVALID_CONFIG): "), "{text}");
        assert!(explain(12_345, None, "topic t").contains("12345"));
    }
}
