//! Record batches against what a real Kafka wrote, against random input and against broken input.

// Helpers of tests are tests too; clippy exempts only the test functions themselves.
#![allow(clippy::unwrap_used)]

#[path = "../support/sample.rs"]
mod sample;

mod hostile;
mod kafka_files;
mod old_formats;
mod round_trip;
