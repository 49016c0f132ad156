//! ApiVersions, API 18. Any version is answered; unknown ones in the layout of version 0 (KIP-511).
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `ApiVersionsRequest`, `ApiVersionsResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Asks which APIs and versions the broker speaks.
    ApiVersionsRequest 0..=4, flexible 3.. {
        client_software_name: String [3.., else ignored],
        client_software_version: String [3.., else ignored],
    }
}

message! {
    /// The APIs with their version ranges, and the features.
    ApiVersionsResponse 0..=4, flexible 3.. {
        error_code: i16,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [1.., else ignored],
        @0 supported_features: Vec<SupportedFeatureKey> [3.., else ignored],
        @1 finalized_features_epoch: i64 [3.., else ignored] = -1,
        @2 finalized_features: Vec<FinalizedFeatureKey> [3.., else ignored],
        @3 zk_migration_ready: bool [3.., else ignored],
    }

    /// In `ApiVersionsResponse::api_keys`.
    ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// In `ApiVersionsResponse::supported_features`.
    SupportedFeatureKey {
        name: String,
        min_version: i16,
        max_version: i16,
    }

    /// In `ApiVersionsResponse::finalized_features`.
    FinalizedFeatureKey {
        name: String,
        max_version_level: i16,
        min_version_level: i16,
    }
}
