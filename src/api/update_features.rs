//! UpdateFeatures: on the controller only (KIP-584; `KafkaController.validateFeatureUpdate`).
//!
//! A broker in ZooKeeper mode supports no feature that could be finalized, and none is; so every update is refused, for
//! the reason Kafka gives. v1: kinds of downgrade instead of a flag.

use std::sync::Arc;

use super::{Answer, Call};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::update_features::{FeatureUpdateKey, UpdatableFeatureResult};
use crate::protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: UpdateFeaturesRequest,
    call: Call<'_>,
) -> Answer<UpdateFeaturesResponse> {
    Answer::Now(response(broker.controller.is_active(), &request, call.version))
}

fn response(is_controller: bool, request: &UpdateFeaturesRequest, version: i16) -> UpdateFeaturesResponse {
    if !is_controller {
        return UpdateFeaturesResponse {
            error_code: ErrorCode::NotController.code(),
            error_message: None,
            ..Default::default()
        };
    }
    let result = |update: &FeatureUpdateKey| UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some(why(update, version)),
        ..Default::default()
    };
    UpdateFeaturesResponse {
        error_message: None,
        results: request.feature_updates.iter().map(result).collect(),
        ..Default::default()
    }
}

fn why(update: &FeatureUpdateKey, version: i16) -> String {
    let downgrades =
        if version == 0 { update.allow_downgrade } else { (2..=3).contains(&update.upgrade_type) };
    let is_known = version == 0 || (1..=3).contains(&update.upgrade_type);
    let level = update.max_version_level;
    match (update.feature.as_str(), is_known, level < 1, downgrades) {
        ("", ..) => "Feature name can not be empty.".into(),
        (_, false, ..) => "Received unknown upgrade type.".into(),
        (_, _, true, true) => "Can not delete non-existing finalized feature.".into(),
        (_, _, true, false) => format!(
            "Can not provide versionLevel: {level} less than 1 without setting the SAFE downgradeType in the request."
        ),
        _ => "Could not apply finalized feature update because the provided feature is not supported.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn every_update_is_refused_in_every_version() {
        let update = |feature: &str, level| FeatureUpdateKey {
            feature: feature.into(),
            max_version_level: level,
            ..Default::default()
        };
        let request = UpdateFeaturesRequest {
            feature_updates: vec![
                update("", 1),
                update("metadata.version", 20),
                update("metadata.version", 0),
            ],
            ..Default::default()
        };
        for version in UpdateFeaturesResponse::VERSIONS {
            for is_controller in [false, true] {
                let answer = response(is_controller, &request, version);
                answer.encode(&mut Writer::default(), version).expect("every version can say it");
                assert_eq!(answer.error_code, if is_controller { 0 } else { 41 });
            }
            let texts: Vec<_> =
                response(true, &request, version).results.into_iter().map(|it| it.error_message).collect();
            assert!(texts[0].as_deref().is_some_and(|text| text.contains("empty")));
            assert!(texts[1].as_deref().is_some_and(|text| text.contains("not supported")));
            assert!(texts[2].as_deref().is_some_and(|text| text.contains("less than 1")));
        }
    }
}
