//! All the controller remembers of the cluster.
//!
//! Invariants: partitions of a topic are sorted by index; a partition has one replica state per assigned replica; the
//! leadership held is the last that was read from or acknowledged by the store. A partition costs about 200 bytes.
//! Knows nothing of flows, requests or time. Source: Kafka's `ControllerContext`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::partition_state::PartitionState;
use super::replica_state::ReplicaState;
use crate::metadata::image::{BrokerImage, NO_BROKER, ReplicaList};
use crate::protocol::ids::{TopicPartition, Uuid};

/// Partitions by the broker whose replicas are meant.
pub type ByBroker = BTreeMap<i32, Vec<TopicPartition>>;

/// A registered broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    /// Broker epoch: czxid of the registration.
    pub epoch: i64,
    /// Id, endpoints and rack.
    pub image: BrokerImage,
}

/// Where a partition's replicas are and, during a reassignment, are going (KIP-455).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assignment {
    /// All replicas, those being added and removed included; the first is the preferred leader.
    pub replicas: ReplicaList,
    /// Those a running reassignment adds.
    pub adding: ReplicaList,
    /// Those a running reassignment removes.
    pub removing: ReplicaList,
}

impl Assignment {
    /// An assignment at rest.
    pub fn of(replicas: ReplicaList) -> Assignment {
        Assignment { replicas, ..Assignment::default() }
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas once a reassignment is done.
    pub fn target(&self) -> Vec<i32> {
        without(&self.replicas, &self.removing)
    }

    /// The replicas there were before a reassignment, and after it is cancelled; perhaps in another order.
    pub fn origin(&self) -> Vec<i32> {
        without(&self.replicas, &self.adding)
    }

    /// The assignment while the replicas move from the origin to `target`, which is first and in its order.
    pub fn reassign_to(&self, target: &[i32]) -> Assignment {
        let origin = self.origin();
        let mut seen = BTreeSet::new();
        let all: Vec<i32> = target.iter().chain(&origin).copied().filter(|id| seen.insert(*id)).collect();
        let (adding, removing) = (without(&all, &origin), without(&all, target));
        Assignment { replicas: all.into(), adding: adding.into(), removing: removing.into() }
    }
}

fn without(all: &[i32], less: &[i32]) -> Vec<i32> {
    let less: BTreeSet<i32> = less.iter().copied().collect();
    all.iter().copied().filter(|id| !less.contains(id)).collect()
}

/// A partition's state node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leadership {
    /// Leader, or [`NO_BROKER`].
    pub leader: i32,
    /// Term of the leader: bumped by every election and by every removal of a replica by the controller.
    pub leader_epoch: i32,
    /// In-sync replicas; never empty.
    pub isr: ReplicaList,
    /// The leader was elected uncleanly and has not recovered (KIP-704).
    pub recovering: bool,
    /// Version of the node. In a state to be written: the version expected.
    pub partition_epoch: i32,
    /// Epoch of the controller that wrote it.
    pub controller_epoch: i32,
}

impl Leadership {
    /// The state of a new partition.
    pub fn first(leader: i32, isr: ReplicaList, controller_epoch: i32) -> Leadership {
        Leadership { leader, leader_epoch: 0, isr, recovering: false, partition_epoch: 0, controller_epoch }
    }

    /// The next term, under `leader`.
    pub fn led_by(&self, leader: i32, isr: ReplicaList) -> Leadership {
        Leadership { leader, isr, leader_epoch: self.leader_epoch.saturating_add(1), ..*self }
    }

    /// The next term, without replica `broker`; the last member stays in the ISR, as the one that has the data.
    pub fn without(&self, broker: i32) -> Leadership {
        let leader = if self.leader == broker { NO_BROKER } else { self.leader };
        let isr = match self.isr.len() {
            1 => self.isr.clone(),
            _ => self.isr.iter().copied().filter(|id| *id != broker).collect(),
        };
        self.led_by(leader, isr)
    }
}

/// One partition.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Index.
    pub index: i32,
    /// Of the partition state machine.
    pub state: PartitionState,
    /// Where the replicas are.
    pub assignment: Assignment,
    /// `None` until the state node exists.
    pub leadership: Option<Leadership>,
    replica_states: Box<[ReplicaState]>,
    /// Replicas that are no longer assigned, until they are told to delete their logs.
    leaving: Vec<(i32, ReplicaState)>,
}

impl Partition {
    fn new(index: i32, assignment: Assignment) -> Partition {
        let replica_states = vec![ReplicaState::NonExistent; assignment.replicas.len()].into();
        let (state, leaving) = (PartitionState::NonExistent, Vec::new());
        Partition { index, state, assignment, leadership: None, replica_states, leaving }
    }

