//! Requests this broker sends to other brokers.
