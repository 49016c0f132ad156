//! The log on disk: Kafka's files, byte for byte.

pub mod fs;
