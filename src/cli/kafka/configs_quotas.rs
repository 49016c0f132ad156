//! `kafka-configs` for users, clients and addresses: quotas, and which SCRAM credentials users have.
//!
//! What is asked goes to the broker as it is, and its answer is shown; SCRAM credentials are not made here yet, and that
//! is said. Source: `ConfigCommand.{alterQuotaConfigs, describeQuotaConfigs}` of Kafka 3.9.

use std::collections::BTreeMap;

use super::super::admin::outcome;
use super::super::connect::Client;
use super::super::output::exactly as say;
use super::configs_entities::Entities;
use super::errors::Failure;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_client_quotas::{EntityData, EntryData, OpData};
use crate::protocol::messages::describe_client_quotas::{ComponentData, EntryData as Found};
use crate::protocol::messages::describe_user_scram_credentials::UserName;
use crate::protocol::messages::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest,
};

const QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
const IP_QUOTAS: [&str; 1] = ["connection_creation_rate"];
const MECHANISMS: [&str; 3] = ["UNKNOWN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// An entity type of the command line on the wire.
fn wire(kind: &str) -> &'static str {
    match kind {
        "users" => "user",
        "clients" => "client-id",
        _ => "ip",
    }
}

/// Sets and takes away quotas.
pub async fn alter(
    client: &mut Client,
    entities: &Entities,
    add: &[(String, String)],
    delete: &[String],
) -> Result<(), Failure> {
    check_keys(entities, add, delete)?;
    let old = found(client, entities).await?.into_iter().next().map(|found| found.values).unwrap_or_default();
    let invalid: Vec<&str> =
        delete.iter().map(String::as_str).filter(|key| !old.iter().any(|value| value.key == *key)).collect();
    if !invalid.is_empty() {
        return Err(Failure::argument(format!("Invalid config(s): {}", invalid.join(","))));
    }
    let mut ops = Vec::new();
    for (key, text) in add {
        let wrong = || Failure::argument(format!("Cannot parse quota configuration value for {key}: {text}"));
        let value = text.trim().parse().map_err(|_| wrong())?;
        ops.push(OpData { key: key.clone(), value, remove: false, ..Default::default() });
    }
    ops.extend(delete.iter().map(|key| OpData { key: key.clone(), remove: true, ..Default::default() }));
    let entity = |(kind, name): (&String, &String)| EntityData {
        entity_type: wire(kind).to_owned(),
        entity_name: (!name.is_empty()).then(|| name.clone()),
        ..Default::default()
    };
    let entity = entities.kinds.iter().zip(&entities.names).map(entity).collect();
    let entries = vec![EntryData { entity, ops, ..Default::default() }];
    let request = AlterClientQuotasRequest { entries, ..Default::default() };
    let answer = client.any(i16::MAX, &request).await.map_err(Failure::timed_out)?;
    Ok(answer.entries.into_iter().try_for_each(|entry| outcome(entry.error_code, entry.error_message))?)
}

/// Which keys may be changed on which kinds.
fn check_keys(entities: &Entities, add: &[(String, String)], delete: &[String]) -> Result<(), Failure> {
    let kind = entities.kinds[0].as_str();
    let has_client = entities.kinds.iter().any(|kind| kind == "clients");
    let is_scram = |key: &str| MECHANISMS[1..].contains(&key);
    let added: Vec<&str> = add.iter().map(|(key, _)| key.as_str()).collect();
    let deleted: Vec<&str> = delete.iter().map(String::as_str).collect();
    for (keys, what) in [(&added, "added"), (&deleted, "deleted")] {
        let is_known = |key: &str| match kind {
            "ips" => IP_QUOTAS.contains(&key),
            _ => QUOTAS.contains(&key) || (is_scram(key) && !has_client),
        };
        let unknown: Vec<&str> = keys.iter().copied().filter(|key| !is_known(key)).collect();
        if unknown.is_empty() {
            continue;
        }
        let unknown = unknown.join(", ");
        return Err(Failure::argument(match kind {
            "ips" => format!(
                "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: {unknown}"
            ),
            _ if has_client => format!(
                "Only quota configs can be {what} for 'clients' using --bootstrap-server. Unexpected config names: Set({unknown})"
            ),
            _ => format!(
                "Only quota and SCRAM credential configs can be {what} for 'users' using --bootstrap-server. Unexpected config names: Set({unknown})"
            ),
        }));
    }
    match added.iter().chain(&deleted).find(|key| is_scram(key)) {
        Some(mechanism) => Err(Failure::argument(format!(
            "{mechanism} cannot be changed: Ottla's brokers have no SASL yet, so this tool makes and removes no SCRAM \
             credentials"
        ))),
        None => Ok(()),
    }
}

