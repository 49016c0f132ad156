//! ZooKeeper's wire records.
