//! Who leads next: the four election strategies as pure functions.
//!
//! Invariants: a leader comes from the online replicas and, but for an unclean election, from the ISR; every result
//! has a leader epoch one higher. Knows nothing of brokers beyond the two questions it is handed.
//! Source: Kafka's `Election` and `PartitionLeaderElectionAlgorithms`.

use std::sync::Arc;

use super::context::{Assignment, Leadership};

/// What an election gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elected {
    /// The state to write.
    pub leadership: Leadership,
    /// Who is sent LeaderAndIsr.
    pub recipients: Vec<i32>,
    /// Whether the leader was not in sync: records may be lost.
    pub unclean: bool,
}

/// For partitions without a live leader: the first assigned replica that is online and in sync; failing that, if
/// `unclean` is allowed, the first online one, alone in the ISR and, where `recovery` is supported, recovering.
pub fn offline(
    assignment: &Assignment,
    current: &Leadership,
    online: impl Fn(i32) -> bool,
    unclean: bool,
    recovery: bool,
) -> Option<Elected> {
    let recipients: Vec<i32> = assignment.replicas.iter().copied().filter(|id| online(*id)).collect();
    let in_sync = recipients.iter().copied().find(|id| current.isr.contains(id));
    if let Some(leader) = in_sync {
        let isr: Vec<i32> = current.isr.iter().copied().filter(|id| online(*id)).collect();
        let leadership = current.led_by(leader, isr.into());
        return Some(Elected { leadership, recipients, unclean: false });
    }
    let leader = recipients.first().copied().filter(|_| unclean)?;
    let mut leadership = current.led_by(leader, Arc::from([leader]));
    leadership.recovering |= recovery;
    Some(Elected { leadership, recipients, unclean: true })
}

/// For partitions whose leader is not among the target replicas of a reassignment: the first of these that is online
/// and in sync. The ISR stays.
pub fn reassign(
    assignment: &Assignment,
    current: &Leadership,
    online: impl Fn(i32) -> bool,
) -> Option<Elected> {
    let recipients = assignment.target();
    let leader = recipients.iter().copied().find(|id| online(*id) && current.isr.contains(id))?;
    Some(Elected { leadership: current.led_by(leader, current.isr.clone()), recipients, unclean: false })
}

/// Gives leadership to the first assigned replica, if that is online and in sync. The ISR stays.
pub fn preferred(
    assignment: &Assignment,
    current: &Leadership,
    online: impl Fn(i32) -> bool,
) -> Option<Elected> {
    let leader = assignment.replicas.first().copied().filter(|id| online(*id) && current.isr.contains(id))?;
    let recipients = assignment.replicas.to_vec();
    Some(Elected { leadership: current.led_by(leader, current.isr.clone()), recipients, unclean: false })
}

/// Takes leadership from brokers that shut down: the first assigned replica in sync that is online and stays. The
/// leaving brokers count as online, drop out of the ISR, and are still told.
pub fn controlled_shutdown(
    assignment: &Assignment,
    current: &Leadership,
    online_or_leaving: impl Fn(i32) -> bool,
    leaving: impl Fn(i32) -> bool,
) -> Option<Elected> {
    let recipients: Vec<i32> =
        assignment.replicas.iter().copied().filter(|id| online_or_leaving(*id)).collect();
    let leader = recipients.iter().copied().find(|id| current.isr.contains(id) && !leaving(*id))?;
    let isr: Vec<i32> = current.isr.iter().copied().filter(|id| !leaving(*id)).collect();
    Some(Elected { leadership: current.led_by(leader, isr.into()), recipients, unclean: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(leader: i32, isr: &[i32]) -> Leadership {
        Leadership { leader_epoch: 5, partition_epoch: 8, ..Leadership::first(leader, isr.into(), 2) }
    }

    fn on(ids: &[i32]) -> impl Fn(i32) -> bool {
        move |id| ids.contains(&id)
    }

    fn outcome(elected: Option<Elected>) -> Option<(i32, Vec<i32>, Vec<i32>)> {
        elected.map(|it| {
            assert_eq!(it.leadership.leader_epoch, 6);
            assert_eq!(it.leadership.partition_epoch, 8, "the version to expect, not yet the new one");
            (it.leadership.leader, it.leadership.isr.to_vec(), it.recipients)
        })
    }

    #[test]
    fn offline_takes_the_first_in_sync_and_shrinks() {
        let assignment = Assignment::of([1, 2, 3].into());
        let pick = |isr: &[i32], online: &[i32], unclean| {
            outcome(offline(&assignment, &state(1, isr), on(online), unclean, true))
        };
        assert_eq!(pick(&[3, 2, 1], &[2, 3], false), Some((2, vec![3, 2], vec![2, 3])));
        assert_eq!(pick(&[1], &[2, 3], false), None);
        assert_eq!(pick(&[1], &[2, 3], true), Some((2, vec![2], vec![2, 3])));
        assert_eq!(pick(&[3], &[2, 3], true), Some((3, vec![3], vec![2, 3])), "clean where possible");
        assert_eq!(pick(&[1], &[], true), None);
        let unclean = offline(&assignment, &state(1, &[1]), on(&[2]), true, true).unwrap();
        assert!(unclean.leadership.recovering && unclean.unclean);
        let old = offline(&assignment, &state(1, &[1]), on(&[2]), true, false).unwrap();
        assert!(!old.leadership.recovering);
    }

    #[test]
    fn preferred_and_reassign_keep_the_isr() {
        let assignment = Assignment { replicas: [4, 1, 2].into(), adding: [4].into(), removing: [1].into() };
        let current = state(1, &[1, 2, 4]);
        let everyone = on(&[1, 2, 4]);
        assert_eq!(
            outcome(preferred(&assignment, &current, &everyone)),
            Some((4, vec![1, 2, 4], vec![4, 1, 2]))
        );
        assert_eq!(outcome(preferred(&assignment, &current, on(&[1, 2]))), None);
        assert_eq!(
            outcome(reassign(&assignment, &current, on(&[1, 2]))),
            Some((2, vec![1, 2, 4], vec![4, 2]))
        );
        assert_eq!(outcome(reassign(&assignment, &state(1, &[1]), &everyone)), None);
    }

    #[test]
    fn shutdown_moves_leadership_but_still_tells_the_leaver() {
        let assignment = Assignment::of([1, 2, 3].into());
        let elected = controlled_shutdown(&assignment, &state(1, &[1, 3]), on(&[1, 2, 3]), on(&[1]));
        assert_eq!(outcome(elected), Some((3, vec![3], vec![1, 2, 3])));
        assert_eq!(controlled_shutdown(&assignment, &state(1, &[1]), on(&[1, 2]), on(&[1])), None);
    }
}
