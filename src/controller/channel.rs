//! The controller's line to one broker: a queue, one request in flight, repeated until it is answered or the line is
//! closed (`ControllerChannelManager.RequestSendThread`). The order of the queue is the order on the wire.
//!
//! Versions follow `inter.broker.protocol.version` alone; no ApiVersions is asked (trap 5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::context::Broker;
use super::event::{Input, Reply, TopicRef};
use super::outbox::{Addressed, ControlRequest, LeaderAndIsr, StopReplica};
use crate::client::connection::{CallError, Connection};
use crate::metadata::image::Update;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::ids::TopicPartition;
use crate::protocol::messages::leader_and_isr::{
    LeaderAndIsrLiveLeader, LeaderAndIsrPartitionState, LeaderAndIsrTopicState,
};
use crate::protocol::messages::stop_replica::{StopReplicaPartitionState, StopReplicaTopicState};
use crate::protocol::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState, UpdateMetadataTopicState,
};
use crate::protocol::messages::{LeaderAndIsrRequest, StopReplicaRequest, UpdateMetadataRequest};

/// Pause before a request is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often a line that does not get through says so.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Versions of the control requests.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    leader_and_isr: i16,
    update_metadata: i16,
    stop_replica: i16,
}

/// The newest inter-broker protocols first: from this release on, these versions.
const BY_RELEASE: &[((u32, u32), Versions)] = &[
    ((3, 4), Versions { leader_and_isr: 7, update_metadata: 8, stop_replica: 4 }),
    ((3, 2), Versions { leader_and_isr: 6, update_metadata: 7, stop_replica: 3 }),
    ((2, 8), Versions { leader_and_isr: 5, update_metadata: 7, stop_replica: 3 }),
];

impl Versions {
    /// For an `inter.broker.protocol.version`; there are some for every release that the configuration lets through.
    pub fn for_release(release: (u32, u32)) -> Option<Versions> {
        BY_RELEASE.iter().find(|(first, _)| release >= *first).map(|(_, versions)| *versions)
    }
}

/// What every line needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This controller's broker id.
    pub controller_id: i32,
    /// Listener on which brokers are reached.
    pub listener: String,
    /// `controller.socket.timeout.ms`.
    pub socket_timeout: Duration,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// Versions.
    pub versions: Versions,
}

