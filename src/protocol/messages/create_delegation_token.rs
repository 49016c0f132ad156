//! CreateDelegationToken, API 38. KIP-48, KIP-373; times in milliseconds since the epoch.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `CreateDelegationTokenRequest`, `CreateDelegationTokenResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Asks for a delegation token.
    CreateDelegationTokenRequest 0..=3, flexible 2.. {
        owner_principal_type: Option<String> [3..] = Some(String::new()),
        owner_principal_name: Option<String> [3..] = Some(String::new()),
        renewers: Vec<CreatableRenewers>,
        max_lifetime_ms: i64,
    }

    /// In `CreateDelegationTokenRequest::renewers`.
    CreatableRenewers {
        principal_type: String,
        principal_name: String,
    }
}

message! {
    /// The token with its secret.
    CreateDelegationTokenResponse 0..=3, flexible 2.. {
        error_code: i16,
        principal_type: String,
        principal_name: String,
        token_requester_principal_type: String [3..],
        token_requester_principal_name: String [3..],
        issue_timestamp_ms: i64,
        expiry_timestamp_ms: i64,
        max_timestamp_ms: i64,
        token_id: String,
        hmac: Bytes,
        throttle_time_ms: i32,
    }
}
