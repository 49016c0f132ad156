//! RenewDelegationToken, API 39. KIP-48.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `RenewDelegationTokenRequest`, `RenewDelegationTokenResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Lengthens the life of a delegation token.
    RenewDelegationTokenRequest 0..=2, flexible 2.. {
        hmac: Bytes,
        renew_period_ms: i64,
    }
}

message! {
    /// When the token now expires.
    RenewDelegationTokenResponse 0..=2, flexible 2.. {
        error_code: i16,
        expiry_timestamp_ms: i64,
        throttle_time_ms: i32,
    }
}
