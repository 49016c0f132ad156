//! ApiVersions: what this broker speaks (KIP-511). Derived from the table of APIs.
//!
//! An unsupported version is answered in version 0 with the one row a client needs to try again. v3+ names the
//! client's software, which must look like a name.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::api_versions::ApiVersion;
use crate::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// Serves a request of a version that the table has.
pub async fn handle(
    broker: &Arc<Broker>,
    request: ApiVersionsRequest,
    call: Call<'_>,
) -> Answer<ApiVersionsResponse> {
    let named = is_name(&request.client_software_name) && is_name(&request.client_software_version);
    if call.version >= 3 && !named {
        return Answer::Now(ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..Default::default()
        });
    }
    Answer::Now(ApiVersionsResponse {
        api_keys: ApiKey::ALL.iter().map(|key| row(*key)).collect(),
        finalized_features_epoch: broker.feature_epoch(),
        ..Default::default()
    })
}

/// The answer to a version that the table has not; it is written in version 0.
pub fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![row(ApiKey::ApiVersions)],
        ..Default::default()
    }
}

fn row(key: ApiKey) -> ApiVersion {
    let versions = key.versions();
    ApiVersion {
        api_key: key.number(),
        min_version: *versions.start(),
        max_version: *versions.end(),
        ..Default::default()
    }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    plain(bytes.first())
        && plain(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
