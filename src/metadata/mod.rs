//! What the cluster looks like: the image that UpdateMetadata maintains, and the one cell that holds it.
//!
//! Knows nothing of ZooKeeper and of the logs.

pub mod cache;
pub mod configs;
pub mod image;
pub mod update;
