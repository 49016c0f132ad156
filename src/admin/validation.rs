//! What a topic may be called and which replica assignments are legal.
//!
//! Pure; knows nothing of who asks or where topics are stored. Error texts carry Kafka's meaning.
//! Source: Kafka's `Topic`, `AdminZkClient.validateTopicCreate` and `validateReplicaAssignment`.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::error_code::ErrorCode;

/// Longest topic name, in bytes; a log directory's name adds `-<partition>` and a suffix to it.
pub const MAX_TOPIC_NAME: usize = 249;

/// Why a request about topics is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The name breaks a rule.
    #[error("Topic name is invalid: {0}")]
    BadName(String),
    /// Another topic's name differs only in `.` and `_`, which metric names cannot tell apart.
    #[error("Topic '{topic}' collides with existing topics: {existing}")]
    Collision {
        /// The new name.
        topic: String,
        /// Those it collides with.
        existing: String,
    },
    /// Partitions of one topic must have equally many replicas.
    #[error("All partitions should have the same number of replicas")]
    UnequalReplicas,
    /// A broker appears twice in one partition.
    #[error("Duplicate brokers not allowed in replica assignment: {replicas} for partition id {partition}.")]
    DuplicateBrokers {
        /// Partition index.
        partition: i32,
        /// Its replicas.
        replicas: String,
    },
    /// Not 0, 1, 2, ...
    #[error("partitions should be a consecutive 0-based integer sequence")]
    NotConsecutive,
    /// A partition without replicas.
    #[error("Cannot have replication factor of 0 for partition id {0}.")]
    NoReplicas(i32),
    /// A replica on a broker that is not there.
    #[error(
        "Some brokers specified for partition id {partition} are not available. Specified brokers: {replicas}, \
         available brokers: {available}."
    )]
    UnknownBrokers {
        /// Partition index.
        partition: i32,
        /// Its replicas.
        replicas: String,
        /// The brokers there are.
        available: String,
    },
    /// Added partitions must have as many replicas as partition 0.
    #[error(
        "Inconsistent replication factor between partitions, partition 0 has {expected} while partitions \
         [{partitions}] have replication factors [{factors}], respectively."
    )]
    OtherFactor {
        /// Replicas of partition 0.
        expected: usize,
        /// The partitions that differ.
        partitions: String,
        /// Their numbers of replicas.
        factors: String,
    },
    /// A topic cannot lose partitions.
    #[error(
        "The number of partitions for a topic can only be increased. Topic {topic} currently has {current} \
         partitions, {wanted} would not be an increase."
    )]
    NotAnIncrease {
        /// Topic name.
        topic: String,
        /// Partitions it has.
        current: usize,
        /// Partitions asked.
        wanted: i32,
    },
}

impl ValidationError {
    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            ValidationError::BadName(_) | ValidationError::Collision { .. } => {
                ErrorCode::InvalidTopicException
            }
            ValidationError::UnknownBrokers { .. } => ErrorCode::BrokerNotAvailable,
            ValidationError::NotAnIncrease { .. } => ErrorCode::InvalidPartitions,
            ValidationError::UnequalReplicas
            | ValidationError::DuplicateBrokers { .. }
            | ValidationError::NotConsecutive
            | ValidationError::NoReplicas(_)
            | ValidationError::OtherFactor { .. } => ErrorCode::InvalidReplicaAssignment,
        }
    }
}

