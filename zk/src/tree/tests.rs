//! The tree's semantics, against what ZooKeeper 3.9 does.
