//! Creating, growing and deleting topics (`ZkAdminManager`, `AdminZkClient`): checks, then znodes. The config node is
//! written before the topic node (trap 6); the controller does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_zk::kafka::{KafkaError, brokers, configs, topics};
use ottla_zk::store::StoreError;
use ottla_zk::znode::config::{ConfigEntity, ConfigNode};
use ottla_zk::znode::topic::{TopicId, TopicNode};

use super::assignment::{Candidate, Placement, assign_replicas, placement_of_added};
use super::validation::{
    validate_added, validate_assignment, validate_increase, validate_no_collision, validate_topic_name,
};
use super::{Admin, Refusal};
use crate::config::topic as topic_config;
use crate::metadata::image::Image;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::Uuid;

/// How often a topic that is to grow is looked at anew because others changed it.
const GROW_ATTEMPTS: u32 = 10;

/// A topic to create.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// -1 = `num.partitions`, or as assigned.
    pub partitions: i32,
    /// -1 = `default.replication.factor`, or as assigned.
    pub replication_factor: i16,
    /// Brokers by partition; empty = chosen here.
    pub assignment: BTreeMap<i32, Vec<i32>>,
    /// Overrides.
    pub configs: BTreeMap<String, String>,
}

/// A topic that was, or would be, created.
#[derive(Clone, Debug)]
pub struct Created {
    /// Topic id; zero when only validated.
    pub id: Uuid,
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

impl Admin {
    /// Checks a topic and, unless `validate_only`, writes its nodes.
    pub async fn create_topic(&self, topic: &NewTopic, validate_only: bool) -> Result<Created, Refusal> {
        validate_topic_name(&topic.name)?;
        let assignment = self.place(topic)?;
        validate_assignment(&assignment)?;
        topic_config::check_all(&topic.configs)
            .map_err(|what| Refusal::new(ErrorCode::InvalidConfig, what))?;
        let existing = topics::names(&*self.store).await?;
        let marked = topics::deletions(&*self.store).await?;
        if existing.contains(&topic.name) || marked.contains(&topic.name) {
            let text = format!("Topic '{}' already exists.", topic.name);
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, text));
        }
        validate_no_collision(&topic.name, existing.iter().map(String::as_str))?;
        let mut created = Created {
            id: Uuid::ZERO,
            partitions: assignment.len() as i32,
            replication_factor: assignment.values().next().map_or(0, |replicas| replicas.len() as i16),
        };
        if validate_only {
            return Ok(created);
        }
        created.id = Uuid::random();
        let entity = ConfigEntity::Topic(topic.name.clone());
        configs::write(&*self.store, &entity, &ConfigNode { config: topic.configs.clone() }).await?;
        let node = TopicNode {
            topic_id: Some(TopicId(created.id.0)),
            partitions: assignment,
            ..TopicNode::default()
        };
        topics::create(&*self.store, &topic.name, &node).await?;
        tracing::info!(topic = topic.name, partitions = created.partitions, "created a topic");
        Ok(created)
    }

    fn place(&self, topic: &NewTopic) -> Result<BTreeMap<i32, Vec<i32>>, Refusal> {
        if !topic.assignment.is_empty() {
            if topic.partitions != -1 || topic.replication_factor != -1 {
                let text = "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.";
                return Err(Refusal::new(ErrorCode::InvalidRequest, text));
            }
            return Ok(topic.assignment.clone());
        }
        let partitions = match topic.partitions {
            -1 => self.config.num_partitions,
            partitions => partitions,
        };
        let factor = match topic.replication_factor {
            -1 => self.config.default_replication_factor,
            factor => factor,
        };
        let candidates = candidates(&self.metadata.image());
        let chosen =
            assign_replicas(&candidates, partitions, i32::from(factor), random_placement(candidates.len()))?;
        Ok((0..).zip(chosen).collect())
    }

    /// Adds partitions to a topic. If its node changes meanwhile, perhaps because a reassignment begins, all is looked at
    /// anew.
    pub async fn add_partitions(
        &self,
        topic: &str,
        wanted: i32,
        assignments: Option<&[Vec<i32>]>,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        for _ in 0..GROW_ATTEMPTS {
            let (node, version) = self.grown(topic, wanted, assignments).await?;
            if validate_only {
                return Ok(());
            }
            match topics::overwrite(&*self.store, topic, &node, version).await {
                Err(KafkaError::Store(StoreError::BadVersion(_))) => {}
                written => return Ok(written?),
            }
        }
        let text = "The topic was changed by others again and again; try once more.";
        Err(Refusal::new(ErrorCode::UnknownServerError, text))
    }

    /// The topic's node with partitions added, and the version it was read in.
    async fn grown(
        &self,
        topic: &str,
        wanted: i32,
        assignments: Option<&[Vec<i32>]>,
    ) -> Result<(TopicNode, i32), Refusal> {
        let names = [topic.to_owned()];
        let stored = topics::read(&*self.store, &names).await?.pop();
        let Some(stored) = stored else {
            let text = format!("The topic '{topic}' does not exist.");
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, text));
        };
        let topics::StoredTopic { mut node, version, .. } =
            stored.map_err(|error| Refusal::new(ErrorCode::UnknownServerError, error.to_string()))?;
        if topics::deletions(&*self.store).await?.iter().any(|marked| marked == topic) {
            let text = "The topic is queued for deletion.";
            return Err(Refusal::new(ErrorCode::InvalidTopicException, text));
        }
        if !node.adding_replicas.is_empty() || !node.removing_replicas.is_empty() {
            let text = format!("A partition reassignment is in progress for the topic '{topic}'.");
            return Err(Refusal::new(ErrorCode::ReassignmentInProgress, text));
        }
        let current = node.partitions.len();
        let added = validate_increase(topic, current, wanted)?;
        let first_replicas = node.partitions.get(&0).cloned().unwrap_or_default();
        let live = brokers::list(&*self.store).await?;
        let candidates: Vec<Candidate> =
            live.iter().map(|live| Candidate { id: live.id, rack: live.registration.rack.clone() }).collect();
        let chosen = match assignments {
            Some(given) if given.len() != added as usize => {
                let text = format!(
                    "Increasing the number of partitions by {added} but {} assignments provided.",
                    given.len()
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text));
            }
            Some(given) => given.to_vec(),
            None => {
                let placement =
                    placement_of_added(&candidates, first_replicas.first().copied().unwrap_or(0), current);
                assign_replicas(&candidates, added, first_replicas.len() as i32, placement)?
            }
        };
        let new: BTreeMap<i32, Vec<i32>> = (current as i32..).zip(chosen).collect();
        let available: BTreeSet<i32> = candidates.iter().map(|candidate| candidate.id).collect();
        validate_added(&new, first_replicas.len(), &available)?;
        node.partitions.extend(new);
        Ok((node, version))
    }

    /// Marks a topic for deletion.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Refusal> {
        match topics::mark_deletion(&*self.store, topic).await {
            // Marked already: the same wish, and it will be fulfilled.
            Ok(()) | Err(KafkaError::Store(StoreError::NodeExists(_))) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until `done` holds of the metadata, at most `limit`. False when it never did.
    pub async fn wait_for(&self, limit: Duration, done: impl Fn(&Image) -> bool) -> bool {
        tokio::time::timeout(limit, self.metadata.until(done)).await.is_ok()
    }
}

/// Whether all `partitions` of a topic have a live leader.
pub fn is_led(image: &Image, topic: &str, partitions: i32) -> bool {
    image.topic(topic).is_some_and(|topic| {
        let led = topic.partitions().filter(|partition| image.is_alive(partition.leader)).count();
        led >= partitions.max(0) as usize
    })
}

fn candidates(image: &Image) -> Vec<Candidate> {
    let candidate = |broker: &crate::metadata::image::BrokerImage| Candidate {
        id: broker.id,
        rack: broker.rack.as_deref().map(str::to_owned),
    };
    image.brokers().map(candidate).collect()
}

fn random_placement(brokers: usize) -> Placement {
    let any = |count: usize| if count == 0 { 0 } else { fastrand::usize(..count) };
    Placement { start: any(brokers), shift: any(brokers), first_partition: 0 }
}
