//! From `exec` to the first Metadata, with empty files and ZooKeeper already up; then memory while idle.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::peers::{Broker, Peer, Stand};
use crate::process;

/// One start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Milliseconds from `exec` to the first Metadata that names a broker.
    pub metadata_ms: f64,
    /// Resident memory after some idle seconds.
    pub idle_mib: f64,
}

/// Starts `peer`, waits, looks, stops it.
pub fn measure(stand: &Stand, peer: Peer, name: &str, idle: Duration) -> io::Result<Start> {
    finish(stand.start(peer, name)?, idle)
}

/// The same for `ottla dev`.
pub fn measure_dev(stand: &Stand, name: &str, idle: Duration) -> io::Result<Start> {
    finish(stand.start_dev(name)?, idle)
}

fn finish(mut broker: Broker, idle: Duration) -> io::Result<Start> {
    let metadata_ms = broker.await_metadata(1)?.as_secs_f64() * 1000.0;
    sleep(idle);
    let idle_mib = process::memory(&[broker.pid()])?.rss_mib;
    broker.process.terminate()?;
    broker.remove()?;
    Ok(Start { metadata_ms, idle_mib })
}
