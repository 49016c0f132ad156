//! Counters, cheap enough for every request. Knows nothing of how they are shown.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::api_key::ApiKey;

/// One counter an API (`kafka.network:type=RequestMetrics,name=RequestsPerSec`).
#[derive(Debug)]
pub struct PerApi {
    counts: Vec<AtomicU64>,
}

impl Default for PerApi {
    fn default() -> PerApi {
        let last = ApiKey::ALL.last().map_or(0, |key| key.number());
        PerApi { counts: (0..=last).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl PerApi {
    /// One more.
    pub fn count(&self, key: ApiKey) {
        self.counts[key.number() as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self, key: ApiKey) -> u64 {
        self.counts[key.number() as usize].load(Ordering::Relaxed)
    }
}

/// The broker's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests taken.
    pub requests: PerApi,
}
