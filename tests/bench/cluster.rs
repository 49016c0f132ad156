//! Three brokers that replicate: what a GB costs all of them together, and how long acks=all takes.
//!
//! Each record is received by its leader, read by two followers, and appended by these: what nobody can do without is
//! 3 times the null broker's cost of producing it and 2 times its cost of reading it, with batches of the same size. That sum
//! stands in the null broker's place, and is measured in the same round.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::latency::{self, Percentiles};
use crate::load::{self, PARTITIONS, Shape, Target};
use crate::peers::{Cluster, Peer, Stand};
use crate::sample::{self, Length, Sample};
use crate::topics::{self, NewTopic, THROWN_AWAY};

/// Brokers of the cluster, and replicas of each partition.
const REPLICAS: i16 = 3;
/// Of the topics that are replicated: four led by each broker.
const REPLICATED_PARTITIONS: i32 = 12;
const SETTINGS: &[(&str, &str)] = &[("min.insync.replicas", "2"), THROWN_AWAY[0]];
/// Requests a second whose latency is measured: few enough for all on two cores.
const RATE: u64 = 250;

/// A cluster that is paused while another one is examined has not lost anybody when it goes on; and gigabytes of deleted
/// topics leave the disk at once, not a minute later beneath somebody's latency.
const SETTINGS_OF_BROKERS: &str =
    "zookeeper.session.timeout.ms=300000\nreplica.lag.time.max.ms=300000\nlog.segment.delete.delay.ms=1000\n";

const fn replicated(batch_bytes: usize) -> Shape {
    Shape { batch_bytes, one_record: false, connections: REPLICATED_PARTITIONS as usize, in_flight: 5 }
}

/// What is produced: figure and load.
pub const LOADS: &[(&str, Shape)] =
    &[("cluster-16k", replicated(16 << 10)), ("cluster-64k", replicated(64 << 10))];

/// For the report.
pub fn about() -> Value {
    json!({
        "brokers": REPLICAS,
        "topic": { "partitions": REPLICATED_PARTITIONS, "replication": REPLICAS, "settings": SETTINGS },
        "acks": "all",
        "latency_requests_per_second": RATE,
        "null": "3 x produce + 2 x fetch",
    })
}

/// What a replicated GB costs, and where it was seen.
pub struct Cost {
    /// CPU-seconds a GB of records, counted once.
    pub cpu_per_gb: f64,
    /// The samples it is made of.
    pub samples: Vec<Sample>,
}

/// Starts three brokers; the null broker, which does not replicate, alone and with something to read.
pub fn start(stand: &Stand, peer: Peer, fill_bytes: u64) -> io::Result<Cluster> {
    let name = format!("cluster-{}", peer.name());
    if peer != Peer::Null {
        return stand.start_cluster(peer, &name, REPLICAS as usize, SETTINGS_OF_BROKERS);
    }
    let alone = stand.start_cluster(peer, &name, 1, SETTINGS_OF_BROKERS)?;
    for (id, shape) in LOADS {
        load::fill(topics::ready(alone.port, topic(peer, id))?, of(peer, *shape), fill_bytes)?;
    }
    Ok(alone)
}

fn topic(peer: Peer, name: &str) -> NewTopic<'_> {
    match peer {
        Peer::Null => NewTopic { name, partitions: PARTITIONS, replicas: 1, settings: &[] },
        _ => NewTopic { name, partitions: REPLICATED_PARTITIONS, replicas: REPLICAS, settings: SETTINGS },
    }
}

/// The null broker gets the connections it has where producing alone is measured.
fn of(peer: Peer, shape: Shape) -> Shape {
    let connections = if peer == Peer::Null { PARTITIONS as usize } else { shape.connections };
    Shape { connections, ..shape }
}

/// One sample of producing, to a topic called `name` that is deleted after it.
pub fn produce(cluster: &Cluster, name: &str, shape: Shape, length: Length) -> io::Result<Sample> {
    let topic = topic(cluster.peer, name);
    let brokers = cluster.brokers.len() as u32;
    let length = Length {
        // Each broker works, and a JVM warms up, as long as one that is alone.
        cpu_s: length.cpu_s * f64::from(brokers),
        wall: length.wall * brokers,
        // As much memory and disk as a sample without replicas.
        bytes: length.bytes / u64::from(brokers),
        ..length
    };
    sample::of_producing(cluster, topic, of(cluster.peer, shape), length)
}

/// What a replicated GB costs in this round; for the null broker the sum that the module tells of.
pub fn cost(cluster: &Cluster, id: &str, round: usize, shape: Shape, length: Length) -> io::Result<Cost> {
    let produced = produce(cluster, &format!("{id}-{round}"), shape, length)?;
    if cluster.peer != Peer::Null {
        return Ok(Cost { cpu_per_gb: produced.cpu_per_gb(), samples: vec![produced] });
    }
    let fetched = sample::of_fetching(cluster, topic(cluster.peer, id), length)?;
    let copies = f64::from(REPLICAS);
    let cpu_per_gb = copies * produced.cpu_per_gb() + (copies - 1.0) * fetched.cpu_per_gb();
    Ok(Cost { cpu_per_gb, samples: vec![produced, fetched] })
}

/// The latency of acks=all at [`RATE`], while the `others` are paused: even idle, three JVMs are a load on two cores.
pub fn latency(cluster: &Cluster, others: &[&Cluster], length: Duration) -> io::Result<Percentiles> {
    let target: Target = topics::ready(cluster.port, topic(cluster.peer, "cluster-latency"))?;
    others.iter().try_for_each(|other| other.pause())?;
    let seen = latency::measure(&target, RATE, length);
    others.iter().try_for_each(|other| other.resume())?;
    seen
}
