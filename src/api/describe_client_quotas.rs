//! DescribeClientQuotas: the quotas stored for users, client ids and addresses (KIP-546;
//! `ZkAdminManager.describeClientQuotas`). The version changes nothing.
//!
//! Read from `/config`. They are described as stored; enforcing them is not this file's business. Components say
//! which entities are wanted: a named one, the default one, or any; `strict` leaves out entities with further parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_zk::kafka::configs;
use ottla_zk::znode::config::ConfigEntity;

use super::{Answer, Call};
use crate::admin::Refusal;
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_client_quotas::{ComponentData, EntityData, EntryData, ValueData};
use crate::protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// Keys that are quotas (`QuotaConfigs`); users also have credentials.
const QUOTAS: &[&str] = &[
    "connection_creation_rate",
    "consumer_byte_rate",
    "controller_mutation_rate",
    "producer_byte_rate",
    "request_percentage",
];

/// Which names of one part of an entity are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wanted {
    Named(String),
    Default,
    Any,
}

type Filter = BTreeMap<String, Wanted>;
type Parts = Vec<(&'static str, Option<String>)>;

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: DescribeClientQuotasRequest,
    _call: Call<'_>,
) -> Answer<DescribeClientQuotasResponse> {
    let found = match filter(&request.components) {
        Ok(filter) => describe(broker, &filter, request.strict).await,
        Err(refusal) => Err(refusal),
    };
    Answer::Now(response(found))
}

fn response(found: Result<Vec<EntryData>, Refusal>) -> DescribeClientQuotasResponse {
    match found {
        Ok(entries) => {
            DescribeClientQuotasResponse { error_message: None, entries: Some(entries), ..Default::default() }
        }
        Err(refusal) => DescribeClientQuotasResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            entries: None,
            ..Default::default()
        },
    }
}

fn filter(components: &[ComponentData]) -> Result<Filter, Refusal> {
    let invalid = |text: String| Refusal::new(ErrorCode::InvalidRequest, text);
    let mut filter = Filter::new();
    for component in components {
        let kind = component.entity_type.as_str();
        match kind {
            USER | CLIENT_ID | IP => {}
            "" => return Err(invalid("Unexpected empty filter component entity type".into())),
            other => {
                let text = format!("Custom entity type '{other}' not supported");
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, text));
            }
        }
        let wanted = match (component.match_type, &component.r#match) {
            (0, Some(name)) => Wanted::Named(name.clone()),
            (1, _) => Wanted::Default,
            (2, _) => Wanted::Any,
            (kind, _) => return Err(invalid(format!("Unexpected match type: {kind}"))),
        };
        if filter.insert(kind.to_owned(), wanted).is_some() {
            return Err(invalid(format!("Duplicate {kind} filter component entity type")));
        }
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        let text = "Invalid entity filter component combination, IP filter component should not be used with user or \
                    clientId filter component.";
        return Err(invalid(text.into()));
    }
    Ok(filter)
}

async fn describe(broker: &Broker, filter: &Filter, strict: bool) -> Result<Vec<EntryData>, Refusal> {
    let mut entities = Vec::new();
    for kind in ["users", "clients", "ips"] {
        entities.extend(configs::entities(&*broker.store, kind).await?);
    }
    entities.retain(|entity| parts(entity).is_some_and(|parts| is_wanted(&parts, filter, strict)));
    let mut entries = Vec::new();
    for (entity, node) in entities.iter().zip(configs::read_many(&*broker.store, &entities).await?) {
        let node = node.map_err(|error| Refusal::new(ErrorCode::UnknownServerError, error.to_string()))?;
        let Some(parts) = parts(entity) else { continue };
        entries.extend(entry(parts, &node.config));
    }
    Ok(entries)
}

fn parts(entity: &ConfigEntity) -> Option<Parts> {
    match entity {
        ConfigEntity::User(user) => Some(vec![(USER, user.clone())]),
        ConfigEntity::Client(client) => Some(vec![(CLIENT_ID, client.clone())]),
        ConfigEntity::UserClient(user, client) => {
            Some(vec![(USER, user.clone()), (CLIENT_ID, client.clone())])
        }
        ConfigEntity::Ip(address) => Some(vec![(IP, address.clone())]),
        ConfigEntity::Topic(_) | ConfigEntity::Broker(_) => None,
    }
}

