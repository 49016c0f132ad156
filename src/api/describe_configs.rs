//! DescribeConfigs: what topics, brokers and loggers are set to (`ConfigHelper`, KIP-133, KIP-226).
//!
//! v0: `is_default` instead of a source; v1: synonyms; v3: types and documentation (which is not kept here: null).
//! A broker describes itself and the default of all brokers (empty name), no other broker. What a topic sets is
//! read from ZooKeeper, as Kafka does: a change made through another broker shows at once. Without ZooKeeper the
//! values in force here are shown. There is one logger, `root`, whose level is set at start.

use std::collections::HashMap;
use std::sync::Arc;

use ottla_zk::kafka::configs;
use ottla_zk::znode::config::ConfigEntity;
use tracing::level_filters::LevelFilter;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::admin::config_entries::{self, Entry};
use crate::admin::configs::resource_type::{BROKER, BROKER_LOGGER, CLIENT_METRICS, TOPIC};
use crate::admin::validation::validate_topic_name;
use crate::broker::Broker;
use crate::config::layers::Source;
use crate::metadata::configs::Overrides;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

/// Source of a logger's level (`ConfigSource.DYNAMIC_BROKER_LOGGER_CONFIG`).
const LOGGER_SOURCE: i8 = 6;

/// The one logger.
pub const ROOT_LOGGER: &str = "root";

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeConfigsRequest,
    call: Call<'_>,
) -> Answer<DescribeConfigsResponse> {
    let known = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS];
    let unknown = request.resources.iter().find(|resource| !known.contains(&resource.resource_type));
    if let Some(unknown) = unknown {
        let text = format!(
            "Unexpected resource type {} for resource {}",
            unknown.resource_type, unknown.resource_name
        );
        let refusal = Refusal::new(ErrorCode::InvalidRequest, text);
        let results = request.resources.iter().map(|resource| refused(resource, refusal.clone()));
        return Answer::Now(DescribeConfigsResponse { results: results.collect(), ..Default::default() });
    }
    let own = topic_overrides(broker, &request.resources).await;
    let results = request.resources.iter().map(|resource| {
        match describe(broker, resource, &own, &request, call.version) {
            Ok(configs) => DescribeConfigsResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                configs,
                ..Default::default()
            },
            Err(refusal) => refused(resource, refusal),
        }
    });
    Answer::Now(DescribeConfigsResponse { results: results.collect(), ..Default::default() })
}

/// What the topics asked for set; all of them are read at once.
async fn topic_overrides(
    broker: &Broker,
    resources: &[DescribeConfigsResource],
) -> HashMap<String, Overrides> {
    let image = broker.metadata.image().clone();
    let exists = |resource: &&DescribeConfigsResource| {
        resource.resource_type == TOPIC && image.topic(&resource.resource_name).is_some()
    };
    let names: Vec<String> =
        resources.iter().filter(exists).map(|resource| resource.resource_name.clone()).collect();
    if names.is_empty() {
        return HashMap::new();
    }
    let entities: Vec<ConfigEntity> = names.iter().cloned().map(ConfigEntity::Topic).collect();
    let nodes = match configs::read_many(&*broker.store, &entities).await {
        Ok(nodes) => nodes.into_iter().map(Some).collect(),
        Err(error) => {
            tracing::info!(%error, "topic configurations cannot be read; those in force here are described");
            let mut none = Vec::new();
            none.resize_with(names.len(), || None);
            none
        }
    };
    let overrides = names.into_iter().zip(nodes).map(|(name, node)| match node {
        Some(Ok(node)) => (name, node.config),
        Some(Err(_)) | None => {
            let in_force = broker.configs.topic_overrides(&name);
            (name, in_force)
        }
    });
    overrides.collect()
}

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    own: &HashMap<String, Overrides>,
    request: &DescribeConfigsRequest,
    version: i16,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = resource.resource_name.as_str();
    let entries = match resource.resource_type {
        TOPIC => {
            validate_topic_name(name)?;
            let own = own.get(name).ok_or_else(|| {
                Refusal::new(
                    ErrorCode::UnknownTopicOrPartition,
                    format!("The topic '{name}' does not exist."),
                )
            })?;
            config_entries::of_topic(&broker.configs.layers(), own)
        }
        BROKER if name.is_empty() => config_entries::of_cluster(&broker.configs.layers()),
        BROKER => {
            broker.admin.own_id(name)?;
            config_entries::of_broker(&broker.configs.layers())
        }
        BROKER_LOGGER if name.is_empty() => {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "Broker id must not be empty"));
        }
        BROKER_LOGGER => {
            broker.admin.own_id(name)?;
            let loggers = vec![root_logger()];
            return Ok(loggers.into_iter().filter(|logger| is_wanted(resource, &logger.name)).collect());
        }
        _ => {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "Unsupported resource type: CLIENT_METRICS"));
        }
    };
    let wanted = entries.into_iter().filter(|entry| is_wanted(resource, &entry.name));
    Ok(wanted.map(|entry| shown(entry, request.include_synonyms, version)).collect())
}

fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key == name),
        _ => true,
    }
}

fn shown(entry: Entry, with_synonyms: bool, version: i16) -> DescribeConfigsResourceResult {
    let synonyms = if with_synonyms { entry.synonyms } else { Vec::new() };
    let synonym = |origin: crate::config::layers::Origin| DescribeConfigsSynonym {
        name: origin.name,
        value: origin.value,
        source: origin.source as i8,
        ..Default::default()
    };
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        is_default: version == 0 && entry.source == Source::Default,
        config_source: entry.source as i8,
        is_sensitive: entry.sensitive,
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: entry.kind.map_or(0, |kind| kind.wire()),
        documentation: None,
        ..Default::default()
    }
}

fn root_logger() -> DescribeConfigsResourceResult {
    // Kafka's words: `OFF` and `TRACE` to `ERROR` are the same in both.
    let level = LevelFilter::current().to_string().to_ascii_uppercase();
    DescribeConfigsResourceResult {
        name: ROOT_LOGGER.to_owned(),
        value: Some(level),
        config_source: LOGGER_SOURCE,
        documentation: None,
        ..Default::default()
    }
}

fn refused(resource: &DescribeConfigsResource, refusal: Refusal) -> DescribeConfigsResult {
    DescribeConfigsResult {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Kind;
    use crate::config::layers::Origin;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    #[test]
    fn an_entry_can_be_written_in_every_version() {
        for version in DescribeConfigsResponse::VERSIONS {
            let origin =
                Origin { name: "retention.ms".into(), value: Some("5".into()), source: Source::Default };
            let entry = Entry {
                name: "retention.ms".into(),
                value: Some("5".into()),
                kind: Some(Kind::Long),
                source: Source::Default,
                read_only: false,
                sensitive: false,
                synonyms: vec![origin],
            };
            let row = shown(entry, true, version);
            assert_eq!(row.is_default, version == 0);
            assert_eq!((row.config_type, row.synonyms.len()), (5, 1));
            let resource = DescribeConfigsResource { resource_name: "t".into(), ..Default::default() };
            let result = DescribeConfigsResult { configs: vec![row, root_logger()], ..Default::default() };
            let failed = refused(&resource, Refusal::new(ErrorCode::InvalidRequest, "no"));
            let response = DescribeConfigsResponse { results: vec![result, failed], ..Default::default() };
            response.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }

    #[test]
    fn keys_asked_for_are_the_only_ones() {
        let asked = |keys: Option<Vec<String>>| DescribeConfigsResource {
            configuration_keys: keys,
            ..Default::default()
        };
        assert!(is_wanted(&asked(None), "a") && is_wanted(&asked(Some(Vec::new())), "a"));
        assert!(
            is_wanted(&asked(Some(vec!["a".into()])), "a") && !is_wanted(&asked(Some(vec!["a".into()])), "b")
        );
    }
}
