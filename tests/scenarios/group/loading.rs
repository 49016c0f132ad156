//! A log that Kafka wrote.
