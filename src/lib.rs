//! Ottla: a Kafka 3.9 broker for clusters coordinated by ZooKeeper.
//!
//! The rooms in reading order; who may use whom is `src/README.md`, and `tests/tidy.rs` enforces it.

// Floor 0, words: pure.
pub mod blocking;
pub mod bugs;
pub mod clock;
pub mod config;
pub mod protocol;
pub mod shutdown;
// Floor 1, machines: pure.
pub mod controller;
pub mod coordinator;
// Floor 2, matter: files and sockets of our own.
pub mod client;
pub mod metrics;
pub mod storage;
// Floor 3, shells: the broker's parts.
pub mod admin;
pub mod broker;
pub mod membership;
pub mod metadata;
pub mod replication;
// Floor 4, doors: one file per API.
pub mod api;
// Floor 5, walls.
pub mod boot;
pub mod cli;
pub mod net;
