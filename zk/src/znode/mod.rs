//! One type per znode of Kafka 3.9: path, encode, decode.
