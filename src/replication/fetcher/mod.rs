//! The follower's pull loop: one fetcher for each (leader, fetcher id), a pure machine in a thin shell.
//!
//! The machine says what to ask the leader and what to do with the answer; `follower.rs` does it under the
//! partition's lock, and is the only place that changes a follower's log. Source: `AbstractFetcherThread`,
//! `ReplicaFetcherThread`, `RemoteLeaderEndPoint`.

pub mod machine;
pub mod manager;
pub mod requests;
pub mod session;
mod task;
pub mod truncation;
pub mod work;
