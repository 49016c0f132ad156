//! The log on disk: Kafka's files, byte for byte.

pub mod append_error;
pub mod batch_scan;
pub mod checkpoint;
pub mod epoch_cache;
pub mod fs;
mod index_file;
pub mod log_config;
pub mod log_error;
pub mod offset_index;
pub mod producer_snapshot;
pub mod producer_state;
mod reencode;
pub mod segment;
pub mod segment_names;
pub mod segments;
pub mod sim_fs;
pub mod time_index;
pub mod txn_index;
pub mod validate;
