//! Records of internal topics and of the consumer protocol.
