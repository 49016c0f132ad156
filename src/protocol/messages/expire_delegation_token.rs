//! ExpireDelegationToken, API 40. KIP-48; a negative period ends it at once.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ExpireDelegationTokenRequest`, `ExpireDelegationTokenResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Shortens the life of a delegation token, or ends it.
    ExpireDelegationTokenRequest 0..=2, flexible 2.. {
        hmac: Bytes,
        expiry_time_period_ms: i64,
    }
}

message! {
    /// When the token now expires.
    ExpireDelegationTokenResponse 0..=2, flexible 2.. {
        error_code: i16,
        expiry_timestamp_ms: i64,
        throttle_time_ms: i32,
    }
}
