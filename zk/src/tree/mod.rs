//! The znode tree: pure, one transaction at a time.