    /// State of the replica on `broker`, assigned or leaving.
    pub fn replica_state(&self, broker: i32) -> ReplicaState {
        if let Some(at) = self.assignment.replicas.iter().position(|id| *id == broker) {
            return self.replica_states[at];
        }
        let leaving = self.leaving.iter().find(|(id, _)| *id == broker);
        leaving.map_or(ReplicaState::NonExistent, |(_, state)| *state)
    }

    /// Sets the state of the replica on `broker`; nothing happens if it is neither assigned nor leaving.
    pub fn set_replica_state(&mut self, broker: i32, state: ReplicaState) {
        if let Some(at) = self.assignment.replicas.iter().position(|id| *id == broker) {
            self.replica_states[at] = state;
        } else if let Some((_, leaving)) = self.leaving.iter_mut().find(|(id, _)| *id == broker) {
            *leaving = state;
            self.leaving.retain(|(_, state)| *state != ReplicaState::NonExistent);
        }
    }

    /// Assigned replicas keep their states, new ones do not exist yet; lists those that leave and must be stopped.
    fn assign(&mut self, assignment: Assignment) -> Vec<i32> {
        let states = assignment.replicas.iter().map(|id| self.replica_state(*id)).collect();
        let old = self.assignment.replicas.iter().copied().zip(self.replica_states.iter().copied());
        let exists = |(id, state): &(i32, ReplicaState)| {
            *state != ReplicaState::NonExistent && !assignment.replicas.contains(id)
        };
        self.leaving = old.filter(exists).collect();
        (self.assignment, self.replica_states) = (assignment, states);
        self.leaving.iter().map(|(id, _)| *id).collect()
    }

    /// States of the assigned replicas, in assignment order.
    pub fn replica_states(&self) -> &[ReplicaState] {
        &self.replica_states
    }
}

/// One topic.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Its id, zero if it has none.
    pub id: Uuid,
    partitions: Vec<Partition>,
}

impl Topic {
    /// The partitions, ascending.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Partition `index`.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.position(index).ok().map(|at| &self.partitions[at])
    }

    fn position(&self, index: i32) -> Result<usize, usize> {
        let guess = usize::try_from(index).unwrap_or(usize::MAX);
        match self.partitions.get(guess) {
            Some(partition) if partition.index == index => Ok(guess),
            _ => self.partitions.binary_search_by_key(&index, |partition| partition.index),
        }
    }
}

/// How far the deletion of a topic is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Deletion {
    /// Partitions are gone from the state machine, replicas are being stopped.
    pub started: bool,
    /// Halted until a broker returns or a reassignment ends.
    pub ineligible: bool,
}

/// The controller's memory.
#[derive(Debug, Default)]
pub struct Context {
    /// Controller epoch, 0 while not the controller.
    pub epoch: i32,
    /// Registered brokers, those shutting down included.
    pub brokers: BTreeMap<i32, Broker>,
    /// Brokers in controlled shutdown: not eligible for anything.
    pub shutting_down: BTreeSet<i32>,
    /// Topics queued for deletion.
    pub deleting: BTreeMap<Arc<str>, Deletion>,
    /// What `/admin/reassign_partitions` says, as last read or written.
    pub wishes: BTreeMap<TopicPartition, Vec<i32>>,
    offline_dirs: BTreeMap<i32, BTreeSet<TopicPartition>>,
    reassigning: BTreeSet<TopicPartition>,
    topics: BTreeMap<Arc<str>, Topic>,
    names: BTreeMap<Uuid, Arc<str>>,
}

impl Context {
    /// The topics by name.
    pub fn topics(&self) -> &BTreeMap<Arc<str>, Topic> {
        &self.topics
    }

    /// One topic.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// Name of the topic with this id.
    pub fn topic_name(&self, id: Uuid) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// One partition.
    pub fn partition(&self, at: &TopicPartition) -> Option<&Partition> {
        self.topics.get(&at.topic)?.partition(at.partition)
    }

