//! Where the replicas of new partitions go: round robin over brokers, alternating racks where every broker has one.
//!
//! Invariants: replicas of one partition are distinct; with racks, a rack repeats only when every rack already has a
//! replica. Pure: the random start and shift come from the caller. Source: Kafka's `AdminUtils` (KIP-36).

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::error_code::ErrorCode;

/// Replicas one assignment may hold in all; the topic znode (4 MiB, `jute.maxbuffer`) could not carry more.
pub const MAX_REPLICAS: usize = 1_000_000;

/// A broker that may take replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Broker id.
    pub id: i32,
    /// `broker.rack`, if set.
    pub rack: Option<String>,
}

/// Where the round robin stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Index into the candidates of the leader of partition 0: random for a new topic, else fixed.
    pub start: usize,
    /// Distance of the second replica from the first, grown by one each time the leaders wrap around.
    pub shift: usize,
    /// Index of the first partition to place: 0 for a new topic, the current count for added partitions.
    pub first_partition: usize,
}

/// Why no assignment can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// Zero or negative partitions.
    #[error("Number of partitions must be larger than 0.")]
    NoPartitions,
    /// Zero or negative replication factor.
    #[error("Replication factor must be larger than 0.")]
    NoReplicas,
    /// More replicas than brokers.
    #[error("Replication factor: {factor} larger than available brokers: {brokers}.")]
    TooFewBrokers {
        /// What was asked.
        factor: i32,
        /// What there is.
        brokers: usize,
    },
    /// Beyond [`MAX_REPLICAS`].
    #[error(
        "{partitions} partitions with {factor} replicas are more than the {MAX_REPLICAS} replicas one topic may have; \
         create fewer partitions"
    )]
    TooLarge {
        /// Partitions asked.
        partitions: i32,
        /// Replicas each.
        factor: i32,
    },
    /// Some brokers have a rack and some have none.
    #[error("Not all brokers have rack information for replica rack aware assignment.")]
    SomeRacksMissing,
}

impl AssignmentError {
    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            AssignmentError::NoPartitions | AssignmentError::TooLarge { .. } => ErrorCode::InvalidPartitions,
            AssignmentError::NoReplicas | AssignmentError::TooFewBrokers { .. } => {
                ErrorCode::InvalidReplicationFactor
            }
            AssignmentError::SomeRacksMissing => ErrorCode::UnknownServerError,
        }
    }
}

/// The replicas of `partitions` new partitions, `factor` each, in partition order
/// (`AdminUtils.assignReplicasToBrokers`). The order of `brokers` matters where no broker has a rack.
pub fn assign_replicas(
    brokers: &[Candidate],
    partitions: i32,
    factor: i32,
    placement: Placement,
) -> Result<Vec<Vec<i32>>, AssignmentError> {
    let count = usize::try_from(partitions).ok().filter(|n| *n > 0).ok_or(AssignmentError::NoPartitions)?;
    let replicas = usize::try_from(factor).ok().filter(|n| *n > 0).ok_or(AssignmentError::NoReplicas)?;
    if replicas > brokers.len() {
        return Err(AssignmentError::TooFewBrokers { factor, brokers: brokers.len() });
    }
    if count.saturating_mul(replicas) > MAX_REPLICAS {
        return Err(AssignmentError::TooLarge { partitions, factor });
    }
    let racks: Vec<(i32, &str)> =
        brokers.iter().filter_map(|broker| Some((broker.id, broker.rack.as_deref()?))).collect();
    if racks.is_empty() {
        let ids: Vec<i32> = brokers.iter().map(|broker| broker.id).collect();
        return Ok(without_racks(&ids, count, replicas, placement));
    }
    if racks.len() < brokers.len() {
        return Err(AssignmentError::SomeRacksMissing);
    }
    Ok(with_racks(&racks.into_iter().collect(), count, replicas, placement))
}

