//! The store: how a broker reads, writes and watches znodes.
