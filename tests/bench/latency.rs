//! Latency at a fixed rate: an open loop, so that a broker that pauses cannot slow its own examiner down.
//!
//! There is a connection for each partition, to its leader. Each sends at times fixed beforehand and a thread of its own
//! takes the answers; latency counts from the time a request *should* have left, whether or not it could. Answers come in
//! request order.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::failed;
use crate::load::{Target, batch, produced};

/// Bytes of a request's batch.
const BATCH_BYTES: usize = 4096;

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Percentiles {
    /// Half of them were at most this.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
}

/// Sends `rate` requests a second, all connections together, for `length`, and tells how long the answers took. The
/// first tenth warms up and does not count. What earlier loads wrote is on the disk before: whoever comes after the one
/// that wrote most would wait for its pages.
pub fn measure(target: &Target, rate: u64, length: Duration) -> io::Result<Percentiles> {
    rustix::fs::sync();
    let connections = target.leaders.len() as u64;
    let each = length.as_millis() as u64 * rate / 1000 / connections.max(1);
    let interval = Duration::from_nanos(1_000_000_000 * connections / rate);
    // Time for all threads to be there; connections take turns within the interval.
    let start = Instant::now() + Duration::from_millis(100);
    let mut threads = Vec::new();
    for index in 0..connections {
        let (connection, mut request) = target.producer(index as usize, batch(BATCH_BYTES, false)?)?;
        let (mut sender, mut receiver) = connection.split()?;
        let first = start + interval * index as u32 / connections as u32;
        let due = Arc::new(move |number: u64| first + interval * number as u32);
        let due_there = Arc::clone(&due);
        let sending = thread::spawn(move || -> io::Result<()> {
            for number in 0..each {
                thread::sleep(due(number).saturating_duration_since(Instant::now()));
                sender.send(&mut request)?;
            }
            Ok(())
        });
        let receiving = thread::spawn(move || -> io::Result<Vec<f64>> {
            let mut times = Vec::with_capacity(each as usize);
            for number in 0..each {
                produced(&mut receiver, number as i32 + 1)?;
                times.push(due_there(number).elapsed().as_secs_f64() * 1000.0);
            }
            Ok(times.split_off(each as usize / 10))
        });
        threads.push((sending, receiving));
    }
    let mut times = Vec::new();
    for (sending, receiving) in threads {
        let sent = sending.join().map_err(|_| failed("a sender panicked"))?;
        times.extend(receiving.join().map_err(|_| failed("a receiver panicked"))??);
        sent?;
    }
    percentiles(times)
}

fn percentiles(mut times: Vec<f64>) -> io::Result<Percentiles> {
    times.sort_by(f64::total_cmp);
    let count = times.len();
    let at = |share: f64| times.get(((count as f64 * share) as usize).min(count.saturating_sub(1))).copied();
    let percentiles = || Some(Percentiles { p50: at(0.5)?, p99: at(0.99)?, p999: at(0.999)? });
    percentiles().ok_or_else(|| failed("no latency was measured: the run is too short"))
}
