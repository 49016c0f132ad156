//! The log against disks: directories that a real Kafka 3.9.2 wrote, crashes, full and failing disks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod crash;
mod deferred;
mod faults;
mod kafka;
mod resources;
mod sample;
mod writer;
