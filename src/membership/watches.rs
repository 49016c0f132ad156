//! The broker's own watch on ZooKeeper: session, `/controller`, `/config/changes`, `/feature`.
//!
//! One task takes the events in order, drives the [`Session`] machine and carries out its actions. What was read
//! under a watch is always read whole, so a missed event costs nothing but time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ottla_zk::kafka::{KafkaError, changes, configs, features};
use ottla_zk::store::{Event as StoreEvent, Events, SessionEvent, Store, StoreError, WatchRoot};
use ottla_zk::znode::config::{self as config_node, ConfigEntity};

use super::Notice;
use super::registration::{Registration, register};
use super::session::{Action, Event, Session, State};
use super::standing::Standing;
use crate::clock::Clock;
use crate::metadata::configs::ConfigCache;

/// What the task tells the rest of the broker.
#[derive(Clone, Debug)]
pub enum Told {
    /// To the controller's shell.
    Controller(Notice),
    /// A topic's configuration was read again.
    TopicConfig(String),
    /// The broker's own configuration was read again.
    BrokerConfig,
}

/// What the task needs.
pub struct Watcher {
    /// ZooKeeper.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What to register.
    pub registration: Registration,
    /// Where configurations go.
    pub configs: Arc<ConfigCache>,
    /// Where the broker epoch goes (czxid; -1 while there is none).
    pub broker_epoch: Arc<AtomicI64>,
    /// Where the version of `/feature` goes (-1 while it is unknown).
    pub feature_epoch: Arc<AtomicI64>,
    /// Hears whether the session stands.
    pub standing: Arc<Standing>,
    /// Hears what happened.
    pub tell: Box<dyn Fn(Told) + Send + Sync>,
    /// Sequence of the last change note applied.
    pub last_change: i64,
}

/// What is watched.
pub fn roots() -> Vec<WatchRoot> {
    vec![
        WatchRoot::node("/controller"),
        WatchRoot::node(config_node::CHANGES),
        WatchRoot::node(ottla_zk::znode::feature::FEATURE),
    ]
}

impl Watcher {
    /// Runs until the store is closed; to be dropped at a stop, which closes it on purpose. `registered` hears of the
    /// first registration.
    pub async fn run(mut self, mut events: Events, registered: tokio::sync::oneshot::Sender<()>) {
        let mut session = Session::default();
        let mut registered = Some(registered);
        while let Some(event) = events.next().await {
            match event {
                StoreEvent::Session(event) => {
                    let Some(event) = session_event(event) else { continue };
                    let mut actions = session.on(event);
                    self.standing.set_session(session.state() == State::Registered);
                    while !actions.is_empty() {
                        let action = actions.remove(0);
                        if self.act(action).await {
                            actions.extend(session.on(Event::Registered));
                            self.standing.set_session(session.state() == State::Registered);
                            if let Some(sender) = registered.take() {
                                // Start-up may have given up waiting.
                                let _gone = sender.send(());
                            }
                        }
                    }
                }
                StoreEvent::Changed { path, .. } => self.changed(&path).await,
            }
        }
    }

    /// Carries out an action; true when it was a registration that succeeded.
    async fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Register { previous } => {
                let now = self.clock.now();
                if let Some(epoch) = register(&self.store, &self.registration, previous, now).await {
                    self.broker_epoch.store(epoch, Ordering::SeqCst);
                    tracing::info!(broker = self.registration.broker_id, epoch, "registered in ZooKeeper");
                    return true;
                }
            }
            Action::ReadAgain => {
                self.read_changes().await;
                self.read_feature().await;
            }
            Action::LeaveOffice => (self.tell)(Told::Controller(Notice::SessionLost)),
            Action::StandForElection => (self.tell)(Told::Controller(Notice::Registered)),
            Action::LookAtOffice => (self.tell)(Told::Controller(Notice::ControllerChanged)),
        }
        false
    }

    async fn changed(&mut self, path: &str) {
        match path {
            "/controller" => (self.tell)(Told::Controller(Notice::ControllerChanged)),
            config_node::CHANGES => self.read_changes().await,
            ottla_zk::znode::feature::FEATURE => self.read_feature().await,
            _ => {}
        }
    }

    async fn read_feature(&self) {
        match features::read(&*self.store).await {
            Ok(found) => {
                let epoch = found.map_or(-1, |(_, version)| i64::from(version));
                self.feature_epoch.store(epoch, Ordering::SeqCst);
            }
            // What nobody can read finalizes nothing (`FinalizedFeatureChangeListener`).
            Err(KafkaError::Znode(error)) => {
                tracing::warn!(%error, "cannot read /feature; no features are finalized");
                self.feature_epoch.store(-1, Ordering::SeqCst);
            }
            Err(error) => tracing::warn!(%error, "cannot read /feature"),
        }
    }

    async fn read_changes(&mut self) {
        let notes =
            changes::read(&*self.store, config_node::CHANGES, config_node::CHANGE_PREFIX, self.last_change)
                .await;
        let notes = match notes {
            Ok(notes) => notes,
            Err(KafkaError::Store(StoreError::NoNode(_))) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot read configuration changes; they are read again at the next one");
                return;
            }
        };
        for note in notes {
            match config_node::decode_change(&note.path, &note.data) {
                Ok(Some(entity)) => {
                    if let Err(error) = self.apply(&entity).await {
                        tracing::error!(%error, "a changed configuration cannot be read; the old one stays in force");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a change note cannot be read and is skipped"),
            }
            self.last_change = note.sequence;
        }
        let now = self.clock.now().0;
        let purged =
            changes::purge(&*self.store, config_node::CHANGES, config_node::CHANGE_PREFIX, now).await;
        if let Err(error) = purged {
            tracing::debug!(%error, "old change notes stay for now");
        }
    }

    /// Reads an entity again and takes it into force.
    async fn apply(&self, entity: &ConfigEntity) -> Result<(), KafkaError> {
        let own = Some(self.registration.broker_id);
        match entity {
            ConfigEntity::Topic(topic) => {
                let node = configs::read(&*self.store, entity).await?;
                self.configs.set_topic(topic, node.config);
                (self.tell)(Told::TopicConfig(topic.clone()));
            }
            ConfigEntity::Broker(None) => {
                let node = configs::read(&*self.store, entity).await?;
                self.configs.set_broker(Some(node.config), None);
                (self.tell)(Told::BrokerConfig);
            }
            ConfigEntity::Broker(id) if *id == own => {
                let node = configs::read(&*self.store, entity).await?;
                self.configs.set_broker(None, Some(node.config));
                (self.tell)(Told::BrokerConfig);
            }
            // Other brokers' values, and quotas, which are not enforced yet.
            _ => {}
        }
        Ok(())
    }
}

fn session_event(event: SessionEvent) -> Option<Event> {
    match event {
        SessionEvent::Connected { session_id } => Some(Event::Connected(session_id)),
        SessionEvent::Disconnected => {
            tracing::warn!(
                "the connection to ZooKeeper is lost; partitions are served on, trying to reconnect"
            );
            Some(Event::Disconnected)
        }
        SessionEvent::Reconnected => {
            tracing::info!("reconnected to ZooKeeper");
            Some(Event::Reconnected)
        }
        SessionEvent::Expired => {
            tracing::warn!("the ZooKeeper session expired; registering again when a new one stands");
            Some(Event::Expired)
        }
        SessionEvent::AuthFailed => {
            tracing::error!("ZooKeeper refuses the login; check the credentials");
            None
        }
    }
}
