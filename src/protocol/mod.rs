//! Kafka's wire format: bytes to values and back. Pure; knows nothing of sockets, files or who leads what.

pub mod error_code;
pub mod ids;
pub mod messages;
pub mod records;
pub mod stored;
pub mod varint;
