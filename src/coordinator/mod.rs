//! Coordinators: pure shards and the runtime that feeds them.
