//! AlterUserScramCredentials, API 51. KIP-554; mechanisms: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `AlterUserScramCredentialsRequest`, `AlterUserScramCredentialsResponse` in Kafka's clients.

use bytes::Bytes;

use crate::protocol::message::message;

message! {
    /// Sets or deletes SCRAM credentials of users.
    AlterUserScramCredentialsRequest 0..=0, flexible 0.. {
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    }

    /// In `AlterUserScramCredentialsRequest::deletions`.
    ScramCredentialDeletion {
        name: String,
        mechanism: i8,
    }

    /// In `AlterUserScramCredentialsRequest::upsertions`.
    ScramCredentialUpsertion {
        name: String,
        mechanism: i8,
        iterations: i32,
        salt: Bytes,
        salted_password: Bytes,
    }
}

message! {
    /// How each user fared.
    AlterUserScramCredentialsResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        results: Vec<AlterUserScramCredentialsResult>,
    }

    /// In `AlterUserScramCredentialsResponse::results`.
    AlterUserScramCredentialsResult {
        user: String,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
    }
}
