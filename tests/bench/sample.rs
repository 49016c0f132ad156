//! One sample: a load runs, the CPU of its broker, or of all brokers of a cluster, is read before and after, what was
//! acknowledged in between is counted.
//!
//! A sample ends when the brokers have used enough CPU for the clock's hundredths not to matter, or when its
//! time is over.

use std::io;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::failed;
use crate::fetch;
use crate::load::{self, Load, Shape};
use crate::machine;
use crate::peers::Cluster;
use crate::process::{self, Memory};
use crate::topics::{self, NewTopic};

/// How long a sample is.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// CPU-seconds of the brokers it lasts.
    pub cpu_s: f64,
    /// It ends after this in any case.
    pub wall: Duration,
    /// Load before the sample begins.
    pub warm_up: Duration,
    /// It ends after this many bytes in any case: what it may take of disk and page cache.
    pub bytes: u64,
    /// Whether the pages it will fill are made ready first ([`machine::touch_free_memory`]).
    pub ready_pages: bool,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// CPU-seconds of the broker, or of all together.
    pub cpu_s: f64,
    /// CPU-seconds of the whole machine: broker, client, kernel threads, others.
    pub machine_cpu_s: f64,
    /// Seconds by the wall clock.
    pub wall_s: f64,
    /// Bytes of batches acknowledged or delivered.
    pub bytes: u64,
    /// Answers.
    pub requests: u64,
    /// Of the brokers at the end, still under load.
    pub memory: Memory,
}

impl Sample {
    /// CPU-seconds a GB (10^9 bytes).
    pub fn cpu_per_gb(&self) -> f64 {
        self.cpu_s / (self.bytes as f64 / 1e9)
    }

    /// Requests a CPU-second.
    pub fn requests_per_cpu(&self) -> f64 {
        self.requests as f64 / self.cpu_s
    }

    /// For the raw data.
    pub fn json(&self) -> Value {
        json!({
            "cpu_s": self.cpu_s,
            "machine_cpu_s": self.machine_cpu_s,
            "wall_s": self.wall_s,
            "bytes": self.bytes,
            "requests": self.requests,
            "rss_mib": self.memory.rss_mib,
            "peak_mib": self.memory.peak_mib,
        })
    }
}

/// A sample of producing to a topic made for it and deleted after it.
pub fn of_producing(
    cluster: &Cluster,
    topic: NewTopic<'_>,
    shape: Shape,
    length: Length,
) -> io::Result<Sample> {
    let target = topics::ready(cluster.port, topic)?;
    if !shape.one_record && length.ready_pages {
        let written = length.bytes * topic.replicas as u64;
        machine::touch_free_memory(written + written / 4);
    }
    let sample = take(cluster, load::produce(target, shape), length)?;
    // A follower that fell behind was spared work: then there is no figure.
    topics::await_led(cluster.port, &[(topic.name.to_owned(), topic.partitions)], Instant::now())?;
    topics::delete(cluster.port, topic.name)?;
    // Time for the files to go, for all alike.
    sleep(Duration::from_millis(1500).min(length.wall / 10));
    Ok(sample)
}

/// A sample of reading a topic that is filled already; it fills no pages.
pub fn of_fetching(cluster: &Cluster, topic: NewTopic<'_>, length: Length) -> io::Result<Sample> {
    let target = topics::target(cluster.port, topic)?;
    take(cluster, fetch::fetch(target), Length { bytes: u64::MAX, ..length })
}

/// Takes a sample of the brokers under `load`, and stops the load.
fn take(cluster: &Cluster, load: Load, length: Length) -> io::Result<Sample> {
    let pids = cluster.pids();
    sleep(length.warm_up);
    let read = || -> io::Result<(f64, f64, u64, u64)> {
        let bytes = load.counters.bytes.load(Ordering::Relaxed);
        let requests = load.counters.requests.load(Ordering::Relaxed);
        Ok((process::cpu_seconds(&pids)?, machine::busy_seconds()?.0, bytes, requests))
    };
    let start = Instant::now();
    let (cpu, busy, bytes, requests) = read()?;
    let end = loop {
        sleep(Duration::from_millis(20));
        let now = read()?;
        let done = now.0 - cpu >= length.cpu_s || now.2 - bytes >= length.bytes;
        if done || start.elapsed() >= length.wall || load.broken() {
            break now;
        }
    };
    let sample = Sample {
        cpu_s: end.0 - cpu,
        machine_cpu_s: end.1 - busy,
        wall_s: start.elapsed().as_secs_f64(),
        bytes: end.2 - bytes,
        requests: end.3 - requests,
        memory: process::memory(&pids)?,
    };
    load.stop()?;
    if sample.requests == 0 || sample.cpu_s <= 0.0 {
        return Err(failed("the broker answered nothing during the sample"));
    }
    Ok(sample)
}
