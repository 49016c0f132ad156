//! Kafka's operations against a server.
