//! ZooKeeper for Ottla, usable without Kafka: the wire records, a pure znode tree, an embedded server for one
//! machine, and the [`store`] through which a broker sees either that server or a real ensemble.

pub mod bugs;
pub mod jute;
pub mod tree;
pub mod znode;
// The rooms above are pure; those below do I/O.
pub mod kafka;
pub mod server;
pub mod store;
