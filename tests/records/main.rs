//! Record batches against what a real Kafka wrote, against random input and against broken input.

#[path = "../support/sample.rs"]
mod sample;

mod hostile;
mod kafka_files;
mod old_formats;
mod round_trip;