/// A line. Dropping it closes it and forgets the queue.
#[derive(Debug)]
pub struct Channel {
    queue: mpsc::UnboundedSender<Addressed>,
    /// Requests that are queued or not answered yet.
    pending: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Channel {
    /// Opens a line to `broker`; answers go to `answers`.
    pub fn open(broker: Broker, settings: Settings, answers: mpsc::UnboundedSender<Input>) -> Channel {
        let (queue, requests) = mpsc::unbounded_channel();
        let pending = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(run(broker, settings, requests, answers, pending.clone()));
        Channel { queue, pending, task }
    }

    /// Queues a request.
    pub fn send(&self, request: Addressed) {
        self.pending.fetch_add(1, Ordering::SeqCst);
        // The task ends only when the line is dropped.
        let _closed = self.queue.send(request);
    }

    /// Whether all that was sent is answered.
    pub fn is_quiet(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0
    }
}

async fn run(
    broker: Broker,
    settings: Settings,
    mut requests: mpsc::UnboundedReceiver<Addressed>,
    answers: mpsc::UnboundedSender<Input>,
    pending: Arc<AtomicUsize>,
) {
    let mut connection = None;
    let mut told = None::<Instant>;
    while let Some(request) = requests.recv().await {
        let reply = loop {
            match exchange(&broker, &settings, &mut connection, &request).await {
                Ok(reply) => break reply,
                Err(error) => {
                    connection = None;
                    if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                        told = Some(Instant::now());
                        tracing::warn!(broker = broker.image.id, %error,
                            "a control request was not answered; sending it until it is");
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        };
        pending.fetch_sub(1, Ordering::SeqCst);
        if let Some(reply) = reply {
            let input = Input::Replied { broker: request.broker, broker_epoch: request.broker_epoch, reply };
            if answers.send(input).is_err() {
                return;
            }
        }
    }
}

async fn exchange(
    broker: &Broker,
    settings: &Settings,
    connection: &mut Option<Connection>,
    addressed: &Addressed,
) -> Result<Option<Reply>, CallError> {
    let line = match connection {
        Some(line) => line,
        None => connection.insert(connect(broker, settings).await?),
    };
    let limit = settings.request_timeout;
    let versions = settings.versions;
    match &addressed.request {
        ControlRequest::UpdateMetadata(update) => {
            let request = update_metadata(settings, addressed, update);
            let answer = line.call(versions.update_metadata, &request, limit).await?;
            warn_of(addressed.broker, "UpdateMetadata", answer.error_code);
            Ok(None)
        }
        ControlRequest::LeaderAndIsr(content) => {
            let request = leader_and_isr(settings, addressed, content);
            let answer = line.call(versions.leader_and_isr, &request, limit).await?;
            let error = warn_of(addressed.broker, "LeaderAndIsr", answer.error_code);
            let partitions = answer.topics.iter().flat_map(|topic| {
                topic.partition_errors.iter().map(|partition| {
                    (TopicRef::Id(topic.topic_id), partition.partition_index, code(partition.error_code))
                })
            });
            Ok(Some(Reply::LeaderAndIsr { error, partitions: partitions.collect() }))
        }
        ControlRequest::StopReplica(content) => {
            let request = stop_replica(settings, addressed, content);
            let answer = line.call(versions.stop_replica, &request, limit).await?;
            let error = warn_of(addressed.broker, "StopReplica", answer.error_code);
            let partitions = answer.partition_errors.iter().map(|partition| {
                let tp = TopicPartition::new(partition.topic_name.as_str(), partition.partition_index);
                (tp, code(partition.error_code))
            });
            Ok(Some(Reply::StopReplica { request: content.clone(), error, partitions: partitions.collect() }))
        }
    }
}

async fn connect(broker: &Broker, settings: &Settings) -> Result<Connection, CallError> {
    let Some(endpoint) = broker.image.endpoint(&settings.listener) else {
        return Err(CallError::Unsupported {
            peer: format!("broker {}", broker.image.id),
            what: format!("has no listener {}, the one this controller uses", settings.listener),
        });
    };
    let port = u16::try_from(endpoint.port).unwrap_or(0);
    let client_id = settings.controller_id.to_string();
    Connection::open(&endpoint.host, port, &client_id, settings.socket_timeout).await
}

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_i16(number).unwrap_or(ErrorCode::UnknownServerError)
}

fn warn_of(broker: i32, api: &str, number: i16) -> ErrorCode {
    let error = code(number);
    if error != ErrorCode::None {
        tracing::warn!(broker, api, %error, "a control request was refused");
    }
    error
}

fn leader_and_isr(settings: &Settings, addressed: &Addressed, content: &LeaderAndIsr) -> LeaderAndIsrRequest {
    let topic_states = content.topics.iter().map(|topic| LeaderAndIsrTopicState {
        topic_name: topic.name.to_string(),
        topic_id: topic.id,
        partition_states: topic
            .partitions
            .iter()
            .map(|partition| LeaderAndIsrPartitionState {
                partition_index: partition.index,
                controller_epoch: partition.leadership.controller_epoch,
                leader: partition.leadership.leader,
                leader_epoch: partition.leadership.leader_epoch,
                isr: partition.leadership.isr.to_vec(),
                partition_epoch: partition.leadership.partition_epoch,
                replicas: partition.assignment.replicas.to_vec(),
                adding_replicas: partition.assignment.adding.to_vec(),
                removing_replicas: partition.assignment.removing.to_vec(),
                is_new: partition.is_new,
                leader_recovery_state: i8::from(
                    settings.versions.leader_and_isr >= 6 && partition.leadership.recovering,
                ),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    let live_leaders = content.live_leaders.iter().map(|(id, endpoint)| LeaderAndIsrLiveLeader {
        broker_id: *id,
        host_name: endpoint.host.to_string(),
        port: endpoint.port,
        ..Default::default()
    });
    LeaderAndIsrRequest {
        controller_id: settings.controller_id,
        controller_epoch: addressed.controller_epoch,
        broker_epoch: addressed.broker_epoch,
        topic_states: topic_states.collect(),
        live_leaders: live_leaders.collect(),
        ..Default::default()
    }
}

fn update_metadata(
    settings: &Settings,
    addressed: &Addressed,
    update: &Arc<Update>,
) -> UpdateMetadataRequest {
    let topic_states = update.topics.iter().map(|topic| UpdateMetadataTopicState {
        topic_name: topic.name.to_string(),
        topic_id: topic.id,
        partition_states: topic
            .partitions
            .iter()
            .map(|partition| UpdateMetadataPartitionState {
                partition_index: partition.index,
                controller_epoch: partition.controller_epoch,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                isr: partition.isr.to_vec(),
                zk_version: partition.zk_version,
                replicas: partition.replicas.to_vec(),
                offline_replicas: partition.offline.to_vec(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    let live_brokers = update.brokers.iter().map(|broker| UpdateMetadataBroker {
        id: broker.id,
        endpoints: broker
            .endpoints
            .iter()
            .map(|endpoint| UpdateMetadataEndpoint {
                port: endpoint.port,
                host: endpoint.host.to_string(),
                listener: endpoint.listener.to_string(),
                security_protocol: endpoint.security_protocol,
                ..Default::default()
            })
            .collect(),
        rack: broker.rack.as_deref().map(str::to_owned),
        ..Default::default()
    });
    UpdateMetadataRequest {
        controller_id: settings.controller_id,
        controller_epoch: addressed.controller_epoch,
        broker_epoch: addressed.broker_epoch,
        topic_states: topic_states.collect(),
        live_brokers: live_brokers.collect(),
        ..Default::default()
    }
}

fn stop_replica(settings: &Settings, addressed: &Addressed, content: &StopReplica) -> StopReplicaRequest {
    let topic_states = content.topics.iter().map(|(name, partitions)| StopReplicaTopicState {
        topic_name: name.to_string(),
        partition_states: partitions
            .iter()
            .map(|partition| StopReplicaPartitionState {
                partition_index: partition.index,
                leader_epoch: partition.leader_epoch,
                delete_partition: partition.delete,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    StopReplicaRequest {
        controller_id: settings.controller_id,
        controller_epoch: addressed.controller_epoch,
        broker_epoch: addressed.broker_epoch,
        topic_states: topic_states.collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker::{OLDEST_RELEASE, release_of};

    #[test]
    fn versions_follow_the_protocol() {
        let versions = |version| release_of(version).and_then(Versions::for_release);
        let of = |version| versions(version).map(|versions| versions.leader_and_isr);
        assert_eq!(of("3.9-IV0"), Some(7));
        assert_eq!(of("3.9.1"), Some(7));
        assert_eq!(of("3.3"), Some(6));
        assert_eq!(of("2.8-IV1"), Some(5));
        assert_eq!(of("2.7"), None);
        assert!(
            Versions::for_release(OLDEST_RELEASE).is_some(),
            "what the configuration lets through has versions"
        );
    }
}
