//! UpdateFeatures, API 57. KIP-584; answered by the controller.
//!
//! Every version of Kafka 3.9; knows only the layout. Source: `UpdateFeaturesRequest`, `UpdateFeaturesResponse` in Kafka's clients.

use crate::protocol::message::message;

message! {
    /// Changes the finalized features of the cluster.
    UpdateFeaturesRequest 0..=1, flexible 0.. {
        timeout_ms: i32 = 60000,
        feature_updates: Vec<FeatureUpdateKey>,
        validate_only: bool [1..],
    }

    /// In `UpdateFeaturesRequest::feature_updates`.
    FeatureUpdateKey {
        feature: String,
        max_version_level: i16,
        allow_downgrade: bool [0..=0],
        upgrade_type: i8 [1..] = 1,
    }
}

message! {
    /// How each feature fared.
    UpdateFeaturesResponse 0..=1, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
        results: Vec<UpdatableFeatureResult>,
    }

    /// In `UpdateFeaturesResponse::results`.
    UpdatableFeatureResult {
        feature: String,
        error_code: i16,
        error_message: Option<String> = Some(String::new()),
    }
}
