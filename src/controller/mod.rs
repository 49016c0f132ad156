//! The controller as one pure machine: [`machine::Machine::step`] takes what happened and says what to do.
//!
//! A lone broker is its own controller through the same machine that drives a cluster. Reading order: `event` (the
//! contract), `context` (the memory), `machine` and `flow` (how one thing is done at a time), then one file a subject.
//! Pure: no clock, socket, file or ZooKeeper client. Source: Kafka's `KafkaController` and its two state machines.

pub mod context;
pub mod election;
pub mod event;
pub mod machine;
pub mod outbox;
pub mod partition_state;
pub mod replica_state;
pub mod store;

// The shell.
pub mod channel;
pub mod commit;
pub mod runner;

mod brokers;
mod deletion;
mod failover;
mod features;
mod flow;
mod isr;
mod preferred;
mod producer_ids;
mod reassignment;
mod recess;
mod shutdown;
mod topics;
mod wishes;
