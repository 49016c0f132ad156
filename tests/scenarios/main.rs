//! Transcripts of the pure machines: commands and exactly what they lead to, in text files that can be read.
//!
//! `REWRITE=1 cargo test --test scenarios` writes what the machines do now into the files; the diff is the review.

mod group;
#[path = "../support/sample.rs"]
mod sample;
mod transcript;
