//! Kafka's operations on znodes, typed.
