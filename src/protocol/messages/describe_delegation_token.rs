//! DescribeDelegationToken, API 41. KIP-48; a null owner list means all.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeDelegationTokenRequest`, `DescribeDelegationTokenResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Asks for the delegation tokens of owners.
    DescribeDelegationTokenRequest 0..=3, flexible 2.. {
        owners: Option<Vec<DescribeDelegationTokenOwner>> = Some(Vec::new()),
    }

    /// In `DescribeDelegationTokenRequest::owners`.
    DescribeDelegationTokenOwner {
        principal_type: String,
        principal_name: String,
    }
}

message! {
    /// The tokens with their secrets.
    DescribeDelegationTokenResponse 0..=3, flexible 2.. {
        error_code: i16,
        tokens: Vec<DescribedDelegationToken>,
        throttle_time_ms: i32,
    }

    /// In `DescribeDelegationTokenResponse::tokens`.
    DescribedDelegationToken {
        principal_type: String,
        principal_name: String,
        token_requester_principal_type: String [3..],
        token_requester_principal_name: String [3..],
        issue_timestamp: i64,
        expiry_timestamp: i64,
        max_timestamp: i64,
        token_id: String,
        hmac: Bytes,
        renewers: Vec<DescribedDelegationTokenRenewer>,
    }

    /// In `DescribedDelegationToken::renewers`.
    DescribedDelegationTokenRenewer {
        principal_type: String,
        principal_name: String,
    }
}
