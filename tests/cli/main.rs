//! The command line as its users meet it: `ottla dev` as a child process, the tools against it, what they print, their
//! exit codes, and what they say when something is wrong. `kafka_*`: the tools of Kafka's names, whose output is what a
//! real Kafka 3.9.2's tools printed.

mod config;
mod container;
mod errors;
mod groups;
mod kafka_configs;
mod kafka_console;
mod kafka_groups;
mod kafka_offsets;
mod kafka_perf;
mod kafka_reassign;
mod kafka_servers;
mod kafka_topics;
mod messages;
mod reassign;
mod scripts;
mod support;
mod topics;
mod znodes;