    /// One partition, to change.
    pub fn partition_mut(&mut self, at: &TopicPartition) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(&at.topic)?;
        let position = topic.position(at.partition).ok()?;
        Some(&mut topic.partitions[position])
    }

    /// A partition's state node as last known.
    pub fn leadership(&self, at: &TopicPartition) -> Option<&Leadership> {
        self.partition(at)?.leadership.as_ref()
    }

    /// Remembers a partition's state node; nothing happens if the partition is unknown.
    pub fn set_leadership(&mut self, at: &TopicPartition, leadership: Leadership) {
        if let Some(partition) = self.partition_mut(at) {
            partition.leadership = Some(leadership);
        }
    }

    /// Adds a topic or, if it is known, gives it this id.
    pub fn put_topic(&mut self, name: &Arc<str>, id: Uuid) {
        let topic = self.topics.entry(name.clone()).or_default();
        if !id.is_zero() && topic.id != id {
            self.names.remove(&topic.id);
            topic.id = id;
            self.names.insert(id, name.clone());
        }
    }

    /// Adds partitions a known topic does not have yet, and lists them.
    pub fn add_partitions(&mut self, name: &Arc<str>, all: Vec<(i32, Assignment)>) -> Vec<TopicPartition> {
        let Some(topic) = self.topics.get_mut(name) else { return Vec::new() };
        let mut fresh = all;
        fresh.retain(|(index, _)| topic.position(*index).is_err());
        fresh.sort_by_key(|(index, _)| *index);
        fresh.dedup_by_key(|(index, _)| *index);
        let added = fresh.iter().map(|(index, _)| TopicPartition::new(name.clone(), *index)).collect();
        let moving = fresh.iter().filter(|(_, assignment)| assignment.is_reassigning());
        self.reassigning.extend(moving.map(|(index, _)| TopicPartition::new(name.clone(), *index)));
        topic
            .partitions
            .extend(fresh.into_iter().map(|(index, assignment)| Partition::new(index, assignment)));
        topic.partitions.sort_by_key(|partition| partition.index);
        added
    }

    /// Forgets a topic.
    pub fn remove_topic(&mut self, name: &str) {
        self.deleting.remove(name);
        if let Some(topic) = self.topics.remove(name) {
            self.names.remove(&topic.id);
            self.reassigning.retain(|at| *at.topic != *name);
        }
    }

    /// Gives a partition another assignment and lists the replicas that leave; they keep their states until they are
    /// moved to NonExistent.
    pub fn set_assignment(&mut self, at: &TopicPartition, assignment: Assignment) -> Vec<i32> {
        let moves = assignment.is_reassigning();
        let Some(partition) = self.partition_mut(at) else { return Vec::new() };
        let leaving = partition.assign(assignment);
        if moves {
            self.reassigning.insert(at.clone());
        } else {
            self.reassigning.remove(at);
        }
        leaving
    }

    /// Knows a replica that is not assigned as one that leaves.
    pub fn expel(&mut self, at: &TopicPartition, broker: i32) {
        if let Some(partition) = self.partition_mut(at) {
            partition.leaving.push((broker, ReplicaState::Online));
        }
    }

    /// The partitions whose replicas are being added or removed.
    pub fn reassigning(&self) -> &BTreeSet<TopicPartition> {
        &self.reassigning
    }

    /// Every partition, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.partitions.iter().map(|p| (TopicPartition::new(name.clone(), p.index), p))
        })
    }

    /// Every partition of one topic.
    pub fn partitions_of(&self, name: &Arc<str>) -> Vec<TopicPartition> {
        let partitions = self.topics.get(name).map_or(&[][..], Topic::partitions);
        partitions.iter().map(|p| TopicPartition::new(name.clone(), p.index)).collect()
    }

    /// The replicas on these brokers.
    pub fn replicas_on(&self, brokers: &BTreeSet<i32>) -> ByBroker {
        let mut found = ByBroker::new();
        for (at, partition) in self.partitions() {
            for broker in partition.assignment.replicas.iter().filter(|id| brokers.contains(id)) {
                found.entry(*broker).or_default().push(at.clone());
            }
        }
        found
    }

    /// Whether the broker is registered and not shutting down.
    pub fn is_live(&self, broker: i32) -> bool {
        self.brokers.contains_key(&broker) && !self.shutting_down.contains(&broker)
    }

    /// Whether the replica can serve: its broker is live and its directory works.
    pub fn is_online(&self, broker: i32, at: &TopicPartition) -> bool {
        self.is_live(broker) && !self.in_offline_dir(broker, at)
    }

    /// As [`Context::is_online`], counting brokers that shut down.
    pub fn is_online_or_leaving(&self, broker: i32, at: &TopicPartition) -> bool {
        self.brokers.contains_key(&broker) && !self.in_offline_dir(broker, at)
    }

    fn in_offline_dir(&self, broker: i32, at: &TopicPartition) -> bool {
        self.offline_dirs.get(&broker).is_some_and(|dirs| dirs.contains(at))
    }

    /// Marks replicas of a broker as being in failed directories; lists those that were not.
    pub fn mark_offline_dirs(&mut self, broker: i32, partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
        if partitions.is_empty() {
            return partitions;
        }
        let marked = self.offline_dirs.entry(broker).or_default();
        partitions.into_iter().filter(|at| marked.insert(at.clone())).collect()
    }

    /// Takes such a mark away.
    pub fn clear_offline_dir(&mut self, broker: i32, at: &TopicPartition) {
        if let Some(marked) = self.offline_dirs.get_mut(&broker) {
            marked.remove(at);
        }
    }

    /// Whether any replica of the broker is marked.
    pub fn has_offline_dirs(&self, broker: i32) -> bool {
        self.offline_dirs.get(&broker).is_some_and(|marked| !marked.is_empty())
    }

    /// Forgets all marks of a broker: it starts or died.
    pub fn forget_offline_dirs(&mut self, broker: i32) {
        self.offline_dirs.remove(&broker);
    }

    /// Whether the topic waits for or undergoes deletion.
    pub fn is_deleting(&self, topic: &str) -> bool {
        self.deleting.contains_key(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_small() {
        let inline = std::mem::size_of::<Partition>();
        // Heap: the replica list and the ISR (16 + 3 * 4 bytes each), three state bytes.
        assert!(inline + 2 * 32 + 16 < 300, "{inline}");
    }

    #[test]
    fn partitions_stay_sorted_and_unique() {
        let mut context = Context::default();
        let name: Arc<str> = "t".into();
        context.put_topic(&name, Uuid([1; 16]));
        let at =
            |indexes: &[i32]| indexes.iter().map(|i| (*i, Assignment::of([1].into()))).collect::<Vec<_>>();
        assert_eq!(context.add_partitions(&name, at(&[2, 0])).len(), 2);
        assert_eq!(context.add_partitions(&name, at(&[0, 1, 2, i32::MAX])).len(), 2);
        let indexes: Vec<i32> = context.topic("t").unwrap().partitions().iter().map(|p| p.index).collect();
        assert_eq!(indexes, [0, 1, 2, i32::MAX]);
        assert!(context.partition(&TopicPartition::new("t", i32::MAX)).is_some());
        assert!(context.partition(&TopicPartition::new("t", -1)).is_none());
        context.remove_topic("t");
        assert!(context.topic_name(Uuid([1; 16])).is_none());
    }

    #[test]
    fn a_move_names_its_target_first_and_can_be_cancelled() {
        let rest = Assignment::of([1, 2, 3].into());
        let moving = rest.reassign_to(&[3, 4, 2]);
        assert_eq!(
            (&*moving.replicas, &*moving.adding, &*moving.removing),
            (&[3, 4, 2, 1][..], &[4][..], &[1][..])
        );
        assert_eq!((moving.target(), moving.origin()), (vec![3, 4, 2], vec![3, 2, 1]));
        assert_eq!(moving.reassign_to(&moving.origin()), Assignment::of([3, 2, 1].into()));
        let other = moving.reassign_to(&[5]);
        assert_eq!(
            (&*other.replicas, &*other.adding, &*other.removing),
            (&[5, 3, 2, 1][..], &[5][..], &[3, 2, 1][..])
        );
        assert!(!rest.reassign_to(&[2, 1, 3]).is_reassigning());
    }

    #[test]
    fn replicas_that_leave_keep_their_state_until_they_are_gone() {
        let (mut context, name): (Context, Arc<str>) = (Context::default(), "t".into());
        context.put_topic(&name, Uuid::ZERO);
        let at = context.add_partitions(&name, vec![(0, Assignment::of([1, 2].into()))]).remove(0);
        context.partition_mut(&at).unwrap().set_replica_state(1, ReplicaState::Online);
        let moving = context.partition(&at).unwrap().assignment.reassign_to(&[3]);
        assert!(context.set_assignment(&at, moving).is_empty() && context.reassigning().contains(&at));
        assert_eq!(context.partition(&at).unwrap().replica_states()[1], ReplicaState::Online, "3, 1, 2");
        let leaving = context.set_assignment(&at, Assignment::of([3].into()));
        assert_eq!((leaving, context.reassigning().len()), (vec![1], 0), "2 never was");
        let partition = context.partition_mut(&at).unwrap();
        assert_eq!(partition.replica_state(1), ReplicaState::Online);
        partition.set_replica_state(1, ReplicaState::NonExistent);
        partition.set_replica_state(1, ReplicaState::Online);
        assert_eq!(partition.replica_state(1), ReplicaState::NonExistent, "forgotten");
    }

    #[test]
    fn the_last_member_stays_in_the_isr() {
        let leadership = Leadership::first(1, [1, 2].into(), 9);
        let without = leadership.without(1);
        assert_eq!((without.leader, &*without.isr, without.leader_epoch), (NO_BROKER, &[2][..], 1));
        let alone = without.without(2);
        assert_eq!((alone.leader, &*alone.isr, alone.leader_epoch), (NO_BROKER, &[2][..], 2));
        assert_eq!(leadership.without(2).leader, 1);
    }
}
