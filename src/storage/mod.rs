//! The log on disk: Kafka's files, byte for byte.

pub mod checkpoint;
pub mod epoch_cache;
pub mod fs;
mod index_file;
pub mod offset_index;
pub mod time_index;
pub mod txn_index;
