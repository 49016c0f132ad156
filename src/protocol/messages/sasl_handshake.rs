//! SaslHandshake, API 17. Version 0 is followed by raw tokens, version 1 by SaslAuthenticate.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `SaslHandshakeRequest`, `SaslHandshakeResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Chooses a SASL mechanism.
    SaslHandshakeRequest 0..=1, flexible none {
        mechanism: String,
    }
}

message! {
    /// Whether it is enabled, and which are.
    SaslHandshakeResponse 0..=1, flexible none {
        error_code: i16,
        mechanisms: Vec<String>,
    }
}
