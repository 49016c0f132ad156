//! The log on disk: Kafka's files, byte for byte.

pub mod append_error;
pub mod batch_scan;
pub mod checkpoint;
pub mod descriptors;
pub mod dir_failures;
pub mod dirs;
pub mod epoch_cache;
pub mod fs;
mod index_file;
pub mod log;
pub mod log_config;
pub mod log_error;
pub mod manager;
pub mod meta_properties;
pub mod offset_index;
pub mod partition_dir;
pub mod partition_metadata;
mod producer_batch;
mod producer_rebuild;
pub mod producer_snapshot;
pub mod producer_state;
pub mod recovery;
mod reencode;
mod retention;
pub mod segment;
pub mod segment_names;
mod segment_recovery;
pub mod segments;
pub mod sim_fs;
pub mod time_index;
pub mod trash;
pub mod txn_index;
pub mod validate;

#[cfg(test)]
mod sample_tests;