/// The placement of partitions added to a topic: it follows on from the first replica of partition 0
/// (`AdminZkClient.createNewPartitionsAssignment`). `brokers` is sorted by id.
pub fn placement_of_added(
    brokers: &[Candidate],
    first_replica_of_0: i32,
    existing_partitions: usize,
) -> Placement {
    let start = brokers.iter().position(|broker| broker.id >= first_replica_of_0).unwrap_or(0);
    Placement { start, shift: start, first_partition: existing_partitions }
}

/// Broker index of a follower; `first` and the result are below `brokers`, which is at least 2.
fn follower(first: usize, shift: usize, replica: usize, brokers: usize) -> usize {
    (first + 1 + (shift + replica) % (brokers - 1)) % brokers
}

fn without_racks(ids: &[i32], count: usize, replicas: usize, placement: Placement) -> Vec<Vec<i32>> {
    let mut shift = placement.shift;
    (placement.first_partition..placement.first_partition + count)
        .map(|partition| {
            if partition > 0 && partition % ids.len() == 0 {
                shift += 1;
            }
            let first = (partition + placement.start) % ids.len();
            let mut assigned = Vec::with_capacity(replicas);
            assigned.push(ids[first]);
            assigned.extend((0..replicas - 1).map(|j| ids[follower(first, shift, j, ids.len())]));
            assigned
        })
        .collect()
}

/// Brokers with racks taking turns: racks by name, the brokers of each ascending.
fn alternate_racks(racks: &BTreeMap<i32, &str>) -> Vec<i32> {
    let mut by_rack: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (id, rack) in racks.iter().rev() {
        by_rack.entry(rack).or_default().push(*id);
    }
    let mut order = Vec::with_capacity(racks.len());
    while order.len() < racks.len() {
        order.extend(by_rack.values_mut().filter_map(Vec::pop));
    }
    order
}

fn with_racks(
    racks: &BTreeMap<i32, &str>,
    count: usize,
    replicas: usize,
    placement: Placement,
) -> Vec<Vec<i32>> {
    let order = alternate_racks(racks);
    let rack_count = racks.values().collect::<BTreeSet<_>>().len();
    let mut shift = placement.shift;
    (placement.first_partition..placement.first_partition + count)
        .map(|partition| {
            if partition > 0 && partition % order.len() == 0 {
                shift += 1;
            }
            let first = (partition + placement.start) % order.len();
            spread(racks, &order, first, shift * rack_count, rack_count, replicas)
        })
        .collect()
}

