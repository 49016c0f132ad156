//! Coordinators: pure shards (what a group or a transaction does) and the runtime that feeds them.
//!
//! `shard` is the contract between the two; `timers` and `committed` are the two containers both sides use.

pub mod committed;
pub mod group;
pub mod shard;
pub mod timers;

// The shell.
pub mod directory;
pub mod loader;
pub mod runtime;
