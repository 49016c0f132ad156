//! The bell that a log rings when reading, writing or syncing failed, so that its directory goes offline at once and
//! not when a periodic job happens to come by (`LogDirFailureChannel`).
//!
//! Rung under a log's lock: the hearer may only pass the word on. Knows nothing of who hears it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

type Hearer = Box<dyn Fn(PathBuf, String) + Send + Sync>;

/// One bell for all logs of a process.
#[derive(Default)]
pub struct DirFailures {
    hearer: OnceLock<Hearer>,
}

impl DirFailures {
    /// Sets who hears it; the first one stays.
    pub fn on_failure(&self, hearer: impl Fn(PathBuf, String) + Send + Sync + 'static) {
        // A second hearer would be a broker started twice on one set of logs.
        let _first_stays = self.hearer.set(Box::new(hearer));
    }

    /// `log_dir`, a log directory, failed.
    pub fn ring(&self, log_dir: &Path, error: &dyn Display) {
        if let Some(hearer) = self.hearer.get() {
            hearer(log_dir.to_path_buf(), error.to_string());
        }
    }
}
