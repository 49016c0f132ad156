//! Kafka's wire format: bytes to values and back. Pure; knows nothing of sockets, files or who leads what.

pub mod api_key;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod ids;
pub mod message;
pub mod messages;
pub mod records;
pub mod stored;
pub mod varint;
pub mod wire;
