//! The log on disk: Kafka's files, byte for byte.

pub mod checkpoint;
pub mod descriptors;
pub mod dirs;
pub mod epoch_cache;
pub mod fs;
mod index_file;
pub mod meta_properties;
pub mod offset_index;
pub mod partition_dir;
pub mod partition_metadata;
pub mod producer_snapshot;
pub mod producer_state;
pub mod sim_fs;
pub mod time_index;
pub mod txn_index;

#[cfg(test)]
mod sample_tests;
