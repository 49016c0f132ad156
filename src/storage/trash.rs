//! Files and directories that wait for removal: renamed at once, removed `file.delete.delay.ms` later.
//!
//! The delay lets readers that hold only a name finish; those that hold a file need none. A crash forgets the
//! list, not the files: the next start removes what is named `.deleted` or `-delete`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::fs::Fs;
use crate::clock::Timestamp;

/// See the module.
#[derive(Default)]
pub struct Trash {
    waiting: Mutex<Vec<(Timestamp, PathBuf, bool)>>,
}

impl Trash {
    /// Removes a file at or after `due`.
    pub fn file(&self, path: PathBuf, due: Timestamp) {
        self.add(path, due, false);
    }

    /// Removes a directory and what it holds at or after `due`.
    pub fn dir(&self, path: PathBuf, due: Timestamp) {
        self.add(path, due, true);
    }

    fn add(&self, path: PathBuf, due: Timestamp, is_dir: bool) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((due, path, is_dir));
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what lies under `dir`, which went offline or was renamed.
    pub fn forget(&self, dir: &Path) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(_, path, _)| !path.starts_with(dir));
    }

    /// Removes what is due. Gives the paths that could not be removed, with the reason; they are not retried.
    pub fn empty(&self, fs: &dyn Fs, now: Timestamp) -> Vec<(PathBuf, io::Error)> {
        let due: Vec<_> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extract_if(.., |(due, _, _)| *due <= now).collect()
        };
        let mut failed = Vec::new();
        for (_, path, is_dir) in due {
            let removed = if is_dir { fs.remove_dir_all(&path) } else { fs.remove_file(&path) };
            match removed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed.push((path, error)),
            }
        }
        failed
    }
}
