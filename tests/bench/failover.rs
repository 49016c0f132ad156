//! The controller of three brokers with many partitions is killed: how long until all is led again.
//!
//! Its ephemeral znodes are deleted in its stead, in one transaction, as ZooKeeper does when the session expires; so how
//! long a session lives is no part of the figure. The time ends when the Metadata of both survivors names one of them as
//! controller and leader of every partition. They are asked in turns and seldom, for the answer is large: the figure is
//! exact to about twice [`POLL`].

use std::collections::VecDeque;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ottla_zk::store::{Op, Options, Remote, Store};
use ottla_zk::znode::{broker, controller};

use crate::client::{Connection, failed};
use crate::partitions::{self, LIMIT};
use crate::peers::{Cluster, Peer, Stand};
use crate::process;
use crate::topics::{self, NewTopic};

const BROKERS: usize = 3;
const REPLICAS: i16 = 2;
const POLL: Duration = Duration::from_millis(50);
/// For the brokers to come to rest before the kill.
const REST: Duration = Duration::from_secs(5);

/// One fail-over.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    /// Seconds from the deletion of the znodes until both survivors tell that all partitions are led.
    pub led_s: f64,
    /// CPU-seconds that both have used until then, the answers they were asked for included.
    pub cpu_s: f64,
}

/// Measures `peer` with `count` partitions; `step` is told what comes next.
pub fn measure(
    stand: &Stand,
    peer: Peer,
    name: &str,
    count: i32,
    step: &dyn Fn(&str),
) -> io::Result<Failover> {
    step("starting three brokers");
    let mut cluster = stand.start_cluster(peer, name, BROKERS, "")?;
    let names = partitions::names(count);
    for (name, partitions) in &names {
        step(&format!("creating {partitions} partitions, {REPLICAS} replicas each"));
        let topic = NewTopic { name, partitions: *partitions, replicas: REPLICAS, settings: &[] };
        topics::create(cluster.port, &[topic], LIMIT)?;
    }
    step("waiting until every broker knows all partitions whole");
    topics::await_led(cluster.port, &names, Instant::now() + LIMIT)?;
    sleep(REST);

    step("killing the controller");
    let victim = topics::metadata(&mut Connection::open(cluster.port)?, &[])?.controller_id;
    let at = cluster.brokers.iter().position(|broker| broker.id == victim);
    let mut victim = cluster.brokers.remove(at.ok_or_else(|| failed("there is no controller"))?);
    let connect = stand.zookeeper_connect(&victim)?;
    let used = process::cpu_seconds(&cluster.pids())?;
    let deleted = forget(&connect, victim.id, || victim.process.kill())?;
    let led_s = await_taken_over(&cluster, &names, deleted)?.as_secs_f64();
    let cpu_s = process::cpu_seconds(&cluster.pids())? - used;
    cluster.remove()?;
    victim.remove()?;
    Ok(Failover { led_s, cpu_s })
}

/// Kills a controller, deletes its ephemeral znodes, and tells when it began to delete them.
fn forget(connect: &str, id: i32, kill: impl FnOnce() -> io::Result<()>) -> io::Result<Instant> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Remote::connect(Options::new(connect)).await.map_err(failed)?;
        let gone = |path: String| Op::Delete { path, version: None };
        let ephemerals = vec![gone(controller::CONTROLLER.to_owned()), gone(broker::path(id))];
        kill()?;
        let began = Instant::now();
        store.multi(ephemerals).await.map_err(failed)?;
        Ok(began)
    })
}

/// Waits until every broker of the cluster has taken note of the fail-over; tells the time since `start`.
fn await_taken_over(cluster: &Cluster, names: &[(String, i32)], start: Instant) -> io::Result<Duration> {
    let mut asked: VecDeque<u16> = cluster.brokers.iter().map(|broker| broker.port).collect();
    while let Some(port) = asked.pop_front() {
        let began = Instant::now();
        let missing = match missing(cluster, port, names) {
            Ok(None) if asked.is_empty() => return Ok(start.elapsed()),
            Ok(None) => continue,
            Ok(Some(missing)) => missing,
            Err(error) => error.to_string(),
        };
        if start.elapsed() > LIMIT {
            return Err(failed(format!("not taken over in time, as port {port} tells: {missing}")));
        }
        asked.push_back(port);
        sleep(POLL.saturating_sub(began.elapsed()));
    }
    Err(failed("no broker survived"))
}

/// What, as the broker at `port` tells, the survivors have not taken over yet, if anything.
fn missing(cluster: &Cluster, port: u16, names: &[(String, i32)]) -> io::Result<Option<String>> {
    let topics: Vec<String> = names.iter().map(|(name, _)| name.clone()).collect();
    let answer = topics::metadata(&mut Connection::open(port)?, &topics)?;
    let lives = |id: i32| cluster.brokers.iter().any(|broker| broker.id == id);
    if !lives(answer.controller_id) {
        return Ok(Some(format!("the controller is {}", answer.controller_id)));
    }
    let all: usize = names.iter().map(|(_, partitions)| *partitions as usize).sum();
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let led = partitions.filter(|partition| lives(partition.leader_id)).count();
    Ok((led < all).then(|| format!("{led} of {all} partitions are led")))
}
