//! DescribeUserScramCredentials, API 50. KIP-554; null users means all.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `DescribeUserScramCredentialsRequest`, `DescribeUserScramCredentialsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks which SCRAM credentials users have.
    DescribeUserScramCredentialsRequest 0..=0, flexible 0.. {
        users: Option<Vec<UserName>> = Some(Vec::new()),
    }

    /// In `DescribeUserScramCredentialsRequest::users`.
    UserName {
        name: String,
    }
}

message! {
    /// Mechanisms and iterations, never secrets.
    DescribeUserScramCredentialsResponse 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    /// In `DescribeUserScramCredentialsResponse::results`.
    DescribeUserScramCredentialsResult {
        user: String,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        credential_infos: Vec<CredentialInfo>,
    }

    /// In `DescribeUserScramCredentialsResult::credential_infos`.
    CredentialInfo {
        mechanism: i8,
        iterations: i32,
    }
}