/// Quotas of exactly these kinds, by entity.
async fn found(client: &mut Client, entities: &Entities) -> Result<Vec<Found>, Failure> {
    let component = |(index, kind): (usize, &String)| {
        let (match_type, name) = match entities.names.get(index).map(String::as_str) {
            Some("") => (1, None),
            Some(name) => (0, Some(name.to_owned())),
            None => (2, None),
        };
        ComponentData { entity_type: wire(kind).to_owned(), match_type, r#match: name, ..Default::default() }
    };
    if entities.names.len() > entities.kinds.len() {
        return Err(Failure::argument("More entity names specified than entity types"));
    }
    let components = entities.kinds.iter().enumerate().map(component).collect();
    let request = DescribeClientQuotasRequest { components, strict: true, ..Default::default() };
    let answer = client.any(i16::MAX, &request).await.map_err(Failure::timed_out)?;
    outcome(answer.error_code, answer.error_message)?;
    Ok(answer.entries.unwrap_or_default())
}

/// Prints quotas, and for users alone their credentials.
pub async fn describe(client: &mut Client, entities: &Entities) -> Result<(), Failure> {
    for mut entry in found(client, entities).await? {
        entry.values.sort_by(|a, b| a.key.cmp(&b.key));
        let mut parts: BTreeMap<usize, String> = BTreeMap::new();
        for part in &entry.entity {
            let (order, word) = match part.entity_type.as_str() {
                "user" => (0, "user-principal"),
                "client-id" => (1, "client-id"),
                _ => (2, "ip"),
            };
            let text = match &part.entity_name {
                Some(name) => format!("{word} '{name}'"),
                None => format!("the default {word}"),
            };
            parts.insert(order, text);
        }
        let parts = parts.into_values().collect::<Vec<_>>().join(", ");
        let values = entry.values.iter().map(|value| format!("{}={}", value.key, java_double(value.value)));
        say(&format!("Quota configs for {parts} are {}", values.collect::<Vec<_>>().join(", ")))?;
    }
    let only_users = entities.kinds == ["users"];
    if only_users && !entities.names.iter().any(String::is_empty) {
        describe_credentials(client, &entities.names).await?;
    }
    Ok(())
}

async fn describe_credentials(client: &mut Client, users: &[String]) -> Result<(), Failure> {
    let name = |name: &String| UserName { name: name.clone(), ..Default::default() };
    let request = DescribeUserScramCredentialsRequest {
        users: (!users.is_empty()).then(|| users.iter().map(name).collect()),
        ..Default::default()
    };
    let answer = client.any(i16::MAX, &request).await.map_err(Failure::timed_out)?;
    outcome(answer.error_code, answer.error_message)?;
    for user in answer.results {
        // A user without credentials is an error of its own, which Kafka's tool leaves out.
        if user.error_code == ErrorCode::ResourceNotFound.code() {
            continue;
        }
        outcome(user.error_code, user.error_message)?;
        let infos = user.credential_infos.iter().map(|info| {
            let mechanism = usize::try_from(info.mechanism).ok().and_then(|index| MECHANISMS.get(index));
            format!("{}=iterations={}", mechanism.unwrap_or(&MECHANISMS[0]), info.iterations)
        });
        let infos = infos.collect::<Vec<_>>().join(", ");
        say(&format!("SCRAM credential configs for user-principal '{}' are {infos}", user.user))?;
    }
    Ok(())
}

/// A number as Java prints a double: `1024.0`, `1.0E7`.
fn java_double(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) || !value.is_finite() {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_as_in_java() {
        for (value, text) in
            [(1024.0, "1024.0"), (1e7, "1.0E7"), (0.5, "0.5"), (12_345_678.5, "1.23456785E7"), (0.0, "0.0")]
        {
            assert_eq!(java_double(value), text);
        }
    }

    #[test]
    fn keys_belong_to_kinds() {
        let of = |kinds: &[&str], key: &str| {
            let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let entities = Entities { names: vec!["n".into(); kinds.len()], kinds };
            check_keys(&entities, &[(key.to_owned(), "1".to_owned())], &[]).map_err(|failure| failure.message)
        };
        assert_eq!(of(&["users"], "producer_byte_rate"), Ok(()));
        assert_eq!(of(&["ips"], "connection_creation_rate"), Ok(()));
        assert!(of(&["users"], "SCRAM-SHA-256").unwrap_err().starts_with("SCRAM-SHA-256 cannot be changed"));
        let wrong = of(&["users", "clients"], "SCRAM-SHA-256").unwrap_err();
        assert!(wrong.starts_with("Only quota configs can be added for 'clients'"), "{wrong}");
        assert!(of(&["users"], "nope").unwrap_err().ends_with("Unexpected config names: Set(nope)"));
    }
}
