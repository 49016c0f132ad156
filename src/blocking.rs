//! Work with the disk that takes its time: on a thread of the runtime's pool, so that a connection's thread goes on.
//!
//! A simulator has one thread and one order of events; it asks for such work inline, for its thread alone.
//! Knows nothing of what the work is.

use std::cell::Cell;

use tokio::task::JoinError;

thread_local! {
    static INLINE: Cell<bool> = const { Cell::new(false) };
}

/// From now on [`run`] on this thread does its work at once, on this thread: for simulators.
pub fn inline_here() {
    INLINE.set(true);
}

/// Does `work` on a blocking thread.
///
/// # Errors
/// The work panicked, or the runtime ends.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    match INLINE.get() {
        true => Ok(work()),
        false => tokio::task::spawn_blocking(work).await,
    }
}
