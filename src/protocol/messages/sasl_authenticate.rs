//! SaslAuthenticate, API 36. KIP-152; the session lifetime is KIP-368.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `SaslAuthenticateRequest`, `SaslAuthenticateResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// One message of the SASL exchange.
    SaslAuthenticateRequest 0..=2, flexible 2.. {
        auth_bytes: Bytes,
    }
}

message! {
    /// The broker's message of the exchange.
    SaslAuthenticateResponse 0..=2, flexible 2.. {
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        auth_bytes: Bytes,
        session_lifetime_ms: i64 [1.., else ignored],
    }
}
