//! This broker's life in ZooKeeper: session, registration, watches.
