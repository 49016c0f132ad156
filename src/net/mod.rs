//! Listeners, connections, frames: bytes in, bytes out. Knows nothing of what a request means.

pub mod connection;
pub mod limits;
pub mod listener;
pub mod memory;
pub mod outgoing;
pub mod rate;
