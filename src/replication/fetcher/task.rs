//! The shell of one fetcher: asks its leader over one connection, one request at a time, and has the partitions do
//! the work (`ReplicaFetcherThread`, `BrokerBlockingSender`).
//!
//! Versions come from `inter.broker.protocol.version`; no ApiVersions is asked. Appends are short writes to the page
//! cache and are done here; cutting a log goes to a blocking thread.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::machine::{Local, Machine, Step};
use super::manager::Shared;
use super::requests::Request;
use super::work::{Act, Outcome, Work};
use crate::client::connection::{CallError, Connection};
use crate::clock::Timestamp;
use crate::metadata::image::Endpoint;
use crate::protocol::ids::TopicPartition;

/// See the module.
pub(super) struct Task {
    shared: Arc<Shared>,
    leader: i32,
    client_id: String,
    endpoint: Endpoint,
    machine: Arc<Mutex<Machine>>,
    wake: Arc<Notify>,
    connection: Option<Connection>,
}

impl Task {
    pub fn new(
        shared: Arc<Shared>,
        (leader, fetcher_id): (i32, i32),
        endpoint: Endpoint,
        machine: Arc<Mutex<Machine>>,
        wake: Arc<Notify>,
    ) -> Task {
        let client_id = format!("broker-{}-fetcher-{fetcher_id}", shared.requests.broker_id);
        Task { shared, leader, client_id, endpoint, machine, wake, connection: None }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine's clock, which never goes back.
    fn now(&self) -> Timestamp {
        Timestamp(self.shared.replicas.clock.steady_ms())
    }

    /// Fetches until it is dropped.
    pub async fn run(mut self) {
        loop {
            match self.next() {
                Step::Do(work) => self.do_all(work).await,
                Step::Wait(until) => self.wait(until).await,
                Step::Ask(request) => self.ask(request).await,
            }
        }
    }

    fn next(&self) -> Step {
        let broker_epoch = self.shared.broker_epoch.load(Ordering::SeqCst);
        let now = self.now();
        let quota_exceeded = self.shared.throttles.follower.is_exceeded(now);
        self.machine().next(now, broker_epoch, quota_exceeded, |tp| self.local(tp))
    }

    fn local(&self, tp: &TopicPartition) -> Option<Local> {
        let partition = self.shared.replicas.partition(&tp.topic, tp.partition)?;
        let log = partition.lock().log.clone()?;
        let is_throttled = self.shared.throttles.follower.is_throttled(tp);
        Some(Local { log_start_offset: log.log_start_offset(), is_throttled })
    }

    async fn wait(&self, until: Option<Timestamp>) {
        let Some(until) = until else { return self.wake.notified().await };
        let pause = Duration::from_millis(until.since_ms(self.now()).max(1) as u64);
        tokio::select! {
            biased;
            () = self.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn ask(&mut self, request: Request) {
        match self.exchange(request).await {
            Ok(work) => self.do_all(work).await,
            Err(error) => {
                self.connection = None;
                tracing::warn!(leader = self.leader, %error, "a leader did not answer; trying again");
                self.machine().on_failure(self.now());
            }
        }
    }

    async fn exchange(&mut self, request: Request) -> Result<Vec<Work>, CallError> {
        let limit = self.shared.socket_timeout;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let port = u16::try_from(self.endpoint.port).unwrap_or(0);
                let opened = Connection::open(&self.endpoint.host, port, &self.client_id, limit).await?;
                self.connection.insert(opened)
            }
        };
        match request {
            Request::Fetch { version, request } => {
                let response = connection.call(version, &request, limit).await?;
                Ok(self.machine().on_fetch(self.now(), response))
            }
            Request::ListOffsets { version, request } => {
                let response = connection.call(version, &request, limit).await?;
                Ok(self.machine().on_offsets(self.now(), &response))
            }
        }
    }

    async fn do_all(&self, all: Vec<Work>) {
        for work in all {
            let outcome = self.do_one(&work).await;
            self.machine().on_done(self.now(), &work, outcome);
            // An answer may hold ten megabytes for many partitions: others want this thread too.
            tokio::task::yield_now().await;
        }
    }

    async fn do_one(&self, work: &Work) -> Outcome {
        let Some(partition) = self.shared.replicas.partition(&work.tp.topic, work.tp.partition) else {
            return Outcome::Later("this broker has no such partition any more".into());
        };
        let now = self.shared.replicas.now();
        if let Act::Append(fetched) = &work.act {
            let outcome = partition.follow(work, now);
            // In sync or not, its bytes count: the quota is for all that listed replicas receive.
            self.shared.throttles.follower.record(self.now(), &work.tp, fetched.records.len());
            return outcome;
        }
        let work = work.clone();
        let done = crate::blocking::run(move || partition.follow(&work, now)).await;
        done.unwrap_or_else(|error| Outcome::Failed(format!("cutting the log failed: {error}")))
    }
}