/// Whether `name` may be a topic (`Topic.validate`): 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`.
pub fn validate_topic_name(name: &str) -> Result<(), ValidationError> {
    let refuse = |text: String| Err(ValidationError::BadName(text));
    if name.is_empty() {
        return refuse("the empty string is not allowed".to_owned());
    }
    if name == "." || name == ".." {
        return refuse(format!("'{name}' is not allowed"));
    }
    if name.len() > MAX_TOPIC_NAME {
        let shown: String = name.chars().take(MAX_TOPIC_NAME).collect();
        return refuse(format!(
            "the length of '{shown}' is longer than the max allowed length {MAX_TOPIC_NAME}"
        ));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return refuse(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// Whether `name` has a character that metric names fold (`Topic.hasCollisionChars`).
pub fn has_collision_chars(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// Whether two names differ at most in `.` and `_` (`Topic.hasCollision`).
pub fn collides(a: &str, b: &str) -> bool {
    let folded = |name: u8| if name == b'.' { b'_' } else { name };
    a.len() == b.len() && a.bytes().map(folded).eq(b.bytes().map(folded))
}

/// Refuses `name` if an existing topic collides with it. An existing topic of the same name is not this check's matter.
pub fn validate_no_collision<'a>(
    name: &str,
    existing: impl IntoIterator<Item = &'a str>,
) -> Result<(), ValidationError> {
    if !has_collision_chars(name) {
        return Ok(());
    }
    let hits: Vec<&str> =
        existing.into_iter().filter(|other| *other != name && collides(name, other)).collect();
    if hits.is_empty() {
        return Ok(());
    }
    Err(ValidationError::Collision { topic: name.to_owned(), existing: hits.join(", ") })
}

/// Checks a manual assignment of a new topic: equal replication factor above zero, no broker twice, partitions 0..n-1.
/// Whether the brokers exist is not asked, as in Kafka: replicas on unknown brokers are merely offline.
pub fn validate_assignment(assignment: &BTreeMap<i32, Vec<i32>>) -> Result<(), ValidationError> {
    let factors: BTreeSet<usize> = assignment.values().map(Vec::len).collect();
    if factors.len() != 1 {
        return Err(ValidationError::UnequalReplicas);
    }
    for (partition, replicas) in assignment {
        if replicas.is_empty() {
            return Err(ValidationError::NoReplicas(*partition));
        }
        reject_duplicates(*partition, replicas)?;
    }
    if !assignment.keys().copied().eq(0..assignment.len() as i32) {
        return Err(ValidationError::NotConsecutive);
    }
    Ok(())
}

/// Partitions to add so that `topic` has `wanted`, or why not.
pub fn validate_increase(topic: &str, current: usize, wanted: i32) -> Result<i32, ValidationError> {
    match i32::try_from(current).ok().and_then(|current| wanted.checked_sub(current)) {
        Some(added) if added > 0 => Ok(added),
        _ => Err(ValidationError::NotAnIncrease { topic: topic.to_owned(), current, wanted }),
    }
}

/// Checks a manual assignment of added partitions against the brokers there are and partition 0's replica count.
pub fn validate_added(
    assignment: &BTreeMap<i32, Vec<i32>>,
    factor: usize,
    available: &BTreeSet<i32>,
) -> Result<(), ValidationError> {
    for (partition, replicas) in assignment {
        if replicas.is_empty() {
            return Err(ValidationError::NoReplicas(*partition));
        }
        reject_duplicates(*partition, replicas)?;
        if !replicas.iter().all(|broker| available.contains(broker)) {
            return Err(ValidationError::UnknownBrokers {
                partition: *partition,
                replicas: listed(replicas),
                available: listed(available),
            });
        }
    }
    let others: Vec<(i32, usize)> = assignment
        .iter()
        .filter(|(_, replicas)| replicas.len() != factor)
        .map(|(partition, replicas)| (*partition, replicas.len()))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(ValidationError::OtherFactor {
        expected: factor,
        partitions: listed(others.iter().map(|(partition, _)| partition)),
        factors: listed(others.iter().map(|(_, factor)| factor)),
    })
}

fn reject_duplicates(partition: i32, replicas: &[i32]) -> Result<(), ValidationError> {
    let distinct: BTreeSet<i32> = replicas.iter().copied().collect();
    if distinct.len() == replicas.len() {
        return Ok(());
    }
    Err(ValidationError::DuplicateBrokers { partition, replicas: listed(replicas) })
}

fn listed(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(i32, &[i32])]) -> BTreeMap<i32, Vec<i32>> {
        pairs.iter().map(|(partition, replicas)| (*partition, replicas.to_vec())).collect()
    }

    #[test]
    fn names() {
        for good in ["a", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
            let error = validate_topic_name(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidTopicException, "{bad}");
        }
    }

    #[test]
    fn collisions() {
        assert!(collides("a.b", "a_b") && collides("a", "a") && !collides("a.b", "a-b"));
        assert_eq!(validate_no_collision("a.b", ["a.b", "c"]), Ok(()));
        assert_eq!(validate_no_collision("ab", ["ab"]), Ok(()));
        let error = validate_no_collision("a.b", ["x", "a_b"]).unwrap_err();
        assert_eq!(error.to_string(), "Topic 'a.b' collides with existing topics: a_b");
    }

    #[test]
    fn assignments_of_new_topics() {
        assert_eq!(validate_assignment(&of(&[(0, &[1, 2]), (1, &[2, 1])])), Ok(()));
        for bad in [
            of(&[]),
            of(&[(0, &[])]),
            of(&[(0, &[1]), (1, &[1, 2])]),
            of(&[(0, &[1, 1])]),
            of(&[(1, &[1])]),
            of(&[(-1, &[1]), (0, &[1])]),
        ] {
            let error = validate_assignment(&bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidReplicaAssignment, "{bad:?}");
        }
    }

    #[test]
    fn added_partitions() {
        let brokers = BTreeSet::from([1, 2]);
        assert_eq!(validate_increase("t", 2, 5), Ok(3));
        assert_eq!(validate_increase("t", 2, 2).unwrap_err().code(), ErrorCode::InvalidPartitions);
        assert_eq!(validate_increase("t", 2, i32::MIN).unwrap_err().code(), ErrorCode::InvalidPartitions);
        assert_eq!(validate_added(&of(&[(2, &[2, 1])]), 2, &brokers), Ok(()));
        let code = |assignment| validate_added(&assignment, 2, &brokers).unwrap_err().code();
        assert_eq!(code(of(&[(2, &[2, 3])])), ErrorCode::BrokerNotAvailable);
        assert_eq!(code(of(&[(2, &[2])])), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(code(of(&[(2, &[2, 2])])), ErrorCode::InvalidReplicaAssignment);
        assert_eq!(code(of(&[(2, &[])])), ErrorCode::InvalidReplicaAssignment);
    }
}