fn is_wanted(parts: &Parts, filter: &Filter, strict: bool) -> bool {
    let fits = |(kind, name): &(&'static str, Option<String>)| match (filter.get(*kind), name) {
        (None, _) => !strict,
        (Some(Wanted::Any), _) | (Some(Wanted::Default), None) => true,
        (Some(Wanted::Named(wanted)), Some(name)) => wanted == name,
        (Some(_), _) => false,
    };
    parts.iter().all(fits) && filter.keys().all(|kind| parts.iter().any(|(part, _)| part == kind))
}

fn entry(parts: Parts, config: &BTreeMap<String, String>) -> Option<EntryData> {
    let value = |key: &&str| {
        let value = config.get(*key)?.trim().parse().ok()?;
        Some(ValueData { key: (*key).to_owned(), value, ..Default::default() })
    };
    let values: Vec<ValueData> = QUOTAS.iter().filter_map(value).collect();
    if values.is_empty() {
        return None;
    }
    let part = |(kind, name): (&str, Option<String>)| EntityData {
        entity_type: kind.to_owned(),
        entity_name: name,
        ..Default::default()
    };
    Some(EntryData { entity: parts.into_iter().map(part).collect(), values, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
        ComponentData {
            entity_type: kind.into(),
            match_type,
            r#match: name.map(str::to_owned),
            ..Default::default()
        }
    }

    #[test]
    fn filters_choose_entities() {
        let both: Parts = vec![(USER, Some("alice".into())), (CLIENT_ID, None)];
        let user: Parts = vec![(USER, Some("alice".into()))];
        let fits = |components: &[ComponentData], parts: &Parts, strict| {
            is_wanted(parts, &filter(components).expect("valid"), strict)
        };
        assert!(fits(&[], &both, false) && !fits(&[], &both, true));
        let alice = component(USER, 0, Some("alice"));
        assert!(fits(&[alice.clone()], &both, false) && !fits(&[alice.clone()], &both, true));
        assert!(fits(&[alice.clone()], &user, true));
        let default_client = component(CLIENT_ID, 1, None);
        assert!(fits(&[alice.clone(), default_client], &both, true));
        assert!(!fits(&[component(USER, 0, Some("bob"))], &user, false));
        assert!(!fits(&[component(CLIENT_ID, 2, None)], &user, false));
        assert!(fits(&[component(USER, 2, None)], &user, true));
    }

    #[test]
    fn bad_filters_are_refused() {
        let code = |components: &[ComponentData]| filter(components).expect_err("bad").code;
        assert_eq!(code(&[component("", 2, None)]), ErrorCode::InvalidRequest);
        assert_eq!(code(&[component("team", 2, None)]), ErrorCode::UnsupportedVersion);
        assert_eq!(code(&[component(USER, 7, None)]), ErrorCode::InvalidRequest);
        assert_eq!(code(&[component(USER, 2, None), component(USER, 2, None)]), ErrorCode::InvalidRequest);
        assert_eq!(code(&[component(IP, 2, None), component(USER, 2, None)]), ErrorCode::InvalidRequest);
    }

    #[test]
    fn an_entry_holds_only_quotas_and_can_be_written() {
        let config = BTreeMap::from([
            ("producer_byte_rate".to_owned(), "1024".to_owned()),
            ("SCRAM-SHA-256".to_owned(), "salt=..".to_owned()),
        ]);
        let found = entry(vec![(USER, None)], &config).expect("has a quota");
        assert_eq!((found.values.len(), found.values[0].value), (1, 1024.0));
        assert!(entry(vec![(USER, None)], &BTreeMap::new()).is_none());
        for version in DescribeClientQuotasResponse::VERSIONS {
            let refusal = Refusal::new(ErrorCode::InvalidRequest, "no");
            for answer in [response(Ok(vec![found.clone()])), response(Err(refusal))] {
                answer.encode(&mut Writer::default(), version).expect("every version can say it");
            }
        }
    }
}
