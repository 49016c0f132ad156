//! Counters under Kafka's MBean names.
