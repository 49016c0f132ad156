//! What the tests and figures of Ottla's image share: an engine, Metadata asked from outside, a cluster, compose projects.
//!
//! Invariants: one test at a time has the engine; whatever is started is named `ottla-test-*` and removed, also when a test
//! panics. Knows nothing of the broker's code: it sees the image as its users do.

pub mod compose;
pub mod engine;
pub mod metadata;
pub mod stack;
