//! The broker: the struct of its parts. Wiring is `boot`'s; this only says what there is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ottla_zk::kafka::notifications;
use ottla_zk::store::Store;
use tokio::sync::{Notify, Semaphore};

use crate::admin::Admin;
use crate::bugs::{self, Bug};
use crate::clock::Clock;
use crate::config::broker::BrokerConfig;
use crate::controller::runner::ControllerHandle;
use crate::coordinator::directory::GroupCoordinator;
use crate::membership::controller_line::LineSettings;
use crate::membership::producer_ids::ProducerIds;
use crate::membership::standing::Standing;
use crate::metadata::cache::MetadataCache;
use crate::metadata::configs::ConfigCache;
use crate::metrics::Metrics;
use crate::protocol::error_code::ErrorCode;
use crate::replication::fetch_session::FetchSessions;
use crate::replication::fetcher::manager::FetcherManager;
use crate::replication::replica_manager::ReplicaManager;
use crate::replication::throttle::{self, Throttles};

/// Everything a handler may use.
pub struct Broker {
    /// `broker.id`.
    pub id: i32,
    /// `/cluster/id`.
    pub cluster_id: String,
    /// As configured at start.
    pub config: Arc<BrokerConfig>,
    /// As configured now, broker and topics.
    pub configs: Arc<ConfigCache>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the cluster looks like.
    pub metadata: Arc<MetadataCache>,
    /// Partitions on this broker.
    pub replicas: Arc<ReplicaManager>,
    /// Who copies them from their leaders.
    pub fetchers: Arc<FetcherManager>,
    /// How much of their copying may pass.
    pub throttles: Arc<Throttles>,
    /// Incremental fetches.
    pub sessions: FetchSessions,
    /// Turns to convert records for old clients.
    pub conversions: Arc<Semaphore>,
    /// Groups whose offsets partition this broker leads.
    pub groups: Arc<GroupCoordinator>,
    /// What is done for admin clients.
    pub admin: Admin,
    /// ZooKeeper.
    pub store: Arc<dyn Store>,
    /// This broker as controller, when it is the one.
    pub controller: ControllerHandle,
    /// How this broker reaches the controller, itself included.
    pub controller_line: LineSettings,
    /// Ids for idempotent producers.
    pub producer_ids: ProducerIds,
    /// Counters.
    pub metrics: Metrics,
    /// czxid of this broker's registration; -1 while it has none.
    pub epoch: Arc<AtomicI64>,
    /// Whether its roles are surely the present ones.
    pub standing: Arc<Standing>,
    /// Asks the process to end at once, because it can serve nothing any more.
    pub halt: Notify,
    /// Version of `/feature`; -1 while it is unknown.
    pub feature_epoch: Arc<AtomicI64>,
}

impl Broker {
    /// The broker epoch that controllers must name.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Version of `/feature`, which clients see as the epoch of finalized features.
    pub fn feature_epoch(&self) -> i64 {
        self.feature_epoch.load(Ordering::SeqCst)
    }

    /// Takes the replication quotas into force that are configured: of one topic, or of all and this broker's rates.
    pub fn throttles_changed(&self, topic: Option<&str>) {
        let Throttles { leader, follower } = &*self.throttles;
        let of_topic = |topic: &str| {
            let own = self.configs.topic_overrides(topic);
            leader.set_topic(topic, own.get(throttle::LEADER_REPLICAS).map(String::as_str));
            follower.set_topic(topic, own.get(throttle::FOLLOWER_REPLICAS).map(String::as_str));
        };
        if let Some(topic) = topic {
            return of_topic(topic);
        }
        leader.set_rate(self.configs.set_number(throttle::LEADER_RATE));
        follower.set_rate(self.configs.set_number(throttle::FOLLOWER_RATE));
        self.configs.topics_with_overrides().iter().for_each(|topic| of_topic(topic));
    }

    /// Whether a controller's request is for this life of the broker, and from the newest controller
    /// (`ZkBrokerEpochManager.isBrokerEpochStale`: a larger epoch than our own is accepted, -1 is never stale).
    pub fn accept_control(&self, broker_epoch: i64, controller_epoch: i32) -> Result<(), ErrorCode> {
        if broker_epoch != -1 && broker_epoch < self.epoch() && !bugs::is_back(Bug::R20) {
            return Err(ErrorCode::StaleBrokerEpoch);
        }
        self.replicas.accept_controller(controller_epoch)
    }

    /// A log directory failed: its partitions go offline, and the controller hears of it
    /// (`ReplicaManager.handleLogDirFailure`). Without any directory left the process ends.
    pub async fn log_dir_failed(&self, dir: &Path, error: &str) {
        let Some(failure) = self.replicas.logs.fail_dir(dir, &error) else { return };
        self.replicas.take_offline(&failure.current);
        self.fetchers.remove(&failure.current);
        tracing::error!(
            dir = %dir.display(),
            partitions = failure.current.len(),
            error,
            "a log directory failed and is offline; mend the disk and restart the broker"
        );
        if failure.must_halt {
            tracing::error!("no log directory is left; the broker ends");
            self.halt.notify_one();
            return;
        }
        if let Err(error) = notifications::report_log_dir_failure(&*self.store, self.id).await {
            tracing::warn!(%error, "the controller could not be told of the failed log directory");
        }
    }
}
