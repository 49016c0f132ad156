//! Load: threads that each keep one connection busy until told to stop, counting what was acknowledged.
//!
//! Producing sends prebuilt batches over and over, a fixed number of requests in flight; a broker's refusal
//! ends the run, because a figure with errors in it is none. Knows nothing of who answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla::protocol::messages::ProduceRequest;
use ottla::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use ottla::protocol::records::builder::{BatchBuilder, BatchOptions, NewRecord};

use crate::client::{Connection, failed, parse, prepare};

/// Partitions of a topic under load that is not replicated.
pub const PARTITIONS: i32 = 4;
/// First flexible version: what clients of the last years send.
const PRODUCE_VERSION: i16 = 9;
/// Bytes of a record's value in batches of many records.
const VALUE_BYTES: usize = 1000;

/// What is sent, and by how many.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// About so many bytes a batch, header included.
    pub batch_bytes: usize,
    /// Whether a batch holds one record, whatever its size.
    pub one_record: bool,
    /// Connections; each writes to one partition.
    pub connections: usize,
    /// Requests in flight on each.
    pub in_flight: usize,
}

/// A topic under load.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub topic: String,
    /// The port of each partition's leader.
    pub leaders: Vec<u16>,
    /// What its producers ask for: 1, or -1 for all.
    pub acks: i16,
}

impl Target {
    /// A connection to the leader of the partition whose turn it is, and a Produce request for that partition with one
    /// `batch`, ready to send.
    pub fn producer(&self, turn: usize, batch: Vec<u8>) -> io::Result<(Connection, Vec<u8>)> {
        let partition = turn % self.leaders.len().max(1);
        let leader = self.leaders.get(partition).ok_or_else(|| failed("a topic without partitions"))?;
        let request = produce_request(&self.topic, partition as i32, self.acks, batch)?;
        Ok((Connection::open(*leader)?, request))
    }
}

/// What all threads have done so far.
#[derive(Default)]
pub struct Counters {
    /// Bytes of batches acknowledged or delivered.
    pub bytes: AtomicU64,
    /// Answers.
    pub requests: AtomicU64,
    stop: AtomicBool,
}

impl Counters {
    /// Counts one answer.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A running load. Stop it: dropping it leaves the threads until the process ends.
pub struct Load {
    /// What it has done.
    pub counters: Arc<Counters>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Load {
    /// Runs `work(index, counters)` on `count` threads.
    pub fn start<F>(count: usize, work: F) -> Load
    where
        F: Fn(usize, &Counters) -> io::Result<()> + Send + Sync + 'static,
    {
        let counters = Arc::new(Counters::default());
        let work = Arc::new(work);
        let thread = |index| {
            let (counters, work) = (Arc::clone(&counters), Arc::clone(&work));
            std::thread::spawn(move || work(index, &counters))
        };
        Load { threads: (0..count).map(thread).collect(), counters }
    }

    /// Whether a thread has given up.
    pub fn broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends the load; what went wrong in a thread comes out here.
    pub fn stop(self) -> io::Result<()> {
        self.counters.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| failed("a load thread panicked"))??;
        }
        Ok(())
    }
}

/// A batch of about `bytes` bytes, stamped now.
pub fn batch(bytes: usize, one_record: bool) -> io::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(failed)?.as_millis() as i64;
    let mut builder = BatchBuilder::new(BatchOptions::default());
    // A fixed seed: every broker gets the same bytes.
    let mut random = fastrand::Rng::with_seed(7);
    loop {
        let left = bytes.saturating_sub(builder.size_in_bytes() + 16);
        let size = if one_record { left } else { left.min(VALUE_BYTES) };
        let value: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        let record = NewRecord { timestamp: now, value: Some(&value), ..NewRecord::default() };
        builder.append(&record).map_err(failed)?;
        if one_record || builder.size_in_bytes() + 32 > bytes {
            return builder.finish().map_err(failed);
        }
    }
}

fn produce_request(topic: &str, partition: i32, acks: i16, batch: Vec<u8>) -> io::Result<Vec<u8>> {
    let data = PartitionProduceData {
        index: partition,
        records: Some(Bytes::from(batch).into()),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        name: topic.to_owned(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request =
        ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    prepare(PRODUCE_VERSION, &request)
}

/// Reads the answer to the request of a [`Target::producer`]; an error code in it is an error here.
pub fn produced(connection: &mut Connection, correlation_id: i32) -> io::Result<()> {
    let answer = parse::<ProduceRequest>(connection.receive()?, PRODUCE_VERSION, correlation_id)?;
    let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
    match partition {
        Some(partition) if partition.error_code == 0 => Ok(()),
        Some(partition) => Err(failed(format!(
            "Produce was refused with {}: {}",
            partition.error_code,
            partition.error_message.as_deref().unwrap_or("")
        ))),
        None => Err(failed("Produce was answered without a partition")),
    }
}

/// Produces to the topic until stopped.
pub fn produce(target: Target, shape: Shape) -> Load {
    Load::start(shape.connections, move |index, counters| {
        let batch = batch(shape.batch_bytes, shape.one_record)?;
        let bytes = batch.len() as u64;
        let (mut connection, mut request) = target.producer(index, batch)?;
        let mut first = 1i32;
        let mut next = 1i32;
        while !counters.stopped() {
            while (next.wrapping_sub(first) as usize) < shape.in_flight {
                next = connection.send(&mut request)?.wrapping_add(1);
            }
            produced(&mut connection, first)?;
            first = first.wrapping_add(1);
            counters.add(bytes);
        }
        while first != next {
            produced(&mut connection, first)?;
            first = first.wrapping_add(1);
        }
        Ok(())
    })
}

/// Produces at least `bytes` to the topic.
pub fn fill(target: Target, shape: Shape, bytes: u64) -> io::Result<()> {
    let load = produce(target, shape);
    while load.counters.bytes.load(Ordering::Relaxed) < bytes && !load.broken() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    load.stop()
}
