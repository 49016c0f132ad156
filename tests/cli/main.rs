//! The command line as its users meet it: `ottla dev` as a child process, the tools against it, what they print, their
//! exit codes, and what they say when something is wrong.

mod config;
mod container;
mod errors;
mod groups;
mod kafka_servers;
mod messages;
mod reassign;
mod scripts;
mod support;
mod topics;
mod znodes;
