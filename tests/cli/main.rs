//! The command line as its users meet it: `ottla dev` as a child process, the tools against it, what they print, their
//! exit codes, and what they say when something is wrong.

mod config;
mod container;
mod errors;
mod groups;
mod messages;
mod reassign;
mod support;
mod topics;
mod znodes;
