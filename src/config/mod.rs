//! Every key of Kafka 3.9: name, type, default, how it may change; where values come from and which one wins.
//!
//! Pure: texts in, values out; the command line reads the files. Three sources say the same words: Java
//! properties (`server.properties`), TOML, and `--override key=value`.

pub mod broker;
pub mod broker_keys;
pub mod environment;
pub mod keys;
pub mod layers;
pub mod listeners;
pub mod load;
pub mod plugins;
pub mod topic;
pub mod topic_keys;
