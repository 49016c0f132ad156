//! The one cell that holds the current [`Image`]: readers never wait, a writer replaces the whole.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::image::{Image, Update};
use crate::protocol::ids::TopicPartition;

/// Holds the image; cheap to read from any thread.
#[derive(Debug)]
pub struct MetadataCache {
    image: ArcSwap<Image>,
    writing: Mutex<()>,
    version: watch::Sender<u64>,
}

impl Default for MetadataCache {
    fn default() -> MetadataCache {
        MetadataCache { image: ArcSwap::default(), writing: Mutex::default(), version: watch::Sender::new(0) }
    }
}

impl MetadataCache {
    /// The image now. Hold it for one request: several looks must agree.
    pub fn image(&self) -> Guard<Arc<Image>> {
        self.image.load()
    }

    /// Applies an UpdateMetadata and returns the partitions that it deletes.
    pub fn apply(&self, update: &Update) -> Vec<TopicPartition> {
        let deleted = {
            let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let applied = self.image.load().apply(update);
            self.image.store(Arc::new(applied.image));
            applied.deleted
        };
        self.version.send_modify(|version| *version += 1);
        deleted
    }

    /// Waits until the image is as `is_so` wants it.
    pub async fn until(&self, is_so: impl Fn(&Image) -> bool) {
        // Often there is nothing to wait for, and a look costs less than a place among the waiting.
        if is_so(&self.image()) {
            return;
        }
        let mut changes = self.changes();
        // The sender lives as long as this cache.
        while !is_so(&self.image()) && changes.changed().await.is_ok() {}
    }

    /// Hears of every change after this call: take it, look at the image, then wait.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.version.subscribe();
        changes.mark_unchanged();
        changes
    }
}
