//! How consumers wait for a cluster that is not up yet: as long as they would wait for a record, with a warning now and then.
//!
//! Source: `NetworkClient`, `ClientUtils.parseAndValidateAddresses` in Kafka's clients.

use std::time::{Duration, Instant};

use crate::cli::connect::{Client, address};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// The cluster, once a broker answers; `None` when `until` has come before.
pub async fn for_cluster(servers: &str, id: &str, until: Option<Instant>) -> Result<Option<Client>, String> {
    let urls: Vec<&str> = servers.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
    let mut known = false;
    for url in &urls {
        let (host, port) = address(url)?;
        known = known || tokio::net::lookup_host((host, port)).await.is_ok();
    }
    if !known {
        return Err(format!(
            "No resolvable bootstrap urls given in bootstrap.servers: {servers}; check the names of the hosts"
        ));
    }
    let mut warned: Option<Instant> = None;
    loop {
        let why = match Client::open(&urls.join(","), id, Duration::ZERO).await {
            Ok(client) => return Ok(Some(client)),
            Err(why) => why,
        };
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            eprintln!("WARN {why}");
            warned = Some(Instant::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
