//! The broker as a black box: brokers on port 0, real sockets, real files, the embedded ZooKeeper; one file a feature.
//!
//! Most brokers live in this process; those that must be killed are processes of the real binary. A test waits for
//! events, never for time to pass, except where the promise is that nothing happens.

mod api_versions;
mod client;
mod coordination;
mod coordinators;
mod failures;
mod fetching;
mod forged;
mod groups;
mod log_dirs;
mod moves;
mod network;
mod nodes;
mod old_formats;
mod outages;
mod processes;
mod producing;
mod raw;
mod replication;
#[path = "../support/sample.rs"]
mod sample;
mod storage;
mod trouble;
mod two_brokers;
mod wishes;