/// One partition: walk on from the leader, passing over used racks while some rack is unused, and used brokers.
fn spread(
    racks: &BTreeMap<i32, &str>,
    order: &[i32],
    first: usize,
    shift: usize,
    rack_count: usize,
    replicas: usize,
) -> Vec<i32> {
    let mut assigned = vec![order[first]];
    let mut used_racks = BTreeSet::from([racks[&order[first]]]);
    let mut k = 0;
    // Ends: within `order.len() - 1` steps the walk passes every other broker, and `replicas <= order.len()`.
    while assigned.len() < replicas.min(order.len()) {
        let broker = order[follower(first, shift, k, order.len())];
        let rack = racks[&broker];
        let rack_fits = used_racks.len() == rack_count || !used_racks.contains(rack);
        if rack_fits && !assigned.contains(&broker) {
            assigned.push(broker);
            used_racks.insert(rack);
        }
        k += 1;
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(ids: impl IntoIterator<Item = i32>) -> Vec<Candidate> {
        ids.into_iter().map(|id| Candidate { id, rack: None }).collect()
    }

    fn racked(pairs: &[(i32, &str)]) -> Vec<Candidate> {
        pairs.iter().map(|(id, rack)| Candidate { id: *id, rack: Some((*rack).to_owned()) }).collect()
    }

    const FIXED: Placement = Placement { start: 0, shift: 0, first_partition: 0 };

    #[test]
    fn unaware_as_kafka_places() {
        let expected: Vec<Vec<i32>> = [
            [0, 1, 2],
            [1, 2, 3],
            [2, 3, 4],
            [3, 4, 0],
            [4, 0, 1],
            [0, 2, 3],
            [1, 3, 4],
            [2, 4, 0],
            [3, 0, 1],
            [4, 1, 2],
        ]
        .iter()
        .map(|replicas| replicas.to_vec())
        .collect();
        assert_eq!(assign_replicas(&plain(0..5), 10, 3, FIXED), Ok(expected));
    }

    #[test]
    fn racks_alternate_as_in_kafka() {
        let brokers = [(0, "rack1"), (1, "rack3"), (2, "rack3"), (3, "rack2"), (4, "rack2"), (5, "rack1")];
        assert_eq!(alternate_racks(&brokers.into_iter().collect()), [0, 3, 1, 5, 4, 2]);
        let without_5: BTreeMap<i32, &str> = brokers[..5].iter().copied().collect();
        assert_eq!(alternate_racks(&without_5), [0, 3, 1, 4, 2]);
        let expected: Vec<Vec<i32>> =
            [[0, 3, 1], [3, 1, 5], [1, 5, 4], [5, 4, 2], [4, 2, 0], [2, 0, 3], [0, 4, 2]]
                .iter()
                .map(|replicas| replicas.to_vec())
                .collect();
        assert_eq!(assign_replicas(&racked(&brokers), 7, 3, FIXED), Ok(expected));
    }

    #[test]
    fn every_placement_is_distinct_and_spread() {
        let racks = ["a", "b", "a", "b", "a", "b", "c"];
        let brokers: Vec<Candidate> =
            (0..7).zip(racks).map(|(id, rack)| Candidate { id, rack: Some(rack.to_owned()) }).collect();
        for (start, shift, factor) in [(0, 0, 3), (4, 2, 7), (6, 6, 1), (2, 5, 5)] {
            let placement = Placement { start, shift, first_partition: 3 };
            let assigned = assign_replicas(&brokers, 50, factor, placement).unwrap();
            for replicas in &assigned {
                let distinct: BTreeSet<_> = replicas.iter().collect();
                assert_eq!(distinct.len(), factor as usize);
                let used: BTreeSet<_> = replicas.iter().map(|id| &brokers[*id as usize].rack).collect();
                assert_eq!(used.len(), 3.min(factor as usize), "{replicas:?}");
            }
        }
    }

    #[test]
    fn added_partitions_follow_on() {
        let brokers = plain([1, 3, 5]);
        assert_eq!(placement_of_added(&brokers, 3, 4), Placement { start: 1, shift: 1, first_partition: 4 });
        assert_eq!(placement_of_added(&brokers, 9, 4).start, 0);
        let placed = assign_replicas(&brokers, 2, 2, placement_of_added(&brokers, 3, 4)).unwrap();
        assert_eq!(placed, [vec![5, 3], vec![1, 5]]);
    }

    #[test]
    fn refusals() {
        let brokers = plain(0..3);
        let code =
            |partitions, factor| assign_replicas(&brokers, partitions, factor, FIXED).unwrap_err().code();
        assert_eq!(code(0, 1), ErrorCode::InvalidPartitions);
        assert_eq!(code(1, 0), ErrorCode::InvalidReplicationFactor);
        assert_eq!(code(1, 4), ErrorCode::InvalidReplicationFactor);
        assert_eq!(code(i32::MAX, 3), ErrorCode::InvalidPartitions);
        let mut mixed = racked(&[(0, "a"), (1, "b")]);
        mixed[1].rack = None;
        let error = assign_replicas(&mixed, 1, 1, FIXED).unwrap_err();
        assert_eq!(error, AssignmentError::SomeRacksMissing);
        assert_eq!(assign_replicas(&plain([7]), 3, 1, FIXED), Ok(vec![vec![7]; 3]));
    }
}
