//! The controller's machine against a model of ZooKeeper and of brokers: transcripts of single flows, a load of many
//! partitions, and seeded random runs with invariants.

mod brokers;
mod elections;
mod failures;
mod random;
mod reassignment;
mod store;
mod topics;
mod wishes;
mod words;
mod world;
