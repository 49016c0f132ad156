//! `/brokers/ids/<id>`: telling the cluster that this broker lives (`KafkaZkClient.registerBroker`,
//! `CheckedEphemeral`).
//!
//! When the node is another session's, it is usually our own from before a SIGKILL: Kafka exits; we say so, wait for
//! it to go, and take over. Two live brokers with one id are told apart by time: the other's node does not go.

use std::sync::Arc;
use std::time::Duration;

use ottla_zk::kafka::{KafkaError, brokers};
use ottla_zk::store::Store;
use ottla_zk::znode::broker::{BrokerFormat, BrokerRegistration, Endpoint as ZkEndpoint};
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::config::listeners::Endpoint;

/// How often the old node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the operator is told that we still wait.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Pause after an error of ZooKeeper.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What the node says.
#[derive(Clone, Debug)]
pub struct Registration {
    /// `broker.id`.
    pub broker_id: i32,
    /// Advertised, with real hosts and ports.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
}

impl Registration {
    fn node(&self, now: Timestamp) -> BrokerRegistration {
        let endpoint = |endpoint: &Endpoint| ZkEndpoint {
            listener: endpoint.listener.clone(),
            protocol: endpoint.security.name().to_owned(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
        };
        BrokerRegistration {
            endpoints: self.endpoints.iter().map(endpoint).collect(),
            rack: self.rack.clone(),
            jmx_port: -1,
            timestamp_ms: now.0,
            features: Default::default(),
        }
    }
}

/// Registers, however long the old node stands, and returns the broker epoch. Gives up only when the session
/// it works in is over (`None`).
pub async fn register(
    store: &Arc<dyn Store>,
    registration: &Registration,
    previous_session: i64,
    now: Timestamp,
) -> Option<i64> {
    let session = store.session_id();
    let data = registration.node(now).encode(BrokerFormat::V5);
    let begun = Instant::now();
    let mut told = None::<Instant>;
    loop {
        if store.session_id() != session {
            return None;
        }
        match brokers::register(&**store, registration.broker_id, &data, previous_session).await {
            Ok(epoch) => {
                if told.is_some() {
                    tracing::info!(
                        broker = registration.broker_id,
                        waited_ms = begun.elapsed().as_millis() as u64,
                        "the old registration is gone; this broker has taken over"
                    );
                }
                return Some(epoch);
            }
            Err(KafkaError::BrokerIdTaken { id, owner }) => {
                if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                    told = Some(Instant::now());
                    tracing::warn!(
                        broker = id,
                        owner = format!("{owner:#x}"),
                        "this broker id is still registered by another ZooKeeper session, usually our own from before a kill; \
                         waiting for it to expire and taking over then (if another broker uses this id, change broker.id)"
                    );
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot register this broker in ZooKeeper; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
