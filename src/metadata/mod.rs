//! What the cluster looks like to clients.
