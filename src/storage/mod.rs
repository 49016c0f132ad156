//! The log on disk: Kafka's files, byte for byte.

pub mod checkpoint;
pub mod fs;
