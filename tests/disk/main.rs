//! The log against disks: directories that a real Kafka 3.9.2 wrote, crashes, full and failing disks.

mod crash;
mod faults;
mod kafka;
mod resources;
mod sample;
mod writer;
