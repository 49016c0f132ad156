//! What the cluster looks like to clients.

pub mod image;
