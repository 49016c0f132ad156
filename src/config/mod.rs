//! Every key of Kafka 3.9: name, type, default, how it may change; where values come from.
